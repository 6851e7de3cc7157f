//! The room's rows, one file for each family.

use crate::store::{SqlError, StoreError};

pub mod access_keys;
pub mod accounts;
pub mod artifacts;
pub mod attachments;
pub mod devices;
pub mod feed;
pub mod kv;
pub mod machines;
pub mod messages;
pub mod pairings;
pub mod people;
pub mod presence;
pub mod push_tokens;
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
