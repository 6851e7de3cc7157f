//! When what rings, as a machine: [`Desk::step`] takes an event and both clocks' time and says
//! what to do.
//!
//! A span of time runs on the monotonic clock of the start it was asked for in: no step of the wall
//! clock moves it. Over a power cut only the wall clock can tell how long it has been, so
//! afterwards it is due by wall time, but never later than the rest of its span. What is due at a
//! time of day goes by the wall clock alone. The desk never looks at a clock or a file.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::timer::{Timer, TimerKind, TimerState, later};
use crate::clock::{MonoMillis, UnixMillis};
use crate::limits::{
    CLOCK_DOUBT, RING_GRACE, RING_MAX, RING_MISSED_MAX, RING_REMINDER_MAX, RING_ROUND, TIMER_LOOK,
};

/// A board without a clock battery starts in 1970; before 2024 no wall time is believed.
pub const CLOCK_SET_AFTER: UnixMillis = UnixMillis(1_704_067_200_000);
/// Wall and monotonic time may drift this far apart between two looks without being a step.
const STEP_MIN_MS: i64 = 1_500;
/// A smaller step back does not let a repeating one ring again.
const STEP_BACK_MIN_MS: i64 = 300_000;

#[derive(Clone, Debug)]
pub struct Now {
    pub wall: UnixMillis,
    pub mono: MonoMillis,
    pub zone: TimeZone,
}

/// All that may still ring.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    entries: Vec<Entry>,
    /// Wall minus monotonic time at the last look.
    offset_ms: Option<i64>,
    /// The wall clock leapt far ahead and is not believed until then.
    doubt_until: Option<MonoMillis>,
}

#[derive(Clone, Debug)]
struct Entry {
    timer: Timer,
    /// Due at the latest.
    by_mono: Option<MonoMillis>,
    /// Its span began in this run: the wall clock has no say.
    is_anchored: bool,
    ring: Option<Ring>,
}

#[derive(Clone, Copy, Debug)]
struct Ring {
    until: MonoMillis,
    next_round: MonoMillis,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// What the store held at the start or was brought by an import, and the last wall time that
    /// was noted before the start.
    Load {
        timers: Vec<Timer>,
        seen: Option<UnixMillis>,
    },
    /// New or changed; one that is over leaves the desk.
    Set(Timer),
    /// Could not be stored: it never was.
    Drop(String),
    /// Whatever rings stops.
    Silence,
    /// Time has passed.
    Look,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Save(Timer),
    /// Tell everybody how it stands now.
    Tell(Timer),
    /// Sound one round of all of these.
    Round(Vec<Timer>),
    /// Something rings, or nothing any more.
    Ringing(bool),
}

impl Desk {
    pub fn step(&mut self, event: Event, now: &Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        let rang = self.is_ringing();
        self.look_at_clock(now, &mut effects);
        match event {
            Event::Load { timers, seen } => {
                for timer in timers {
                    self.load(timer, seen, now, &mut effects);
                }
            }
            Event::Set(timer) => self.set(timer, now, &mut effects),
            Event::Drop(id) => self.entries.retain(|entry| entry.timer.id != id),
            Event::Silence => {
                self.finish_where(|entry| entry.ring.is_some(), now, &mut effects);
            }
            Event::Look => {}
        }
        self.ring_what_is_due(now, &mut effects);
        if self.is_ringing() != rang {
            effects.push(Effect::Ringing(!rang));
        }
        effects
    }

    /// When to look again; `None` when nothing is pending.
    pub fn deadline(&self, now: &Now) -> Option<MonoMillis> {
        let next = self.entries.iter().map(|entry| match entry.ring {
            Some(ring) => ring.until.min(ring.next_round),
            None => {
                let wait = (entry.timer.due_at.0 - now.wall.0).max(1) as u64;
                let by_wall = MonoMillis(now.mono.0.saturating_add(wait));
                match entry.by_mono {
                    Some(by_mono) => by_mono.min(by_wall),
                    None => by_wall,
                }
            }
        });
        let look = after(now.mono, TIMER_LOOK);
        next.min().map(|next| next.min(look))
    }

    /// Soonest first.
    pub fn timers(&self) -> Vec<Timer> {
        let mut timers: Vec<Timer> = self.entries.iter().map(|e| e.timer.clone()).collect();
        timers.sort_by_key(|timer| timer.due_at);
        timers
    }

