//! Tells speech from other sound, 16 ms at a time, with the small neural network of the crate `earshot`.

use super::FRAME_SAMPLES;

/// A score from here on counts as voice.
pub const VOICE_SCORE: f32 = 0.5;

/// One stream's detector; it remembers about 50 ms.
pub struct Vad(Box<earshot::Detector>);

impl Vad {
    pub fn new() -> Vad {
        Vad(earshot::Detector::default_boxed())
    }

    /// How likely the newest 16 ms at 16 kHz are speech, 0..=1.
    pub fn score(&mut self, frame: &[i16; FRAME_SAMPLES]) -> f32 {
        self.0.predict_i16(frame)
    }

    /// Forgets what it heard, for another stream.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

impl Default for Vad {
    fn default() -> Vad {
        Vad::new()
    }
}
