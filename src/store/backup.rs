//! Consistent copies through SQLite's online backup, opened and checked before they count.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::open::sync_folder;
use super::{StoreError, migrate};
use crate::limits::BACKUPS_KEPT;

const PAGES_PER_STEP: i32 = 256;

/// How the names of copies made before migrations begin.
const BEFORE: &str = "before-";

/// Where copies of the database lie.
pub fn folder(database: &Path) -> PathBuf {
    database
        .parent()
        .unwrap_or_else(|| Path::new("."))
        .join("backups")
}

/// Copies a database that somebody else may be writing, as [`copy`] does.
pub fn keep(database: &Path, target: &Path) -> Result<(), StoreError> {
    copy(&super::open::reading(database)?, target)
}

/// Copies the whole database to `target`, for this user alone: written under a temporary name,
/// checked, synced, renamed. Nothing else in the target's folder is touched.
pub fn copy(source: &Connection, target: &Path) -> Result<(), StoreError> {
    let io = |error: std::io::Error| StoreError::Io(error.to_string());
    let folder = target.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder).map_err(io)?;
    let temporary = target.with_extension("partial");
    let made = write(source, &temporary).and_then(|()| match is_good(&temporary) {
        true => Ok(()),
        false => Err(StoreError::Io("the copy did not pass its check".into())),
    });
    if let Err(error) = made {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(&temporary)
        .and_then(|file| file.sync_all())
        .map_err(io)?;
    fs::rename(&temporary, target).map_err(io)?;
    sync_folder(target).map_err(io)
}

fn write(source: &Connection, target: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(target)
        .map_err(|error| StoreError::Io(error.to_string()))?;
    let mut copy = Connection::open(target)?;
    // One transaction holds the moment: a copy in steps would begin again after each commit.
    let moment = source.unchecked_transaction()?;
    moment.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let backup = rusqlite::backup::Backup::new(source, &mut copy)?;
    backup.run_to_completion(PAGES_PER_STEP, Duration::ZERO, None)?;
    drop(backup);
    drop(moment);
    // A copy without a log can be looked at without leaving files beside it.
    Ok(copy.pragma_update(None, "journal_mode", "DELETE")?)
}

/// The newest copy in `folder` that opens, passes `integrity_check` and is of a known schema.
pub fn newest_good(folder: &Path) -> Option<PathBuf> {
    let mut copies = copies(folder);
    copies.reverse();
    copies.into_iter().find(|path| is_good(path))
}

fn is_good(path: &Path) -> bool {
    let check = || -> rusqlite::Result<bool> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let verdict: String =
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        let version = migrate::version(&connection)?;
        Ok(verdict == "ok" && version as usize <= migrate::STEPS.len())
    };
    check().unwrap_or(false)
}

/// Oldest first, by time of change and then by name.
fn copies(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "db"))
        .map(|path| {
            let changed = fs::metadata(&path).and_then(|meta| meta.modified()).ok();
            (changed, path)
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// Where the copy made before a migration goes; `stamp` sorts by time.
pub fn before_migration(database: &Path, number: u32, stamp: &str) -> PathBuf {
    folder(database).join(format!("{BEFORE}{number:04}-{stamp}.db"))
}

/// Removes the oldest copies made before migrations, beyond [`BACKUPS_KEPT`]; no other file.
pub fn prune(folder: &Path) {
    let mut copies = copies(folder);
    copies.retain(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(BEFORE))
    });
    for path in copies.iter().rev().skip(BACKUPS_KEPT) {
        if let Err(error) = fs::remove_file(path) {
            log::warn!("backup prune failed path={} error={error}", path.display());
        }
    }
}
