//! What the sound thread asks of a sound system, and the one that has no sound.

use std::any::Any;
use std::time::Duration;

use super::stream::{InputSink, OutputSource};
use super::{AudioError, DeviceInfo};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Input,
    Output,
}

/// Lives on the sound thread; every call may block for as long as opening a card takes.
pub(super) trait Backend {
    /// Whether the device exists and may be used; `Some` is a warning that does not forbid it.
    fn check(&mut self, direction: Direction, device: &str) -> Result<Option<String>, AudioError>;

    /// `make` is told the rate that was agreed on and gives what the callback will drive.
    fn open_input(
        &mut self,
        device: &str,
        period: Duration,
        make: &mut dyn FnMut(u32) -> InputSink,
    ) -> Result<OpenStream, AudioError>;

    fn open_output(
        &mut self,
        device: &str,
        period: Duration,
        make: &mut dyn FnMut(u32) -> OutputSource,
    ) -> Result<OpenStream, AudioError>;

    fn devices(&mut self) -> Vec<DeviceInfo>;
}

/// Closes the card when dropped; no callback runs after that.
pub(super) struct OpenStream {
    pub(super) rate_hz: u32,
    /// What was agreed on, for the log: rate, channels, sample format, period.
    pub(super) agreed: String,
    pub(super) _stream: Box<dyn Any>,
}

impl Direction {
    /// What a person calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Direction::Input => "microphone",
            Direction::Output => "speaker",
        }
    }

    /// The setting that chooses it.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Direction::Input => "AUDIO_INPUT",
            Direction::Output => "AUDIO_OUTPUT",
        }
    }
}

pub(super) fn system() -> Box<dyn Backend> {
    #[cfg(feature = "audio")]
    return Box::new(super::cpal_backend::Cpal);
    #[cfg(not(feature = "audio"))]
    return Box::new(NoSound);
}

/// The sound system of a build without one.
#[cfg(not(feature = "audio"))]
struct NoSound;

#[cfg(not(feature = "audio"))]
impl Backend for NoSound {
    fn check(&mut self, _: Direction, _: &str) -> Result<Option<String>, AudioError> {
        Err(AudioError::Off)
    }

    fn open_input(
        &mut self,
        _: &str,
        _: Duration,
        _: &mut dyn FnMut(u32) -> InputSink,
    ) -> Result<OpenStream, AudioError> {
        Err(AudioError::Off)
    }

    fn open_output(
        &mut self,
        _: &str,
        _: Duration,
        _: &mut dyn FnMut(u32) -> OutputSource,
    ) -> Result<OpenStream, AudioError> {
        Err(AudioError::Off)
    }

    fn devices(&mut self) -> Vec<DeviceInfo> {
        Vec::new()
    }
}
