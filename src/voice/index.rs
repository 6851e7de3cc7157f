//! Text as the search index sees it, and queries as SQLite's FTS5 may see them.
//!
//! SQLite's `unicode61` takes a run of Chinese for one word, so a two-character word inside it is
//! never found. Here every CJK character is set apart by spaces before it is indexed, and a CJK
//! run of a query becomes a quoted phrase of single characters. Whatever a person types reaches
//! FTS5 only as letters and digits inside double quotes: no operator can leak through.

use crate::limits::{QUERY_CHARS_MAX, QUERY_TERMS_MAX};

/// Alternatives of the widest expression, where runs and joined words are taken apart.
const ALTERNATIVES_MAX: usize = 2 * QUERY_TERMS_MAX;

/// Words this long also match as the beginning of a longer one.
const STEM_CHARS_MIN: usize = 4;

/// Joins the parts of one name, number or date: `10.0.0.7`, `blue-green`, `mail@home`.
const JOINERS: &[char] = &['.', '-', '_', '/', ':', '@', '\'', '\u{2019}'];

/// `text` with every CJK character a word of its own and full-width letters made plain.
pub fn indexed(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() + text.len() / 2);
    for c in text.chars().map(plain_width) {
        if is_cjk(c) {
            spaced.push(' ');
            spaced.push(c);
            spaced.push(' ');
        } else {
            spaced.push(c);
        }
    }
    spaced
}

/// Han, kana and bopomofo: scripts written without spaces between words.
pub fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}'
        | '\u{3041}'..='\u{30ff}'
        | '\u{3105}'..='\u{312f}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}')
}

/// Full-width ASCII, as Chinese keyboards type it, to plain ASCII.
pub fn plain_width(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        _ => c,
    }
}

/// What a query asks for, free of every operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// A word in lower case; more than one where punctuation joined them.
    Words(Vec<String>),
    /// CJK characters that stand together.
    Run(Vec<char>),
}

impl Query {
    /// Never fails and is bounded: at most [`QUERY_CHARS_MAX`] characters are looked at and
    /// [`QUERY_TERMS_MAX`] terms kept. Text without a letter or digit gives an empty query.
    pub fn parse(text: &str) -> Query {
        let mut query = Query::default();
        for chunk in cut(text) {
            query.add(chunk);
        }
        query
    }

    /// The query without the terms that `is_noise` rejects.
    pub fn without(mut self, is_noise: impl Fn(&Term) -> bool) -> Query {
        self.terms.retain(|term| !is_noise(term));
        self
    }

    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Every term, as written.
    pub fn all(&self) -> String {
        join(" AND ", self.terms.iter().map(Term::phrase))
    }

    /// Every term, words also as the beginning of longer ones; `None` when that is no wider.
    pub fn all_stems(&self) -> Option<String> {
        let stems: Vec<_> = self.terms.iter().map(Term::stem).collect();
        stems.iter().any(Option::is_some).then(|| {
            let wider = stems.into_iter().zip(&self.terms);
            join(
                " AND ",
                wider.map(|(stem, term)| stem.unwrap_or_else(|| term.phrase())),
            )
        })
    }

    /// Any part of any term; `None` when that is no wider than [`Query::all`].
    pub fn any(&self) -> Option<String> {
        let mut parts: Vec<String> = self.terms.iter().flat_map(Term::parts).collect();
        parts.truncate(ALTERNATIVES_MAX);
        (parts.len() > 1).then(|| parts.join(" OR "))
    }

    /// Whether a text holds every term as written; an empty query is in nothing.
    pub fn is_in(&self, text: &str) -> bool {
        let there = Query::whole(text);
        let holds = |wanted: &Term| {
            there.iter().any(|term| match (wanted, term) {
                (Term::Words(wanted), Term::Words(words)) => {
                    words.windows(wanted.len()).any(|part| part == wanted)
                }
                (Term::Run(wanted), Term::Run(run)) => {
                    run.windows(wanted.len()).any(|part| part == wanted)
                }
                _ => false,
            })
        };
        !self.is_empty() && self.terms.iter().all(holds)
    }

