//! The room's folder of the card: `files/sessions/<session>/attachments/<name>`.
//!
//! Names that a client gives are plain, so none leads out of the folder. A file is written under
//! another name, synced and then renamed; what a crash left half goes at the start, and what has had
//! no row for long.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Happy;
use super::answer::store_error;
use super::db::attachments;
use crate::limits;
use crate::ops::disk;
use crate::server::HttpError;
use crate::server::upload::on_thread;
use crate::store::StoreError;

const NAME_BYTES_MAX: usize = 128;
/// Ends what is not whole yet, and no name of a client's.
const PARTIAL: &str = "~";

pub struct Files {
    /// Of all sessions.
    folder: PathBuf,
    /// Writes under way; each holds a blob in memory and a thread.
    turns: Semaphore,
}

/// A file that is or comes.
pub struct Place {
    folder: PathBuf,
    name: String,
}

/// A name that stays where it is put.
pub fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(is_plain)
        && !name.starts_with('.')
        && !name.contains("..")
}

impl Files {
    pub fn new(data_dir: &Path) -> Files {
        Files {
            folder: data_dir.join("files").join("sessions"),
            turns: Semaphore::new(limits::HAPPY_UPLOADS_AT_ONCE),
        }
    }

    /// Held while a file is written and its row made.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>, HttpError> {
        match tokio::time::timeout(limits::HAPPY_UPLOAD_WAIT, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(HttpError::busy(
                "The card is busy; try again in a second.",
                1,
            )),
        }
    }

    /// Of a session that is there and a checked name.
    pub fn attachment(&self, session: &str, name: &str) -> Place {
        Place {
            folder: self.folder.join(session).join("attachments"),
            name: name.to_owned(),
        }
    }
}

impl Place {
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Removes what got no row.
    pub async fn remove(&self) {
        let path = self.path();
        let removed = on_thread("upload", move || fs::remove_file(path)).await;
        if !matches!(removed, Ok(Ok(()))) {
            log::warn!("event=happy_files_not_removed error=\"it goes at the next start\"");
        }
    }

    /// For a thread: returns when a power cut cannot take it any more.
    pub fn write_here(&self, blob: &[u8]) -> io::Result<()> {
        write(&self.folder, self.path(), blob)?.take_place()
    }

    /// Synced, and not under its name yet.
    pub async fn write(&self, blob: Vec<u8>) -> Result<Ready, HttpError> {
        let (folder, path) = (self.folder.clone(), self.path());
        let written = on_thread("upload", move || write(&folder, path, &blob)).await?;
        written.map_err(|error| {
            log::error!("event=happy_file_not_kept error=\"{error}\"");
            store_error(StoreError::Full)
        })
    }
}

/// A file that is whole under a name of its own.
#[derive(Clone)]
pub struct Ready {
    partial: PathBuf,
    path: PathBuf,
}

impl Ready {
    /// Returns when a power cut cannot take it any more.
    pub fn take_place(&self) -> io::Result<()> {
        fs::rename(&self.partial, &self.path)?;
        let folder = self.path.parent().ok_or(io::ErrorKind::NotFound)?;
        File::open(folder)?.sync_all()
    }

    /// Where it did not come to that.
    pub async fn remove(self) {
        let removed = on_thread("upload", move || fs::remove_file(self.partial)).await;
        if let Ok(Err(error)) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("event=happy_files_not_removed error=\"it goes at the next start\"");
        }
    }
}

fn write(folder: &Path, path: PathBuf, blob: &[u8]) -> io::Result<Ready> {
    if disk::free(folder.ancestors().find(|at| at.exists()).unwrap_or(folder))
        .is_some_and(|free| free < limits::DISK_FREE_BYTES_MIN)
    {
        return Err(io::ErrorKind::StorageFull.into());
    }
    make_folder(folder)?;
    // Two that send the same name at once do not meet in one file.
    let own = getrandom::u64().unwrap_or_default();
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!("{PARTIAL}{own:016x}"));
    let partial = PathBuf::from(partial);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .and_then(|mut file| {
            file.write_all(blob)?;
            file.sync_all()
        });
    if let Err(error) = written {
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    Ok(Ready { partial, path })
}

/// Each level that is new is synced in its parent.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().ok_or(io::ErrorKind::NotFound)?;
    make_folder(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}

