//! Where an account's phones are reached.

use serde::Serialize;

use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, StoreError, params};

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
