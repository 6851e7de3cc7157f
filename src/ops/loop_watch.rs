//! Is the loop alive, and what held it up.
//!
//! Work that is polled under a name is timed; a poll over [`limits::LOOP_TURN_WARN`] is counted
//! and logged with that name. A beat shows other threads that the loop still turns.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::metrics::{Histogram, Registry};
use crate::limits;

thread_local! {
    static STALLS: RefCell<Option<Histogram>> = const { RefCell::new(None) };
}

/// Counts up while the loop turns; the ops thread reads it.
#[derive(Clone)]
pub struct Beat(Arc<Beats>);

struct Beats {
    made: Instant,
    count: AtomicU64,
    /// Of the last beat, since `made`.
    last_ms: AtomicU64,
}

impl Default for Beat {
    fn default() -> Beat {
        Beat(Arc::new(Beats {
            made: Instant::now(),
            count: AtomicU64::new(0),
            last_ms: AtomicU64::new(0),
        }))
    }
}

impl Beat {
    pub fn get(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Since the last beat, or since this was made.
    pub fn age(&self) -> Duration {
        let last = Duration::from_millis(self.0.last_ms.load(Ordering::Relaxed));
        self.0.made.elapsed().saturating_sub(last)
    }

    fn beat(&self) {
        let now_ms = self.0.made.elapsed().as_millis() as u64;
        self.0.last_ms.store(now_ms, Ordering::Relaxed);
        self.0.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts the beat on this thread's loop, and registers the histogram of stalls.
pub fn start(metrics: &Registry) -> Beat {
    let beat = Beat::default();
    let stalls = metrics.histogram(
        "magpie_loop_stall_seconds",
        "Turns of the loop that held it for over 20 ms.",
        &[],
    );
    STALLS.set(Some(stalls));
    let ours = beat.clone();
    tokio::task::spawn_local(async move {
        loop {
            let due = Instant::now() + limits::LOOP_BEAT;
            tokio::time::sleep(limits::LOOP_BEAT).await;
            ours.beat();
            note("unnamed", due.elapsed());
        }
    });
    beat
}

/// Times every poll of `work` under `name`.
pub fn timed<F: Future + Unpin>(name: &'static str, work: F) -> Timed<F> {
    Timed { name, work }
}

pub struct Timed<F> {
    name: &'static str,
    work: F,
}

impl<F: Future + Unpin> Future for Timed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let started = Instant::now();
        let result = Pin::new(&mut self.work).poll(cx);
        note(self.name, started.elapsed());
        result
    }
}

fn note(name: &str, took: Duration) {
    if took < limits::LOOP_TURN_WARN {
        return;
    }
    STALLS.with_borrow(|stalls| {
        if let Some(stalls) = stalls {
            stalls.observe(took);
        }
    });
    log::warn!("event=loop_stalled task={name} ms={}", took.as_millis());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_that_holds_the_loop_is_counted_and_the_beat_goes_on() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let metrics = Registry::default();
        let beat = tokio::task::LocalSet::new().block_on(&runtime, async {
            let beat = start(&metrics);
            timed(
                "sleeper",
                Box::pin(async {
                    std::thread::sleep(limits::LOOP_TURN_WARN * 2);
                }),
            )
            .await;
            while beat.get() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            beat
        });
        assert!(beat.get() > 0);
        let stalls = metrics.histogram("magpie_loop_stall_seconds", "", &[]);
        assert!(stalls.count() >= 1);
        assert!(stalls.max() >= limits::LOOP_TURN_WARN * 2);
    }
}
