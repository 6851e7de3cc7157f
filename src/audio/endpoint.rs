//! Decides where an utterance begins and ends: a pure machine that is fed frames and their voice
//! scores and never looks at a clock; a frame is 16 ms.
//!
//! Two rules end an utterance. The first is silence by the voice score. The second is loudness: a
//! television in the background keeps the score up, but it is quieter than whoever speaks to the
//! box, so energy well under the utterance's own loud part for the same time ends it too.
//! Memory is bounded: the sound before the start, one second of levels, one histogram. The sound of
//! the utterance itself is the caller's, at most [`EndpointOptions::utterance_max`] of it.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::level::{dbfs_of_power, mean_power};
use super::vad::VOICE_SCORE;
use super::{FRAME_SAMPLES, SPEECH_RATE_HZ};
use crate::limits;

const FRAME_MS: u64 = FRAME_SAMPLES as u64 * 1000 / SPEECH_RATE_HZ as u64;

/// This many voiced frames among the last [`START_WINDOW`] are speech.
const START_VOICED: usize = 4;
const START_WINDOW: usize = 6;
/// A detector that has just begun takes loud noise for voice for about 260 ms. Nothing starts before
/// this; nothing is lost by it, because the sound kept from before reaches back to the beginning.
const SETTLE_FRAMES: u64 = 20;
/// Sound kept from before the first voiced frame, so that a soft consonant is not cut.
pub const PRE_ROLL: Duration = Duration::from_millis(300);
/// An utterance shorter than this was a knock or a cough.
pub const UTTERANCE_MIN: Duration = Duration::from_millis(250);
pub const END_SILENCE_MIN: Duration = Duration::from_millis(300);
pub const END_SILENCE_MAX: Duration = Duration::from_millis(2_000);
/// Silence that ends a long utterance whose loudness fell at its end, as a finished sentence's does.
const END_SILENCE_FALLING: Duration = Duration::from_millis(500);
const FALLING_AFTER: Duration = Duration::from_secs(4);
/// Two neighbouring stretches of this length at the end are compared: the later one is quieter by
/// [`FALLING_DB`].
const FALLING_FRAMES: usize = 15;
const FALLING_DB: f32 = 3.0;
/// The second rule: this far under the utterance's loud part ([`LOUD_SHARE`] of its frames are quieter).
const QUIET_DB: f32 = 12.0;
const LOUD_SHARE: f64 = 0.8;
/// Frames over which loudness is averaged before it is compared.
const SMOOTH_FRAMES: usize = 4;
/// About one second.
const LEVELS_KEPT: usize = 64;

#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// Brought into [`END_SILENCE_MIN`]..=[`END_SILENCE_MAX`].
    pub end_silence: Duration,
    /// Without speech for this long the listening ends.
    pub no_speech: Duration,
    pub utterance_max: Duration,
    /// Push to talk: the utterance begins with the first frame and ends by [`Endpointer::release`].
    pub held: bool,
}

#[derive(Clone, PartialEq)]
pub enum EndpointEvent {
    /// Speech began. `preroll` is everything to begin the utterance with, the frame just pushed
    /// included; the caller adds each later frame until the end.
    SpeechStart { preroll: Vec<i16> },
    /// What began was too short for speech: throw it away, listening goes on.
    FalseStart,
    SpeechEnd {
        cause: EndCause,
        /// From the first voiced frame to the last.
        speech: Duration,
    },
    /// Nobody spoke.
    NoSpeech,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    Silence,
    /// The voice score stayed up, but whoever spoke has stopped.
    Energy,
    Max,
    /// The button was let go.
    Released,
}

pub struct Endpointer {
    options: EndpointOptions,
    state: State,
    /// Frames since listening began.
    frames: u64,
    /// The newest sound while nobody speaks.
    before: VecDeque<[i16; FRAME_SAMPLES]>,
    /// Voice of the last [`START_WINDOW`] frames, newest in bit 0.
    voiced: u8,
    /// Mean power of the last second's frames, oldest first.
    powers: VecDeque<f32>,
}

enum State {
    Waiting,
    Speaking(Box<Utterance>),
    Done,
}

