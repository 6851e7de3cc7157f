//! Where an account's phones are reached.

use serde::Serialize;

use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, SqlError, StoreError, params};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushToken {
    pub id: String,
    pub token: String,
    created_at: i64,
    updated_at: i64,
}

/// Where there are too many, those not heard of for longest go.
pub fn put(
    db: &Connection,
    id: &str,
    account: &str,
    token: &str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO happy_push_tokens (id, account_id, token, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (account_id, token) DO UPDATE SET updated_at = ?4",
    )?
    .execute(params![id, account, token, now.0])?;
    db.prepare_cached(
        "DELETE FROM happy_push_tokens WHERE rowid IN (
             SELECT rowid FROM happy_push_tokens WHERE account_id = ?1
             ORDER BY updated_at DESC, rowid DESC LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![account, limits::HAPPY_PUSH_TOKENS_MAX as i64])?;
    Ok(())
}

/// The newest first.
pub fn list(db: &Connection, account: &str) -> Result<Vec<PushToken>, StoreError> {
    db.prepare_cached(
        "SELECT id, token, created_at, updated_at FROM happy_push_tokens
         WHERE account_id = ?1 ORDER BY created_at DESC, rowid DESC",
    )?
    .query_and_then([account], |row| {
        Ok(PushToken {
            id: row.get(0)?,
            token: row.get(1)?,
            created_at: row.get(2)?,
            updated_at: row.get(3)?,
        })
    })?
    .collect()
}

pub fn remove(db: &Connection, account: &str, token: &str) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM happy_push_tokens WHERE account_id = ?1 AND token = ?2")?
        .execute([account, token])?;
    Ok(())
}

/// A push to a phone whose receipt is still to be asked for.
pub struct Expected {
    pub ticket: String,
    pub account: String,
    pub token: String,
}

/// One for each phone: a phone that is told often is asked for all the same, by its first.
pub fn expect(db: &Connection, expected: &Expected, now: UnixMillis) -> Result<(), SqlError> {
    let kept_since = now.0 - limits::HAPPY_RECEIPT_LIFE.as_millis() as i64;
    db.prepare_cached(
        "UPDATE happy_push_tokens SET ticket = ?3, ticket_at = ?4
         WHERE account_id = ?1 AND token = ?2
           AND (ticket IS NULL OR ticket_at NOT BETWEEN ?5 AND ?4)",
    )?
    .execute(params![
        expected.account,
        expected.token,
        expected.ticket,
        now.0,
        kept_since
    ])?;
    Ok(())
}

/// Those of the time between, oldest first and no more than one call may ask for.
pub fn due(
    db: &Connection,
    kept_since: UnixMillis,
    sent_by: UnixMillis,
) -> Result<Vec<Expected>, StoreError> {
    db.prepare_cached(
        "SELECT ticket, account_id, token FROM happy_push_tokens
         WHERE ticket IS NOT NULL AND ticket_at BETWEEN ?1 AND ?2
         ORDER BY ticket_at LIMIT ?3",
    )?
    .query_and_then(
        params![
            kept_since.0,
            sent_by.0,
            limits::HAPPY_RECEIPTS_AT_ONCE as i64
        ],
        |row| {
            Ok(Expected {
                ticket: row.get(0)?,
                account: row.get(1)?,
                token: row.get(2)?,
            })
        },
    )?
    .collect()
}

/// Its receipt was asked for.
pub fn told(db: &Connection, expected: &Expected) -> Result<(), SqlError> {
    db.prepare_cached(
        "UPDATE happy_push_tokens SET ticket = NULL, ticket_at = NULL
         WHERE account_id = ?1 AND token = ?2 AND ticket = ?3",
    )?
    .execute(params![expected.account, expected.token, expected.ticket])?;
    Ok(())
}
