//! The box's small sounds, made of tones: no files, the same on every box.

use std::f32::consts::TAU;
use std::time::Duration;

/// Rate of what [`Earcon::samples`] gives.
pub const EARCON_RATE_HZ: u32 = 48_000;
/// Under speech by about 10 dB.
const AMPLITUDE: f32 = 9_000.0;
/// Rise and fall of each note, so that none clicks.
const EDGE_S: f32 = 0.006;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earcon {
    /// Now listening.
    Listen,
    /// Heard you.
    Done,
    /// Still at it; given each two seconds.
    Thinking,
    Error,
    Mute,
    Unmute,
    Offline,
    Saved,
    /// One round of a timer's ring.
    Timer,
}

/// A tone that glides from one pitch to another; 0 Hz is a rest.
struct Note {
    from_hz: f32,
    to_hz: f32,
    ms: u16,
    loud: f32,
}

impl Earcon {
    pub const ALL: [Earcon; 9] = [
        Earcon::Listen,
        Earcon::Done,
        Earcon::Thinking,
        Earcon::Error,
        Earcon::Mute,
        Earcon::Unmute,
        Earcon::Offline,
        Earcon::Saved,
        Earcon::Timer,
    ];

    /// Mono samples at [`EARCON_RATE_HZ`].
    pub fn samples(self) -> Vec<i16> {
        self.notes().iter().flat_map(Note::samples).collect()
    }

    fn notes(self) -> Vec<Note> {
        match self {
            Earcon::Listen => vec![glide(660.0, 990.0, 60)],
            Earcon::Done => vec![glide(880.0, 587.0, 60)],
            Earcon::Thinking => vec![Note {
                loud: 0.3,
                ..glide(440.0, 440.0, 35)
            }],
            Earcon::Error => vec![tone(330.0, 120), rest(40), tone(247.0, 180)],
            Earcon::Mute => vec![tone(523.0, 70), tone(349.0, 90)],
            Earcon::Unmute => vec![tone(349.0, 70), tone(523.0, 90)],
            Earcon::Offline => vec![
                tone(440.0, 80),
                rest(60),
                tone(440.0, 80),
                rest(60),
                tone(294.0, 140),
            ],
            Earcon::Saved => vec![tone(659.0, 60), tone(784.0, 60), tone(1_047.0, 90)],
            Earcon::Timer => vec![
                tone(880.0, 150),
                rest(80),
                tone(880.0, 150),
                rest(80),
                tone(1_175.0, 250),
            ],
        }
    }
}

/// A pure tone to test a speaker with.
pub fn test_tone(hz: f32, length: Duration) -> Vec<i16> {
    tone(hz, length.as_millis().min(10_000) as u16).samples()
}

fn tone(hz: f32, ms: u16) -> Note {
    glide(hz, hz, ms)
}

fn rest(ms: u16) -> Note {
    Note {
        loud: 0.0,
        ..tone(0.0, ms)
    }
}

fn glide(from_hz: f32, to_hz: f32, ms: u16) -> Note {
    Note {
        from_hz,
        to_hz,
        ms,
        loud: 1.0,
    }
}

impl Note {
    fn samples(&self) -> Vec<i16> {
        let rate = EARCON_RATE_HZ as f32;
        let count = EARCON_RATE_HZ as usize * usize::from(self.ms) / 1000;
        let length_s = count as f32 / rate;
        let mut phase = 0.0;
        (0..count)
            .map(|at| {
                let t = at as f32 / rate;
                phase = (phase
                    + (self.from_hz + (self.to_hz - self.from_hz) * t / length_s) / rate)
                    % 1.0;
                let edge = (t.min(length_s - t) / EDGE_S).min(1.0);
                (AMPLITUDE * self.loud * edge * (TAU * phase).sin()) as i16
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_is_told_in_sixty_milliseconds_and_the_longest_sound_in_under_a_second() {
        assert_eq!(Earcon::Listen.samples().len(), 48 * 60);
        for earcon in Earcon::ALL {
            assert!(earcon.samples().len() < 48_000, "{earcon:?}");
        }
    }

    #[test]
    fn no_earcon_begins_ends_or_jumps_with_a_click() {
        for earcon in Earcon::ALL {
            let samples = earcon.samples();
            let ends = [samples[0], samples[samples.len() - 1]];
            assert!(
                ends.iter().all(|end| end.abs() < 300),
                "{earcon:?} {ends:?}"
            );
            // The steepest tone of 1,175 Hz moves about 1,400 from sample to sample.
            let jump = samples.windows(2).map(|two| (two[1] - two[0]).abs()).max();
            assert!(jump < Some(1_500), "{earcon:?} jumps by {jump:?}");
        }
    }

    #[test]
    fn no_two_earcons_sound_the_same() {
        for (at, one) in Earcon::ALL.iter().enumerate() {
            for other in &Earcon::ALL[at + 1..] {
                assert_ne!(one.samples(), other.samples(), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn the_test_tone_crosses_zero_as_often_as_its_pitch_says() {
        let tone = test_tone(440.0, Duration::from_secs(1));
        let crossings = tone
            .windows(2)
            .filter(|two| two[0] < 0 && two[1] >= 0)
            .count();
        assert!((438..=441).contains(&crossings), "{crossings}");
    }
}
