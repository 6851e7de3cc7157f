//! Sound on its way into an engine and out of one.

use std::fmt;
use std::future::ready;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::{Call, EngineError};
use crate::audio::SPEECH_RATE_HZ;
use crate::audio::decode::SoundFormat;
use crate::audio::resample::resample;

/// Sound as it was sent or recorded.
pub type EncodedSound = (Bytes, SoundFormat);

/// What is to be understood.
#[derive(Clone, Debug)]
pub struct Sound {
    /// Mono at [`SPEECH_RATE_HZ`].
    pub samples: Rc<[i16]>,
    /// The same as it was sent or recorded, for engines that take it so.
    pub encoded: Option<EncodedSound>,
}

impl Sound {
    pub fn new(samples: impl Into<Rc<[i16]>>) -> Sound {
        Sound {
            samples: samples.into(),
            encoded: None,
        }
    }

    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(SPEECH_RATE_HZ))
    }
}

/// Mono sound, of a sentence or a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speech {
    pub samples: Vec<i16>,
    pub rate_hz: u32,
}

impl Speech {
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(self.rate_hz.max(1)))
    }

    /// Appends `more`, brought to this one's rate.
    pub fn append(&mut self, more: Speech) {
        if more.rate_hz == self.rate_hz || self.samples.is_empty() {
            self.rate_hz = more.rate_hz;
            self.samples.extend(more.samples);
        } else {
            let samples = resample(&more.samples, more.rate_hz, self.rate_hz);
            self.samples.extend(samples);
        }
    }
}

/// The sound of one sentence as it comes. Dropping it ends the engine's work.
pub struct SpeechStream(Box<dyn Pieces>);

/// Where the pieces come from.
pub trait Pieces {
    /// The next piece, never empty; `None` after the last.
    fn next(&mut self) -> Call<'_, Option<Speech>>;
}

impl SpeechStream {
    pub fn new(pieces: impl Pieces + 'static) -> SpeechStream {
        SpeechStream(Box::new(pieces))
    }

    /// Sound that is there already.
    pub fn whole(speech: Speech) -> SpeechStream {
        SpeechStream::new(Whole(
            Some(speech).filter(|speech| !speech.samples.is_empty()),
        ))
    }

    /// The next piece, never empty; `None` after the last. Pieces may differ in rate.
    pub async fn next(&mut self) -> Result<Option<Speech>, EngineError> {
        self.0.next().await
    }

    /// All of it in the rate of its first piece; `longest` is where it is cut.
    pub async fn collect(mut self, longest: Duration) -> Result<Speech, EngineError> {
        let mut whole = Speech {
            samples: Vec::new(),
            rate_hz: SPEECH_RATE_HZ,
        };
        while whole.duration() < longest
            && let Some(piece) = self.next().await?
        {
            whole.append(piece);
        }
        Ok(whole)
    }
}

impl fmt::Debug for SpeechStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpeechStream")
    }
}

struct Whole(Option<Speech>);

impl Pieces for Whole {
    fn next(&mut self) -> Call<'_, Option<Speech>> {
        Box::pin(ready(Ok(self.0.take())))
    }
}
