//! Copies of everything the box keeps, and the way back.
//!
//! A backup is one zip: the database through SQLite's online copy, the recordings and attached
//! files, and a list with the hash of each. It counts once it was opened again and every hash agreed. A restore
//! verifies before it touches anything, keeps what was there aside, and is safe against a power
//! cut at any moment. Neither the certificate authority's key nor the one that seals secrets is ever
//! in a copy; the one that signs Happy's tokens lies in the database and is.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Clock, UnixMillis};
use crate::config::Config;
use crate::server::HttpError;
use crate::server::upload::on_thread;
use crate::store::{Store, StoreError};

pub(super) mod api;
mod elsewhere;
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
    /// `BACKUP_COPY_DIR`.
    pub elsewhere: Option<PathBuf>,
}

/// Clones share the room's one backup at a time.
#[derive(Clone)]
pub struct Backups(Rc<Inner>);

struct Inner {
    parts: BackupParts,
    under_way: Cell<bool>,
    /// A share may hang for as long as it likes; it holds up no backup.
    is_copying: Cell<bool>,
    restart: Notify,
}

/// Of the one backup or restore that is under way, until dropped.
struct Turn(Rc<Inner>);

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
const HOUR_MS: i64 = 3_600_000;
/// A box that was off at night catches up once it has run for a while.
const OVERDUE_MS: i64 = 36 * HOUR_MS;
const CATCH_UP_AFTER: Duration = Duration::from_secs(600);

