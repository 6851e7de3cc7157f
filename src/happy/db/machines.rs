//! Machines. The client chooses the id, so one account may come upon another's.

use serde::Serialize;

use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, Row, StoreError, params};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub id: String,
    metadata: String,
    metadata_version: i64,
    daemon_state: Option<String>,
    daemon_state_version: i64,
    data_encryption_key: Option<String>,
    active: bool,
    active_at: i64,
    created_at: i64,
    updated_at: i64,
}

pub struct NewMachine {
    pub id: String,
    pub metadata: String,
    pub daemon_state: Option<String>,
    pub data_encryption_key: Option<String>,
}

const COLUMNS: &str = "id, metadata, metadata_version, daemon_state, daemon_state_version, \
     data_encryption_key, active, last_active_at, created_at, updated_at";

/// The machine of this id, made unless it is there; `None` when it is another account's.
pub fn of_id(
    db: &Connection,
    account: &str,
    new: &NewMachine,
    now: UnixMillis,
) -> Result<Option<Machine>, StoreError> {
    db.prepare_cached(
        "INSERT INTO happy_machines (id, account_id, metadata, daemon_state,
             daemon_state_version, data_encryption_key, last_active_at, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?7) ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        new.id,
        account,
        new.metadata,
        new.daemon_state,
        new.daemon_state.is_some(),
        new.data_encryption_key,
        now.0
    ])?;
    get(db, account, &new.id)
}

pub fn get(db: &Connection, account: &str, id: &str) -> Result<Option<Machine>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM happy_machines WHERE id = ?1 AND account_id = ?2");
    db.prepare_cached(&sql)?
        .query_and_then([id, account], machine)?
        .next()
        .transpose()
}

/// Last heard of first.
pub fn list(db: &Connection, account: &str) -> Result<Vec<Machine>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM happy_machines WHERE account_id = ?1
         ORDER BY last_active_at DESC, id LIMIT ?2"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let limit = limits::HAPPY_MACHINES_LISTED_MAX as i64;
    let rows = statement.query_and_then(params![account, limit], machine)?;
    rows.collect()
}

/// Whether there was one.
pub fn delete(db: &Connection, account: &str, id: &str) -> Result<bool, StoreError> {
    let sql = "DELETE FROM happy_machines WHERE id = ?1 AND account_id = ?2";
    Ok(db.execute(sql, [id, account])? > 0)
}

fn machine(row: &Row) -> Result<Machine, StoreError> {
    Ok(Machine {
        id: row.get(0)?,
        metadata: row.get(1)?,
        metadata_version: row.get(2)?,
        daemon_state: row.get(3)?,
        daemon_state_version: row.get(4)?,
        data_encryption_key: row.get(5)?,
        active: row.get(6)?,
        active_at: row.get(7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
    })
}
