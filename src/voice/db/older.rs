//! The tables of the product's first server, read from a file that somebody sent: `sessions` and
//! `knowledge` become conversations, messages and memories.
//!
//! The file is hostile until shown otherwise: it is opened read-only without its views, triggers
//! and functions being trusted, and every value is taken as whatever it is. Ids that are not of
//! our form are hashed, so the same file gives the same rows each time.

use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::store::{Cell, Connection, foreign};
use crate::voice::error::VoiceError;
use crate::voice::memory::{is_id, title_of};

const CATEGORIES: &[&str] = &["technology", "life", "work", "learning", "thought"];

/// Hands every row over as a line of an export; stops at the first that is refused.
pub fn read(
    path: &Path,
    take: &mut dyn FnMut(&'static str, Map<String, Value>) -> Result<(), VoiceError>,
) -> Result<(), VoiceError> {
    let connection = open(path)?;
    let has = |name: &str| -> Result<bool, VoiceError> {
        Ok(connection
            .prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1")?
            .exists([name])?)
    };
    let (sessions, knowledge) = (has("sessions")?, has("knowledge")?);
    if !sessions && !knowledge {
        return Err(VoiceError::Invalid(String::from(
            "The database has neither a table sessions nor a table knowledge.",
        )));
    }
    if sessions {
        rows(&connection, "sessions", &mut |row| session(&row, take))?;
    }
    if knowledge {
        rows(&connection, "knowledge", &mut |row| {
            take("memory", memory(&row))
        })?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<Connection, VoiceError> {
    let connection = foreign(path)?;
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|_| damaged())?;
    match verdict.as_str() {
        "ok" => Ok(connection),
        _ => Err(damaged()),
    }
}

fn damaged() -> VoiceError {
    VoiceError::Invalid(String::from("The database is damaged or none at all."))
}

/// Every column by its name, as text or number.
fn rows(
    connection: &Connection,
    table: &'static str,
    take: &mut dyn FnMut(Map<String, Value>) -> Result<(), VoiceError>,
) -> Result<(), VoiceError> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY rowid"))?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next().map_err(|_| damaged())? {
        let mut object = Map::new();
        for (index, name) in names.iter().enumerate() {
            let value = match row.get::<_, Cell>(index).map_err(|_| damaged())? {
                Cell::Integer(number) => json!(number),
                Cell::Real(number) => json!(number as i64),
                Cell::Text(text) => json!(text),
                Cell::Null | Cell::Blob(_) => continue,
            };
            object.insert(name.clone(), value);
        }
        take(object)?;
    }
    Ok(())
}

fn session(
    row: &Map<String, Value>,
    take: &mut dyn FnMut(&'static str, Map<String, Value>) -> Result<(), VoiceError>,
) -> Result<(), VoiceError> {
    let id = our_id("conv_", text(row, "id"));
    let list: Vec<Value> = serde_json::from_str(text(row, "messages")).unwrap_or_default();
    let messages: Vec<(usize, &str, &str)> = list
        .iter()
        .enumerate()
        .filter_map(|(index, message)| {
            let field = |small: &str, great: &str| {
                let value = message.get(small).or_else(|| message.get(great));
                value.and_then(Value::as_str)
            };
            let role = field("role", "Role")?;
            let content = field("content", "Content")?;
            let known = role == "user" || role == "assistant";
            (known && !content.is_empty()).then_some((index, role, content))
        })
        .collect();
    let (created, updated) = times(row);
    let first = messages.iter().find(|(_, role, _)| *role == "user");
    take(
        "conversation",
        fields(json!({
            "id": id,
            "summary": first.map_or(String::new(), |(_, _, content)| title_of(content)),
            "message_count": messages.len(),
            "created_at": created, "updated_at": updated,
        })),
    )?;
    for (index, role, content) in &messages {
        let message = our_id("msg_", &format!("{}/{index}", text(row, "id")));
        let line = json!({
            "id": message, "conversation_id": id, "role": role, "content": content,
            "timestamp": created, "tokens": 0,
        });
        take("message", fields(line))?;
    }
    Ok(())
}

fn memory(row: &Map<String, Value>) -> Map<String, Value> {
    let content = match text(row, "content") {
        "" => text(row, "summary"),
        content => content,
    };
    let title = match text(row, "title") {
        "" => title_of(content),
        title => title.chars().take(120).collect(),
    };
    let category = text(row, "category");
    let (created, updated) = times(row);
    let mut out = fields(json!({
        "id": our_id("mem_", text(row, "id")),
        "content": content,
        "title": title,
        "category": if CATEGORIES.contains(&category) { category } else { "life" },
        "importance": match text(row, "importance") { "high" => "high", "low" => "low", _ => "normal" },
        "source": "import",
        "created_at": created, "updated_at": updated,
    }));
    for name in ["summary", "sentiment"] {
        if !text(row, name).is_empty() {
            out.insert(name.to_owned(), json!(text(row, name)));
        }
    }
    // JSON of its own stays as it was written, unless it says nothing.
    for name in [
        "key_points",
        "entities",
        "relations",
        "observations",
        "action_items",
    ] {
        if !["", "null", "[]", "{}"].contains(&text(row, name)) {
            out.insert(name.to_owned(), json!(text(row, name)));
        }
    }
    if !text(row, "session_id").is_empty() {
        let id = our_id("conv_", text(row, "session_id"));
        out.insert(String::from("conversation_id"), json!(id));
    }
    let mut tags: Vec<String> = serde_json::from_str(text(row, "tags")).unwrap_or_default();
    tags.retain(|tag| !tag.trim().is_empty());
    if !tags.is_empty() {
        out.insert(String::from("tags"), json!(tags));
    }
    let mut kept = Map::new();
    for name in ["id", "category", "source", "audio_url"] {
        if !text(row, name).is_empty() {
            kept.insert(name.to_owned(), json!(text(row, name)));
        }
    }
    if let Ok(Value::Object(more)) = serde_json::from_str(text(row, "metadata")) {
        kept.insert(String::from("metadata"), Value::Object(more));
    }
    let metadata = json!({ "imported": kept });
    out.insert(String::from("metadata"), json!(metadata.to_string()));
    out
}

fn text<'a>(row: &'a Map<String, Value>, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or("")
}

/// Seconds, as that server wrote them; a time that cannot be is 1970.
fn times(row: &Map<String, Value>) -> (i64, i64) {
    let ms = |name: &str| {
        let seconds = row.get(name).and_then(Value::as_i64).unwrap_or(0);
        let possible = (0..253_402_300_799).contains(&seconds);
        if possible { seconds * 1_000 } else { 0 }
    };
    let created = ms("created_at");
    (created, ms("updated_at").max(created))
}

fn our_id(prefix: &str, id: &str) -> String {
    if is_id(id, prefix) {
        return id.to_owned();
    }
    let hash = Sha256::digest(format!("{prefix}{id}"));
    let hex: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}{hex}")
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMillis;

    #[test]
    fn a_missing_time_is_the_epoch() {
        let (created, updated) = times(&Map::new());
        assert_eq!(UnixMillis(created).rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(created, updated);
    }
}
