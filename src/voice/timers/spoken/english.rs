//! What is said about timers in English: a table of beginnings, and times anywhere in between.

mod times;

use std::time::Duration;

use super::super::timer::TimerKind;
use super::numbers;
use super::when::{Clock, Said};
use super::{Draft, Request};
use times::unit;

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
