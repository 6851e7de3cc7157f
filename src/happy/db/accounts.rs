//! Accounts: a public key each.

use super::{WriteError, bounds};
use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, OptionalExtension, StoreError, params};

/// The number of the next update, to be taken in the transaction of what the update tells.
pub fn next_seq(db: &Connection, account: &str) -> Result<i64, StoreError> {
    Ok(db
        .prepare_cached("UPDATE happy_accounts SET seq = seq + 1 WHERE id = ?1 RETURNING seq")?
        .query_row([account], |row| row.get(0))?)
}

/// The account of a key, as lower-case hex. One that comes or goes at this moment is worth another
/// try.
pub fn of_key(db: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    let found: Option<(String, bool)> = db
        .prepare_cached("SELECT id, mark IS NULL FROM happy_accounts WHERE public_key = ?1")?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        Some((_, false)) => Err(StoreError::Busy),
        found => Ok(found.map(|(id, _)| id)),
    }
}

/// The account of the key, made where there is none; `None` when the box has as many as it may.
pub fn make(
    db: &Connection,
    id: &str,
    key: &str,
    now: UnixMillis,
) -> Result<Option<String>, StoreError> {
    db.prepare_cached(
        "INSERT INTO happy_accounts (id, public_key, created_at, updated_at)
         SELECT ?1, ?2, ?3, ?3 WHERE (SELECT count(*) FROM happy_accounts) < ?4
         ON CONFLICT (public_key) DO NOTHING",
    )?
    .execute(params![id, key, now.0, limits::HAPPY_ACCOUNTS_MAX as i64])?;
    of_key(db, key)
}

/// What the account weighs.
pub fn stored(db: &Connection, account: &str) -> Result<i64, StoreError> {
    Ok(db
        .prepare_cached("SELECT bytes FROM happy_accounts WHERE id = ?1")?
        .query_row([account], |row| row.get(0))?)
}

/// Refuses what would make the account store more than it may.
pub fn want_room(db: &Connection, account: &str, more: usize) -> Result<(), WriteError> {
    let (stored, most) = bounds::room(db, account)?;
    match stored.saturating_add(more as i64) > most {
        true => Err(WriteError::NoRoom),
        false => Ok(()),
    }
}
