//! Which days something comes back: the part of RFC 5545 3.3.10 that people say aloud.
//!
//! `FREQ=DAILY` and `FREQ=WEEKLY`, with `BYDAY`. Days are counted on the calendar where the box
//! is, so a time of day stays what it is when summer time begins or ends: one that a day skips is
//! due as much later as the clock was put forward, one that a day has twice is due at the first.

use std::fmt;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use super::timer::zoned;
use crate::clock::UnixMillis;

/// Days of the week, Monday in bit 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Days(u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Repeat {
    freq: Freq,
    /// `None`: every day, or the day of the first time.
    days: Option<Days>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Freq {
    Daily,
    Weekly,
}

const NAMES: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
/// A longer rule is none of ours.
const RULE_BYTES_MAX: usize = 128;

impl Days {
    pub const WEEKDAYS: Days = Days(0b001_1111);
    pub const WEEKEND: Days = Days(0b110_0000);
    pub const ALL: Days = Days(0b111_1111);

    pub fn only(day: Weekday) -> Days {
        Days(1 << day.to_monday_zero_offset())
    }

    #[must_use]
    pub const fn and(self, other: Days) -> Days {
        Days(self.0 | other.0)
    }

    pub fn has(self, day: Weekday) -> bool {
        self.0 & (1 << day.to_monday_zero_offset()) != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Weekday> {
        let first = Weekday::Monday;
        first
            .cycle_forward()
            .take(7)
            .filter(move |day| self.has(*day))
    }
}

impl Repeat {
    pub const DAILY: Repeat = Repeat {
        freq: Freq::Daily,
        days: None,
    };

    pub const fn weekly(days: Days) -> Repeat {
        Repeat {
            freq: Freq::Weekly,
            days: Some(days),
        }
    }

