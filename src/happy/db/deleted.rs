//! Sessions that were deleted: marked by one write, after which every other statement passes them
//! over, and taken apart by many small ones.

use super::accounts;
use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, OptionalExtension, StoreError, params};

const MARK: &str = "UPDATE happy_sessions SET deleting = 1, active = 0, metadata = '', \
     agent_state = NULL, tag = lower(hex(randomblob(16))) \
     WHERE id = ?1 AND account_id = ?2 AND deleting = 0";

/// Takes the session from its account, whose next one may have its tag. The number of the update
/// that tells of it; `None` when there was no such session.
pub fn mark(db: &Connection, account: &str, id: &str) -> Result<Option<i64>, StoreError> {
    let marked = db.prepare_cached(MARK)?.execute([id, account])?;
    told(db, account, id, marked)
}

/// As [`mark`], where it is inactive and was not used since `before`.
pub fn mark_idle(
    db: &Connection,
    account: &str,
    id: &str,
    before: UnixMillis,
) -> Result<Option<i64>, StoreError> {
    let marked = db
        .prepare_cached(&format!(
            "{MARK} AND active = 0 AND last_active_at < ?3 AND updated_at < ?3"
        ))?
        .execute(params![id, account, before.0])?;
    told(db, account, id, marked)
}

fn told(
    db: &Connection,
    account: &str,
    id: &str,
    marked: usize,
) -> Result<Option<i64>, StoreError> {
    if marked == 0 {
        return Ok(None);
    }
    // Few, and replaced by whoever knows a version.
    db.prepare_cached("DELETE FROM happy_access_keys WHERE session_id = ?1")?
        .execute([id])?;
    accounts::next_seq(db, account).map(Some)
}

/// The first of those that are marked whose id comes after this one.
pub fn next(db: &Connection, after: &str) -> Result<Option<String>, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT id FROM happy_sessions WHERE deleting = 1 AND id > ?1 ORDER BY id LIMIT 1",
        )?
        .query_row([after], |row| row.get(0))
        .optional()?)
}

/// Removes a piece of one that is marked, and with the last piece the session; whether there is
/// more. Other writes wait for a piece, and not for all of a long session.
pub fn take_apart(db: &Connection, id: &str) -> Result<bool, StoreError> {
    let is_marked = db
        .prepare_cached("SELECT 1 FROM happy_sessions WHERE id = ?1 AND deleting = 1")?
        .exists([id])?;
    if !is_marked {
        return Ok(false);
    }
    if some_messages(db, id)? || some_rows(db, id)? {
        return Ok(true);
    }
    db.execute("DELETE FROM happy_sessions WHERE id = ?1", [id])?;
    Ok(false)
}

/// Whether there were so many that there may be more.
fn some_messages(db: &Connection, id: &str) -> Result<bool, StoreError> {
    let mut found = db.prepare_cached(
        "SELECT rowid, octet_length(content), coalesce(octet_length(local_id), 0)
         FROM happy_messages WHERE session_id = ?1 LIMIT ?2",
    )?;
    let mut rows = found.query(params![id, limits::HAPPY_DELETED_AT_ONCE as i64])?;
    let (mut going, mut bytes, mut weight): (Vec<i64>, i64, i64) = (Vec::new(), 0, 0);
    while bytes < limits::HAPPY_DELETED_BYTES_AT_ONCE
        && let Some(row) = rows.next()?
    {
        let content: i64 = row.get(1)?;
        going.push(row.get(0)?);
        bytes += content;
        weight += content + row.get::<_, i64>(2)? + limits::HAPPY_MESSAGE_OVERHEAD as i64;
    }
    let mut delete = db.prepare_cached("DELETE FROM happy_messages WHERE rowid = ?1")?;
    for message in &going {
        delete.execute([message])?;
    }
    // The account has the room of each piece at once.
    db.prepare_cached("UPDATE happy_sessions SET bytes = max(0, bytes - ?2) WHERE id = ?1")?
        .execute(params![id, weight])?;
    Ok(
        going.len() == limits::HAPPY_DELETED_AT_ONCE
            || bytes >= limits::HAPPY_DELETED_BYTES_AT_ONCE,
    )
}

/// Whether there were so many reports and names of files that there may be more.
fn some_rows(db: &Connection, id: &str) -> Result<bool, StoreError> {
    let most = limits::HAPPY_DELETED_AT_ONCE;
    for (table, name) in [("happy_usage", "key"), ("happy_attachments", "name")] {
        let gone = db
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE session_id = ?1 AND {name} IN
                     (SELECT {name} FROM {table} WHERE session_id = ?1 LIMIT ?2)"
            ))?
            .execute(params![id, most as i64])?;
        if gone == most {
            return Ok(true);
        }
    }
    Ok(false)
}
