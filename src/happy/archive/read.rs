//! From a zip that somebody sent to checked rows and files, on a thread.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::unpack::{Content, Entry, Source, Zip};
use super::{ATTACHMENTS, FILES, FORMAT, MANIFEST, Manifest, ROWS, VERSION};
use crate::happy::artifacts::is_uuid;
use crate::happy::db::archive::{self, Column, Columns, Fault, Incoming, Kind, TABLES, Table};
use crate::happy::files::is_name;
use crate::happy::{friends, id};
use crate::limits;
use crate::store::migrate;

/// An archive whose directory and manifest are good.
pub struct Archive<S> {
    zip: Zip<S>,
    rows: Entry,
    attachments: Entry,
    columns: Columns,
    manifest: Manifest,
    /// Unpacked, all of it.
    pub bytes: u64,
}

/// Takes an attachment's row with what is in its file.
pub type TakeFile<'a, S> = dyn FnMut(Incoming, &mut Content<'_, S>) -> Result<(), Fault> + 'a;

/// Of an archive that was read to its end.
pub struct Checked {
    pub account: Incoming,
    pub counts: BTreeMap<String, usize>,
    /// Of all attachments, as they weigh here.
    pub weight: usize,
}

impl Archive<File> {
    pub fn open(path: &Path, columns: Columns) -> Result<Archive<File>, Fault> {
        Archive::of(File::open(path).map_err(damaged)?, columns)
    }
}

impl<S: Source> Archive<S> {
    pub fn of(source: S, columns: Columns) -> Result<Archive<S>, Fault> {
        let zip = Zip::open(source).map_err(damaged)?;
        let [mut rows, mut attachments, mut manifest] = [None, None, None];
        let (mut bytes, mut files) = (0u64, 0);
        for entry in zip.entries() {
            let entry = entry.map_err(damaged)?;
            bytes = bytes.saturating_add(entry.bytes);
            let place = match entry.name.as_str() {
                ROWS => &mut rows,
                ATTACHMENTS => &mut attachments,
                MANIFEST => &mut manifest,
                name if name.starts_with(FILES) => {
                    files += 1;
                    if entry.bytes > limits::HAPPY_ATTACHMENT_BYTES_MAX as u64 {
                        return Err(wrong("an attachment in it is larger than one may be"));
                    }
                    continue;
                }
                _ => return Err(wrong("it has a file that no archive has")),
            };
            if place.replace(entry).is_some() {
                return Err(wrong("it has a file twice"));
            }
        }
        if bytes > limits::HAPPY_ARCHIVE_BYTES_MAX || files > limits::HAPPY_ARCHIVE_FILES_MAX {
            return Err(wrong("it holds more than an account can"));
        }
        let (Some(rows), Some(attachments), Some(manifest)) = (rows, attachments, manifest) else {
            return Err(wrong("it is no archive of `magpie happy export`"));
        };
        let manifest = manifest_of(&zip, &manifest)?;
        Ok(Archive {
            zip,
            rows,
            attachments,
            columns,
            manifest,
            bytes,
        })
    }

    /// Reads all of it, and believes nothing that it does not find so.
    pub fn check(&self) -> Result<Checked, Fault> {
        let (mut account, mut sessions) = (None, HashMap::new());
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for table in TABLES {
            counts.insert(table.word.to_owned(), 0);
        }
        let mut count = |table: &Table| {
            let count = counts.entry(table.word.to_owned()).or_default();
            *count += 1;
            match *count > table.most {
                true => Err(wrong(&format!("it has too many of {}", table.word))),
                false => Ok(()),
            }
        };
        self.each_row(&mut |row, _| {
            count(row.table)?;
            match row.table.kind {
                Kind::Session => drop(sessions.insert(row.text("id").to_owned(), 0)),
                Kind::Account => account = Some(row),
                _ => {}
            }
            Ok(())
        })?;
        let mut weight = 0;
        self.each_attachment(&mut |row, content| {
            count(row.table)?;
            // Its file must not come to lie with another account's.
            let own: Option<&mut usize> = sessions.get_mut(row.text("session_id"));
            let own =
                own.ok_or_else(|| at(row.line, "it is of a session that is not in the archive"))?;
            *own += 1;
            if *own > limits::HAPPY_ATTACHMENTS_MAX {
                return Err(wrong("it has too many attachments of one session"));
            }
            weight += row.bytes + limits::HAPPY_ATTACHMENT_OVERHEAD;
            std::io::copy(content, &mut std::io::sink()).map_err(damaged)?;
            Ok(())
        })?;
        if counts != self.manifest.counts {
            return Err(wrong("it has not what it says that it has"));
        }
        let account = account.filter(|row| row.text("id") == self.manifest.account);
        Ok(Checked {
            account: account.ok_or_else(|| wrong("it has no account"))?,
            counts,
            weight,
        })
    }

