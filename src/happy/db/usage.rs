//! Reports of what sessions used, one for each key of a session.

use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, StoreError, params};

pub struct Report {
    pub id: String,
    pub created_at: i64,
    pub updated_at: i64,
}

/// Which reports: of one session, made within a time.
pub struct Window {
    pub session: Option<String>,
    pub from: i64,
    pub to: i64,
}

pub fn is_own_session(db: &Connection, account: &str, session: &str) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT 1 FROM happy_sessions WHERE id = ?1 AND account_id = ?2 AND deleting = 0",
        )?
        .exists([session, account])?)
}

/// A later report of a key takes the place of the earlier. The oldest go where there are too many.
pub fn store(
    db: &Connection,
    id: &str,
    account: &str,
    (session, key): (&str, &str),
    data: &str,
    now: UnixMillis,
) -> Result<Report, StoreError> {
    let report = db
        .prepare_cached(
            "INSERT INTO happy_usage
                 (id, account_id, session_id, key, data, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
             ON CONFLICT (session_id, key) DO UPDATE SET data = ?5, updated_at = ?6
             RETURNING id, created_at, updated_at",
        )?
        .query_row(params![id, account, session, key, data, now.0], |row| {
            Ok(Report {
                id: row.get(0)?,
                created_at: row.get(1)?,
                updated_at: row.get(2)?,
            })
        })?;
    if report.id == id {
        db.prepare_cached(
            "DELETE FROM happy_usage WHERE rowid IN (
                 SELECT rowid FROM happy_usage WHERE account_id = ?1
                 ORDER BY created_at DESC, rowid DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![account, limits::HAPPY_USAGE_REPORTS_MAX as i64])?;
    }
    Ok(report)
}

/// Hands over times of making and what was reported, the oldest first.
pub fn within(
    db: &Connection,
    account: &str,
    window: &Window,
    mut each: impl FnMut(i64, &str),
) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT created_at, data FROM happy_usage
         WHERE account_id = ?1 AND created_at BETWEEN ?2 AND ?3
           AND (?4 IS NULL OR session_id = ?4)
           AND session_id NOT IN (SELECT id FROM happy_sessions WHERE deleting = 1)
         ORDER BY created_at",
    )?;
    let mut rows = statement.query(params![account, window.from, window.to, window.session])?;
    while let Some(row) = rows.next()? {
        each(row.get(0)?, &row.get::<_, String>(1)?);
    }
    Ok(())
}