impl Happy {
    /// Removes the files of a session that is deleted.
    pub(super) async fn remove_files(&self, session: &str) -> io::Result<()> {
        if !is_name(session) {
            return Ok(());
        }
        // An upload that began before ends before; one that begins later finds no session.
        let all = limits::HAPPY_UPLOADS_AT_ONCE as u32;
        let turns = self.0.files.turns.acquire_many(all).await;
        drop(turns.map_err(|_| io::ErrorKind::Other)?);
        let folder = self.0.files.folder.join(session);
        let removed = on_thread("upload", move || fs::remove_dir_all(folder)).await;
        match removed.map_err(|error| io::Error::other(error.message))? {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what a crash left, files without a row, session by session.
    pub(super) fn tidy_files(&self) {
        let room = Rc::downgrade(&self.0);
        let folder = self.0.files.folder.clone();
        tokio::task::spawn_local(async move {
            let there = on_thread("upload", move || entries(&folder)).await;
            let Ok(Ok(there)) = there else {
                return log::warn!("event=happy_files_not_tidied error=\"the folder is not read\"");
            };
            for session in there {
                let Some(room) = room.upgrade() else { return };
                if let Err(error) = Happy(room).tidy_session(session.path()).await {
                    log::warn!("event=happy_files_not_tidied error=\"{error}\"");
                }
            }
        });
    }

    /// Uploads wait meanwhile: between a file and its row nothing may look.
    async fn tidy_session(&self, folder: PathBuf) -> io::Result<()> {
        let other = |_| io::ErrorKind::Other;
        let all = limits::HAPPY_UPLOADS_AT_ONCE as u32;
        let turns = self.0.files.turns.acquire_many(all).await;
        let _turns = turns.map_err(|_| io::ErrorKind::Other)?;
        let id = folder.file_name().and_then(|name| name.to_str());
        let id = id.unwrap_or_default().to_owned();
        let rows = self.0.store.query(move |db| attachments::names(db, &id));
        let rows: Result<_, StoreError> = rows.await;
        let rows = rows.map_err(io::Error::other)?;
        on_thread("upload", move || tidy(&folder, &rows))
            .await
            .map_err(other)?
    }
}

/// Of one session: what is not whole, what has had no row for long, and folders without a file.
///
/// Not at once what has no row: the database may be an older one, whose newer self lies aside.
fn tidy(folder: &Path, rows: &BTreeSet<String>) -> io::Result<()> {
    let attachments = folder.join("attachments");
    for file in entries(&attachments)? {
        let name = file.file_name().into_string().unwrap_or_default();
        let is_lost = || {
            let changed = file.metadata().and_then(|about| about.modified()).ok();
            let age = changed.and_then(|changed| changed.elapsed().ok());
            age.is_some_and(|age| age > limits::HAPPY_LOST_FILES_KEPT)
        };
        if rows.contains(&name) || !(name.contains(PARTIAL) || is_lost()) {
            continue;
        }
        match fs::remove_file(file.path()) {
            Ok(()) => log::info!("event=happy_file_tidied"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::warn!("event=happy_file_not_tidied name={name:?} error={error}"),
        }
    }
    // Only empty ones go.
    let _ = fs::remove_dir(&attachments);
    let _ = fs::remove_dir(folder);
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_that_is_taken_stays_in_the_folder(name in "[a-z./~\\\\ %-]{0,12}") {
            let path = Path::new("/d").join(&name);
            if is_name(&name) {
                prop_assert_eq!(path.parent(), Some(Path::new("/d")));
                prop_assert_eq!(path.file_name().and_then(|last| last.to_str()), Some(&*name));
                prop_assert!(!name.contains(PARTIAL));
            }
        }
    }

    fn keep(place: &Place) {
        let ready = write(&place.folder, place.path(), b"x").expect("written");
        assert!(!place.path().exists());
        ready.take_place().expect("in its place");
    }

    #[test]
    fn what_has_no_row_goes_and_what_has_one_stays() {
        let home = tempfile::tempdir().expect("a folder");
        let files = Files::new(home.path());
        for (session, name) in [("s", "kept.enc"), ("s", "lost.enc"), ("t", "lost.enc")] {
            let place = files.attachment(session, name);
            keep(&place);
        }
        let long_ago = std::time::SystemTime::now() - 2 * limits::HAPPY_LOST_FILES_KEPT;
        for (session, name) in [("s", "lost.enc"), ("t", "lost.enc")] {
            let path = files.attachment(session, name).path();
            let file = File::options().write(true).open(path).expect("a file");
            file.set_modified(long_ago).expect("a time");
        }
        let newer = files.attachment("s", "of-a-newer-database.enc");
        keep(&newer);
        fs::write(files.folder.join("stray"), b"no folder").expect("written");
        tidy(&files.folder.join("stray"), &BTreeSet::new()).expect("passed over");
        let kept = files.attachment("s", "kept.enc").path();
        fs::write(kept.with_extension("enc~0"), b"half").expect("written");
        let rows = BTreeSet::from(["kept.enc".to_owned()]);
        tidy(&files.folder.join("s"), &rows).expect("tidied");
        tidy(&files.folder.join("t"), &BTreeSet::new()).expect("tidied");
        let there = entries(&files.folder.join("s/attachments")).expect("a folder");
        assert_eq!(there.len(), 2);
        assert!(newer.path().exists());
        assert_eq!(fs::read(&kept).expect("the one"), b"x");
        assert!(!files.folder.join("t").exists());
    }
}
