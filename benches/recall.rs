//! Recall over 50,000 memories, beside a plain LIKE scan over the same rows in the same run.
//!
//! Prints `name value unit` lines. Budget: p95 of 10 ms.

#[allow(dead_code, reason = "what the answers must be is judged by the tests")]
#[path = "../tests/memory/corpus.rs"]
mod corpus;

use std::time::{Duration, Instant};

use corpus::{CASES, NOW, Way};
use magpie::bus::Bus;
use magpie::clock::Clock;
use magpie::ops::Registry;
use magpie::store::{Durability, Store, StoreOptions};
use magpie::voice::error::VoiceError;
use magpie::voice::index::Query;
use magpie::voice::memory::{Memories, MemoryFilter};
use magpie::voice::recall;

const ROUNDS: usize = 20;

fn main() {
    let folder = tempfile::tempdir().expect("a folder for the run");
    let clock = Clock::manual(NOW);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a loop");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let store = Store::open(StoreOptions {
            path: folder.path().join("voice-memory.db"),
            clock: clock.clone(),
            metrics: Registry::default(),
            durability: Durability::Full,
        })
        .expect("a new database opens");
        let memories = Memories::new(store.clone(), Bus::default(), clock);
        measure(&memories, &store).await.expect("the run succeeds");
        store.close().await.expect("the store closes");
    });
}

async fn measure(memories: &Memories, store: &Store) -> Result<(), VoiceError> {
    let began = Instant::now();
    let stored = memories.import(corpus::memories()).await?;
    let seconds = began.elapsed().as_secs_f64();
    print("recall_import_rate", stored as f64 / seconds, "memories/s");

    let mut recall_times = Vec::new();
    for _ in 0..ROUNDS {
        for (way, text, _) in CASES {
            let query = match way {
                Way::Search => Query::parse(text),
                Way::Ask => recall::subject(text),
            };
            let began = Instant::now();
            memories.search(query, MemoryFilter::default(), 10).await?;
            recall_times.push(began.elapsed());
        }
    }
    let mut scan_times = Vec::new();
    for (_, text, _) in CASES {
        let pattern = format!("%{text}%");
        let began = Instant::now();
        store
            .query(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT id FROM memories WHERE content LIKE ?1 ORDER BY created_at DESC LIMIT 10",
                )?;
                let mut rows = statement.query([pattern])?;
                while rows.next()?.is_some() {}
                Ok::<_, VoiceError>(())
            })
            .await?;
        scan_times.push(began.elapsed());
    }
    let recall_p50 = quantile(&mut recall_times, 0.50);
    let scan_p50 = quantile(&mut scan_times, 0.50);
    print("recall_p50", recall_p50, "ms");
    print("recall_p95", quantile(&mut recall_times, 0.95), "ms");
    print("recall_p99", quantile(&mut recall_times, 0.99), "ms");
    print("like_scan_p50", scan_p50, "ms");
    print("like_scan_p99", quantile(&mut scan_times, 0.99), "ms");
    print("recall_gain_over_scan", scan_p50 / recall_p50, "x");
    Ok(())
}

fn print(name: &str, value: f64, unit: &str) {
    println!("{name} {value:.3} {unit}");
}

fn quantile(times: &mut [Duration], share: f64) -> f64 {
    times.sort();
    let at = ((times.len() - 1) as f64 * share).round() as usize;
    times[at].as_secs_f64() * 1_000.0
}
