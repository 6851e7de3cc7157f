//! Sound that clients hand in whole: WAV into samples at the speech rate, off the loop when large.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::oneshot;

use crate::audio::wav::{self, WavError};
use crate::limits::{DECODE_ON_LOOP_BYTES_MAX, DECODES_MAX, NOTE_MAX, THREAD_STACK_BYTES};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No valid base64.
    Base64,
    /// No WAV, or a kind of it that is not understood.
    Unsupported(String),
    TooLong(Duration),
    /// Others are being decoded.
    Busy,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DecodeError::Base64 => f.write_str("the sound is not valid base64"),
            DecodeError::Unsupported(what) => {
                write!(
                    f,
                    "only WAV is understood ({what}); send PCM of 16 bits as WAV"
                )
            }
            DecodeError::TooLong(max) => write!(f, "the sound is longer than {} s", max.as_secs()),
            DecodeError::Busy => f.write_str("other sound is being decoded; try again in a moment"),
        }
    }
}

/// Sound as it came in.
pub enum Source {
    Wav(Vec<u8>),
    Base64(String),
}

static DECODING: AtomicUsize = AtomicUsize::new(0);

/// Mono samples at the speech rate.
pub async fn decode(source: Source) -> Result<Vec<i16>, DecodeError> {
    let bytes = match &source {
        Source::Wav(bytes) => bytes.len(),
        Source::Base64(text) => text.len(),
    };
    if bytes <= DECODE_ON_LOOP_BYTES_MAX {
        return decode_here(source);
    }
    let place = Place::take().ok_or(DecodeError::Busy)?;
    let (sender, decoded) = oneshot::channel();
    let work = move || {
        let _place = place;
        let _ = sender.send(decode_here(source));
    };
    let thread = std::thread::Builder::new()
        .name(String::from("decode"))
        .stack_size(THREAD_STACK_BYTES);
    thread.spawn(work).map_err(|_| DecodeError::Busy)?;
    decoded.await.map_err(|_| DecodeError::Busy)?
}

/// Held by the thread at work, whether or not anybody still waits for it.
struct Place;

impl Place {
    fn take() -> Option<Place> {
        let enter = |busy: usize| (busy < DECODES_MAX).then_some(busy + 1);
        let entered = DECODING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter);
        entered.is_ok().then(|| Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        DECODING.fetch_sub(1, Ordering::Relaxed);
    }
}

fn decode_here(source: Source) -> Result<Vec<i16>, DecodeError> {
    let bytes = match source {
        Source::Wav(bytes) => bytes,
        Source::Base64(text) => STANDARD
            .decode(text.trim().as_bytes())
            .map_err(|_| DecodeError::Base64)?,
    };
    wav::decode_speech(&bytes, NOTE_MAX).map_err(|error| match error {
        WavError::TooLong { max } => DecodeError::TooLong(max),
        other => DecodeError::Unsupported(other.to_string()),
    })
}
