//! The house but for the command line, on loopback ports.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use magpie::audio::{Audio, AudioOptions};
use magpie::bus::Bus;
use magpie::clock::Clock;
use magpie::house::{
    AuthorityCertificate, BackupParts, Backups, Gate, House as Room, HouseParts, Settings,
};
use magpie::identity::{AuthMode, Identity};
use magpie::ops::{Health, Notifier, Ops, OpsParts, Registry, Setup, loop_watch};
use magpie::outbound::{Outbound, OutboundOptions};
use magpie::server::{Router, Server, ServerOptions};
use magpie::store::{Durability, Store, StoreOptions};
use magpie::voice::{Voice, VoiceParts, VoiceSettings};
use serde_json::Value;

/// Only reached when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct House {
    pub http: SocketAddr,
    pub ops: SocketAddr,
    pub code: Option<String>,
    /// Blocks the loop for as long as the sender of the pair is kept.
    block: tokio::sync::mpsc::UnboundedSender<mpsc::Receiver<()>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

impl House {
    pub fn start(data: &Path, mode: AuthMode, notifier: Notifier) -> House {
        let (told, hear) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (block, mut blocks) = tokio::sync::mpsc::unbounded_channel::<mpsc::Receiver<()>>();
        let data = data.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let (store, server, ops, voice, code) = build(&data, mode, notifier).await;
                tokio::task::spawn_local(async move {
                    while let Some(until) = blocks.recv().await {
                        let _ = until.recv();
                    }
                });
                let addresses = (server.http_address(), ops.address(), code);
                told.send(addresses).expect("the test waits");
                let _ = stopped.await;
                server.shutdown().await;
                drop((voice, ops));
                store.close().await.expect("the store closes");
            });
        });
        let (http, ops, code) = hear.recv().expect("the house starts");
        House {
            http: http.expect("a port"),
            ops: ops.expect("a port"),
            code,
            block,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// The loop stands still until the returned sender is dropped.
    pub fn block_loop(&self) -> mpsc::Sender<()> {
        let (keep, until) = mpsc::channel();
        self.block.send(until).expect("the loop runs");
        keep
    }

    pub fn call(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        call(self.http, method, path, headers, body)
    }
}

/// One request; a `Host` is added unless there is one.
pub fn call(to: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|header| header.starts_with("Host:")) {
        head.push_str("Host: localhost\r\n");
    }
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    if !body.is_empty() {
        let length = body.len();
        head.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {length}\r\n"
        ));
    }
    let mut stream = TcpStream::connect(to).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .expect("sends");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answers");
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    Answer {
        status: head[9..12].parse().expect("a status"),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

async fn build(
    data: &Path,
    mode: AuthMode,
    notifier: Notifier,
) -> (Store, Server, Ops, Rc<Voice>, Option<String>) {
    let (clock, metrics) = (Clock::system(), Registry::default());
    let store = Store::open(StoreOptions {
        path: data.join("voice-memory.db"),
        clock: clock.clone(),
        metrics: metrics.clone(),
        durability: Durability::Full,
    })
    .expect("the store opens");
    let identity = Identity::load(store.clone(), clock.clone(), mode)
        .await
        .expect("loads");
    let silent = AudioOptions {
        input: String::from("off"),
        output: String::from("off"),
        period: Duration::from_millis(20),
        volume: 100,
    };
    let voice = Voice::start(VoiceParts {
        store: store.clone(),
        bus: Bus::default(),
        clock: clock.clone(),
        audio: Audio::start_with_retries(silent, &metrics, &[Duration::from_millis(200)]),
        metrics: metrics.clone(),
        outbound: Outbound::new(OutboundOptions::default(), &metrics).expect("a way out"),
        settings: VoiceSettings {
            data_dir: data.to_owned(),
            ..VoiceSettings::default()
        },
    });
    let setup = Setup::default();
    let nothing_set = magpie::config::resolve(None, &[]).expect("the defaults");
    let settings = Settings::load(&nothing_set.config, store.clone(), clock.clone(), data)
        .await
        .expect("loads");
    let house = Room::start(HouseParts {
        identity: identity.clone(),
        setup: setup.clone(),
        authority: Some(AuthorityCertificate {
            der: vec![0x30, 0x03, 0x02, 0x01, 0x05],
            fingerprint: String::from("AB:CD"),
        }),
        label: String::from("magpie"),
        settings,
        web_dir: None,
        greeting: None,
        backups: Backups::start(BackupParts {
            store: store.clone(),
            clock: clock.clone(),
            data_dir: data.to_owned(),
            folder: data.join("backups"),
            keep_days: 0,
            elsewhere: None,
        }),
    });
    let mut router = Router::default();
    voice.routes(&mut router);
    house.routes(&mut router);
    let mut options = ServerOptions::new(clock, metrics.clone());
    options.http = Some(([127, 0, 0, 1], 0).into());
    let server = Server::bind(options, router, Rc::new(Gate::new(identity))).expect("a port");
    server.start();
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let parts = OpsParts {
        beat: loop_watch::start(&metrics),
        metrics,
        health: Health::default(),
        notifier,
        setup,
    };
    let ops = Ops::start(Some(listener), parts).expect("the ops threads start");
    let shown = house.show_claim_code().expect("a code");
    (store, server, ops, voice, shown.map(|code| code.code))
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