    /// Every term of a text of any length.
    fn whole(text: &str) -> Vec<Term> {
        let mut terms = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest
                .char_indices()
                .nth(QUERY_CHARS_MAX)
                .map_or(rest.len(), |(at, _)| at);
            terms.extend(cut(&rest[..end]));
            rest = &rest[end..];
        }
        terms
    }

    fn add(&mut self, term: Term) {
        if self.terms.len() < QUERY_TERMS_MAX && !self.terms.contains(&term) {
            self.terms.push(term);
        }
    }
}

impl Term {
    fn phrase(&self) -> String {
        match self {
            Term::Words(words) => format!("\"{}\"", words.join(" ")),
            Term::Run(run) => spaced_phrase(run),
        }
    }

    fn stem(&self) -> Option<String> {
        match self {
            Term::Words(words) => match words.as_slice() {
                [word] => stem(word).map(|stem| format!("\"{stem}\"*")),
                _ => None,
            },
            Term::Run(_) => None,
        }
    }

    fn parts(&self) -> Vec<String> {
        match self {
            Term::Words(words) => words
                .iter()
                .map(|word| match stem(word) {
                    Some(stem) => format!("\"{stem}\"*"),
                    None => format!("\"{word}\""),
                })
                .collect(),
            Term::Run(run) if run.len() <= 2 => vec![spaced_phrase(run)],
            Term::Run(run) => run.windows(2).map(spaced_phrase).collect(),
        }
    }
}

/// The part of a word that its other forms share; `None` for short words and numbers.
pub fn stem(word: &str) -> Option<&str> {
    let letters = word.chars().count();
    if letters < STEM_CHARS_MIN || word.chars().any(|c| c.is_numeric()) {
        return None;
    }
    let endings = ["ies", "ing", "es", "ed", "s", "y", "e"];
    let cut = endings
        .iter()
        .filter_map(|ending| word.strip_suffix(ending))
        .find(|rest| rest.chars().count() >= 3 && !rest.ends_with('s'));
    Some(cut.unwrap_or(word))
}

/// Cuts text into words and CJK runs.
fn cut(text: &str) -> Vec<Term> {
    let mut terms = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut run: Vec<char> = Vec::new();
    let mut joined = false;
    let mut chars = text
        .chars()
        .take(QUERY_CHARS_MAX)
        .map(plain_width)
        .peekable();
    while let Some(c) = chars.next() {
        if is_cjk(c) {
            end_words(&mut words, &mut terms);
            run.push(c);
            continue;
        }
        end_run(&mut run, &mut terms);
        if is_word(c) {
            match words.last_mut() {
                Some(word) if !joined => word.extend(c.to_lowercase()),
                _ => words.push(c.to_lowercase().collect()),
            }
            joined = false;
        } else if JOINERS.contains(&c)
            && !words.is_empty()
            && chars
                .peek()
                .is_some_and(|next| is_word(*next) && !is_cjk(*next))
        {
            joined = true;
        } else {
            end_words(&mut words, &mut terms);
        }
    }
    end_words(&mut words, &mut terms);
    end_run(&mut run, &mut terms);
    terms
}

fn end_words(words: &mut Vec<String>, terms: &mut Vec<Term>) {
    if words.len() == 2 && words[1] == "s" {
        words.pop();
    }
    if !words.is_empty() {
        terms.push(Term::Words(std::mem::take(words)));
    }
}

fn end_run(run: &mut Vec<char>, terms: &mut Vec<Term>) {
    if !run.is_empty() {
        terms.push(Term::Run(std::mem::take(run)));
    }
}

/// Letters, digits, and accents written as characters of their own.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&c)
}

