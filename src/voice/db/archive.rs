//! Rows as they leave in an export and come in by an import, whatever columns they have.
//!
//! A row is a JSON object with the names of its columns, so a column that is added later is
//! exported and imported without a change here. Empty columns are left out, times are RFC 3339
//! where that is exact, and what only this file means (`seq`, vectors) stays here. Names of
//! columns that come from outside are only ever compared with those of the table.

use std::collections::{BTreeSet, HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::search;
use crate::clock::UnixMillis;
use crate::store::{Cell, Connection, params, params_from_iter};
use crate::voice::error::VoiceError;
use crate::voice::memory::fresh_id;
use crate::voice::recordings::REPLY_PREFIX;

/// A table whose rows are exported.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// What `type` of a line says.
    pub kind: &'static str,
    pub name: &'static str,
    /// Its primary key from outside.
    pub key: &'static str,
    /// What its ids may begin with; nothing where the key is a date.
    pub prefixes: &'static [&'static str],
    /// Rises with each row; pages are cut by it.
    order: &'static str,
}

/// In the order of an export: a row comes after those it refers to.
pub const TABLES: &[Table] = &[
    table("conversation", "conversations", &["conv_"], "id"),
    table("message", "messages", &["msg_"], "seq"),
    table("tag", "tags", &["tag_"], "id"),
    table("memory", "memories", &["mem_"], "seq"),
    table("timer", "timers", &["tmr_"], "id"),
    table("recording", "recordings", &["rec_", REPLY_PREFIX], "id"),
    Table {
        key: "date",
        ..table("summary", "summaries", &[], "date")
    },
];

/// Of one fact, as a line of its memory holds it.
pub const FACT_FIELDS: [&str; 5] = [
    "subject",
    "predicate",
    "value",
    "valid_from",
    "superseded_by",
];

/// Never leave the file.
const HIDDEN: &[&str] = &["seq", "embedding", "client_id", "result"];

const fn table(
    kind: &'static str,
    name: &'static str,
    prefixes: &'static [&'static str],
    order: &'static str,
) -> Table {
    Table {
        kind,
        name,
        key: "id",
        prefixes,
        order,
    }
}

/// A checked line of an import.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub table: &'static Table,
    pub id: String,
    pub row: Map<String, Value>,
    /// From 1.
    pub line: usize,
}

/// What an import does with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    New,
    /// It is there already.
    Same,
    /// Something else is there under its id, and stays.
    Kept,
}

/// Where the next page begins.
pub type Place = Option<Cell>;

/// The newest row of a table whose rows refer to others. What comes after it while an export runs
/// may belong to a row whose page was written before that row was there.
pub fn bound(connection: &Connection, table: &Table) -> Result<Place, VoiceError> {
    if table.kind != "message" {
        return Ok(None);
    }
    let newest: i64 =
        connection.query_row("SELECT ifnull(max(seq), 0) FROM messages", [], |row| {
            row.get(0)
        })?;
    Ok(Some(Cell::Integer(newest)))
}

/// A page of rows up to `until`, each an object with `type`, and where the next one begins; no
/// rows: the end.
pub fn page(
    connection: &Connection,
    table: &Table,
    after: &Place,
    until: &Place,
    limit: usize,
) -> Result<(Vec<Map<String, Value>>, Place), VoiceError> {
    let columns = columns(connection, table)?;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let sql = format!(
        "SELECT {order}, {names} FROM {table} WHERE (?1 IS NULL OR {order} > ?1)
         AND (?2 IS NULL OR {order} <= ?2) ORDER BY {order} LIMIT ?3",
        order = table.order,
        names = names.join(", "),
        table = table.name,
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![after, until, limit as i64])?;
    let (mut page, mut place) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        place = Some(row.get::<_, Cell>(0)?);
        let mut object = object(&columns, row, 1)?;
        object.insert(String::from("type"), json!(table.kind));
        page.push(object);
    }
    drop(rows);
    if table.kind == "memory" {
        for memory in &mut page {
            let id = memory["id"].as_str().unwrap_or_default().to_owned();
            let tags = tags(connection, &id)?;
            if !tags.is_empty() {
                memory.insert(String::from("tags"), json!(tags));
            }
            let facts = facts(connection, &id)?;
            if !facts.is_empty() {
                memory.insert(String::from("facts"), Value::Array(facts));
            }
        }
    }
    Ok((page, place))
}

