//! Gives memory back to the system after load has gone (glibc keeps it otherwise).
//!
//! One trim of a large heap takes some 10 ms on the loop, so it is rare and never while
//! somebody speaks with the box.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::{Clock, MonoMillis};
use crate::limits;

thread_local! {
    static HOLDS: Cell<u32> = const { Cell::new(0) };
}

/// No trim while one of these lives: a voice turn is open.
pub struct TrimHold(());

/// Keeps the loop free of trims until dropped.
pub fn hold_trim() -> TrimHold {
    HOLDS.set(HOLDS.get() + 1);
    TrimHold(())
}

impl Drop for TrimHold {
    fn drop(&mut self) {
        HOLDS.set(HOLDS.get() - 1);
    }
}

/// Called once at the start: worker threads share two arenas instead of having their own.
pub fn prepare() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two integers.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Decides when a trim is worth it.
#[derive(Default)]
pub(super) struct Trimmer {
    peak_connections: usize,
    peak_bytes: usize,
    trimmed_at: MonoMillis,
    looked_at: MonoMillis,
}

/// Falls smaller than these are not worth a trim.
const CONNECTIONS_FALL_MIN: usize = 64;
const BYTES_FALL_MIN: usize = 1024 * 1024;
/// How often the heap is measured.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

impl Trimmer {
    /// `peak` is the most connections since the last turn: a crowd may come and go between two.
    pub fn turn(&mut self, clock: &Clock, peak: usize, connections: usize) {
        let now = clock.mono();
        self.peak_connections = self.peak_connections.max(peak);
        if now.since(self.looked_at) < LOOK_INTERVAL {
            return;
        }
        self.looked_at = now;
        if self.is_due(now, connections, live_bytes()) {
            trim();
        }
    }

    fn is_due(&mut self, now: MonoMillis, connections: usize, bytes: usize) -> bool {
        self.peak_connections = self.peak_connections.max(connections);
        self.peak_bytes = self.peak_bytes.max(bytes);
        let fell = |peak: usize, live: usize, least: usize| {
            live <= peak - peak / 4 && peak - live >= least
        };
        let worth = fell(self.peak_connections, connections, CONNECTIONS_FALL_MIN)
            || fell(self.peak_bytes, bytes, BYTES_FALL_MIN);
        let rested = now.since(self.trimmed_at) >= limits::TRIM_INTERVAL_MIN;
        if !(worth && rested && HOLDS.get() == 0) {
            return false;
        }
        self.trimmed_at = now;
        self.peak_connections = connections;
        self.peak_bytes = bytes;
        true
    }
}

#[cfg(target_env = "gnu")]
fn live_bytes() -> usize {
    // SAFETY: takes nothing and returns a plain struct.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

#[cfg(target_env = "gnu")]
fn trim() {
    let started = std::time::Instant::now();
    // SAFETY: takes an integer; gives unused pages back.
    unsafe { libc::malloc_trim(0) };
    log::debug!("event=memory_trimmed us={}", started.elapsed().as_micros());
}

#[cfg(not(target_env = "gnu"))]
fn live_bytes() -> usize {
    0
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMillis;

    #[test]
    fn a_crowd_that_came_and_went_between_two_turns_is_noticed() {
        let clock = Clock::manual(UnixMillis(0));
        let mut trimmer = Trimmer::default();
        clock.advance(Duration::from_secs(40));
        trimmer.turn(&clock, 400, 1);
        assert_eq!(trimmer.peak_connections, 1, "the trim began the count anew");
        assert_eq!(trimmer.trimmed_at, clock.mono());
    }

    #[test]
    fn a_trim_waits_for_a_fall_for_its_interval_and_for_the_voice_turn() {
        let at = |seconds: u64| MonoMillis(seconds * 1_000);
        let mut trimmer = Trimmer::default();
        assert!(!trimmer.is_due(at(40), 1_000, 0));
        assert!(!trimmer.is_due(at(50), 800, 0), "fell by a fifth only");
        let hold = hold_trim();
        assert!(!trimmer.is_due(at(60), 700, 0), "a turn is open");
        drop(hold);
        assert!(trimmer.is_due(at(61), 700, 0));
        assert!(!trimmer.is_due(at(70), 10, 0), "too soon");
        assert!(trimmer.is_due(at(91), 10, 0));
        assert!(!trimmer.is_due(at(200), 10, 0), "nothing fell since");
        assert!(
            !trimmer.is_due(at(300), 0, 0),
            "ten connections are nothing"
        );
        assert!(!trimmer.is_due(at(400), 0, 80_000_000));
        assert!(trimmer.is_due(at(500), 0, 6_000_000));
    }
}