fn spaced_phrase(run: &[char]) -> String {
    let mut phrase = String::with_capacity(run.len() * 4 + 2);
    phrase.push('"');
    for (index, c) in run.iter().enumerate() {
        if index > 0 {
            phrase.push(' ');
        }
        phrase.push(*c);
    }
    phrase.push('"');
    phrase
}

fn join(glue: &str, parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(glue)
}

/// Door for fuzzing: parses hostile text and checks what FTS5 would be handed.
#[doc(hidden)]
pub fn check_query(text: &str) {
    let query = Query::parse(text);
    assert!(query.terms.len() <= QUERY_TERMS_MAX);
    let expressions = [Some(query.all()), query.all_stems(), query.any()];
    for expression in expressions.into_iter().flatten() {
        let mut quoted = false;
        let mut bare = String::new();
        for c in expression.chars() {
            match c {
                '"' => quoted = !quoted,
                _ if quoted => assert!(c == ' ' || is_word(c) || is_cjk(c), "{c:?} leaked"),
                _ => bare.push(c),
            }
        }
        assert!(!quoted, "an open quote in {expression}");
        for word in bare.split_whitespace() {
            assert!(
                matches!(word.trim_matches('*'), "AND" | "OR" | ""),
                "{word} leaked"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_cjk_character_is_a_word_of_its_own() {
        let words = |text: &str| {
            indexed(text)
                .split_whitespace()
                .map(str::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(words("新架构v2上线"), ["新", "架", "构", "v2", "上", "线"]);
        assert_eq!(words("ＷｉＦｉ密码"), ["WiFi", "密", "码"]);
        assert_eq!(words("plain words stay"), ["plain", "words", "stay"]);
    }

    #[test]
    fn a_query_becomes_quoted_words_and_phrases() {
        let all = |text: &str| Query::parse(text).all();
        assert_eq!(all("Spare KEY"), r#""spare" AND "key""#);
        assert_eq!(all("架构"), r#""架 构""#);
        assert_eq!(all("WiFi密码"), r#""wifi" AND "密 码""#);
        assert_eq!(
            all(r#"a" OR b* NEAR(c) -d col:x"#),
            r#""a" AND "or" AND "b" AND "near" AND "c" AND "d" AND "col x""#
        );
        assert_eq!(all("10.0.0.7"), r#""10 0 0 7""#);
        assert_eq!(all("dad's car"), r#""dad" AND "car""#);
        assert_eq!(all("  *\"'()🔑- "), "");
    }

    #[test]
    fn wider_expressions_come_only_where_they_are_wider() {
        let query = Query::parse("keys 备用钥匙");
        assert_eq!(
            query.all_stems().as_deref(),
            Some(r#""key"* AND "备 用 钥 匙""#)
        );
        assert_eq!(
            query.any().as_deref(),
            Some(r#""key"* OR "备 用" OR "用 钥" OR "钥 匙""#)
        );
        assert_eq!(Query::parse("架构").all_stems(), None);
        assert_eq!(Query::parse("架构").any(), None);
        assert_eq!(Query::parse("42").all_stems(), None);
    }

    #[test]
    fn words_share_a_stem_with_their_other_forms() {
        for (one, other) in [
            ("battery", "batteries"),
            ("boxes", "box"),
            ("watering", "water"),
            ("parked", "park"),
            ("keys", "key"),
        ] {
            let stem = stem(one).unwrap();
            assert!(
                other.starts_with(stem),
                "{one} -> {stem}, not a part of {other}"
            );
        }
        assert_eq!(stem("key"), None);
        assert_eq!(stem("b42aa"), None);
    }

    proptest! {
        #[test]
        fn no_text_leaks_an_operator(text in ".{0,300}") {
            check_query(&text);
        }

        #[test]
        fn indexing_keeps_every_letter(text in "\\PC{0,80}") {
            let letters = |text: &str| text.chars().map(plain_width).filter(|c| c.is_alphanumeric()).collect::<String>();
            prop_assert_eq!(letters(&indexed(&text)), letters(&text));
        }
    }
}
