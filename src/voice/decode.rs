//! Sound that clients hand in whole, of any kind, into samples at the speech rate.
//!
//! Small WAV is decoded on the loop, everything else on a thread; the number of those, and the
//! samples that wait for an engine together, are bounded.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::dialogue::VoiceError;
use super::providers::{EncodedSound, Sound};
use crate::audio::decode::{DecodeError as SoundError, SoundFormat, speech_of};
use crate::limits::{
    DECODE_ON_LOOP_BYTES_MAX, DECODE_STACK_BYTES, DECODED_BYTES_MAX, DECODES_MAX, NOTE_MAX,
};
use crate::server::{HttpError, StatusCode};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No valid base64.
    Base64,
    Sound(SoundError),
    /// Others are being decoded.
    Busy,
}

/// Sound as it came in.
pub struct Source {
    coded: Coded,
    /// What the sender calls it.
    claimed: Option<SoundFormat>,
}

enum Coded {
    Bytes(Bytes),
    Base64(String),
}

/// Sound as it came in, and what is to be heard in it.
pub struct Decoded {
    pub samples: Vec<i16>,
    pub bytes: Bytes,
    pub format: SoundFormat,
    /// For as long as the samples are anywhere.
    weight: Option<Weight>,
}

impl Decoded {
    /// For an engine, with the bytes as they came where they are fit to be passed on; keep this one
    /// for as long.
    pub fn sound(&mut self) -> Sound {
        Sound {
            encoded: self.sound_as_sent(),
            ..Sound::new(std::mem::take(&mut self.samples))
        }
    }

    /// For whoever takes the samples away.
    pub fn weight(&mut self) -> Option<Weight> {
        self.weight.take()
    }

    /// The bytes as they came, where they are fit to be passed on.
    pub fn sound_as_sent(&self) -> Option<EncodedSound> {
        self.is_whole().then(|| (self.bytes.clone(), self.format))
    }

    /// Samples that were streamed into a WAV, or cut off, are read here but not everywhere.
    fn is_whole(&self) -> bool {
        let told = self.bytes.get(4..8).map(|told| {
            let told: [u8; 4] = told.try_into().unwrap_or_default();
            u64::from(u32::from_le_bytes(told))
        });
        self.format != SoundFormat::Wav || told == Some(self.bytes.len() as u64 - 8)
    }
}

impl Source {
    pub fn bytes(bytes: impl Into<Bytes>, claimed: Option<SoundFormat>) -> Source {
        Source {
            coded: Coded::Bytes(bytes.into()),
            claimed,
        }
    }

    /// Base64, also as a `data:` URL.
    pub fn base64(text: String) -> Source {
        let url = text
            .strip_prefix("data:")
            .and_then(|rest| rest.split_once(";base64,"));
        let (claimed, text) = match url {
            Some((claimed, data)) => (SoundFormat::of_type(claimed), data.to_string()),
            None => (None, text),
        };
        Source {
            coded: Coded::Base64(text),
            claimed,
        }
    }

    fn is_light(&self) -> bool {
        match &self.coded {
            Coded::Bytes(bytes) => {
                bytes.len() <= DECODE_ON_LOOP_BYTES_MAX
                    && matches!(SoundFormat::sniff(bytes), Some(SoundFormat::Wav) | None)
            }
            // Its first letters are the mark of a WAV.
            Coded::Base64(text) => {
                text.len() <= DECODE_ON_LOOP_BYTES_MAX && text.trim_start().starts_with("UklGR")
            }
        }
    }
}

