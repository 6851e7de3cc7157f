//! The file of a backup: written, opened again, compared, kept for its days.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::clock::UnixMillis;
use crate::limits::{BACKUP_FILES_MAX, BACKUP_MANIFEST_BYTES_MAX};

const MANIFEST: &str = "manifest.json";
/// The database inside a backup.
pub const DATABASE: &str = "voice-memory.db";
/// Folders of what is no row, inside a backup and in the data folder: recordings, and what clients
/// of Happy attached.
pub const FOLDERS: [&str; 2] = ["recordings", "files"];
/// Folders inside each other; no room makes as many.
const DEPTH_MAX: usize = 6;
const BEGIN: &str = "magpie-";
const END: &str = ".zip";
const PART: &str = ".part";
const COPY: &str = ".copy";
/// Of the form; a newer one is refused.
const VERSION: u32 = 1;

/// What a backup says of itself; each file with its hash.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub program: String,
    pub made_at: String,
    pub files: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Entry {
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

/// A backup that was checked.
#[derive(Debug)]
pub struct Made {
    pub path: PathBuf,
    pub bytes: u64,
    pub files: usize,
}

/// A backup that lies in the folder.
pub struct Kept {
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
    pub made_at: UnixMillis,
}

/// Packs a copy of the database and the folders beside it; counts only once it was read again.
pub fn pack(copy: &Path, data_dir: &Path, folder: &Path, now: UnixMillis) -> io::Result<Made> {
    let path = folder.join(format!("{BEGIN}{}{END}", stamp(now)));
    let partial = partial(&path);
    let made = write(copy, data_dir, &partial, now).and_then(|manifest| {
        let read = verify(&partial)?;
        if read.files != manifest.files {
            return Err(io::Error::other("what was written is not what is read"));
        }
        fs::rename(&partial, &path)?;
        File::open(folder)?.sync_all()?;
        Ok(Made {
            bytes: fs::metadata(&path)?.len(),
            files: manifest.files.len(),
            path: path.clone(),
        })
    });
    if made.is_err() {
        let _ = fs::remove_file(&partial);
    }
    made
}

fn write(copy: &Path, data_dir: &Path, target: &Path, now: UnixMillis) -> io::Result<Manifest> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(target)?;
    let mut zip = ZipWriter::new(BufWriter::new(file));
    let mut files = BTreeMap::new();
    add(&mut zip, DATABASE, copy, &mut files)?;
    for name in contents(data_dir) {
        match add(&mut zip, &name, &data_dir.join(&name), &mut files) {
            // One may go while others are being copied.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            added => added?,
        }
    }
    let manifest = Manifest {
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: now.rfc3339(),
        files,
    };
    zip.start_file(MANIFEST, options())?;
    serde_json::to_writer_pretty(&mut zip, &manifest)?;
    let file = zip.finish()?.into_inner().map_err(io::Error::other)?;
    file.sync_all()?;
    Ok(manifest)
}

fn add(
    zip: &mut ZipWriter<BufWriter<File>>,
    name: &str,
    path: &Path,
    files: &mut BTreeMap<String, Entry>,
) -> io::Result<()> {
    let mut from = File::open(path)?;
    zip.start_file(name, options())?;
    let entry = copy_hashed(&mut from, zip)?;
    files.insert(name.to_owned(), entry);
    Ok(())
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .large_file(true)
}

/// Reads a whole backup and compares every hash.
pub fn verify(path: &Path) -> io::Result<Manifest> {
    let mut zip = open(path)?;
    let manifest = manifest(&mut zip)?;
    for (name, wanted) in &manifest.files {
        let mut entry = zip.by_name(name)?;
        let found = copy_hashed(&mut entry, &mut io::sink())?;
        if found != *wanted {
            return Err(io::Error::other(format!("{name} is damaged")));
        }
    }
    Ok(manifest)
}

/// One file of a backup to `target`, which is synced; refused when its hash differs.
pub fn extract(path: &Path, name: &str, wanted: &Entry, target: &Path) -> io::Result<()> {
    let mut zip = open(path)?;
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(target)?;
    // Never more than was promised, whatever the packed bytes hold.
    let mut entry = zip.by_name(name)?.take(wanted.bytes + 1);
    let found = copy_hashed(&mut entry, &mut file)?;
    if found != *wanted {
        return Err(io::Error::other(format!("{name} is damaged")));
    }
    file.sync_all()
}

