//! How much accounts store and for how long: the box's word, and the owner's for one of them.

use crate::clock::UnixMillis;
use crate::store::{Connection, StoreError, params};

const DAY_MS: i64 = 86_400_000;

/// What every account may store of which the owner says nothing else.
pub fn set_account_bytes(db: &Connection, bytes: i64) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE happy_bounds SET account_bytes = ?1 WHERE account_bytes <> ?1")?
        .execute([bytes])?;
    Ok(())
}

/// What the account stores, and what it may.
pub fn room(db: &Connection, account: &str) -> Result<(i64, i64), StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT bytes, coalesce(bytes_max, (SELECT account_bytes FROM happy_bounds))
             FROM happy_accounts WHERE id = ?1",
        )?
        .query_row([account], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// The owner's word for one account; `None`: as for every other. Whether there is such an account.
pub fn set(
    db: &Connection,
    account: &str,
    bytes_max: Option<i64>,
    keep_days: Option<u32>,
) -> Result<bool, StoreError> {
    let changed = db
        .prepare_cached("UPDATE happy_accounts SET bytes_max = ?2, keep_days = ?3 WHERE id = ?1 AND mark IS NULL")?
        .execute(params![account, bytes_max, keep_days])?;
    Ok(changed > 0)
}

/// Whether anything is ever to go by itself.
pub fn any_end(db: &Connection, keep_days: u32) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT 1 FROM happy_accounts WHERE coalesce(keep_days, ?1) > 0 AND mark IS NULL",
        )?
        .exists([keep_days])?)
}

/// When the wall clock was last believed; before the first time, when a device was last heard of.
pub fn clock_at(db: &Connection) -> Result<Option<UnixMillis>, StoreError> {
    let at: Option<i64> = db.query_row(
        "SELECT coalesce(clock_at, (SELECT max(seen_at) FROM happy_devices)) FROM happy_bounds",
        [],
        |row| row.get(0),
    )?;
    Ok(at.map(UnixMillis))
}

pub fn believe_clock(db: &Connection, at: UnixMillis) -> Result<(), StoreError> {
    db.execute("UPDATE happy_bounds SET clock_at = ?1", [at.0])?;
    Ok(())
}

/// A session that is inactive and was not used since `before`.
pub struct Idle {
    pub account: String,
    pub id: String,
    pub before: UnixMillis,
}

/// Some of those that are kept no longer.
pub fn idle(
    db: &Connection,
    keep_days: u32,
    now: UnixMillis,
    limit: usize,
) -> Result<Vec<Idle>, StoreError> {
    let mut accounts = db.prepare_cached(
        "SELECT id, coalesce(keep_days, ?1) FROM happy_accounts
         WHERE coalesce(keep_days, ?1) > 0 AND mark IS NULL ORDER BY id",
    )?;
    let mut of_account = db.prepare_cached(
        "SELECT id FROM happy_sessions
         WHERE account_id = ?1 AND updated_at < ?2 AND last_active_at < ?2
           AND active = 0 AND deleting = 0
         ORDER BY updated_at LIMIT ?3",
    )?;
    let mut found = Vec::new();
    let mut rows = accounts.query([keep_days])?;
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        let (account, days): (String, i64) = (row.get(0)?, row.get(1)?);
        let before = UnixMillis(now.0.saturating_sub(days.saturating_mul(DAY_MS)));
        let left = (limit - found.len()) as i64;
        let ids = of_account.query_map(params![account, before.0, left], |row| row.get(0))?;
        for id in ids {
            found.push(Idle {
                account: account.clone(),
                id: id?,
                before,
            });
        }
    }
    Ok(found)
}
