//! The search indexes: entries written beside their rows, matches read, agreement checked.

use super::text;
use crate::clock::UnixMillis;
use crate::store::{Connection, OptionalExtension, ToSql, params};
use crate::voice::error::VoiceError;
use crate::voice::index::indexed;
use crate::voice::memory::{Importance, MemoryFilter};

/// What ranking needs to know of a row that matched; its text is read only when it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Match {
    pub seq: i64,
    pub importance: Importance,
    pub pinned: bool,
    pub created_at: UnixMillis,
    /// SQLite's weighted bm25, turned around: larger is better, above zero.
    pub text_rank: f64,
}

#[derive(Clone, Debug)]
pub struct MatchText {
    pub id: String,
    pub title: String,
    pub content: String,
    pub category: String,
    pub superseded_by: Option<String>,
}

/// Whether a search index agrees with its table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexCheck {
    pub memories: i64,
    pub messages: i64,
    /// Rows that no search can find.
    pub missing: i64,
    /// Entries whose row is gone.
    pub stale: i64,
}

impl IndexCheck {
    pub fn agrees(&self) -> bool {
        self.missing == 0 && self.stale == 0
    }
}

/// What a filter lets through; parameters 2 to 10.
macro_rules! passes {
    () => {
        " AND m.is_archived = ?2
      AND (?3 IS NULL OR m.category = ?3
           OR substr(m.category, 1, length(?3) + 1) = ?3 || '.')
      AND (?4 IS NULL OR m.created_at >= ?4)
      AND (?5 IS NULL OR m.created_at < ?5)
      AND (?6 IS NULL OR EXISTS (SELECT 1 FROM memory_tags mt JOIN tags t ON t.id = mt.tag_id
                                 WHERE mt.memory_id = m.id AND t.name = ?6))
      AND (?7 = 0 OR m.superseded_by IS NULL)
      AND (?8 IS NULL OR m.source = ?8)
      AND (?9 IS NULL OR m.importance = ?9)
      AND (?10 IS NULL OR m.conversation_id = ?10)"
    };
}

/// bm25 with title x4, tags x3, summary x2, content x1. Not ordered here: how old and how
/// important a memory is weighs too.
const MATCHES: &str = concat!(
    "SELECT m.seq, m.importance, m.pinned, m.created_at, -bm25(memory_index, 4.0, 3.0, 2.0, 1.0)
     FROM memory_index i JOIN memories m ON m.seq = i.rowid
     WHERE memory_index MATCH ?1",
    passes!()
);

const MATCH_OF: &str = concat!(
    "SELECT m.seq, m.importance, m.pinned, m.created_at, 0.0 FROM memories m WHERE m.seq = ?1",
    passes!()
);

/// Hands every memory that an FTS5 expression matches to `take`, in no particular order.
pub fn matches(
    connection: &Connection,
    expression: &str,
    filter: &MemoryFilter,
    take: impl FnMut(Match),
) -> Result<(), VoiceError> {
    filtered(connection, MATCHES, &expression, filter, take)
}

/// One memory, if a filter lets it through.
pub fn match_of(
    connection: &Connection,
    seq: i64,
    filter: &MemoryFilter,
) -> Result<Option<Match>, VoiceError> {
    let mut found = None;
    filtered(connection, MATCH_OF, &seq, filter, |one| found = Some(one))?;
    Ok(found)
}

fn filtered(
    connection: &Connection,
    sql: &str,
    wanted: &dyn ToSql,
    filter: &MemoryFilter,
    mut take: impl FnMut(Match),
) -> Result<(), VoiceError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![
        wanted,
        filter.archived,
        filter.category,
        filter.since.map(|time| time.0),
        filter.until.map(|time| time.0),
        filter.tag,
        filter.current_only,
        filter.source.map(|source| source.name()),
        filter.importance.map(|importance| importance.name()),
        filter.conversation_id,
    ])?;
    while let Some(row) = rows.next()? {
        take(Match {
            seq: row.get(0)?,
            importance: Importance::named(&text(row, 1)?).unwrap_or_default(),
            pinned: row.get(2)?,
            created_at: UnixMillis(row.get(3)?),
            text_rank: row.get::<_, f64>(4)?.max(f64::MIN_POSITIVE),
        });
    }
    Ok(())
}

pub fn match_text(connection: &Connection, seq: i64) -> Result<MatchText, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, title, content, category, superseded_by FROM memories WHERE seq = ?1",
    )?;
    Ok(statement.query_row([seq], |row| {
        Ok(MatchText {
            id: row.get(0)?,
            title: row.get(1)?,
            content: row.get(2)?,
            category: row.get(3)?,
            superseded_by: row.get(4)?,
        })
    })?)
}

/// A message that matched, as clients see it.
#[derive(Clone, Debug)]
pub struct MessageMatch {
    pub id: String,
    pub conversation_id: String,
    pub role: String,
    pub content: String,
    pub created_at: UnixMillis,
    pub text_rank: f64,
}

