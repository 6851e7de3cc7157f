//! An account's rows as they are, by the names of their columns, and back into the tables.
//!
//! What another row, a trigger or this box alone decides stays behind: whose a row is, sums of
//! bytes, marks. An account that comes is marked, and nobody sees it, until its last row is there.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::{WriteError, accounts};
use crate::limits;
use crate::store::{
    Cell, Connection, OptionalExtension, Row, SqlError, StoreError, params, params_from_iter,
};

/// A table of which rows go along.
#[derive(Debug)]
pub struct Table {
    /// `type` of its lines.
    pub kind: Kind,
    pub word: &'static str,
    name: &'static str,
    /// Columns that stay behind.
    hidden: &'static [&'static str],
    rows: Rows,
    /// As many as an account may have.
    pub most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Account,
    Machine,
    Session,
    Message,
    AccessKey,
    Artifact,
    Value,
    Usage,
    Post,
    PushToken,
    Attachment,
}

/// Which rows of a table are the account's.
#[derive(Clone, Copy, Debug)]
enum Rows {
    /// The account itself.
    Itself,
    /// Those with its id, as they came.
    Own,
    /// Those with its id that are of a session, as they came.
    OwnOfSessions,
    /// Session by session, in this order.
    OfSessions(&'static str),
}

const OWNER: &str = "account_id";

/// In the order in which they go and come: none is before one that it names.
pub const TABLES: &[Table] = &[
    Table {
        kind: Kind::Account,
        word: "account",
        name: "happy_accounts",
        hidden: &[
            "bytes",
            "kv_keys",
            "kv_bytes",
            "mark",
            "bytes_max",
            "keep_days",
        ],
        rows: Rows::Itself,
        most: 1,
    },
    Table {
        kind: Kind::Machine,
        word: "machine",
        name: "happy_machines",
        hidden: &[OWNER],
        rows: Rows::Own,
        most: limits::HAPPY_MACHINES_MAX,
    },
    Table {
        kind: Kind::Session,
        word: "session",
        name: "happy_sessions",
        hidden: &[OWNER, "bytes", "deleting"],
        rows: Rows::Own,
        most: limits::HAPPY_SESSIONS_MAX,
    },
    Table {
        kind: Kind::Message,
        word: "message",
        name: "happy_messages",
        hidden: &[],
        rows: Rows::OfSessions("seq"),
        most: usize::MAX,
    },
    Table {
        kind: Kind::AccessKey,
        word: "access_key",
        name: "happy_access_keys",
        hidden: &[OWNER],
        rows: Rows::OfSessions("machine_id"),
        most: usize::MAX,
    },
    Table {
        kind: Kind::Artifact,
        word: "artifact",
        name: "happy_artifacts",
        hidden: &[OWNER],
        rows: Rows::Own,
        most: limits::HAPPY_ARTIFACTS_MAX,
    },
    Table {
        kind: Kind::Value,
        word: "value",
        name: "happy_kv",
        hidden: &[OWNER],
        rows: Rows::Own,
        most: limits::HAPPY_KV_KEYS_MAX,
    },
    Table {
        kind: Kind::Usage,
        word: "usage",
        name: "happy_usage",
        hidden: &[OWNER],
        rows: Rows::OwnOfSessions,
        most: limits::HAPPY_USAGE_REPORTS_MAX,
    },
    Table {
        kind: Kind::Post,
        word: "post",
        name: "happy_feed",
        hidden: &[OWNER],
        rows: Rows::Own,
        most: limits::HAPPY_FEED_POSTS_MAX,
    },
    Table {
        kind: Kind::PushToken,
        word: "push_token",
        name: "happy_push_tokens",
        hidden: &[OWNER],
        rows: Rows::Own,
        most: limits::HAPPY_PUSH_TOKENS_MAX,
    },
    ATTACHMENTS,
];

/// Those whose files go along come by themselves, after the files.
pub const ATTACHMENTS: Table = Table {
    kind: Kind::Attachment,
    word: "attachment",
    name: "happy_attachments",
    hidden: &[OWNER, "bytes"],
    rows: Rows::OfSessions("name"),
    most: limits::HAPPY_ARCHIVE_FILES_MAX,
};

#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    is_text: bool,
}

/// The columns of each table that go along.
pub type Columns = BTreeMap<Kind, Vec<Column>>;

/// A row that comes, whose fields are columns of its table.
#[derive(Debug)]
pub struct Incoming {
    pub table: &'static Table,
    pub row: Vec<(String, Cell)>,
    /// Of its file.
    pub line: usize,
    /// Of an attachment's file.
    pub bytes: usize,
}

