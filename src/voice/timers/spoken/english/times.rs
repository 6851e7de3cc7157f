//! Times anywhere in an English sentence: lengths, clocks, days, what comes back.

use std::time::Duration;

use jiff::civil::Weekday;

use super::super::super::repeat::Days;
use super::super::numbers;
use super::super::when::{Clock, Day, Part, Said};
use super::Words;

const UNITS: &[(&[&str], u64)] = &[
    (&["second", "seconds", "sec", "secs", "s"], 1),
    (&["minute", "minutes", "min", "mins", "m"], 60),
    (&["hour", "hours", "hr", "hrs", "h"], 3_600),
    (&["day", "days"], 86_400),
    (&["week", "weeks"], 604_800),
];

const WEEKDAYS: &[(&str, Weekday)] = &[
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

impl Words<'_> {
    /// All times from `from` on, and the words that belong to none.
    pub(super) fn times(&self, from: usize) -> (Said, Vec<usize>) {
        let mut said = Said::default();
        let mut rest = Vec::new();
        let mut at = from;
        while at < self.lower.len() {
            match self.time_at(at, &mut said) {
                Some(end) => at = end,
                None => {
                    rest.push(at);
                    at += 1;
                }
            }
        }
        (said, rest)
    }

    /// A piece of a time that begins at `at`; where it ends.
    pub(super) fn time_at(&self, at: usize, said: &mut Said) -> Option<usize> {
        if at >= self.lower.len() {
            return None;
        }
        self.repeat_at(at, said)
            .or_else(|| self.span_at(at, said))
            .or_else(|| self.clock_at(at, said))
            .or_else(|| self.day_at(at, said))
            .or_else(|| self.part_at(at, said))
    }

    fn repeat_at(&self, at: usize, said: &mut Said) -> Option<usize> {
        if said.days.is_some() {
            return None;
        }
        let plain: &[(&str, Days, Option<Part>)] = &[
            ("every day", Days::ALL, None),
            ("each day", Days::ALL, None),
            ("daily", Days::ALL, None),
            ("every morning", Days::ALL, Some(Part::Morning)),
            ("every evening", Days::ALL, Some(Part::Evening)),
            ("every night", Days::ALL, Some(Part::Evening)),
            ("every afternoon", Days::ALL, Some(Part::Afternoon)),
            ("every weekday", Days::WEEKDAYS, None),
            ("every workday", Days::WEEKDAYS, None),
            ("every working day", Days::WEEKDAYS, None),
            ("on weekdays", Days::WEEKDAYS, None),
            ("weekdays", Days::WEEKDAYS, None),
            ("every weekend", Days::WEEKEND, None),
            ("on weekends", Days::WEEKEND, None),
        ];
        for (phrase, days, part) in plain {
            if let Some(end) = self.starts(at, phrase) {
                said.days = Some(*days);
                said.part = said.part.or(*part);
                return Some(end);
            }
        }
        let begins = match self.lower[at] {
            "every" | "each" => at + 1,
            "on" => at + 1,
            _ => at,
        };
        let every = matches!(self.lower[at], "every" | "each");
        let (mut days, mut end) = (None::<Days>, begins);
        while let Some(word) = self.lower.get(end) {
            let word = match *word {
                "and" if days.is_some() => {
                    let next = self.lower.get(end + 1).copied().unwrap_or_default();
                    if weekday(next.trim_end_matches('s')).is_none() {
                        break;
                    }
                    end += 1;
                    next
                }
                word => word,
            };
            let plural = word.strip_suffix('s').unwrap_or(word);
            let named = match every {
                true => weekday(word).or_else(|| weekday(plural)),
                // "Mondays" comes back, "Monday" does not.
                false if word.ends_with("days") => weekday(plural),
                false => None,
            };
            let Some(day) = named else { break };
            days = Some(days.map_or(Days::only(day), |days| days.and(Days::only(day))));
            end += 1;
        }
        said.days = Some(days?);
        Some(end)
    }

    /// "in ten minutes", "for an hour and a half", "90 seconds", "10min".
    fn span_at(&self, at: usize, said: &mut Said) -> Option<usize> {
        if said.span.is_some() {
            return None;
        }
        let begins = match self.lower[at] {
            "in" | "for" | "after" | "of" => at + 1,
            _ => at,
        };
        let (mut seconds, mut end) = self.length_at(begins)?;
        loop {
            let next = end + usize::from(self.lower.get(end) == Some(&"and"));
            if next > end && self.starts(next, "a half").is_some() {
                seconds += self.last_unit(end)? / 2;
                end = next + 2;
                continue;
            }
            match self.length_at(next) {
                Some((more, after)) => {
                    seconds += more;
                    end = after;
                }
                None => break,
            }
        }
        if let Some(after) = self.starts(end, "from now") {
            end = after;
        }
        said.span = Some(Duration::from_secs(seconds));
        Some(end)
    }

    fn last_unit(&self, end: usize) -> Option<u64> {
        unit(self.lower.get(end.checked_sub(1)?)?)
    }

    /// One number with its unit, in seconds.
    fn length_at(&self, at: usize) -> Option<(u64, usize)> {
        for (phrase, seconds) in [
            ("half an hour", 1_800),
            ("half a minute", 30),
            ("a quarter of an hour", 900),
            ("quarter of an hour", 900),
            ("three quarters of an hour", 2_700),
            ("a half hour", 1_800),
            ("half hour", 1_800),
        ] {
            if let Some(end) = self.starts(at, phrase) {
                return Some((seconds, end));
            }
        }
        let rest = self.lower.get(at..)?;
        if let Some(found) = glued(rest.first()?) {
            return Some((found, at + 1));
        }
        let (number, taken) = numbers::english(rest)?;
        let mut end = at + taken;
        let half = self.starts(end, "and a half");
        end = half.unwrap_or(end);
        if self.lower.get(end) == Some(&"of") {
            end += 1;
        }
        let unit = unit(self.lower.get(end)?)?;
        let seconds = u64::from(number) * unit + if half.is_some() { unit / 2 } else { 0 };
        Some((seconds, end + 1))
    }

    /// "at seven", "at 7:30 pm", "half past seven", "noon", "seven o'clock".
    fn clock_at(&self, at: usize, said: &mut Said) -> Option<usize> {
        if said.clock.is_some() {
            return None;
        }
        let introduced = matches!(self.lower[at], "at" | "for" | "by" | "around");
        let begins = at + usize::from(introduced);
        let (clock, mut end, mut certain) = self.clock_words(begins)?;
        if let Some(after) = self
            .starts(end, "oclock")
            .or_else(|| self.starts(end, "o'clock"))
        {
            end = after;
            certain = true;
        }
        let mut part = None;
        for (phrase, half) in [
            ("am", Part::Morning),
            ("a.m", Part::Morning),
            ("a m", Part::Morning),
            ("pm", Part::Afternoon),
            ("p.m", Part::Afternoon),
            ("p m", Part::Afternoon),
        ] {
            if let Some(after) = self.starts(end, phrase) {
                part = Some(half);
                end = after;
                certain = true;
            }
        }
        // "in the morning" after a bare number tells that it is a time.
        certain |= self.part_at(end, &mut Said::default()).is_some();
        if !introduced && !certain {
            return None;
        }
        said.clock = Some(clock);
        if part == Some(Part::Afternoon) && clock.hour == 12 {
            said.part = Some(Part::Noon);
        } else {
            said.part = part.or(said.part);
        }
        Some(end)
    }

    /// The clock, where it ends, and whether it can be nothing else.
    fn clock_words(&self, at: usize) -> Option<(Clock, usize, bool)> {
        let clock = |hour, minute, is_exact| Clock {
            hour,
            minute,
            is_exact,
        };
        let word = *self.lower.get(at)?;
        match word {
            "noon" | "midday" => return Some((clock(12, 0, true), at + 1, true)),
            "midnight" => return Some((clock(0, 0, true), at + 1, true)),
            _ => {}
        }
        if let Some((hour, minute)) = digits(word) {
            let is_exact = hour > 12 || hour == 0 || word.starts_with('0');
            return Some((clock(hour, minute, is_exact), at + 1, true));
        }
        let meridiem = word.strip_suffix("am").or_else(|| word.strip_suffix("pm"));
        if let Some((hour, minute)) = meridiem
            .and_then(|time| digits(time).or_else(|| Some((time.parse().ok()?, 0))))
            .filter(|(hour, _)| (1..=12).contains(hour))
        {
            let hour = match (hour, word.ends_with("pm")) {
                (12, false) => 0,
                (12, true) => 12,
                (hour, true) => hour + 12,
                (hour, false) => hour,
            };
            return Some((clock(hour, minute, true), at + 1, true));
        }
        let skip = usize::from(word == "a");
        let rest = self.lower.get(at + skip..)?;
        let (minutes, taken) = match *rest.first()? {
            "half" => (30, 1),
            "quarter" => (15, 1),
            _ => numbers::english(rest)?,
        };
        let mut next = at + skip + taken;
        if self.lower.get(next) == Some(&"minutes") {
            next += 1;
        }
        let direction = self.lower.get(next).copied();
        if let Some("past" | "to") = direction
            && let Some((hour, taken)) = self.lower.get(next + 1..).and_then(numbers::english)
            && (1..=12).contains(&hour)
            && minutes < 60
        {
            let end = next + 1 + taken;
            let (hour, minute) = match direction {
                Some("past") => (hour as i8, minutes as i8),
                _ => ((hour as i8 + 10) % 12 + 1, 60 - minutes as i8),
            };
            return Some((clock(hour, minute, false), end, true));
        }
        if matches!(word, "a" | "an" | "half" | "quarter") || minutes > 24 {
            return None;
        }
        let hour = minutes as i8;
        let after = at + taken;
        // "seven thirty", "seven oh five"
        let oh = usize::from(matches!(self.lower.get(after), Some(&("oh" | "o"))));
        if let Some((minute, count)) = self.lower.get(after + oh..).and_then(numbers::english)
            && ((10..60).contains(&minute) || oh == 1 && minute < 10)
            && self
                .lower
                .get(after + oh + count)
                .and_then(|word| unit(word))
                .is_none()
            && !matches!(self.lower[after + oh], "a" | "an")
        {
            return Some((
                clock(hour, minute as i8, hour > 12),
                after + oh + count,
                true,
            ));
        }
        Some((clock(hour, 0, hour > 12), after, false))
    }

    fn day_at(&self, at: usize, said: &mut Said) -> Option<usize> {
        if said.day.is_some() {
            return None;
        }
        for (phrase, days, part) in [
            ("the day after tomorrow", 2, None),
            ("day after tomorrow", 2, None),
            ("tomorrow", 1, None),
            ("tonight", 0, Some(Part::Evening)),
            ("today", 0, None),
            ("this evening", 0, Some(Part::Evening)),
            ("this afternoon", 0, Some(Part::Afternoon)),
            ("this morning", 0, Some(Part::Morning)),
        ] {
            if let Some(end) = self.starts(at, phrase) {
                said.day = Some(Day::In(days));
                // What was said with the clock is nearer to it.
                said.part = said.part.or(part);
                return Some(end);
            }
        }
        let skip = usize::from(matches!(self.lower[at], "on" | "next" | "this" | "coming"));
        let day = weekday(self.lower.get(at + skip)?)?;
        said.day = Some(Day::On(day));
        Some(at + skip + 1)
    }

    fn part_at(&self, at: usize, said: &mut Said) -> Option<usize> {
        for (phrase, part) in [
            ("in the morning", Part::Morning),
            ("in the afternoon", Part::Afternoon),
            ("in the evening", Part::Evening),
            ("at night", Part::Evening),
            ("morning", Part::Morning),
            ("afternoon", Part::Afternoon),
            ("evening", Part::Evening),
            ("night", Part::Evening),
            ("this morning", Part::Morning),
            ("tonight", Part::Evening),
            ("at noon", Part::Noon),
            ("noon", Part::Noon),
            ("midnight", Part::Evening),
        ] {
            if let Some(end) = self.starts(at, phrase) {
                said.part = said.part.or(Some(part));
                return Some(end);
            }
        }
        None
    }
}

/// `7:30`, `19.45`.
fn digits(word: &str) -> Option<(i8, i8)> {
    let (hour, minute) = word.split_once([':', '.'])?;
    let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.parse().ok()?);
    ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some((hour, minute))
}

/// `10min`, `90s`.
fn glued(word: &str) -> Option<u64> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > 6 {
        return None;
    }
    let count: u64 = word[..digits].parse().ok()?;
    Some(count * unit(&word[digits..])?)
}

pub(super) fn unit(word: &str) -> Option<u64> {
    let found = UNITS.iter().find(|(words, _)| words.contains(&word))?;
    Some(found.1)
}

fn weekday(word: &str) -> Option<Weekday> {
    let found = WEEKDAYS.iter().find(|(name, _)| *name == word)?;
    Some(found.1)
}