    pub fn get(&self, id: &str) -> Option<&Timer> {
        let mut entries = self.entries.iter();
        Some(&entries.find(|entry| entry.timer.id == id)?.timer)
    }

    /// How long until it is due, as far as is known.
    pub fn remaining(&self, id: &str, now: &Now) -> Option<Duration> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| entry.timer.id == id)?;
        Some(match entry.by_mono {
            Some(by_mono) => by_mono.since(now.mono),
            None => Duration::from_millis((entry.timer.due_at.0 - now.wall.0).max(0) as u64),
        })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_ringing(&self) -> bool {
        self.entries.iter().any(|entry| entry.ring.is_some())
    }

    fn load(
        &mut self,
        mut timer: Timer,
        seen: Option<UnixMillis>,
        now: &Now,
        effects: &mut Vec<Effect>,
    ) {
        timer.state = TimerState::Pending;
        let by_mono = timer.duration.map(|span| {
            // Without a clock, nothing says how long the power was off: as if it had not been.
            let from = match is_set(now.wall) {
                true => now.wall,
                false => seen.unwrap_or(now.wall).max(now.wall),
            };
            let left = (timer.due_at.0 - from.0).max(0) as u64;
            after(now.mono, Duration::from_millis(left).min(span))
        });
        let mut entry = Entry {
            timer,
            by_mono,
            is_anchored: false,
            ring: None,
        };
        // The time zone may be another one now.
        entry.follow_calendar(now, effects);
        self.entries.push(entry);
    }

    fn set(&mut self, mut timer: Timer, now: &Now, effects: &mut Vec<Effect>) {
        timer.updated_at = now.wall;
        self.entries.retain(|entry| entry.timer.id != timer.id);
        effects.push(Effect::Save(timer.clone()));
        effects.push(Effect::Tell(timer.clone()));
        if timer.state.is_live() {
            let left = (timer.due_at.0 - now.wall.0).max(0) as u64;
            let is_anchored = timer.duration.is_some();
            self.entries.push(Entry {
                by_mono: is_anchored.then(|| after(now.mono, Duration::from_millis(left))),
                is_anchored,
                timer,
                ring: None,
            });
        }
    }

    /// Notices that the wall clock was set.
    fn look_at_clock(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        let offset_ms = now.wall.0 - now.mono.0 as i64;
        let before = self.offset_ms.replace(offset_ms).unwrap_or(offset_ms);
        let shift_ms = offset_ms - before;
        if self.doubt_until.is_some_and(|until| until <= now.mono) {
            self.doubt_until = None;
        }
        if shift_ms.abs() < STEP_MIN_MS {
            return;
        }
        let was = UnixMillis(now.wall.0 - shift_ms);
        if shift_ms < 0 {
            self.doubt_until = None;
        } else if is_set(was) && shift_ms > RING_MISSED_MAX.as_millis() as i64 {
            self.doubt_until = Some(after(now.mono, CLOCK_DOUBT));
        }
        for entry in self.entries.iter_mut().filter(|e| e.ring.is_none()) {
            entry.clock_was_set(shift_ms, now, effects);
        }
    }

    fn ring_what_is_due(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        let believes_wall = self.doubt_until.is_none();
        let mut round = Vec::new();
        for entry in &mut self.entries {
            if let Some(ring) = &mut entry.ring {
                if ring.until > now.mono && ring.next_round <= now.mono {
                    ring.next_round = after(now.mono, RING_ROUND);
                    round.push(entry.timer.clone());
                }
            } else if entry.is_due(believes_wall, now) {
                entry.begin_to_ring(believes_wall, now, effects, &mut round);
            }
        }
        if !round.is_empty() {
            effects.push(Effect::Round(round));
        }
        let is_over = |entry: &Entry| match entry.ring {
            Some(ring) => ring.until <= now.mono,
            None => entry.timer.state == TimerState::Missed,
        };
        self.finish_where(is_over, now, effects);
    }

    /// Ends those that `which` says; a repeating one waits for its next time.
    fn finish_where(
        &mut self,
        which: impl Fn(&Entry) -> bool,
        now: &Now,
        effects: &mut Vec<Effect>,
    ) {
        for entry in &mut self.entries {
            if which(entry) {
                entry.finish(now);
                effects.push(Effect::Save(entry.timer.clone()));
                effects.push(Effect::Tell(entry.timer.clone()));
            }
        }
        self.entries.retain(|entry| entry.timer.state.is_live());
    }
}

