//! The process that faults happen to: the real store and the real memories under a mixed load.
//!
//! The test binary starts itself again for it (`driver_process`), with the recorder preloaded.
//! What was acknowledged is appended to the file `acks` in the watched folder, one
//! `<id> <content>` a line, each in one write, so that the recorder sees it in its place.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use magpie::bus::Bus;
use magpie::clock::Clock;
use magpie::ops::Registry;
use magpie::store::{Durability, OpenError, Store, StoreOptions};
use magpie::voice::memory::{Memories, NewMemory, Source};
use tokio::task::LocalSet;

pub const DATABASE: &str = "box.db";
pub const ACKS: &str = "acks";

/// What a driver is told, as one environment variable of `key=value` words.
#[derive(Clone, Debug)]
pub struct Orders {
    pub folder: PathBuf,
    pub durability: Durability,
    /// Memories to create in all; 0: until killed.
    pub memories: usize,
    /// Clients that create one after the other.
    pub clients: usize,
    pub seed: u64,
    /// Wait a moment after every so many, so that idle work gets its turn.
    pub pause_each: usize,
    pub content_bytes: usize,
}

impl Orders {
    pub fn to_words(&self) -> String {
        format!(
            "folder={} durability={:?} memories={} clients={} seed={} pause_each={} content_bytes={}",
            self.folder.display(),
            self.durability,
            self.memories,
            self.clients,
            self.seed,
            self.pause_each,
            self.content_bytes,
        )
    }

    pub fn from_words(words: &str) -> Orders {
        let get = |key: &str| {
            words
                .split(' ')
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
                .unwrap_or_else(|| panic!("{key} is missing in {words:?}"))
        };
        let number = |key: &str| get(key).parse::<usize>().unwrap();
        Orders {
            folder: get("folder").into(),
            durability: match get("durability") {
                "Full" => Durability::Full,
                "Normal" => Durability::Normal,
                _ => Durability::Off,
            },
            memories: number("memories"),
            clients: number("clients"),
            seed: number("seed") as u64,
            pause_each: number("pause_each"),
            content_bytes: number("content_bytes"),
        }
    }
}

pub fn open(folder: &Path, durability: Durability) -> Result<Store, OpenError> {
    Store::open(StoreOptions {
        path: folder.join(DATABASE),
        clock: Clock::system(),
        metrics: Registry::default(),
        durability,
    })
}

pub fn memories(store: &Store) -> Memories {
    Memories::new(store.clone(), Bus::default(), Clock::system())
}

pub fn on_loop<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, work)
}

/// Prints what happened as `key=value` words on the last line.
pub fn run(orders: Orders) {
    on_loop(async move {
        let store = match open(&orders.folder, orders.durability) {
            Ok(store) => store,
            Err(error) => {
                println!(
                    "DRIVER refused=1 acked=0 failed=0 busy=0 late_ms=0 last_ok=0 why={error}"
                );
                return;
            }
        };
        let acks = OpenOptions::new()
            .create(true)
            .append(true)
            .open(orders.folder.join(ACKS))
            .unwrap();
        let load = Rc::new(Load {
            memories: memories(&store),
            acks,
            orders,
            begun: Cell::new(0),
            acked: Cell::new(0),
            failed: Cell::new(0),
            busy: Cell::new(0),
            last_ok: Cell::new(false),
        });
        let late = Rc::new(Cell::new(Duration::ZERO));
        let watch = tokio::task::spawn_local(watch_loop(late.clone()));
        let clients: Vec<_> = (0..load.orders.clients)
            .map(|_| tokio::task::spawn_local(client(load.clone())))
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        watch.abort();
        if load.orders.memories > 0 {
            store.close().await.unwrap();
        }
        println!(
            "DRIVER refused=0 acked={} failed={} busy={} late_ms={} last_ok={}",
            load.acked.get(),
            load.failed.get(),
            load.busy.get(),
            late.get().as_millis(),
            u8::from(load.last_ok.get()),
        );
    });
}

struct Load {
    memories: Memories,
    acks: File,
    orders: Orders,
    begun: Cell<usize>,
    acked: Cell<usize>,
    failed: Cell<usize>,
    busy: Cell<usize>,
    /// Whether the newest answer was good: the store has recovered.
    last_ok: Cell<bool>,
}

async fn client(load: Rc<Load>) {
    loop {
        let number = load.begun.get();
        if load.orders.memories > 0 && number >= load.orders.memories {
            return;
        }
        load.begun.set(number + 1);
        if load.orders.pause_each > 0
            && number % load.orders.pause_each == load.orders.pause_each - 1
        {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let content = content(&load.orders, number);
        let new = NewMemory::plain(content.clone(), Source::Manual, Clock::system().wall());
        match load.memories.create(new).await {
            Ok(saved) => {
                load.acked.set(load.acked.get() + 1);
                load.last_ok.set(true);
                (&load.acks)
                    .write_all(format!("{} {content}\n", saved.id).as_bytes())
                    .unwrap();
            }
            Err(error) => {
                load.last_ok.set(false);
                let busy = format!("{error:?}").contains("Busy");
                let counter = if busy { &load.busy } else { &load.failed };
                counter.set(counter.get() + 1);
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Words that differ from memory to memory, in two languages.
fn content(orders: &Orders, number: usize) -> String {
    let mut text = format!(
        "note {number} of run {} about the 架构 of house {}",
        orders.seed,
        number * 7
    );
    while text.len() < orders.content_bytes {
        text.push_str(" and some more words that take their room");
    }
    text
}

/// How late a timer of 2 ms came at worst.
async fn watch_loop(worst: Rc<Cell<Duration>>) {
    const STEP: Duration = Duration::from_millis(2);
    loop {
        let before = Instant::now();
        tokio::time::sleep(STEP).await;
        let late = before.elapsed().saturating_sub(STEP);
        worst.set(worst.get().max(late));
    }
}