fn open(path: &Path) -> io::Result<ZipArchive<BufReader<File>>> {
    Ok(ZipArchive::new(BufReader::new(File::open(path)?))?)
}

fn manifest(zip: &mut ZipArchive<BufReader<File>>) -> io::Result<Manifest> {
    let mut text = String::new();
    zip.by_name(MANIFEST)
        .map_err(|_| io::Error::other("it is no backup of this program: it has no list"))?
        .take(BACKUP_MANIFEST_BYTES_MAX)
        .read_to_string(&mut text)?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|_| io::Error::other("its list cannot be read"))?;
    if manifest.version != VERSION {
        return Err(io::Error::other("it was made by a newer release"));
    }
    let fits = |name: &String| name == DATABASE || is_content(name);
    if manifest.files.len() > BACKUP_FILES_MAX || !manifest.files.keys().all(fits) {
        return Err(io::Error::other("its list names what no backup has"));
    }
    if !manifest.files.contains_key(DATABASE) {
        return Err(io::Error::other("it holds no database"));
    }
    Ok(manifest)
}

/// Of a file in one of [`FOLDERS`].
fn is_content(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    (2..=DEPTH_MAX).contains(&parts.len())
        && FOLDERS.contains(&parts[0])
        && parts.iter().all(|part| is_plain_name(part))
}

/// Leads to no other folder and is hidden from nobody.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn copy_hashed(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<Entry> {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        hash.update(&buffer[..length]);
        to.write_all(&buffer[..length])?;
        bytes += length as u64;
    }
    let digest = hash.finalize();
    Ok(Entry {
        bytes,
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

/// Names below the data folder, in order.
fn contents(data_dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        walk(data_dir, folder, &mut found);
    }
    found.sort();
    let surplus = found.len().saturating_sub(BACKUP_FILES_MAX - 1);
    if surplus > 0 {
        log::error!("event=backup_leaves_out files={surplus} limit={BACKUP_FILES_MAX}");
    }
    found.truncate(BACKUP_FILES_MAX - 1);
    found
}

fn walk(data_dir: &Path, folder: &str, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(data_dir.join(folder)) else {
        return;
    };
    for entry in entries.flatten() {
        let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else {
            continue;
        };
        let name = format!("{folder}/{name}");
        if !is_content(&name) {
            continue;
        }
        if kind.is_file() {
            found.push(name);
        } else if kind.is_dir() {
            walk(data_dir, &name, found);
        }
    }
}

/// The name of a backup while it is being written.
pub fn partial(path: &Path) -> PathBuf {
    path.with_extension(&PART[1..])
}

/// Of the database's copy while a backup is made of it.
pub fn copy_name(now: UnixMillis) -> String {
    format!("{}{COPY}", stamp(now))
}

/// Removes what backups left that were cut off, by a power cut or a stop.
pub fn clear_unfinished(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| {
            let copy = [COPY, ".partial", ".partial-journal"];
            let stamp = match name.strip_prefix(BEGIN) {
                Some(packed) => packed.strip_suffix(PART),
                None => copy.iter().find_map(|end| name.strip_suffix(end)),
            };
            stamp.and_then(parse_stamp).is_some()
        });
        if is_ours && let Err(error) = fs::remove_file(entry.path()) {
            log::warn!("event=unfinished_backup_not_removed file={name:?} error={error}");
        }
    }
}

/// The backups of a folder, oldest first.
pub fn list(folder: &Path) -> Vec<Kept> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<Kept> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let stamp = name.strip_prefix(BEGIN)?.strip_suffix(END)?;
            Some(Kept {
                made_at: parse_stamp(stamp)?,
                path: entry.path(),
                bytes: entry.metadata().ok()?.len(),
                name,
            })
        })
        .collect();
    found.sort_by_key(|kept| kept.made_at);
    found
}

/// Removes what is older than `days`; the newest always stays, whatever the clock says.
pub fn prune(folder: &Path, days: u32, now: UnixMillis) {
    let mut kept = list(folder);
    kept.pop();
    let oldest = now.0 - i64::from(days) * 86_400_000;
    for old in kept.into_iter().filter(|kept| kept.made_at.0 < oldest) {
        if let Err(error) = fs::remove_file(&old.path) {
            log::warn!(
                "event=old_backup_not_removed file={} error={error}",
                old.name
            );
        }
    }
}

