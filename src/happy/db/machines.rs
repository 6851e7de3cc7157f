//! Machines. The client chooses the id, so one account may come upon another's.

use serde::Serialize;

use super::{WriteError, accounts, page_of};
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

impl NewMachine {
    /// All that the client chose.
    pub fn bytes(&self) -> usize {
        let weight = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let state = weight(&self.daemon_state) + weight(&self.data_encryption_key);
        self.id.len() + self.metadata.len() + state
    }
}

const COLUMNS: &str = "id, metadata, metadata_version, daemon_state, daemon_state_version, \
     data_encryption_key, active, last_active_at, created_at, updated_at";

/// A machine, and what became of asking for its making.
pub enum OfId {
    /// With the numbers of the two updates that tell of it.
    Made(Machine, [i64; 2]),
    Known(Machine),
    AnotherAccounts,
}

/// The machine of this id, made unless it is there.
pub fn of_id(
    db: &Connection,
    account: &str,
    new: &NewMachine,
    now: UnixMillis,
) -> Result<OfId, WriteError> {
    if let Some(known) = get(db, account, &new.id)? {
        return Ok(OfId::Known(known));
    }
    let is_taken = db
        .prepare_cached("SELECT 1 FROM happy_machines WHERE id = ?1")?
        .exists([&new.id])?;
    if is_taken {
        return Ok(OfId::AnotherAccounts);
    }
    accounts::want_room(db, account, new.bytes())?;
    let made = db
        .prepare_cached(
            "INSERT INTO happy_machines (id, account_id, metadata, daemon_state,
                 daemon_state_version, data_encryption_key, last_active_at, created_at, updated_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?7
             WHERE (SELECT count(*) FROM happy_machines WHERE account_id = ?2) < ?8",
        )?
        .execute(params![
            new.id,
            account,
            new.metadata,
            new.daemon_state,
            new.daemon_state.is_some(),
            new.data_encryption_key,
            now.0,
            limits::HAPPY_MACHINES_MAX as i64
        ])?;
    match get(db, account, &new.id)? {
        Some(machine) if made > 0 => {
            let first = accounts::next_seq(db, account)?;
            Ok(OfId::Made(
                machine,
                [first, accounts::next_seq(db, account)?],
            ))
        }
        _ => Err(WriteError::NoRoom),
    }
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
         ORDER BY last_active_at DESC, id"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_and_then([account], machine)?;
    let (found, _) = page_of(rows, limits::HAPPY_MACHINES_MAX, |machine| {
        let state = machine.daemon_state.as_ref().map_or(0, String::len);
        let key = machine.data_encryption_key.as_ref();
        machine.id.len() + machine.metadata.len() + state + key.map_or(0, String::len)
    })?;
    Ok(found)
}

/// The number of the update that tells of it; `None` when there was no such machine.
pub fn delete(db: &Connection, account: &str, id: &str) -> Result<Option<i64>, StoreError> {
    let sql = "DELETE FROM happy_machines WHERE id = ?1 AND account_id = ?2";
    match db.execute(sql, [id, account])? {
        0 => Ok(None),
        _ => Ok(Some(accounts::next_seq(db, account)?)),
    }
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
