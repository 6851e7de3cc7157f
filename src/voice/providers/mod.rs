//! Speech engines: what turns sound into text and text into sound.
//!
//! An engine is anything behind [`Stt`] or [`Tts`]; today they are programs of this machine.
//! [`Engines`] holds the ones chosen at the start and says why when there is none. Every call has
//! a limit, waits in a bounded line, and is cancelled by dropping it.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::dialogue::VoiceError;

pub mod breaker;
pub mod cache;
pub mod chain;
pub mod chains;
pub mod check;
pub mod choice;
pub mod command;
pub mod file;
pub mod llm;
pub mod network;
pub mod openai;
pub mod sound;
pub mod stt;
pub mod tts;

pub use chain::MemberHealth;
pub use choice::{EngineReport, Engines};
pub use file::{FileFormat, FileWish, SpeechFile};
pub use llm::{ChatReply, ChatRequest, Llm};
pub use sound::{EncodedSound, Sound, Speech, SpeechStream};

/// A call under way; dropping it ends the engine's work.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, EngineError>> + 'a>>;

/// Sound into text.
pub trait Stt {
    fn name(&self) -> &str;
    /// Empty text: nothing was understood.
    fn transcribe<'a>(&'a self, sound: &'a Sound, options: &'a SttOptions) -> Call<'a, Transcript>;
    /// How those do that stand behind it, in the order in which they are asked.
    fn members(&self) -> Vec<MemberHealth> {
        Vec::new()
    }
}

/// Text into sound.
pub trait Tts {
    fn name(&self) -> &str;
    /// One sentence. `language` is `en`, `zh`, or found from the text. Resolves when the first
    /// piece of sound is there; the rest comes while that is heard.
    fn synthesize<'a>(&'a self, text: &'a str, language: Option<&'a str>)
    -> Call<'a, SpeechStream>;
    /// Whether [`Tts::encode`] makes files.
    fn encodes(&self) -> bool {
        false
    }
    /// The speech as the provider encodes it; `None`: this voice makes samples alone.
    fn encode<'a>(&'a self, _wish: &'a FileWish) -> Call<'a, Option<SpeechFile>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Model and voice: with another one the same text sounds different.
    fn voice(&self) -> String {
        String::new()
    }
    /// Makes and keeps what has to be said when this voice cannot be reached; nothing where it
    /// always can.
    fn prepare<'a>(&'a self, _text: &'a str) -> Call<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
    /// This voice failed again and again: the next one speaks for a while. `false`: there is none.
    fn next_voice(&self) -> bool {
        false
    }
    /// How those do that stand behind it, in the order in which they are asked.
    fn members(&self) -> Vec<MemberHealth> {
        Vec::new()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SttOptions {
    /// `en`, `zh`, or the engine's own guess.
    pub language: Option<String>,
    /// Names and words that may occur.
    pub prompt: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    pub text: String,
    pub language: Option<String>,
    pub provider: Rc<str>,
    /// Where the engine tells them.
    pub segments: Vec<Segment>,
    /// Seconds of sound.
    pub duration: f64,
}

/// Times are seconds from the sound's beginning.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Segment {
    pub start: f64,
    pub end: f64,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// No engine is there; with what to install or set.
    Missing(String),
    /// The engine ran and failed.
    Failed(String),
    /// Killed after this long.
    Timeout(Duration),
    /// [`crate::limits::SPEECH_WAITING_MAX`] others wait already.
    Busy,
    /// The engine cannot run now.
    Refused(String),
    /// No way to the provider: no route, no name, no connection, no TLS.
    Unreachable(String),
    /// The provider takes no more for now (429, 529).
    Limited {
        what: String,
        retry_after: Option<Duration>,
    },
    /// The provider failed or its answer broke off (5xx).
    Broken(String),
    /// The provider will never take this call (other 4xx).
    Rejected(String),
}

impl EngineError {
    /// Whether the same call may succeed a moment later.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            EngineError::Failed(_) | EngineError::Busy | EngineError::Broken(_)
        )
    }

    /// Whether what was asked is worth keeping and asking again later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, EngineError::Rejected(_) | EngineError::Missing(_))
    }

    pub fn of_stt(self) -> VoiceError {
        match self {
            EngineError::Timeout(_) => VoiceError::Timeout("the recogniser"),
            other => VoiceError::Stt(other.to_string()),
        }
    }

    pub fn of_llm(self) -> VoiceError {
        match self {
            EngineError::Timeout(_) => VoiceError::Timeout("the answer"),
            other => VoiceError::Ai(other.to_string()),
        }
    }

    pub fn of_tts(self) -> VoiceError {
        match self {
            EngineError::Timeout(_) => VoiceError::Timeout("the voice"),
            other => VoiceError::Tts(other.to_string()),
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Missing(what)
            | EngineError::Failed(what)
            | EngineError::Refused(what)
            | EngineError::Unreachable(what)
            | EngineError::Limited { what, .. }
            | EngineError::Broken(what)
            | EngineError::Rejected(what) => f.write_str(what),
            EngineError::Timeout(after) => {
                write!(f, "it took longer than {} s and was ended", after.as_secs())
            }
            EngineError::Busy => f.write_str("too much speech is waiting; try again in a moment"),
        }
    }
}

/// `zh` when there is any Chinese in it, else `en`.
pub fn language_of(text: &str) -> &'static str {
    if text.chars().any(is_cjk) { "zh" } else { "en" }
}

/// Ideographs, kana and hangul: writing without spaces between words.
pub fn is_cjk(c: char) -> bool {
    matches!(c, '\u{2E80}'..='\u{2FDF}' | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}'
        | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFF}')
}
