//! What a recording is: where it comes from, what is to become of it, how far it is.

use crate::clock::UnixMillis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Device,
    Socket,
    Upload,
    /// Sound that the box made.
    Reply,
}

/// What is to become of the words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Chat,
    /// Kept word for word as a memory.
    Note,
    /// A note when it is long, else a chat.
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Recording,
    Waiting,
    Done,
    Failed,
}

/// A recording about to begin.
#[derive(Clone, Debug)]
pub struct NewRecording {
    pub origin: Origin,
    pub mode: Mode,
    /// Ending of the file's name.
    pub format: &'static str,
    pub client_id: Option<String>,
    pub conversation_id: Option<String>,
    pub language: Option<String>,
    pub speak: bool,
    pub recorded_at: Option<UnixMillis>,
}

impl NewRecording {
    pub fn live(origin: Origin, mode: Mode) -> NewRecording {
        NewRecording {
            origin,
            mode,
            format: "wav",
            client_id: None,
            conversation_id: None,
            language: None,
            speak: false,
            recorded_at: None,
        }
    }
}

/// A recording that is whole on the card.
#[derive(Clone, Debug)]
pub struct Kept {
    pub id: String,
    pub file: String,
    pub format: String,
    pub origin: Origin,
    pub mode: Mode,
    pub state: State,
    pub bytes: u64,
    pub duration_ms: Option<u64>,
    pub hash: Option<[u8; 32]>,
    pub client_id: Option<String>,
    pub conversation_id: Option<String>,
    pub language: Option<String>,
    pub speak: bool,
    pub recorded_at: UnixMillis,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub id: String,
    pub file: Option<String>,
    pub format: String,
    pub mode: Mode,
    pub state: State,
    pub bytes: u64,
    pub duration_ms: Option<u64>,
    pub conversation_id: Option<String>,
    pub language: Option<String>,
    pub text: Option<String>,
    pub memory_id: Option<String>,
    pub result: Option<serde_json::Value>,
    pub recorded_at: UnixMillis,
}

impl NewRecording {
    pub(super) fn is_live(&self) -> bool {
        matches!(self.origin, Origin::Device | Origin::Socket)
    }
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Chat => "chat",
            Mode::Note => "note",
            Mode::Auto => "auto",
        }
    }

    pub fn parse(name: &str) -> Option<Mode> {
        [Mode::Chat, Mode::Note, Mode::Auto]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}