/// Whether the database or its log was written after `time`.
pub fn changed_since(database: &Path, time: UnixMillis) -> bool {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    [database, Path::new(&log)].iter().any(|path| {
        let changed = fs::metadata(path).and_then(|about| about.modified()).ok();
        let since = changed.and_then(|changed| changed.duration_since(UNIX_EPOCH).ok());
        since.is_some_and(|since| since.as_millis() as i64 > time.0)
    })
}

/// `20261125T020000Z`, which sorts by time.
pub fn stamp(now: UnixMillis) -> String {
    let digits = now.rfc3339();
    let text: String = digits
        .chars()
        .take(19)
        .filter(|c| c.is_ascii_digit() || *c == 'T')
        .collect();
    format!("{text}Z")
}

fn parse_stamp(text: &str) -> Option<UnixMillis> {
    let part = |from: usize, to: usize| text.get(from..to);
    let time = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(9, 11)?,
        part(11, 13)?,
        part(13, 15)?
    );
    (text.len() == 16).then(|| UnixMillis::parse_rfc3339(&time))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(folder: &Path) -> Made {
        fs::create_dir_all(folder.join("recordings")).unwrap();
        fs::write(folder.join("recordings/a.wav"), b"sound").unwrap();
        fs::create_dir_all(folder.join("files/sessions/s/attachments")).unwrap();
        fs::write(folder.join("files/sessions/s/attachments/a.enc"), b"x").unwrap();
        fs::write(folder.join("files/sessions/s/attachments/b.enc~1"), b"half").unwrap();
        fs::write(folder.join("copy"), vec![7; 100_000]).unwrap();
        fs::create_dir_all(folder.join("backups")).unwrap();
        let now = UnixMillis(1_790_000_000_000);
        pack(&folder.join("copy"), folder, &folder.join("backups"), now).unwrap()
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let made = packed(folder.path());
        assert_eq!(made.files, 3);
        let good = fs::read(&made.path).unwrap();
        let list = verify(&made.path).unwrap();
        assert_eq!(list.files.len(), 3);
        let (mut noticed, mut harmless) = (0, 0);
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            fs::write(&made.path, bad).unwrap();
            match verify(&made.path) {
                // Bits of the zip's own that say nothing of the content, such as times.
                Ok(found) if found.files == list.files => harmless += 1,
                Ok(_) => panic!("byte {at}: another list was believed"),
                Err(_) => noticed += 1,
            }
        }
        assert!(noticed > harmless, "{noticed} noticed, {harmless} not");
        for length in (0..good.len()).step_by(11) {
            fs::write(&made.path, &good[..length]).unwrap();
            assert!(verify(&made.path).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn what_was_cut_off_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let stamp = stamp(UnixMillis(1_790_000_000_000));
        let kept = [
            format!("magpie-{stamp}.zip"),
            "mine.part".into(),
            "before-0007-20260101000000000.db".into(),
        ];
        let unfinished = [
            format!("magpie-{stamp}.part"),
            format!("{stamp}.copy"),
            format!("{stamp}.partial"),
        ];
        for name in kept.iter().chain(&unfinished) {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        clear_unfinished(folder.path());
        let is_there = |name: &String| folder.path().join(name).exists();
        assert!(kept.iter().all(is_there));
        assert!(!unfinished.iter().any(is_there));
    }

    #[test]
    fn old_ones_go_and_the_newest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let day = 86_400_000;
        for age in [0, 10, 40, 50] {
            let at = UnixMillis(1_790_000_000_000 - age * day);
            fs::write(folder.path().join(format!("magpie-{}.zip", stamp(at))), b"").unwrap();
        }
        fs::write(folder.path().join("mine.zip"), b"").unwrap();
        prune(folder.path(), 30, UnixMillis(1_790_000_000_000));
        assert_eq!(list(folder.path()).len(), 2);
        prune(folder.path(), 30, UnixMillis(1_990_000_000_000));
        assert_eq!(
            list(folder.path()).len(),
            1,
            "a clock that jumps takes not all"
        );
        assert!(folder.path().join("mine.zip").exists());
    }
}
