//! Tags, and which memories carry them.

use serde::Serialize;

use super::{Mapped, search};
use crate::store::{Connection, OptionalExtension, Row, params};
use crate::voice::error::VoiceError;
use crate::voice::memory::{Page, fresh_id};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tag {
    pub id: String,
    pub name: String,
    pub color: String,
    /// Memories that carry it.
    pub count: i64,
}

macro_rules! columns {
    () => {
        "SELECT t.id, t.name, t.color,
                (SELECT count(*) FROM memory_tags mt WHERE mt.tag_id = t.id)
         FROM tags t "
    };
}

fn read(row: &Row) -> Mapped<Tag> {
    Ok(Tag {
        id: row.get(0)?,
        name: row.get(1)?,
        color: row.get(2)?,
        count: row.get(3)?,
    })
}

/// Tags by name, one page, and how many there are.
pub fn list(connection: &Connection, page: Page) -> Result<(Vec<Tag>, i64), VoiceError> {
    let mut statement =
        connection.prepare_cached(concat!(columns!(), "ORDER BY t.name LIMIT ?1 OFFSET ?2"))?;
    let tags = statement
        .query_map(params![page.limit as i64, page.offset as i64], read)?
        .collect::<Result<Vec<Tag>, _>>()?;
    let total = connection.query_row("SELECT count(*) FROM tags", [], |row| row.get(0))?;
    Ok((tags, total))
}

pub fn get(connection: &Connection, id: &str) -> Result<Option<Tag>, VoiceError> {
    let mut statement = connection.prepare_cached(concat!(columns!(), "WHERE t.id = ?1"))?;
    Ok(statement.query_row([id], read).optional()?)
}

/// `None`: there is a tag of this name already.
pub fn create(connection: &Connection, name: &str, color: &str) -> Result<Option<Tag>, VoiceError> {
    let id = fresh_id("tag_");
    let made = connection
        .prepare_cached(
            "INSERT INTO tags (id, name, color) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING",
        )?
        .execute([&id, name, color])?;
    match made {
        0 => Ok(None),
        _ => get(connection, &id),
    }
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    Tag(Tag),
    Unknown,
    /// Another tag has this name.
    Taken,
}

/// Memories that carry a renamed tag are found by the new name.
pub fn update(
    connection: &Connection,
    id: &str,
    name: Option<&str>,
    color: Option<&str>,
) -> Result<Changed, VoiceError> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM tags WHERE name = ?2 AND id <> ?1")?
        .exists(params![id, name])?;
    if taken {
        return Ok(Changed::Taken);
    }
    connection
        .prepare_cached(
            "UPDATE tags SET name = coalesce(?2, name), color = coalesce(?3, color) WHERE id = ?1",
        )?
        .execute(params![id, name, color])?;
    let Some(tag) = get(connection, id)? else {
        return Ok(Changed::Unknown);
    };
    if name.is_some() {
        for memory in carriers(connection, id)? {
            search::reindex_memory(connection, &memory)?;
        }
    }
    Ok(Changed::Tag(tag))
}

/// Takes the tag off its memories, which stay. `false`: there is no such tag.
pub fn delete(connection: &Connection, id: &str) -> Result<bool, VoiceError> {
    let memories = carriers(connection, id)?;
    connection
        .prepare_cached("DELETE FROM memory_tags WHERE tag_id = ?1")?
        .execute([id])?;
    let gone = connection
        .prepare_cached("DELETE FROM tags WHERE id = ?1")?
        .execute([id])?;
    for memory in memories {
        search::reindex_memory(connection, &memory)?;
    }
    Ok(gone > 0)
}

/// Makes `names` the tags of a memory; a tag that does not exist yet is made.
pub fn set(connection: &Connection, memory_id: &str, names: &[String]) -> Result<(), VoiceError> {
    connection
        .prepare_cached("DELETE FROM memory_tags WHERE memory_id = ?1")?
        .execute([memory_id])?;
    for name in names {
        connection
            .prepare_cached(
                "INSERT INTO tags (id, name) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
            )?
            .execute(params![fresh_id("tag_"), name])?;
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO memory_tags (memory_id, tag_id)
                 SELECT ?1, id FROM tags WHERE name = ?2",
            )?
            .execute(params![memory_id, name])?;
    }
    Ok(())
}

fn carriers(connection: &Connection, id: &str) -> Result<Vec<String>, VoiceError> {
    let mut statement =
        connection.prepare_cached("SELECT memory_id FROM memory_tags WHERE tag_id = ?1")?;
    let ids = statement.query_map([id], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

pub fn count(connection: &Connection) -> Result<i64, VoiceError> {
    Ok(connection.query_row("SELECT count(*) FROM tags", [], |row| row.get(0))?)
}
