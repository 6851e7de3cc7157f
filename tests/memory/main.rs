//! Recall over 50,000 memories in two languages, through the real store.

mod corpus;
mod dialogue;
mod room;

use std::time::{Duration, Instant};

use corpus::{CASES, MEMORIES, Wants, Way};
use magpie::voice::index::Query;
use magpie::voice::memory::{Memories, MemoryFilter};
use magpie::voice::recall::{self, Found};

async fn find(memories: &Memories, way: Way, text: &str) -> Found {
    let query = match way {
        Way::Search => Query::parse(text),
        Way::Ask => recall::subject(text),
    };
    memories
        .search(query, MemoryFilter::default(), 10)
        .await
        .unwrap()
}

#[test]
fn every_question_of_the_table_finds_what_it_should_in_50_000_memories() {
    assert!(CASES.len() >= 60, "{} cases", CASES.len());
    room::in_room(|room| async move {
        let memories = room.dialogue.memories();
        let began = Instant::now();
        let stored = memories.import(corpus::memories()).await.unwrap();
        assert_eq!(stored, MEMORIES);
        println!(
            "memories stored={stored} seconds={:.1}",
            began.elapsed().as_secs_f64()
        );

        let mut wrong = Vec::new();
        let mut times = Vec::new();
        for (way, text, wants) in CASES {
            let began = Instant::now();
            let found = find(memories, *way, text).await;
            times.push(began.elapsed());
            if let Err(why) = judge(&found, wants) {
                wrong.push(format!("{way:?} {text:?}: {why}"));
            }
        }
        times.sort();
        println!(
            "recall cases={} p50_ms={:.2} p99_ms={:.2}",
            times.len(),
            millis(times[times.len() / 2]),
            millis(times[times.len() * 99 / 100])
        );
        assert!(
            wrong.is_empty(),
            "{} of {} wrong:\n{}",
            wrong.len(),
            CASES.len(),
            wrong.join("\n")
        );

        let check = memories.check_index().await.unwrap();
        assert_eq!(check.memories as usize, MEMORIES);
        assert!(check.agrees(), "{check:?}");
    });
}

fn judge(found: &Found, wants: &Wants) -> Result<(), String> {
    let contents: Vec<&str> = found.hits.iter().map(|hit| hit.content.as_str()).collect();
    let scores: Vec<f64> = found.hits.iter().map(|hit| hit.score).collect();
    let in_order = scores.windows(2).all(|pair| pair[0] >= pair[1]);
    if !in_order || scores.first().is_some_and(|best| *best != 1.0) {
        return Err(format!("scores are {scores:?}"));
    }
    let fits = match wants {
        Wants::First(text) => contents.first().is_some_and(|best| best.contains(text)),
        Wants::Among(text) => contents.iter().any(|content| content.contains(text)),
        Wants::Each(text, total) => {
            found.total == *total
                && contents.len() == 10
                && contents.iter().all(|content| content.contains(text))
        }
        Wants::Nothing => contents.is_empty() && found.total == 0,
    };
    match fits {
        true => Ok(()),
        false => Err(format!(
            "wanted {wants:?}, total {}, found {contents:#?}",
            found.total
        )),
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
