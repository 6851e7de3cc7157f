//! From the tables to a file, on a thread, in pages; the client's speed sets the pace.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{LINES_FILE, SOUND_FOLDER, head, markdown};
use crate::clock::UnixMillis;
use crate::limits::EXPORT_PAGE_ROWS;
use crate::store::{Connection, Store};
use crate::voice::db::archive::{Place, TABLES, Table, bound, messages_of, page};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Lines,
    Markdown,
    Zip,
}

/// What is to be written, and from where.
pub struct Export {
    pub format: Format,
    /// Sound goes along, in a zip.
    pub audio: bool,
    pub database: PathBuf,
    pub recordings: PathBuf,
    pub now: UnixMillis,
}

impl Format {
    pub const NAMES: &'static [(&'static str, Format)] = &[
        ("jsonl", Format::Lines),
        ("md", Format::Markdown),
        ("zip", Format::Zip),
    ];

    /// Content type and the end of the file's name.
    pub fn kind(self) -> (&'static str, &'static str) {
        match self {
            Format::Lines => ("application/jsonl", "jsonl"),
            Format::Markdown => ("text/markdown; charset=utf-8", "md"),
            Format::Zip => ("application/zip", "zip"),
        }
    }
}

impl Export {
    /// Writes all of it; ends early when the client has gone.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let connection = Store::read_only(&self.database).map_err(other)?;
        match self.format {
            Format::Lines => self.lines(&connection, out).map(drop),
            Format::Markdown => self.markdown(&connection, out),
            Format::Zip => self.zip(&connection, out),
        }
    }

    fn brings_sound(&self) -> bool {
        self.audio && self.format == Format::Zip
    }

    /// Gives back the names of the sounds that the rows speak of.
    fn lines(&self, connection: &Connection, out: &mut dyn Write) -> io::Result<BTreeSet<String>> {
        let mut named = BTreeSet::new();
        writeln!(out, "{}", head(self.now))?;
        let bounds = TABLES.iter().map(|table| bound(connection, table));
        let bounds: Vec<Place> = bounds.collect::<Result<_, _>>().map_err(other)?;
        for (table, until) in TABLES.iter().zip(&bounds) {
            rows(connection, table, until, &mut |mut row| {
                if !self.brings_sound() {
                    row.remove("file");
                }
                if let Some(name) = row.get("file").and_then(|name| name.as_str()) {
                    named.insert(name.to_owned());
                }
                serde_json::to_writer(&mut *out, &row)?;
                out.write_all(b"\n")
            })?;
        }
        Ok(named)
    }

    fn markdown(&self, connection: &Connection, out: &mut dyn Write) -> io::Result<()> {
        for kind in ["memory", "conversation", "timer"] {
            let Some(table) = TABLES.iter().find(|table| table.kind == kind) else {
                continue;
            };
            markdown::title(out, kind)?;
            rows(connection, table, &None, &mut |row| match kind {
                "memory" => markdown::memory(out, &row),
                "timer" => markdown::timer(out, &row),
                _ => {
                    markdown::conversation(out, &row)?;
                    let id = row["id"].as_str().unwrap_or_default();
                    messages_of(connection, id, &mut |message| {
                        markdown::message(out, &message)
                    })
                    .map_err(other)?
                }
            })?;
        }
        Ok(())
    }

    fn zip(&self, connection: &Connection, out: &mut dyn Write) -> io::Result<()> {
        let mut zip = ZipWriter::new_stream(out);
        let text = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(true);
        zip.start_file(LINES_FILE, text)?;
        let named = self.lines(connection, &mut zip)?;
        zip.start_file("memories.md", text)?;
        self.markdown(connection, &mut zip)?;
        if self.brings_sound() {
            // One without a row is only being recorded, or was begun since.
            for name in named.iter().filter(|name| super::is_sound_name(name)) {
                // A recording may go while others are being written.
                let Ok(mut file) = File::open(self.recordings.join(name)) else {
                    continue;
                };
                zip.start_file(format!("{SOUND_FOLDER}{name}"), text)?;
                io::copy(&mut file, &mut zip)?;
            }
        }
        zip.finish()?;
        Ok(())
    }
}

/// Every row of a table, page by page, without holding a transaction open.
fn rows(
    connection: &Connection,
    table: &Table,
    until: &Place,
    take: &mut dyn FnMut(serde_json::Map<String, serde_json::Value>) -> io::Result<()>,
) -> io::Result<()> {
    let mut place = None;
    loop {
        let (page, next) =
            page(connection, table, &place, until, EXPORT_PAGE_ROWS).map_err(other)?;
        if page.is_empty() {
            return Ok(());
        }
        for row in page {
            take(row)?;
        }
        place = next;
    }
}

fn other(error: impl ToString) -> io::Error {
    io::Error::other(error.to_string())
}
