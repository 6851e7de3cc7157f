//! Durable inserts on a slow card: group commit on the `store` thread beside the straightforward
//! way, one commit an insert on the loop's own thread.
//!
//! Prints `name value unit` lines. Budget: 5,000 inserts a second with 256 writers and 5 to 50 ms
//! a sync. The card is slowed by the recorder of the fault tests, which is preloaded into this
//! program started again; what a sync itself takes here does not count.

#[path = "../tests/support/machine.rs"]
mod machine;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/faults/preload.rs"]
mod preload;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use magpie::clock::Clock;
use magpie::ops::Registry;
use magpie::store::{Connection, Durability, Store, StoreError, StoreOptions};
use tokio::task::LocalSet;

const INSIDE: &str = "MAGPIE_BENCH_STORE";
const SYNC_MS: &str = "5:50";
const WRITERS: usize = 256;
const RUN: Duration = Duration::from_secs(5);
const CONTENT: &str = "about three hundred bytes of what a household says to its box in a sentence";
const SCHEMA: &str = "CREATE TABLE bench (k INTEGER PRIMARY KEY, at INTEGER NOT NULL, v TEXT);
    CREATE INDEX bench_at ON bench (at)";
const INSERT: &str = "INSERT INTO bench (at, v) VALUES (?1, ?2)";

fn main() {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return measure(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a folder for the run");
    let folder = folder.path().canonicalize().expect("the folder's own path");
    let status = Command::new(std::env::current_exe().expect("this program's path"))
        .env("LD_PRELOAD", preload::recorder_library())
        .env("RECORDER_DIR", &folder)
        .env("RECORDER_SLEEP", SYNC_MS)
        .env(INSIDE, &folder)
        .status()
        .expect("this program starts again");
    assert!(status.success());
}

fn measure(folder: &Path) {
    let mut grouped = on_loop(grouped(folder));
    let mut inline = on_loop(inline(folder));
    grouped.print("store");
    inline.print("inline");
    println!(
        "store_inserts_ratio_to_inline {:.0} times",
        grouped.rate() / inline.rate()
    );
    println!("store_inserts_budget 5000 inserts/s");
}

/// Each insert a durable job.
async fn grouped(folder: &Path) -> Figures {
    let store = Store::open(StoreOptions {
        path: folder.join("grouped.db"),
        clock: Clock::system(),
        metrics: Registry::default(),
        durability: Durability::Full,
    })
    .expect("the store opens");
    let made: Result<(), StoreError> = store.write(|db| Ok(db.execute_batch(SCHEMA)?)).await;
    made.expect("the table is made");
    let writing = store.clone();
    let figures = load(WRITERS, move |at| {
        let store = writing.clone();
        async move {
            let done: Result<(), StoreError> = store
                .write_sized(300, move |db| {
                    db.prepare_cached(INSERT)?
                        .execute((at as i64, CONTENT.repeat(4)))?;
                    Ok(())
                })
                .await;
            done.expect("a write is answered");
        }
    })
    .await;
    store.close().await.expect("the store closes");
    figures
}

/// Each insert a transaction of its own, on the thread of the loop.
async fn inline(folder: &Path) -> Figures {
    let db = Connection::open(folder.join("inline.db")).expect("the file opens");
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        .and_then(|()| db.execute_batch(SCHEMA))
        .expect("the table is made");
    let db = Rc::new(db);
    load(WRITERS, move |at| {
        let db = db.clone();
        async move {
            db.prepare_cached(INSERT)
                .and_then(|mut insert| insert.execute((at as i64, CONTENT.repeat(4))))
                .expect("an insert succeeds");
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Writers that insert one after the other, and a timer that sees how late the loop is.
async fn load<F: Future<Output = ()> + 'static>(
    writers: usize,
    insert: impl Fn(usize) -> F + Clone + 'static,
) -> Figures {
    let acks = Rc::new(RefCell::new(Vec::new()));
    let late = Rc::new(RefCell::new(Vec::new()));
    let begun = Instant::now();
    let number = Rc::new(Cell::new(0));
    let watch = tokio::task::spawn_local(watch_loop(late.clone()));
    let writers: Vec<_> = (0..writers)
        .map(|_| {
            let (acks, number, insert) = (acks.clone(), number.clone(), insert.clone());
            tokio::task::spawn_local(async move {
                while begun.elapsed() < RUN {
                    number.set(number.get() + 1);
                    let sent = Instant::now();
                    insert(number.get()).await;
                    acks.borrow_mut().push(sent.elapsed());
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer ends");
    }
    let took = begun.elapsed();
    // A timer that never came is as late as the whole run.
    watch.abort();
    if late.borrow().is_empty() {
        late.borrow_mut().push(took);
    }
    Figures {
        took,
        acks: acks.take(),
        late: late.take(),
    }
}

async fn watch_loop(late: Rc<RefCell<Vec<Duration>>>) {
    const STEP: Duration = Duration::from_millis(2);
    loop {
        let before = Instant::now();
        tokio::time::sleep(STEP).await;
        late.borrow_mut()
            .push(before.elapsed().saturating_sub(STEP));
    }
}

struct Figures {
    took: Duration,
    acks: Vec<Duration>,
    late: Vec<Duration>,
}

impl Figures {
    fn rate(&self) -> f64 {
        self.acks.len() as f64 / self.took.as_secs_f64()
    }

    fn print(&mut self, name: &str) {
        println!("{name}_inserts_256_writers {:.0} inserts/s", self.rate());
        print(name, "ack_p50", &mut self.acks, 0.50);
        print(name, "ack_p99", &mut self.acks, 0.99);
        print(name, "loop_late_p99", &mut self.late, 0.99);
        print(name, "loop_late_max", &mut self.late, 1.0);
    }
}

fn print(name: &str, what: &str, times: &mut [Duration], quantile: f64) {
    times.sort();
    let at = ((times.len() - 1) as f64 * quantile) as usize;
    println!("{name}_{what} {:.1} ms", times[at].as_secs_f64() * 1e3);
}

fn on_loop<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a loop");
    LocalSet::new().block_on(&runtime, work)
}
