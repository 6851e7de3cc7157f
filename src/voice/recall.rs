//! Finding the memories that answer a question, and putting the best first.
//!
//! A search goes in up to three steps, each wider and each only when the steps before found too
//! little: every term as written, every term also as the beginning of a longer word, any part of
//! any term. Rank is bm25 times recency times importance; a wider step never outranks a
//! narrower one, and a pinned memory comes first within its step.

use crate::clock::UnixMillis;
use crate::limits::{QUERY_CHARS_MAX, SEARCH_CANDIDATES_MAX, VECTOR_CANDIDATES_MAX};
use crate::store::Connection;

use super::db;
use super::error::VoiceError;
use super::index::{Query, Term, is_cjk, plain_width, stem};
use super::memory::MemoryFilter;
use super::rules::words::{QUESTION_WORDS_EN, QUESTION_WORDS_ZH};
use super::vectors::{self, Vector};

/// A step that brings the hits to this many is the last.
const HITS_ENOUGH: usize = 3;

/// Days after which recency has fallen by 1/e of its way from 1 to 0.5.
const RECENCY_DAYS: f64 = 90.0;

const SNIPPET_CHARS: usize = 120;

/// A question is looked at so far for its subject.
const SUBJECT_CHARS_MAX: usize = 4 * QUERY_CHARS_MAX;

/// How a memory came to be found; the order is the order of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// Every term as written.
    All,
    /// Every term, some only by their stem.
    Stems,
    /// Some parts of some terms.
    Some,
    /// None of its words: by its meaning alone.
    Meaning,
}

/// What found a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    Text,
    Vector,
    Both,
}

#[derive(Clone, Debug)]
pub struct Hit {
    pub id: String,
    pub title: String,
    pub content: String,
    pub category: String,
    pub created_at: UnixMillis,
    /// 0..=1, the best of a search has 1.
    pub score: f64,
    pub fit: Fit,
    /// Share of the query's terms that are in the memory, 0..=1.
    pub covered: f64,
    pub why: Why,
    /// The memory that took this one's place.
    pub superseded_by: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Found {
    pub hits: Vec<Hit>,
    /// All that matched, also beyond the limit.
    pub total: usize,
}

/// Searches on a read-only connection; an empty query finds nothing.
pub fn search(
    connection: &Connection,
    query: &Query,
    filter: &MemoryFilter,
    now: UnixMillis,
    limit: usize,
) -> Result<Found, VoiceError> {
    let (ranked, total) = by_words(connection, query, filter, now, limit)?;
    let hits = ranked
        .into_iter()
        .take(limit)
        .map(|ranked| hit(connection, query, ranked))
        .collect::<Result<_, _>>()?;
    Ok(Found { hits, total })
}

/// Searches by words, and by the meaning of the text where that is known, and merges both by
/// their places: one over (60 + place), summed. A pinned memory keeps its place among the words'.
pub fn search_both(
    connection: &Connection,
    query: &Query,
    meaning: Option<&(String, Vector)>,
    filter: &MemoryFilter,
    now: UnixMillis,
    limit: usize,
) -> Result<Found, VoiceError> {
    let Some((model, vector)) = meaning else {
        return search(connection, query, filter, now, limit);
    };
    let (by_words, total) = by_words(connection, query, filter, now, limit)?;
    let mut by_meaning = Vec::new();
    for seq in vectors::nearest(connection, model, vector, VECTOR_CANDIDATES_MAX)? {
        if let Some(found) = db::search::match_of(connection, seq, filter)? {
            by_meaning.push(found);
        }
    }
    let only_meaning = by_meaning
        .iter()
        .filter(|near| !by_words.iter().any(|ranked| ranked.seq == near.seq))
        .count();
    let hits = fused(by_words, &by_meaning)
        .into_iter()
        .take(limit)
        .map(|ranked| hit(connection, query, ranked))
        .collect::<Result<_, _>>()?;
    Ok(Found {
        hits,
        total: total + only_meaning,
    })
}

/// Reciprocal rank fusion; the best has the score 1.
fn fused(by_words: Vec<Ranked>, by_meaning: &[db::search::Match]) -> Vec<Ranked> {
    const K: f64 = 60.0;
    let part = |place: usize| 1.0 / (K + place as f64 + 1.0);
    let mut all: Vec<Ranked> = by_words
        .into_iter()
        .enumerate()
        .map(|(place, ranked)| Ranked {
            score: part(place),
            ..ranked
        })
        .collect();
    for (place, near) in by_meaning.iter().enumerate() {
        match all.iter_mut().find(|ranked| ranked.seq == near.seq) {
            Some(known) => {
                known.score += part(place);
                known.why = Why::Both;
            }
            None => all.push(Ranked {
                seq: near.seq,
                fit: Fit::Meaning,
                score: part(place),
                created_at: near.created_at,
                why: Why::Vector,
            }),
        }
    }
    all.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then(b.created_at.cmp(&a.created_at))
            .then(b.seq.cmp(&a.seq))
    });
    let top = all.first().map_or(1.0, |first| first.score);
    for one in &mut all {
        one.score = (one.score / top * 1_000.0).round() / 1_000.0;
    }
    all
}

