//! The box's microphone: counted while it is open, and open during an answer when the sound card
//! takes the answer out of what it hears, so that somebody may speak into it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::Notify;

use super::audio_error;
use crate::audio::barge_in::BargeIn;
use crate::audio::{Capture, FRAME_SAMPLES, SPEECH_RATE_HZ};
use crate::voice::dialogue::VoiceError;
use crate::voice::port::{Ear, Work};
use crate::voice::wake::{Gate, Spotter};

/// Of what came behind the wake phrase, 300 ms.
const BEHIND_SAMPLES: usize = SPEECH_RATE_HZ as usize * 3 / 10;

/// How many of the box's own tones sound just now: what the microphone hears meanwhile is silence.
#[derive(Default)]
pub(super) struct Mask(Cell<u32>);

/// Lowers the mask when dropped.
pub(super) struct Raised<'a>(&'a Mask);

impl Mask {
    pub(super) fn raise(&self) -> Raised<'_> {
        self.0.set(self.0.get() + 1);
        Raised(self)
    }

    fn hides(&self) -> bool {
        self.0.get() > 0
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        let mask = &self.0.0;
        mask.set(mask.get().saturating_sub(1));
    }
}

/// Counted while it is open: the lamp tells of it.
pub(super) struct DeviceEar {
    capture: Capture,
    mask: Rc<Mask>,
    /// Heard before somebody asked for it.
    before: VecDeque<i16>,
    ears: Rc<Cell<u32>>,
    changes: Rc<Notify>,
}

impl DeviceEar {
    pub(super) fn new(
        capture: Capture,
        mask: &Rc<Mask>,
        ears: &Rc<Cell<u32>>,
        changes: &Rc<Notify>,
    ) -> DeviceEar {
        ears.set(ears.get() + 1);
        changes.notify_one();
        DeviceEar {
            capture,
            mask: Rc::clone(mask),
            before: VecDeque::new(),
            ears: Rc::clone(ears),
            changes: Rc::clone(changes),
        }
    }

    /// Resolves when somebody speaks; what they said then comes first.
    pub(super) async fn overhear(mut self) -> Result<DeviceEar, VoiceError> {
        let mut barge_in = BargeIn::new();
        loop {
            let frame = self.capture.frame().await.map_err(audio_error)?;
            if barge_in.push(&frame) {
                self.before = barge_in.into_kept();
                return Ok(self);
            }
        }
    }
}

impl DeviceEar {
    /// Resolves when the phrase was said; what came right behind it comes first.
    pub(super) async fn spot(mut self, spotter: &Spotter) -> Result<DeviceEar, VoiceError> {
        let mut gate = Gate::default();
        let count = spotter.count();
        loop {
            let frame = tokio::select! {
                biased;
                () = spotter.heard_after(count) => return Ok(self),
                frame = self.capture.frame() => frame.map_err(audio_error)?,
            };
            let fed = gate.push(&frame);
            if gate.is_open() {
                self.before.clear();
            } else {
                self.before.extend(frame);
                let surplus = self.before.len().saturating_sub(BEHIND_SAMPLES);
                self.before.drain(..surplus);
            }
            if !fed.is_empty() {
                spotter.feed(fed);
            }
        }
    }
}

impl Drop for DeviceEar {
    fn drop(&mut self) {
        self.ears.set(self.ears.get() - 1);
        self.changes.notify_one();
    }
}

impl Ear for DeviceEar {
    fn frame(&mut self) -> Work<'_, Option<[i16; FRAME_SAMPLES]>> {
        Box::pin(async {
            let mut frame = [0; FRAME_SAMPLES];
            let count = self.before.len().min(FRAME_SAMPLES);
            if count == 0 {
                let mut heard = self.capture.frame().await.map_err(audio_error)?;
                if self.mask.hides() {
                    heard.fill(0);
                }
                return Ok(Some(heard));
            }
            for (slot, sample) in frame.iter_mut().zip(self.before.drain(..count)) {
                *slot = sample;
            }
            Ok(Some(frame))
        })
    }
}
