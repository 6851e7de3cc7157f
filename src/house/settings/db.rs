//! SQL of the stored settings. The table is shared: keys of this room begin with `setting/`.

use crate::clock::UnixMillis;
use crate::store::{Connection, StoreError, params};

const PREFIX: &str = "setting/";

/// Name and text, secrets sealed.
pub fn load(connection: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    let mut statement = connection
        .prepare("SELECT substr(key, 9), value FROM settings WHERE key GLOB 'setting/*'")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// `None` takes a value away.
pub fn store(
    connection: &Connection,
    changes: &[(&'static str, Option<String>)],
    now: UnixMillis,
) -> Result<(), StoreError> {
    for (name, value) in changes {
        let key = format!("{PREFIX}{name}");
        match value {
            Some(value) => connection.execute(
                "INSERT INTO settings (key, value, updated_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value,
                    updated_at = excluded.updated_at",
                params![key, value, now.0],
            )?,
            None => connection.execute("DELETE FROM settings WHERE key = ?1", [key])?,
        };
    }
    Ok(())
}
