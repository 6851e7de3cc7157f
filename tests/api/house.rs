//! The voice room behind a real server on a loopback port, over a real store.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use magpie::bus::Bus;
use magpie::clock::Clock;
use magpie::ops::Registry;
use magpie::server::{Caller, Gatekeeper, RequestHead, Role, Router, Server, ServerOptions};
use magpie::store::{Durability, Store, StoreOptions};
use magpie::voice::VoiceSettings;
use magpie::voice::api::{Sentences, Speaker};
use magpie::voice::dialogue::{Action, Dialogue};

pub struct House {
    pub address: SocketAddr,
    /// What the loudspeaker was asked for, where there is one.
    heard: Arc<Mutex<Vec<String>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Owner;

impl Gatekeeper for Owner {
    fn identify(&self, _head: &RequestHead) -> Caller {
        Caller {
            role: Role::Owner,
            device: None,
        }
    }
}

/// Keeps what it is asked for.
struct Notebook(Arc<Mutex<Vec<String>>>);

impl Speaker for Notebook {
    fn recite(&self, sentences: &Rc<Sentences>) {
        let (notes, sentences) = (Arc::clone(&self.0), Rc::clone(sentences));
        tokio::task::spawn_local(async move {
            while let Some(sentence) = sentences.take().await {
                notes.lock().unwrap().push(format!("say {}", sentence.text));
            }
        });
    }
    fn act(&self, action: &Action) {
        self.0.lock().unwrap().push(format!("{action:?}"));
    }
}

impl House {
    pub fn start() -> House {
        House::with(false)
    }

    pub fn with_speaker() -> House {
        House::with(true)
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    fn with(has_speaker: bool) -> House {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&heard);
        let (told, hear) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let folder = tempfile::tempdir().unwrap();
            let clock = Clock::system();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let store = Store::open(StoreOptions {
                    path: folder.path().join("voice-memory.db"),
                    clock: clock.clone(),
                    metrics: Registry::default(),
                    durability: Durability::Full,
                })
                .unwrap();
                let settings = VoiceSettings::default();
                let dialogue =
                    Dialogue::start(store.clone(), Bus::default(), clock.clone(), &settings);
                let mut router = Router::default();
                let speaker = has_speaker.then(|| Rc::new(Notebook(notes)) as Rc<dyn Speaker>);
                magpie::voice::api::routes(&mut router, &dialogue, folder.path(), speaker, None);
                let mut options = ServerOptions::new(clock, Registry::default());
                options.http = Some(([127, 0, 0, 1], 0).into());
                options.rate_per_minute = 1_000_000;
                let server = Server::bind(options, router, Rc::new(Owner)).unwrap();
                server.start();
                told.send(server.http_address().unwrap()).unwrap();
                let _ = stopped.await;
                server.shutdown().await;
                store.close().await.unwrap();
            });
        });
        House {
            address: hear.recv().unwrap(),
            heard,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}
