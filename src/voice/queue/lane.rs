//! How one kind of work goes on after each try: pure, so that years of outages are tested in
//! seconds.
//!
//! An outage keeps the head of the line where it is, so that everything drains in order later.
//! After some vain tries each opening also tries the job behind the head, a scout: if that one
//! goes through, the head itself is at fault and is set aside to wait by itself.

use std::time::Duration;

use super::super::settings::VoiceSettings;
use super::{Job, Outcome};
use crate::limits::{JOB_BACKOFF_FIRST, JOB_BACKOFF_MAX, JOB_SPACING, JOB_WAIT_MAX};

/// Vain tries of the head before a scout is sent.
const SCOUT_AFTER: u32 = 8;

#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two jobs while a backlog is worked off.
    pub spacing: Duration,
    /// The first wait after a failure; doubles up to `backoff_max`.
    pub backoff_first: Duration,
    pub backoff_max: Duration,
    /// `QUEUE_MAX_DAYS`: time that one job may spend waiting.
    pub wait_in_all: Duration,
}

impl Pace {
    pub fn of(settings: &VoiceSettings) -> Pace {
        Pace {
            spacing: settings.queue_spacing,
            ..Pace::of_days(settings.queue_days_max)
        }
    }

    pub fn of_days(days: u32) -> Pace {
        Pace {
            spacing: JOB_SPACING,
            backoff_first: JOB_BACKOFF_FIRST,
            backoff_max: JOB_BACKOFF_MAX,
            wait_in_all: Duration::from_secs(u64::from(days) * 86_400),
        }
    }

    /// Twice as long after each try, between 80 and 120 per cent of that.
    fn backoff(&self, tries: u32, random: f64) -> Duration {
        let doublings = tries.saturating_sub(1).min(24);
        let wait = self.backoff_first.saturating_mul(1 << doublings);
        wait.min(self.backoff_max).mul_f64(0.8 + 0.4 * random)
    }
}

pub(super) struct Lane {
    pub pace: Pace,
    /// Vain tries since the last that went through.
    failures: u32,
    /// There was a failure since the lane was empty.
    is_recovering: bool,
    /// The head that a scout is to be tried behind, and how long it would wait without one.
    scouting: Option<(i64, Duration)>,
}

/// What becomes of a job and when the next may be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    pub fate: Fate,
    /// Another job that turned out to be at fault itself: it is set aside.
    pub aside: Option<(i64, Duration)>,
    pub pause: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    Done,
    Failed(String),
    Again {
        why: String,
        wait: Duration,
        /// Others do not wait for it.
        is_aside: bool,
    },
}

impl Lane {
    pub fn new(pace: Pace, has_backlog: bool) -> Lane {
        Lane {
            pace,
            failures: 0,
            is_recovering: has_backlog,
            scouting: None,
        }
    }

    /// The next job is the oldest one behind this one.
    pub fn looks_after(&self) -> i64 {
        self.scouting.map_or(0, |(head, _)| head)
    }

    /// How long to wait whatever comes; `None` until there is work.
    pub fn nothing_left(&mut self) -> Option<Duration> {
        let alone = self.scouting.take().map(|(_, wait)| wait);
        if alone.is_none() {
            self.is_recovering = false;
        }
        alone
    }

    pub fn network_returned(&mut self) {
        self.failures = 0;
        self.scouting = None;
    }

    pub fn settle(&mut self, job: &Job, outcome: Outcome, random: f64) -> Settled {
        let gone_through = |fate| Settled {
            fate,
            aside: None,
            pause: Duration::ZERO,
        };
        match outcome {
            Outcome::Later { why, after } => self.settle_later(job, why, after, random),
            Outcome::Done => self.went_through(gone_through(Fate::Done), random),
            Outcome::Failed(why) => self.went_through(gone_through(Fate::Failed(why)), random),
        }
    }

    fn went_through(&mut self, mut settled: Settled, random: f64) -> Settled {
        if let Some((head, _)) = self.scouting.take() {
            settled.aside = Some((head, self.pace.backoff(self.failures, random)));
        }
        self.failures = 0;
        if self.is_recovering {
            settled.pause = self.pace.spacing;
        }
        settled
    }

    fn settle_later(
        &mut self,
        job: &Job,
        why: String,
        after: Option<Duration>,
        random: f64,
    ) -> Settled {
        self.is_recovering = true;
        let asked = after.unwrap_or_default().min(JOB_WAIT_MAX);
        let own = self.pace.backoff(job.attempts + 1, random).max(asked);
        if job.waited + own > self.pace.wait_in_all {
            let days = self.pace.wait_in_all.as_secs() / 86_400;
            let why = format!("given up after waiting for {days} days; the last try: {why}");
            return self.went_through(
                Settled {
                    fate: Fate::Failed(why),
                    aside: None,
                    pause: Duration::ZERO,
                },
                random,
            );
        }
        let again = |wait, is_aside, pause| Settled {
            fate: Fate::Again {
                why,
                wait,
                is_aside,
            },
            aside: None,
            pause,
        };
        if job.is_aside {
            return again(own, true, self.pace.spacing);
        }
        if self.scouting.take().is_some() {
            // The scout failed as the head did: the way is blocked for all.
            let wait = self.pace.backoff(self.failures, random).max(asked);
            return again(wait, false, wait);
        }
        self.failures = self.failures.saturating_add(1);
        let wait = self.pace.backoff(self.failures, random).max(asked);
        if self.failures > SCOUT_AFTER {
            self.scouting = Some((job.seq, wait));
            return again(wait, false, self.pace.spacing);
        }
        again(wait, false, wait)
    }
}
