//! Compressed sound into samples: MP3, FLAC, Ogg (Vorbis, Opus, FLAC), AAC, MP4, WebM, WAV, raw PCM.
//!
//! Two doors. [`Decoder`] takes bytes as a network gives them and has sound at the first piece that
//! can be decoded; [`speech_of`] makes a whole file into mono 16 kHz on the thread that calls it.
//! What a sound is, its bytes say ([`SoundFormat::sniff`]); what it is called only helps with words.
//!
//! Promises: any bytes give samples or a [`DecodeError`] that says what is wrong; output, work and
//! memory are bounded whatever a header claims; the loop never decodes more than plain PCM.

mod format;
mod opus;
mod plain;
mod reader;
mod stream;
mod whole;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use format::SoundFormat;
pub use stream::Decoder;
pub use whole::{Sink, speech_of, speech_to};

pub use super::wav::Sound;
use super::wav::WavError;

/// Rates and channels beyond these are no recording.
const RATE_HZ_MIN: u32 = 4_000;
const RATE_HZ_MAX: u32 = 192_000;
const CHANNELS_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A kind of sound, or no sound at all, that is not understood.
    Unsupported(String),
    /// Of a known kind, and damaged so that nothing can be heard.
    Broken {
        format: SoundFormat,
        why: String,
    },
    TooLong {
        max: Duration,
    },
    /// It keeps the decoder busy without giving sound.
    TooMuchWork {
        format: SoundFormat,
    },
    /// [`crate::limits::STREAM_DECODES_MAX`] others are being decoded.
    Busy,
}

impl DecodeError {
    fn broken(format: SoundFormat, why: impl fmt::Display) -> DecodeError {
        DecodeError::Broken {
            format,
            why: why.to_string(),
        }
    }

    fn of_wav(error: WavError) -> DecodeError {
        match error {
            WavError::TooLong { max } => DecodeError::TooLong { max },
            WavError::Unsupported(_) => DecodeError::Unsupported(error.to_string()),
            WavError::NotWav | WavError::Incomplete(_) => {
                DecodeError::broken(SoundFormat::Wav, error)
            }
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Unsupported(what) => f.write_str(what),
            DecodeError::Broken { format, why } => {
                write!(f, "the {format} sound is damaged or cut short: {why}")
            }
            DecodeError::TooLong { max } => {
                write!(
                    f,
                    "the sound is longer than {} s; send it in parts",
                    max.as_secs()
                )
            }
            DecodeError::TooMuchWork { format } => {
                write!(f, "the {format} sound is damaged: it does not end")
            }
            DecodeError::Busy => f.write_str("other sound is being decoded; try again in a moment"),
        }
    }
}

impl std::error::Error for DecodeError {}