/// Conversations that an import brings, told as the number of their id.
#[derive(Default)]
pub struct Brought(HashSet<u64>);

impl Brought {
    fn number(id: &str) -> u64 {
        id.rsplit_once('_')
            .and_then(|(_, hex)| u64::from_str_radix(hex, 16).ok())
            .unwrap_or_default()
    }
}

/// What would become of each row, after those of the same import that went before.
pub fn look(
    connection: &Connection,
    rows: &[Incoming],
    brought: &mut Brought,
) -> Result<Vec<Fate>, VoiceError> {
    let mut known = HashMap::new();
    let mut fates = Vec::with_capacity(rows.len());
    for row in rows {
        let fate = fate(connection, &mut known, row)?;
        match row.table.kind {
            "conversation" if fate == Fate::New => {
                brought.0.insert(Brought::number(&row.id));
            }
            "message" if fate == Fate::New => {
                let id = text(row, "conversation_id");
                let is_there = brought.0.contains(&Brought::number(id))
                    || connection
                        .prepare_cached("SELECT 1 FROM conversations WHERE id = ?1")?
                        .exists([id])?;
                if !is_there {
                    return Err(wrong(row, "it belongs to a conversation that is not there"));
                }
            }
            _ => {}
        }
        fates.push(fate);
    }
    Ok(fates)
}

/// Adds what is not there yet; inside a transaction.
pub fn put(connection: &Connection, rows: &[Incoming]) -> Result<Vec<Fate>, VoiceError> {
    let mut known = HashMap::new();
    let mut fates = Vec::with_capacity(rows.len());
    let mut touched = BTreeSet::new();
    for row in rows {
        let fate = fate(connection, &mut known, row)?;
        if fate == Fate::New {
            let columns = known.get(row.table.name).map_or(&[][..], Vec::as_slice);
            insert(connection, columns, row).map_err(|error| at_line(row, error))?;
            match row.table.kind {
                "conversation" => touched.insert(row.id.as_str()),
                "message" => touched.insert(text(row, "conversation_id")),
                _ => false,
            };
        }
        fates.push(fate);
    }
    // What a file says of this need not be so.
    for id in touched {
        connection
            .prepare_cached(
                "UPDATE conversations SET message_count =
                    (SELECT count(*) FROM messages WHERE conversation_id = ?1) WHERE id = ?1",
            )?
            .execute([id])?;
    }
    Ok(fates)
}

fn text<'a>(row: &'a Incoming, name: &str) -> &'a str {
    row.row.get(name).and_then(Value::as_str).unwrap_or("")
}

