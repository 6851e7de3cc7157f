//! A whole file into speech, on the thread that calls.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use symphonia::core::io::ReadOnlySource;

use super::format::id3_bytes;
use super::reader::Reader;
use super::{DecodeError, SoundFormat};
use crate::audio::resample::{Resampler, resample};
use crate::audio::{SPEECH_RATE_HZ, wav};

/// Mono samples at the speech rate, of at most `max`. `claimed` is what the sender calls it.
/// Blocks and computes: call it off the loop.
pub fn speech_of(
    bytes: &[u8],
    claimed: Option<SoundFormat>,
    max: Duration,
) -> Result<Vec<i16>, DecodeError> {
    let format = SoundFormat::found(bytes, claimed)?;
    match format {
        SoundFormat::Wav => wav::decode_speech(bytes, max).map_err(DecodeError::of_wav),
        SoundFormat::Pcm => pcm(bytes, max),
        _ => {
            let decoded = catch_unwind(AssertUnwindSafe(|| decode(bytes, format, max)));
            decoded.unwrap_or_else(|_| Err(DecodeError::broken(format, "the decoder gave up")))
        }
    }
}

fn decode(bytes: &[u8], format: SoundFormat, max: Duration) -> Result<Vec<i16>, DecodeError> {
    let tag_bytes = id3_bytes(bytes).unwrap_or_default();
    let bytes = bytes.get(tag_bytes..).unwrap_or_default();
    let open = |source| Reader::open(format, source, SPEECH_RATE_HZ, max);
    let in_order = || open(Box::new(ReadOnlySource::new(Cursor::new(bytes)))).and_then(speech);
    if format != SoundFormat::Mp4 {
        return in_order();
    }
    // Its table of contents may stand at the end. A file that is cut short is not found whole so,
    // but what is there can be read in order.
    match open(Box::new(Cursor::new(bytes))).and_then(speech) {
        Err(error @ DecodeError::Broken { .. }) => in_order().map_err(|_| error),
        other => other,
    }
}

fn speech(mut reader: Reader<'_>) -> Result<Vec<i16>, DecodeError> {
    let mut speech = Vec::new();
    let mut resampler: Option<(u32, Resampler)> = None;
    while let Some(sound) = reader.next()? {
        if sound.rate_hz == SPEECH_RATE_HZ && resampler.is_none() {
            speech.extend_from_slice(&sound.samples);
            continue;
        }
        match &mut resampler {
            Some((rate_hz, resampler)) if *rate_hz == sound.rate_hz => {
                resampler.process(&sound.samples, &mut speech);
            }
            other => {
                if let Some((_, before)) = other {
                    before.finish(&mut speech);
                }
                let mut fresh = Resampler::new(sound.rate_hz, SPEECH_RATE_HZ);
                fresh.process(&sound.samples, &mut speech);
                *other = Some((sound.rate_hz, fresh));
            }
        }
    }
    if let Some((_, resampler)) = &mut resampler {
        resampler.finish(&mut speech);
    }
    Ok(speech)
}

fn pcm(bytes: &[u8], max: Duration) -> Result<Vec<i16>, DecodeError> {
    let samples_max = max.as_secs_f64() * f64::from(SoundFormat::PCM_RATE_HZ);
    if (bytes.len() / 2) as f64 > samples_max {
        return Err(DecodeError::TooLong { max });
    }
    let (pairs, _) = bytes.as_chunks::<2>();
    let samples: Vec<i16> = pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
    Ok(resample(&samples, SoundFormat::PCM_RATE_HZ, SPEECH_RATE_HZ))
}
