//! What accounts are to each other.

use super::accounts;
use crate::clock::UnixMillis;
use crate::store::{Connection, OptionalExtension, Row, StoreError, params};

/// What one account is to another, in the eyes of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    None,
    /// Asked to be a friend.
    Requested,
    /// Was asked.
    Pending,
    Friend,
    Rejected,
}

impl Status {
    const ALL: [Status; 5] = [
        Status::None,
        Status::Requested,
        Status::Pending,
        Status::Friend,
        Status::Rejected,
    ];

    pub const fn word(self) -> &'static str {
        match self {
            Status::None => "none",
            Status::Requested => "requested",
            Status::Pending => "pending",
            Status::Friend => "friend",
            Status::Rejected => "rejected",
        }
    }

    fn of_word(word: &str) -> Status {
        let known = Status::ALL.into_iter().find(|known| known.word() == word);
        known.unwrap_or(Status::None)
    }
}

pub struct Person {
    pub id: String,
    pub username: Option<String>,
    /// What the person is to who asks.
    pub status: Status,
}

const PERSON: &str = "SELECT account.id, account.username, relation.status
     FROM happy_accounts AS account
     LEFT JOIN happy_relations AS relation
         ON relation.from_id = ?1 AND relation.to_id = account.id
     WHERE account.mark IS NULL";

/// One person as `asking` sees them.
pub fn person(db: &Connection, asking: &str, id: &str) -> Result<Option<Person>, StoreError> {
    let sql = format!("{PERSON} AND account.id = ?2");
    db.prepare_cached(&sql)?
        .query_and_then([asking, id], read)?
        .next()
        .transpose()
}

/// Those whose name begins with `start`, by name.
pub fn search(
    db: &Connection,
    asking: &str,
    start: &str,
    limit: usize,
) -> Result<Vec<Person>, StoreError> {
    let sql = format!(
        "{PERSON} AND substr(account.username, 1, length(?2)) = ?2 COLLATE NOCASE
         ORDER BY account.username LIMIT ?3"
    );
    db.prepare_cached(&sql)?
        .query_and_then(params![asking, start, limit as i64], read)?
        .collect()
}

/// Friends, those who were asked and those who ask.
pub fn friends(db: &Connection, asking: &str) -> Result<Vec<Person>, StoreError> {
    let sql = format!(
        "{PERSON} AND relation.status IN ('friend', 'pending', 'requested')
         ORDER BY relation.rowid"
    );
    db.prepare_cached(&sql)?
        .query_and_then([asking], read)?
        .collect()
}

pub enum Named {
    /// With the number of the update that tells of it.
    Done(i64),
    NoAccount,
    /// By another account.
    Taken,
}

/// Gives an account the name by which others find it, or takes it away.
pub fn name(
    db: &Connection,
    account: &str,
    name: Option<&str>,
    now: UnixMillis,
) -> Result<Named, StoreError> {
    let is_taken = db
        .prepare_cached("SELECT 1 FROM happy_accounts WHERE username = ?1 AND id <> ?2")?
        .exists(params![name, account])?;
    if is_taken {
        return Ok(Named::Taken);
    }
    let changed = db
        .prepare_cached("UPDATE happy_accounts SET username = ?2, updated_at = ?3 WHERE id = ?1 AND mark IS NULL")?
        .execute(params![account, name, now.0])?;
    match changed {
        0 => Ok(Named::NoAccount),
        _ => Ok(Named::Done(accounts::next_seq(db, account)?)),
    }
}

pub fn status(db: &Connection, from: &str, to: &str) -> Result<Status, StoreError> {
    let word: Option<String> = db
        .prepare_cached("SELECT status FROM happy_relations WHERE from_id = ?1 AND to_id = ?2")?
        .query_row([from, to], |row| row.get(0))
        .optional()?;
    Ok(word.map_or(Status::None, |word| Status::of_word(&word)))
}

pub fn set(
    db: &Connection,
    from: &str,
    to: &str,
    status: Status,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let accepted_at = (status == Status::Friend).then_some(now.0);
    db.prepare_cached(
        "INSERT INTO happy_relations (from_id, to_id, status, accepted_at)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (from_id, to_id) DO UPDATE SET status = ?3, accepted_at = ?4",
    )?
    .execute(params![from, to, status.word(), accepted_at])?;
    Ok(())
}

/// Stamps the relation as told of in the feed of `from`. False where it may not be: there is none,
/// it was rejected, or a post about it came after `since`.
pub fn stamp_notified(
    db: &Connection,
    from: &str,
    to: &str,
    since: UnixMillis,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE happy_relations SET notified_at = ?4
             WHERE from_id = ?1 AND to_id = ?2 AND status <> 'rejected'
               AND (notified_at IS NULL OR notified_at < ?3)",
        )?
        .execute(params![from, to, since.0, now.0])?;
    Ok(changed == 1)
}

fn read(row: &Row) -> Result<Person, StoreError> {
    let status: Option<String> = row.get(2)?;
    Ok(Person {
        id: row.get(0)?,
        username: row.get(1)?,
        status: status.map_or(Status::None, |word| Status::of_word(&word)),
    })
}
