//! What may be filed by itself: the unfiled part of conversations, and suggestions.

use serde::Serialize;

use super::{Time, conversations, memories};
use crate::clock::UnixMillis;
use crate::limits::{ORGANIZE_CHARS_MAX, SUGGESTIONS_MAX};
use crate::store::{Connection, OptionalExtension, params};
use crate::voice::error::VoiceError;
use crate::voice::index::Query;
use crate::voice::memory::{Forget, NewMemory, Page, title_of};
use crate::voice::organize::{Extracted, Filed};

/// Messages that one look for what must not be filed marks at most.
const MARKED_MAX: i64 = 500;

/// A message that may be filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub by_person: bool,
    pub content: String,
}

/// The part of a conversation that filing has not seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfiled {
    pub said: Vec<Said>,
    pub last_seq: i64,
    /// There is more than one filing takes.
    pub is_cut: bool,
}

/// Conversations in which nothing was said since `idle` and of which something is unfiled.
pub fn idle(
    connection: &Connection,
    since: UnixMillis,
    idle: UnixMillis,
    limit: usize,
) -> Result<Vec<String>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT c.id FROM conversations c
         WHERE c.updated_at >= ?1 AND c.updated_at <= ?2
           AND EXISTS (SELECT 1 FROM messages m WHERE m.conversation_id = c.id
                       AND m.seq > c.filed_seq AND m.is_private = 0)
           AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.kind = 'organize' AND j.subject = c.id
                           AND j.state <> 'done')
         ORDER BY c.updated_at LIMIT ?3",
    )?;
    let ids = statement.query_map(params![since.0, idle.0, limit as i64], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// What was said and not filed, without what is private and what is a memory already.
pub fn unfiled(connection: &Connection, conversation: &str) -> Result<Unfiled, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT m.seq, m.role = 'user', m.content, m.is_private,
                EXISTS (SELECT 1 FROM memories x WHERE x.message_id = m.id)
         FROM messages m JOIN conversations c ON c.id = m.conversation_id
         WHERE m.conversation_id = ?1 AND m.seq > c.filed_seq ORDER BY m.seq",
    )?;
    let mut rows = statement.query([conversation])?;
    let mut unfiled = Unfiled::default();
    let mut chars = 0;
    // The answer to what is left out goes with it.
    let mut is_kept_already = false;
    while let Some(row) = rows.next()? {
        let (by_person, content): (bool, String) = (row.get(1)?, row.get(2)?);
        if by_person {
            is_kept_already = row.get(4)?;
        }
        let left_out = is_kept_already || row.get(3)?;
        let length = content.chars().count();
        if !left_out && chars + length > ORGANIZE_CHARS_MAX && !unfiled.said.is_empty() {
            unfiled.is_cut = true;
            break;
        }
        unfiled.last_seq = row.get(0)?;
        if !left_out {
            chars += length;
            unfiled.said.push(Said { by_person, content });
        }
    }
    Ok(unfiled)
}

/// Stores what came of filing a conversation up to a message, once: `None` when it was done
/// before, or the conversation is gone, or something of it has become private meanwhile.
pub fn file(
    connection: &Connection,
    conversation: &str,
    seen: &Unfiled,
    found: &[NewMemory],
    as_suggestions: bool,
    now: UnixMillis,
) -> Result<Option<Filed>, VoiceError> {
    let mut unchanged = unfiled(connection, conversation)?;
    unchanged.said.truncate(seen.said.len());
    if unchanged.said != seen.said || unchanged.last_seq < seen.last_seq || seen.last_seq == 0 {
        return Ok(None);
    }
    connection
        .prepare_cached("UPDATE conversations SET filed_seq = ?2 WHERE id = ?1")?
        .execute(params![conversation, seen.last_seq])?;
    for memory in found {
        match as_suggestions {
            true => suggest(connection, memory, now)?,
            false => memories::insert(connection, memory)?,
        }
    }
    Ok(Some(match as_suggestions {
        true => Filed::Suggested(found.len()),
        false => Filed::Stored(found.iter().map(NewMemory::saved).collect()),
    }))
}

