//! Two clocks that must not be confused.
//!
//! Wall time is for people and may jump by years when the network answers, because the board
//! has no clock battery. Monotonic time is for durations and never jumps. Code under test is
//! handed a manual clock; nothing below the command line asks the system by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Wall time in milliseconds since 1970-01-01T00:00:00Z; may be negative and may jump.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UnixMillis(pub i64);

/// Monotonic time in milliseconds since the clock was made; never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoMillis(pub u64);

/// Cheap to clone, may be sent between threads.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System(Instant),
    Manual(Arc<ManualTime>),
}

struct ManualTime {
    wall_ms: AtomicI64,
    mono_ms: AtomicU64,
}

impl Clock {
    pub fn system() -> Clock {
        Clock(Source::System(Instant::now()))
    }

    /// A clock that stands still until [`Clock::advance`] or [`Clock::set_wall`] moves it.
    pub fn manual(wall: UnixMillis) -> Clock {
        Clock(Source::Manual(Arc::new(ManualTime {
            wall_ms: AtomicI64::new(wall.0),
            mono_ms: AtomicU64::new(0),
        })))
    }

    pub fn wall(&self) -> UnixMillis {
        match &self.0 {
            Source::System(_) => UnixMillis(match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => since.as_millis() as i64,
                Err(before) => -(before.duration().as_millis() as i64),
            }),
            Source::Manual(time) => UnixMillis(time.wall_ms.load(Ordering::Relaxed)),
        }
    }

    pub fn mono(&self) -> MonoMillis {
        match &self.0 {
            Source::System(start) => MonoMillis(start.elapsed().as_millis() as u64),
            Source::Manual(time) => MonoMillis(time.mono_ms.load(Ordering::Relaxed)),
        }
    }

    /// Moves both times of a manual clock forward; a system clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(time) = &self.0 {
            time.wall_ms
                .fetch_add(by.as_millis() as i64, Ordering::Relaxed);
            time.mono_ms
                .fetch_add(by.as_millis() as u64, Ordering::Relaxed);
        }
    }

    /// Lets the wall time of a manual clock jump; its monotonic time goes on undisturbed.
    pub fn set_wall(&self, wall: UnixMillis) {
        if let Source::Manual(time) = &self.0 {
            time.wall_ms.store(wall.0, Ordering::Relaxed);
        }
    }
}

impl UnixMillis {
    /// RFC 3339 in UTC with `Z` and milliseconds, e.g. `2026-01-02T03:04:05.678Z`.
    pub fn rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => format!("{time:.3}"),
            Err(_) => String::from("1970-01-01T00:00:00.000Z"),
        }
    }

    /// Reads any RFC 3339 time with an offset.
    pub fn parse_rfc3339(text: &str) -> Option<UnixMillis> {
        let time: jiff::Timestamp = text.parse().ok()?;
        Some(UnixMillis(time.as_millisecond()))
    }
}

impl MonoMillis {
    pub fn since(self, earlier: MonoMillis) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_the_way_through_rfc3339() {
        for ms in [0, 1_767_322_999_678, -1, 253_370_764_800_000] {
            let text = UnixMillis(ms).rfc3339();
            assert_eq!(
                UnixMillis::parse_rfc3339(&text),
                Some(UnixMillis(ms)),
                "{text}"
            );
            assert!(text.ends_with('Z'), "{text}");
        }
    }

    #[test]
    fn a_wall_jump_leaves_monotonic_time_alone() {
        let clock = Clock::manual(UnixMillis(0));
        clock.advance(Duration::from_secs(2));
        clock.set_wall(UnixMillis(1_700_000_000_000));
        assert_eq!(clock.mono(), MonoMillis(2_000));
        assert_eq!(clock.wall(), UnixMillis(1_700_000_000_000));
    }
}