/// Why rows did not come in, in words for the owner of the box.
#[derive(Debug)]
pub enum Fault {
    /// What the archive holds cannot be so.
    Archive(String),
    /// Something of this name is there.
    Taken(String),
    /// The box has as many accounts as it may.
    Accounts,
}

impl Incoming {
    pub fn text(&self, name: &str) -> &str {
        match self.cell(name) {
            Some(Cell::Text(text)) => text,
            _ => "",
        }
    }

    fn number(&self, name: &str) -> i64 {
        match self.cell(name) {
            Some(Cell::Integer(number)) => *number,
            _ => 0,
        }
    }

    fn cell(&self, name: &str) -> Option<&Cell> {
        let found = self.row.iter().find(|(column, _)| column == name);
        found.map(|(_, cell)| cell)
    }

    fn wrong(&self, why: &str) -> Fault {
        Fault::Archive(format!("line {}, {}: {why}", self.line, self.table.word))
    }
}

pub fn columns(db: &Connection) -> Result<Columns, StoreError> {
    let of_table = |table: &Table| Ok((table.kind, columns_of(db, table)?));
    TABLES.iter().map(of_table).collect()
}

fn columns_of(db: &Connection, table: &Table) -> Result<Vec<Column>, StoreError> {
    let mut statement = db.prepare_cached("SELECT name, type FROM pragma_table_info(?1)")?;
    let all = statement.query_map([table.name], |row| {
        Ok(Column {
            name: row.get(0)?,
            is_text: row.get::<_, String>(1)? == "TEXT",
        })
    })?;
    let goes = |column: &Column| !table.hidden.contains(&column.name.as_str());
    let all: Vec<Column> = all.collect::<Result<_, SqlError>>()?;
    Ok(all.into_iter().filter(goes).collect())
}

/// What a field may hold: text, or a number that every reader of JSON can hold too.
pub fn cell(column: &Column, value: &Value) -> Result<Cell, &'static str> {
    const NUMBERS: std::ops::RangeInclusive<i64> = 0..=(1 << 53) - 1;
    match (value, column.is_text) {
        (Value::Null, _) => Ok(Cell::Null),
        (Value::String(text), true) => Ok(Cell::Text(text.clone())),
        (Value::Number(number), false) => match number.as_i64() {
            Some(number) if NUMBERS.contains(&number) => Ok(Cell::Integer(number)),
            _ => Err("a number is not one that it can be"),
        },
        (_, true) => Err("a field is no text"),
        (_, false) => Err("a field is no number"),
    }
}

/// Whether there is such an account, for its owner's eyes.
pub fn is_there(db: &Connection, account: &str) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM happy_accounts WHERE id = ?1 AND mark IS NULL")?
        .exists([account])?)
}

/// Ids of the sessions that go along.
pub fn sessions(db: &Connection, account: &str) -> Result<Vec<String>, StoreError> {
    db.prepare_cached(
        "SELECT id FROM happy_sessions WHERE account_id = ?1 AND deleting = 0 ORDER BY id",
    )?
    .query_and_then([account], |row| Ok(row.get(0)?))?
    .collect()
}

/// Hands over each row of a table, one in memory at a time; `sessions` are all of the account.
pub fn each<E: From<StoreError>>(
    db: &Connection,
    table: &Table,
    account: &str,
    sessions: &[String],
    take: &mut dyn FnMut(Map<String, Value>) -> Result<(), E>,
) -> Result<(), E> {
    let columns = columns_of(db, table)?;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let select = format!("SELECT {} FROM {}", names.join(", "), table.name);
    let mut hand_over = |sql: &str, of: &Cell| -> Result<(), E> {
        let mut statement = db.prepare_cached(sql).map_err(StoreError::from)?;
        let mut rows = statement.query([of]).map_err(StoreError::from)?;
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            take(object(table, &columns, row)?)?;
        }
        Ok(())
    };
    match table.rows {
        Rows::Itself => {
            let own = Cell::Text(account.to_owned());
            hand_over(&format!("{select} WHERE id = ?1 AND mark IS NULL"), &own)
        }
        // Sorting whole rows would hold them all.
        Rows::Own | Rows::OwnOfSessions => {
            let sql = format!("{select} WHERE rowid = ?1");
            for row in places(db, table, account)? {
                hand_over(&sql, &Cell::Integer(row))?;
            }
            Ok(())
        }
        Rows::OfSessions(order) => {
            let sql = format!("{select} WHERE session_id = ?1 ORDER BY {order}");
            let own = sessions.iter().map(|id| Cell::Text(id.clone()));
            own.into_iter().try_for_each(|id| hand_over(&sql, &id))
        }
    }
}

