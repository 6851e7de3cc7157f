//! A time as it is said, and what it means now. Pure: the time of day is handed in.

use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::{ToSpan as _, Zoned};

use super::super::repeat::{Days, Repeat};
use super::super::timer::{TimerKind, When};
use crate::clock::UnixMillis;

/// Which half of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// After midnight.
    Night,
    Morning,
    Noon,
    Afternoon,
    Evening,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    pub hour: i8,
    pub minute: i8,
    /// Said so that only one hour of the day can be meant: `19:00`, `07:00`.
    pub is_exact: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// Days from today.
    In(i8),
    On(Weekday),
}

/// All that a sentence says about a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub span: Option<Duration>,
    pub clock: Option<Clock>,
    pub part: Option<Part>,
    pub day: Option<Day>,
    pub days: Option<Days>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    At(When, Option<Repeat>),
    /// No time was said, or a day alone.
    Nothing,
    /// An hour that comes twice.
    EitherHalf(Clock),
    Passed,
}

impl Said {
    pub fn is_empty(&self) -> bool {
        *self == Said::default()
    }

    /// Takes over what `later` adds or says anew.
    pub fn complete(&mut self, later: Said) {
        self.span = later.span.or(self.span);
        self.clock = later.clock.or(self.clock);
        self.part = later.part.or(self.part);
        self.day = later.day.or(self.day);
        self.days = later.days.or(self.days);
    }

    pub fn meaning(&self, kind: TimerKind, now: &Zoned) -> Meaning {
        if let Some(span) = self.span {
            return Meaning::At(When::After(span), None);
        }
        let clock = match (self.clock, self.part) {
            (Some(clock), _) => clock,
            (None, Some(Part::Noon)) => Clock {
                hour: 12,
                minute: 0,
                is_exact: true,
            },
            _ => return Meaning::Nothing,
        };
        let hours = self.hours(clock, kind);
        let date = |day: Option<Day>| self.date(day, now);
        let times: Vec<Zoned> = hours
            .iter()
            .filter_map(|hour| {
                let time = Time::new(*hour, clock.minute, 0, 0).ok()?;
                let at = date(self.day)?.to_datetime(time);
                at.to_zoned(now.time_zone().clone()).ok()
            })
            .collect();
        if let Some(days) = self.days {
            return match hours.as_slice() {
                [_] => self.repeated(days, &times, now),
                _ => Meaning::EitherHalf(clock),
            };
        }
        let ahead: Vec<&Zoned> = times.iter().filter(|at| *at > now).collect();
        match (ahead.as_slice(), times.as_slice(), self.day) {
            ([only], ..) => at(only),
            ([], [only], None) => only
                .checked_add(1.day())
                .map_or(Meaning::Passed, |next| at(&next)),
            ([], _, Some(_)) => Meaning::Passed,
            _ => Meaning::EitherHalf(clock),
        }
    }

    /// The hours of the day that may be meant.
    fn hours(&self, clock: Clock, kind: TimerKind) -> Vec<i8> {
        let hour = clock.hour;
        if clock.is_exact || hour > 12 || hour == 0 {
            return vec![hour % 24];
        }
        let (am, pm) = (hour % 12, hour % 12 + 12);
        match self.part {
            Some(Part::Morning) => vec![am],
            Some(Part::Night) => vec![am],
            Some(Part::Noon) if hour >= 10 => vec![hour],
            Some(Part::Noon | Part::Afternoon) => vec![pm],
            // Twelve in the evening is midnight.
            Some(Part::Evening) if hour == 12 => vec![0],
            Some(Part::Evening) => vec![pm],
            // Who wants to be woken at seven means the morning.
            None if kind == TimerKind::Alarm && (4..=11).contains(&hour) => vec![am],
            None => vec![am, pm],
        }
    }

    fn date(&self, day: Option<Day>, now: &Zoned) -> Option<Date> {
        let today = now.date();
        match day {
            None => Some(today),
            Some(Day::In(days)) => {
                // Twelve at night belongs to the next day.
                let midnight = self.part == Some(Part::Evening)
                    && self.clock.is_some_and(|clock| clock.hour == 12);
                today
                    .checked_add(i64::from(days + i8::from(midnight)).days())
                    .ok()
            }
            Some(Day::On(weekday)) => {
                let ahead = today.weekday().until(weekday);
                let days = if ahead == 0 { 7 } else { ahead };
                today.checked_add(i64::from(days).days()).ok()
            }
        }
    }

    fn repeated(&self, days: Days, times: &[Zoned], now: &Zoned) -> Meaning {
        let rule = match days == Days::ALL {
            true => Repeat::DAILY,
            false => Repeat::weekly(days),
        };
        let now_ms = UnixMillis(now.timestamp().as_millisecond());
        let next = times
            .first()
            .and_then(|at| rule.next_after(now_ms, at.time(), now.time_zone()));
        match next {
            Some(next) => Meaning::At(When::At(next), Some(rule)),
            None => Meaning::Nothing,
        }
    }
}

fn at(time: &Zoned) -> Meaning {
    Meaning::At(
        When::At(UnixMillis(time.timestamp().as_millisecond())),
        None,
    )
}
