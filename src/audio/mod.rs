//! Sound in and out: devices, rings, resampling, voice activity, WAV.
//!
//! The loop sees 16 kHz mono frames come and samples go; cards, rates and callbacks stay in here.

use std::rc::Rc;
use std::time::Duration;

use crate::ops::Registry;

/// Rate of all speech inside the box.
pub const SPEECH_RATE_HZ: u32 = 16_000;
/// 16 ms, the voice activity detector's step.
pub const FRAME_SAMPLES: usize = 256;

pub struct AudioOptions {
    /// Name of the ALSA PCM, or `default`; `off` opens nothing.
    pub input: String,
    pub output: String,
    pub period: Duration,
    /// 0..=100.
    pub volume: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioError {
    /// Not there or unplugged; opened again by itself when it is back.
    Unavailable(String),
    Busy(String),
    /// The device cannot be used at all, with what to do.
    Refused(String),
    Off,
}

#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct AudioStatus {
    pub input: String,
    pub output: String,
    pub input_error: Option<String>,
    pub output_error: Option<String>,
    pub xruns: u64,
}

/// The loop's handle of the sound thread.
#[derive(Clone)]
pub struct Audio(Rc<()>);

/// An open microphone; closed when dropped.
pub struct Capture(());

/// One utterance on its way to the speaker; silent at once when dropped or stopped.
pub struct Playback(());

impl Audio {
    /// Never fails: what is wrong with a device is in [`Audio::status`] and in each use.
    pub fn start(_options: AudioOptions, _metrics: &Registry) -> Audio {
        todo!()
    }
    pub async fn capture(&self) -> Result<Capture, AudioError> {
        todo!()
    }
    pub fn play(&self) -> Result<Playback, AudioError> {
        todo!()
    }
    pub fn status(&self) -> AudioStatus {
        todo!()
    }
    pub fn set_volume(&self, _percent: u8) {
        todo!()
    }
}

impl Capture {
    /// The next 16 ms at [`SPEECH_RATE_HZ`].
    pub async fn frame(&mut self) -> Result<[i16; FRAME_SAMPLES], AudioError> {
        todo!()
    }
}

impl Playback {
    /// Hands on mono samples of any rate; waits while more than a second is unplayed.
    pub async fn write(&self, _samples: &[i16], _rate_hz: u32) -> Result<(), AudioError> {
        todo!()
    }
    /// Resolves when the last sample has left for the card.
    pub async fn finished(&self) -> Result<(), AudioError> {
        todo!()
    }
    /// Throws away what is unplayed.
    pub fn stop(&self) {
        todo!()
    }
    /// How much was really played.
    pub fn played(&self) -> Duration {
        todo!()
    }
}