/// Nothing that was said so far in a conversation is to be filed.
pub fn skip(connection: &Connection, conversation: &str) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "UPDATE conversations SET filed_seq = coalesce(
                (SELECT max(seq) FROM messages WHERE conversation_id = ?1), filed_seq) WHERE id = ?1",
        )?
        .execute([conversation])?;
    Ok(())
}

/// The last turn of a conversation is private from now on.
pub fn hide_last_turn(connection: &Connection, conversation: &str) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "UPDATE messages SET is_private = 1 WHERE seq IN
                (SELECT seq FROM messages WHERE conversation_id = ?1 ORDER BY seq DESC LIMIT 2)",
        )?
        .execute([conversation])?;
    Ok(())
}

/// A message and the answer to it.
pub fn never_file_message(connection: &Connection, id: Option<&str>) -> Result<(), VoiceError> {
    let Some(id) = id else { return Ok(()) };
    connection
        .prepare_cached(
            "UPDATE messages SET is_private = 1
             WHERE id = ?1 OR (role = 'assistant' AND seq = (
                SELECT min(m.seq) FROM messages m JOIN messages p ON m.conversation_id = p.conversation_id
                WHERE p.id = ?1 AND m.seq > p.seq))",
        )?
        .execute([id])?;
    Ok(())
}

/// Every unfiled message that holds all words of a query.
pub fn never_file_matching(connection: &Connection, query: &Query) -> Result<(), VoiceError> {
    if query.is_empty() {
        return Ok(());
    }
    connection
        .prepare_cached(
            "UPDATE messages SET is_private = 1 WHERE seq IN
                (SELECT m.seq FROM message_index i JOIN messages m ON m.seq = i.rowid
                 JOIN conversations c ON c.id = m.conversation_id
                 WHERE message_index MATCH ?1 AND m.seq > c.filed_seq LIMIT ?2)",
        )?
        .execute(params![query.all(), MARKED_MAX])?;
    Ok(())
}

/// What a person forgets is neither filed later nor proposed.
pub fn forget(connection: &Connection, what: &Forget) -> Result<(), VoiceError> {
    match what {
        Forget::Matching(query) => {
            never_file_matching(connection, query)?;
            for (id, memory) in pending(connection)? {
                if query.is_in(&format!("{} {}", memory.title, memory.content)) {
                    refuse(connection, &id)?;
                }
            }
        }
        Forget::Conversation(id) => {
            skip(connection, id)?;
            connection
                .prepare_cached("DELETE FROM suggestions WHERE conversation_id = ?1")?
                .execute([id])?;
        }
        Forget::Between(since, until) => {
            connection
                .prepare_cached(
                    "UPDATE messages SET is_private = 1
                     WHERE timestamp >= ?1 AND timestamp < ?2 AND is_private = 0",
                )?
                .execute([since.0, until.0])?;
            connection
                .prepare_cached(
                    "DELETE FROM suggestions WHERE created_at >= ?1 AND created_at < ?2",
                )?
                .execute([since.0, until.0])?;
        }
        Forget::These(_) => {}
        Forget::Everything => {
            connection.execute(
                "UPDATE conversations SET filed_seq = (SELECT coalesce(max(seq), 0) FROM messages)",
                [],
            )?;
            connection.execute("DELETE FROM suggestions", [])?;
        }
    }
    Ok(())
}

/// The oldest go when there are too many.
fn suggest(connection: &Connection, memory: &NewMemory, now: UnixMillis) -> Result<(), VoiceError> {
    let json = serde_json::to_string(memory)
        .map_err(|error| VoiceError::Invalid(format!("a suggestion as JSON: {error}")))?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO suggestions (id, conversation_id, memory, created_at)
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![memory.id, memory.conversation_id, json, now.0])?;
    connection
        .prepare_cached(
            "DELETE FROM suggestions WHERE id IN
                (SELECT id FROM suggestions ORDER BY created_at DESC, id LIMIT -1 OFFSET ?1)",
        )?
        .execute([SUGGESTIONS_MAX as i64])?;
    Ok(())
}

