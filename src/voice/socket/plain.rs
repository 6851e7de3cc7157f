//! The two older dialects of `/ws`: *document* (whole messages) and *stream* (sound as it comes).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::ready;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::encoded::{Encoded, EncodingVoice};
use super::incoming::{self, Incoming, StreamEar};
use super::{Door, Link, pong};
use crate::audio::decode::SoundFormat;
use crate::audio::{SPEECH_RATE_HZ, wav};
use crate::limits::{VOICE_WHOLE_SOUND_MAX, WS_COMMANDS_MAX};
use crate::server::websocket::{Frame, Message};
use crate::voice::decode::{Source, decode};
use crate::voice::dialogue::VoiceError;
use crate::voice::port::{Ear, Mouth, News, Port, Work};
use crate::voice::providers::{Speech, Tts};
use crate::voice::sentence::Sentence;
use crate::voice::session::{Ask, Manner, Room, Session, WeakSession};
use crate::voice::turn::{Ends, Event, Phase, State, Turn};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Document,
    Stream,
}

/// A client's whole side.
pub(super) struct Plain {
    door: Rc<Door>,
    port: Rc<PlainPort>,
    session: Session,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    Audio {
        data: String,
    },
    Text {
        data: Option<String>,
        text: Option<String>,
    },
    Config {
        data: Config,
    },
    Interrupt {},
    Ping {},
}

#[derive(Deserialize)]
struct Config {
    sample_rate: u32,
}

impl Plain {
    pub fn start(link: &Rc<Link>, door: &Rc<Door>, style: Style) -> Plain {
        let port = Rc::new(PlainPort {
            room: Rc::clone(&door.shared.room),
            link: Rc::clone(link),
            style,
            incoming: Rc::new(Incoming::new()),
            rate_hz: Cell::new(SPEECH_RATE_HZ),
            conversation: door.conversation.clone(),
            session: RefCell::default(),
            waiting: RefCell::default(),
            busy: Cell::new(false),
            encoded: RefCell::default(),
        });
        let room = Rc::clone(&door.shared.room);
        let session = Session::start(room, port.clone(), State::new(false, false));
        *port.session.borrow_mut() = Some(session.downgrade());
        Plain {
            door: Rc::clone(door),
            port,
            session,
        }
    }

    pub fn message(&mut self, message: Message<'_>) {
        let result = match message {
            Message::Binary(bytes) if is_file(bytes) => {
                self.utterance(Source::bytes(bytes.to_vec(), None))
            }
            Message::Binary(bytes) => self.sound(bytes),
            Message::Text(text) if text.trim() == "interrupt" => self.interrupt(),
            Message::Text(text) => match serde_json::from_str(text) {
                Ok(said) => self.said(said),
                Err(error) => Err(VoiceError::Invalid(format!(
                    "no message of this dialect: {error}"
                ))),
            },
        };
        if let Err(error) = result {
            self.port.error(&error);
        }
    }

    fn said(&mut self, said: Said) -> Result<(), VoiceError> {
        match said {
            Said::Audio { data } => self.utterance(Source::base64(data)),
            Said::Text { data, text } => {
                let text = data.or(text).ok_or_else(|| {
                    VoiceError::Invalid(String::from("text: the words are missing"))
                })?;
                self.begin_turn()?;
                let speak = self.port.style == Style::Stream;
                self.port.ask(
                    &self.session,
                    Ask::Text {
                        text,
                        manner: self.port.manner(speak),
                    },
                )
            }
            Said::Config { data } if (8_000..=48_000).contains(&data.sample_rate) => {
                self.port.rate_hz.set(data.sample_rate);
                Ok(())
            }
            Said::Config { data } => Err(VoiceError::Invalid(format!(
                "sample_rate: 8000 to 48000 are allowed, {} was sent",
                data.sample_rate
            ))),
            Said::Interrupt {} => self.interrupt(),
            Said::Ping {} => {
                self.port.link.send_json(&pong(&self.door.shared.room));
                Ok(())
            }
        }
    }

    fn interrupt(&mut self) -> Result<(), VoiceError> {
        self.port.waiting.borrow_mut().clear();
        self.session.event(Event::Interrupt)
    }

    fn begin_turn(&self) -> Result<(), VoiceError> {
        self.door.take_turn()
    }