struct Utterance {
    /// Frame of the first voiced sound.
    began: u64,
    /// Frame of the last sound that counted as speech.
    last_voiced: u64,
    /// Frames in a row under the utterance's loud part.
    quiet: u64,
    loudness: Histogram,
}

/// Counts frames by whole decibels from 0 down to the floor.
struct Histogram {
    counts: [u32; 97],
    total: u32,
}

impl Default for EndpointOptions {
    fn default() -> EndpointOptions {
        EndpointOptions {
            end_silence: Duration::from_millis(700),
            no_speech: limits::NO_SPEECH_MAX,
            utterance_max: limits::LISTEN_MAX,
            held: false,
        }
    }
}

impl Endpointer {
    pub fn new(mut options: EndpointOptions) -> Endpointer {
        options.end_silence = options.end_silence.clamp(END_SILENCE_MIN, END_SILENCE_MAX);
        Endpointer {
            options,
            state: State::Waiting,
            frames: 0,
            before: VecDeque::with_capacity(frames_kept_before()),
            voiced: 0,
            powers: VecDeque::with_capacity(LEVELS_KEPT),
        }
    }

    /// The next frame and its voice score. After [`EndpointEvent::SpeechEnd`] and
    /// [`EndpointEvent::NoSpeech`] nothing more comes.
    pub fn push(&mut self, frame: &[i16; FRAME_SAMPLES], score: f32) -> Option<EndpointEvent> {
        if matches!(self.state, State::Done) {
            return None;
        }
        self.frames += 1;
        let voiced = score >= VOICE_SCORE;
        self.voiced = (self.voiced << 1 | u8::from(voiced)) & ((1 << START_WINDOW) - 1);
        if self.powers.len() == LEVELS_KEPT {
            self.powers.pop_front();
        }
        self.powers.push_back(mean_power(frame));
        match &self.state {
            State::Waiting => self.wait(frame),
            State::Speaking(_) => self.follow(voiced),
            State::Done => None,
        }
    }

    /// The button was let go: ends what was being said.
    pub fn release(&mut self) -> EndpointEvent {
        let state = std::mem::replace(&mut self.state, State::Done);
        match state {
            State::Speaking(utterance) => EndpointEvent::SpeechEnd {
                cause: EndCause::Released,
                speech: utterance.speech(),
            },
            State::Waiting | State::Done => EndpointEvent::NoSpeech,
        }
    }

    /// Whether somebody is speaking by its rules.
    pub fn speaking(&self) -> bool {
        matches!(self.state, State::Speaking(_))
    }

    fn wait(&mut self, frame: &[i16; FRAME_SAMPLES]) -> Option<EndpointEvent> {
        if self.before.len() == frames_kept_before() {
            self.before.pop_front();
        }
        self.before.push_back(*frame);
        let settled = self.frames > SETTLE_FRAMES;
        if self.options.held || (settled && self.talking()) {
            return Some(self.begin());
        }
        if self.frames >= frames_of(self.options.no_speech) {
            self.state = State::Done;
            return Some(EndpointEvent::NoSpeech);
        }
        None
    }

    fn begin(&mut self) -> EndpointEvent {
        let window = self.voiced_span();
        let mut loudness = Histogram::new();
        for power in self.powers.iter().rev().take(window) {
            loudness.add(dbfs_of_power(*power));
        }
        self.state = State::Speaking(Box::new(Utterance {
            began: self.frames.saturating_sub(window as u64),
            last_voiced: self.frames,
            quiet: 0,
            loudness,
        }));
        let kept = (window + frames_of(PRE_ROLL) as usize).min(self.before.len());
        let skip = self.before.len() - kept;
        let preroll = self.before.drain(..).skip(skip).flatten().collect();
        EndpointEvent::SpeechStart { preroll }
    }

