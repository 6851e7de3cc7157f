//! What the room keeps about itself: key and value.

use crate::clock::UnixMillis;
use crate::store::{Connection, OptionalExtension, params};
use crate::voice::error::VoiceError;

const GET: &str = "SELECT value FROM settings WHERE key = ?1";
const SET: &str = "INSERT INTO settings (key, value, updated_at) VALUES (?1, ?2, ?3)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";

pub fn get(connection: &Connection, key: &str) -> Result<Option<String>, VoiceError> {
    let mut statement = connection.prepare_cached(GET)?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

pub fn set(
    connection: &Connection,
    key: &str,
    value: &str,
    now: UnixMillis,
) -> Result<(), VoiceError> {
    let mut statement = connection.prepare_cached(SET)?;
    statement.execute(params![key, value, now.0])?;
    Ok(())
}

/// As [`set`], for a relaxed job.
pub fn note(connection: &Connection, key: &str, value: &str, now: UnixMillis) -> super::Relaxed {
    let mut statement = connection.prepare_cached(SET)?;
    statement.execute(params![key, value, now.0])?;
    Ok(())
}
