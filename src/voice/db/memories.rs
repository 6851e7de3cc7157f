//! Memories and their tags.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;

use super::{
    Relaxed, Time, audio_url, facts, filing, optional_json, optional_text, push_json, search, tags,
    text, vectors,
};
use crate::clock::UnixMillis;
use crate::limits::{FORGET_CHUNK_ROWS, PAGE_ROWS_MAX};
use crate::store::{Connection, OptionalExtension, Row, params};
use crate::voice::details::Details;
use crate::voice::error::VoiceError;
use crate::voice::index::Query;
use crate::voice::memory::{Forget, MemoryFilter, MemoryPatch, NewMemory, Page, title_of};

const INSERT: &str = "INSERT INTO memories
    (id, content, title, summary, category, source, importance, pinned, metadata, conversation_id,
     message_id, recording_id, recorded_at, created_at, updated_at, sentiment, key_points, entities,
     relations, observations, action_items, organized_at, wants_organizing)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15, ?16, ?17, ?18,
        ?19, ?20, ?21, ?22)";

/// Row, tags and index entry; inside a transaction.
pub fn insert(connection: &Connection, memory: &NewMemory) -> Result<(), VoiceError> {
    let details = Columns::of(&memory.details);
    connection.prepare_cached(INSERT)?.execute(params![
        memory.id,
        memory.content,
        memory.title,
        memory.summary,
        memory.category,
        memory.source.name(),
        memory.importance.name(),
        memory.pinned,
        memory.metadata.as_ref().map(|value| value.to_string()),
        memory.conversation_id,
        memory.message_id,
        memory.recording_id,
        memory.recorded_at.map(|time| time.0),
        memory.created_at.0,
        memory.details.sentiment,
        details.key_points,
        details.entities,
        details.relations,
        details.observations,
        details.action_items,
        memory.organized_at.map(|time| time.0),
        memory.wants_organizing,
    ])?;
    let seq = connection.last_insert_rowid();
    tags::set(connection, &memory.id, &memory.tags)?;
    if let Some(known) = memory
        .details
        .facts
        .as_deref()
        .filter(|facts| !facts.is_empty())
    {
        facts::set(connection, &memory.id, known)?;
    }
    search::index_memory(
        connection,
        seq,
        &memory.title,
        &memory.tags.join(" "),
        memory.summary.as_deref().unwrap_or(""),
        &memory.content,
    )
}

/// Details as JSON columns.
struct Columns {
    key_points: Option<String>,
    entities: Option<String>,
    relations: Option<String>,
    observations: Option<String>,
    action_items: Option<String>,
}

impl Columns {
    fn of(details: &Details) -> Columns {
        fn json<T: Serialize>(value: &Option<T>) -> Option<String> {
            value
                .as_ref()
                .and_then(|value| serde_json::to_string(value).ok())
        }
        Columns {
            key_points: json(&details.key_points),
            entities: json(&details.entities),
            relations: json(&details.relations),
            observations: json(&details.observations),
            action_items: json(&details.action_items),
        }
    }
}

/// The columns of [`View`], in its order. Tags and facts come along as one JSON array each.
macro_rules! view_columns {
    () => {
        "m.id, m.content, m.title, m.category, m.source, m.importance, m.pinned, m.is_archived,
         m.recall_count, m.created_at, m.updated_at, m.summary, m.metadata, m.conversation_id,
         m.message_id, m.recording_id, m.recorded_at, m.superseded_by, m.last_recalled_at,
         m.sentiment, m.key_points, m.entities, m.relations, m.observations, m.action_items,
         (SELECT json_group_array(t.name) FROM memory_tags mt JOIN tags t ON t.id = mt.tag_id
          WHERE mt.memory_id = m.id),
         (SELECT json_group_array(json_object('subject', f.subject, 'predicate', f.predicate,
            'value', f.value, 'valid_from', f.valid_from, 'superseded_by', f.superseded_by))
          FROM facts f WHERE f.memory_id = m.id),
         m.organized_at,
         EXISTS (SELECT 1 FROM recordings r WHERE r.id = m.recording_id AND r.file IS NOT NULL)"
    };
}

const BY_ID: &str = concat!(
    "SELECT ",
    view_columns!(),
    " FROM memories m WHERE m.id = ?1"
);

/// One memory as JSON between `prefix` and `suffix`, in a single buffer.
pub fn json(
    connection: &Connection,
    id: &str,
    prefix: &str,
    suffix: &str,
) -> Result<Option<Vec<u8>>, VoiceError> {
    let mut statement = connection.prepare_cached(BY_ID)?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let view = View::read(row)?;
    let mut out = Vec::with_capacity(512 + view.content.len() + prefix.len() + suffix.len());
    out.extend_from_slice(prefix.as_bytes());
    push_json(&mut out, &view)?;
    out.extend_from_slice(suffix.as_bytes());
    Ok(Some(out))
}

