//! When a provider that failed is asked again, as a pure machine.
//!
//! Three failures in a row open it: nobody asks for 30 s, doubling to 10 min with each failed try.
//! Then one call goes through as a probe, and its end decides. A probe that is given up (its turn
//! was cancelled) leaves the way open for the next, so that it never stays shut for ever.

use std::time::Duration;

use crate::clock::MonoMillis;
use crate::limits::{BREAKER_OPEN, BREAKER_OPEN_MAX, PROVIDER_FAILURES_MAX};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    Closed {
        failures: u8,
    },
    Open {
        until: MonoMillis,
        /// How long it was opened for.
        wait: Duration,
    },
    /// One call tries; after `until` another may, whatever became of the first.
    Probing {
        until: MonoMillis,
        wait: Duration,
    },
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Well,
    /// The provider failed, and takes no more for the time it named.
    Badly(Option<Duration>),
    /// It says nothing about the provider: given up, or refused for what was asked.
    Otherwise,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker::Closed { failures: 0 }
    }
}

impl Breaker {
    pub fn lets_through(self, now: MonoMillis) -> bool {
        match self {
            Breaker::Closed { .. } => true,
            Breaker::Open { until, .. } | Breaker::Probing { until, .. } => until <= now,
        }
    }

    /// A call begins; only when it [`Breaker::lets_through`].
    pub fn begin(self, now: MonoMillis) -> Breaker {
        match self {
            Breaker::Closed { .. } => self,
            Breaker::Open { wait, .. } | Breaker::Probing { wait, .. } => Breaker::Probing {
                until: after(now, BREAKER_OPEN),
                wait,
            },
        }
    }

    pub fn end(self, ended: Ended, now: MonoMillis) -> Breaker {
        match (self, ended) {
            (_, Ended::Well) => Breaker::default(),
            (Breaker::Probing { wait, .. }, Ended::Otherwise) => Breaker::Open { until: now, wait },
            (_, Ended::Otherwise) => self,
            (Breaker::Closed { .. }, Ended::Badly(Some(asked))) => opened(now, asked),
            (Breaker::Closed { failures }, Ended::Badly(None)) => {
                let failures = failures.saturating_add(1);
                if failures < PROVIDER_FAILURES_MAX {
                    Breaker::Closed { failures }
                } else {
                    opened(now, BREAKER_OPEN)
                }
            }
            (Breaker::Probing { wait, .. }, Ended::Badly(asked)) => {
                opened(now, (wait * 2).max(asked.unwrap_or_default()))
            }
            // A call that began before it opened.
            (Breaker::Open { .. }, Ended::Badly(_)) => self,
        }
    }

    /// Why it was opened is over: the next call may try.
    pub fn renewed(self, now: MonoMillis) -> Breaker {
        match self {
            Breaker::Open { .. } => Breaker::Open {
                until: now,
                wait: BREAKER_OPEN,
            },
            other => other,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Breaker::Closed { .. } => "closed",
            Breaker::Open { .. } => "open",
            Breaker::Probing { .. } => "probing",
        }
    }
}

fn opened(now: MonoMillis, wait: Duration) -> Breaker {
    let wait = wait.clamp(Duration::from_secs(1), BREAKER_OPEN_MAX);
    Breaker::Open {
        until: after(now, wait),
        wait,
    }
}

fn after(now: MonoMillis, wait: Duration) -> MonoMillis {
    MonoMillis(now.0 + wait.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BADLY: Ended = Ended::Badly(None);

    #[test]
    fn three_failures_open_it_for_longer_and_longer() {
        let mut now = MonoMillis(0);
        let mut breaker = Breaker::default();
        for _ in 0..2 {
            breaker = breaker.begin(now).end(BADLY, now);
            assert!(breaker.lets_through(now));
        }
        breaker = breaker.begin(now).end(BADLY, now);
        for seconds in [30, 60, 120, 240, 480, 600, 600] {
            let almost = MonoMillis(now.0 + seconds * 1000 - 1);
            assert!(!breaker.lets_through(almost), "{seconds} s: {breaker:?}");
            now = MonoMillis(almost.0 + 1);
            assert!(breaker.lets_through(now), "{seconds} s: {breaker:?}");
            breaker = breaker.begin(now);
            assert!(!breaker.lets_through(now), "one probe at a time");
            breaker = breaker.end(BADLY, now);
        }
        breaker = breaker.begin(now).end(Ended::Well, now);
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_provider_that_asks_for_patience_gets_it() {
        let patience = Ended::Badly(Some(Duration::from_secs(7)));
        let breaker = Breaker::default().end(patience, MonoMillis(0));
        assert!(!breaker.lets_through(MonoMillis(6_999)));
        assert!(breaker.lets_through(MonoMillis(7_000)));
    }

    proptest! {
        /// Whatever happened, after the longest wait a call goes through, and a good one closes it.
        #[test]
        fn it_is_never_stuck(steps in prop::collection::vec((0..5u8, 0..700_000u64), 0..60)) {
            let mut now = MonoMillis(0);
            let mut breaker = Breaker::default();
            for (kind, passed) in steps {
                now = MonoMillis(now.0 + passed);
                breaker = match kind {
                    0 if breaker.lets_through(now) => breaker.begin(now),
                    1 => breaker.end(Ended::Well, now),
                    2 => breaker.end(Ended::Otherwise, now),
                    3 => breaker.end(Ended::Badly(Some(Duration::from_millis(passed))), now),
                    _ => breaker.end(BADLY, now),
                };
                let latest = MonoMillis(now.0 + BREAKER_OPEN_MAX.as_millis() as u64);
                prop_assert!(breaker.lets_through(latest), "{:?} at {:?}", breaker, now);
                prop_assert_eq!(breaker.begin(latest).end(Ended::Well, latest), Breaker::default());
            }
        }
    }
}