/// The best by words, in order, and how many matched in all.
fn by_words(
    connection: &Connection,
    query: &Query,
    filter: &MemoryFilter,
    now: UnixMillis,
    limit: usize,
) -> Result<(Vec<Ranked>, usize), VoiceError> {
    if query.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let steps = [
        (Fit::All, Some(query.all())),
        (Fit::Stems, query.all_stems()),
        (Fit::Some, query.any()),
    ];
    let mut found: Vec<Weighed> = Vec::new();
    let mut total = 0;
    for (fit, expression) in steps {
        if total >= HITS_ENOUGH {
            break;
        }
        let Some(expression) = expression else {
            continue;
        };
        let mut best = Best::of(limit.max(SEARCH_CANDIDATES_MAX));
        db::search::matches(connection, &expression, filter, |new| {
            best.offer(Weighed {
                fit,
                weight: weight(&new, now),
                found: new,
            });
        })?;
        // Each step also finds what the steps before it found.
        total = total.max(best.offered);
        for new in best.kept() {
            if !found.iter().any(|known| known.found.seq == new.found.seq) {
                found.push(new);
            }
        }
    }
    Ok((ranked(found), total))
}

/// Reads the text of what is shown.
fn hit(connection: &Connection, query: &Query, ranked: Ranked) -> Result<Hit, VoiceError> {
    let text = db::search::match_text(connection, ranked.seq)?;
    Ok(Hit {
        covered: match ranked.fit {
            Fit::All | Fit::Stems => 1.0,
            Fit::Some | Fit::Meaning => covered(query, &text.title, &text.content),
        },
        id: text.id,
        title: text.title,
        content: text.content,
        category: text.category,
        created_at: ranked.created_at,
        score: ranked.score,
        fit: ranked.fit,
        why: ranked.why,
        superseded_by: text.superseded_by,
    })
}

/// A message in which a query was found.
#[derive(Clone, Debug)]
pub struct MessageHit {
    pub id: String,
    pub conversation_id: String,
    pub role: String,
    pub content: String,
    pub created_at: UnixMillis,
    /// 0..=1, the best of a search has 1.
    pub score: f64,
}

/// Searches what was said: every term first, any part of any term when too little is found.
pub fn search_messages(
    connection: &Connection,
    query: &Query,
    filter: &MemoryFilter,
    limit: usize,
) -> Result<Vec<MessageHit>, VoiceError> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = db::search::messages(connection, &query.all(), filter, limit)?;
    let exact = found.len();
    if exact < HITS_ENOUGH
        && let Some(wider) = query.any()
    {
        for new in db::search::messages(connection, &wider, filter, limit)? {
            if !found.iter().any(|known| known.id == new.id) {
                found.push(new);
            }
        }
    }
    found.truncate(limit);
    let best = found.first().map_or(1.0, |best| best.text_rank);
    let score = |(index, found): (usize, db::search::MessageMatch)| MessageHit {
        score: match index < exact || exact == 0 {
            true => (found.text_rank / best).min(1.0),
            false => 0.5 * (found.text_rank / best).min(1.0),
        },
        id: found.id,
        conversation_id: found.conversation_id,
        role: found.role,
        content: found.content,
        created_at: found.created_at,
    };
    Ok(found.into_iter().enumerate().map(score).collect())
}

#[derive(Clone, Copy, Debug)]
struct Weighed {
    fit: Fit,
    weight: f64,
    found: db::search::Match,
}

impl Weighed {
    /// Best first: by trust, then pinned, then by weight; of equals the newer.
    fn order(&self, other: &Weighed) -> std::cmp::Ordering {
        let (a, b) = (&self.found, &other.found);
        self.fit
            .cmp(&other.fit)
            .then(b.pinned.cmp(&a.pinned))
            .then(other.weight.total_cmp(&self.weight))
            .then(b.created_at.cmp(&a.created_at))
            .then(b.seq.cmp(&a.seq))
    }
}

/// The best of any number of matches, in bounded room.
struct Best {
    room: usize,
    some: Vec<Weighed>,
    offered: usize,
}

impl Best {
    fn of(room: usize) -> Best {
        Best {
            room,
            some: Vec::new(),
            offered: 0,
        }
    }