fn fate(
    connection: &Connection,
    known: &mut HashMap<&'static str, Vec<Column>>,
    incoming: &Incoming,
) -> Result<Fate, VoiceError> {
    let table = incoming.table;
    if !known.contains_key(table.name) {
        known.insert(table.name, columns(connection, table)?);
    }
    let columns = known.get(table.name).map_or(&[][..], Vec::as_slice);
    let mut given = Vec::new();
    for column in columns {
        if let Some(value) = incoming.row.get(&column.name) {
            let cell = cell(column, value).map_err(|why| wrong(incoming, &why))?;
            given.push((column.name.as_str(), cell));
        }
    }
    let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
    let sql = format!(
        "SELECT {} FROM {} WHERE {} = ?1",
        names.join(", "),
        table.name,
        table.key
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([&incoming.id])?;
    let Some(row) = rows.next()? else {
        return taken_name(connection, incoming);
    };
    for (index, (_, cell)) in given.iter().enumerate() {
        if row.get::<_, Cell>(index)? != *cell {
            return Ok(Fate::Kept);
        }
    }
    Ok(Fate::Same)
}

/// A tag is known by its name as well: one made here under another id stays.
fn taken_name(connection: &Connection, incoming: &Incoming) -> Result<Fate, VoiceError> {
    let taken = incoming.table.kind == "tag"
        && connection
            .prepare_cached("SELECT 1 FROM tags WHERE name = ?1")?
            .exists([text(incoming, "name")])?;
    Ok(if taken { Fate::Kept } else { Fate::New })
}

fn insert(
    connection: &Connection,
    columns: &[Column],
    incoming: &Incoming,
) -> Result<(), VoiceError> {
    let (mut names, mut cells) = (Vec::new(), Vec::new());
    for column in columns {
        if let Some(value) = incoming.row.get(&column.name) {
            names.push(column.name.as_str());
            cells.push(cell(column, value).map_err(|why| wrong(incoming, &why))?);
        }
    }
    let places: Vec<String> = (1..=names.len()).map(|place| format!("?{place}")).collect();
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({})",
        incoming.table.name,
        names.join(", "),
        places.join(", ")
    );
    connection
        .prepare_cached(&sql)?
        .execute(params_from_iter(cells))?;
    match incoming.table.kind {
        "message" => {
            let seq = connection.last_insert_rowid();
            search::index_message(connection, seq, text(incoming, "content"))
        }
        "memory" => {
            let tags = incoming.row.get("tags").and_then(Value::as_array);
            for name in tags.into_iter().flatten().filter_map(Value::as_str) {
                tag(connection, &incoming.id, name)?;
            }
            let facts = incoming.row.get("facts").and_then(Value::as_array);
            for told in facts.into_iter().flatten() {
                fact(connection, &incoming.id, told)?;
            }
            search::reindex_memory(connection, &incoming.id)
        }
        _ => Ok(()),
    }
}

fn tag(connection: &Connection, memory: &str, name: &str) -> Result<(), VoiceError> {
    connection
        .prepare_cached("INSERT INTO tags (id, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![fresh_id("tag_"), name])?;
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO memory_tags (memory_id, tag_id)
             SELECT ?1, id FROM tags WHERE name = ?2",
        )?
        .execute(params![memory, name])?;
    Ok(())
}

fn fact(connection: &Connection, memory: &str, told: &Value) -> Result<(), VoiceError> {
    let text = |name: &str| told[name].as_str();
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO facts
                (memory_id, subject, predicate, value, valid_from, superseded_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            memory,
            text("subject"),
            text("predicate"),
            text("value"),
            told["valid_from"].as_i64(),
            text("superseded_by")
        ])?;
    Ok(())
}

fn facts(connection: &Connection, memory: &str) -> Result<Vec<Value>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT subject, predicate, value, valid_from, superseded_by FROM facts
         WHERE memory_id = ?1 ORDER BY subject, predicate",
    )?;
    let mut rows = statement.query([memory])?;
    let mut facts = Vec::new();
    while let Some(row) = rows.next()? {
        let mut fact = Map::new();
        for (index, name) in FACT_FIELDS.into_iter().enumerate() {
            match row.get::<_, Cell>(index)? {
                Cell::Integer(number) => fact.insert(name.to_owned(), json!(number)),
                Cell::Text(text) => fact.insert(name.to_owned(), json!(text)),
                _ => None,
            };
        }
        facts.push(Value::Object(fact));
    }
    Ok(facts)
}

fn tags(connection: &Connection, memory: &str) -> Result<Vec<String>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT t.name FROM memory_tags mt JOIN tags t ON t.id = mt.tag_id
         WHERE mt.memory_id = ?1 ORDER BY t.name",
    )?;
    let names = statement.query_map([memory], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// What was said in one conversation, in order; how `take` ended.
pub fn messages_of<E>(
    connection: &Connection,
    id: &str,
    take: &mut dyn FnMut(Map<String, Value>) -> Result<(), E>,
) -> Result<Result<(), E>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT role, content FROM messages WHERE conversation_id = ?1 ORDER BY seq",
    )?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        let mut message = Map::new();
        message.insert(String::from("role"), json!(row.get::<_, String>(0)?));
        message.insert(String::from("content"), json!(row.get::<_, String>(1)?));
        if let Err(error) = take(message) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

