//! Numbered steps that bring an older file up to date, each in one transaction.
//!
//! A step is never changed once released: its hash is kept in the file and compared. The number
//! reached is `PRAGMA user_version`, which is written in the step's own transaction.

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::error::OpenError;
use crate::clock::UnixMillis;

pub struct Step {
    /// Its place from 1 is its number.
    pub name: &'static str,
    pub sql: &'static str,
}

/// All steps in order; a new one is one line here and one file in `sql/`.
pub const STEPS: &[Step] = &[
    Step {
        name: "0001_identity",
        sql: include_str!("sql/0001_identity.sql"),
    },
    Step {
        name: "0002_voice",
        sql: include_str!("sql/0002_voice.sql"),
    },
    Step {
        name: "0003_timers",
        sql: include_str!("sql/0003_timers.sql"),
    },
    Step {
        name: "0004_recordings",
        sql: include_str!("sql/0004_recordings.sql"),
    },
    Step {
        name: "0005_models",
        sql: include_str!("sql/0005_models.sql"),
    },
    Step {
        name: "0006_memory",
        sql: include_str!("sql/0006_memory.sql"),
    },
    Step {
        name: "0007_happy",
        sql: include_str!("sql/0007_happy.sql"),
    },
    Step {
        name: "0008_happy_updates",
        sql: include_str!("sql/0008_happy_updates.sql"),
    },
    Step {
        name: "0009_happy_sessions",
        sql: include_str!("sql/0009_happy_sessions.sql"),
    },
    Step {
        name: "0010_happy_room",
        sql: include_str!("sql/0010_happy_room.sql"),
    },
    Step {
        name: "0011_happy_presence",
        sql: include_str!("sql/0011_happy_presence.sql"),
    },
    Step {
        name: "0012_happy_keys_artifacts",
        sql: include_str!("sql/0012_happy_keys_artifacts.sql"),
    },
    Step {
        name: "0013_happy_people",
        sql: include_str!("sql/0013_happy_people.sql"),
    },
    Step {
        name: "0014_happy_attachments",
        sql: include_str!("sql/0014_happy_attachments.sql"),
    },
    Step {
        name: "0015_happy_devices",
        sql: include_str!("sql/0015_happy_devices.sql"),
    },
    Step {
        name: "0016_happy_weights",
        sql: include_str!("sql/0016_happy_weights.sql"),
    },
    Step {
        name: "0017_happy_pairing_device",
        sql: include_str!("sql/0017_happy_pairing_device.sql"),
    },
    Step {
        name: "0018_happy_deleting",
        sql: include_str!("sql/0018_happy_deleting.sql"),
    },
    Step {
        name: "0019_happy_bounds",
        sql: include_str!("sql/0019_happy_bounds.sql"),
    },
    Step {
        name: "0020_happy_account_mark",
        sql: include_str!("sql/0020_happy_account_mark.sql"),
    },
    Step {
        name: "0021_happy_receipts",
        sql: include_str!("sql/0021_happy_receipts.sql"),
    },
];

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, applied_at INTEGER NOT NULL
) STRICT";

/// The number of the last step a file has taken; 0 for an empty one.
pub fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Takes the steps that are missing; returns their names.
pub fn run(
    connection: &mut Connection,
    steps: &[Step],
    now: UnixMillis,
) -> Result<Vec<&'static str>, OpenError> {
    let failed = |name| {
        move |error: rusqlite::Error| OpenError::Migration {
            name,
            why: error.to_string(),
        }
    };
    let done = version(connection).map_err(failed("read version"))? as usize;
    for (index, step) in steps.iter().enumerate().take(done) {
        let same = connection
            .query_row(
                "SELECT hash = ?2 FROM schema_migrations WHERE number = ?1",
                (index as u32 + 1, hash(step.sql)),
                |row| row.get::<_, bool>(0),
            )
            .map_err(failed(step.name))?;
        if !same {
            return Err(OpenError::Migration {
                name: step.name,
                why: "the file took another step of this number".into(),
            });
        }
    }
    let mut taken = Vec::new();
    for (index, step) in steps.iter().enumerate().skip(done) {
        let number = index as u32 + 1;
        let transaction = connection.transaction().map_err(failed(step.name))?;
        let apply = || {
            transaction.execute_batch(LEDGER)?;
            transaction.execute_batch(step.sql)?;
            transaction.execute(
                "INSERT INTO schema_migrations (number, name, hash, applied_at) VALUES (?1, ?2, ?3, ?4)",
                (number, step.name, hash(step.sql), now.0),
            )?;
            transaction.pragma_update(None, "user_version", number)
        };
        apply().map_err(failed(step.name))?;
        transaction.commit().map_err(failed(step.name))?;
        taken.push(step.name);
    }
    Ok(taken)
}

fn hash(sql: &str) -> String {
    Sha256::digest(sql.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