/// Filters shared by list and count; parameters 1 to 8.
macro_rules! filters {
    () => {
        "m.is_archived = ?1
         AND (?2 IS NULL OR m.category = ?2
              OR substr(m.category, 1, length(?2) + 1) = ?2 || '.')
         AND (?3 IS NULL OR m.source = ?3)
         AND (?4 IS NULL OR m.importance = ?4)
         AND (?5 IS NULL OR m.created_at >= ?5)
         AND (?6 IS NULL OR m.created_at < ?6)
         AND (?7 IS NULL OR m.conversation_id = ?7)
         AND (?8 IS NULL OR EXISTS (SELECT 1 FROM memory_tags mt JOIN tags t ON t.id = mt.tag_id
                                    WHERE mt.memory_id = m.id AND t.name = ?8))"
    };
}

const LIST: &str = concat!(
    "SELECT ",
    view_columns!(),
    " FROM memories m WHERE ",
    filters!(),
    " ORDER BY m.created_at DESC, m.seq DESC LIMIT ?9 OFFSET ?10"
);

const COUNT: &str = concat!("SELECT count(*) FROM memories m WHERE ", filters!());

/// `{"memories":[…],"total":…,"limit":…,"offset":…}`.
pub fn list_json(
    connection: &Connection,
    filter: &MemoryFilter,
    page: Page,
) -> Result<Vec<u8>, VoiceError> {
    let mut out = Vec::from(&b"{\"memories\":["[..]);
    let source = filter.source.map(|source| source.name());
    let importance = filter.importance.map(|importance| importance.name());
    let (since, until) = (filter.since.map(|t| t.0), filter.until.map(|t| t.0));
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query(params![
        filter.archived,
        filter.category,
        source,
        importance,
        since,
        until,
        filter.conversation_id,
        filter.tag,
        page.limit as i64,
        page.offset as i64
    ])?;
    while let Some(row) = rows.next()? {
        if out.last() != Some(&b'[') {
            out.push(b',');
        }
        push_json(&mut out, &View::read(row)?)?;
    }
    let total: i64 = connection.prepare_cached(COUNT)?.query_row(
        params![
            filter.archived,
            filter.category,
            source,
            importance,
            since,
            until,
            filter.conversation_id,
            filter.tag
        ],
        |row| row.get(0),
    )?;
    let tail = format!(
        "],\"total\":{total},\"limit\":{},\"offset\":{}}}",
        page.limit, page.offset
    );
    out.extend_from_slice(tail.as_bytes());
    Ok(out)
}

const UPDATE: &str = "UPDATE memories SET
    content = coalesce(?2, content), title = coalesce(?3, title), summary = coalesce(?4, summary),
    category = coalesce(?5, category), importance = coalesce(?6, importance),
    pinned = coalesce(?7, pinned), is_archived = coalesce(?8, is_archived),
    metadata = coalesce(?9, metadata), updated_at = ?10, sentiment = coalesce(?11, sentiment),
    key_points = coalesce(?12, key_points), entities = coalesce(?13, entities),
    relations = coalesce(?14, relations), observations = coalesce(?15, observations),
    action_items = coalesce(?16, action_items), recorded_at = coalesce(?17, recorded_at)
    WHERE id = ?1";

/// `false`: there is no such memory. A title that was made from the old content follows the new.
pub fn update(
    connection: &Connection,
    id: &str,
    patch: &MemoryPatch,
    now: UnixMillis,
) -> Result<bool, VoiceError> {
    let title = match (&patch.title, &patch.content) {
        (None, Some(content)) => following_title(connection, id, content)?,
        (title, _) => title.clone(),
    };
    let details = Columns::of(&patch.details);
    let changed = connection.prepare_cached(UPDATE)?.execute(params![
        id,
        patch.content,
        title,
        patch.summary,
        patch.category,
        patch.importance.map(|importance| importance.name()),
        patch.pinned,
        patch.archived,
        patch.metadata.as_ref().map(|value| value.to_string()),
        now.0,
        patch.details.sentiment,
        details.key_points,
        details.entities,
        details.relations,
        details.observations,
        details.action_items,
        patch.recorded_at.map(|time| time.0),
    ])?;
    if changed == 0 {
        return Ok(false);
    }
    if let Some(names) = &patch.tags {
        tags::set(connection, id, names)?;
    }
    match &patch.details.facts {
        Some(known) => facts::set(connection, id, known)?,
        // Another time or place changes what is newest.
        None if patch.archived.is_some() || patch.recorded_at.is_some() => {
            facts::settle_all_of(connection, id)?;
        }
        None => {}
    }
    if patch.content.is_some() || patch.title.is_some() || patch.summary.is_some() {
        vectors::remove(connection, id)?;
    }
    search::reindex_memory(connection, id)?;
    Ok(true)
}

