//! Access keys: one for a session on a machine, both of the same account.

use serde::Serialize;

use super::{WriteError, accounts};
use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, Row, StoreError, params};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessKey {
    pub data: String,
    pub data_version: i64,
    created_at: i64,
    updated_at: i64,
}

/// Whose key it is.
pub struct Place {
    pub account: String,
    pub session: String,
    pub machine: String,
}

pub enum OfPlace {
    Made(AccessKey),
    Known,
    /// The account has no such session or machine.
    Nowhere,
}

pub enum Changed {
    /// The new version.
    To(i64),
    /// What is there at this moment.
    Stale(AccessKey),
    Missing,
}

impl Place {
    /// Whether the account has such a session and machine.
    fn is_there(&self, db: &Connection) -> Result<bool, StoreError> {
        Ok(db
            .prepare_cached(
                "SELECT 1 FROM happy_sessions, happy_machines
                 WHERE happy_sessions.id = ?1 AND happy_sessions.account_id = ?3
                   AND happy_sessions.deleting = 0
                   AND happy_machines.id = ?2 AND happy_machines.account_id = ?3",
            )?
            .exists([&self.session, &self.machine, &self.account])?)
    }

    /// The key, where there is one; `None` when the account has no such session or machine.
    pub fn find(&self, db: &Connection) -> Result<Option<Option<AccessKey>>, StoreError> {
        match self.is_there(db)? {
            true => self.get(db).map(Some),
            false => Ok(None),
        }
    }

    fn get(&self, db: &Connection) -> Result<Option<AccessKey>, StoreError> {
        db.prepare_cached(
            "SELECT data, data_version, created_at, updated_at FROM happy_access_keys
             WHERE session_id = ?1 AND machine_id = ?2 AND account_id = ?3",
        )?
        .query_and_then([&self.session, &self.machine, &self.account], access_key)?
        .next()
        .transpose()
    }

    pub fn make(
        &self,
        db: &Connection,
        data: &str,
        now: UnixMillis,
    ) -> Result<OfPlace, WriteError> {
        if !self.is_there(db)? {
            return Ok(OfPlace::Nowhere);
        }
        if self.get(db)?.is_some() {
            return Ok(OfPlace::Known);
        }
        accounts::want_room(db, &self.account, data.len())?;
        db.prepare_cached(
            "INSERT INTO happy_access_keys
                 (session_id, machine_id, account_id, data, created_at, updated_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?5
             WHERE (SELECT count(*) FROM happy_access_keys WHERE session_id = ?1) < ?6",
        )?
        .execute(params![
            self.session,
            self.machine,
            self.account,
            data,
            now.0,
            limits::HAPPY_ACCESS_KEYS_MAX as i64
        ])?;
        self.get(db)?.map(OfPlace::Made).ok_or(WriteError::NoRoom)
    }

    /// Replaces the key when `expected` is its version.
    pub fn change(
        &self,
        db: &Connection,
        data: &str,
        expected: i64,
        now: UnixMillis,
    ) -> Result<Changed, WriteError> {
        let Some(current) = self.get(db)? else {
            return Ok(Changed::Missing);
        };
        if current.data_version != expected {
            return Ok(Changed::Stale(current));
        }
        let more = data.len().saturating_sub(current.data.len());
        accounts::want_room(db, &self.account, more)?;
        db.prepare_cached(
            "UPDATE happy_access_keys
             SET data = ?3, data_version = data_version + 1, updated_at = ?4
             WHERE session_id = ?1 AND machine_id = ?2",
        )?
        .execute(params![self.session, self.machine, data, now.0])?;
        Ok(Changed::To(expected + 1))
    }
}

fn access_key(row: &Row) -> Result<AccessKey, StoreError> {
    Ok(AccessKey {
        data: row.get(0)?,
        data_version: row.get(1)?,
        created_at: row.get(2)?,
        updated_at: row.get(3)?,
    })
}
