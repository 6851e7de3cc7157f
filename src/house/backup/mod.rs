//! Copies of everything the box keeps, and the way back.
//!
//! A backup is one zip: the database through SQLite's online copy, the recordings, and a list
//! with the hash of each. It counts once it was opened again and every hash agreed. A restore
//! verifies before it touches anything, keeps what was there aside, and is safe against a power
//! cut at any moment. Keys stay where they are: neither the certificate authority's nor the one
//! that seals secrets is ever in a copy.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Clock, UnixMillis};
use crate::store::{Store, StoreError};

pub(super) mod api;
pub mod file;
pub mod restore;

/// What the wiring hands over.
pub struct BackupParts {
    pub store: Store,
    pub clock: Clock,
    pub data_dir: PathBuf,
    /// `BACKUP_DIR`.
    pub folder: PathBuf,
    /// `BACKUP_KEEP_DAYS`; 0: none are made by themselves.
    pub keep_days: u32,
}

/// Clones share the room's one backup at a time.
#[derive(Clone)]
pub struct Backups(Rc<Inner>);

struct Inner {
    parts: BackupParts,
    under_way: Cell<bool>,
    restart: Notify,
}

/// Why there is no backup.
#[derive(Debug)]
pub enum BackupError {
    Underway,
    Store(StoreError),
    File(String),
}

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(60);
const HOUR: i8 = 2;
/// A box that was off at night catches up once it has run for a while.
const OVERDUE_MS: i64 = 36 * 3_600_000;
const CATCH_UP_AFTER: Duration = Duration::from_secs(600);

impl Backups {
    /// Makes one every night from now on, unless none are to be kept.
    pub fn start(parts: BackupParts) -> Backups {
        let backups = Backups(Rc::new(Inner {
            parts,
            under_way: Cell::new(false),
            restart: Notify::new(),
        }));
        if backups.0.parts.keep_days > 0 {
            tokio::task::spawn_local(nightly(Rc::downgrade(&backups.0)));
        }
        backups
    }

    /// Resolves when a restore waits for the next start.
    pub async fn restart_asked(&self) {
        self.0.restart.notified().await;
    }

    /// Makes one now; its path once it has been checked.
    pub async fn make(&self) -> Result<file::Made, BackupError> {
        if self.0.under_way.replace(true) {
            return Err(BackupError::Underway);
        }
        let made = self.make_alone().await;
        self.0.under_way.set(false);
        match &made {
            Ok(made) => log::info!(
                "event=backup_made file={} bytes={} files={}",
                made.path.display(),
                made.bytes,
                made.files
            ),
            Err(error) => log::error!("event=backup_failed error=\"{error}\""),
        }
        made
    }

    async fn make_alone(&self) -> Result<file::Made, BackupError> {
        let parts = &self.0.parts;
        let now = parts.clock.wall();
        let copy = parts.folder.join(format!("{}.copy", file::stamp(now)));
        parts
            .store
            .backup(&copy)
            .await
            .map_err(BackupError::Store)?;
        let (folder, data_dir, keep) = (
            parts.folder.clone(),
            parts.data_dir.clone(),
            parts.keep_days,
        );
        let packed = crate::server::upload::on_thread("backup", move || {
            let made = file::pack(&copy, &data_dir, &folder, now);
            let _ = std::fs::remove_file(&copy);
            if made.is_ok() && keep > 0 {
                file::prune(&folder, keep, now);
            }
            made
        });
        match packed.await {
            Ok(made) => made.map_err(|error| BackupError::File(error.to_string())),
            Err(error) => Err(BackupError::File(error.message.into_owned())),
        }
    }

    fn is_due(&self, since_start: Duration) -> bool {
        let parts = &self.0.parts;
        let now = parts.clock.wall();
        let newest = file::list(&parts.folder).pop();
        let Some(newest) = newest else {
            return is_the_hour(now);
        };
        if !file::changed_since(parts.store.path(), newest.made_at) {
            return false;
        }
        let age = now.0 - newest.made_at.0;
        (is_the_hour(now) && age > 3_600_000) || (age > OVERDUE_MS && since_start > CATCH_UP_AFTER)
    }
}

async fn nightly(inner: std::rc::Weak<Inner>) {
    let started = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(inner) = inner.upgrade() else { return };
        let backups = Backups(inner);
        if backups.is_due(started.elapsed())
            && let Err(error) = backups.make().await
        {
            log::error!("event=nightly_backup_failed error=\"{error}\"");
            tokio::time::sleep(LOOK * 30).await;
        }
    }
}

/// Two o'clock by the box's own time zone.
fn is_the_hour(now: UnixMillis) -> bool {
    let Ok(time) = jiff::Timestamp::from_millisecond(now.0) else {
        return false;
    };
    time.to_zoned(jiff::tz::TimeZone::system()).hour() == HOUR
}

/// Where backups go when `BACKUP_DIR` is not set.
pub fn default_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("backups")
}

impl std::fmt::Display for BackupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BackupError::Underway => f.write_str("A backup or restore is under way; wait for it."),
            BackupError::Store(error) => write!(f, "The database could not be copied: {error}"),
            BackupError::File(why) => write!(f, "The backup could not be written: {why}"),
        }
    }
}
