//! Posts in an account's feed, numbered from 1.

use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, Row, StoreError, params};

pub struct Post {
    pub id: String,
    pub counter: i64,
    pub repeat_key: Option<String>,
    /// JSON.
    pub body: String,
    pub created_at: i64,
}

pub enum From {
    Newest,
    Before(i64),
    After(i64),
}

/// Takes the place of an older post of the same key. The oldest go where there are too many.
pub fn post(
    db: &Connection,
    id: String,
    account: &str,
    repeat_key: String,
    body: String,
    now: UnixMillis,
) -> Result<Post, StoreError> {
    db.prepare_cached("DELETE FROM happy_feed WHERE account_id = ?1 AND repeat_key = ?2")?
        .execute([account, &repeat_key])?;
    let counter = db
        .prepare_cached(
            "UPDATE happy_accounts SET feed_seq = feed_seq + 1 WHERE id = ?1 RETURNING feed_seq",
        )?
        .query_row([account], |row| row.get(0))?;
    db.prepare_cached(
        "INSERT INTO happy_feed (id, account_id, counter, repeat_key, body, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![id, account, counter, repeat_key, body, now.0])?;
    db.prepare_cached("DELETE FROM happy_feed WHERE account_id = ?1 AND counter <= ?2")?
        .execute(params![
            account,
            counter - limits::HAPPY_FEED_POSTS_MAX as i64
        ])?;
    Ok(Post {
        id,
        counter,
        repeat_key: Some(repeat_key),
        body,
        created_at: now.0,
    })
}

/// The newest first.
pub fn page(
    db: &Connection,
    account: &str,
    from: &From,
    limit: usize,
) -> Result<Vec<Post>, StoreError> {
    let (after, before) = match from {
        From::Newest => (0, i64::MAX),
        From::Before(counter) => (0, *counter),
        From::After(counter) => (*counter, i64::MAX),
    };
    db.prepare_cached(
        "SELECT id, counter, repeat_key, body, created_at FROM happy_feed
         WHERE account_id = ?1 AND counter > ?2 AND counter < ?3
         ORDER BY counter DESC LIMIT ?4",
    )?
    .query_and_then(params![account, after, before, limit as i64], read)?
    .collect()
}

fn read(row: &Row) -> Result<Post, StoreError> {
    Ok(Post {
        id: row.get(0)?,
        counter: row.get(1)?,
        repeat_key: row.get(2)?,
        body: row.get(3)?,
        created_at: row.get(4)?,
    })
}