fn places(db: &Connection, table: &Table, account: &str) -> Result<Vec<i64>, StoreError> {
    let there = match table.rows {
        Rows::OwnOfSessions => {
            "AND session_id NOT IN (SELECT id FROM happy_sessions WHERE deleting = 1)"
        }
        _ if table.kind == Kind::Session => "AND deleting = 0",
        _ => "",
    };
    let sql = format!(
        "SELECT rowid FROM {} WHERE account_id = ?1 {there} ORDER BY rowid",
        table.name
    );
    db.prepare_cached(&sql)?
        .query_and_then([account], |row| Ok(row.get(0)?))?
        .collect()
}

fn object(table: &Table, columns: &[Column], row: &Row) -> Result<Map<String, Value>, StoreError> {
    let mut object = Map::new();
    object.insert(String::from("type"), json!(table.word));
    for (index, column) in columns.iter().enumerate() {
        let value = match row.get::<_, Cell>(index)? {
            Cell::Null => continue,
            Cell::Integer(number) => json!(number),
            Cell::Text(text) => Value::String(text),
            Cell::Real(_) | Cell::Blob(_) => {
                let what = format!(
                    "{}.{} is of no kind that goes along",
                    table.name, column.name
                );
                return Err(StoreError::Sql(what));
            }
        };
        object.insert(column.name.clone(), value);
    }
    Ok(object)
}

