//! Tokens of vendors, sealed by who calls.

use crate::clock::UnixMillis;
use crate::store::{Connection, OptionalExtension, StoreError, params};

pub fn put(
    db: &Connection,
    account: &str,
    vendor: &str,
    sealed: &str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO happy_vendor_tokens (account_id, vendor, sealed, updated_at)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (account_id, vendor) DO UPDATE SET sealed = ?3, updated_at = ?4",
    )?
    .execute(params![account, vendor, sealed, now.0])?;
    Ok(())
}

pub fn get(db: &Connection, account: &str, vendor: &str) -> Result<Option<String>, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT sealed FROM happy_vendor_tokens WHERE account_id = ?1 AND vendor = ?2",
        )?
        .query_row([account, vendor], |row| row.get(0))
        .optional()?)
}

/// Vendors with what was sealed, in the order in which they came.
pub fn list(db: &Connection, account: &str) -> Result<Vec<(String, String)>, StoreError> {
    db.prepare_cached(
        "SELECT vendor, sealed FROM happy_vendor_tokens WHERE account_id = ?1 ORDER BY rowid",
    )?
    .query_and_then([account], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

pub fn remove(db: &Connection, account: &str, vendor: &str) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM happy_vendor_tokens WHERE account_id = ?1 AND vendor = ?2")?
        .execute([account, vendor])?;
    Ok(())
}