    fn offer(&mut self, new: Weighed) {
        self.offered += 1;
        self.some.push(new);
        if self.some.len() >= 2 * self.room {
            self.some.select_nth_unstable_by(self.room, Weighed::order);
            self.some.truncate(self.room);
        }
    }

    fn kept(mut self) -> Vec<Weighed> {
        self.some.sort_by(Weighed::order);
        self.some.truncate(self.room);
        self.some
    }
}

/// A match with its place decided.
#[derive(Clone, Copy, Debug)]
struct Ranked {
    seq: i64,
    fit: Fit,
    score: f64,
    created_at: UnixMillis,
    why: Why,
}

/// Orders matches and gives each its score.
fn ranked(mut weighed: Vec<Weighed>) -> Vec<Ranked> {
    weighed.sort_by(Weighed::order);
    let best = |wanted: Fit| {
        weighed
            .iter()
            .filter(|one| one.fit == wanted)
            .map(|one| one.weight)
            .fold(f64::MIN_POSITIVE, f64::max)
    };
    let best = [best(Fit::All), best(Fit::Stems), best(Fit::Some)];
    let ceiling = |fit: Fit| [1.0, 0.8, 0.5][fit as usize];
    let mut ranked: Vec<Ranked> = weighed
        .into_iter()
        .map(|one| Ranked {
            seq: one.found.seq,
            fit: one.fit,
            score: ceiling(one.fit) * (one.weight / best[one.fit as usize]),
            created_at: one.found.created_at,
            why: Why::Text,
        })
        .collect();
    // Order is decided above; scores must not contradict it, and the first has 1.
    let mut below: f64 = 0.0;
    for one in ranked.iter_mut().rev() {
        below = below.max(one.score);
        one.score = below;
    }
    let top = ranked.first().map_or(1.0, |first| first.score);
    for one in &mut ranked {
        one.score = (one.score / top * 1_000.0).round() / 1_000.0;
    }
    ranked
}

/// bm25 times recency times importance.
fn weight(found: &db::search::Match, now: UnixMillis) -> f64 {
    let age_days = (now.0.saturating_sub(found.created_at.0)).max(0) as f64 / 86_400_000.0;
    let recency = 0.5 + 0.5 * (-age_days / RECENCY_DAYS).exp();
    found.text_rank * recency * found.importance.weight()
}

/// Share of a query's terms in a text. Accents count as written, unlike in the index.
fn covered(query: &Query, title: &str, content: &str) -> f64 {
    let text: String = format!("{title}\n{content}")
        .chars()
        .map(plain_width)
        .flat_map(char::to_lowercase)
        .collect();
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric() || is_cjk(c))
        .collect();
    let share = |term: &Term| match term {
        Term::Words(wanted) => {
            let there = wanted.iter().filter(|wanted| {
                let stem = stem(wanted).unwrap_or(wanted);
                words.iter().any(|word| {
                    *word == wanted.as_str() || (stem.len() > 3 && word.starts_with(stem))
                })
            });
            there.count() as f64 / wanted.len() as f64
        }
        Term::Run(run) => {
            let pairs = run.windows(2.min(run.len()));
            let count = pairs.len() as f64;
            let there = pairs.filter(|pair| text.contains(&pair.iter().collect::<String>()));
            there.count() as f64 / count
        }
    };
    let terms = query.terms();
    terms.iter().map(share).sum::<f64>() / terms.len().max(1) as f64
}

/// What a question is about: its terms without the words every question has.
pub fn subject(question: &str) -> Query {
    let mut bare: String = question
        .chars()
        .take(SUBJECT_CHARS_MAX)
        .flat_map(char::to_lowercase)
        .collect();
    for word in QUESTION_WORDS_ZH {
        if bare.contains(word) {
            bare = bare.replace(word, " ");
        }
    }
    Query::parse(&bare).without(|term| match term {
        Term::Words(words) => words
            .iter()
            .all(|word| QUESTION_WORDS_EN.contains(&word.as_str())),
        Term::Run(_) => false,
    })
}

/// Up to 120 characters of `content` around the first place where the query is found.
pub fn snippet(content: &str, query: &Query) -> String {
    let chars: Vec<char> = content
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if chars.len() <= SNIPPET_CHARS {
        return chars.into_iter().collect();
    }
    let folded: Vec<char> = chars
        .iter()
        .map(|c| plain_width(*c).to_lowercase().next().unwrap_or(*c))
        .collect();
    let at = query
        .terms()
        .iter()
        .filter_map(|term| {
            let wanted: Vec<char> = match term {
                Term::Words(words) => words.first()?.chars().collect(),
                Term::Run(run) => run.clone(),
            };
            folded.windows(wanted.len()).position(|part| part == wanted)
        })
        .min()
        .unwrap_or(0);
    let start = at
        .saturating_sub(SNIPPET_CHARS / 3)
        .min(chars.len() - SNIPPET_CHARS);
    let end = start + SNIPPET_CHARS;
    let mut cut = String::new();
    if start > 0 {
        cut.push('…');
    }
    cut.extend(&chars[start..end]);
    if end < chars.len() {
        cut.push('…');
    }
    cut
}

