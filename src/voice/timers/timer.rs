//! One timer, alarm or reminder as people and clients see it.

use std::time::Duration;

use serde::Serialize;

use super::repeat::Repeat;
use crate::clock::UnixMillis;
use crate::voice::memory::fresh_id;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerKind {
    Timer,
    Alarm,
    Reminder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerState {
    Pending,
    Ringing,
    Done,
    Cancelled,
    /// Came due while nobody could ring, or rang and nobody came.
    Missed,
}

impl TimerKind {
    pub const ALL: [(&'static str, TimerKind); 3] = [
        ("timer", TimerKind::Timer),
        ("alarm", TimerKind::Alarm),
        ("reminder", TimerKind::Reminder),
    ];

    pub fn name(self) -> &'static str {
        match self {
            TimerKind::Timer => "timer",
            TimerKind::Alarm => "alarm",
            TimerKind::Reminder => "reminder",
        }
    }
}

impl TimerState {
    pub const ALL: [(&'static str, TimerState); 5] = [
        ("pending", TimerState::Pending),
        ("ringing", TimerState::Ringing),
        ("done", TimerState::Done),
        ("cancelled", TimerState::Cancelled),
        ("missed", TimerState::Missed),
    ];

    pub fn name(self) -> &'static str {
        match self {
            TimerState::Pending => "pending",
            TimerState::Ringing => "ringing",
            TimerState::Done => "done",
            TimerState::Cancelled => "cancelled",
            TimerState::Missed => "missed",
        }
    }

    /// Will ring, or rings.
    pub fn is_live(self) -> bool {
        matches!(self, TimerState::Pending | TimerState::Ringing)
    }
}

/// When something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long from now, whatever the wall clock does meanwhile.
    After(Duration),
    /// At this time of the wall clock.
    At(UnixMillis),
}

/// What is asked for; [`super::Timekeeper::add`] checks it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTimer {
    pub kind: TimerKind,
    /// What it is for; may be empty.
    pub label: String,
    pub when: When,
    /// Only with [`When::At`], whose time of day it repeats.
    pub repeat: Option<Repeat>,
    /// `zh` or `en`: the language it is told in when it rings.
    pub language: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Timer {
    /// `tmr_` and 16 hex digits.
    pub id: String,
    pub kind: TimerKind,
    pub label: String,
    pub state: TimerState,
    /// The next time, or the last one when it is over.
    pub due_at: UnixMillis,
    /// Set when it was asked for as a span of time, or put off by one.
    pub duration: Option<Duration>,
    pub repeat: Option<Repeat>,
    /// Time of day of a repeating one, where the box is.
    pub time_of_day: Option<jiff::civil::Time>,
    pub snoozes: u32,
    /// When it last came due and nobody could be told in time.
    pub missed_at: Option<UnixMillis>,
    pub language: String,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
}

impl Timer {
    /// `time_of_day` and the first due time of a repeating one are found in `zone`.
    pub fn new(new: NewTimer, now: UnixMillis, zone: &jiff::tz::TimeZone) -> Timer {
        let (due_at, duration) = match new.when {
            When::At(at) => (at, None),
            When::After(wait) => (later(now, wait), Some(wait)),
        };
        let mut timer = Timer {
            id: fresh_id("tmr_"),
            kind: new.kind,
            label: new.label,
            state: TimerState::Pending,
            due_at,
            duration,
            repeat: None,
            time_of_day: None,
            snoozes: 0,
            missed_at: None,
            language: new.language,
            created_at: now,
            updated_at: now,
        };
        timer.repeat_from(due_at, new.repeat, zone);
        timer
    }

    /// Takes a rule, whose time of day is that of `due_at`; its first day is that day or the next
    /// one that the rule names.
    pub fn repeat_from(
        &mut self,
        due_at: UnixMillis,
        rule: Option<Repeat>,
        zone: &jiff::tz::TimeZone,
    ) {
        let rule = rule.map(|rule| rule.on_day_of(due_at, zone));
        self.due_at = due_at;
        self.time_of_day = None;
        if let Some(rule) = &rule {
            let local = zoned(due_at, zone);
            let time = local.time();
            self.time_of_day = Some(time);
            let before = UnixMillis(due_at.0 - 1);
            if let Some(first) = rule.next_after(before, time, zone) {
                self.due_at = first;
            }
        }
        self.repeat = rule;
    }

    /// The next time after `now` at which a repeating one is due.
    pub fn next_after(&self, now: UnixMillis, zone: &jiff::tz::TimeZone) -> Option<UnixMillis> {
        self.repeat
            .as_ref()?
            .next_after(now, self.time_of_day?, zone)
    }

    /// As the API and the sockets tell it.
    pub fn json(&self, now: UnixMillis) -> serde_json::Value {
        let remaining = (self.state == TimerState::Pending)
            .then(|| (self.due_at.0 - now.0).max(0) as f64 / 1000.0);
        serde_json::json!({
            "id": self.id,
            "kind": self.kind,
            "label": self.label,
            "state": self.state,
            "due_at": self.due_at.rfc3339(),
            "duration": self.duration.map(|time| time.as_secs_f64()),
            "remaining": remaining,
            "repeat": self.repeat.as_ref().map(Repeat::to_string),
            "snoozes": self.snoozes,
            "missed_at": self.missed_at.map(UnixMillis::rfc3339),
            "created_at": self.created_at.rfc3339(),
            "updated_at": self.updated_at.rfc3339(),
        })
    }
}

pub fn later(from: UnixMillis, wait: Duration) -> UnixMillis {
    UnixMillis(from.0.saturating_add(wait.as_millis() as i64))
}

pub fn zoned(at: UnixMillis, zone: &jiff::tz::TimeZone) -> jiff::Zoned {
    jiff::Timestamp::from_millisecond(at.0)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(zone.clone())
}
