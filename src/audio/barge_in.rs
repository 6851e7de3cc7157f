//! Hears somebody speak into an answer: a higher score than for an utterance, for longer, because
//! a rest of the answer may be in the sound. Keeps what came just before, so that the first word
//! of whoever spoke is not lost.

use std::collections::VecDeque;

use super::vad::Vad;
use super::{FRAME_SAMPLES, SPEECH_RATE_HZ};

/// Kept from before somebody is heard: half a second in whole frames.
pub const KEPT_SAMPLES: usize = (SPEECH_RATE_HZ as usize / 2).next_multiple_of(FRAME_SAMPLES);
const SCORE: f32 = 0.8;
/// 200 ms.
const FRAMES: u32 = 13;
/// A detector that has just begun takes loud noise for voice for about 260 ms.
const SETTLE_FRAMES: u32 = 20;

#[derive(Default)]
pub struct BargeIn {
    vad: Vad,
    frames: u32,
    voiced: u32,
    kept: VecDeque<i16>,
}

impl BargeIn {
    pub fn new() -> BargeIn {
        BargeIn::default()
    }

    /// The next frame; whether somebody has spoken for long enough.
    pub fn push(&mut self, frame: &[i16; FRAME_SAMPLES]) -> bool {
        self.kept.extend(frame);
        let surplus = self.kept.len().saturating_sub(KEPT_SAMPLES);
        self.kept.drain(..surplus);
        self.frames = self.frames.saturating_add(1);
        let loud = self.vad.score(frame) >= SCORE && self.frames > SETTLE_FRAMES;
        self.voiced = if loud { self.voiced + 1 } else { 0 };
        let spoken = self.voiced >= FRAMES;
        if spoken {
            self.voiced = 0;
        }
        spoken
    }

    /// The newest [`KEPT_SAMPLES`].
    pub fn into_kept(self) -> VecDeque<i16> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_silence_nor_a_steady_tone_nor_a_knock_is_somebody_speaking() {
        let mut ear = BargeIn::new();
        for at in 0..400_usize {
            let frame: [i16; FRAME_SAMPLES] = std::array::from_fn(|sample| match at {
                0..100 => 0,
                100..300 => {
                    let t = (at * FRAME_SAMPLES + sample) as f32 / SPEECH_RATE_HZ as f32;
                    (6_000.0 * (std::f32::consts::TAU * 880.0 * t).sin()) as i16
                }
                350 => 20_000,
                _ => 0,
            });
            assert!(!ear.push(&frame), "at frame {at}");
        }
        assert_eq!(ear.into_kept().len(), KEPT_SAMPLES, "bounded");
    }
}