/// Tokens a text costs a model, roughly: a CJK character 1, four other bytes 1, and a tenth more.
pub fn estimated_tokens(text: &str) -> u32 {
    let (mut cjk, mut other_bytes) = (0usize, 0usize);
    for c in text.chars() {
        match is_cjk(c) {
            true => cjk += 1,
            false => other_bytes += c.len_utf8(),
        }
    }
    ((cjk as f64 + other_bytes as f64 / 4.0) * 1.1).ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice::memory::Importance;

    fn found(seq: i64, rank: f64, age_days: i64) -> db::search::Match {
        db::search::Match {
            seq,
            importance: Importance::Normal,
            pinned: false,
            created_at: UnixMillis(-age_days * 86_400_000),
            text_rank: rank,
        }
    }

    fn order(found: Vec<(Fit, db::search::Match)>) -> Vec<(i64, f64)> {
        let weigh = |(fit, found): (Fit, db::search::Match)| Weighed {
            fit,
            weight: weight(&found, UnixMillis(0)),
            found,
        };
        ranked(found.into_iter().map(weigh).collect())
            .into_iter()
            .map(|hit| (hit.seq, hit.score))
            .collect()
    }

    #[test]
    fn age_and_importance_weigh_and_the_best_has_one() {
        let (new, old) = (found(1, 1.0, 0), found(2, 1.0, 100_000));
        let high = db::search::Match {
            importance: Importance::High,
            ..found(3, 1.0, 0)
        };
        let hits = order(vec![(Fit::All, new), (Fit::All, old), (Fit::All, high)]);
        assert_eq!(hits, [(3, 1.0), (1, 0.769), (2, 0.385)]);
    }

    #[test]
    fn a_wider_step_never_outranks_and_pinned_comes_first_in_its_own() {
        let (loose, strict) = (found(1, 99.0, 0), found(2, 1.0, 0));
        let pinned = db::search::Match {
            pinned: true,
            ..found(3, 0.1, 500)
        };
        let hits = order(vec![
            (Fit::Some, loose),
            (Fit::All, strict),
            (Fit::All, pinned),
        ]);
        assert_eq!(hits, [(3, 1.0), (2, 1.0), (1, 0.5)]);
    }

    #[test]
    fn the_best_are_kept_whatever_comes_after_them() {
        let mut best = Best::of(3);
        for seq in 0..1_000 {
            let rank = ((seq * 7_919) % 1_000) as f64;
            best.offer(Weighed {
                fit: Fit::All,
                weight: rank,
                found: found(seq, rank, 0),
            });
        }
        assert_eq!(best.offered, 1_000);
        let weights: Vec<f64> = best.kept().iter().map(|one| one.weight).collect();
        assert_eq!(weights, [999.0, 998.0, 997.0]);
    }

    #[test]
    fn a_memory_from_the_future_counts_as_new() {
        let hits = order(vec![
            (Fit::All, found(1, 1.0, -4_000)),
            (Fit::All, found(2, 1.0, 0)),
        ]);
        assert_eq!(hits, [(1, 1.0), (2, 1.0)]);
    }

    #[test]
    fn a_question_is_reduced_to_its_subject() {
        for (question, subject_of_it) in [
            ("where is my spare key", r#""spare" AND "key""#),
            ("What's the WiFi password?", r#""wifi" AND "password""#),
            ("备用钥匙在哪里？", r#""备 用 钥 匙""#),
            ("我的护照放在哪儿", r#""护 照""#),
            ("妈妈的生日是什么时候", r#""妈 妈" AND "生 日""#),
            ("WiFi密码是多少", r#""wifi" AND "密 码""#),
            ("where is it", ""),
        ] {
            assert_eq!(subject(question).all(), subject_of_it, "{question}");
        }
    }

    #[test]
    fn a_snippet_shows_the_place_of_the_word() {
        let content = format!("{}needle{}", "hay ".repeat(100), " hay".repeat(100));
        let snippet = snippet(&content, &Query::parse("NEEDLE"));
        assert!(snippet.contains("needle"), "{snippet}");
        assert!(snippet.chars().count() <= SNIPPET_CHARS + 2);
        assert_eq!(super::snippet("short", &Query::parse("none")), "short");
    }

    #[test]
    fn tokens_are_estimated_by_script() {
        assert_eq!(estimated_tokens("你好"), 3);
        assert_eq!(estimated_tokens("12345678"), 3);
        assert_eq!(estimated_tokens(""), 0);
    }
}
