//! The way back, in two steps that a power cut may end at any moment.
//!
//! [`stage`] verifies the backup, writes its files beside the present ones and syncs them; the
//! last thing it writes is a note. [`apply`] runs at the start, before the database is opened:
//! with a note it moves what is there aside and the new files into their place, and removes the
//! note last. Each move is done only when it is still to be done, so a second run finishes what a
//! first one began. Without a note what lies beside is rubbish, and goes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file::{self, DATABASE, FOLDERS};
use crate::clock::UnixMillis;
use crate::store;

const NOTE: &str = "restore.json";
/// What the last restore was.
const DONE: &str = "restored.json";

/// A restore that is to happen, or has.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Note {
    /// Of the restore; names the folder of what was there before.
    pub stamp: String,
    /// When the backup was made.
    pub made_at: String,
    /// The folders beside the database are of the backup as well. Named after the first of them.
    #[serde(rename = "recordings")]
    pub folders: bool,
}

struct Places {
    note: PathBuf,
    done: PathBuf,
    new_database: PathBuf,
    data_dir: PathBuf,
}

impl Places {
    fn of(database: &Path, data_dir: &Path) -> Places {
        Places {
            note: data_dir.join(NOTE),
            done: data_dir.join(DONE),
            new_database: beside(database, ".restoring"),
            data_dir: data_dir.to_owned(),
        }
    }

    fn new_folder(&self, name: &str) -> PathBuf {
        self.data_dir.join(format!("{name}.restoring"))
    }
}

/// Verifies a backup and lays it ready; from the last line on the next start takes it.
pub fn stage(backup: &Path, database: &Path, data_dir: &Path, now: UnixMillis) -> io::Result<Note> {
    let list = file::verify(backup)?;
    let places = Places::of(database, data_dir);
    clear(&places)?;
    let mut folders = BTreeSet::from(FOLDERS.map(|name| places.new_folder(name)));
    for folder in &folders {
        fs::create_dir_all(folder)?;
    }
    for (name, entry) in &list.files {
        let Some((folder, rest)) = name.split_once('/') else {
            file::extract(backup, DATABASE, entry, &places.new_database)?;
            continue;
        };
        let root = places.new_folder(folder);
        let target = root.join(rest);
        let parents = target.ancestors().skip(1);
        let own: Vec<&Path> = parents.take_while(|at| at.starts_with(&root)).collect();
        fs::create_dir_all(own.first().unwrap_or(&&*root))?;
        folders.extend(own.into_iter().map(Path::to_owned));
        file::extract(backup, name, entry, &target)?;
    }
    for folder in &folders {
        sync(folder)?;
    }
    let note = Note {
        stamp: file::stamp(now),
        made_at: list.made_at,
        folders: true,
    };
    commit(&places, &note)?;
    Ok(note)
}

/// As [`stage`], for a copy of the database alone (made before a migration).
pub fn stage_database(
    copy: &Path,
    database: &Path,
    data_dir: &Path,
    now: UnixMillis,
) -> io::Result<Note> {
    let places = Places::of(database, data_dir);
    clear(&places)?;
    fs::copy(copy, &places.new_database)?;
    File::open(&places.new_database)?.sync_all()?;
    let note = Note {
        stamp: file::stamp(now),
        made_at: String::new(),
        folders: false,
    };
    commit(&places, &note)?;
    Ok(note)
}

/// The database is looked at once more, then the note makes it so.
fn commit(places: &Places, note: &Note) -> io::Result<()> {
    let found = store::examine(&places.new_database).map_err(io::Error::other)?;
    if found.version as usize > store::migrate::STEPS.len() || found.version == 0 {
        return Err(io::Error::other(
            "its database is of a newer release; update this box first",
        ));
    }
    // Looking may leave an empty log beside it.
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(&places.new_database, end));
    }
    sync_parent(&places.new_database)?;
    sync(&places.data_dir)?;
    write_whole(&places.note, note)
}

/// Finishes a restore that was laid ready; `None`: there was none.
pub fn apply(database: &Path, data_dir: &Path) -> io::Result<Option<Note>> {
    apply_until(database, data_dir, &mut |_| Ok(()))
}