struct Column {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Time,
    Real,
    Bytes,
}

fn columns(connection: &Connection, table: &Table) -> Result<Vec<Column>, VoiceError> {
    let mut statement =
        connection.prepare_cached("SELECT name, type FROM pragma_table_info(?1)")?;
    let mut rows = statement.query([table.name])?;
    let mut columns = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
        if HIDDEN.contains(&name.as_str()) {
            continue;
        }
        let is_time = name.ends_with("_at") || name == "timestamp";
        let kind = match kind.as_str() {
            "INTEGER" | "INT" if is_time => Kind::Time,
            "INTEGER" | "INT" => Kind::Number,
            "REAL" => Kind::Real,
            "BLOB" => Kind::Bytes,
            _ => Kind::Text,
        };
        columns.push(Column { name, kind });
    }
    Ok(columns)
}

fn object(
    columns: &[Column],
    row: &crate::store::Row,
    first: usize,
) -> Result<Map<String, Value>, VoiceError> {
    let mut object = Map::new();
    for (index, column) in columns.iter().enumerate() {
        let value = match row.get::<_, Cell>(first + index)? {
            Cell::Null => continue,
            Cell::Integer(number) if column.kind == Kind::Time => time(number),
            Cell::Integer(number) => json!(number),
            Cell::Real(number) => json!(number),
            Cell::Text(text) => json!(text),
            Cell::Blob(bytes) => json!(STANDARD.encode(bytes)),
        };
        object.insert(column.name.clone(), value);
    }
    Ok(object)
}

fn time(ms: i64) -> Value {
    let text = UnixMillis(ms).rfc3339();
    match UnixMillis::parse_rfc3339(&text) == Some(UnixMillis(ms)) {
        true => json!(text),
        false => json!(ms),
    }
}

/// A value for its column, or what it should have been.
fn cell(column: &Column, value: &Value) -> Result<Cell, String> {
    let wanted = |what: &str| format!("`{}` must be {what}", column.name);
    match (column.kind, value) {
        (_, Value::Null) => Ok(Cell::Null),
        (Kind::Text, Value::String(text)) => Ok(Cell::Text(text.clone())),
        (Kind::Text, _) => Err(wanted("a text")),
        (Kind::Number | Kind::Time, Value::Number(number)) => number
            .as_i64()
            .map(Cell::Integer)
            .ok_or_else(|| wanted("a whole number")),
        (Kind::Number, Value::Bool(flag)) => Ok(Cell::Integer(i64::from(*flag))),
        (Kind::Number, _) => Err(wanted("a whole number")),
        (Kind::Time, Value::String(text)) => UnixMillis::parse_rfc3339(text)
            .map(|time| Cell::Integer(time.0))
            .ok_or_else(|| wanted("a time like 2026-01-02T03:04:05Z")),
        (Kind::Time, _) => Err(wanted("a time like 2026-01-02T03:04:05Z")),
        (Kind::Real, Value::Number(number)) => number
            .as_f64()
            .map(Cell::Real)
            .ok_or_else(|| wanted("a number")),
        (Kind::Real, _) => Err(wanted("a number")),
        (Kind::Bytes, Value::String(text)) => STANDARD
            .decode(text)
            .map(Cell::Blob)
            .map_err(|_| wanted("base64")),
        (Kind::Bytes, _) => Err(wanted("base64")),
    }
}

fn wrong(row: &Incoming, why: &str) -> VoiceError {
    VoiceError::Invalid(format!("line {}: {why}.", row.line))
}

/// A row that the table refuses is the file's fault, not the store's.
fn at_line(row: &Incoming, error: VoiceError) -> VoiceError {
    use crate::store::StoreError::Constraint;
    match error {
        VoiceError::Store(Constraint(_)) => wrong(
            row,
            "the row holds a value that is not allowed, lacks one, or belongs to a row that is not there",
        ),
        other => other,
    }
}
