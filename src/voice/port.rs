//! What one endpoint of the conversation offers a session: an ear, a mouth, and somebody to tell.
//!
//! The box's own sound and every `/ws` dialect is a [`Port`]; a session knows no more of them.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::dialogue::{Answer, VoiceError};
use super::providers::{Speech, Tts};
use super::recordings::Origin;
use super::sentence::Sentence;
use super::timeline::Timing;
use super::turn::{State, Tone, Turn, TurnResult};
use crate::audio::FRAME_SAMPLES;

pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, VoiceError>> + 'a>>;

pub trait Port {
    /// `device` or the dialect, for logs and timelines.
    fn name(&self) -> &'static str;
    /// Passes on what happened; never waits.
    fn tell(&self, news: &News<'_>);
    /// Opens the microphone.
    fn ear(&self) -> Work<'_, Box<dyn Ear>>;
    /// Whether an answer is taken out of what the microphone hears, so that a voice may end it.
    fn overhears(&self) -> bool {
        false
    }
    /// Resolves when somebody speaks into the answer; the next [`Port::ear`] begins with it.
    fn overhear(&self) -> Work<'_, ()> {
        Box::pin(std::future::pending())
    }
    fn mouth(&self, turn: Turn) -> Result<Rc<dyn Mouth>, VoiceError>;
    /// The voice as this endpoint wants to have it.
    fn voice(&self, tts: Rc<dyn Tts>) -> Rc<dyn Tts> {
        tts
    }
    /// Whether this is the box's own microphone and loudspeaker.
    fn is_box(&self) -> bool {
        false
    }
    /// Keeps the switched-off microphone over a restart.
    fn keep_muted(&self, _muted: bool) {}
    fn set_volume(&self, _percent: u8) {}
    /// Where the sound of this endpoint comes from.
    fn origin(&self) -> Origin {
        Origin::Socket
    }
}

/// An open microphone, closed when dropped.
pub trait Ear {
    /// The next 16 ms; `None` when the other side says that this was all.
    fn frame(&mut self) -> Work<'_, Option<[i16; FRAME_SAMPLES]>>;
}

/// The way of one answer's sound, in order; silent at once when stopped.
pub trait Mouth {
    /// Hands on a piece of a sentence's sound; resolves when the next may follow without a gap.
    fn say<'a>(&'a self, sentence: &'a Sentence, piece: &'a Speech) -> Work<'a, ()>;
    /// The sentence's last piece was handed on.
    fn end<'a>(&'a self, sentence: &'a Sentence) -> Work<'a, ()>;
    /// Resolves when all has been heard.
    fn finished(&self) -> Work<'_, ()>;
    /// How much was really heard.
    fn played(&self) -> Duration;
    fn stop(&self);
}

/// What a session has to tell.
pub enum News<'a> {
    State(&'a State),
    Level {
        rms_db: f32,
        voiced: bool,
    },
    SpeechStart {
        at_ms: u64,
    },
    SpeechEnd {
        at_ms: u64,
        cause: &'static str,
    },
    Transcript {
        turn: Turn,
        text: &'a str,
        language: Option<&'a str>,
    },
    /// A piece of the answer as it comes.
    Token {
        turn: Turn,
        text: &'a str,
    },
    /// A sentence whose sound follows.
    Sentence {
        turn: Turn,
        sentence: &'a Sentence,
    },
    /// The whole answer, stored.
    Answer {
        turn: Turn,
        answer: &'a Answer,
    },
    Error {
        turn: Option<Turn>,
        error: &'a VoiceError,
    },
    Tone(Tone),
    /// The sound is kept and will be handled later; `text` says so.
    Queued {
        turn: Turn,
        recording_id: &'a str,
        job_id: &'a str,
        text: &'a str,
    },
    /// Another endpoint was triggered at once and hears the voice louder.
    Yielded {
        turn: Turn,
    },
    /// Once a turn, the last of it.
    Done {
        turn: Turn,
        message_id: Option<&'a str>,
        result: TurnResult,
        timing: Timing,
    },
}
