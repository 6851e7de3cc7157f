//! Everything the room knows, out in one file and back in: `/api/v1/export`, `/api/v1/import`.
//!
//! The file is lines of JSON (alone, or as `magpie.jsonl` of a zip), readable without this
//! program; Markdown is for people alone. Export and import work on threads of their own in small
//! steps, so neither holds the loop, the memory or the write-ahead log for long. Text goes there
//! and back without loss; ids are kept, so a second import changes nothing. An import never
//! changes or removes what is there, and never trusts the file: every line is checked before the
//! first is stored.

use serde_json::{Map, Value, json};

use super::db::archive::{Incoming, TABLES};
use super::error::VoiceError;
use super::memory::is_id;
use crate::clock::UnixMillis;
use crate::limits::{
    CHAT_MESSAGE_BYTES_MAX, DETAIL_ENTRIES_MAX, IMPORT_LINE_BYTES_MAX, MEMORY_BYTES_MAX,
    MEMORY_TAGS_MAX, TAG_CHARS_MAX,
};

pub mod export;
pub mod import;
mod markdown;
#[cfg(test)]
#[path = "round_trip_tests.rs"]
mod round_trip;

/// The lines' file inside a zip.
pub const LINES_FILE: &str = "magpie.jsonl";
/// Folder of the sound inside a zip.
const SOUND_FOLDER: &str = "audio/";
/// Of the form; a newer one is refused.
const VERSION: u64 = 1;

/// The first line of a file.
fn head(now: UnixMillis) -> Value {
    json!({
        "type": "magpie",
        "version": VERSION,
        "program": env!("CARGO_PKG_VERSION"),
        "exported_at": now.rfc3339(),
    })
}

/// One line of a file, checked as far as the line itself tells; `None` for what carries no row.
pub fn parse_line(text: &str, line: usize) -> Result<Option<Incoming>, VoiceError> {
    let wrong = |what: &str| VoiceError::Invalid(format!("line {line}: {what}."));
    if text.len() > IMPORT_LINE_BYTES_MAX {
        return Err(wrong("it is longer than a line of an export can be"));
    }
    if text.trim().is_empty() {
        return Ok(None);
    }
    let row: Map<String, Value> = serde_json::from_str(text)
        .map_err(|_| wrong("it is no JSON object; is this a file of `magpie export`?"))?;
    let kind = row.get("type").and_then(Value::as_str).unwrap_or("");
    let kind = kind.to_owned();
    if kind == "magpie" {
        return match row.get("version").and_then(Value::as_u64) {
            Some(VERSION) => Ok(None),
            _ => Err(wrong(
                "the file is of a newer release; update this box first",
            )),
        };
    }
    check(&kind, row, line).map(Some)
}

