//! What is said about timers in English: a table of beginnings, and times anywhere in between.

use std::time::Duration;

use jiff::civil::Weekday;

use super::super::repeat::Days;
use super::super::timer::TimerKind;
use super::numbers;
use super::when::{Clock, Day, Part, Said};
use super::{Draft, Request};

/// Means nothing here, wherever a label begins or ends.
const FILLER: &[&str] = &[
    "to", "that", "about", "for", "called", "named", "of", "a", "an", "the", "my", "please", "and",
    "at", "in", "on", "me", "up", "with", "name", "label", "new", "another", "by",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Set(Option<TimerKind>),
    Cancel,
    List,
    Left,
    Snooze,
}

/// First words and what they want; the longest come first. `Set(None)` wants a noun after it.
const VERBS: &[(&str, Verb)] = &[
    ("wake me up", Verb::Set(Some(TimerKind::Alarm))),
    ("wake me", Verb::Set(Some(TimerKind::Alarm))),
    ("get me up", Verb::Set(Some(TimerKind::Alarm))),
    ("remind me again", Verb::Snooze),
    ("remind me", Verb::Set(Some(TimerKind::Reminder))),
    ("count down", Verb::Set(Some(TimerKind::Timer))),
    ("countdown", Verb::Set(Some(TimerKind::Timer))),
    ("set", Verb::Set(None)),
    ("start", Verb::Set(None)),
    ("make", Verb::Set(None)),
    ("create", Verb::Set(None)),
    ("add", Verb::Set(None)),
    ("begin", Verb::Set(None)),
    ("give me", Verb::Set(None)),
    ("i need", Verb::Set(None)),
    ("how long", Verb::Left),
    ("how much time", Verb::Left),
    ("how much longer", Verb::Left),
    ("how many minutes", Verb::Left),
    ("time left", Verb::Left),
    ("when is", Verb::Left),
    ("when does", Verb::Left),
    ("when will", Verb::Left),
    ("what", Verb::List),
    ("whats", Verb::List),
    ("what's", Verb::List),
    ("when's", Verb::Left),
    ("which", Verb::List),
    ("list", Verb::List),
    ("show", Verb::List),
    ("show me", Verb::List),
    ("read", Verb::List),
    ("do i have", Verb::List),
    ("are there", Verb::List),
    ("is there", Verb::List),
    ("cancel", Verb::Cancel),
    ("stop", Verb::Cancel),
    ("delete", Verb::Cancel),
    ("remove", Verb::Cancel),
    ("clear", Verb::Cancel),
    ("turn off", Verb::Cancel),
    ("switch off", Verb::Cancel),
    ("snooze", Verb::Snooze),
];

const NOUNS: &[(&str, TimerKind)] = &[
    ("timer", TimerKind::Timer),
    ("timers", TimerKind::Timer),
    ("alarm", TimerKind::Alarm),
    ("alarms", TimerKind::Alarm),
    ("reminder", TimerKind::Reminder),
    ("reminders", TimerKind::Reminder),
];

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

pub fn understand(text: &str) -> Option<Request> {
    let lower = text.to_lowercase();
    let words = Words::of(text, &lower);
    // "In ten minutes remind me …"
    let mut before = Said::default();
    let mut begins = 0;
    while words.verb(begins).is_none()
        && let Some(end) = words.time_at(begins, &mut before)
    {
        begins = end;
    }
    let Some((verb, after)) = words.verb(begins) else {
        return bare(&words);
    };
    let (said, rest) = words.times(after);
    before.complete(said);
    let said = before;
    let noun = rest.iter().position(|at| words.noun(*at).is_some());
    let kind = noun.and_then(|at| words.noun(rest[at]));
    let label = || words.label(&rest, noun);
    let is_all = rest
        .iter()
        .any(|at| matches!(words.lower[*at], "all" | "every" | "everything"));
    match verb {
        Verb::Set(Some(kind)) => Some(Request::Set(Draft {
            kind: match noun {
                Some(_) if kind == TimerKind::Timer => TimerKind::Timer,
                _ => kind,
            },
            label: label(),
            said,
        })),
        Verb::Set(None) => Some(Request::Set(Draft {
            kind: kind?,
            label: label(),
            said: said.or_bare_number(&words, &rest, kind?),
        })),
        Verb::Cancel => Some(Request::Cancel {
            kind: Some(kind?),
            label: label_without(&words, &rest, noun, &["all", "every"]),
            all: is_all || noun.is_some_and(|at| words.lower[rest[at]].ends_with('s')),
        }),
        Verb::List => kind.map(|kind| Request::List(Some(kind))),
        Verb::Left => left(&words, after, kind, &rest, noun),
        Verb::Snooze => Some(Request::Snooze(said.span)),
    }
}

/// Without a verb: "ten minute timer", "alarm at seven", "every weekday at seven", "five more minutes".
fn bare(words: &Words) -> Option<Request> {
    let (said, rest) = words.times(0);
    let noun = rest.iter().position(|at| words.noun(*at).is_some());
    if let Some(at) = noun
        && !said.is_empty()
    {
        let kind = words.noun(rest[at])?;
        return Some(Request::Set(Draft {
            kind,
            label: words.label(&rest, noun),
            said,
        }));
    }
    let left: Vec<&str> = rest.iter().map(|at| words.lower[*at]).collect();
    if said.days.is_some() && said.clock.is_some() && left.is_empty() {
        return Some(Request::Set(Draft {
            kind: TimerKind::Alarm,
            label: String::new(),
            said,
        }));
    }
    let more = words.lower.contains(&"more") && words.lower.len() <= 4;
    let number = numbers::english(&words.lower);
    if more && let Some((count, _)) = number {
        let unit = words.lower.iter().find_map(|word| unit(word))?;
        return Some(Request::Snooze(Some(Duration::from_secs(
            u64::from(count) * unit,
        ))));
    }
    None
}