    /// Hands over each row and its length, in the order of [`TABLES`], without the attachments.
    pub fn each_row(
        &self,
        take: &mut dyn FnMut(Incoming, usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut lines = Lines::of(&self.zip, &self.rows);
        let mut tables = TABLES.iter().peekable();
        while let Some(text) = lines.next()? {
            let row = object(&text, lines.number)?;
            let word = row.get("type").and_then(Value::as_str).unwrap_or("");
            while tables.next_if(|table| table.word != word).is_some() {}
            let table = tables.peek().filter(|table| table.kind != Kind::Attachment);
            let table = table.ok_or_else(|| at(lines.number, "its `type` is none, or late"))?;
            let row = incoming(table, &self.columns, row, lines.number)?;
            take(row, text.len())?;
        }
        Ok(())
    }

    /// Hands over each attachment's row with what is in its file.
    pub fn each_attachment(&self, take: &mut TakeFile<S>) -> Result<(), Fault> {
        let mut lines = Lines::of(&self.zip, &self.attachments);
        for entry in self.zip.entries() {
            let entry = entry.map_err(damaged)?;
            let Some(place) = entry.name.strip_prefix(FILES) else {
                continue;
            };
            let text = lines.next()?;
            let text = text.ok_or_else(|| wrong("it has a file that is no attachment"))?;
            let row = object(&text, lines.number)?;
            if row.get("type").and_then(Value::as_str) != Some(archive::ATTACHMENTS.word) {
                return Err(at(lines.number, "it is no attachment"));
            }
            let table = &archive::ATTACHMENTS;
            let mut row = incoming(table, &self.columns, row, lines.number)?;
            if place != format!("{}/{}", row.text("session_id"), row.text("name")) {
                return Err(at(lines.number, "its file is another"));
            }
            // Not more than a file may have.
            row.bytes = entry.bytes as usize;
            take(row, &mut self.zip.content(&entry))?;
        }
        match lines.next()? {
            None => Ok(()),
            Some(_) => Err(at(lines.number, "its file is not there")),
        }
    }
}

fn manifest_of<S: Source>(zip: &Zip<S>, entry: &Entry) -> Result<Manifest, Fault> {
    if entry.bytes > limits::HAPPY_ARCHIVE_MANIFEST_BYTES_MAX {
        return Err(wrong("its manifest is too long"));
    }
    let mut text = String::new();
    let read = zip.content(entry).read_to_string(&mut text);
    read.map_err(damaged)?;
    let told: Value = serde_json::from_str(&text).unwrap_or_default();
    if told["format"] != FORMAT {
        return Err(wrong("it is no archive of `magpie happy export`"));
    }
    let is_newer = told["version"] != VERSION
        || told["schema"]
            .as_u64()
            .is_none_or(|schema| schema > migrate::STEPS.len() as u64);
    if is_newer {
        return Err(wrong("it is of a newer release; update this box first"));
    }
    serde_json::from_value(told).map_err(|_| wrong("its manifest cannot be read"))
}

struct Lines<'a, S> {
    from: BufReader<Content<'a, S>>,
    /// Of the line that was read last.
    number: usize,
}