    fn follow(&mut self, voiced: bool) -> Option<EndpointEvent> {
        let talking = self.talking();
        let loudness = self.loudness(0, SMOOTH_FRAMES);
        let falling = self.falling();
        let State::Speaking(utterance) = &mut self.state else {
            return None;
        };
        if talking && voiced {
            utterance.last_voiced = self.frames;
        }
        let quiet = loudness <= utterance.loudness.share(LOUD_SHARE) - QUIET_DB;
        utterance.quiet = if quiet { utterance.quiet + 1 } else { 0 };
        utterance.loudness.add(loudness);

        let silent = self.frames - utterance.last_voiced;
        let long = utterance.speech() > FALLING_AFTER;
        let end_silence = match long && falling {
            true => self.options.end_silence.min(END_SILENCE_FALLING),
            false => self.options.end_silence,
        };
        let cause = if self.frames - utterance.began >= frames_of(self.options.utterance_max) {
            EndCause::Max
        } else if self.options.held {
            return None;
        } else if silent >= frames_of(end_silence) {
            EndCause::Silence
        } else if utterance.quiet >= frames_of(self.options.end_silence) {
            // The voice that was heard since then was not the speaker's.
            utterance.last_voiced = utterance.last_voiced.min(self.frames - utterance.quiet);
            if talking {
                EndCause::Energy
            } else {
                EndCause::Silence
            }
        } else {
            return None;
        };
        let speech = utterance.speech();
        if speech < UTTERANCE_MIN && cause != EndCause::Max {
            return Some(self.forget());
        }
        self.state = State::Done;
        Some(EndpointEvent::SpeechEnd { cause, speech })
    }

    fn forget(&mut self) -> EndpointEvent {
        self.voiced = 0;
        if self.frames >= frames_of(self.options.no_speech) {
            self.state = State::Done;
            return EndpointEvent::NoSpeech;
        }
        self.state = State::Waiting;
        EndpointEvent::FalseStart
    }

    fn talking(&self) -> bool {
        self.voiced.count_ones() as usize >= START_VOICED
    }

    /// Frames from the first voiced one of the window to now.
    fn voiced_span(&self) -> usize {
        (u8::BITS - self.voiced.leading_zeros()) as usize
    }

    /// Whether the second half of the stretch that just ended in silence was the quieter one.
    fn falling(&self) -> bool {
        let State::Speaking(utterance) = &self.state else {
            return false;
        };
        let silent = (self.frames - utterance.last_voiced) as usize;
        let later = self.loudness(silent, FALLING_FRAMES);
        let earlier = self.loudness(silent + FALLING_FRAMES, FALLING_FRAMES);
        silent + 2 * FALLING_FRAMES <= LEVELS_KEPT && later <= earlier - FALLING_DB
    }

    /// Loudness of `count` frames that ended `ago` frames ago, in dBFS.
    fn loudness(&self, ago: usize, count: usize) -> f32 {
        let powers = self.powers.iter().rev().skip(ago).take(count);
        let taken = powers.len();
        dbfs_of_power(powers.sum::<f32>() / taken.max(1) as f32)
    }
}

impl Utterance {
    fn speech(&self) -> Duration {
        Duration::from_millis((self.last_voiced - self.began.min(self.last_voiced)) * FRAME_MS)
    }
}

impl Histogram {
    fn new() -> Histogram {
        Histogram {
            counts: [0; 97],
            total: 0,
        }
    }

    fn add(&mut self, dbfs: f32) {
        let bin = (-dbfs).clamp(0.0, 96.0) as usize;
        self.counts[bin] += 1;
        self.total += 1;
    }

    /// The level in dBFS that `share` of the frames do not pass.
    fn share(&self, share: f64) -> f32 {
        let above = (f64::from(self.total) * (1.0 - share)).ceil() as u32;
        let mut seen = 0;
        for (bin, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= above.max(1) {
                return -(bin as f32);
            }
        }
        super::level::FLOOR_DBFS
    }
}

impl fmt::Debug for EndpointEvent {
    /// Without the samples.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointEvent::SpeechStart { preroll } => {
                write!(f, "SpeechStart {{ preroll: {} samples }}", preroll.len())
            }
            EndpointEvent::FalseStart => f.write_str("FalseStart"),
            EndpointEvent::SpeechEnd { cause, speech } => {
                write!(f, "SpeechEnd {{ cause: {cause:?}, speech: {speech:?} }}")
            }
            EndpointEvent::NoSpeech => f.write_str("NoSpeech"),
        }
    }
}

fn frames_of(time: Duration) -> u64 {
    (time.as_millis() as u64).div_ceil(FRAME_MS)
}

fn frames_kept_before() -> usize {
    frames_of(PRE_ROLL) as usize + START_WINDOW
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