pub fn messages(
    connection: &Connection,
    expression: &str,
    filter: &MemoryFilter,
    limit: usize,
) -> Result<Vec<MessageMatch>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT m.id, m.conversation_id, m.role, m.content, m.timestamp, -bm25(message_index)
         FROM message_index i JOIN messages m ON m.seq = i.rowid
         WHERE message_index MATCH ?1
           AND (?2 IS NULL OR m.timestamp >= ?2) AND (?3 IS NULL OR m.timestamp < ?3)
           AND (?5 IS NULL OR m.conversation_id = ?5)
         ORDER BY 6 DESC, m.seq DESC LIMIT ?4",
    )?;
    let (since, until) = (filter.since.map(|t| t.0), filter.until.map(|t| t.0));
    let found = statement.query_map(
        params![
            expression,
            since,
            until,
            limit as i64,
            filter.conversation_id
        ],
        |row| {
            Ok(MessageMatch {
                id: row.get(0)?,
                conversation_id: row.get(1)?,
                role: row.get(2)?,
                content: row.get(3)?,
                created_at: UnixMillis(row.get(4)?),
                text_rank: row.get::<_, f64>(5)?.max(f64::MIN_POSITIVE),
            })
        },
    )?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub fn index_memory(
    connection: &Connection,
    seq: i64,
    title: &str,
    tags: &str,
    summary: &str,
    content: &str,
) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "INSERT INTO memory_index (rowid, title, tags, summary, content)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            seq,
            indexed(title),
            indexed(tags),
            indexed(summary),
            indexed(content)
        ])?;
    Ok(())
}

pub fn unindex_memory(connection: &Connection, seq: i64) -> Result<(), VoiceError> {
    connection
        .prepare_cached("DELETE FROM memory_index WHERE rowid = ?1")?
        .execute([seq])?;
    Ok(())
}

pub fn empty_memory_index(connection: &Connection) -> Result<(), VoiceError> {
    connection.execute(
        "INSERT INTO memory_index (memory_index) VALUES ('delete-all')",
        [],
    )?;
    Ok(())
}

/// A memory's text as its index entry wants it: seq, title, tags, summary, content.
macro_rules! index_source {
    () => {
        "SELECT m.seq, m.title,
                coalesce((SELECT group_concat(t.name, ' ') FROM memory_tags mt
                          JOIN tags t ON t.id = mt.tag_id WHERE mt.memory_id = m.id), ''),
                coalesce(m.summary, ''), m.content
         FROM memories m"
    };
}

type IndexSource = (i64, String, String, String, String);

/// Writes a memory's entry anew from its row.
pub fn reindex_memory(connection: &Connection, id: &str) -> Result<(), VoiceError> {
    let source: Option<IndexSource> = connection
        .prepare_cached(concat!(index_source!(), " WHERE m.id = ?1"))?
        .query_row([id], |row| row.try_into())
        .optional()?;
    if let Some((seq, title, tags, summary, content)) = source {
        unindex_memory(connection, seq)?;
        index_memory(connection, seq, &title, &tags, &summary, &content)?;
    }
    Ok(())
}

pub fn index_message(connection: &Connection, seq: i64, content: &str) -> Result<(), VoiceError> {
    connection
        .prepare_cached("INSERT INTO message_index (rowid, content) VALUES (?1, ?2)")?
        .execute(params![seq, indexed(content)])?;
    Ok(())
}

pub fn unindex_message(connection: &Connection, seq: i64) -> Result<(), VoiceError> {
    connection
        .prepare_cached("DELETE FROM message_index WHERE rowid = ?1")?
        .execute([seq])?;
    Ok(())
}

/// Compares the sets of rows and entries, both ways.
pub fn check_index(connection: &Connection) -> Result<IndexCheck, VoiceError> {
    let number = |sql: &str| -> Result<i64, VoiceError> {
        Ok(connection.query_row(sql, [], |row| row.get(0))?)
    };
    Ok(IndexCheck {
        memories: number("SELECT count(*) FROM memories")?,
        messages: number("SELECT count(*) FROM messages")?,
        missing: number(
            "SELECT (SELECT count(*) FROM memories WHERE seq NOT IN (SELECT rowid FROM memory_index))
                  + (SELECT count(*) FROM messages WHERE seq NOT IN (SELECT rowid FROM message_index))",
        )?,
        stale: number(
            "SELECT (SELECT count(*) FROM memory_index WHERE rowid NOT IN (SELECT seq FROM memories))
                  + (SELECT count(*) FROM message_index WHERE rowid NOT IN (SELECT seq FROM messages))",
        )?,
    })
}

/// Makes both indexes anew from their tables; inside a transaction.
pub fn rebuild_index(connection: &Connection) -> Result<(), VoiceError> {
    empty_memory_index(connection)?;
    connection.execute(
        "INSERT INTO message_index (message_index) VALUES ('delete-all')",
        [],
    )?;
    let mut memories = connection.prepare(index_source!())?;
    let mut rows = memories.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, title, tags, summary, content): IndexSource = row.try_into()?;
        index_memory(connection, seq, &title, &tags, &summary, &content)?;
    }
    let mut messages = connection.prepare("SELECT seq, content FROM messages")?;
    let mut rows = messages.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, content): (i64, String) = row.try_into()?;
        index_message(connection, seq, &content)?;
    }
    Ok(())
}