/// Makes the account, for nobody to see yet.
pub fn begin(db: &Connection, account: &Incoming) -> Result<Result<(), Fault>, WriteError> {
    let (id, key) = (account.text("id"), account.text("public_key"));
    let known: Option<(String, bool)> = db
        .prepare_cached(
            "SELECT id, mark IS NULL FROM happy_accounts WHERE id = ?1 OR public_key = ?2",
        )?
        .query_row([id, key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match known {
        Some((known, true)) => {
            return Ok(Err(Fault::Taken(format!(
                "This account is here already, as {known}; remove that first if it is to be replaced."
            ))));
        }
        Some((_, false)) => return Err(StoreError::Busy.into()),
        None => {}
    }
    let count: i64 = db
        .prepare_cached("SELECT count(*) FROM happy_accounts")?
        .query_row([], |row| row.get(0))?;
    if count >= limits::HAPPY_ACCOUNTS_MAX as i64 {
        return Ok(Err(Fault::Accounts));
    }
    // The name comes last: nobody is found by it before.
    if let Err(fault) = insert(db, account, &["username"], ("mark", "importing"))? {
        return Ok(Err(fault));
    }
    Ok(Ok(()))
}

/// Adds rows to an account that comes; all of them or none.
pub fn put(
    db: &Connection,
    account: &str,
    rows: &[Incoming],
) -> Result<Result<(), Fault>, WriteError> {
    let mut weights: BTreeMap<&str, usize> = BTreeMap::new();
    let mut numbers: HashMap<&str, i64> = HashMap::new();
    for row in rows {
        if let Some(session) = row.cell("session_id") {
            let Cell::Text(session) = session else {
                return Ok(Err(row.wrong("it is of no session")));
            };
            let newest = match numbers.get(session.as_str()) {
                Some(newest) => Some(*newest),
                None => super::sessions::seq(db, account, session)?,
            };
            let Some(newest) = newest else {
                return Ok(Err(
                    row.wrong("it is of a session that is not in the archive")
                ));
            };
            numbers.insert(session, newest);
            if row.table.kind == Kind::Message {
                if !(1..=newest).contains(&row.number("seq")) {
                    return Ok(Err(row.wrong("it has a number that its session has not")));
                }
                let bytes = row.text("content").len() + row.text("local_id").len();
                *weights.entry(session).or_default() += bytes + limits::HAPPY_MESSAGE_OVERHEAD;
            }
        }
        if let Err(fault) = put_one(db, account, row)? {
            return Ok(Err(fault));
        }
    }
    for (session, bytes) in weights {
        db.prepare_cached("UPDATE happy_sessions SET bytes = bytes + ?2 WHERE id = ?1")?
            .execute(params![session, bytes as i64])?;
    }
    accounts::want_room(db, account, 0)?;
    Ok(Ok(()))
}

fn put_one(
    db: &Connection,
    account: &str,
    row: &Incoming,
) -> Result<Result<(), Fault>, WriteError> {
    if row.table.kind == Kind::AccessKey {
        let is_own = db
            .prepare_cached("SELECT 1 FROM happy_machines WHERE id = ?1 AND account_id = ?2")?
            .exists([row.text("machine_id"), account])?;
        if !is_own {
            return Ok(Err(
                row.wrong("it is of a machine that is not in the archive")
            ));
        }
        let others: i64 = db
            .prepare_cached("SELECT count(*) FROM happy_access_keys WHERE session_id = ?1")?
            .query_row([row.text("session_id")], |row| row.get(0))?;
        if others >= limits::HAPPY_ACCESS_KEYS_MAX as i64 {
            return Err(WriteError::NoRoom);
        }
    }
    if row.table.kind == Kind::Value {
        let bytes = row.text("key").len() + row.text("value").len();
        if !super::kv::weigh(db, account, 1, bytes as i64)? {
            return Err(WriteError::NoRoom);
        }
    }
    // A state that was there from the beginning would not be weighed.
    let later: &[&str] = match row.table.kind {
        Kind::Session => &["agent_state"],
        _ => &[],
    };
    let owner = match row.table.hidden.contains(&OWNER) {
        true => (OWNER, account),
        false => ("", ""),
    };
    if let Err(fault) = insert(db, row, later, owner)? {
        return Ok(Err(fault));
    }
    if let (Kind::Session, Some(state)) = (row.table.kind, row.cell("agent_state")) {
        db.prepare_cached("UPDATE happy_sessions SET agent_state = ?2 WHERE id = ?1")?
            .execute(params![row.text("id"), state])?;
    }
    Ok(Ok(()))
}

/// With one more column, unless it has no name.
fn insert(
    db: &Connection,
    incoming: &Incoming,
    without: &[&str],
    (more, value): (&str, &str),
) -> Result<Result<(), Fault>, WriteError> {
    let goes = |column: &str| !without.contains(&column);
    let own = incoming.row.iter().filter(|(column, _)| goes(column));
    let (mut names, mut cells): (Vec<&str>, Vec<Cell>) = own
        .map(|(column, cell)| (column.as_str(), cell.clone()))
        .unzip();
    if !more.is_empty() {
        names.push(more);
        cells.push(Cell::Text(value.to_owned()));
    }
    if incoming.table.kind == Kind::Attachment {
        names.push("bytes");
        let weight = incoming.bytes + limits::HAPPY_ATTACHMENT_OVERHEAD;
        cells.push(Cell::Integer(weight as i64));
    }
    let places: Vec<String> = (1..=names.len()).map(|place| format!("?{place}")).collect();
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({})",
        incoming.table.name,
        names.join(", "),
        places.join(", ")
    );
    let inserted = db.prepare_cached(&sql)?.execute(params_from_iter(cells));
    match inserted.map_err(StoreError::from) {
        Ok(_) => Ok(Ok(())),
        Err(StoreError::Constraint(_)) => Ok(Err(why_not(db, incoming)?)),
        Err(error) => Err(error.into()),
    }
}

/// A row that its table refuses is there already, or lacks something.
fn why_not(db: &Connection, incoming: &Incoming) -> Result<Fault, StoreError> {
    let has_id = incoming.row.iter().any(|(column, _)| column == "id");
    let is_there = has_id
        && db
            .prepare_cached(&format!(
                "SELECT 1 FROM {} WHERE id = ?1",
                incoming.table.name
            ))?
            .exists([incoming.text("id")])?;
    Ok(match is_there {
        true => Fault::Taken(format!(
            "This box has the {} {} of the archive already, in another account.",
            incoming.table.word,
            incoming.text("id")
        )),
        false => incoming.wrong("it comes twice, or lacks something"),
    })
}

/// From now on everybody sees it. Whether it has its name: another account may have that here.
pub fn finish(db: &Connection, account: &str, username: Option<&str>) -> Result<bool, StoreError> {
    let is_taken = db
        .prepare_cached("SELECT 1 FROM happy_accounts WHERE username = ?1")?
        .exists([username])?;
    let own = username.filter(|_| !is_taken);
    db.prepare_cached(
        "UPDATE happy_accounts SET mark = NULL, username = ?2
         WHERE id = ?1 AND mark = 'importing'",
    )?
    .execute(params![account, own])?;
    Ok(!is_taken)
}
