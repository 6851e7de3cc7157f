//! Requests to be let in, and the answers to them.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, Row, StoreError, params};

/// Who asks: a terminal, or another device of the account's person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Terminal,
    Account,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Kind::Terminal => "terminal",
            Kind::Account => "account",
        }
    }
}

pub struct Pairing {
    pub id: String,
    pub supports_v2: bool,
    /// Ciphertext for the requester, and the account that gave it.
    pub answer: Option<(String, String)>,
    /// Whom it let in.
    pub device: Option<String>,
}

/// Still holds, with the parameters of [`holding_at`]: asked for an hour ago at most, answered a
/// week ago, fetched a day ago, and what it let in was not taken back.
const HOLDS: &str = "coalesce(fetched_at + ?4, answered_at + ?3, created_at + ?2) > ?1
    AND (device_id IS NULL OR EXISTS (SELECT 1 FROM happy_devices WHERE id = device_id))";

/// One request of this key that has not expired.
pub fn get(
    db: &Connection,
    kind: Kind,
    key: &str,
    now: UnixMillis,
) -> Result<Option<Pairing>, StoreError> {
    let [at, pending, answered, fetched] = holding_at(now);
    db.prepare_cached(&format!(
        "SELECT id, supports_v2, response, account_id, device_id FROM happy_pairings
         WHERE kind = ?5 AND public_key = ?6 AND {HOLDS}"
    ))?
    .query_and_then(
        params![at, pending, answered, fetched, kind.word(), key],
        pairing,
    )?
    .next()
    .transpose()
}

/// The device that came in by it.
pub fn fetched(db: &Connection, id: &str, device: &str, now: UnixMillis) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE happy_pairings SET device_id = ?2, fetched_at = ?3
         WHERE id = ?1 AND device_id IS NULL",
    )?
    .execute(params![id, device, now.0])?;
    Ok(())
}

/// Makes the request unless it is there; removes those that have expired. Where as many are kept as
/// may, the oldest goes that nobody answered; `None` when all are answered.
pub fn ask(
    db: &Connection,
    kind: Kind,
    key: &str,
    id: &str,
    supports_v2: bool,
    now: UnixMillis,
) -> Result<Option<Pairing>, StoreError> {
    db.prepare_cached(&format!("DELETE FROM happy_pairings WHERE NOT ({HOLDS})"))?
        .execute(holding_at(now))?;
    db.prepare_cached(
        "DELETE FROM happy_pairings
         WHERE id = (SELECT id FROM happy_pairings WHERE response IS NULL
                     ORDER BY created_at LIMIT 1)
           AND (SELECT count(*) FROM happy_pairings) >= ?3
           AND NOT EXISTS (SELECT 1 FROM happy_pairings WHERE kind = ?1 AND public_key = ?2)",
    )?
    .execute(params![kind.word(), key, limits::HAPPY_PAIRINGS_MAX as i64])?;
    db.prepare_cached(
        "INSERT INTO happy_pairings (kind, public_key, id, supports_v2, created_at)
         SELECT ?1, ?2, ?3, ?4, ?5 WHERE (SELECT count(*) FROM happy_pairings) < ?6
         ON CONFLICT (kind, public_key) DO NOTHING",
    )?
    .execute(params![
        kind.word(),
        key,
        id,
        supports_v2,
        now.0,
        limits::HAPPY_PAIRINGS_MAX as i64
    ])?;
    get(db, kind, key, now)
}

/// The first answer stays, and an empty one is none. Whether there is such a request.
pub fn answer(
    db: &Connection,
    kind: Kind,
    key: &str,
    response: &str,
    account: &str,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    if get(db, kind, key, now)?.is_none() {
        return Ok(false);
    }
    db.prepare_cached(
        "UPDATE happy_pairings SET response = ?3, account_id = ?4, answered_at = ?5
         WHERE kind = ?1 AND public_key = ?2 AND response IS NULL AND ?3 <> ''",
    )?
    .execute(params![kind.word(), key, response, account, now.0])?;
    Ok(true)
}

/// The moment, and how long a pairing holds after each of its steps, in milliseconds.
fn holding_at(now: UnixMillis) -> [i64; 4] {
    let ms = |time: Duration| time.as_millis() as i64;
    [
        now.0,
        ms(limits::HAPPY_PAIRING_PENDING),
        ms(limits::HAPPY_PAIRING_ANSWERED),
        ms(limits::HAPPY_PAIRING_FETCHED),
    ]
}

fn pairing(row: &Row) -> Result<Pairing, StoreError> {
    let (response, account): (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
    Ok(Pairing {
        id: row.get(0)?,
        supports_v2: row.get(1)?,
        answer: response.zip(account),
        device: row.get(4)?,
    })
}
