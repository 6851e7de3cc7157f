//! Which of the memories that were found are told, and with how much doubt.

use super::super::recall::{Fit, Found, Hit};
use super::super::rules::{Language, replies};
use super::{MemoryUsed, Reply};

/// Memories told in one answer.
const TOLD_MAX: usize = 3;
/// A further memory is told when its score is at least this.
const ALSO_FITS_SCORE: f64 = 0.6;
/// A memory that has only a part of the question is told, with doubt, from this share on.
const COVERED_MIN: f64 = 0.5;

/// Puts what was found into words; `None` when nothing fits well enough.
pub(super) fn told(found: &Found, language: Language) -> Option<Reply> {
    let trust = found.hits.first()?.fit;
    let mut sure: Vec<&Hit> = Vec::new();
    for hit in &found.hits {
        let fits = hit.fit == trust
            && !matches!(trust, Fit::Some | Fit::Meaning)
            && hit.score >= ALSO_FITS_SCORE;
        let is_new = sure.iter().all(|known| known.content != hit.content);
        if fits && is_new && sure.len() < TOLD_MAX {
            sure.push(hit);
        }
    }
    let (content, hits) = match sure.is_empty() {
        false => {
            let contents: Vec<&str> = sure.iter().map(|hit| hit.content.as_str()).collect();
            (replies::told(language, &contents), sure)
        }
        true => {
            let best = found
                .hits
                .iter()
                .filter(|hit| hit.covered >= COVERED_MIN)
                .max_by(|a, b| {
                    a.covered
                        .total_cmp(&b.covered)
                        .then(a.score.total_cmp(&b.score))
                })?;
            (replies::perhaps_told(language, &best.content), vec![best])
        }
    };
    let used = hits
        .iter()
        .map(|hit| MemoryUsed {
            id: hit.id.clone(),
            score: hit.score,
        })
        .collect();
    Some(Reply {
        used,
        ..Reply::says(content)
    })
}
