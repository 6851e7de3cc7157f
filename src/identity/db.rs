//! All SQL of identity.

use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, OptionalExtension, Row, StoreError, params};

use super::Device;
use super::secret::TokenHash;

/// A device that may call, with what its token is checked against.
#[derive(Clone)]
pub struct DeviceRow {
    pub device: Device,
    pub token_hash: TokenHash,
}

/// What is loaded at the start.
pub struct Known {
    pub is_claimed: bool,
    pub devices: Vec<DeviceRow>,
}

const LIVE: &str = "SELECT id, name, is_admin, created_at, last_seen_at, token_hash FROM devices \
     WHERE revoked_at IS NULL ORDER BY created_at, id LIMIT ?1";

pub fn load(db: &Connection) -> Result<Known, StoreError> {
    let is_claimed = owner(db)?.is_some();
    let mut statement = db.prepare_cached(LIVE)?;
    let rows = statement.query_map([limits::DEVICES_MAX as i64], device_row)?;
    Ok(Known {
        is_claimed,
        devices: rows.collect::<Result<_, _>>()?,
    })
}

/// Adds the device to the owner; `new_owner` is the id to make the owner under when the box has
/// none yet.
pub fn add_device(
    db: &Connection,
    row: &DeviceRow,
    new_owner: &str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let owner = match owner(db)? {
        Some(owner) => owner,
        None => {
            db.execute(
                "INSERT INTO people (id, name, role, created_at) VALUES (?1, 'Owner', 'owner', ?2)",
                params![new_owner, now.0],
            )?;
            new_owner.to_owned()
        }
    };
    db.execute(
        "INSERT INTO devices (id, person_id, name, is_admin, token_hash, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            row.device.id,
            owner,
            row.device.name,
            row.device.admin,
            row.token_hash.as_slice(),
            now.0
        ],
    )?;
    Ok(())
}

/// Marks the device; of devices revoked long ago only the newest are kept.
pub fn revoke(db: &Connection, id: &str, now: UnixMillis) -> Result<(), StoreError> {
    db.execute(
        "UPDATE devices SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
        params![id, now.0],
    )?;
    db.execute(
        "DELETE FROM devices WHERE revoked_at IS NOT NULL AND id NOT IN \
         (SELECT id FROM devices WHERE revoked_at IS NOT NULL ORDER BY revoked_at DESC, id LIMIT ?1)",
        [limits::DEVICES_REVOKED_KEPT as i64],
    )?;
    Ok(())
}

pub fn seen(db: &Connection, id: &str, now: UnixMillis) -> Result<(), rusqlite::Error> {
    db.prepare_cached("UPDATE devices SET last_seen_at = ?2 WHERE id = ?1")?
        .execute(params![id, now.0])?;
    Ok(())
}

fn owner(db: &Connection) -> Result<Option<String>, StoreError> {
    Ok(db
        .prepare_cached("SELECT id FROM people WHERE role = 'owner'")?
        .query_row([], |row| row.get(0))
        .optional()?)
}

fn device_row(row: &Row) -> Result<DeviceRow, rusqlite::Error> {
    Ok(DeviceRow {
        device: Device {
            id: row.get(0)?,
            name: row.get(1)?,
            admin: row.get(2)?,
            created_at: UnixMillis(row.get(3)?),
            last_seen_at: row.get::<_, Option<i64>>(4)?.map(UnixMillis),
        },
        token_hash: row.get(5)?,
    })
}
