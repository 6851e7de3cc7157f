//! All SQL of the voice room: rows become structs or JSON below here and nowhere else.
//!
//! A row and its entry in a search index change in the same transaction, always: the functions
//! here are called inside one (a durable job of the store), or on a read-only connection.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::error::VoiceError;
use crate::clock::UnixMillis;
use crate::store::StoreError;

pub mod archive;
pub mod context;
pub mod conversations;
#[cfg(test)]
mod fact_tests;
pub mod facts;
pub mod filing;
pub mod jobs;
pub mod memories;
pub mod older;
pub mod recordings;
pub mod search;
pub mod settings;
pub mod summaries;
pub mod tags;
#[cfg(test)]
mod tests;
pub mod timers;
pub mod vectors;

impl From<rusqlite::Error> for VoiceError {
    fn from(error: rusqlite::Error) -> VoiceError {
        VoiceError::Store(StoreError::from(error))
    }
}

/// Result of a relaxed job, which hands SQLite's own error back to the store.
pub type Relaxed = Result<(), rusqlite::Error>;

/// One row as a struct, for SQLite's own mapping.
type Mapped<T> = Result<T, rusqlite::Error>;

/// Column text as it lies in SQLite's page; JSON escapes what is no valid UTF-8.
pub(super) fn text<'r>(row: &'r rusqlite::Row, column: usize) -> Result<Cow<'r, str>, VoiceError> {
    Ok(optional_text(row, column)?.unwrap_or(Cow::Borrowed("")))
}

pub(super) fn optional_text<'r>(
    row: &'r rusqlite::Row,
    column: usize,
) -> Result<Option<Cow<'r, str>>, VoiceError> {
    Ok(match row.get_ref(column)? {
        rusqlite::types::ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes)),
        _ => None,
    })
}

/// Stored JSON as a value; text that is no JSON is shown as a string rather than lost.
pub(super) fn optional_json(
    row: &rusqlite::Row,
    column: usize,
) -> Result<Option<serde_json::Value>, VoiceError> {
    Ok(optional_text(row, column)?.map(|text| {
        serde_json::from_str(&text).unwrap_or_else(|_| serde_json::Value::from(text.as_ref()))
    }))
}

/// Where a recording's sound is answered.
pub(super) fn audio_url(recording_id: &str) -> String {
    format!("/api/v1/audio/{recording_id}")
}

/// Milliseconds of a column, written as RFC 3339.
#[derive(Debug, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Time(pub i64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&UnixMillis(self.0).rfc3339())
    }
}

/// Writes `value` at the end of `out`.
pub(super) fn push_json(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), VoiceError> {
    serde_json::to_writer(out, value)
        .map_err(|error| VoiceError::Store(StoreError::Sql(format!("row as JSON: {error}"))))
}
