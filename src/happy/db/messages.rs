//! Messages of a session: numbered from 1 without a gap, each local id once.

use serde_json::{Value, json};

use super::{WriteError, accounts, page_of, sessions};
use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, Row, StoreError, params};

pub struct Message {
    pub id: String,
    pub seq: i64,
    pub local_id: Option<String>,
    pub content: String,
    pub created_at: i64,
}

pub struct NewMessage {
    pub id: String,
    /// Repeated by a sender that does not know whether it was heard.
    pub local_id: Option<String>,
    pub content: String,
}

/// From which end of a session a page is read.
#[derive(Clone, Copy)]
pub enum From {
    /// Above this number, ascending.
    After(i64),
    /// Below this number, descending.
    Before(i64),
}

impl Message {
    /// As lists tell it.
    pub fn with_content(&self) -> Value {
        let mut told = self.without_content();
        told["content"] = json!({"t": "encrypted", "c": self.content});
        told
    }

    /// As the answer to its sender tells it.
    pub fn without_content(&self) -> Value {
        json!({
            "id": self.id,
            "seq": self.seq,
            "localId": self.local_id,
            "createdAt": self.created_at,
            "updatedAt": self.created_at,
        })
    }
}

/// A page, and whether there is more. `None`: no such session.
pub fn page(
    db: &Connection,
    account: &str,
    session: &str,
    from: From,
    limit: usize,
) -> Result<Option<(Vec<Message>, bool)>, StoreError> {
    if sessions::seq(db, account, session)?.is_none() {
        return Ok(None);
    }
    let (bound, seq) = match from {
        From::After(seq) => ("seq > ?2 ORDER BY seq", seq),
        From::Before(seq) => ("seq < ?2 ORDER BY seq DESC", seq),
    };
    let mut statement = db.prepare_cached(&format!(
        "SELECT id, seq, local_id, content, created_at FROM happy_messages
         WHERE session_id = ?1 AND {bound}"
    ))?;
    let rows = statement.query_and_then(params![session, seq], message)?;
    page_of(rows, limit, |message| message.content.len()).map(Some)
}

/// What became of messages that were handed in.
pub struct Stored {
    /// All of them as they are now stored, by number; those that were known without their content.
    pub messages: Vec<Message>,
    /// For each that is new the number of the update that tells of it. One without content is
    /// stored and not told of.
    pub told: Vec<(i64, Value)>,
}

/// Stores those whose local id is new, in order. `None`: no such session.
pub fn store(
    db: &Connection,
    account: &str,
    session: &str,
    new: Vec<NewMessage>,
    now: UnixMillis,
) -> Result<Option<Stored>, WriteError> {
    let Some(before) = sessions::seq(db, account, session)? else {
        return Ok(None);
    };
    let mut seq = before;
    let mut bytes = 0;
    let mut messages: Vec<Message> = Vec::new();
    let mut told = Vec::new();
    for new in new {
        if let Some(local_id) = &new.local_id {
            let is_repeated = |known: &Message| known.local_id.as_ref() == Some(local_id);
            if messages.iter().any(is_repeated) {
                continue;
            }
            if let Some(known) = of_local_id(db, session, local_id)? {
                messages.push(known);
                continue;
            }
        }
        seq += 1;
        let name = new.local_id.as_ref().map_or(0, String::len);
        bytes += new.content.len() + name + limits::HAPPY_MESSAGE_OVERHEAD;
        db.prepare_cached(
            "INSERT INTO happy_messages (id, session_id, seq, local_id, content, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            new.id,
            session,
            seq,
            new.local_id,
            new.content,
            now.0
        ])?;
        let message = Message {
            id: new.id,
            seq,
            local_id: new.local_id,
            content: new.content,
            created_at: now.0,
        };
        if !message.content.is_empty() {
            told.push((accounts::next_seq(db, account)?, message.with_content()));
        }
        messages.push(message);
    }
    if seq > before {
        accounts::want_room(db, account, bytes)?;
        db.prepare_cached(
            "UPDATE happy_sessions SET seq = ?2, updated_at = ?3, bytes = bytes + ?4 WHERE id = ?1",
        )?
        .execute(params![session, seq, now.0, bytes as i64])?;
    }
    messages.sort_by_key(|message| message.seq);
    Ok(Some(Stored { messages, told }))
}

fn of_local_id(
    db: &Connection,
    session: &str,
    local_id: &str,
) -> Result<Option<Message>, StoreError> {
    db.prepare_cached(
        "SELECT id, seq, local_id, '', created_at FROM happy_messages
             WHERE session_id = ?1 AND local_id = ?2",
    )?
    .query_and_then([session, local_id], message)?
    .next()
    .transpose()
}

fn message(row: &Row) -> Result<Message, StoreError> {
    Ok(Message {
        id: row.get(0)?,
        seq: row.get(1)?,
        local_id: row.get(2)?,
        content: row.get(3)?,
        created_at: row.get(4)?,
    })
}
