//! What the transcriber was given, kept for some days where that is wanted.
//!
//! Off unless `AUDIO_KEEP_DAYS` says otherwise. Files appear whole under their name, are readable
//! by the box alone, and go by age and when all of them together grow too large.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::audio::{SPEECH_RATE_HZ, wav};
use crate::clock::{Clock, UnixMillis};
use crate::limits::RECORDINGS_BYTES_MAX;

const FOLDER: &str = "recordings";

pub struct Recordings {
    folder: PathBuf,
    kept: Duration,
    clock: Clock,
}

impl Recordings {
    /// Removes what has become too old, everything when none are to be kept.
    pub fn start(data_dir: PathBuf, kept_days: u32, clock: Clock) -> Recordings {
        let recordings = Recordings {
            folder: data_dir.join(FOLDER),
            kept: Duration::from_secs(u64::from(kept_days) * 86_400),
            clock,
        };
        recordings.sweep();
        recordings
    }

    /// Keeps one utterance. What fails is logged: it must not cost the turn.
    pub fn keep(&self, samples: &[i16]) {
        if self.kept.is_zero() || samples.is_empty() {
            return;
        }
        self.sweep();
        if let Err(error) = self.write(samples) {
            log::warn!(
                "event=recording_not_kept folder={} error={error}",
                self.folder.display()
            );
        }
    }

    fn write(&self, samples: &[i16]) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let name = self.clock.wall().rfc3339().replace([':', '.'], "-");
        let path = self.folder.join(format!("{name}.wav"));
        let unfinished = path.with_extension("part");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&wav::encode(samples, SPEECH_RATE_HZ))?;
        fs::rename(unfinished, path)
    }

    /// Age goes by the file's own time, since a name may come from a wrong clock as well.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let now = self.clock.wall();
        let mut files: Vec<(UnixMillis, u64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
                let written = meta.modified().ok()?;
                let at = written.duration_since(std::time::UNIX_EPOCH).ok()?;
                Some((UnixMillis(at.as_millis() as i64), meta.len(), entry.path()))
            })
            .collect();
        files.sort_by_key(|(at, _, _)| std::cmp::Reverse(*at));
        let mut bytes = 0;
        for (at, size, path) in files {
            bytes += size;
            let age_ms = now.0.saturating_sub(at.0);
            let old = age_ms >= self.kept.as_millis() as i64;
            if old || bytes > RECORDINGS_BYTES_MAX {
                remove(&path);
            }
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        log::warn!(
            "event=recording_not_removed path={} error={error}",
            path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(folder: &Path) -> usize {
        fs::read_dir(folder.join(FOLDER)).map_or(0, Iterator::count)
    }

    #[test]
    fn recordings_are_kept_only_where_that_is_wanted_and_only_so_long() {
        let data = tempfile::tempdir().expect("a folder");
        let at = |days| Recordings::start(data.path().to_path_buf(), days, Clock::system());
        at(0).keep(&[1; 1_000]);
        assert_eq!(count(data.path()), 0);
        at(7).keep(&[1; 1_000]);
        assert_eq!(count(data.path()), 1);
        at(7);
        assert_eq!(
            count(data.path()),
            1,
            "a restart removes nothing that is young"
        );
        at(0);
        assert_eq!(count(data.path()), 0, "switched off, the old ones go");
    }
}
