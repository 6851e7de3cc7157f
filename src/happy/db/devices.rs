//! Tokens that were given out: one holds while its row is here.

use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, OptionalExtension, SqlError, StoreError, params};

/// How a device came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has the account's key.
    Phone,
    /// Paired by a phone.
    Terminal,
    /// Another device of the account, let in by one that was in.
    Linked,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Phone => "phone",
            Kind::Terminal => "terminal",
            Kind::Linked => "linked",
        }
    }
}

pub struct NewDevice {
    /// The token's `jti`.
    pub id: String,
    pub account: String,
    pub kind: Kind,
    pub agent: Option<String>,
    pub host: Option<String>,
}

pub struct Device {
    pub id: String,
    pub kind: String,
    pub agent: Option<String>,
    pub host: Option<String>,
    pub created_at: UnixMillis,
    pub seen_at: UnixMillis,
}

pub struct Account {
    pub id: String,
    pub username: Option<String>,
    pub created_at: UnixMillis,
    pub sessions: i64,
    pub machines: i64,
    pub bytes: i64,
    pub bytes_max: i64,
    /// Where the owner says so for this one.
    pub keep_days: Option<u32>,
}

/// The device not heard of for longest makes room for one too many. None comes in by an account
/// that goes.
pub fn add(db: &Connection, new: &NewDevice, now: UnixMillis) -> Result<(), StoreError> {
    let added = db
        .prepare_cached(
            "INSERT INTO happy_devices (id, account_id, kind, agent, host, created_at, seen_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?6
             WHERE EXISTS (SELECT 1 FROM happy_accounts WHERE id = ?2 AND mark IS NULL)",
        )?
        .execute(params![
            new.id,
            new.account,
            new.kind.name(),
            new.agent,
            new.host,
            now.0
        ])?;
    if added == 0 {
        return Err(StoreError::Busy);
    }
    db.prepare_cached(
        "DELETE FROM happy_devices WHERE id IN (SELECT id FROM happy_devices WHERE account_id = ?1
         ORDER BY seen_at DESC, created_at DESC LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![new.account, limits::HAPPY_DEVICES_MAX as i64])?;
    Ok(())
}

pub fn account_of(db: &Connection, id: &str) -> Result<Option<String>, StoreError> {
    Ok(db
        .prepare_cached("SELECT account_id FROM happy_devices WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?)
}

pub fn seen(
    db: &Connection,
    id: &str,
    host: Option<&str>,
    now: UnixMillis,
) -> Result<(), SqlError> {
    db.prepare_cached(
        "UPDATE happy_devices SET seen_at = ?2, host = ifnull(?3, host) WHERE id = ?1",
    )?
    .execute(params![id, now.0, host])?;
    Ok(())
}

/// Whether there was one.
pub fn remove(db: &Connection, id: &str) -> Result<bool, StoreError> {
    let removed = db
        .prepare_cached("DELETE FROM happy_devices WHERE id = ?1")?
        .execute([id])?;
    Ok(removed > 0)
}

/// Of an account, that heard of last first.
pub fn of_account(db: &Connection, account: &str) -> Result<Vec<Device>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id, kind, agent, host, created_at, seen_at FROM happy_devices
         WHERE account_id = ?1 ORDER BY seen_at DESC",
    )?;
    let rows = statement.query_map([account], |row| {
        Ok(Device {
            id: row.get(0)?,
            kind: row.get(1)?,
            agent: row.get(2)?,
            host: row.get(3)?,
            created_at: UnixMillis(row.get(4)?),
            seen_at: UnixMillis(row.get(5)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub fn accounts(db: &Connection) -> Result<Vec<Account>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT a.id, a.username, a.created_at, a.bytes,
            coalesce(a.bytes_max, (SELECT account_bytes FROM happy_bounds)), a.keep_days,
            (SELECT count(*) FROM happy_sessions WHERE account_id = a.id AND deleting = 0),
            (SELECT count(*) FROM happy_machines WHERE account_id = a.id)
         FROM happy_accounts a WHERE a.mark IS NULL ORDER BY a.created_at, a.id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Account {
            id: row.get(0)?,
            username: row.get(1)?,
            created_at: UnixMillis(row.get(2)?),
            bytes: row.get(3)?,
            bytes_max: row.get(4)?,
            keep_days: row.get(5)?,
            sessions: row.get(6)?,
            machines: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The stored key of this name; `fresh` where there is none.
pub fn key(db: &Connection, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
    db.prepare_cached(
        "INSERT INTO happy_keys (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?
    .execute(params![name, fresh])?;
    Ok(db
        .prepare_cached("SELECT value FROM happy_keys WHERE name = ?1")?
        .query_row([name], |row| row.get(0))?)
}
