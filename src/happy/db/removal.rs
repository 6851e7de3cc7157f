//! Accounts that go: marked by one write, after which nobody comes in by them or sees them, and
//! taken apart by many small ones.

use super::deleted;
use crate::limits;
use crate::store::{Connection, OptionalExtension, StoreError, params};

/// Takes the account from everybody; the devices whose tokens hold no more. `None`: there is none.
pub fn mark(db: &Connection, account: &str) -> Result<Option<Vec<String>>, StoreError> {
    let marked = db
        .prepare_cached(
            "UPDATE happy_accounts SET mark = 'removing', username = NULL
             WHERE id = ?1 AND mark IS NULL",
        )?
        .execute([account])?;
    if marked == 0 {
        return Ok(None);
    }
    let devices = db
        .prepare_cached("DELETE FROM happy_devices WHERE account_id = ?1 RETURNING id")?
        .query_and_then([account], |row| Ok(row.get(0)?))?
        .collect::<Result<_, StoreError>>()?;
    db.prepare_cached("DELETE FROM happy_pairings WHERE account_id = ?1")?
        .execute([account])?;
    Ok(Some(devices))
}

/// What was coming goes: `None` for all of them, at the start.
pub fn give_up(db: &Connection, account: Option<&str>) -> Result<usize, StoreError> {
    Ok(db
        .prepare_cached(
            "UPDATE happy_accounts SET mark = 'removing'
             WHERE mark = 'importing' AND (?1 IS NULL OR id = ?1)",
        )?
        .execute([account])?)
}

/// The first of those that are marked whose id comes after this one.
pub fn next(db: &Connection, after: &str) -> Result<Option<String>, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT id FROM happy_accounts WHERE mark = 'removing' AND id > ?1
             ORDER BY id LIMIT 1",
        )?
        .query_row([after], |row| row.get(0))
        .optional()?)
}

/// Whether something is left of it.
pub fn is_left(db: &Connection, account: &str) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM happy_accounts WHERE id = ?1 AND mark = 'removing'")?
        .exists([account])?)
}

/// Deletes some of its sessions; whether there were any.
pub fn some_sessions(db: &Connection, account: &str) -> Result<bool, StoreError> {
    let sessions: Vec<String> = db
        .prepare_cached(
            "SELECT id FROM happy_sessions WHERE account_id = ?1 AND deleting = 0 LIMIT ?2",
        )?
        .query_and_then(
            params![account, limits::HAPPY_SESSIONS_DELETED_AT_ONCE as i64],
            |row| Ok(row.get(0)?),
        )?
        .collect::<Result<_, StoreError>>()?;
    for session in &sessions {
        deleted::mark(db, account, session)?;
    }
    Ok(!sessions.is_empty())
}

/// Tables of an account beside its sessions, and what is large in them.
const TABLES: &[(&str, &str)] = &[
    (
        "happy_artifacts",
        "octet_length(header) + octet_length(body)",
    ),
    ("happy_machines", "octet_length(metadata)"),
    ("happy_kv", "coalesce(octet_length(value), 0)"),
    ("happy_usage", "0"),
    ("happy_feed", "0"),
    ("happy_push_tokens", "0"),
    ("happy_vendor_tokens", "0"),
];

/// Removes a piece of what is left once its sessions are gone, and with the last piece the
/// account; whether there is more. Other writes wait for a piece, and not for all of it.
pub fn take_apart(db: &Connection, account: &str) -> Result<bool, StoreError> {
    if !is_left(db, account)? {
        return Ok(false);
    }
    for (table, weight) in TABLES {
        if some_rows(db, table, weight, account)? {
            return Ok(true);
        }
    }
    db.prepare_cached("DELETE FROM happy_relations WHERE from_id = ?1 OR to_id = ?1")?
        .execute([account])?;
    db.prepare_cached("DELETE FROM happy_pairings WHERE account_id = ?1")?
        .execute([account])?;
    let has_sessions = db
        .prepare_cached("SELECT 1 FROM happy_sessions WHERE account_id = ?1")?
        .exists([account])?;
    if !has_sessions {
        db.prepare_cached("DELETE FROM happy_accounts WHERE id = ?1")?
            .execute([account])?;
    }
    Ok(false)
}

/// Whether there were so many that there may be more.
fn some_rows(
    db: &Connection,
    table: &str,
    weight: &str,
    account: &str,
) -> Result<bool, StoreError> {
    let mut found = db.prepare_cached(&format!(
        "SELECT rowid, {weight} FROM {table} WHERE account_id = ?1 LIMIT ?2"
    ))?;
    let mut rows = found.query(params![account, limits::HAPPY_DELETED_AT_ONCE as i64])?;
    let (mut going, mut bytes): (Vec<i64>, i64) = (Vec::new(), 0);
    while bytes < limits::HAPPY_DELETED_BYTES_AT_ONCE
        && let Some(row) = rows.next()?
    {
        going.push(row.get(0)?);
        bytes += row.get::<_, i64>(1)?;
    }
    let mut delete = db.prepare_cached(&format!("DELETE FROM {table} WHERE rowid = ?1"))?;
    for row in &going {
        delete.execute([row])?;
    }
    Ok(
        going.len() == limits::HAPPY_DELETED_AT_ONCE
            || bytes >= limits::HAPPY_DELETED_BYTES_AT_ONCE,
    )
}
