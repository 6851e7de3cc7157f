//! The native dialect's bytes: JSON commands and sound frames into types. Pure; never panics.
//!
//! A sound frame is 8 bytes little endian, `u8 kind`, `u8 flags` (bit 0: last), `u16 stream`,
//! `u32 seq`, then s16le samples, or bytes of the format that `audio_start` named.

use serde::Deserialize;

pub const KIND_MICROPHONE: u8 = 1;
pub const KIND_SPEAKER: u8 = 2;
pub const FLAG_LAST: u8 = 1;
pub const FRAME_HEADER_BYTES: usize = 8;
/// Lost sound up to this long is filled with silence; beyond it the stream ends.
pub const GAP_MS_MAX: u64 = 200;
/// One frame holds this much sound.
pub const FRAME_MS_MIN: u64 = 10;
pub const FRAME_MS_MAX: u64 = 100;

/// A command of the client; unknown fields are ignored.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    Hello(Hello),
    AudioStart(AudioStart),
    AudioEnd {
        stream: u16,
        #[serde(default)]
        cancel: bool,
    },
    Text {
        text: String,
        conversation_id: Option<String>,
        /// `true`, `false`, or the words of the HTTP interface.
        speak: Option<Speak>,
    },
    Interrupt {
        turn: Option<u64>,
        #[serde(default)]
        reason: Reason,
    },
    Played {
        turn: u64,
        sentence: usize,
        ms: u64,
    },
    Mute {
        muted: bool,
    },
    /// Loudness of the box, 0 to 100.
    Volume {
        percent: u8,
    },
    TimerAck(TimerAck),
    Subscribe {
        events: Vec<String>,
    },
    Ping {},
}

#[derive(Debug, Deserialize, PartialEq)]
pub struct Hello {
    pub proto: u32,
    #[serde(default)]
    pub role: Part,
    #[serde(default)]
    pub caps: Caps,
    pub resume: Option<Resume>,
}

/// What a client is in the house.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A page or program of one person.
    #[default]
    Client,
    /// A microphone and loudspeaker in another room.
    Satellite,
    /// Shows what goes on and never speaks.
    Display,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
pub struct Caps {
    /// Formats the client can play; without `pcm16` nothing is spoken unless it is asked for.
    #[serde(default)]
    pub play: Vec<String>,
    /// The client's microphone does not hear its own speaker.
    #[serde(default)]
    pub aec: bool,
}

#[derive(Debug, Deserialize, PartialEq)]
pub struct Resume {
    pub session: String,
}

#[derive(Debug, Deserialize, PartialEq)]
pub struct AudioStart {
    pub stream: u16,
    pub format: String,
    #[serde(default = "speech_rate")]
    pub rate: u32,
    #[serde(default)]
    pub endpoint: EndedBy,
    /// `chat`, `note` or `auto`.
    pub mode: Option<String>,
    pub conversation_id: Option<String>,
    pub language: Option<String>,
    pub speak: Option<Speak>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    #[default]
    Server,
    Client,
}

/// Stops one that rings, or lets it ring again later.
#[derive(Debug, Deserialize, PartialEq)]
pub struct TimerAck {
    pub id: String,
    #[serde(default)]
    pub action: TimerAction,
    /// Seconds until a snoozed one rings again.
    pub duration: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum TimerAction {
    #[default]
    Stop,
    Snooze,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    #[default]
    User,
    Bargein,
    Button,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Speak {
    Flag(bool),
    Word(String),
}

impl Speak {
    /// Whether this client wants to hear the answer.
    pub fn wanted(&self) -> bool {
        match self {
            Speak::Flag(flag) => *flag,
            Speak::Word(word) => word == "return",
        }
    }
}

fn speech_rate() -> u32 {
    crate::audio::SPEECH_RATE_HZ
}

/// One binary message of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundFrame<'a> {
    pub stream: u16,
    pub seq: u32,
    pub last: bool,
    /// s16le, or what the stream's format says.
    pub payload: &'a [u8],
}

impl<'a> SoundFrame<'a> {
    /// The payload as whole samples.
    pub fn samples(&self) -> Result<&'a [u8], WireError> {
        if self.payload.len().is_multiple_of(2) {
            Ok(self.payload)
        } else {
            Err(WireError::Odd(self.payload.len()))
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// No JSON of a known command; says where and what.
    Command(String),
    Short(usize),
    Kind(u8),
    /// Half a sample at the end.
    Odd(usize),
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WireError::Command(what) => write!(f, "no command of this dialect: {what}"),
            WireError::Short(bytes) => {
                write!(
                    f,
                    "a sound frame has a head of {FRAME_HEADER_BYTES} bytes, {bytes} came"
                )
            }
            WireError::Kind(kind) => {
                write!(
                    f,
                    "kind {kind} is not a microphone frame ({KIND_MICROPHONE})"
                )
            }
            WireError::Odd(bytes) => write!(f, "{bytes} bytes are no whole 16-bit samples"),
        }
    }
}

pub fn parse_command(text: &str) -> Result<Command, WireError> {
    serde_json::from_str(text).map_err(|error| WireError::Command(error.to_string()))
}

