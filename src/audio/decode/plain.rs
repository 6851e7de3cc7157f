//! Sound that is no more than samples in a row, WAV and raw PCM: decoded where it arrives.

use std::time::Duration;

use super::{DecodeError, Sound, SoundFormat};
use crate::audio::wav::{self, Start, WavError};

/// A header longer than this has no sound behind it.
const HEAD_BYTES_MAX: usize = 64 * 1024;

pub(super) enum Plain {
    Wav {
        head: Vec<u8>,
    },
    WavSamples {
        start: Start,
        /// Still to come; `None`: until the stream ends.
        left: Option<usize>,
        rest: Vec<u8>,
    },
    Pcm {
        rest: Vec<u8>,
    },
}

impl Plain {
    /// `None` for what has to be decompressed.
    pub fn of(format: SoundFormat) -> Option<Plain> {
        match format {
            SoundFormat::Wav => Some(Plain::Wav { head: Vec::new() }),
            SoundFormat::Pcm => Some(Plain::Pcm { rest: Vec::new() }),
            _ => None,
        }
    }

    pub fn format(&self) -> SoundFormat {
        match self {
            Plain::Pcm { .. } => SoundFormat::Pcm,
            _ => SoundFormat::Wav,
        }
    }

    /// The samples that `bytes` complete, if any.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Sound>, DecodeError> {
        match self {
            Plain::Wav { head } => {
                head.extend_from_slice(bytes);
                match wav::find_sound(head) {
                    Ok(start) => {
                        let behind = head.split_off(start.at);
                        *self = Plain::WavSamples {
                            start,
                            left: start.bytes,
                            rest: Vec::new(),
                        };
                        self.push(&behind)
                    }
                    Err(WavError::Incomplete(_)) if head.len() < HEAD_BYTES_MAX => Ok(None),
                    Err(error) => Err(DecodeError::of_wav(error)),
                }
            }
            Plain::WavSamples { start, left, rest } => {
                let bytes = &bytes[..left.unwrap_or(bytes.len()).min(bytes.len())];
                if let Some(left) = left {
                    *left -= bytes.len();
                }
                let whole = whole_frames(rest, bytes, start.format.frame_bytes());
                Ok(sound(start.format.mix(&whole), start.format.rate_hz))
            }
            Plain::Pcm { rest } => {
                let whole = whole_frames(rest, bytes, 2);
                let (pairs, _) = whole.as_chunks::<2>();
                let samples = pairs.iter().map(|pair| i16::from_le_bytes(*pair));
                Ok(sound(samples.collect(), SoundFormat::PCM_RATE_HZ))
            }
        }
    }

    /// Nothing more comes.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self {
            Plain::Wav { head } => wav::decode(head, Duration::MAX)
                .map(drop)
                .map_err(DecodeError::of_wav),
            _ => Ok(()),
        }
    }
}

/// Takes whole frames out of what was left over and what came; keeps the new rest.
fn whole_frames(rest: &mut Vec<u8>, bytes: &[u8], frame_bytes: usize) -> Vec<u8> {
    let mut all = std::mem::take(rest);
    all.extend_from_slice(bytes);
    *rest = all.split_off(all.len() - all.len() % frame_bytes);
    all
}

fn sound(samples: Vec<i16>, rate_hz: u32) -> Option<Sound> {
    (!samples.is_empty()).then_some(Sound { samples, rate_hz })
}
