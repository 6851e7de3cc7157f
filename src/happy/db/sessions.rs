//! Sessions. Each statement names the account, so that nobody reaches another's, and passes over
//! what is being deleted.

use serde::Serialize;

use super::{WriteError, accounts, page_of};
use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, OptionalExtension, Row, StoreError, ToSql, params};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    pub id: String,
    seq: i64,
    created_at: i64,
    updated_at: i64,
    active: bool,
    active_at: i64,
    metadata: String,
    metadata_version: i64,
    agent_state: Option<String>,
    agent_state_version: i64,
    data_encryption_key: Option<String>,
}

pub struct NewSession {
    pub id: String,
    pub tag: String,
    pub metadata: String,
    pub data_encryption_key: Option<String>,
}

impl NewSession {
    /// All that the client chose.
    pub fn bytes(&self) -> usize {
        let key = self.data_encryption_key.as_ref().map_or(0, String::len);
        self.tag.len() + self.metadata.len() + key
    }
}

const COLUMNS: &str = "id, seq, created_at, updated_at, active, last_active_at, metadata, \
     metadata_version, agent_state, agent_state_version, data_encryption_key";

/// The session of this tag, and the number of the update that tells of it where it was made now.
pub fn of_tag(
    db: &Connection,
    account: &str,
    new: &NewSession,
    now: UnixMillis,
) -> Result<(Session, Option<i64>), WriteError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM happy_sessions WHERE account_id = ?1 AND tag = ?2 AND deleting = 0"
    );
    let known = |db: &Connection| {
        db.prepare_cached(&sql)?
            .query_and_then([account, &new.tag], session)?
            .next()
            .transpose()
    };
    if let Some(session) = known(db)? {
        return Ok((session, None));
    }
    accounts::want_room(db, account, new.bytes())?;
    let made = db
        .prepare_cached(
            "INSERT INTO happy_sessions (id, account_id, tag, metadata, data_encryption_key,
                 last_active_at, created_at, updated_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?6, ?6
             WHERE (SELECT count(*) FROM happy_sessions WHERE account_id = ?2) < ?7",
        )?
        .execute(params![
            new.id,
            account,
            new.tag,
            new.metadata,
            new.data_encryption_key,
            now.0,
            limits::HAPPY_SESSIONS_MAX as i64
        ])?;
    match known(db)? {
        Some(session) if made > 0 => Ok((session, Some(accounts::next_seq(db, account)?))),
        _ => Err(WriteError::NoRoom),
    }
}

/// Newest change first.
pub fn newest(db: &Connection, account: &str, limit: usize) -> Result<Vec<Session>, StoreError> {
    let rest = "ORDER BY updated_at DESC, id DESC LIMIT ?2";
    Ok(list(db, rest, params![account, limit as i64], limit)?.0)
}

/// Active and heard of since `since`, newest first.
pub fn active(
    db: &Connection,
    account: &str,
    since: UnixMillis,
    limit: usize,
) -> Result<Vec<Session>, StoreError> {
    let rest = "AND active = 1 AND last_active_at > ?2 ORDER BY last_active_at DESC LIMIT ?3";
    Ok(list(db, rest, params![account, since.0, limit as i64], limit)?.0)
}

/// A page by id, newest first, and whether there is more: below `before`, changed after `since`.
pub fn page(
    db: &Connection,
    account: &str,
    before: Option<&str>,
    since: i64,
    limit: usize,
) -> Result<(Vec<Session>, bool), StoreError> {
    let rest = "AND (?2 IS NULL OR id < ?2) AND updated_at > ?3 ORDER BY id DESC LIMIT ?4";
    let read = limit as i64 + 1;
    list(db, rest, params![account, before, since, read], limit)
}

fn list(
    db: &Connection,
    rest: &str,
    values: &[&dyn ToSql],
    limit: usize,
) -> Result<(Vec<Session>, bool), StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM happy_sessions WHERE account_id = ?1 AND deleting = 0 {rest}"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_and_then(values, session)?;
    page_of(rows, limit, |session| {
        let state = session.agent_state.as_ref().map_or(0, String::len);
        let key = session.data_encryption_key.as_ref();
        session.metadata.len() + state + key.map_or(0, String::len)
    })
}

/// The number of its newest message; `None` when the account has no such session.
pub fn seq(db: &Connection, account: &str, id: &str) -> Result<Option<i64>, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT seq FROM happy_sessions WHERE id = ?1 AND account_id = ?2 AND deleting = 0",
        )?
        .query_row([id, account], |row| row.get(0))
        .optional()?)
}

/// Whether there was one to archive.
pub fn archive(
    db: &Connection,
    account: &str,
    id: &str,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE happy_sessions SET active = 0, last_active_at = ?3, updated_at = ?3
             WHERE id = ?1 AND account_id = ?2 AND deleting = 0",
        )?
        .execute(params![id, account, now.0])?;
    Ok(changed > 0)
}

fn session(row: &Row) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.get(0)?,
        seq: row.get(1)?,
        created_at: row.get(2)?,
        updated_at: row.get(3)?,
        active: row.get(4)?,
        active_at: row.get(5)?,
        metadata: row.get(6)?,
        metadata_version: row.get(7)?,
        agent_state: row.get(8)?,
        agent_state_version: row.get(9)?,
        data_encryption_key: row.get(10)?,
    })
}