fn pending(connection: &Connection) -> Result<Vec<(String, NewMemory)>, VoiceError> {
    let mut statement = connection.prepare_cached("SELECT id, memory FROM suggestions")?;
    let rows = statement.query_map([], |row| row.try_into())?;
    let rows: Vec<(String, String)> = rows.collect::<Result<_, _>>()?;
    Ok(rows
        .into_iter()
        .filter_map(|(id, json)| Some((id, serde_json::from_str(&json).ok()?)))
        .collect())
}

/// A suggestion as clients see it.
#[derive(Serialize)]
pub struct Suggestion {
    id: String,
    conversation_id: Option<String>,
    content: String,
    title: String,
    summary: Option<String>,
    category: String,
    tags: Vec<String>,
    importance: &'static str,
    created_at: Time,
}

/// Newest first, and how many there are.
pub fn suggestions(
    connection: &Connection,
    page: Page,
) -> Result<(Vec<Suggestion>, i64), VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, conversation_id, memory, created_at FROM suggestions
         ORDER BY created_at DESC, id LIMIT ?1 OFFSET ?2",
    )?;
    let rows = statement.query_map(params![page.limit as i64, page.offset as i64], |row| {
        row.try_into()
    })?;
    let rows: Vec<(String, Option<String>, String, i64)> = rows.collect::<Result<_, _>>()?;
    let total = connection.query_row("SELECT count(*) FROM suggestions", [], |row| row.get(0))?;
    let shown = rows
        .into_iter()
        .filter_map(|(id, conversation_id, json, created_at)| {
            let memory: NewMemory = serde_json::from_str(&json).ok()?;
            Some(Suggestion {
                id,
                conversation_id,
                content: memory.content,
                title: memory.title,
                summary: memory.summary,
                category: memory.category,
                tags: memory.tags,
                importance: memory.importance.name(),
                created_at: Time(created_at),
            })
        })
        .collect();
    Ok((shown, total))
}

/// How many suggestions wait.
pub fn waiting(connection: &Connection) -> Result<i64, VoiceError> {
    Ok(connection
        .prepare_cached("SELECT count(*) FROM suggestions")?
        .query_row([], |row| row.get(0))?)
}

/// Makes a suggestion a memory under its id; `None`: there is no such suggestion.
pub fn accept(connection: &Connection, id: &str) -> Result<Option<NewMemory>, VoiceError> {
    let json: Option<String> = connection
        .prepare_cached("DELETE FROM suggestions WHERE id = ?1 RETURNING memory")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(memory) = json.and_then(|json| serde_json::from_str::<NewMemory>(&json).ok()) else {
        return Ok(None);
    };
    memories::insert(connection, &memory)?;
    Ok(Some(memory))
}

/// `false`: there is no such suggestion.
pub fn refuse(connection: &Connection, id: &str) -> Result<bool, VoiceError> {
    let gone = connection
        .prepare_cached("DELETE FROM suggestions WHERE id = ?1")?
        .execute([id])?;
    Ok(gone > 0)
}

