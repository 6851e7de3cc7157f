//! What can go wrong with the file, sorted by what can be done about it.

use std::fmt;
use std::path::PathBuf;

use rusqlite::ErrorCode;

/// What a job can meet; the room decides what its client is told.
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
    /// The job itself panicked; it was rolled back.
    Panicked,
    /// Anything else SQLite said.
    Sql(String),
}

/// Why the store did not open, each with what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The folder or file cannot be used.
    Unusable { path: PathBuf, why: String },
    /// Written by a newer release.
    Newer {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    /// Damaged; moved aside untouched.
    Corrupt {
        kept: PathBuf,
        why: String,
        backup: Option<PathBuf>,
        path: PathBuf,
    },
    /// A migration failed; the file is as it was before.
    Migration { name: &'static str, why: String },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full,
            Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => StoreError::Io(text),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(text),
            Some(ErrorCode::ConstraintViolation) => StoreError::Constraint(text),
            Some(ErrorCode::OperationInterrupted) => StoreError::Timeout,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy,
            _ => StoreError::Sql(text),
        }
    }
}

impl StoreError {
    /// The connection cannot be trusted any more and is opened afresh.
    pub(super) fn breaks_connection(&self) -> bool {
        matches!(self, StoreError::Io(_) | StoreError::Corrupt(_))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Busy => {
                write!(f, "too much is waiting to be stored; try again in a second")
            }
            StoreError::Full => write!(f, "the card is full; free some space, nothing was stored"),
            StoreError::ReadOnly => write!(
                f,
                "the card is read-only; nothing was stored; check the card and remount it writable"
            ),
            StoreError::Io(why) => write!(f, "the card failed ({why}); nothing was stored"),
            StoreError::Corrupt(why) => write!(
                f,
                "the database is damaged ({why}); stop the box and run `magpie doctor`"
            ),
            StoreError::Constraint(why) => write!(f, "this does not fit what is stored ({why})"),
            StoreError::Timeout => write!(f, "the query took too long; ask for less"),
            StoreError::Closed => write!(f, "the box is shutting down"),
            StoreError::Panicked => write!(f, "an internal error; nothing was stored"),
            StoreError::Sql(why) => write!(f, "the database refused ({why})"),
        }
    }
}

impl std::error::Error for StoreError {}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Unusable { path, why } => write!(
                f,
                "cannot use the database {}: {why}; check that its folder exists on a writable card with free space",
                path.display()
            ),
            OpenError::Newer { path, found, known } => write!(
                f,
                "the database {} was written by a newer release (schema {found}, this one knows {known}); \
                 start the newer release, go back to the copy of before it by `magpie rollback`, \
                 or set DATABASE_PATH to another file; nothing was changed",
                path.display()
            ),
            OpenError::Corrupt {
                kept,
                why,
                backup,
                path,
            } => {
                write!(
                    f,
                    "the database {} is damaged ({why}); it is kept untouched as {}; ",
                    path.display(),
                    kept.display()
                )?;
                match backup {
                    Some(backup) => write!(
                        f,
                        "the newest good backup is {}: copy it to {} and start again; ",
                        backup.display(),
                        path.display()
                    )?,
                    None => write!(f, "there is no good backup; ")?,
                }
                write!(
                    f,
                    "to begin empty, move {} to another folder and start again",
                    kept.display()
                )
            }
            OpenError::Migration { name, why } => write!(
                f,
                "the database could not be brought up to date (step {name}: {why}); it is as it was before; \
                 free some space and start again, or start the release that wrote it"
            ),
        }
    }
}

impl std::error::Error for OpenError {}
