//! The room with its store behind a real server on a loopback port.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use magpie::audio::{Audio, AudioOptions};
use magpie::bus::Bus;
use magpie::clock::Clock;
use magpie::house::health::{self, HealthParts, RoomHealth};
use magpie::ops::Registry;
use magpie::outbound::{Outbound, OutboundOptions};
use magpie::server::{Caller, Gatekeeper, RequestHead, Role, Router, Server, ServerOptions};
use magpie::store::{Durability, Store, StoreOptions};
use magpie::voice::hardware::Panel;
use magpie::voice::{Voice, VoiceParts, VoiceSettings};
use serde_json::Value;

/// Only reached when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where a box answers.
pub struct Door {
    pub address: SocketAddr,
}

pub struct House {
    door: Door,
    pub metrics: Registry,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Everybody;

impl Gatekeeper for Everybody {
    fn identify(&self, _head: &RequestHead) -> Caller {
        Caller {
            role: Role::Owner,
            device: None,
        }
    }
}

pub struct Setup {
    pub input: &'static str,
    pub output: &'static str,
    pub rate_per_minute: u32,
    pub settings: VoiceSettings,
    /// What is connected to the box; made on the loop.
    pub panel: Option<Box<dyn FnOnce() -> Panel + Send>>,
}

impl Setup {
    /// Without a sound card, speaking by flite and understanding by pocketsphinx.
    pub fn at(data: &Path) -> Setup {
        Setup {
            input: "off",
            output: "off",
            rate_per_minute: 1_000_000,
            panel: None,
            settings: VoiceSettings {
                data_dir: data.to_path_buf(),
                ..VoiceSettings::default()
            },
        }
    }
}

impl House {
    pub fn start(setup: Setup) -> House {
        let (told, hear) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let metrics = Registry::default();
        let registry = metrics.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let (store, server, voice) = build(setup, registry);
                told.send(server.http_address().expect("a port"))
                    .expect("the test waits");
                let _ = stopped.await;
                server.shutdown().await;
                drop(voice);
                store.close().await.expect("the store closes");
            });
        });
        House {
            door: Door {
                address: hear.recv().expect("the house starts"),
            },
            metrics,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl std::ops::Deref for House {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}

impl Door {
    pub fn get(&self, path: &str) -> (u16, Value) {
        self.request("GET", path, "application/json", b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.request(
            "POST",
            path,
            "application/json",
            body.to_string().as_bytes(),
        )
    }

    /// The data of a call that has to succeed.
    pub fn done(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.post(path, body);
        assert_eq!(status, 200, "{path}: {answer}");
        answer["data"].clone()
    }

    pub fn request(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sends");
        stream.write_all(body).expect("sends");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answers");
        let text = String::from_utf8_lossy(&answer);
        let status = text[9..12].parse().expect("a status");
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

fn build(setup: Setup, metrics: Registry) -> (Store, Server, Rc<Voice>) {
    let clock = Clock::system();
    let store = Store::open(StoreOptions {
        path: setup.settings.data_dir.join("voice-memory.db"),
        clock: clock.clone(),
        metrics: metrics.clone(),
        durability: Durability::Full,
    })
    .expect("the store opens");
    let options = AudioOptions {
        input: setup.input.to_string(),
        output: setup.output.to_string(),
        period: Duration::from_millis(20),
        volume: 100,
    };
    let voice = Voice::start(VoiceParts {
        store: store.clone(),
        bus: Bus::default(),
        clock: clock.clone(),
        audio: Audio::start_with_retries(options, &metrics, &[Duration::from_millis(200)]),
        metrics: metrics.clone(),
        outbound: Outbound::new(OutboundOptions::default(), &metrics).expect("a way out"),
        settings: setup.settings,
    });
    if let Some(panel) = setup.panel {
        panel().attach(&voice.device);
    }
    let mut router = Router::default();
    voice.routes(&mut router);
    let room = Rc::clone(&voice);
    health::routes(
        &mut router,
        HealthParts {
            clock: clock.clone(),
            store: store.clone(),
            data_dir: voice.settings().data_dir.clone(),
            rooms: Rc::new(move || {
                let health = room.health();
                let details = serde_json::to_value(&health).expect("health is JSON");
                RoomHealth {
                    is_degraded: health.degraded,
                    details: details.as_object().expect("fields").clone(),
                }
            }),
        },
    );
    let mut options = ServerOptions::new(clock, metrics);
    options.http = Some(([127, 0, 0, 1], 0).into());
    options.rate_per_minute = setup.rate_per_minute;
    let server = Server::bind(options, router, Rc::new(Everybody)).expect("a free port");
    voice.sockets.limit_turns(server.rate());
    server.start();
    (store, server, voice)
}

impl Drop for House {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the house ends in peace");
            }
        }
    }
}
