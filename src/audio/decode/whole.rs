//! A whole file into speech, on the thread that calls.

use std::io::{self, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use symphonia::core::io::ReadOnlySource;

use super::format::id3_bytes;
use super::reader::Reader;
use super::{DecodeError, SoundFormat};
use crate::audio::resample::{Resampler, resample};
use crate::audio::{SPEECH_RATE_HZ, wav};

/// Where decoded speech goes, in the order of the sound.
pub trait Sink {
    /// `Err` ends the work.
    fn take(&mut self, samples: &[i16]) -> io::Result<()>;
    /// What was taken so far counts for nothing: the sound is read once more from its beginning.
    fn restart(&mut self) -> io::Result<()>;
}

impl Sink for Vec<i16> {
    fn take(&mut self, samples: &[i16]) -> io::Result<()> {
        self.extend_from_slice(samples);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

/// Mono samples at the speech rate, of at most `max`. `claimed` is what the sender calls it.
/// Blocks and computes: call it off the loop.
pub fn speech_of(
    bytes: &[u8],
    claimed: Option<SoundFormat>,
    max: Duration,
) -> Result<Vec<i16>, DecodeError> {
    let mut speech = Vec::new();
    speech_to(bytes, claimed, max, &mut speech)?;
    Ok(speech)
}

/// The same into a sink, so that hours of compressed sound need no memory; WAV and PCM, which are
/// as long as their bytes, come in one piece.
pub fn speech_to(
    bytes: &[u8],
    claimed: Option<SoundFormat>,
    max: Duration,
    sink: &mut dyn Sink,
) -> Result<(), DecodeError> {
    let format = SoundFormat::found(bytes, claimed)?;
    let whole = match format {
        SoundFormat::Wav => wav::decode_speech(bytes, max).map_err(DecodeError::of_wav)?,
        SoundFormat::Pcm => pcm(bytes, max)?,
        _ => {
            let decode = AssertUnwindSafe(|| decode(bytes, format, max, sink));
            let decoded = catch_unwind(decode);
            return decoded
                .unwrap_or_else(|_| Err(DecodeError::broken(format, "the decoder gave up")));
        }
    };
    sink.take(&whole)
        .map_err(|error| DecodeError::broken(format, error))
}

fn decode(
    bytes: &[u8],
    format: SoundFormat,
    max: Duration,
    sink: &mut dyn Sink,
) -> Result<(), DecodeError> {
    let tag_bytes = id3_bytes(bytes).unwrap_or_default();
    let bytes = bytes.get(tag_bytes..).unwrap_or_default();
    let open = |source| Reader::open(format, source, SPEECH_RATE_HZ, max);
    let in_order = || open(Box::new(ReadOnlySource::new(Cursor::new(bytes))));
    if format != SoundFormat::Mp4 {
        return speech(format, in_order()?, sink);
    }
    // Its table of contents may stand at the end. A file that is cut short is not found whole so,
    // but what is there can be read in order.
    let found = open(Box::new(Cursor::new(bytes)));
    match found.and_then(|reader| speech(format, reader, sink)) {
        Err(error @ DecodeError::Broken { .. }) => {
            let again = sink.restart();
            again.map_err(|error| DecodeError::broken(format, error))?;
            let read = in_order().and_then(|reader| speech(format, reader, sink));
            read.map_err(|_| error)
        }
        other => other,
    }
}

fn speech(
    format: SoundFormat,
    mut reader: Reader<'_>,
    sink: &mut dyn Sink,
) -> Result<(), DecodeError> {
    let ended = |error| DecodeError::broken(format, error);
    let mut resampler: Option<(u32, Resampler)> = None;
    let mut speech = Vec::new();
    while let Some(sound) = reader.next()? {
        if sound.rate_hz == SPEECH_RATE_HZ && resampler.is_none() {
            sink.take(&sound.samples).map_err(ended)?;
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
        sink.take(&speech).map_err(ended)?;
        speech.clear();
    }
    if let Some((_, resampler)) = &mut resampler {
        resampler.finish(&mut speech);
    }
    sink.take(&speech).map_err(ended)
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