fn left(
    words: &Words,
    after: usize,
    kind: Option<TimerKind>,
    rest: &[usize],
    noun: Option<usize>,
) -> Option<Request> {
    let tail: Vec<&str> = words.lower[after..].to_vec();
    let means_rest = tail
        .iter()
        .any(|word| matches!(*word, "left" | "remaining" | "remains" | "go"));
    if kind.is_none() && !means_rest {
        return None;
    }
    // "How long is the river" asks something else; "when is my dentist reminder" does not.
    let skip = [
        "is",
        "are",
        "left",
        "remaining",
        "remains",
        "there",
        "does",
        "will",
        "ring",
        "due",
        "go",
        "off",
        "until",
        "long",
        "have",
        "i",
        "do",
        "still",
        "until",
    ];
    Some(Request::Left {
        kind,
        label: label_without(words, rest, noun, &skip),
    })
}

/// The times alone, for the answer to a question of ours.
pub fn times(text: &str) -> Said {
    let lower = text.to_lowercase();
    let words = Words::of(text, &lower);
    let (mut said, rest) = words.times(0);
    // The answer to "at what time" is often a number alone.
    if said.clock.is_none() && said.span.is_none() && rest.len() == words.lower.len() {
        let lower: Vec<&str> = words.lower.clone();
        if let Some((number, taken)) = numbers::english(&lower)
            && taken == lower.len()
            && number <= 24
        {
            said.clock = Some(Clock {
                hour: number as i8,
                minute: 0,
                is_exact: number > 12,
            });
        }
    }
    said
}

impl Said {
    /// "A timer for ten" means minutes.
    fn or_bare_number(mut self, words: &Words, rest: &[usize], kind: TimerKind) -> Said {
        if let (TimerKind::Timer, None, Some(clock), None, None) =
            (kind, self.span, self.clock, self.part, self.day)
            && clock.minute == 0
            && !clock.is_exact
        {
            self.span = Some(Duration::from_secs(clock.hour as u64 * 60));
            self.clock = None;
        }
        if kind == TimerKind::Timer && self.span.is_none() {
            let number = rest.iter().enumerate().find_map(|(at, index)| {
                let run: Vec<&str> = rest[at..].iter().map(|i| words.lower[*i]).collect();
                let is_article = matches!(words.lower[*index], "a" | "an");
                numbers::english(&run).filter(|_| !is_article)
            });
            if let Some((minutes, _)) = number {
                self.span = Some(Duration::from_secs(u64::from(minutes) * 60));
            }
        }
        self
    }
}

/// The words of a sentence: as given, and in lower case without punctuation.
struct Words<'t> {
    given: Vec<&'t str>,
    lower: Vec<&'t str>,
}

impl<'t> Words<'t> {
    /// `lower` is `text` in lower case.
    fn of(text: &'t str, lower: &'t str) -> Words<'t> {
        let given = text.split_whitespace().collect();
        let lower = lower
            .split_whitespace()
            .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
            .collect();
        Words { given, lower }
    }

    fn starts(&self, at: usize, phrase: &str) -> Option<usize> {
        let count = phrase.split(' ').count();
        let there = self.lower.get(at..at + count)?;
        let same = there.iter().zip(phrase.split(' ')).all(|(a, b)| *a == b);
        same.then_some(at + count)
    }

    fn verb(&self, at: usize) -> Option<(Verb, usize)> {
        VERBS
            .iter()
            .filter_map(|(phrase, verb)| Some((*verb, self.starts(at, phrase)?)))
            .max_by_key(|(_, end)| *end)
    }

    fn noun(&self, at: usize) -> Option<TimerKind> {
        let word = self.lower.get(at)?;
        NOUNS
            .iter()
            .find(|(noun, _)| noun == word)
            .map(|(_, kind)| *kind)
    }

    /// What is left as a name, in the words as they were given.
    fn label(&self, rest: &[usize], noun: Option<usize>) -> String {
        label_without(self, rest, noun, &[])
    }

    /// All times from `from` on, and the words that belong to none.
    fn times(&self, from: usize) -> (Said, Vec<usize>) {
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
    fn time_at(&self, at: usize, said: &mut Said) -> Option<usize> {
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

fn label_without(words: &Words, rest: &[usize], noun: Option<usize>, skip: &[&str]) -> String {
    let mut left: Vec<usize> = rest.to_vec();
    if let Some(noun) = noun {
        left.remove(noun);
    }
    left.retain(|at| !skip.contains(&words.lower[*at]));
    let is_filler = |at: &usize| FILLER.contains(&words.lower[*at]) || words.lower[*at].is_empty();
    while left.first().is_some_and(is_filler) {
        left.remove(0);
    }
    while left.last().is_some_and(is_filler) {
        left.pop();
    }
    let numbers: Vec<&str> = left.iter().map(|at| words.lower[*at]).collect();
    if numbers::english(&numbers).is_some_and(|(_, taken)| taken == numbers.len()) {
        return String::new();
    }
    let given: Vec<&str> = left.iter().map(|at| words.given[*at]).collect();
    given
        .join(" ")
        .trim_end_matches(['.', '!', '?', ',', ';'])
        .to_string()
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

fn unit(word: &str) -> Option<u64> {
    let found = UNITS.iter().find(|(words, _)| words.contains(&word))?;
    Some(found.1)
}

fn weekday(word: &str) -> Option<Weekday> {
    let found = WEEKDAYS.iter().find(|(name, _)| *name == word)?;
    Some(found.1)
}
