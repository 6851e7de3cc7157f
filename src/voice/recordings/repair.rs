//! What a power cut left of a recording: the length in its header is put right, a lost header is
//! written anew, and what never became a whole file goes. No sound is ever thrown away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::HANDED_IN;
use super::spoken::REPLY_PREFIX;
use super::writer::sync_folder;
use crate::audio::{SPEECH_RATE_HZ, wav};
use crate::clock::UnixMillis;
use crate::voice::memory::is_id;

/// A recording on disk after the repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub id: String,
    /// Its name in the folder.
    pub file: String,
    /// Sent or made in one piece: without its row nobody was told that it is here.
    pub is_handed_in: bool,
    pub bytes: u64,
    /// `None` where the format does not tell.
    pub duration: Option<Duration>,
    pub changed_at: UnixMillis,
}

/// What a torn WAV of ours needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    Whole,
    /// Write this at the start.
    Header([u8; wav::HEADER_BYTES]),
    /// There is no sound in it.
    Empty,
}

/// From the first bytes of a file of `file_bytes` in all. Pure; never panics.
pub fn repair_of(start: &[u8], file_bytes: u64) -> Repair {
    if is_foreign_wav(start) {
        return Repair::Whole;
    }
    if file_bytes < wav::HEADER_BYTES as u64 + 2 {
        return Repair::Empty;
    }
    if let Some(header) = wav::repaired_header(start, file_bytes) {
        return Repair::Header(header);
    }
    let data = (file_bytes - wav::HEADER_BYTES as u64) & !1;
    let data = u32::try_from(data).unwrap_or(u32::MAX - 1);
    let right = wav::header(data, SPEECH_RATE_HZ);
    let is_right = start.get(..wav::HEADER_BYTES) == Some(&right[..]);
    // The first sector was never written, or is not ours: the sound behind it is.
    if is_right {
        Repair::Whole
    } else {
        Repair::Header(right)
    }
}

/// Repairs every recording of the folder. What cannot be repaired is logged and left alone.
pub fn repair_folder(folder: &Path) -> Vec<Found> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        match repair_file(folder, &name) {
            Ok(Some(file)) => found.push(file),
            Ok(None) => {}
            Err(error) => log::warn!("event=recording_not_repaired file={name} error=\"{error}\""),
        }
    }
    if let Err(error) = sync_folder(folder) {
        log::warn!("event=recordings_not_synced error=\"{error}\"");
    }
    found
}

fn repair_file(folder: &Path, name: &str) -> io::Result<Option<Found>> {
    let path = folder.join(name);
    let Some((id, kind)) = name.split_once('.') else {
        return Ok(None);
    };
    if !is_id(id, "rec_") && !is_id(id, REPLY_PREFIX) {
        return Ok(None);
    }
    if kind.ends_with("part") {
        // Scratch, or half of something that is sent or brought back again.
        fs::remove_file(&path)?;
        return Ok(None);
    }
    let mut file = File::open(&path)?;
    let about = file.metadata()?;
    let mut duration = None;
    if kind.ends_with("wav") {
        let mut start = [0; wav::HEADER_BYTES];
        let length = read_up_to(&mut file, &mut start)?;
        match repair_of(&start[..length], about.len()) {
            Repair::Whole => {}
            Repair::Empty => {
                fs::remove_file(&path)?;
                return Ok(None);
            }
            Repair::Header(header) => {
                let file = OpenOptions::new().write(true).open(&path)?;
                file.write_all_at(&header, 0)?;
                file.sync_data()?;
                log::info!("event=recording_repaired file={name} bytes={}", about.len());
            }
        }
        duration = Some(length_of_wav(about.len()));
    }
    let changed = about.modified()?.duration_since(UNIX_EPOCH);
    Ok(Some(Found {
        id: id.to_string(),
        file: name.to_string(),
        is_handed_in: kind.starts_with(HANDED_IN) || id.starts_with(REPLY_PREFIX),
        bytes: about.len(),
        duration,
        changed_at: UnixMillis(changed.unwrap_or_default().as_millis() as i64),
    }))
}

