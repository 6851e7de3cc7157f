//! Settings of an account: one text with a version.

use crate::clock::UnixMillis;
use crate::store::{Connection, StoreError, params};

pub struct Settings {
    pub text: Option<String>,
    pub version: i64,
}

pub fn get(db: &Connection, account: &str) -> Result<Settings, StoreError> {
    Ok(db
        .prepare_cached("SELECT settings, settings_version FROM happy_accounts WHERE id = ?1")?
        .query_row([account], |row| {
            Ok(Settings {
                text: row.get(0)?,
                version: row.get(1)?,
            })
        })?)
}

/// Whether `expected` was the version; then the next one is in force.
pub fn put(
    db: &Connection,
    account: &str,
    text: Option<&str>,
    expected: i64,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE happy_accounts
             SET settings = ?2, settings_version = settings_version + 1, updated_at = ?4
             WHERE id = ?1 AND settings_version = ?3",
        )?
        .execute(params![account, text, expected, now.0])?;
    Ok(changed == 1)
}
