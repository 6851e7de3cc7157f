//! Copies of the backups on another disk: a mounted share, a stick.
//!
//! What fails to be copied, since the share was away, is copied after the next backup. A folder on
//! the same disk is refused: it is what an unmounted share looks like, and no second disk.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::file::{self, Kept};
use crate::clock::UnixMillis;

/// Copies each backup of `from` that `to` lacks, the newest first, and reads it again there;
/// removes what is older than `keep_days` unless that is 0. The number of new copies.
pub fn copy(from: &Path, to: &Path, keep_days: u32, now: UnixMillis) -> io::Result<usize> {
    let about = fs::metadata(to)?;
    if about.dev() == fs::metadata(from)?.dev() {
        return Err(io::Error::other(
            "it lies on the same disk as the backups; is the share mounted?",
        ));
    }
    file::clear_unfinished(to);
    let there = file::list(to);
    let is_there = |kept: &Kept| {
        let same = |other: &Kept| other.name == kept.name && other.bytes == kept.bytes;
        there.iter().any(same)
    };
    let mut copied = 0;
    for kept in file::list(from).iter().rev().filter(|kept| !is_there(kept)) {
        copy_one(kept, to)?;
        copied += 1;
    }
    if keep_days > 0 {
        file::prune(to, keep_days, now);
    }
    Ok(copied)
}

fn copy_one(kept: &Kept, to: &Path) -> io::Result<()> {
    let partial = file::partial(&to.join(&kept.name));
    let done = fs::copy(&kept.path, &partial).and_then(|_| {
        File::open(&partial)?.sync_all()?;
        if file::verify(&partial)?.files != file::verify(&kept.path)?.files {
            return Err(io::Error::other("what was written is not what is read"));
        }
        fs::rename(&partial, to.join(&kept.name))?;
        // Not every network file system can sync a folder.
        let _ = File::open(to)?.sync_all();
        Ok(())
    });
    if done.is_err() {
        let _ = fs::remove_file(&partial);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    /// A data folder with backups of these ages, and a folder on another disk.
    fn with_backups(days: &[i64]) -> (tempfile::TempDir, tempfile::TempDir) {
        let (here, elsewhere) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir_in("/dev/shm"),
        );
        fs::write(here.path().join("db"), vec![7; 10_000]).unwrap();
        fs::create_dir(here.path().join("backups")).unwrap();
        for age in days {
            let at = UnixMillis(NOW.0 - age * DAY_MS);
            let (data, folder) = (here.path(), here.path().join("backups"));
            file::pack(&data.join("db"), data, &folder, at).unwrap();
        }
        (here, elsewhere.unwrap())
    }

    #[test]
    fn what_is_missing_is_copied_once_and_what_is_old_goes() {
        let (here, elsewhere) = with_backups(&[40, 1, 0]);
        let (from, to) = (here.path().join("backups"), elsewhere.path());
        assert_eq!(copy(&from, to, 0, NOW).unwrap(), 3);
        assert_eq!(copy(&from, to, 0, NOW).unwrap(), 0);
        for kept in file::list(&from) {
            assert_eq!(
                fs::read(to.join(&kept.name)).unwrap(),
                fs::read(&kept.path).unwrap()
            );
        }
        // One that was cut short is no copy.
        let newest = file::list(to).pop().unwrap();
        fs::write(&newest.path, b"half").unwrap();
        assert_eq!(copy(&from, to, 30, NOW).unwrap(), 1);
        assert_eq!(file::list(to).len(), 2);
        file::verify(&newest.path).unwrap();
    }

    #[test]
    fn an_unmounted_share_and_a_damaged_backup_are_told_and_leave_nothing() {
        let (here, elsewhere) = with_backups(&[0]);
        let from = here.path().join("backups");
        let same = here.path().join("share");
        assert!(copy(&from, &same, 30, NOW).is_err(), "not there");
        fs::create_dir(&same).unwrap();
        let error = copy(&from, &same, 30, NOW).unwrap_err().to_string();
        assert!(error.contains("mounted"), "{error}");
        let kept = file::list(&from).pop().unwrap();
        fs::write(&kept.path, b"damaged").unwrap();
        assert!(copy(&from, elsewhere.path(), 30, NOW).is_err());
        for folder in [&same, elsewhere.path()] {
            assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
        }
    }
}