/// Mono samples at the speech rate, and the sound as it was.
pub async fn decode(source: Source) -> Result<Decoded, DecodeError> {
    if source.is_light() {
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
        .stack_size(DECODE_STACK_BYTES);
    thread.spawn(work).map_err(|_| DecodeError::Busy)?;
    decoded.await.map_err(|_| DecodeError::Busy)?
}

fn decode_here(source: Source) -> Result<Decoded, DecodeError> {
    let bytes = match source.coded {
        Coded::Bytes(bytes) => bytes,
        Coded::Base64(text) => read_base64(text)?.into(),
    };
    let claimed = source.claimed;
    let samples = speech_of(&bytes, claimed, NOTE_MAX).map_err(DecodeError::Sound)?;
    let weight = Weight::take(&DECODED_BYTES, samples.len() * 2).ok_or(DecodeError::Busy)?;
    Ok(Decoded {
        format: SoundFormat::sniff(&bytes)
            .or(claimed)
            .unwrap_or(SoundFormat::Pcm),
        samples,
        bytes,
        weight: Some(weight),
    })
}

/// The standard alphabet; line breaks are read over, and the padding may be left out.
pub fn read_base64(mut text: String) -> Result<Vec<u8>, DecodeError> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &ALPHABET,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    text.retain(|c| !c.is_ascii_whitespace());
    LENIENT.decode(text).map_err(|_| DecodeError::Base64)
}

static DECODING: AtomicUsize = AtomicUsize::new(0);
static DECODED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Held by the thread at work, whether or not anybody still waits for it.
struct Place;

impl Place {
    fn take() -> Option<Place> {
        let enter = |busy: usize| (busy < DECODES_MAX).then_some(busy + 1);
        // What is refused must not exist even for a moment: its end would give back a place.
        DECODING
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter)
            .ok()
            .map(|_| Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        DECODING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// So many bytes of samples, of all that wait together. Goes along with them.
#[derive(Debug)]
pub struct Weight {
    of: &'static AtomicUsize,
    bytes: usize,
}

impl Weight {
    fn take(of: &'static AtomicUsize, bytes: usize) -> Option<Weight> {
        let enter = |held: usize| (held + bytes <= DECODED_BYTES_MAX).then_some(held + bytes);
        of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter)
            .ok()
            .map(|_| Weight { of, bytes })
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DecodeError::Base64 => f.write_str("the sound is not valid base64"),
            DecodeError::Sound(error) => error.fmt(f),
            DecodeError::Busy => SoundError::Busy.fmt(f),
        }
    }
}

impl From<DecodeError> for HttpError {
    fn from(error: DecodeError) -> HttpError {
        let message = error.to_string();
        let new = |status, code| HttpError::new(status, code, message.clone());
        match error {
            DecodeError::Base64 => HttpError::invalid(format!("audio: {message}")),
            DecodeError::Sound(SoundError::TooLong { .. }) => {
                new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE")
            }
            DecodeError::Busy | DecodeError::Sound(SoundError::Busy) => HttpError::busy(message, 1),
            DecodeError::Sound(_) => new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_AUDIO"),
        }
    }
}

impl From<DecodeError> for VoiceError {
    fn from(error: DecodeError) -> VoiceError {
        VoiceError::Invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::wav;

    fn run(source: Source) -> Result<Decoded, DecodeError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(decode(source))
    }

    #[test]
    fn base64_comes_with_line_breaks_without_padding_and_as_a_url() {
        let wav = wav::encode(&[1, 2, 3, 4], 16_000);
        let text = base64::engine::general_purpose::STANDARD.encode(&wav);
        let broken = format!("{}\r\n{}", &text[..20], &text[20..]);
        let bare = text.trim_end_matches('=').to_string();
        for given in [
            text.clone(),
            broken,
            bare,
            format!("data:audio/mpeg;base64,{text}"),
        ] {
            let decoded = run(Source::base64(given)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(decoded.samples, [1, 2, 3, 4]);
            assert_eq!(
                (decoded.format, &decoded.bytes[..]),
                (SoundFormat::Wav, &wav[..])
            );
        }
        assert_eq!(
            run(Source::base64("not base64!".into())).err(),
            Some(DecodeError::Base64)
        );
    }

    #[test]
    fn what_is_held_together_is_bounded_and_given_back() {
        // One of its own: other tests decode meanwhile.
        static HELD: AtomicUsize = AtomicUsize::new(0);
        let half = DECODED_BYTES_MAX / 2;
        for _ in 0..4 {
            let first = Weight::take(&HELD, half).expect("room");
            assert!(Weight::take(&HELD, half + 2).is_none());
            drop(first);
        }
        assert!(Weight::take(&HELD, half + 2).is_some());
    }
}
