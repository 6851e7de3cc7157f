//! From a file that somebody sent to checked rows, in chunks, on a thread.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zip::ZipArchive;

use super::{LINES_FILE, SOUND_FOLDER, check, is_sound_name, parse_line};
use crate::limits::{
    IMPORT_BYTES_MAX, IMPORT_CHUNK_BYTES, IMPORT_CHUNK_ROWS, IMPORT_LINE_BYTES_MAX,
    IMPORT_ROWS_MAX, IMPORT_TEXT_BYTES_MAX,
};
use crate::voice::db::archive::{Fate, Incoming};
use crate::voice::db::older;
use crate::voice::error::VoiceError;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Lines,
    Zip,
    Database,
}

impl Kind {
    pub fn sniff(begin: &[u8]) -> Kind {
        if begin.starts_with(b"PK\x03\x04") || begin.starts_with(b"PK\x05\x06") {
            Kind::Zip
        } else if begin.starts_with(b"SQLite format 3\0") {
            Kind::Database
        } else {
            Kind::Lines
        }
    }
}

/// What became of the rows, by kind.
#[derive(Debug, Default)]
pub struct Counts(Vec<(&'static str, [usize; 3])>);

impl Counts {
    pub fn add(&mut self, rows: &[Incoming], fates: &[Fate]) {
        for (row, fate) in rows.iter().zip(fates) {
            let kind = row.table.kind;
            let index = match self.0.iter().position(|(known, _)| *known == kind) {
                Some(index) => index,
                None => {
                    self.0.push((kind, [0; 3]));
                    self.0.len() - 1
                }
            };
            self.0[index].1[*fate as usize] += 1;
        }
    }

    pub fn shown(&self) -> Value {
        let rows = self.0.iter().map(|(kind, [new, same, kept])| {
            (
                (*kind).to_owned(),
                json!({ "new": new, "same": same, "kept": kept }),
            )
        });
        Value::Object(rows.collect())
    }

    pub fn new_rows(&self) -> usize {
        self.0.iter().map(|(_, counts)| counts[0]).sum()
    }
}

/// Hands the file's rows over in chunks, each line checked; `take` says when to stop.
pub fn read(
    path: &Path,
    take: &mut dyn FnMut(Vec<Incoming>) -> Result<(), VoiceError>,
) -> Result<(), VoiceError> {
    let mut chunks = Chunks {
        take,
        waiting: Vec::new(),
        bytes: 0,
        rows: 0,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut begin = [0; 16];
    let length = file.read(&mut begin).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    match Kind::sniff(&begin[..length]) {
        Kind::Lines => lines(file, &mut chunks)?,
        Kind::Zip => {
            let mut zip = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
            let entry = zip.by_name(LINES_FILE).map_err(|_| {
                VoiceError::Invalid(format!(
                    "The zip has no file {LINES_FILE}; is it one of `magpie export --format zip`?"
                ))
            })?;
            lines(entry, &mut chunks)?;
        }
        Kind::Database => {
            let mut number = 0;
            older::read(path, &mut |kind, row| {
                number += 1;
                chunks.push(check(kind, row, number)?, 1024)
            })?;
        }
    }
    chunks.finish()
}

/// Puts the sounds of a zip beside the box's own; those that are there stay. How many came.
pub fn sounds(path: &Path, folder: &Path, dry_run: bool) -> Result<usize, VoiceError> {
    let mut file = File::open(path).map_err(unreadable)?;
    let mut begin = [0; 4];
    let length = file.read(&mut begin).map_err(unreadable)?;
    if Kind::sniff(&begin[..length]) != Kind::Zip {
        return Ok(0);
    }
    file.rewind().map_err(unreadable)?;
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    let (mut count, mut room) = (0, IMPORT_BYTES_MAX);
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?;
        let Some(name) = name.strip_prefix(SOUND_FOLDER).map(str::to_owned) else {
            continue;
        };
        if !is_sound_name(&name) || folder.join(&name).exists() {
            continue;
        }
        count += 1;
        if !dry_run {
            let written = keep(&mut entry, folder, &name, room).map_err(unreadable)?;
            room = room.saturating_sub(written);
        }
    }
    Ok(count)
}

fn keep(from: &mut dyn Read, folder: &Path, name: &str, room: u64) -> io::Result<u64> {
    fs::create_dir_all(folder)?;
    let partial: PathBuf = folder.join(format!("{name}.part"));
    let mut file = File::create(&partial)?;
    let written = io::copy(&mut from.take(room + 1), &mut file)?;
    if written > room {
        fs::remove_file(&partial)?;
        return Err(io::Error::other("the sounds are larger than the box keeps"));
    }
    file.sync_all()?;
    fs::rename(&partial, folder.join(name))?;
    File::open(folder)?.sync_all()?;
    Ok(written)
}

fn lines(from: impl Read, chunks: &mut Chunks) -> Result<(), VoiceError> {
    let mut from = BufReader::new(from.take(IMPORT_TEXT_BYTES_MAX + 1));
    let (mut number, mut total) = (0, 0);
    loop {
        number += 1;
        let mut line = Vec::new();
        let limit = IMPORT_LINE_BYTES_MAX as u64 + 2;
        let length = from
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(damaged)?;
        total += length as u64;
        if length == 0 {
            return Ok(());
        }
        if total > IMPORT_TEXT_BYTES_MAX {
            return Err(VoiceError::Invalid(String::from(
                "The file holds more text than an import may; send it in parts.",
            )));
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| VoiceError::Invalid(format!("line {number}: it is not UTF-8 text.")))?;
        if let Some(row) = parse_line(text.trim_end(), number)? {
            chunks.push(row, length)?;
        }
    }
}

struct Chunks<'a> {
    take: &'a mut dyn FnMut(Vec<Incoming>) -> Result<(), VoiceError>,
    waiting: Vec<Incoming>,
    bytes: usize,
    rows: usize,
}

impl Chunks<'_> {
    fn push(&mut self, row: Incoming, bytes: usize) -> Result<(), VoiceError> {
        self.rows += 1;
        if self.rows > IMPORT_ROWS_MAX {
            return Err(VoiceError::Invalid(format!(
                "The file has more than {IMPORT_ROWS_MAX} rows; send it in parts."
            )));
        }
        self.waiting.push(row);
        self.bytes += bytes;
        if self.waiting.len() >= IMPORT_CHUNK_ROWS || self.bytes >= IMPORT_CHUNK_BYTES {
            self.bytes = 0;
            return (self.take)(std::mem::take(&mut self.waiting));
        }
        Ok(())
    }

    fn finish(self) -> Result<(), VoiceError> {
        match self.waiting.is_empty() {
            true => Ok(()),
            false => (self.take)(self.waiting),
        }
    }
}

fn unreadable(error: io::Error) -> VoiceError {
    VoiceError::Invalid(format!("The file cannot be read: {error}."))
}

fn damaged(error: impl std::fmt::Display) -> VoiceError {
    VoiceError::Invalid(format!("The file is damaged: {error}."))
}
