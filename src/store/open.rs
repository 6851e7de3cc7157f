//! From a path to a database that may be used: opened, checked, copied and brought up to date.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::error::OpenError;
use super::{Durability, StoreError, StoreOptions, backup, migrate};
use crate::clock::UnixMillis;
use crate::limits::{SQLITE_CACHE_KIB, SQLITE_STATEMENTS_CACHED};

/// What a damaged file's name is followed by, with the time after it.
const DAMAGED: &str = ".damaged-";

/// Opens for writing; checks; keeps a damaged file aside; migrates after making a copy.
pub fn prepare(options: &StoreOptions) -> Result<Connection, OpenError> {
    Ok(bring_up_to_date(options)?.0)
}

/// As [`prepare`], for `--migrate`: the names of the steps that were taken.
pub fn upgrade(options: &StoreOptions) -> Result<Vec<&'static str>, OpenError> {
    Ok(bring_up_to_date(options)?.1)
}

fn bring_up_to_date(options: &StoreOptions) -> Result<(Connection, Vec<&'static str>), OpenError> {
    let path = &options.path;
    let now = options.clock.wall();
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder).map_err(|error| unusable(path, error))?;
    }
    if let Some(kept) = kept_aside_before(path) {
        return Err(damaged(path, kept, "found at an earlier start".into()));
    }
    let mut connection = match open_and_check(path, options.durability) {
        Ok(connection) => connection,
        Err(Trouble::Unusable(why)) => return Err(unusable(path, why)),
        Err(Trouble::Damaged(why)) => return Err(keep_aside(path, why, now)),
    };
    let found = migrate::version(&connection).map_err(|error| unusable(path, error))?;
    let known = migrate::STEPS.len() as u32;
    if found > known {
        return Err(OpenError::Newer {
            path: path.clone(),
            found,
            known,
        });
    }
    if found > 0 && found < known {
        let copy = backup::before_migration(path, found + 1, &stamp(now));
        backup::copy(&connection, &copy).map_err(|error| unusable(path, error))?;
        backup::prune(&backup::folder(path));
    }
    let taken = migrate::run(&mut connection, migrate::STEPS, now)?;
    Ok((connection, taken))
}

/// A connection for writing, with all its settings.
pub fn writing(path: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    configure(&connection)?;
    connection.pragma_update(None, "page_size", 4096)?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            Some(format!(
                "it stays in journal mode {mode}, where a write-ahead log is needed"
            )),
        ));
    }
    connection.pragma_update(
        None,
        "synchronous",
        match durability {
            Durability::Full => "FULL",
            Durability::Normal => "NORMAL",
            Durability::Off => "OFF",
        },
    )?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// A connection that cannot write.
pub fn reading(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .or_else(|_| Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    configure(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(SQLITE_STATEMENTS_CACHED);
    connection.pragma_update(None, "cache_size", -i64::from(SQLITE_CACHE_KIB))?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// What a look at a database that nobody uses has found.
pub struct Examined {
    /// The last migration it has taken.
    pub version: u32,
}

/// Looks at a database without changing it; the error says what is wrong with it.
pub fn examine(path: &Path) -> Result<Examined, String> {
    let look = || -> rusqlite::Result<(String, u32)> {
        let connection = reading(path)?;
        let verdict = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        Ok((verdict, migrate::version(&connection)?))
    };
    match look() {
        Ok((verdict, version)) if verdict == "ok" => Ok(Examined { version }),
        Ok((verdict, _)) => Err(format!("damaged: {verdict}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads from a database that nobody uses, without changing it; `None` when there is none, or
/// when it cannot be read.
pub fn look<T>(path: &Path, job: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Option<T> {
    if !path.exists() {
        return None;
    }
    job(&reading(path).ok()?).ok()
}

/// Somebody else's database: only read, and neither its views, triggers nor functions trusted.
pub fn foreign(path: &Path) -> Result<Connection, StoreError> {
    use rusqlite::config::DbConfig::{SQLITE_DBCONFIG_DEFENSIVE, SQLITE_DBCONFIG_TRUSTED_SCHEMA};
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    Ok(connection)
}

enum Trouble {
    Unusable(String),
    Damaged(String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Trouble::Damaged(error.to_string()),
            _ => Trouble::Unusable(error.to_string()),
        }
    }
}

fn open_and_check(path: &Path, durability: Durability) -> Result<Connection, Trouble> {
    let connection = writing(path, durability)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Trouble::Damaged(verdict));
    }
    Ok(connection)
}

/// Moves the damaged file and its log aside under one new name, and looks for a good backup.
fn keep_aside(path: &Path, why: String, now: UnixMillis) -> OpenError {
    let kept = named_after(path, &format!("{DAMAGED}{}", stamp(now)));
    if kept.exists() {
        return unusable(path, format!("{} is in the way", kept.display()));
    }
    match move_aside(path, &kept) {
        Ok(()) => damaged(path, kept, why),
        Err(error) => unusable(
            path,
            format!("damaged ({why}), and moving it aside failed: {error}"),
        ),
    }
}

/// The newest damaged file kept aside when nothing has been put in its place: beginning empty
/// beside it is for the owner to decide, not for a supervisor that starts the box again.
fn kept_aside_before(path: &Path) -> Option<PathBuf> {
    if path.exists() {
        return None;
    }
    let start = named_after(Path::new(path.file_name()?), DAMAGED);
    let start = start.to_str()?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut names: Vec<String> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            name.strip_prefix(start)
                .is_some_and(|stamp| stamp.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .collect();
    names.sort();
    let kept = path.with_file_name(names.pop()?);
    // A power cut may have left the log behind, which must not meet a restored file.
    match move_aside(path, &kept) {
        Ok(()) => {}
        Err(error) => log::error!("move aside failed path={} error={error}", path.display()),
    }
    Some(kept)
}

/// The file first: without it the next start finishes what a power cut left undone.
fn move_aside(path: &Path, kept: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let from = named_after(path, suffix);
        if from.exists() {
            fs::rename(&from, named_after(kept, suffix))?;
        }
    }
    sync_folder(path)
}

fn damaged(path: &Path, kept: PathBuf, why: String) -> OpenError {
    OpenError::Corrupt {
        kept,
        why,
        backup: backup::newest_good(&backup::folder(path)),
        path: path.to_path_buf(),
    }
}

fn unusable(path: &Path, why: impl ToString) -> OpenError {
    OpenError::Unusable {
        path: path.to_path_buf(),
        why: why.to_string(),
    }
}

fn named_after(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes a rename in `path`'s folder last through a power cut.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

/// A time that may stand in a file's name and sorts.
fn stamp(now: UnixMillis) -> String {
    now.rfc3339()
        .chars()
        .filter(|c| c.is_ascii_digit())
        .take(17)
        .collect()
}
