//! Attachments that are whole on the card.

use std::collections::BTreeSet;

use super::{WriteError, accounts, sessions};
use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, OptionalExtension, StoreError, params};

/// Whether there is such a session; refused when it or the account has no room for the blob.
pub fn may_come(
    db: &Connection,
    account: &str,
    session: &str,
    name: &str,
    bytes: usize,
) -> Result<bool, WriteError> {
    if sessions::seq(db, account, session)?.is_none() {
        return Ok(false);
    }
    // It takes the place of one of its name.
    let before: Option<i64> = db
        .prepare_cached("SELECT bytes FROM happy_attachments WHERE session_id = ?1 AND name = ?2")?
        .query_row([session, name], |row| row.get(0))
        .optional()?;
    let before = usize::try_from(before.unwrap_or(0)).unwrap_or(0);
    accounts::want_room(db, account, weight(bytes).saturating_sub(before))?;
    let others: i64 = db
        .prepare_cached(
            "SELECT count(*) FROM happy_attachments WHERE session_id = ?1 AND name <> ?2",
        )?
        .query_row([session, name], |row| row.get(0))?;
    match others < limits::HAPPY_ATTACHMENTS_MAX as i64 {
        true => Ok(true),
        false => Err(WriteError::NoRoom),
    }
}

/// Notes that the file is there, instead of another of its name. `false`: no such session.
pub fn put(
    db: &Connection,
    account: &str,
    session: &str,
    name: &str,
    bytes: usize,
    now: UnixMillis,
) -> Result<bool, WriteError> {
    if !may_come(db, account, session, name, bytes)? {
        return Ok(false);
    }
    db.prepare_cached(
        "INSERT INTO happy_attachments (session_id, name, account_id, bytes, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (session_id, name) DO UPDATE SET bytes = ?4",
    )?
    .execute(params![session, name, account, weight(bytes) as i64, now.0])?;
    Ok(true)
}

/// What it takes of the card, at least a block.
const fn weight(bytes: usize) -> usize {
    bytes + limits::HAPPY_ATTACHMENT_OVERHEAD
}

pub fn is_there(db: &Connection, session: &str, name: &str) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM happy_attachments WHERE session_id = ?1 AND name = ?2")?
        .exists([session, name])?)
}

/// Of one session, for the start.
pub fn names(db: &Connection, session: &str) -> Result<BTreeSet<String>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT name FROM happy_attachments WHERE session_id = ?1")?;
    let rows = statement.query_and_then([session], |row| Ok(row.get(0)?))?;
    rows.collect()
}