/// The title for a new content, unless somebody chose the present one.
fn following_title(
    connection: &Connection,
    id: &str,
    content: &str,
) -> Result<Option<String>, VoiceError> {
    let old: Option<(String, String)> = connection
        .prepare_cached("SELECT title, content FROM memories WHERE id = ?1")?
        .query_row([id], |row| row.try_into())
        .optional()?;
    Ok(old
        .filter(|(title, content)| *title == title_of(content))
        .map(|_| title_of(content)))
}

/// What a removed memory leaves to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub count: usize,
    /// Recordings that no memory speaks of any more.
    pub recordings: Vec<String>,
}

/// Row, tags, facts, index entry and vector; `None`: there is no such memory. What it was made
/// from is never filed again.
pub fn delete(connection: &Connection, id: &str) -> Result<Option<Removed>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM memories WHERE id = ?1 RETURNING seq, content, message_id, recording_id",
    )?;
    let gone: Option<(i64, String, Option<String>, Option<String>)> =
        statement.query_row([id], |row| row.try_into()).optional()?;
    let Some((seq, content, message_id, recording_id)) = gone else {
        return Ok(None);
    };
    connection
        .prepare_cached("DELETE FROM memory_tags WHERE memory_id = ?1")?
        .execute([id])?;
    facts::remove(connection, id)?;
    search::unindex_memory(connection, seq)?;
    vectors::remove_seq(connection, seq)?;
    filing::never_file_message(connection, message_id.as_deref())?;
    filing::never_file_matching(connection, &Query::parse(&content))?;
    let mut recordings = Vec::new();
    if let Some(recording) = recording_id {
        let is_used = connection
            .prepare_cached("SELECT 1 FROM memories WHERE recording_id = ?1")?
            .exists([&recording])?;
        if !is_used {
            recordings.push(recording);
        }
    }
    Ok(Some(Removed {
        count: 1,
        recordings,
    }))
}

/// How many [`forget`] would remove in all, and the newest [`PAGE_ROWS_MAX`] ids.
pub fn would_forget(
    connection: &Connection,
    what: &Forget,
) -> Result<(usize, Vec<String>), VoiceError> {
    let mut ids = ids(connection, what, -1)?;
    let count = ids.len();
    ids.truncate(PAGE_ROWS_MAX);
    Ok((count, ids))
}

/// Removes at most [`FORGET_CHUNK_ROWS`] memories, or all where everything goes.
pub fn forget(connection: &Connection, what: &Forget) -> Result<Removed, VoiceError> {
    filing::forget(connection, what)?;
    if let Forget::Everything = what {
        let recordings = connection
            .prepare("SELECT DISTINCT recording_id FROM memories WHERE recording_id IS NOT NULL")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        connection.execute("DELETE FROM memory_tags", [])?;
        connection.execute("DELETE FROM facts", [])?;
        connection.execute("DELETE FROM memory_vectors", [])?;
        let count = connection.execute("DELETE FROM memories", [])?;
        search::empty_memory_index(connection)?;
        return Ok(Removed { count, recordings });
    }
    let mut removed = Removed::default();
    for id in ids(connection, what, FORGET_CHUNK_ROWS as i64)? {
        if let Some(one) = delete(connection, &id)? {
            removed.count += one.count;
            removed.recordings.extend(one.recordings);
        }
    }
    Ok(removed)
}

/// `limit` -1: all.
fn ids(connection: &Connection, what: &Forget, limit: i64) -> Result<Vec<String>, VoiceError> {
    let mut statement = connection.prepare_cached(match what {
        Forget::Matching(_) => {
            "SELECT m.id FROM memory_index i JOIN memories m ON m.seq = i.rowid
             WHERE memory_index MATCH ?2 ORDER BY m.seq DESC LIMIT ?1"
        }
        Forget::Conversation(_) => {
            "SELECT id FROM memories WHERE conversation_id = ?2 ORDER BY seq DESC LIMIT ?1"
        }
        Forget::Between(..) => {
            "SELECT id FROM memories WHERE created_at >= ?2 AND created_at < ?3
             ORDER BY seq DESC LIMIT ?1"
        }
        Forget::These(ids) => return with_replaced(connection, ids.clone()),
        Forget::Everything => "SELECT id FROM memories ORDER BY seq DESC LIMIT ?1",
    })?;
    let mut rows = match what {
        Forget::Matching(query) if query.is_empty() => return Ok(Vec::new()),
        Forget::Matching(query) => statement.query(params![limit, query.all()])?,
        Forget::Conversation(id) => statement.query(params![limit, id])?,
        Forget::Between(since, until) => statement.query(params![limit, since.0, until.0])?,
        Forget::These(_) | Forget::Everything => statement.query(params![limit])?,
    };
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.push(row.get(0)?);
    }
    match what {
        Forget::Matching(_) => with_replaced(connection, ids),
        _ => Ok(ids),
    }
}