    /// Decoded beside the loop; a text that comes meanwhile may be answered first.
    fn utterance(&mut self, source: Source) -> Result<(), VoiceError> {
        self.begin_turn()?;
        let (port, session) = (Rc::clone(&self.port), self.session.downgrade());
        tokio::task::spawn_local(async move {
            let decoded = decode(source).await;
            let Some(session) = session.upgrade() else {
                return;
            };
            let asked = match decoded {
                Ok(decoded) if decoded.samples.is_empty() => {
                    Err(VoiceError::Invalid(String::from("the sound is empty")))
                }
                Ok(mut decoded) => {
                    let encoded = decoded.sound_as_sent();
                    let utterance = Ask::Utterance {
                        samples: std::mem::take(&mut decoded.samples),
                        encoded,
                        weight: decoded.weight(),
                        manner: port.manner(true),
                    };
                    port.ask(&session, utterance)
                }
                Err(error) => Err(error.into()),
            };
            if let Err(error) = asked {
                port.error(&error);
            }
        });
        Ok(())
    }

    /// Raw sound: opens a turn when none is open, belongs to it while it listens.
    fn sound(&mut self, bytes: &[u8]) -> Result<(), VoiceError> {
        match self.session.state().phase {
            Phase::Idle | Phase::Error { .. } if !self.port.incoming.is_open() => {
                self.begin_turn()?;
                self.port.incoming.begin(self.port.rate_hz.get());
                self.port.hear(bytes);
                self.session.ask(Ask::Listen {
                    ends: Ends::BySilence,
                    manner: self.port.manner(true),
                })
            }
            Phase::Idle | Phase::Error { .. } | Phase::Listening { .. } => {
                self.port.hear(bytes);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A whole file; what only looks like a frame of MP3 or AAC may be samples.
fn is_file(bytes: &[u8]) -> bool {
    use SoundFormat::{Flac, Mp4, Ogg, Wav, WebM};
    matches!(
        SoundFormat::sniff(bytes),
        Some(Wav | Flac | Ogg | WebM | Mp4)
    )
}

pub(super) struct PlainPort {
    room: Rc<Room>,
    link: Rc<Link>,
    style: Style,
    incoming: Rc<Incoming>,
    rate_hz: Cell<u32>,
    conversation: Option<String>,
    session: RefCell<Option<WeakSession>>,
    /// Whole messages are answered one after the other.
    waiting: RefCell<VecDeque<Ask>>,
    busy: Cell<bool>,
    /// Of the answer that is spoken now.
    encoded: RefCell<Rc<Encoded>>,
}

impl PlainPort {
    fn hear(&self, bytes: &[u8]) {
        let samples = incoming::samples_of(bytes);
        self.incoming.push(samples, self.rate_hz.get());
    }

    fn manner(&self, speak: bool) -> Manner {
        Manner {
            speak,
            conversation: self.conversation.clone(),
            ..Manner::default()
        }
    }

    fn ask(&self, session: &Session, ask: Ask) -> Result<(), VoiceError> {
        if self.style == Style::Document && self.busy.get() {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.len() >= WS_COMMANDS_MAX {
                return Err(VoiceError::Conflict(String::from(
                    "too many questions wait for their answers; send the next after an answer",
                )));
            }
            waiting.push_back(ask);
            return Ok(());
        }
        let asked = session.ask(ask);
        self.busy.set(asked.is_ok());
        asked
    }

    /// After a turn: the next question that waits.
    fn next(&self) {
        self.busy.set(false);
        let Some(ask) = self.waiting.borrow_mut().pop_front() else {
            return;
        };
        let session = self
            .session
            .borrow()
            .as_ref()
            .and_then(WeakSession::upgrade);
        if let Some(session) = session
            && let Err(error) = self.ask(&session, ask)
        {
            self.error(&error);
        }
    }

    fn error(&self, error: &VoiceError) {
        let code = error.line().code;
        let told = error.told(self.room.settings().language.as_deref());
        self.link.send_json(&match self.style {
            Style::Document => json!({"type": "error", "data": told, "code": code}),
            Style::Stream => json!({"type": "error", "error": told, "code": code}),
        });
    }

    fn tell_document(&self, news: &News<'_>) -> Option<Value> {
        Some(match news {
            News::Transcript { text, .. } => {
                json!({"type": "transcription", "data": {"text": text}})
            }
            News::Answer { answer, .. } => json!({"type": "text_response", "data": answer.content}),
            News::Queued { text, job_id, .. } => {
                json!({"type": "text_response", "data": text, "job_id": job_id})
            }
            _ => return None,
        })
    }

    fn tell_stream(&self, news: &News<'_>) -> Option<Value> {
        Some(match news {
            News::State(state) => json!({"type": "state", "status": match state.phase {
                Phase::Transcribing { .. } => "processing",
                Phase::Error { .. } => "idle",
                phase => phase.name(),
            }}),
            News::Transcript { text, .. } => json!({"type": "stt_final", "text": text}),
            News::Token { text, .. } => json!({"type": "llm_token", "text": text}),
            News::Answer { answer, .. } => json!({"type": "llm_reply", "text": answer.content}),
            News::Queued { text, job_id, .. } => {
                json!({"type": "llm_reply", "text": text, "job_id": job_id})
            }
            _ => return None,
        })
    }
}

impl Port for PlainPort {
    fn name(&self) -> &'static str {
        match self.style {
            Style::Document => "ws_document",
            Style::Stream => "ws_stream",
        }
    }

    fn tell(&self, news: &News<'_>) {
        if let News::Error { error, .. } = news {
            self.error(error);
        }
        let message = match self.style {
            Style::Document => self.tell_document(news),
            Style::Stream => self.tell_stream(news),
        };
        if let Some(message) = message {
            self.link.send_json(&message);
        }
        if let News::Done { .. } = news {
            self.incoming.end();
            self.next();
        }
    }

    fn ear(&self) -> Work<'_, Box<dyn Ear>> {
        let ear = StreamEar::new(Rc::clone(&self.incoming));
        Box::pin(async { Ok(Box::new(ear) as Box<dyn Ear>) })
    }

    fn mouth(&self, _turn: Turn) -> Result<Rc<dyn Mouth>, VoiceError> {
        Ok(Rc::new(WholeMouth {
            link: Rc::clone(&self.link),
            style: self.style,
            whole: RefCell::default(),
            encoded: self.encoded.borrow().clone(),
            sent: Cell::new(Duration::ZERO),
        }))
    }

    fn voice(&self, tts: Rc<dyn Tts>) -> Rc<dyn Tts> {
        if self.style != Style::Document {
            return tts;
        }
        let encoded = Rc::new(Encoded::default());
        self.encoded.replace(Rc::clone(&encoded));
        Rc::new(EncodingVoice { tts, encoded })
    }
}

/// Sends whole sound: of each sentence as WAV (*stream*), or of the answer (*document*), then as
/// MP3 where the voice makes it.
struct WholeMouth {
    link: Rc<Link>,
    style: Style,
    whole: RefCell<Option<Speech>>,
    encoded: Rc<Encoded>,
    sent: Cell<Duration>,
}

impl Mouth for WholeMouth {
    fn say<'a>(&'a self, _sentence: &'a Sentence, piece: &'a Speech) -> Work<'a, ()> {
        let mut whole = self.whole.borrow_mut();
        match &mut *whole {
            None => *whole = Some(piece.clone()),
            Some(whole) if whole.duration() >= VOICE_WHOLE_SOUND_MAX => {}
            Some(whole) => whole.append(piece.clone()),
        }
        Box::pin(ready(Ok(())))
    }

    fn end<'a>(&'a self, _sentence: &'a Sentence) -> Work<'a, ()> {
        if self.style == Style::Stream
            && let Some(whole) = self.whole.borrow_mut().take()
        {
            let bytes = wav::encode(&whole.samples, whole.rate_hz);
            self.link.send(Frame::binary(&[&bytes]));
            self.sent.set(self.sent.get() + whole.duration());
        }
        Box::pin(ready(Ok(())))
    }

    fn finished(&self) -> Work<'_, ()> {
        if let Some(whole) = self.whole.borrow_mut().take() {
            let message = match self.encoded.take() {
                Some(mp3) => json!({"type": "audio_response", "data": STANDARD.encode(mp3)}),
                None => {
                    let wav = STANDARD.encode(wav::encode(&whole.samples, whole.rate_hz));
                    json!({"type": "audio_response", "data": wav, "format": "wav"})
                }
            };
            self.link.send_json(&message);
            self.sent.set(whole.duration());
        }
        Box::pin(ready(Ok(())))
    }

    /// What was handed over counts as heard; these clients tell no more.
    fn played(&self) -> Duration {
        self.sent.get()
    }

    fn stop(&self) {
        self.whole.borrow_mut().take();
    }
}
