//! Conversations and what was said in them.

use std::borrow::Cow;

use serde::Serialize;

use super::{Time, audio_url, optional_text, push_json, search, text};
use crate::clock::UnixMillis;
use crate::store::{Connection, OptionalExtension, Row, params};
use crate::voice::error::VoiceError;
use crate::voice::memory::Page;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    User,
    Assistant,
}

#[derive(Clone, Debug)]
pub struct NewMessage {
    pub id: String,
    pub role: Role,
    pub content: String,
    pub tokens: u32,
    pub model: Option<String>,
    pub recording_id: Option<String>,
}

/// Both sides of one turn.
#[derive(Clone, Debug)]
pub struct NewTurn {
    pub conversation_id: String,
    /// Summary of the conversation, should this turn begin it.
    pub summary: String,
    pub said: NewMessage,
    pub answered: NewMessage,
    pub at: UnixMillis,
}

/// Where the words of a recording stand as a question: message and conversation.
pub fn question_of(
    connection: &Connection,
    recording: &str,
) -> Result<Option<(String, String)>, VoiceError> {
    Ok(connection
        .prepare_cached(
            "SELECT id, conversation_id FROM messages WHERE recording_id = ?1 AND role = 'user'",
        )?
        .query_row([recording], |row| row.try_into())
        .optional()?)
}

/// What the question of a recording was answered.
pub struct Told {
    pub message: String,
    pub conversation: String,
    pub content: String,
}

pub fn answer_of(connection: &Connection, recording: &str) -> Result<Option<Told>, VoiceError> {
    Ok(connection
        .prepare_cached(
            "SELECT a.id, a.conversation_id, a.content FROM messages q
             JOIN messages a ON a.conversation_id = q.conversation_id AND a.seq > q.seq
             WHERE q.recording_id = ?1 AND q.role = 'user' AND a.role = 'assistant'
             ORDER BY a.seq LIMIT 1",
        )?
        .query_row([recording], |row| {
            Ok(Told {
                message: row.get(0)?,
                conversation: row.get(1)?,
                content: row.get(2)?,
            })
        })
        .optional()?)
}

/// Adds both sides, with the conversation where it does not exist yet; inside a transaction. The
/// person's side may stand there already, of a turn that a power cut ended.
pub fn insert_turn(connection: &Connection, turn: &NewTurn) -> Result<(), VoiceError> {
    let asked = match &turn.said.recording_id {
        Some(recording) => question_of(connection, recording)?,
        None => None,
    };
    let is_asked = asked.is_some_and(|(_, conversation)| conversation == turn.conversation_id);
    let said = (!is_asked).then_some(&turn.said);
    let messages = said.into_iter().chain([&turn.answered]);
    connection
        .prepare_cached(
            "INSERT INTO conversations (id, summary, message_count, created_at, updated_at)
             VALUES (?1, ?2, ?4, ?3, ?3)
             ON CONFLICT (id) DO UPDATE SET
                message_count = message_count + excluded.message_count,
                updated_at = max(updated_at, excluded.updated_at),
                summary = CASE summary WHEN '' THEN excluded.summary ELSE summary END",
        )?
        .execute(params![
            turn.conversation_id,
            turn.summary,
            turn.at.0,
            messages.clone().count() as i64
        ])?;
    for message in messages {
        insert_message(connection, &turn.conversation_id, message, turn.at)?;
    }
    Ok(())
}

/// A message with its index entry; whoever adds it counts it. What comes while private mode is on
/// is private for ever.
pub fn insert_message(
    connection: &Connection,
    conversation: &str,
    message: &NewMessage,
    at: UnixMillis,
) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "INSERT INTO messages
                (id, conversation_id, role, content, timestamp, tokens, model, recording_id, is_private)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,
                EXISTS (SELECT 1 FROM settings WHERE key = 'private' AND value = '1'))",
        )?
        .execute(params![
            message.id,
            conversation,
            message.role.name(),
            message.content,
            at.0,
            message.tokens,
            message.model,
            message.recording_id,
        ])?;
    search::index_message(connection, connection.last_insert_rowid(), &message.content)
}

pub fn create(
    connection: &Connection,
    id: &str,
    summary: &str,
    now: UnixMillis,
) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "INSERT INTO conversations (id, summary, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)",
        )?
        .execute(params![id, summary, now.0])?;
    Ok(())
}

pub fn exists(connection: &Connection, id: &str) -> Result<bool, VoiceError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM conversations WHERE id = ?1")?
        .exists([id])?)
}

/// The newest answer of a conversation.
pub fn last_answer(connection: &Connection, id: &str) -> Result<Option<String>, VoiceError> {
    Ok(connection
        .prepare_cached(
            "SELECT content FROM messages WHERE conversation_id = ?1 AND role = 'assistant'
             ORDER BY seq DESC LIMIT 1",
        )?
        .query_row([id], |row| row.get(0))
        .optional()?)
}