/// A row by its kind, with everything that no table would refuse by itself.
fn check(kind: &str, mut row: Map<String, Value>, line: usize) -> Result<Incoming, VoiceError> {
    let wrong = |what: &str| VoiceError::Invalid(format!("line {line}: {what}."));
    let table = TABLES
        .iter()
        .find(|table| table.kind == kind)
        .ok_or_else(|| wrong("its `type` is none that this box knows"))?;
    let id = row
        .get(table.key)
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned();
    if table.key == "date" {
        if !is_date(&id) {
            return Err(wrong("`date` must be a day like 2026-01-02"));
        }
    } else if !table.prefixes.iter().any(|prefix| is_id(&id, prefix)) {
        return Err(wrong(&format!(
            "`id` must be {} and 16 hex digits",
            table.prefixes.join(" or ")
        )));
    }
    let content = row.get("content").and_then(Value::as_str).unwrap_or("");
    let content_max = match kind {
        "memory" => MEMORY_BYTES_MAX,
        "message" => CONTENT_MAX,
        _ => usize::MAX,
    };
    let needs_content = kind == "memory" || kind == "message";
    if needs_content && (content.is_empty() || content.len() > content_max) {
        return Err(wrong("`content` is missing or too long"));
    }
    if kind == "recording" {
        // The work that waited for it stayed where it was; and a name must lead nowhere else.
        row.insert(String::from("state"), json!("done"));
        let name = row.get("file").and_then(Value::as_str);
        if !name.is_none_or(is_sound_name) {
            row.remove("file");
        }
    }
    if row.values().any(has_nul) {
        return Err(wrong("it holds a NUL character"));
    }
    if let Some(tags) = row.get("tags") {
        let list = tags.as_array().map_or(&[][..], Vec::as_slice);
        let fits = |tag: &Value| {
            let tag = tag.as_str().unwrap_or("");
            !tag.trim().is_empty() && tag.chars().count() <= TAG_CHARS_MAX
        };
        if !tags.is_array() || list.len() > MEMORY_TAGS_MAX || !list.iter().all(fits) {
            return Err(wrong("`tags` must be a list of short names"));
        }
    }
    if let Some(facts) = row.get("facts") {
        let list = facts.as_array().map_or(&[][..], Vec::as_slice);
        if !facts.is_array() || list.len() > DETAIL_ENTRIES_MAX || !list.iter().all(is_fact) {
            return Err(wrong(
                "`facts` must be a list of subject, predicate and value",
            ));
        }
    }
    Ok(Incoming {
        table,
        id,
        row,
        line,
    })
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && UnixMillis::parse_rfc3339(&format!("{text}T00:00:00Z")).is_some()
}

fn is_fact(fact: &Value) -> bool {
    let fits = |name: &str| {
        let text = fact[name].as_str().unwrap_or("");
        !text.is_empty() && text.len() <= MEMORY_BYTES_MAX && !text.contains('\0')
    };
    let newer = &fact["superseded_by"];
    ["subject", "predicate", "value"].into_iter().all(fits)
        && (fact["valid_from"].is_null() || fact["valid_from"].is_i64())
        && (newer.is_null() || newer.as_str().is_some_and(|id| is_id(id, "mem_")))
}

/// A plain file name with an end that sound has: no way out of its folder.
fn is_sound_name(name: &str) -> bool {
    const ENDS: &[&str] = &[
        "wav", "flac", "mp3", "ogg", "webm", "m4a", "mp4", "aac", "opus", "json",
    ];
    let plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    plain && name.len() <= 128 && !name.starts_with('.') && ENDS.contains(&end)
}

/// An answer may be longer than a question.
const CONTENT_MAX: usize = CHAT_MESSAGE_BYTES_MAX * 16;

fn has_nul(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_checked_and_its_fault_named() {
        for (text, part) in [
            ("[1]", "no JSON object"),
            ("{", "no JSON object"),
            (r#"{"type":"magpie","version":2}"#, "newer release"),
            (r#"{"type":"settings","id":"x"}"#, "`type`"),
            (r#"{"type":"memory","id":"mem_1","content":"x"}"#, "`id`"),
            (
                r#"{"type":"memory","id":"mem_0000000000000001"}"#,
                "`content`",
            ),
            (
                r#"{"type":"memory","id":"mem_0000000000000001","content":"x","tags":"home"}"#,
                "`tags`",
            ),
            (
                r#"{"type":"tag","id":"tag_0000000000000001","name":"a\u0000b"}"#,
                "NUL",
            ),
            (
                r#"{"type":"memory","id":"mem_0000000000000001","content":"x","facts":[{"subject":"a"}]}"#,
                "`facts`",
            ),
            (r#"{"type":"summary","date":"2026-02-30"}"#, "`date`"),
        ] {
            let told = parse_line(text, 7).unwrap_err().to_string();
            assert!(
                told.contains("line 7") && told.contains(part),
                "{text}: {told}"
            );
        }
        assert!(parse_line("  ", 1).unwrap().is_none());
        let head = head(UnixMillis(0)).to_string();
        assert!(parse_line(&head, 1).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn any_line_is_a_row_or_a_fault(text in ".{0,200}") {
            let _ = parse_line(&text, 1);
        }
    }
}