    /// `FREQ=WEEKLY;BYDAY=MO,TU`, with or without `RRULE:` before it. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Repeat, String> {
        let text = text.trim();
        if text.len() > RULE_BYTES_MAX {
            return Err(format!("a rule has at most {RULE_BYTES_MAX} characters"));
        }
        let upper = text.to_ascii_uppercase();
        let rule = upper.strip_prefix("RRULE:").unwrap_or(&upper);
        let (mut freq, mut days) = (None, None);
        for part in rule.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is no NAME=VALUE"))?;
            match name {
                "FREQ" if freq.is_none() => {
                    freq = Some(match value {
                        "DAILY" => Freq::Daily,
                        "WEEKLY" => Freq::Weekly,
                        _ => return Err(String::from("FREQ must be DAILY or WEEKLY")),
                    });
                }
                "BYDAY" if days.is_none() => days = Some(parse_days(value)?),
                "INTERVAL" if value == "1" => {}
                "WKST" if NAMES.contains(&value) => {}
                _ => {
                    return Err(format!(
                        "{name} is not understood; FREQ and BYDAY are, once each"
                    ));
                }
            }
        }
        let freq = freq.ok_or_else(|| String::from("FREQ=DAILY or FREQ=WEEKLY is missing"))?;
        Ok(Repeat { freq, days })
    }

    /// The first time after `now` that falls on `time` of a day of the rule. A weekly rule without
    /// days has no day of its own; [`Repeat::on_day_of`] gives it one.
    pub fn next_after(&self, now: UnixMillis, time: Time, zone: &TimeZone) -> Option<UnixMillis> {
        let mut date = zoned(now, zone).date();
        // A day back, for a time of the day that a clock put forward pushed past midnight.
        date = date.yesterday().ok()?;
        for _ in 0..10 {
            if self.days().has(date.weekday()) {
                let at = date.to_datetime(time).to_zoned(zone.clone()).ok()?;
                let at = UnixMillis(at.timestamp().as_millisecond());
                if at > now {
                    return Some(at);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// With the day of `at` where the rule names none.
    #[must_use]
    pub fn on_day_of(self, at: UnixMillis, zone: &TimeZone) -> Repeat {
        match (self.freq, self.days) {
            (Freq::Weekly, None) => Repeat::weekly(Days::only(zoned(at, zone).weekday())),
            _ => self,
        }
    }

    pub fn days(&self) -> Days {
        self.days.unwrap_or(Days::ALL)
    }
}

fn parse_days(value: &str) -> Result<Days, String> {
    let mut days = Days(0);
    for name in value.split(',') {
        let at = NAMES
            .iter()
            .position(|known| *known == name)
            .ok_or_else(|| format!("BYDAY takes MO, TU, WE, TH, FR, SA, SU, not {name:?}"))?;
        days.0 |= 1 << at;
    }
    Ok(days)
}

impl fmt::Display for Repeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.freq {
            Freq::Daily => "FREQ=DAILY",
            Freq::Weekly => "FREQ=WEEKLY",
        })?;
        if let Some(days) = self.days {
            let names: Vec<&str> = days
                .iter()
                .map(|day| NAMES[day.to_monday_zero_offset() as usize])
                .collect();
            write!(f, ";BYDAY={}", names.join(","))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn at(text: &str) -> UnixMillis {
        let zoned: jiff::Zoned = text.parse().unwrap();
        UnixMillis(zoned.timestamp().as_millisecond())
    }

    #[test]
    fn rules_are_read_and_written() {
        for (text, written) in [
            ("FREQ=DAILY", "FREQ=DAILY"),
            ("RRULE:FREQ=DAILY;INTERVAL=1", "FREQ=DAILY"),
            ("freq=weekly;byday=fr,mo;wkst=mo", "FREQ=WEEKLY;BYDAY=MO,FR"),
            ("FREQ=DAILY;BYDAY=SA,SU", "FREQ=DAILY;BYDAY=SA,SU"),
        ] {
            assert_eq!(
                Repeat::parse(text).map(|r| r.to_string()),
                Ok(written.into())
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, why) in [
            ("", "FREQ=DAILY or FREQ=WEEKLY is missing"),
            ("FREQ=MONTHLY", "DAILY or WEEKLY"),
            ("FREQ=DAILY;COUNT=3", "COUNT"),
            ("FREQ=DAILY;INTERVAL=2", "INTERVAL"),
            ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY takes"),
            ("FREQ=WEEKLY;BYDAY=", "BYDAY takes"),
            ("FREQ=DAILY;FREQ=DAILY", "once each"),
            ("DAILY", "NAME=VALUE"),
        ] {
            let error = Repeat::parse(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        assert!(Repeat::parse(&"FREQ=DAILY;".repeat(99)).is_err());
    }

    #[test]
    fn summer_time_moves_the_instant_and_not_the_time_of_day() {
        let seven = Time::constant(7, 0, 0, 0);
        let rule = Repeat::DAILY;
        // Clocks are put forward on 29 March 2026, back on 25 October.
        for (now, next) in [
            (
                "2026-03-28T07:00[Europe/Berlin]",
                "2026-03-29T07:00[Europe/Berlin]",
            ),
            (
                "2026-03-29T07:00[Europe/Berlin]",
                "2026-03-30T07:00[Europe/Berlin]",
            ),
            (
                "2026-10-24T07:00[Europe/Berlin]",
                "2026-10-25T07:00[Europe/Berlin]",
            ),
        ] {
            assert_eq!(rule.next_after(at(now), seven, &berlin()), Some(at(next)));
        }
        let day = at("2026-03-29T07:00[Europe/Berlin]").0 - at("2026-03-28T07:00[Europe/Berlin]").0;
        assert_eq!(day, 23 * 3_600_000);
    }

    #[test]
    fn a_time_that_a_day_skips_is_due_an_hour_later_and_one_it_has_twice_is_due_once() {
        let half_past_two = Time::constant(2, 30, 0, 0);
        let skipped = Repeat::DAILY.next_after(
            at("2026-03-28T12:00[Europe/Berlin]"),
            half_past_two,
            &berlin(),
        );
        assert_eq!(skipped, Some(at("2026-03-29T03:30[Europe/Berlin]")));
        let first = Repeat::DAILY
            .next_after(
                at("2026-10-24T12:00[Europe/Berlin]"),
                half_past_two,
                &berlin(),
            )
            .unwrap();
        assert_eq!(first, at("2026-10-25T02:30+02:00[Europe/Berlin]"));
        let second = Repeat::DAILY.next_after(first, half_past_two, &berlin());
        assert_eq!(second, Some(at("2026-10-26T02:30[Europe/Berlin]")));
    }

    #[test]
    fn weekdays_skip_the_weekend() {
        let friday = at("2026-11-27T07:00[Europe/Berlin]");
        let rule = Repeat::weekly(Days::WEEKDAYS);
        let next = rule.next_after(friday, Time::constant(7, 0, 0, 0), &berlin());
        assert_eq!(next, Some(at("2026-11-30T07:00[Europe/Berlin]")));
    }

    proptest! {
        #[test]
        fn the_next_time_lies_ahead_within_eight_days_on_a_day_of_the_rule(
            now in 0i64..4_000_000_000, days in 1u8..128, hour in 0i8..24, minute in 0i8..60,
        ) {
            let rule = Repeat::weekly(Days(days));
            let now = UnixMillis(now * 1000);
            let next = rule.next_after(now, Time::constant(hour, minute, 0, 0), &berlin()).unwrap();
            prop_assert!(next > now && next.0 - now.0 <= 8 * 86_400_000 + 7_200_000);
            let local = zoned(next, &berlin());
            // A skipped hour may push past its own time, never past its day here.
            prop_assert!(rule.days().has(local.weekday()));
        }

        #[test]
        fn reading_a_rule_never_panics(text in "\\PC{0,60}") {
            let _ = Repeat::parse(&text);
        }

        #[test]
        fn a_rule_written_is_read_back(days in 1u8..128) {
            let rule = Repeat::weekly(Days(days));
            prop_assert_eq!(Repeat::parse(&rule.to_string()), Ok(rule));
        }
    }
}