/// Notes what was heard of an answer; `false`: there is no such answer.
pub fn interrupt(
    connection: &Connection,
    id: &str,
    spoken_chars: usize,
) -> Result<bool, VoiceError> {
    let changed = connection
        .prepare_cached(
            "UPDATE messages SET interrupted = 1, spoken_chars = min(?2, length(content))
             WHERE id = ?1 AND role = 'assistant'",
        )?
        .execute(params![id, spoken_chars as i64])?;
    Ok(changed > 0)
}

const LIST: &str = "SELECT id, summary, created_at, updated_at, message_count, is_archived
    FROM conversations WHERE is_archived = ?1 ORDER BY updated_at DESC, id LIMIT ?2 OFFSET ?3";

const LIST_MATCHING: &str =
    "SELECT c.id, c.summary, c.created_at, c.updated_at, c.message_count, c.is_archived
     FROM conversations c WHERE c.is_archived = ?1 AND c.id IN
        (SELECT m.conversation_id FROM message_index i JOIN messages m ON m.seq = i.rowid
         WHERE message_index MATCH ?4)
     ORDER BY c.updated_at DESC, c.id LIMIT ?2 OFFSET ?3";

const COUNT_MATCHING: &str =
    "SELECT count(*) FROM conversations c WHERE c.is_archived = ?1 AND c.id IN
        (SELECT m.conversation_id FROM message_index i JOIN messages m ON m.seq = i.rowid
         WHERE message_index MATCH ?2)";

/// `{"conversations":[…],"total":…,"limit":…,"offset":…}`, last used first; with an FTS5
/// expression only those in which a message matches.
pub fn list_json(
    connection: &Connection,
    matching: Option<&str>,
    archived: bool,
    page: Page,
) -> Result<Vec<u8>, VoiceError> {
    let (limit, offset) = (page.limit as i64, page.offset as i64);
    let mut statement = connection.prepare_cached(match matching {
        Some(_) => LIST_MATCHING,
        None => LIST,
    })?;
    let mut rows = match matching {
        Some(expression) => statement.query(params![archived, limit, offset, expression])?,
        None => statement.query(params![archived, limit, offset])?,
    };
    let mut out = Vec::from(&b"{\"conversations\":["[..]);
    while let Some(row) = rows.next()? {
        comma(&mut out);
        push_json(&mut out, &ConversationView::read(row)?)?;
    }
    let total: i64 = match matching {
        Some(expression) => connection
            .prepare_cached(COUNT_MATCHING)?
            .query_row(params![archived, expression], |row| row.get(0))?,
        None => connection
            .prepare_cached("SELECT count(*) FROM conversations WHERE is_archived = ?1")?
            .query_row([archived], |row| row.get(0))?,
    };
    close_page(&mut out, total, page);
    Ok(out)
}

/// A conversation with one page of its messages in the order they were said; `None`: unknown.
pub fn json(connection: &Connection, id: &str, page: Page) -> Result<Option<Vec<u8>>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, summary, created_at, updated_at, message_count, is_archived
         FROM conversations WHERE id = ?1",
    )?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let view = ConversationView::read(row)?;
    let total = view.message_count;
    let mut out = Vec::new();
    push_json(&mut out, &view)?;
    // The object is left open for the messages.
    out.pop();
    out.extend_from_slice(b",\"messages\":[");
    let mut messages = connection.prepare_cached(
        "SELECT m.id, m.role, m.content, m.timestamp, m.tokens, m.interrupted, m.spoken_chars,
                m.model, m.recording_id, m.is_private,
                EXISTS (SELECT 1 FROM recordings r WHERE r.id = m.recording_id AND r.file IS NOT NULL)
         FROM messages m WHERE m.conversation_id = ?1 ORDER BY m.seq LIMIT ?2 OFFSET ?3",
    )?;
    let mut rows = messages.query(params![id, page.limit as i64, page.offset as i64])?;
    while let Some(row) = rows.next()? {
        comma(&mut out);
        push_json(&mut out, &MessageView::read(row)?)?;
    }
    close_page(&mut out, total, page);
    Ok(Some(out))
}

/// `false`: there is no such conversation.
pub fn update(
    connection: &Connection,
    id: &str,
    summary: Option<&str>,
    archived: Option<bool>,
    now: UnixMillis,
) -> Result<bool, VoiceError> {
    let changed = connection
        .prepare_cached(
            "UPDATE conversations SET summary = coalesce(?2, summary),
                is_archived = coalesce(?3, is_archived), updated_at = max(updated_at, ?4)
             WHERE id = ?1",
        )?
        .execute(params![id, summary, archived, now.0])?;
    Ok(changed > 0)
}

