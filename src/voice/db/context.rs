//! The sides of a turn that a model answers, each stored when it is there, and what a model is
//! shown of what was said before.

use super::conversations::NewMessage;
use crate::clock::UnixMillis;
use crate::store::{Connection, OptionalExtension, params};
use crate::voice::error::VoiceError;
use crate::voice::prompt::{Note, Said};

/// The person's side, with the conversation where it does not exist yet; inside a transaction. The
/// id of its message: another one where the same recording was asked about here before.
pub fn insert_question(
    connection: &Connection,
    conversation: &str,
    summary: &str,
    message: &NewMessage,
    at: UnixMillis,
) -> Result<String, VoiceError> {
    if let Some(recording) = &message.recording_id
        && let Some((id, place)) = super::conversations::question_of(connection, recording)?
        && place == conversation
    {
        return Ok(id);
    }
    connection
        .prepare_cached(
            "INSERT INTO conversations (id, summary, message_count, created_at, updated_at)
             VALUES (?1, ?2, 1, ?3, ?3)
             ON CONFLICT (id) DO UPDATE SET
                message_count = message_count + 1,
                updated_at = max(updated_at, excluded.updated_at),
                summary = CASE summary WHEN '' THEN excluded.summary ELSE summary END",
        )?
        .execute(params![conversation, summary, at.0])?;
    super::conversations::insert_message(connection, conversation, message, at)?;
    Ok(message.id.clone())
}

/// What is noted beside an answer's text.
#[derive(Clone, Debug, Default)]
pub struct Accounting {
    pub provider: String,
    /// Of everything the model was shown in this turn.
    pub input_tokens: u32,
    /// Set when the answer did not come to its end: characters that were given.
    pub broke_off_at: Option<usize>,
}

/// The answer. `false`: its conversation was deleted meanwhile, and nothing is stored.
pub fn insert_answer(
    connection: &Connection,
    conversation: &str,
    message: &NewMessage,
    accounting: &Accounting,
    at: UnixMillis,
) -> Result<bool, VoiceError> {
    let found = connection
        .prepare_cached(
            "UPDATE conversations SET message_count = message_count + 1,
                updated_at = max(updated_at, ?2) WHERE id = ?1",
        )?
        .execute(params![conversation, at.0])?;
    if found == 0 {
        return Ok(false);
    }
    super::conversations::insert_message(connection, conversation, message, at)?;
    connection
        .prepare_cached(
            "UPDATE messages SET provider = ?2, input_tokens = ?3, interrupted = ?4,
                spoken_chars = ?5 WHERE id = ?1",
        )?
        .execute(params![
            message.id,
            accounting.provider,
            accounting.input_tokens,
            accounting.broke_off_at.is_some(),
            accounting.broke_off_at.map(|chars| chars as i64),
        ])?;
    Ok(true)
}

/// What was said in a conversation, as a model is shown it.
#[derive(Clone, Debug, Default)]
pub struct Spoken {
    /// Of everything before `messages`.
    pub summary: Option<String>,
    /// Not in the summary, oldest first, each with its place.
    pub messages: Vec<(i64, Said)>,
}

/// The newest messages, at most `limit`, that are not yet in the rolling summary, without what was
/// asked in the recording `except`. Reads by key.
pub fn spoken(
    connection: &Connection,
    conversation: &str,
    except: Option<&str>,
    limit: usize,
) -> Result<Spoken, VoiceError> {
    let rolling: Option<(Option<String>, Option<i64>)> = connection
        .prepare_cached("SELECT rolling_summary, rolling_upto FROM conversations WHERE id = ?1")?
        .query_row([conversation], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((summary, upto)) = rolling else {
        return Ok(Spoken::default());
    };
    let mut statement = connection.prepare_cached(
        "SELECT seq, role, content, interrupted, spoken_chars FROM messages
         WHERE conversation_id = ?1 AND seq > ?2 AND (?4 IS NULL OR recording_id IS NOT ?4)
         ORDER BY seq DESC LIMIT ?3",
    )?;
    let upto = upto.unwrap_or(0);
    let mut rows = statement.query(params![conversation, upto, limit as i64, except])?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        let interrupted: bool = row.get(3)?;
        let heard: Option<i64> = row.get(4)?;
        let role: String = row.get(1)?;
        let said = Said {
            by_person: role == "user",
            content: row.get(2)?,
            heard_chars: interrupted
                .then_some(heard)
                .flatten()
                .map(|chars| usize::try_from(chars).unwrap_or(0)),
        };
        messages.push((row.get(0)?, said));
    }
    messages.reverse();
    Ok(Spoken { summary, messages })
}

/// Everything up to a message is in `summary` from now on.
pub fn set_rolling_summary(
    connection: &Connection,
    conversation: &str,
    summary: &str,
    upto: i64,
) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "UPDATE conversations SET rolling_summary = ?2, rolling_upto = ?3
             WHERE id = ?1 AND coalesce(rolling_upto, 0) < ?3",
        )?
        .execute(params![conversation, summary, upto])?;
    Ok(())
}

/// The newest pinned memories.
pub fn pinned(connection: &Connection, limit: usize) -> Result<Vec<Note>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, content, created_at FROM memories
         WHERE pinned = 1 AND is_archived = 0 AND superseded_by IS NULL
         ORDER BY created_at DESC LIMIT ?1",
    )?;
    let mut rows = statement.query([limit as i64])?;
    let mut notes = Vec::new();
    while let Some(row) = rows.next()? {
        notes.push(Note {
            id: row.get(0)?,
            content: row.get(1)?,
            created_at: UnixMillis(row.get(2)?),
            score: 1.0,
        });
    }
    Ok(notes)
}
