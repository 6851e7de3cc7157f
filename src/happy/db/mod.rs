//! The room's rows, one file for each family.

use crate::limits;
use crate::store::{SqlError, StoreError};

pub mod access_keys;
pub mod accounts;
pub mod archive;
pub mod artifacts;
pub mod attachments;
pub mod bounds;
pub mod deleted;
pub mod devices;
pub mod feed;
pub mod kv;
pub mod machines;
pub mod messages;
pub mod pairings;
pub mod people;
pub mod presence;
pub mod push_tokens;
pub mod removal;
pub mod sessions;
pub mod settings;
pub mod usage;
pub mod vendor_tokens;
pub mod versioned;

#[cfg(test)]
mod tests;

/// Why a client's write was not made.
#[derive(Debug)]
pub enum WriteError {
    /// The account stores as much, or has as many of these, as it may.
    NoRoom,
    Store(StoreError),
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> WriteError {
        WriteError::Store(error)
    }
}

impl From<SqlError> for WriteError {
    fn from(error: SqlError) -> WriteError {
        WriteError::Store(error.into())
    }
}

/// A page, and whether there is more: of at most `limit` rows, and of no more text than
/// [`limits::HAPPY_PAGE_BYTES_MAX`] beyond the first.
fn page_of<T>(
    rows: impl Iterator<Item = Result<T, StoreError>>,
    limit: usize,
    weight: impl Fn(&T) -> usize,
) -> Result<(Vec<T>, bool), StoreError> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let row = row?;
        bytes += weight(&row);
        let is_over = bytes > limits::HAPPY_PAGE_BYTES_MAX && !page.is_empty();
        if is_over || page.len() == limit {
            return Ok((page, true));
        }
        page.push(row);
    }
    Ok((page, false))
}