/// Whoever forgets a password means the earlier ones too, which would hold again.
fn with_replaced(connection: &Connection, mut ids: Vec<String>) -> Result<Vec<String>, VoiceError> {
    let known: HashSet<String> = ids.iter().cloned().collect();
    let mut replaced = Vec::new();
    let mut statement =
        connection.prepare_cached("SELECT id FROM memories WHERE superseded_by = ?1")?;
    for id in &ids {
        let older = statement.query_map([id], |row| row.get::<_, String>(0))?;
        for id in older {
            let id = id?;
            if !known.contains(&id) {
                replaced.push(id);
            }
        }
    }
    ids.extend(replaced);
    Ok(ids)
}

pub fn count_recall(connection: &Connection, ids: &[String], now: UnixMillis) -> Relaxed {
    let mut statement = connection.prepare_cached(
        "UPDATE memories SET recall_count = recall_count + 1, last_recalled_at = ?2 WHERE id = ?1",
    )?;
    for id in ids {
        statement.execute(params![id, now.0])?;
    }
    Ok(())
}

/// Contents of the newest memories since a time, and how many there are of them.
pub fn newest(
    connection: &Connection,
    since: UnixMillis,
    limit: usize,
) -> Result<(Vec<String>, usize), VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT content FROM memories WHERE is_archived = 0 AND created_at >= ?1
         ORDER BY created_at DESC, seq DESC LIMIT ?2",
    )?;
    let contents = statement
        .query_map(params![since.0, limit as i64], |row| row.get(0))?
        .collect::<Result<Vec<String>, _>>()?;
    let total: i64 = connection
        .prepare_cached("SELECT count(*) FROM memories WHERE is_archived = 0 AND created_at >= ?1")?
        .query_row([since.0], |row| row.get(0))?;
    Ok((contents, total as usize))
}

/// A memory as clients see it, borrowed from the row.
#[derive(Serialize)]
struct View<'r> {
    id: Cow<'r, str>,
    content: Cow<'r, str>,
    title: Cow<'r, str>,
    category: Cow<'r, str>,
    tags: Vec<String>,
    source: Cow<'r, str>,
    importance: Cow<'r, str>,
    pinned: bool,
    is_archived: bool,
    recall_count: i64,
    created_at: Time,
    updated_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recording_id: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_by: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_recalled_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentiment: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_points: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entities: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relations: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observations: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_items: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    facts: Vec<FactView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organized_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_url: Option<String>,
}

/// A fact as clients see it.
#[derive(Serialize, serde::Deserialize)]
struct FactView {
    subject: String,
    predicate: String,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_by: Option<String>,
}

impl<'r> View<'r> {
    fn read(row: &'r Row) -> Result<View<'r>, VoiceError> {
        let tags = text(row, 25)?;
        let facts = text(row, 26)?;
        let recording_id = optional_text(row, 15)?;
        let has_sound: bool = row.get(28)?;
        Ok(View {
            id: text(row, 0)?,
            content: text(row, 1)?,
            title: text(row, 2)?,
            category: text(row, 3)?,
            source: text(row, 4)?,
            importance: text(row, 5)?,
            pinned: row.get(6)?,
            is_archived: row.get(7)?,
            recall_count: row.get(8)?,
            created_at: Time(row.get(9)?),
            updated_at: Time(row.get(10)?),
            summary: optional_text(row, 11)?,
            metadata: optional_json(row, 12)?,
            conversation_id: optional_text(row, 13)?,
            message_id: optional_text(row, 14)?,
            audio_url: recording_id
                .as_ref()
                .filter(|_| has_sound)
                .map(|id| audio_url(id)),
            recording_id,
            recorded_at: row.get::<_, Option<i64>>(16)?.map(Time),
            superseded_by: optional_text(row, 17)?,
            last_recalled_at: row.get::<_, Option<i64>>(18)?.map(Time),
            sentiment: optional_text(row, 19)?,
            key_points: optional_json(row, 20)?,
            entities: optional_json(row, 21)?,
            relations: optional_json(row, 22)?,
            observations: optional_json(row, 23)?,
            action_items: optional_json(row, 24)?,
            tags: match tags.as_ref() {
                "[]" => Vec::new(),
                names => serde_json::from_str(names).unwrap_or_default(),
            },
            facts: match facts.as_ref() {
                "[]" => Vec::new(),
                facts => serde_json::from_str(facts).unwrap_or_default(),
            },
            organized_at: row.get::<_, Option<i64>>(27)?.map(Time),
        })
    }
}