/// A WAV that somebody sent: it came whole or not at all, and its header is its own.
fn is_foreign_wav(start: &[u8]) -> bool {
    let ours = wav::header(0, SPEECH_RATE_HZ);
    start.len() >= ours.len()
        && matches!(&start[..4], b"RIFF" | b"RF64")
        && &start[8..12] == b"WAVE"
        && start[12..40] != ours[12..40]
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// Of a WAV at the speech rate.
pub fn length_of_wav(file_bytes: u64) -> Duration {
    let samples = file_bytes.saturating_sub(wav::HEADER_BYTES as u64) / 2;
    Duration::from_millis(samples * 1_000 / u64::from(SPEECH_RATE_HZ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "rec_0123456789abcdef.wav";

    fn torn(length: usize, begun: bool) -> (tempfile::TempDir, Vec<i16>) {
        let samples: Vec<i16> = (0..800).map(|n| n * 3).collect();
        let mut bytes = wav::encode(&samples, SPEECH_RATE_HZ);
        if begun {
            bytes[..wav::HEADER_BYTES].copy_from_slice(&wav::header(0, SPEECH_RATE_HZ));
        }
        bytes.truncate(length);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), &bytes).unwrap();
        let whole = length.saturating_sub(wav::HEADER_BYTES) / 2;
        (folder, samples[..whole.min(800)].to_vec())
    }

    #[test]
    fn a_recording_cut_at_any_length_gives_all_the_sound_that_is_left() {
        for length in 0..wav::HEADER_BYTES + 200 {
            for begun in [true, false] {
                let (folder, samples) = torn(length, begun);
                let found = repair_folder(folder.path());
                if samples.is_empty() {
                    assert!(found.is_empty(), "{length}: {found:?}");
                    continue;
                }
                assert_eq!(found.len(), 1, "cut at {length}");
                let bytes = fs::read(folder.path().join(NAME)).unwrap();
                let sound = wav::decode(&bytes, Duration::from_secs(60));
                let kept = sound.map(|sound| sound.samples).unwrap_or_default();
                assert_eq!(kept, samples, "cut at {length}, begun {begun}");
                let again = fs::read(folder.path().join(NAME)).unwrap();
                assert!(repair_folder(folder.path()).len() == 1 && again == bytes);
            }
        }
    }

    #[test]
    fn a_lost_first_sector_costs_only_its_sound() {
        let (folder, _) = torn(1_644, true);
        let path = folder.path().join(NAME);
        let mut bytes = fs::read(&path).unwrap();
        bytes[..512].fill(0);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(repair_folder(folder.path()).len(), 1);
        let sound = wav::decode(&fs::read(&path).unwrap(), Duration::from_secs(60)).unwrap();
        assert_eq!(sound.samples.len(), 800);
        assert_eq!(sound.samples[799], 799 * 3);
    }

    /// By the fuzzer: a whole header of another rate was written over.
    #[test]
    fn a_wav_of_another_rate_is_left_as_it_is() {
        let header = wav::header(1_000, 4_096_000);
        assert_eq!(repair_of(&header, 1_044), Repair::Whole);
        assert_eq!(repair_of(&header, 32_054), Repair::Whole);
    }

    #[test]
    fn half_an_upload_goes_and_foreign_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let stereo = b"RIFF\x30\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x80\xbb\0\0\0\xee\x02\0\x04\0\x10\0data\x04\0\0\0abcd";
        fs::write(folder.path().join(NAME), stereo).unwrap();
        for half in ["rec_0123456789abcdee.part", "rec_0123456789abcdef.wav.part"] {
            fs::write(folder.path().join(half), b"half").unwrap();
        }
        fs::write(folder.path().join("notes.txt"), b"not ours").unwrap();
        assert_eq!(repair_folder(folder.path()).len(), 1);
        assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), stereo);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    proptest! {
        #[test]
        fn any_bytes_get_a_header_that_fits_their_length(
            start in proptest::collection::vec(any::<u8>(), 0..60), more in 0_u64..5_000_000_000,
        ) {
            let bytes = start.len() as u64 + more;
            match repair_of(&start, bytes) {
                Repair::Empty => prop_assert!(bytes < wav::HEADER_BYTES as u64 + 2),
                Repair::Whole => prop_assert!(start.len() >= wav::HEADER_BYTES),
                Repair::Header(header) => {
                    prop_assert_eq!(repair_of(&header, bytes), Repair::Whole);
                }
            }
        }
    }
}
