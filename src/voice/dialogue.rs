//! From what a person said to what the box answers: local rules, recall, storing both sides.

use std::rc::Rc;

use crate::bus::Bus;
use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// Clones share one state.
#[derive(Clone)]
pub struct Dialogue(Rc<()>);

pub struct Question {
    pub text: String,
    /// `None`: the running conversation, or a new one after the idle time.
    pub conversation: Option<String>,
    /// Whether both sides are kept.
    pub remember: bool,
    /// `zh`, `en`, or found from the text.
    pub language: Option<String>,
    /// The recording the text came from.
    pub recording: Option<String>,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct Answer {
    /// `msg_` id of the stored answer.
    pub id: String,
    pub conversation_id: String,
    pub content: String,
    pub model: String,
    pub provider: String,
    pub memories_used: Vec<MemoryUsed>,
    /// Set when this turn stored a memory.
    pub memory_saved: Option<MemorySaved>,
    pub language: String,
    pub input_tokens: u32,
    pub output_tokens: u32,
    /// What the device has to do beside speaking.
    pub action: Option<Action>,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct MemoryUsed {
    pub id: String,
    pub score: f64,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct MemorySaved {
    pub id: String,
    pub title: String,
    pub category: String,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Action {
    Stop,
    Repeat,
    Volume { percent: u8 },
    Mute,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoiceError {
    Invalid(String),
    NotFound(String),
    Muted,
    Stt(String),
    Tts(String),
    Audio(String),
    Timeout(&'static str),
    Store(StoreError),
}

impl Dialogue {
    pub fn start(
        _store: Store,
        _bus: Bus,
        _clock: Clock,
        _settings: &super::VoiceSettings,
    ) -> Dialogue {
        todo!()
    }

    /// Answers and stores both sides durably. `on_text` gets the answer piece by piece as it
    /// comes. Dropping the future cancels the turn.
    pub async fn answer(
        &self,
        _question: Question,
        _on_text: &mut dyn FnMut(&str),
    ) -> Result<Answer, VoiceError> {
        todo!()
    }

    /// Keeps what was really heard of an interrupted answer.
    pub async fn interrupted(
        &self,
        _message: &str,
        _spoken_chars: usize,
    ) -> Result<(), VoiceError> {
        todo!()
    }
}
