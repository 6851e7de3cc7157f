//! Long sound in pieces: cut where it is quietest, so that no word is cut in two.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::audio::{FRAME_SAMPLES, SPEECH_RATE_HZ, wav};
use crate::limits::{PIECE_MAX, PIECE_MIN};

/// Quiet for this long is a place to cut.
const GAP_FRAMES: usize = 25;
const READ_SAMPLES: usize = 16 * 1_024;

/// Whether the file is mono sound at the speech rate behind a header like ours.
pub async fn is_ours(path: &Path) -> bool {
    let path = path.to_path_buf();
    let looked = super::late::off_the_loop(move || {
        let file = File::open(path)?;
        let mut start = [0; wav::HEADER_BYTES];
        file.read_exact_at(&mut start, 0)?;
        let ours = wav::header(0, SPEECH_RATE_HZ);
        Ok(start[..4] == ours[..4] && start[8..40] == ours[8..40])
    });
    looked.await.unwrap_or(false)
}

/// Cuts of a recording of ours, as sample ranges that follow each other without gap or overlap.
pub fn cuts_of_file(path: &Path) -> io::Result<Vec<(i64, i64)>> {
    let file = File::open(path)?;
    let total = samples_of(&file)?;
    let mut cuts = Vec::new();
    let mut from = 0;
    while total - from > samples_in(PIECE_MAX) {
        let quiet = quietest(
            &file,
            from + samples_in(PIECE_MIN),
            from + samples_in(PIECE_MAX),
        )?;
        cuts.push((from as i64, quiet as i64));
        from = quiet;
    }
    if total > from || cuts.is_empty() {
        cuts.push((from as i64, total as i64));
    }
    Ok(cuts)
}

/// Samples of one piece.
pub fn read_piece(path: &Path, from: i64, to: i64) -> io::Result<Vec<i16>> {
    let file = File::open(path)?;
    let total = samples_of(&file)?;
    let from = (from.max(0) as u64).min(total);
    let to = (to.max(0) as u64).clamp(from, total);
    read(&file, from, (to - from) as usize)
}

fn samples_of(file: &File) -> io::Result<u64> {
    let bytes = file.metadata()?.len();
    Ok(bytes.saturating_sub(wav::HEADER_BYTES as u64) / 2)
}

fn read(file: &File, from: u64, count: usize) -> io::Result<Vec<i16>> {
    let mut bytes = vec![0; count * 2];
    file.read_exact_at(&mut bytes, wav::HEADER_BYTES as u64 + from * 2)?;
    let (pairs, _) = bytes.as_chunks::<2>();
    Ok(pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect())
}

/// The middle of the quietest stretch between two places.
fn quietest(file: &File, from: u64, to: u64) -> io::Result<u64> {
    let mut energies = Vec::with_capacity(((to - from) as usize) / FRAME_SAMPLES);
    let mut at = from;
    while at < to {
        let count = READ_SAMPLES.min((to - at) as usize);
        let samples = read(file, at, count)?;
        let (frames, _) = samples.as_chunks::<FRAME_SAMPLES>();
        energies.extend(frames.iter().map(energy));
        at += count as u64;
    }
    Ok(from + quietest_of(&energies) * FRAME_SAMPLES as u64)
}

fn energy(frame: &[i16; FRAME_SAMPLES]) -> u64 {
    frame
        .iter()
        .map(|sample| u64::from(sample.unsigned_abs()).pow(2))
        .sum()
}

/// Frame in the middle of the quietest window; the last of equals, for the longest piece.
fn quietest_of(energies: &[u64]) -> u64 {
    let window = GAP_FRAMES.min(energies.len()).max(1);
    let mut sum: u64 = energies.iter().take(window).sum();
    let (mut best, mut least) = (0, sum);
    for end in window..energies.len() {
        sum = sum + energies[end] - energies[end - window];
        if sum <= least {
            (best, least) = (end + 1 - window, sum);
        }
    }
    (best + window / 2) as u64
}

fn samples_in(time: std::time::Duration) -> u64 {
    time.as_millis() as u64 * u64::from(SPEECH_RATE_HZ) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(seconds: usize, quiet_at: &[usize]) -> tempfile::NamedTempFile {
        let rate = SPEECH_RATE_HZ as usize;
        let samples: Vec<i16> = (0..seconds * rate)
            .map(|at| {
                let quiet = quiet_at
                    .iter()
                    .any(|s| (s * rate..s * rate + rate).contains(&at));
                if quiet {
                    0
                } else {
                    ((at * 37) % 8_000) as i16 - 4_000
                }
            })
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), wav::encode(&samples, SPEECH_RATE_HZ)).unwrap();
        file
    }

    #[test]
    fn long_sound_is_cut_in_its_silences_without_gap_or_overlap() {
        let file = file(1_500, &[300, 540, 1_070]);
        let cuts = cuts_of_file(file.path()).unwrap();
        let rate = i64::from(SPEECH_RATE_HZ);
        assert_eq!(cuts.len(), 3, "{cuts:?}");
        for (cut, quiet) in cuts.iter().zip([540, 1_070]) {
            let inside = quiet * rate..(quiet + 1) * rate;
            assert!(inside.contains(&cut.1), "{cuts:?}");
        }
        assert!(cuts.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!((cuts[0].0, cuts[2].1), (0, 1_500 * rate));
        let piece = read_piece(file.path(), cuts[1].0, cuts[1].1).unwrap();
        assert_eq!(piece.len() as i64, cuts[1].1 - cuts[1].0);
    }

    #[test]
    fn sound_without_any_silence_is_cut_all_the_same() {
        let file = file(1_300, &[]);
        let cuts = cuts_of_file(file.path()).unwrap();
        let longest = cuts.iter().map(|(from, to)| to - from).max().unwrap_or(0);
        assert!(longest <= samples_in(PIECE_MAX) as i64, "{cuts:?}");
        assert_eq!(cuts.last().unwrap().1, 1_300 * i64::from(SPEECH_RATE_HZ));
    }

    #[test]
    fn an_empty_recording_is_one_empty_piece() {
        assert_eq!(cuts_of_file(file(0, &[]).path()).unwrap(), [(0, 0)]);
    }
}
