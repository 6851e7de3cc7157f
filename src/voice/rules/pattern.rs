//! Matching a text against the patterns of the table, knowing where each character came from.

use std::ops::Range;

use crate::voice::index::{is_cjk, plain_width};

/// A text in lower case, without punctuation, words one space apart, CJK without spaces.
pub struct Normal {
    text: String,
    /// For every byte of `text`: where its character lies in the original.
    origin: Vec<Range<usize>>,
}

impl Normal {
    pub fn of(original: &str) -> Normal {
        let mut normal = Normal {
            text: String::with_capacity(original.len()),
            origin: Vec::with_capacity(original.len()),
        };
        let mut gap = false;
        for (at, c) in original.char_indices() {
            let range = at..at + c.len_utf8();
            let c = plain_width(c);
            if matches!(c, '\'' | '\u{2019}') {
                continue;
            }
            if !c.is_alphanumeric() {
                gap = true;
                continue;
            }
            let before = normal.text.chars().next_back();
            if gap && before.is_some_and(|before| !is_cjk(before) && !is_cjk(c)) {
                normal.push(' ', range.start..range.start);
            }
            gap = false;
            for lower in c.to_lowercase() {
                normal.push(lower, range.clone());
            }
        }
        normal
    }

    fn push(&mut self, c: char, range: Range<usize>) {
        self.text.push(c);
        self.origin.resize(self.text.len(), range);
    }

    pub fn all(&self) -> Range<usize> {
        0..self.text.len()
    }

    pub fn text(&self, range: Range<usize>) -> &str {
        &self.text[range]
    }

    /// What remains after any number of polite or empty beginnings; never nothing.
    pub fn without_courtesy(&self, beginnings: &[&str]) -> Range<usize> {
        let mut rest = self.text.as_str();
        while let Some(shorter) = beginnings
            .iter()
            .find_map(|beginning| rest.strip_prefix(beginning))
            .filter(|shorter| !shorter.is_empty())
        {
            rest = shorter;
        }
        self.text.len() - rest.len()..self.text.len()
    }

    /// `None`: no match. `Some(None)`: matches a pattern without `*`. Else what `*` stands for.
    pub fn matches(&self, range: Range<usize>, pattern: &str) -> Option<Option<Range<usize>>> {
        let text = &self.text[range.clone()];
        let mut part = None;
        matches(pattern, text, range.start, &mut part).then_some(part)
    }

    /// The original text of a range; one that reaches the end keeps its last punctuation.
    pub fn original<'t>(&self, original: &'t str, range: Range<usize>) -> &'t str {
        let start = self
            .origin
            .get(range.start)
            .map_or(original.len(), |first| first.start);
        let end = match range.end == self.text.len() {
            true => original.len(),
            false => self
                .origin
                .get(range.end.saturating_sub(1))
                .map_or(start, |last| last.end),
        };
        original.get(start..end.max(start)).unwrap_or("").trim()
    }
}

/// Whether all of `text` fits all of `pattern`. `at` is where `text` lies in the whole.
fn matches(pattern: &str, text: &str, at: usize, part: &mut Option<Range<usize>>) -> bool {
    let Some(first) = pattern.chars().next() else {
        return text.is_empty();
    };
    let rest = &pattern[first.len_utf8()..];
    match first {
        '*' => star(rest, text, at, part),
        '[' | '(' => {
            let (choices, after) = group(pattern);
            let one_fits = choices.split('|').any(|choice| {
                text.strip_prefix(choice)
                    .is_some_and(|remaining| matches(after, remaining, at + choice.len(), part))
            });
            one_fits || (first == '[' && matches(after, text, at, part))
        }
        _ => text
            .strip_prefix(first)
            .is_some_and(|remaining| matches(rest, remaining, at + first.len_utf8(), part)),
    }
}

/// `*` takes all when it ends the pattern; else as little as lets the rest fit.
fn star(rest: &str, text: &str, at: usize, part: &mut Option<Range<usize>>) -> bool {
    if rest.is_empty() {
        *part = (!text.is_empty()).then(|| at..at + text.len());
        return part.is_some();
    }
    let ends = text.char_indices().skip(1).map(|(end, _)| end);
    for end in ends {
        if matches(rest, &text[end..], at + end, part) {
            *part = Some(at..at + end);
            return true;
        }
    }
    false
}

/// The inside of the group `pattern` begins with, and what follows it.
fn group(pattern: &str) -> (&str, &str) {
    let close = if pattern.starts_with('[') { ']' } else { ')' };
    match pattern[1..].split_once(close) {
        Some(split) => split,
        None => (&pattern[1..], ""),
    }
}