impl Backups {
    /// Makes one every night from now on, unless none are to be kept.
    pub fn start(parts: BackupParts) -> Backups {
        let backups = Backups(Rc::new(Inner {
            parts,
            under_way: Cell::new(false),
            is_copying: Cell::new(false),
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

    /// Makes one now; its path once it has been checked. Goes on to its end when whoever asked
    /// goes away.
    pub async fn make(&self) -> Result<file::Made, BackupError> {
        let (turn, backups) = (self.turn()?, self.clone());
        let making = tokio::task::spawn_local(async move {
            let made = backups.make_alone().await;
            drop(turn);
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
        });
        let ended = |_| Err(BackupError::File("the box is stopping".into()));
        making.await.unwrap_or_else(ended)
    }

    /// Copies to `BACKUP_COPY_DIR` what it lacks; goes on when whoever asked goes away. `None`:
    /// none is set. The error is for people.
    pub async fn copy_elsewhere(&self) -> Option<Result<usize, String>> {
        let parts = &self.0.parts;
        let (from, to) = (parts.folder.clone(), parts.elsewhere.clone()?);
        if self.0.is_copying.replace(true) {
            return Some(Err(String::from("an earlier copy is still under way")));
        }
        let (keep_days, now) = (parts.keep_days, parts.clock.wall());
        let inner = self.0.clone();
        let copying = tokio::task::spawn_local(async move {
            let shown = to.display().to_string();
            let work = move || elsewhere::copy(&from, &to, keep_days, now);
            let copied = match on_thread("backup", work).await {
                Ok(copied) => copied.map_err(|error| error.to_string()),
                Err(error) => Err(error.message.into_owned()),
            };
            inner.is_copying.set(false);
            match &copied {
                Ok(copies) => log::info!("event=backup_copied to={shown} copies={copies}"),
                Err(error) => log::error!("event=backup_not_copied to={shown} error=\"{error}\""),
            }
            copied
        });
        let ended = |_| Err(String::from("the box is stopping"));
        Some(copying.await.unwrap_or_else(ended))
    }

    /// One backup or restore at a time.
    fn turn(&self) -> Result<Turn, BackupError> {
        if self.0.under_way.replace(true) {
            return Err(BackupError::Underway);
        }
        Ok(Turn(self.0.clone()))
    }

    async fn make_alone(&self) -> Result<file::Made, BackupError> {
        let parts = &self.0.parts;
        let now = parts.clock.wall();
        let (folder, data_dir) = (parts.folder.clone(), parts.data_dir.clone());
        let copy = folder.join(file::copy_name(now));
        let unfinished = folder.clone();
        on_thread("backup", move || file::clear_unfinished(&unfinished))
            .await
            .map_err(not_written)?;
        let copied = parts.store.backup(&copy).await;
        copied.map_err(BackupError::Store)?;
        let keep = parts.keep_days;
        let packed = on_thread("backup", move || {
            let made = file::pack(&copy, &data_dir, &folder, now);
            let _ = std::fs::remove_file(&copy);
            if made.is_ok() && keep > 0 {
                file::prune(&folder, keep, now);
            }
            made
        });
        let made = packed.await.map_err(not_written)?;
        made.map_err(|error| BackupError::File(error.to_string()))
    }

    /// Looks at the card, and so on a thread.
    async fn is_due(&self, since_start: Duration) -> bool {
        let parts = &self.0.parts;
        let (folder, database) = (parts.folder.clone(), parts.store.path().to_owned());
        let now = parts.clock.wall();
        let is_up_long = since_start > CATCH_UP_AFTER;
        on_thread("backup", move || {
            is_due(&folder, &database, now, is_up_long)
        })
        .await
        .unwrap_or(false)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.under_way.set(false);
    }
}

fn not_written(error: HttpError) -> BackupError {
    BackupError::File(error.message.into_owned())
}

/// Whether `magpie backup --due` has something to do: nothing newer than an hour, and something
/// changed since the newest.
pub fn is_wanted(folder: &Path, database: &Path, now: UnixMillis) -> bool {
    let kept = file::list(folder);
    let newest = kept.iter().rev().find(|kept| kept.made_at.0 <= now.0);
    newest.is_none_or(|newest| {
        now.0 - newest.made_at.0 > HOUR_MS && file::changed_since(database, newest.made_at)
    })
}

/// One from the future, made while the clock was wrong, does not count.
fn is_due(folder: &Path, database: &Path, now: UnixMillis, is_up_long: bool) -> bool {
    let kept = file::list(folder);
    let newest = kept.iter().rev().find(|kept| kept.made_at.0 <= now.0);
    let Some(newest) = newest else {
        return is_the_hour(now) || is_up_long;
    };
    if !file::changed_since(database, newest.made_at) {
        return false;
    }
    let age = now.0 - newest.made_at.0;
    (is_the_hour(now) && age > HOUR_MS) || (is_up_long && age > OVERDUE_MS)
}

async fn nightly(inner: std::rc::Weak<Inner>) {
    let started = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(inner) = inner.upgrade() else { return };
        let backups = Backups(inner);
        if !backups.is_due(started.elapsed()).await {
            continue;
        }
        match backups.make().await {
            // Told in the log; the next night copies it too.
            Ok(_) => drop(backups.copy_elsewhere().await),
            Err(error) => {
                log::error!("event=nightly_backup_failed error=\"{error}\"");
                tokio::time::sleep(LOOK * 30).await;
            }
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

/// `BACKUP_DIR`, by default in the data folder.
pub fn folder(config: &Config) -> PathBuf {
    let default = || config.data_dir().join("backups");
    config.path("BACKUP_DIR").unwrap_or_else(default)
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

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * HOUR_MS;

    /// Noon of the box, and so not the hour of backups.
    fn days_after(days: i64) -> UnixMillis {
        let zone = jiff::tz::TimeZone::system();
        let noon = jiff::civil::date(2026, 11, 25).at(12, 0, 0, 0);
        let noon = noon.to_zoned(zone).unwrap().timestamp().as_millisecond();
        UnixMillis(noon + days * DAY_MS)
    }

    fn with_backups(days: &[i64]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for day in days {
            let name = format!("magpie-{}.zip", file::stamp(days_after(*day)));
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        std::fs::write(folder.path().join("box.db"), b"").unwrap();
        let changed = std::time::UNIX_EPOCH + Duration::from_millis(days_after(9).0 as u64);
        let database = std::fs::File::options()
            .write(true)
            .open(folder.path().join("box.db"))
            .unwrap();
        database.set_modified(changed).unwrap();
        folder
    }

    fn due(backups: &[i64], day: i64, is_up_long: bool) -> bool {
        let folder = with_backups(backups);
        let database = folder.path().join("box.db");
        is_due(folder.path(), &database, days_after(day), is_up_long)
    }

    #[test]
    fn a_box_that_is_off_at_night_catches_up_once_it_runs_for_a_while() {
        assert!(due(&[], 0, true) && !due(&[], 0, false));
        assert!(due(&[0], 2, true) && !due(&[0], 2, false));
        assert!(!due(&[0, 1], 2, true), "one of a day ago is enough by day");
    }

    #[test]
    fn at_the_hour_one_is_made_unless_nothing_changed() {
        let at_two = UnixMillis(days_after(2).0 - 10 * HOUR_MS);
        let folder = with_backups(&[0]);
        let database = folder.path().join("box.db");
        assert!(is_due(folder.path(), &database, at_two, false));
        let unchanged = std::time::UNIX_EPOCH + Duration::from_millis(days_after(-1).0 as u64);
        let file = std::fs::File::options()
            .write(true)
            .open(&database)
            .unwrap();
        file.set_modified(unchanged).unwrap();
        assert!(!is_due(folder.path(), &database, at_two, true));
    }

    #[test]
    fn a_timer_beside_the_box_makes_no_second_one_in_an_hour() {
        let folder = with_backups(&[0]);
        let database = folder.path().join("box.db");
        let wanted = |now| is_wanted(folder.path(), &database, now);
        assert!(!wanted(UnixMillis(days_after(0).0 + HOUR_MS / 2)));
        assert!(wanted(UnixMillis(days_after(0).0 + 2 * HOUR_MS)));
        std::fs::remove_file(&database).unwrap();
        assert!(!wanted(days_after(1)), "nothing changed");
    }

    #[test]
    fn one_from_the_future_stands_in_no_others_way() {
        assert!(due(&[0, 400], 2, true));
    }
}
