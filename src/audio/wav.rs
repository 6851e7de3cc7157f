//! WAV: reads what programs and phones make of it, writes the plainest form.
//!
//! Promises for reading: any bytes give samples or an error, never a panic; memory stays under the
//! caller's duration limit whatever a header claims; a data chunk that is cut short or whose length
//! was never filled in is taken as far as it goes.

use std::fmt;
use std::time::Duration;

use super::SPEECH_RATE_HZ;
use super::resample::resample;

/// What [`encode`] puts before the samples.
pub const HEADER_BYTES: usize = 44;
const RATE_HZ_MIN: u32 = 4_000;
const RATE_HZ_MAX: u32 = 192_000;
const CHANNELS_MAX: u16 = 8;
/// Chunks looked at before the sound; a file with more is not a recording.
const CHUNKS_MAX: usize = 64;

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xFFFE;

/// Mono sound of any rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    pub samples: Vec<i16>,
    pub rate_hz: u32,
}

impl Sound {
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(self.rate_hz.max(1)))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WavError {
    /// No RIFF/WAVE at all.
    NotWav,
    /// WAVE without `fmt ` before `data`, or without `data`.
    Incomplete(&'static str),
    /// Another coding, rate or number of channels.
    Unsupported(String),
    TooLong {
        max: Duration,
    },
}

/// How the samples of a file lie in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    coding: Coding,
    channels: usize,
    pub(super) rate_hz: u32,
    sample_bytes: usize,
}

/// Where the sound of a file begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) format: Format,
    pub(super) at: usize,
    /// `None` when the writer could not know it.
    pub(super) bytes: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Integer,
    Float,
}

/// Any supported WAV as mono 16 kHz of at most `max`.
pub fn decode_speech(bytes: &[u8], max: Duration) -> Result<Vec<i16>, WavError> {
    let sound = decode(bytes, max)?;
    Ok(if sound.rate_hz == SPEECH_RATE_HZ {
        sound.samples
    } else {
        resample(&sound.samples, sound.rate_hz, SPEECH_RATE_HZ)
    })
}

/// PCM of 8, 16, 24 or 32 bits or float of 32 or 64, up to 8 channels mixed to one, at its own rate.
pub fn decode(bytes: &[u8], max: Duration) -> Result<Sound, WavError> {
    let start = find_sound(bytes)?;
    let format = start.format;
    let body = &bytes[start.at..];
    let data = &body[..start.bytes.unwrap_or(body.len()).min(body.len())];
    let frames = data.len() / format.frame_bytes();
    if frames as u128 * 1000 > max.as_millis() * u128::from(format.rate_hz) {
        return Err(WavError::TooLong { max });
    }
    Ok(Sound {
        samples: format.mix(data),
        rate_hz: format.rate_hz,
    })
}

impl Format {
    pub(super) fn frame_bytes(&self) -> usize {
        self.sample_bytes * self.channels
    }

    /// Whole frames into mono samples; a rest is left out.
    pub(super) fn mix(&self, data: &[u8]) -> Vec<i16> {
        data.chunks_exact(self.frame_bytes())
            .map(|frame| {
                let sum: i32 = frame
                    .chunks_exact(self.sample_bytes)
                    .map(|sample| i32::from(sample_of(self.coding, sample)))
                    .sum();
                (sum / self.channels as i32) as i16
            })
            .collect()
    }
}

/// A whole file of mono samples.
pub fn encode(samples: &[i16], rate_hz: u32) -> Vec<u8> {
    let data_bytes = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + samples.len() * 2);
    bytes.extend_from_slice(&header(data_bytes, rate_hz));
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}

/// The header of a mono 16 bit file whose sound has `data_bytes`; for a file written piece by piece,
/// with 0 at first and with the true length at the end or, after a power cut, by [`repaired_header`].
pub fn header(data_bytes: u32, rate_hz: u32) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..4].copy_from_slice(b"RIFF");
    bytes[4..8].copy_from_slice(&data_bytes.saturating_add(36).to_le_bytes());
    bytes[8..24].copy_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes[24..28].copy_from_slice(&rate_hz.to_le_bytes());
    bytes[28..32].copy_from_slice(&rate_hz.saturating_mul(2).to_le_bytes());
    bytes[32..40].copy_from_slice(b"\x02\0\x10\0data");
    bytes[40..].copy_from_slice(&data_bytes.to_le_bytes());
    bytes
}

/// The header that a file begun by [`header`] should have, from how long the file really is;
/// `None` when it is right already or was not begun so.
pub fn repaired_header(start: &[u8], file_bytes: u64) -> Option<[u8; HEADER_BYTES]> {
    let start: &[u8; HEADER_BYTES] = start.get(..HEADER_BYTES)?.try_into().ok()?;
    let rate_hz = u32_at(start, 24)?;
    let data_bytes = file_bytes.checked_sub(HEADER_BYTES as u64)? & !1;
    let right = header(u32::try_from(data_bytes).ok()?, rate_hz);
    let same_kind = start[..4] == right[..4] && start[8..40] == right[8..40];
    (same_kind && *start != right).then_some(right)
}

