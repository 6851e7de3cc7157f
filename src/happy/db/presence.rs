//! When sessions and machines were last heard of.

use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, OptionalExtension, StoreError, params};

/// Whose rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Session,
    Machine,
}

impl Kind {
    const fn table(self) -> &'static str {
        match self {
            Kind::Session => "happy_sessions",
            Kind::Machine => "happy_machines",
        }
    }

    /// Narrows a statement to what is not being deleted.
    const fn and_there(self) -> &'static str {
        match self {
            Kind::Session => "AND deleting = 0",
            Kind::Machine => "",
        }
    }
}

/// Whether it counts as active, and when it was heard of; `None` when the account has none such.
pub fn get(
    db: &Connection,
    kind: Kind,
    account: &str,
    id: &str,
) -> Result<Option<(bool, i64)>, StoreError> {
    let (table, and_there) = (kind.table(), kind.and_there());
    Ok(db
        .prepare_cached(&format!(
            "SELECT active, last_active_at FROM {table}
             WHERE id = ?1 AND account_id = ?2 {and_there}"
        ))?
        .query_row([id, account], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

pub fn heard(
    db: &Connection,
    kind: Kind,
    account: &str,
    id: &str,
    at: i64,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let (table, and_there) = (kind.table(), kind.and_there());
    db.prepare_cached(&format!(
        "UPDATE {table} SET active = 1, last_active_at = ?3, updated_at = ?4
         WHERE id = ?1 AND account_id = ?2 {and_there}"
    ))?
    .execute(params![id, account, at, now.0])?;
    Ok(())
}

/// Whether there was one to end.
pub fn end_session(
    db: &Connection,
    account: &str,
    id: &str,
    at: i64,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE happy_sessions SET active = 0, last_active_at = ?3, updated_at = ?4
             WHERE id = ?1 AND account_id = ?2 AND deleting = 0",
        )?
        .execute(params![id, account, at, now.0])?;
    Ok(changed > 0)
}

/// One that was silent for too long.
pub struct Silent {
    pub kind: Kind,
    pub account: String,
    pub id: String,
    pub at: i64,
}

/// Whether any is active and was not heard of since.
pub fn any_silent(db: &Connection, since: UnixMillis) -> Result<bool, StoreError> {
    for kind in [Kind::Session, Kind::Machine] {
        let table = kind.table();
        let found = db
            .prepare_cached(&format!(
                "SELECT 1 FROM {table} WHERE active = 1 AND last_active_at <= ?1"
            ))?
            .exists([since.0])?;
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes some of them inactive and tells which.
pub fn end_silent(
    db: &Connection,
    since: UnixMillis,
    now: UnixMillis,
) -> Result<Vec<Silent>, StoreError> {
    let mut ended = Vec::new();
    for kind in [Kind::Session, Kind::Machine] {
        let table = kind.table();
        let mut statement = db.prepare_cached(&format!(
            "UPDATE {table} SET active = 0, updated_at = ?2 WHERE id IN (
                 SELECT id FROM {table} WHERE active = 1 AND last_active_at <= ?1 LIMIT ?3)
             RETURNING account_id, id, last_active_at"
        ))?;
        let limit = limits::HAPPY_SILENT_ENDED_MAX as i64;
        let rows = statement.query_map(params![since.0, now.0, limit], |row| {
            Ok(Silent {
                kind,
                account: row.get(0)?,
                id: row.get(1)?,
                at: row.get(2)?,
            })
        })?;
        for row in rows {
            ended.push(row?);
        }
    }
    Ok(ended)
}