/// Memories that a model is to file and that no job is for yet.
pub fn to_organize(connection: &Connection, limit: usize) -> Result<Vec<String>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT m.id FROM memories m WHERE m.wants_organizing = 1
           AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.kind = 'organize' AND j.subject = m.id
                           AND j.state <> 'done')
         ORDER BY m.seq LIMIT ?1",
    )?;
    let ids = statement.query_map([limit as i64], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// A memory that waits for a model: its text, and when it was changed.
pub fn unorganized(
    connection: &Connection,
    id: &str,
) -> Result<Option<(String, UnixMillis)>, VoiceError> {
    Ok(connection
        .prepare_cached(
            "SELECT content, updated_at FROM memories WHERE id = ?1 AND wants_organizing = 1",
        )?
        .query_row([id], |row| Ok((row.get(0)?, UnixMillis(row.get(1)?))))
        .optional()?)
}

/// No model is to file it any more.
pub fn leave_unorganized(connection: &Connection, id: &str) -> Result<(), VoiceError> {
    connection
        .prepare_cached("UPDATE memories SET wants_organizing = 0 WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// Fills in what a model found; what a person chose stays. `false`: the memory has changed since
/// it was read.
pub fn organized(
    connection: &Connection,
    id: &str,
    read: &(String, UnixMillis),
    extracted: Extracted,
    now: UnixMillis,
) -> Result<bool, VoiceError> {
    if unorganized(connection, id)?.as_ref() != Some(read) {
        return Ok(false);
    }
    let mut patch = extracted.patch();
    connection
        .prepare_cached(
            "SELECT title <> ?2, summary IS NOT NULL, category <> 'life', importance <> 'normal',
                EXISTS (SELECT 1 FROM memory_tags WHERE memory_id = ?1), key_points IS NOT NULL,
                entities IS NOT NULL, relations IS NOT NULL, observations IS NOT NULL,
                action_items IS NOT NULL, sentiment IS NOT NULL,
                EXISTS (SELECT 1 FROM facts WHERE memory_id = ?1)
             FROM memories WHERE id = ?1",
        )?
        .query_row([id, &title_of(&read.0)], |row| {
            let details = &mut patch.details;
            keep(&mut patch.title, row.get(0)?);
            keep(&mut patch.summary, row.get(1)?);
            keep(&mut patch.category, row.get(2)?);
            keep(&mut patch.importance, row.get(3)?);
            keep(&mut patch.tags, row.get(4)?);
            keep(&mut details.key_points, row.get(5)?);
            keep(&mut details.entities, row.get(6)?);
            keep(&mut details.relations, row.get(7)?);
            keep(&mut details.observations, row.get(8)?);
            keep(&mut details.action_items, row.get(9)?);
            keep(&mut details.sentiment, row.get(10)?);
            keep(&mut details.facts, row.get(11)?);
            Ok(())
        })?;
    memories::update(connection, id, &patch, now)?;
    connection
        .prepare_cached(
            "UPDATE memories SET organized_at = ?2, wants_organizing = 0 WHERE id = ?1",
        )?
        .execute(params![id, now.0])?;
    Ok(true)
}

/// What is there already is not written over.
fn keep<T>(new: &mut Option<T>, is_there: bool) {
    if is_there {
        *new = None;
    }
}

/// Whether a job waits, runs or was given up.
pub fn has_job(connection: &Connection, kind: &str, subject: &str) -> Result<bool, VoiceError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM jobs WHERE kind = ?1 AND subject = ?2 AND state <> 'done'")?
        .exists([kind, subject])?)
}

/// The last part of a conversation, without what is private; `None`: there is no such one.
pub fn transcript(
    connection: &Connection,
    conversation: &str,
) -> Result<Option<Vec<Said>>, VoiceError> {
    if !conversations::exists(connection, conversation)? {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(
        "SELECT role = 'user', content FROM messages WHERE conversation_id = ?1 AND is_private = 0
         ORDER BY seq DESC LIMIT 200",
    )?;
    let rows = statement.query_map([conversation], |row| {
        Ok(Said {
            by_person: row.get(0)?,
            content: row.get(1)?,
        })
    })?;
    let mut said: Vec<Said> = Vec::new();
    let mut chars = 0;
    for row in rows {
        let row = row?;
        chars += row.content.chars().count();
        if chars > ORGANIZE_CHARS_MAX && !said.is_empty() {
            break;
        }
        said.push(row);
    }
    said.reverse();
    Ok(Some(said))
}
