//! Vectors of memories: written beside their rows, read by walking over all of them.

use super::{Mapped, text};
use crate::clock::UnixMillis;
use crate::limits::VECTORS_SCANNED_MAX;
use crate::store::{Connection, params};
use crate::voice::error::VoiceError;
use crate::voice::vectors::Vector;

/// A memory whose meaning is not known yet.
#[derive(Clone, Debug)]
pub struct Unembedded {
    pub seq: i64,
    pub text: String,
    pub updated_at: UnixMillis,
}

/// Newest first: memories without a vector of this model, among those that a search compares.
pub fn missing(
    connection: &Connection,
    model: &str,
    limit: usize,
) -> Result<Vec<Unembedded>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT m.seq, m.title || char(10) || m.content, m.updated_at
         FROM (SELECT seq, title, content, updated_at FROM memories ORDER BY seq DESC LIMIT ?3) m
         LEFT JOIN memory_vectors v ON v.seq = m.seq AND v.model = ?1
         WHERE v.seq IS NULL ORDER BY m.seq DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(
        params![model, limit as i64, VECTORS_SCANNED_MAX as i64],
        |row| -> Mapped<Unembedded> {
            Ok(Unembedded {
                seq: row.get(0)?,
                text: row.get(1)?,
                updated_at: UnixMillis(row.get(2)?),
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Stores a vector, unless the memory is gone or has changed since it was read. Without one the
/// memory counts as looked at and is never found by meaning.
pub fn put(
    connection: &Connection,
    model: &str,
    memory: &Unembedded,
    vector: Option<&Vector>,
) -> Result<(), VoiceError> {
    let bytes = vector.map(Vector::to_bytes).unwrap_or_default();
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO memory_vectors (seq, model, vector)
             SELECT seq, ?2, ?3 FROM memories WHERE seq = ?1 AND updated_at = ?4",
        )?
        .execute(params![memory.seq, model, bytes, memory.updated_at.0])?;
    Ok(())
}

pub fn remove(connection: &Connection, memory_id: &str) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "DELETE FROM memory_vectors WHERE seq = (SELECT seq FROM memories WHERE id = ?1)",
        )?
        .execute([memory_id])?;
    Ok(())
}

pub fn remove_seq(connection: &Connection, seq: i64) -> Result<(), VoiceError> {
    connection
        .prepare_cached("DELETE FROM memory_vectors WHERE seq = ?1")?
        .execute([seq])?;
    Ok(())
}

/// Hands the newest [`VECTORS_SCANNED_MAX`] vectors of a model to `take`, as stored.
pub fn each(
    connection: &Connection,
    model: &str,
    mut take: impl FnMut(i64, &[u8]),
) -> Result<(), VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, vector, model FROM memory_vectors ORDER BY seq DESC LIMIT ?1",
    )?;
    let mut rows = statement.query([VECTORS_SCANNED_MAX as i64])?;
    while let Some(row) = rows.next()? {
        if text(row, 2)? != model {
            continue;
        }
        let bytes = row.get_ref(1)?.as_bytes().unwrap_or_default();
        take(row.get(0)?, bytes);
    }
    Ok(())
}