/// As [`apply`]; `step` is told before each move and may end it there, as a power cut would.
fn apply_until(
    database: &Path,
    data_dir: &Path,
    step: &mut dyn FnMut(&str) -> io::Result<()>,
) -> io::Result<Option<Note>> {
    let places = Places::of(database, data_dir);
    let note: Note = match fs::read(&places.note) {
        Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            clear(&places)?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let aside = data_dir.join(format!("before-restore-{}", note.stamp));
    step("aside")?;
    fs::create_dir_all(&aside)?;
    // While the new file still waits, whatever has its name is the old one.
    if places.new_database.exists() {
        let name = database.file_name().unwrap_or_default();
        for end in ["-wal", "-shm", ""] {
            let old = beside(database, end);
            if old.exists() {
                step("old database")?;
                let mut kept = name.to_owned();
                kept.push(end);
                move_to(&old, &aside.join(kept))?;
            }
        }
        sync(&aside)?;
        step("new database")?;
        fs::rename(&places.new_database, database)?;
        sync_parent(database)?;
    }
    for name in FOLDERS {
        let (new, place) = (places.new_folder(name), data_dir.join(name));
        if !new.exists() {
            continue;
        }
        if place.exists() {
            step("old folder")?;
            fs::rename(&place, aside.join(name))?;
        }
        step("new folder")?;
        fs::rename(&new, &place)?;
    }
    sync(data_dir)?;
    step("done")?;
    write_whole(&places.done, &note)?;
    step("note")?;
    fs::remove_file(&places.note)?;
    sync(data_dir)?;
    log::info!(
        "event=restored made_at={} kept={}",
        note.made_at,
        aside.display()
    );
    Ok(Some(note))
}

/// The last restore, for whoever waits for it.
pub fn last(data_dir: &Path) -> Option<Note> {
    serde_json::from_slice(&fs::read(data_dir.join(DONE)).ok()?).ok()
}

/// Takes away what an unfinished [`stage`] left.
fn clear(places: &Places) -> io::Result<()> {
    match fs::remove_file(&places.note) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let _ = fs::remove_file(&places.new_database);
    for name in FOLDERS {
        match fs::remove_dir_all(places.new_folder(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The database may lie on another card than the data folder.
fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            fs::copy(from, to)?;
            File::open(to)?.sync_all()?;
            fs::remove_file(from)
        }
        moved => moved,
    }
}

fn write_whole(path: &Path, note: &Note) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let text = serde_json::to_vec(note)?;
    fs::write(&partial, text)?;
    File::open(&partial)?.sync_all()?;
    fs::rename(&partial, path)?;
    sync_parent(path)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync(folder),
        _ => sync(Path::new(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Connection, Durability, StoreOptions};

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn database(path: &Path, word: &str) {
        store::upgrade(&StoreOptions {
            path: path.to_owned(),
            clock: crate::clock::Clock::manual(NOW),
            metrics: crate::ops::Registry::default(),
            durability: Durability::Off,
        })
        .unwrap();
        let db = Connection::open(path).unwrap();
        db.execute_batch(&format!(
            "PRAGMA journal_mode = DELETE; INSERT INTO settings VALUES ('word', '{word}', 0);"
        ))
        .unwrap();
    }

    fn word(path: &Path) -> String {
        Connection::open(path)
            .unwrap()
            .query_row("SELECT value FROM settings WHERE key = 'word'", [], |row| {
                row.get(0)
            })
            .unwrap()
    }

    /// A box with one word in its database and one recording, and a backup with others.
    fn ready() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        fs::create_dir_all(other.join("recordings")).unwrap();
        database(&other.join("db"), "backup");
        fs::write(other.join("recordings/new.wav"), b"new").unwrap();
        fs::create_dir_all(other.join("files/sessions/s")).unwrap();
        fs::write(other.join("files/sessions/s/new.enc"), b"new").unwrap();
        let made = file::pack(&other.join("db"), &other, folder.path(), NOW).unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("recordings")).unwrap();
        fs::write(data.join("recordings/old.wav"), b"old").unwrap();
        fs::create_dir_all(data.join("files/sessions/t")).unwrap();
        fs::write(data.join("files/sessions/t/old.enc"), b"old").unwrap();
        database(&data.join("box.db"), "present");
        fs::write(data.join("box.db-wal"), b"log of the old one").unwrap();
        (folder, data, made.path)
    }

    #[test]
    fn a_power_cut_at_any_step_leaves_a_restore_that_the_next_start_finishes() {
        let mut cuts = 0;
        for cut_at in 0.. {
            let (_folder, data, backup) = ready();
            let db = data.join("box.db");
            stage(&backup, &db, &data, NOW).unwrap();
            let mut steps = 0;
            let ended = apply_until(&db, &data, &mut |_| {
                steps += 1;
                match steps > cut_at {
                    true => Err(io::Error::other("power cut")),
                    false => Ok(()),
                }
            });
            if ended.is_err() {
                cuts += 1;
                assert!(apply(&db, &data).unwrap().is_some(), "after step {cut_at}");
            }
            assert_eq!(word(&db), "backup", "after step {cut_at}");
            assert_eq!(fs::read(data.join("recordings/new.wav")).unwrap(), b"new");
            assert!(!data.join("recordings/old.wav").exists());
            let aside = data.join(format!("before-restore-{}", file::stamp(NOW)));
            assert_eq!(fs::read(aside.join("recordings/old.wav")).unwrap(), b"old");
            let attached = |at: &Path| fs::read(at.join("files/sessions/s/new.enc")).ok();
            assert_eq!(attached(&data), Some(b"new".to_vec()));
            assert_eq!(attached(&aside), None);
            assert!(aside.join("files/sessions/t/old.enc").exists());
            assert_eq!(
                fs::read(aside.join("box.db-wal")).unwrap(),
                b"log of the old one"
            );
            fs::remove_file(aside.join("box.db-wal")).unwrap();
            assert_eq!(word(&aside.join("box.db")), "present");
            assert_eq!(apply(&db, &data).unwrap(), None, "once");
            assert!(last(&data).is_some());
            if ended.is_ok() {
                break;
            }
        }
        assert!(cuts >= 6, "only {cuts} cuts");
    }

    #[test]
    fn what_is_damaged_or_half_laid_ready_changes_nothing() {
        let (_folder, data, backup) = ready();
        let db = data.join("box.db");
        let good = fs::read(&backup).unwrap();
        fs::write(&backup, &good[..good.len() / 2]).unwrap();
        assert!(stage(&backup, &db, &data, NOW).is_err());
        fs::write(beside(&db, ".restoring"), b"half a file").unwrap();
        assert_eq!(apply(&db, &data).unwrap(), None);
        assert!(!beside(&db, ".restoring").exists());
        fs::remove_file(data.join("box.db-wal")).unwrap();
        assert_eq!(word(&db), "present");
    }
}
