//! Compressed recordings that are too long for memory, as a WAV for as long as they are worked on.
//!
//! The WAV is scratch beside the recording: it is never synced, goes when the work ends, and what a
//! power cut leaves of it the next start removes like every other `.part`. It leaves the card the
//! room that a recording leaves it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::late::LoadError;
use crate::audio::decode::{Sink, SoundFormat, speech_to};
use crate::audio::{SPEECH_RATE_HZ, wav};
use crate::limits::{DECODE_STACK_BYTES, DISK_FREE_BYTES_MIN, MEMO_MAX};
use crate::ops::disk;

/// Between two looks at the room on the card: a megabyte.
const LOOK_SAMPLES: u64 = 512 * 1024;

/// Removed when dropped.
pub struct Unpacked {
    pub path: PathBuf,
    pub duration: Duration,
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // What stays is removed at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Mono sound at the speech rate behind a header of ours. Dropping the future ends the work.
pub async fn unpack(packed: PathBuf, format: &str) -> Result<Unpacked, LoadError> {
    let claimed = SoundFormat::of_type(format);
    let format = format.to_owned();
    let wanted = Wanted(Arc::default());
    let gone = Arc::clone(&wanted.0);
    let (told, hear) = oneshot::channel();
    std::thread::Builder::new()
        .name(String::from("recording"))
        .stack_size(DECODE_STACK_BYTES)
        .spawn(move || {
            let _ = told.send(write(&packed, claimed, &format, gone));
        })
        .map_err(|error| LoadError::Busy(error.to_string()))?;
    hear.await
        .unwrap_or_else(|_| Err(LoadError::Busy(String::from("the thread ended"))))
}

/// Whoever waits is still there.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn write(
    packed: &Path,
    claimed: Option<SoundFormat>,
    format: &str,
    gone: Arc<AtomicBool>,
) -> Result<Unpacked, LoadError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            LoadError::Unreadable(String::from("the sound is gone from the card"))
        }
        _ => LoadError::Busy(format!("the sound cannot be unpacked: {error}")),
    };
    let bytes = fs::read(packed).map_err(unreadable)?;
    let path = packed.with_extension("part");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .map_err(unreadable)?;
    let mut unpacked = Unpacked {
        path,
        duration: Duration::ZERO,
    };
    let mut scratch = Scratch {
        file: BufWriter::new(file),
        folder: packed.parent().unwrap_or(Path::new(".")),
        samples: 0,
        looked_at: 0,
        failed: None,
        gone,
    };
    scratch.restart().map_err(unreadable)?;
    let decoded = speech_to(&bytes, claimed, MEMO_MAX, &mut scratch);
    if let Some(error) = scratch.failed.take() {
        return Err(unreadable(error));
    }
    decoded.map_err(|error| LoadError::Unreadable(format!("{error} (format {format})")))?;
    unpacked.duration = scratch.finish().map_err(unreadable)?;
    Ok(unpacked)
}

struct Scratch<'a> {
    file: BufWriter<File>,
    folder: &'a Path,
    samples: u64,
    /// Samples there were at the last look at the room.
    looked_at: u64,
    /// A card that fails is no fault of the sound.
    failed: Option<io::Error>,
    gone: Arc<AtomicBool>,
}

impl Scratch<'_> {
    fn try_take(&mut self, samples: &[i16]) -> io::Result<()> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        if self.samples >= self.looked_at + LOOK_SAMPLES {
            self.looked_at = self.samples;
            self.check_room()?;
        }
        for sample in samples {
            self.file.write_all(&sample.to_le_bytes())?;
        }
        self.samples += samples.len() as u64;
        Ok(())
    }

    fn check_room(&self) -> io::Result<()> {
        match disk::free(self.folder) {
            Some(free) if free < DISK_FREE_BYTES_MIN => Err(io::Error::other(format!(
                "the card has less than {} MB left; make room",
                DISK_FREE_BYTES_MIN / (1024 * 1024)
            ))),
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> io::Result<Duration> {
        self.file.flush()?;
        let data = u32::try_from(self.samples * 2).unwrap_or(u32::MAX - 1);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&wav::header(data, SPEECH_RATE_HZ))?;
        self.file.flush()?;
        Ok(Duration::from_millis(
            self.samples * 1_000 / u64::from(SPEECH_RATE_HZ),
        ))
    }
}

impl Sink for Scratch<'_> {
    fn take(&mut self, samples: &[i16]) -> io::Result<()> {
        self.try_take(samples).map_err(|error| {
            let told = io::Error::new(error.kind(), error.to_string());
            self.failed = Some(error);
            told
        })
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.get_ref().set_len(0)?;
        (self.samples, self.looked_at) = (0, 0);
        self.file.write_all(&wav::header(0, SPEECH_RATE_HZ))
    }
}
