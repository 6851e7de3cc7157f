//! Keys and values of an account. A deleted key keeps its row and its version.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::limits;
use crate::store::{Connection, OptionalExtension, Row, StoreError, params};

#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: String,
    pub version: i64,
}

pub struct Mutation {
    pub key: String,
    /// `None` or empty: deletes.
    pub value: Option<String>,
    /// What the caller takes for the current one; -1: there is none. Clients send any number.
    pub version: f64,
}

pub enum Mutated {
    /// The new versions, in the order asked for.
    Done(Vec<i64>),
    /// What is there in truth: version and value of each key that the caller was wrong about.
    Stale(Vec<Current>),
    /// One key twice.
    Twice,
    Full,
}

/// A key with the version and value that are stored.
pub type Current = (String, i64, Option<String>);

/// Version of a key that never was.
const NEVER: i64 = -1;

pub fn get(db: &Connection, account: &str, key: &str) -> Result<Option<Entry>, StoreError> {
    db.prepare_cached(
        "SELECT key, value, version FROM happy_kv
         WHERE account_id = ?1 AND key = ?2 AND value <> ''",
    )?
    .query_and_then([account, key], entry)?
    .next()
    .transpose()
}

/// In the order of keys.
pub fn list(
    db: &Connection,
    account: &str,
    prefix: &str,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    db.prepare_cached(
        "SELECT key, value, version FROM happy_kv
         WHERE account_id = ?1 AND key >= ?2 AND substr(key, 1, length(?2)) = ?2
           AND value <> '' ORDER BY key LIMIT ?3",
    )?
    .query_and_then(params![account, prefix, limit as i64], entry)?
    .collect()
}

pub fn several(db: &Connection, account: &str, keys: &[String]) -> Result<Vec<Entry>, StoreError> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for key in keys.iter().filter(|key| seen.insert(key.as_str())) {
        found.extend(get(db, account, key)?);
    }
    Ok(found)
}

/// All of the mutations or none.
pub fn mutate(
    db: &Connection,
    account: &str,
    mutations: &[Mutation],
) -> Result<Mutated, StoreError> {
    let mut current = BTreeMap::new();
    let mut stale = Vec::new();
    for mutation in mutations {
        let (version, value) = stored(db, account, &mutation.key)?;
        if mutation.version != version as f64 {
            let value = value.clone().filter(|value| !value.is_empty());
            stale.push((mutation.key.clone(), version, value));
        }
        current.insert(mutation.key.as_str(), (version, value));
    }
    if !stale.is_empty() {
        return Ok(Mutated::Stale(stale));
    }
    if current.len() < mutations.len() {
        return Ok(Mutated::Twice);
    }
    let (mut keys, mut bytes) = (0, 0);
    for mutation in mutations {
        let (version, value) = &current[mutation.key.as_str()];
        if *version == NEVER {
            keys += 1;
            bytes += mutation.key.len() as i64;
        }
        bytes += length(mutation.value.as_deref()) - length(value.as_deref());
    }
    if !weigh(db, account, keys, bytes)? {
        return Ok(Mutated::Full);
    }
    let mut versions = Vec::with_capacity(mutations.len());
    for mutation in mutations {
        let version = current[mutation.key.as_str()].0 + 1;
        let value = mutation.value.as_deref().filter(|value| !value.is_empty());
        put(db, account, &mutation.key, value, version)?;
        versions.push(version);
    }
    Ok(Mutated::Done(versions))
}

fn stored(db: &Connection, account: &str, key: &str) -> Result<(i64, Option<String>), StoreError> {
    let found = db
        .prepare_cached("SELECT version, value FROM happy_kv WHERE account_id = ?1 AND key = ?2")?
        .query_row([account, key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.unwrap_or((NEVER, None)))
}

fn put(
    db: &Connection,
    account: &str,
    key: &str,
    value: Option<&str>,
    version: i64,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO happy_kv (account_id, key, value, version) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (account_id, key) DO UPDATE SET value = ?3, version = ?4",
    )?
    .execute(params![account, key, value, version])?;
    Ok(())
}

/// Adds to the account's weight, unless that is more than it may have and no lighter than before.
pub fn weigh(db: &Connection, account: &str, keys: i64, bytes: i64) -> Result<bool, StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE happy_accounts SET kv_keys = kv_keys + ?2, kv_bytes = kv_bytes + ?3
             WHERE id = ?1 AND ((kv_keys + ?2 <= ?4 AND kv_bytes + ?3 <= ?5)
                 OR (?2 = 0 AND ?3 <= 0))",
        )?
        .execute(params![
            account,
            keys,
            bytes,
            limits::HAPPY_KV_KEYS_MAX as i64,
            limits::HAPPY_KV_BYTES_MAX as i64
        ])?;
    Ok(changed == 1)
}

fn length(value: Option<&str>) -> i64 {
    value.map_or(0, |value| value.len() as i64)
}

fn entry(row: &Row) -> Result<Entry, StoreError> {
    Ok(Entry {
        key: row.get(0)?,
        value: row.get(1)?,
        version: row.get(2)?,
    })
}