/// Removes a conversation with its messages; memories made in it stay. `false`: unknown.
pub fn delete(connection: &Connection, id: &str) -> Result<bool, VoiceError> {
    let mut statement = connection
        .prepare_cached("DELETE FROM messages WHERE conversation_id = ?1 RETURNING seq")?;
    let mut rows = statement.query([id])?;
    let mut removed = Vec::new();
    while let Some(row) = rows.next()? {
        removed.push(row.get::<_, i64>(0)?);
    }
    drop(rows);
    for seq in removed {
        search::unindex_message(connection, seq)?;
    }
    connection
        .prepare_cached("UPDATE memories SET conversation_id = NULL WHERE conversation_id = ?1")?
        .execute([id])?;
    let deleted = connection
        .prepare_cached("DELETE FROM conversations WHERE id = ?1")?
        .execute([id])?;
    Ok(deleted > 0)
}

/// Everything that was said in a conversation as Markdown; `None`: unknown. An error where it is
/// longer than `bytes_max`.
pub fn markdown(
    connection: &Connection,
    id: &str,
    bytes_max: usize,
) -> Result<Option<String>, VoiceError> {
    let head: Option<(String, i64)> = connection
        .prepare_cached("SELECT summary, created_at FROM conversations WHERE id = ?1")?
        .query_row([id], |row| row.try_into())
        .optional()?;
    let Some((summary, created_at)) = head else {
        return Ok(None);
    };
    let title = match summary.trim() {
        "" => id,
        summary => summary,
    };
    let mut out = format!(
        "# {}\n\n{}\n",
        title.replace('\n', " "),
        UnixMillis(created_at).rfc3339()
    );
    let mut statement = connection.prepare_cached(
        "SELECT role, content, timestamp, interrupted FROM messages
         WHERE conversation_id = ?1 ORDER BY seq",
    )?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        let who = if text(row, 0)? == "user" {
            "You"
        } else {
            "Magpie"
        };
        let at = UnixMillis(row.get(2)?).rfc3339();
        let cut = if row.get(3)? { " (interrupted)" } else { "" };
        out.push_str(&format!("\n**{who}** {at}{cut}\n\n{}\n", text(row, 1)?));
        if out.len() > bytes_max {
            return Err(VoiceError::Invalid(format!(
                "This conversation is longer than the {bytes_max} bytes that one export holds; read it in pages."
            )));
        }
    }
    Ok(Some(out))
}

/// Questions asked since a time.
pub fn questions_since(connection: &Connection, since: UnixMillis) -> Result<usize, VoiceError> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM messages WHERE timestamp >= ?1 AND role = 'user'")?
        .query_row([since.0], |row| row.get(0))?;
    Ok(count as usize)
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// Begins the next element of a JSON array.
fn comma(out: &mut Vec<u8>) {
    if out.last() != Some(&b'[') {
        out.push(b',');
    }
}

fn close_page(out: &mut Vec<u8>, total: i64, page: Page) {
    let tail = format!(
        "],\"total\":{total},\"limit\":{},\"offset\":{}}}",
        page.limit, page.offset
    );
    out.extend_from_slice(tail.as_bytes());
}

#[derive(Serialize)]
struct ConversationView<'r> {
    id: Cow<'r, str>,
    summary: Cow<'r, str>,
    created_at: Time,
    updated_at: Time,
    message_count: i64,
    is_archived: bool,
}

impl<'r> ConversationView<'r> {
    fn read(row: &'r Row) -> Result<ConversationView<'r>, VoiceError> {
        Ok(ConversationView {
            id: text(row, 0)?,
            summary: text(row, 1)?,
            created_at: Time(row.get(2)?),
            updated_at: Time(row.get(3)?),
            message_count: row.get(4)?,
            is_archived: row.get(5)?,
        })
    }
}

#[derive(Serialize)]
struct MessageView<'r> {
    id: Cow<'r, str>,
    role: Cow<'r, str>,
    content: Cow<'r, str>,
    timestamp: Time,
    tokens: i64,
    #[serde(skip_serializing_if = "is_false")]
    interrupted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    spoken_chars: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recording_id: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_url: Option<String>,
    /// Never filed by itself.
    #[serde(skip_serializing_if = "is_false")]
    private: bool,
}

impl<'r> MessageView<'r> {
    fn read(row: &'r Row) -> Result<MessageView<'r>, VoiceError> {
        let recording_id = optional_text(row, 8)?;
        let has_sound: bool = row.get(10)?;
        Ok(MessageView {
            id: text(row, 0)?,
            role: text(row, 1)?,
            content: text(row, 2)?,
            timestamp: Time(row.get(3)?),
            tokens: row.get(4)?,
            interrupted: row.get(5)?,
            spoken_chars: row.get(6)?,
            model: optional_text(row, 7)?,
            audio_url: recording_id
                .as_ref()
                .filter(|_| has_sound)
                .map(|id| audio_url(id)),
            recording_id,
            private: row.get(9)?,
        })
    }
}

fn is_false(value: &bool) -> bool {
    !value
}
