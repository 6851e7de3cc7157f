//! Artifacts. The client chooses the id, so one account may come upon another's.

use serde::Serialize;

use super::{WriteError, accounts, page_of};
use crate::clock::UnixMillis;
use crate::limits;
use crate::store::{Connection, Row, StoreError, params};

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    pub id: String,
    header: String,
    header_version: i64,
    /// Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_version: Option<i64>,
    data_encryption_key: String,
    seq: i64,
    created_at: i64,
    updated_at: i64,
}

pub struct NewArtifact {
    pub id: String,
    pub header: String,
    pub body: String,
    pub data_encryption_key: String,
}

impl NewArtifact {
    /// All that the client chose.
    pub fn bytes(&self) -> usize {
        let parts = self.header.len() + self.body.len();
        parts + self.id.len() + self.data_encryption_key.len()
    }
}

/// An artifact, and what became of asking for its making.
pub enum OfId {
    /// With the number of the update that tells of it.
    Made(Artifact, i64),
    Known(Artifact),
    AnotherAccounts,
}

/// A new header or body, for whoever knows the version that it replaces.
pub struct Part {
    pub data: String,
    pub expected: i64,
}

/// A header or body as it is at this moment.
pub struct Current {
    pub version: i64,
    pub data: String,
}

pub enum Changed {
    /// The new versions of what was changed, and the number of the update that tells of it.
    To {
        header: Option<i64>,
        body: Option<i64>,
        seq: i64,
    },
    /// Nothing was changed; what is there in the place of the parts that came too late.
    Stale {
        header: Option<Current>,
        body: Option<Current>,
    },
    Missing,
}

const COLUMNS: &str =
    "id, header, header_version, data_encryption_key, seq, created_at, updated_at";

/// The artifact of this id, made unless it is there.
pub fn of_id(
    db: &Connection,
    account: &str,
    new: &NewArtifact,
    now: UnixMillis,
) -> Result<OfId, WriteError> {
    if let Some(known) = get(db, account, &new.id)? {
        return Ok(OfId::Known(known));
    }
    let is_taken = db
        .prepare_cached("SELECT 1 FROM happy_artifacts WHERE id = ?1")?
        .exists([&new.id])?;
    if is_taken {
        return Ok(OfId::AnotherAccounts);
    }
    accounts::want_room(db, account, new.bytes())?;
    let made = db
        .prepare_cached(
            "INSERT INTO happy_artifacts
                 (id, account_id, header, body, data_encryption_key, created_at, updated_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?6
             WHERE (SELECT count(*) FROM happy_artifacts WHERE account_id = ?2) < ?7",
        )?
        .execute(params![
            new.id,
            account,
            new.header,
            new.body,
            new.data_encryption_key,
            now.0,
            limits::HAPPY_ARTIFACTS_MAX as i64
        ])?;
    match get(db, account, &new.id)? {
        Some(artifact) if made > 0 => Ok(OfId::Made(artifact, accounts::next_seq(db, account)?)),
        _ => Err(WriteError::NoRoom),
    }
}

pub fn get(db: &Connection, account: &str, id: &str) -> Result<Option<Artifact>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, body, body_version FROM happy_artifacts
         WHERE id = ?1 AND account_id = ?2"
    );
    let whole = |row: &Row| {
        Ok(Artifact {
            body: row.get(7)?,
            body_version: row.get(8)?,
            ..without_body(row)?
        })
    };
    db.prepare_cached(&sql)?
        .query_and_then([id, account], whole)?
        .next()
        .transpose()
}

/// Newest change first, without bodies.
pub fn newest(db: &Connection, account: &str, limit: usize) -> Result<Vec<Artifact>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM happy_artifacts WHERE account_id = ?1
         ORDER BY updated_at DESC, id LIMIT ?2"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_and_then(params![account, limit as i64], without_body)?;
    let (found, _) = page_of(rows, limit, |artifact| {
        artifact.header.len() + artifact.data_encryption_key.len()
    })?;
    Ok(found)
}

/// Replaces the parts when each expected version is the present one, and nothing otherwise.
pub fn change(
    db: &Connection,
    account: &str,
    id: &str,
    header: Option<&Part>,
    body: Option<&Part>,
    now: UnixMillis,
) -> Result<Changed, WriteError> {
    let Some(current) = get(db, account, id)? else {
        return Ok(Changed::Missing);
    };
    let stale = |part: Option<&Part>, version: i64, data: &str| {
        part.filter(|part| part.expected != version)
            .map(|_| Current {
                version,
                data: data.to_owned(),
            })
    };
    let stored_body = current.body.as_deref().unwrap_or_default();
    let stale_header = stale(header, current.header_version, &current.header);
    let stale_body = stale(body, current.body_version.unwrap_or_default(), stored_body);
    if stale_header.is_some() || stale_body.is_some() {
        return Ok(Changed::Stale {
            header: stale_header,
            body: stale_body,
        });
    }
    let grown = |part: Option<&Part>, before: &str| {
        part.map_or(0, |part| part.data.len().saturating_sub(before.len()))
    };
    let more = grown(header, &current.header) + grown(body, stored_body);
    accounts::want_room(db, account, more)?;
    db.prepare_cached(
        "UPDATE happy_artifacts SET seq = seq + 1, updated_at = ?2,
             header = coalesce(?3, header), header_version = header_version + (?3 IS NOT NULL),
             body = coalesce(?4, body), body_version = body_version + (?4 IS NOT NULL)
         WHERE id = ?1",
    )?
    .execute(params![
        id,
        now.0,
        header.map(|part| &part.data),
        body.map(|part| &part.data)
    ])?;
    Ok(Changed::To {
        header: header.map(|part| part.expected + 1),
        body: body.map(|part| part.expected + 1),
        seq: accounts::next_seq(db, account)?,
    })
}

/// The number of the update that tells of it; `None` when there was no such artifact.
pub fn delete(db: &Connection, account: &str, id: &str) -> Result<Option<i64>, StoreError> {
    let sql = "DELETE FROM happy_artifacts WHERE id = ?1 AND account_id = ?2";
    match db.execute(sql, [id, account])? {
        0 => Ok(None),
        _ => Ok(Some(accounts::next_seq(db, account)?)),
    }
}

fn without_body(row: &Row) -> Result<Artifact, StoreError> {
    Ok(Artifact {
        id: row.get(0)?,
        header: row.get(1)?,
        header_version: row.get(2)?,
        body: None,
        body_version: None,
        data_encryption_key: row.get(3)?,
        seq: row.get(4)?,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
    })
}