pub fn parse_sound_frame(bytes: &[u8]) -> Result<SoundFrame<'_>, WireError> {
    let Some((head, payload)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Err(WireError::Short(bytes.len()));
    };
    let [kind, flags, stream_low, stream_high, seq @ ..] = *head;
    if kind != KIND_MICROPHONE {
        return Err(WireError::Kind(kind));
    }
    Ok(SoundFrame {
        stream: u16::from_le_bytes([stream_low, stream_high]),
        seq: u32::from_le_bytes(seq),
        last: flags & FLAG_LAST != 0,
        payload,
    })
}

pub fn speaker_head(last: bool, stream: u16, seq: u32) -> [u8; FRAME_HEADER_BYTES] {
    let [low, high] = stream.to_le_bytes();
    let [a, b, c, d] = seq.to_le_bytes();
    [KIND_SPEAKER, u8::from(last), low, high, a, b, c, d]
}

/// Keeps a stream's frames in order and knows what was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    next: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To be taken after so many frames of silence.
    Next { lost: u32 },
    /// A frame that came already, or too late.
    Old,
    /// More is lost than silence may stand for.
    Gap,
}

impl Order {
    pub const fn new() -> Order {
        Order { next: None }
    }

    /// Where a frame of `frame_ms` stands; numbers wrap around.
    pub fn place(&mut self, seq: u32, frame_ms: u64) -> Place {
        let lost = seq.wrapping_sub(self.next.unwrap_or(seq));
        if lost > u32::MAX / 2 {
            return Place::Old;
        }
        if u64::from(lost) * frame_ms > GAP_MS_MAX {
            return Place::Gap;
        }
        self.next = Some(seq.wrapping_add(1));
        Place::Next { lost }
    }
}

impl Default for Order {
    fn default() -> Order {
        Order::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_that_leaps_is_a_gap_whatever_the_frame_holds() {
        for frame_ms in [FRAME_MS_MIN, FRAME_MS_MAX] {
            let mut order = Order::new();
            assert_eq!(order.place(0, frame_ms), Place::Next { lost: 0 });
            assert_eq!(order.place(0x7fff_ffff, frame_ms), Place::Gap);
        }
    }

    #[test]
    fn commands_are_read_with_their_defaults() {
        let hello = parse_command(r#"{"type":"hello","proto":2,"role":"client","x":1}"#);
        let hello_expected = Hello {
            proto: 2,
            role: Part::Client,
            caps: Caps::default(),
            resume: None,
        };
        assert_eq!(hello, Ok(Command::Hello(hello_expected)));
        assert_eq!(parse_command(r#"{"type":"ping"}"#), Ok(Command::Ping {}));
        let interrupt = Command::Interrupt {
            turn: None,
            reason: Reason::User,
        };
        assert_eq!(parse_command(r#"{"type":"interrupt"}"#), Ok(interrupt));
        let start = parse_command(r#"{"type":"audio_start","stream":3,"format":"s16le"}"#);
        assert!(
            matches!(&start, Ok(Command::AudioStart(start))
                if start.rate == 16_000 && start.endpoint == EndedBy::Server),
            "{start:?}"
        );
    }

    #[test]
    fn a_wrong_command_is_told_and_never_a_panic() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "x",
            "[]",
            "null",
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"x"}"#,
            r#"{"type":"text"}"#,
            r#"{"type":"text","text":7}"#,
            r#"{"type":"audio_end","stream":70000}"#,
            &deep,
        ] {
            assert!(
                matches!(parse_command(text), Err(WireError::Command(_))),
                "{text:.40}"
            );
        }
    }

    #[test]
    fn sound_frames_are_read_as_they_were_written() {
        let frame = [1, 1, 2, 0, 7, 0, 0, 0, 1, 2];
        let expected = SoundFrame {
            stream: 2,
            seq: 7,
            last: true,
            payload: &[1, 2],
        };
        assert_eq!(parse_sound_frame(&frame), Ok(expected));
        assert_eq!(parse_sound_frame(&frame[..7]), Err(WireError::Short(7)));
        assert_eq!(parse_sound_frame(&[2; 10]), Err(WireError::Kind(2)));
        let half = parse_sound_frame(&frame[..9]).expect("a frame");
        assert_eq!(half.samples(), Err(WireError::Odd(1)));
        assert_eq!(speaker_head(true, 0x0102, 3), [2, 1, 2, 1, 3, 0, 0, 0]);
    }

    #[test]
    fn lost_frames_become_silence_until_too_many_are_lost() {
        let mut order = Order::new();
        assert_eq!(order.place(u32::MAX, 20), Place::Next { lost: 0 });
        assert_eq!(order.place(0, 20), Place::Next { lost: 0 });
        assert_eq!(order.place(11, 20), Place::Next { lost: 10 });
        assert_eq!(order.place(11, 20), Place::Old);
        assert_eq!(order.place(23, 20), Place::Gap);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_sound_frame(&bytes);
            let _ = parse_command(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn order_never_goes_back(seqs in prop::collection::vec(0u32..50, 0..50)) {
            let mut order = Order::new();
            let mut last = None;
            for seq in seqs {
                if let Place::Next { .. } = order.place(seq, 20) {
                    prop_assert!(last.is_none_or(|last| seq > last));
                    last = Some(seq);
                }
            }
        }
    }
}