impl<'a, S: Source> Lines<'a, S> {
    fn of(zip: &'a Zip<S>, entry: &Entry) -> Lines<'a, S> {
        Lines {
            from: BufReader::new(zip.content(entry)),
            number: 0,
        }
    }

    fn next(&mut self) -> Result<Option<String>, Fault> {
        self.number += 1;
        let mut line = Vec::new();
        let most = limits::HAPPY_ARCHIVE_LINE_BYTES_MAX;
        let mut from = self.from.by_ref().take(most as u64 + 1);
        let length = from.read_until(b'\n', &mut line).map_err(damaged)?;
        if length == 0 {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            return Err(at(self.number, "it is too long, or cut off"));
        }
        let text = String::from_utf8(line);
        text.map(Some).map_err(|_| at(self.number, "it is no text"))
    }
}

fn object(text: &str, line: usize) -> Result<Map<String, Value>, Fault> {
    serde_json::from_str(text).map_err(|_| at(line, "it is no JSON object"))
}

/// A row whose every field is a column that may come, and whose names are such as this box gives.
fn incoming(
    table: &'static Table,
    columns: &Columns,
    row: Map<String, Value>,
    line: usize,
) -> Result<Incoming, Fault> {
    let known = columns.get(&table.kind).map_or(&[][..], Vec::as_slice);
    let mut cells = Vec::with_capacity(row.len());
    for (name, value) in row.into_iter().filter(|(name, _)| name != "type") {
        let column: Option<&Column> = known.iter().find(|column| column.name == name);
        let column = column.ok_or_else(|| at(line, "it has a field that no row has"))?;
        let cell = archive::cell(column, &value).map_err(|why| at(line, why))?;
        cells.push((name, cell));
    }
    let incoming = Incoming {
        table,
        row: cells,
        line,
        bytes: 0,
    };
    match is_good(&incoming) {
        true => Ok(incoming),
        false => Err(at(line, "it has a name or text that it cannot have")),
    }
}

/// What no table would refuse by itself.
fn is_good(row: &Incoming) -> bool {
    let has_id = || id::is_one(row.text("id"));
    match row.table.kind {
        Kind::Account => {
            let key = row.text("public_key");
            let name = row.text("username");
            has_id()
                && key.len() == 64
                && key.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
                && (name.is_empty() || friends::is_name(name))
                && row.text("settings").len() <= limits::HAPPY_BODY_BYTES_MAX
        }
        Kind::Session => has_id(),
        Kind::Message => has_id() && row.text("local_id").len() <= limits::HAPPY_BODY_BYTES_MAX,
        Kind::Machine => !row.text("id").is_empty(),
        Kind::AccessKey | Kind::Value => true,
        Kind::Artifact => is_uuid(row.text("id")),
        Kind::Usage => {
            has_id()
                && row.text("key").len() <= limits::HAPPY_USAGE_REPORT_BYTES_MAX
                && row.text("data").len() <= limits::HAPPY_USAGE_REPORT_BYTES_MAX
                && is_object(row.text("data"))
        }
        Kind::Post => {
            has_id()
                && row.text("body").len() <= limits::HAPPY_ARCHIVE_SMALL_BYTES_MAX
                && row.text("repeat_key").len() <= limits::HAPPY_ARCHIVE_SMALL_BYTES_MAX
                && is_object(row.text("body"))
        }
        Kind::PushToken => {
            has_id() && row.text("token").len() <= limits::HAPPY_ARCHIVE_SMALL_BYTES_MAX
        }
        Kind::Attachment => id::is_one(row.text("session_id")) && is_name(row.text("name")),
    }
}

fn is_object(text: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(text).is_ok()
}

pub fn damaged(error: impl std::fmt::Display) -> Fault {
    wrong(&error.to_string())
}

fn wrong(what: &str) -> Fault {
    Fault::Archive(what.to_owned())
}

fn at(line: usize, what: &str) -> Fault {
    Fault::Archive(format!("line {line}: {what}"))
}