/// Reads up to the first sample; [`WavError::Incomplete`] when the bytes do not go so far.
pub(super) fn find_sound(bytes: &[u8]) -> Result<Start, WavError> {
    if bytes.len() < 12 || !matches!(&bytes[..4], b"RIFF" | b"RF64") || &bytes[8..12] != b"WAVE" {
        return Err(WavError::NotWav);
    }
    let mut format = None;
    let mut rest = &bytes[12..];
    for _ in 0..CHUNKS_MAX {
        let (Some(name), Some(claimed)) = (rest.get(..4), u32_at(rest, 4)) else {
            break;
        };
        let body = &rest[8..];
        let length = (claimed as usize).min(body.len());
        match name {
            b"fmt " => format = Some(read_format(&body[..length])?),
            b"data" => {
                let format =
                    format.ok_or(WavError::Incomplete("the format comes after the sound"))?;
                // A program that writes to a pipe cannot fill in the length.
                let unknown = claimed == 0 || claimed >= 0x7FFF_0000;
                return Ok(Start {
                    format,
                    at: bytes.len() - body.len(),
                    bytes: (!unknown).then_some(claimed as usize),
                });
            }
            _ => {}
        }
        // Chunks begin at even places; a cut file may lack the padding.
        let next = length + (length & 1);
        rest = body.get(next..).unwrap_or_default();
    }
    Err(WavError::Incomplete(match format {
        Some(_) => "there is no sound in it",
        None => "there is no format in it",
    }))
}

fn read_format(chunk: &[u8]) -> Result<Format, WavError> {
    let short = WavError::Incomplete("its format is cut short");
    let u16_at = |at: usize| {
        let two = chunk.get(at..at + 2)?;
        Some(u16::from_le_bytes([two[0], two[1]]))
    };
    let (Some(tag), Some(channels), Some(rate_hz), Some(bits)) =
        (u16_at(0), u16_at(2), u32_at(chunk, 4), u16_at(14))
    else {
        return Err(short);
    };
    // An extensible format has the real tag at the start of its sub-format.
    let tag = if tag == EXTENSIBLE {
        u16_at(24).ok_or(short)?
    } else {
        tag
    };
    let coding = match (tag, bits) {
        (PCM, 8 | 16 | 24 | 32) => Coding::Integer,
        (FLOAT, 32 | 64) => Coding::Float,
        _ => {
            return Err(WavError::Unsupported(format!(
                "coding {tag} of {bits} bits; send PCM of 8, 16, 24 or 32 bits or float"
            )));
        }
    };
    if !(1..=CHANNELS_MAX).contains(&channels) {
        return Err(WavError::Unsupported(format!(
            "{channels} channels; send 1 to {CHANNELS_MAX}"
        )));
    }
    if !(RATE_HZ_MIN..=RATE_HZ_MAX).contains(&rate_hz) {
        return Err(WavError::Unsupported(format!(
            "{rate_hz} Hz; send {RATE_HZ_MIN} to {RATE_HZ_MAX}"
        )));
    }
    Ok(Format {
        coding,
        channels: usize::from(channels),
        rate_hz,
        sample_bytes: usize::from(bits / 8),
    })
}

/// One sample as 16 bits; more bits are cut, as a card does. 8 bits are unsigned.
fn sample_of(coding: Coding, bytes: &[u8]) -> i16 {
    match (coding, bytes) {
        (Coding::Integer, [byte]) => (i16::from(*byte) - 128) << 8,
        (Coding::Integer, [.., low, high]) => i16::from_le_bytes([*low, *high]),
        (Coding::Float, &[a, b, c, d]) => full_scale(f64::from(f32::from_le_bytes([a, b, c, d]))),
        (Coding::Float, &[a, b, c, d, e, f, g, h]) => {
            full_scale(f64::from_le_bytes([a, b, c, d, e, f, g, h]))
        }
        _ => 0,
    }
}

/// Not a number is silence.
fn full_scale(value: f64) -> i16 {
    (value * 32_768.0).clamp(-32_768.0, 32_767.0) as i16
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

impl fmt::Display for WavError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WavError::NotWav => f.write_str("this is not a WAV file"),
            WavError::Incomplete(what) => write!(f, "the WAV file is incomplete: {what}"),
            WavError::Unsupported(what) => write!(f, "the WAV file cannot be read: {what}"),
            WavError::TooLong { max } => {
                write!(
                    f,
                    "the sound is longer than {} s; send it in parts",
                    max.as_secs()
                )
            }
        }
    }
}

impl std::error::Error for WavError {}

#[cfg(test)]
#[path = "wav_tests.rs"]
mod tests;