impl Entry {
    fn is_due(&self, believes_wall: bool, now: &Now) -> bool {
        let by_mono = self.by_mono.is_some_and(|by_mono| by_mono <= now.mono);
        by_mono || believes_wall && self.goes_by_wall(now) && self.timer.due_at <= now.wall
    }

    /// A span asked for before the clock was set has a due time that means nothing.
    fn goes_by_wall(&self, now: &Now) -> bool {
        !(self.is_anchored || self.timer.duration.is_some() && self.is_relic(now))
    }

    fn is_relic(&self, now: &Now) -> bool {
        is_set(now.wall) && !is_set(self.timer.due_at)
    }

    fn begin_to_ring(
        &mut self,
        believes_wall: bool,
        now: &Now,
        effects: &mut Vec<Effect>,
        round: &mut Vec<Timer>,
    ) {
        let mut late = self
            .by_mono
            .map_or(Duration::ZERO, |by_mono| now.mono.since(by_mono));
        if believes_wall && self.goes_by_wall(now) {
            let ms = (now.wall.0 - self.timer.due_at.0).max(0) as u64;
            late = late.max(Duration::from_millis(ms));
        }
        self.timer.updated_at = now.wall;
        if late > RING_GRACE {
            self.timer.state = TimerState::Missed;
            self.timer.missed_at = Some(self.timer.due_at);
            if late < RING_MISSED_MAX {
                round.push(self.timer.clone());
            }
            return;
        }
        self.timer.state = TimerState::Ringing;
        let longest = match self.timer.kind {
            TimerKind::Reminder => RING_REMINDER_MAX,
            TimerKind::Timer | TimerKind::Alarm => RING_MAX,
        };
        self.ring = Some(Ring {
            until: after(now.mono, longest),
            next_round: after(now.mono, RING_ROUND),
        });
        round.push(self.timer.clone());
        effects.push(Effect::Save(self.timer.clone()));
        effects.push(Effect::Tell(self.timer.clone()));
    }

    fn finish(&mut self, now: &Now) {
        let timer = &mut self.timer;
        // A reminder that was told its few times has done its work; an alarm that nobody stopped
        // has not.
        let unheard = self.ring.take().is_some_and(|ring| ring.until <= now.mono)
            && timer.kind != TimerKind::Reminder;
        if unheard {
            timer.missed_at = Some(timer.due_at);
        }
        timer.state = match timer.state == TimerState::Missed || unheard {
            true => TimerState::Missed,
            false => TimerState::Done,
        };
        timer.updated_at = now.wall;
        let from = now.wall.max(timer.due_at);
        if let Some(next) = timer.next_after(from, &now.zone) {
            timer.due_at = next;
            timer.duration = None;
            timer.state = TimerState::Pending;
            self.by_mono = None;
            self.is_anchored = false;
        }
    }

    fn clock_was_set(&mut self, shift_ms: i64, now: &Now, effects: &mut Vec<Effect>) {
        if let Some(by_mono) = self.by_mono
            && (self.is_anchored || self.is_relic(now))
        {
            self.timer.due_at = later(now.wall, by_mono.since(now.mono));
            effects.push(Effect::Save(self.timer.clone()));
            effects.push(Effect::Tell(self.timer.clone()));
        } else if shift_ms.abs() >= STEP_BACK_MIN_MS {
            self.follow_calendar(now, effects);
        }
    }

    /// Finds the next time of a repeating one anew, where it lies ahead.
    fn follow_calendar(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        if self.timer.duration.is_some() || self.timer.due_at <= now.wall {
            return;
        }
        if let Some(next) = self.timer.next_after(now.wall, &now.zone)
            && next != self.timer.due_at
        {
            self.timer.due_at = next;
            effects.push(Effect::Save(self.timer.clone()));
            effects.push(Effect::Tell(self.timer.clone()));
        }
    }
}

/// Whether the wall clock can be right.
pub fn is_set(wall: UnixMillis) -> bool {
    wall >= CLOCK_SET_AFTER
}

fn after(from: MonoMillis, wait: Duration) -> MonoMillis {
    MonoMillis(from.0.saturating_add(wait.as_millis() as u64))
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
