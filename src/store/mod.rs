//! One SQLite file, one thread that writes it.
//!
//! The loop hands closures to the `store` thread, which commits many of them together and
//! answers only after the commit (durable) or lets them ride along (relaxed). Lists and
//! searches go to the `query` thread; the loop itself reads by key only.

use std::path::PathBuf;
use std::rc::Rc;

use crate::clock::Clock;

pub use rusqlite::{Connection, OptionalExtension, Row, params};

/// What can go wrong below a room; the room decides what its client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// A queue is full: try again in a second.
    Busy,
    /// The card is full.
    Full,
    /// The card or the file is read-only.
    ReadOnly,
    /// Reading or writing failed; nothing was acknowledged.
    Io(String),
    /// The file is damaged.
    Corrupt(String),
    /// A UNIQUE, CHECK or foreign key rule was broken.
    Constraint(String),
    /// A query ran longer than its limit.
    Timeout,
    /// The store has been closed.
    Closed,
    /// Anything else SQLite said.
    Sql(String),
}

pub struct StoreOptions {
    /// The database file, e.g. `data/voice-memory.db`.
    pub path: PathBuf,
    pub clock: Clock,
}

/// Handle of the loop; clones share the same threads.
#[derive(Clone)]
pub struct Store(Rc<()>);

impl Store {
    /// Opens, checks, migrates and starts the threads. Blocks; called before the loop turns.
    pub fn open(_options: StoreOptions) -> Result<Store, StoreError> {
        todo!()
    }

    /// A durable job: resolves after the commit that holds it. An `Err` of the job rolls back
    /// that job alone.
    pub async fn write<T, E>(
        &self,
        _job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + From<rusqlite::Error> + Send + 'static,
    {
        todo!()
    }

    /// A relaxed job: committed with the next durable batch or after a second; never waited for.
    pub fn relaxed(
        &self,
        _job: impl FnOnce(&Connection) -> Result<(), rusqlite::Error> + Send + 'static,
    ) {
        todo!()
    }

    /// Lists, searches and exports, on the `query` thread's read-only connection.
    pub async fn query<T, E>(
        &self,
        _job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + From<rusqlite::Error> + Send + 'static,
    {
        todo!()
    }

    /// Reads on the loop itself: by primary key or unique index, at most
    /// [`crate::limits::LOOP_READ_ROWS_MAX`] rows.
    pub fn read<T, E>(&self, _job: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError> + From<rusqlite::Error>,
    {
        todo!()
    }

    /// Empties the queue, checkpoints and ends the threads.
    pub async fn close(&self) -> Result<(), StoreError> {
        todo!()
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(_error: rusqlite::Error) -> StoreError {
        todo!()
    }
}
