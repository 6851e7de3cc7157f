//! The native dialect of `/ws`: states, sound both ways as frames, interrupts, a way back after a
//! lost socket.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::coded::{self, Coded, Decoding, Sink};
use super::follow::{Following, follow, unknown};
use super::incoming::{self, Incoming, StreamEar};
use super::mouth::NativeMouth;
use super::wire::{
    self, AudioStart, Command, EndedBy, FRAME_HEADER_BYTES, FRAME_MS_MAX, FRAME_MS_MIN, GAP_MS_MAX,
    Hello, Order, Place, Reason, Speak,
};
use super::{Door, Link, orders, pong};
use crate::audio::SPEECH_RATE_HZ;
use crate::audio::decode::SoundFormat;
use crate::clock::MonoMillis;
use crate::limits::{CONSUMER_QUEUE_BYTES_MAX, VOICE_FRAME_BYTES_MAX, VOICE_PARKED_MAX};
use crate::server::websocket::Message;
use crate::voice::dialogue::VoiceError;
use crate::voice::port::{Ear, Mouth, News, Port, Work};
use crate::voice::recordings::Mode;
use crate::voice::session::{Ask, Manner, Room, Session};
use crate::voice::turn::{Ends, Event, Phase, State, Turn, TurnResult};

const PROTO: u32 = 2;

pub(super) struct Native {
    door: Rc<Door>,
    id: String,
    port: Rc<NativePort>,
    session: Session,
    stream: Option<Stream>,
    following: Vec<Following>,
}

/// The microphone stream of the client.
struct Stream {
    id: u16,
    rate_hz: u32,
    order: Order,
    /// Where the sound is compressed.
    coded: Option<Coded>,
}

/// A conversation without its socket.
pub(super) struct Parked {
    port: Rc<NativePort>,
    session: Session,
    stream: Option<Stream>,
    following: Vec<Following>,
    since: MonoMillis,
}

impl Native {
    pub fn start(link: &Rc<Link>, door: &Rc<Door>) -> Native {
        let port = Rc::new(NativePort {
            link: Rc::clone(link),
            incoming: Rc::new(Incoming::new()),
            plays: Cell::new(false),
            aec: Cell::new(false),
            barging: Cell::new(false),
            stream: Cell::new(0),
            decoding: RefCell::default(),
            mouth: RefCell::default(),
            room: Rc::clone(&door.shared.room),
            ended: Cell::new(None),
        });
        let room = Rc::clone(&door.shared.room);
        let session = Session::start(room, port.clone(), State::new(false, false));
        Native {
            door: Rc::clone(door),
            id: fresh_session_id(),
            port,
            session,
            stream: None,
            following: follow(&door.shared.bus, link, &[]),
        }
    }

    pub fn message(&mut self, message: Message<'_>) {
        let result = match message {
            Message::Text(text) => match wire::parse_command(text) {
                Ok(command) => self.command(command),
                Err(error) => Err(VoiceError::Invalid(error.to_string())),
            },
            Message::Binary(bytes) => self.sound(bytes),
        };
        if let Err(error) = result {
            self.port.error(None, &error);
        }
    }

    fn command(&mut self, command: Command) -> Result<(), VoiceError> {
        match command {
            Command::Hello(hello) => self.hello(hello),
            Command::AudioStart(start) => self.audio_start(start),
            Command::AudioEnd { stream, cancel } => self.audio_end(stream, cancel),
            Command::Text {
                text,
                conversation_id,
                speak,
            } => {
                self.begin_turn()?;
                let manner = self.manner(conversation_id, None, speak.as_ref());
                self.session.ask(Ask::Text { text, manner })
            }
            Command::Interrupt { turn, reason } => {
                if turn.is_some() && turn != self.session.state().turn() {
                    return Ok(());
                }
                if reason == Reason::Bargein {
                    self.door.shared.room.log.barge_in();
                }
                self.session.event(Event::Interrupt)
            }
            Command::Played { turn, sentence, ms } => {
                self.port.played(turn, sentence, Duration::from_millis(ms));
                Ok(())
            }
            Command::Mute { muted } => self.session.event(Event::Mute(muted)),
            Command::Volume { percent } => orders::volume(&self.door.shared.room, percent),
            Command::TimerAck(ack) => {
                let port = Rc::clone(&self.port);
                let told = move |error: &VoiceError| port.error(None, error);
                orders::timer_ack(&self.door.shared.room, ack, told);
                Ok(())
            }
            Command::Subscribe { events } => self.subscribe(&events),
            Command::Ping {} => {
                self.port.link.send_json(&pong(&self.door.shared.room));
                Ok(())
            }
        }
    }

    fn hello(&mut self, hello: Hello) -> Result<(), VoiceError> {
        if hello.proto != PROTO {
            return Err(VoiceError::Invalid(format!(
                "proto: this box speaks {PROTO}, {} was asked for",
                hello.proto
            )));
        }
        let resumed = hello
            .resume
            .is_some_and(|resume| self.resume(resume.session));
        let plays = |format: &String| format.starts_with("pcm16");
        self.port.plays.set(hello.caps.play.iter().any(plays));
        self.port.aec.set(hello.caps.aec);
        let state = self.session.state();
        let room = &self.door.shared.room;
        self.port.link.send_json(&json!({
            "type": "hello",
            "proto": PROTO,
            "session": self.id,
            "resumed": resumed,
            "state": state.phase.name(),
            "muted": state.muted,
            "settings": {
                "end_silence_ms": room.settings().end_silence.as_millis() as u64,
                "stt": room.engines().stt.is_ok(),
                "tts": room.engines().tts.is_ok(),
            },
            "server_time": room.clock.wall().rfc3339(),
        }));
        Ok(())
    }

    /// Takes up a conversation whose socket was lost.
    fn resume(&mut self, id: String) -> bool {
        let Some(parked) = self.door.shared.parked.borrow_mut().remove(&id) else {
            return false;
        };
        let socket = self.port.link.0.borrow_mut().take();
        *parked.port.link.0.borrow_mut() = socket;
        self.id = id;
        self.port = parked.port;
        self.session = parked.session;
        self.stream = parked.stream;
        self.following = parked.following;
        true
    }

    /// The socket is gone: what was being said is kept for a while.
    pub fn lost(self) {
        let listening = matches!(self.session.state().phase, Phase::Listening { .. });
        let mut parked = self.door.shared.parked.borrow_mut();
        if !listening || parked.len() >= VOICE_PARKED_MAX {
            return;
        }
        self.port.link.0.borrow_mut().take();
        let room = &self.door.shared.room;
        let (since, wait) = (room.clock.mono(), room.settings().resume_within);
        let resumable = Parked {
            since,
            port: Rc::clone(&self.port),
            session: self.session.clone(),
            stream: self.stream,
            following: self.following,
        };
        parked.insert(self.id.clone(), resumable);
        drop(parked);
        let (shared, id) = (Rc::clone(&self.door.shared), self.id.clone());
        tokio::task::spawn_local(async move {
            tokio::time::sleep(wait).await;
            let mut parked = shared.parked.borrow_mut();
            // It may have come back and been lost again since.
            if parked.get(&id).is_some_and(|parked| parked.since == since) {
                parked.remove(&id);
            }
        });
    }

    fn begin_turn(&self) -> Result<(), VoiceError> {
        self.door.take_turn()
    }

    fn manner(
        &self,
        conversation: Option<String>,
        language: Option<String>,
        speak: Option<&Speak>,
    ) -> Manner {
        Manner {
            conversation,
            speak: speak.map_or(self.port.plays.get(), Speak::wanted),
            language,
            mode: Mode::Chat,
        }
    }

    fn audio_start(&mut self, start: AudioStart) -> Result<(), VoiceError> {
        let format = coded::format_of(&start.format);
        let plain = start.format == "s16le" && (8_000..=48_000).contains(&start.rate);
        if !plain && format.is_none() {
            return Err(VoiceError::Invalid(format!(
                "format and rate: s16le at 8000 to 48000 Hz, webm_opus, ogg_opus, mp4_aac and wav \
                 are understood, {} at {} was sent",
                start.format, start.rate
            )));
        }
        let mode = start.mode.as_deref().map_or(Some(Mode::Chat), Mode::parse);
        let mode = mode.ok_or_else(|| {
            VoiceError::Invalid(String::from("mode: chat, note and auto are understood"))
        })?;
        self.begin_turn()?;
        self.session.event(Event::Interrupt)?;
        let coded = format.map(|format| self.decode(format));
        let decoding = coded.as_ref().map(Coded::decoding);
        if let Some(before) = self.port.decoding.replace(decoding) {
            before.forget();
        }
        self.stream = Some(Stream {
            id: start.stream,
            rate_hz: start.rate,
            order: Order::new(),
            coded,
        });
        self.port.stream.set(start.stream);
        self.port.barging.set(true);
        // The decoder tells the rate of compressed sound.
        self.port.incoming.begin(match plain {
            true => start.rate,
            false => SPEECH_RATE_HZ,
        });
        let ends = match (mode, start.endpoint) {
            (Mode::Note, _) => Ends::Memo,
            (_, EndedBy::Server) => Ends::BySilence,
            (_, EndedBy::Client) => Ends::ByHand,
        };
        let manner = Manner {
            mode,
            ..self.manner(start.conversation_id, start.language, start.speak.as_ref())
        };
        self.session.ask(Ask::Listen { ends, manner })
    }

    fn audio_end(&mut self, stream: u16, cancel: bool) -> Result<(), VoiceError> {
        if self.stream.as_ref().is_none_or(|open| open.id != stream) {
            return Ok(());
        }
        let stream = self.stream.take();
        if cancel {
            return self.session.event(Event::Interrupt);
        }
        match stream.and_then(|stream| stream.coded) {
            Some(coded) => coded.end(),
            None => self.port.incoming.end(),
        }
        Ok(())
    }

    fn sound(&mut self, bytes: &[u8]) -> Result<(), VoiceError> {
        if bytes.len() > FRAME_HEADER_BYTES + VOICE_FRAME_BYTES_MAX {
            return Err(VoiceError::Invalid(format!(
                "a sound frame holds at most {VOICE_FRAME_BYTES_MAX} bytes, {} came",
                bytes.len() - FRAME_HEADER_BYTES
            )));
        }
        let frame = wire::parse_sound_frame(bytes)
            .map_err(|error| VoiceError::Invalid(error.to_string()))?;
        let Some(stream) = self.stream.as_mut().filter(|open| open.id == frame.stream) else {
            return Ok(());
        };
        if let Some(coded) = &stream.coded {
            let placed = match stream.order.place(frame.seq, GAP_MS_MAX + 1) {
                Place::Old => Ok(()),
                Place::Next { .. } => coded.push(frame.payload),
                Place::Gap => Err(VoiceError::Invalid(String::from(
                    "seq: a part of the sound was lost; begin a new stream",
                ))),
            };
            // What came until then is answered.
            if placed.is_err() || frame.last {
                self.audio_end(frame.stream, false)?;
            }
            return placed;
        }
        let payload = frame
            .samples()
            .map_err(|error| VoiceError::Invalid(error.to_string()))?;
        let ms = payload.len() as u64 / 2 * 1000 / u64::from(stream.rate_hz);
        if ms > FRAME_MS_MAX || ms < FRAME_MS_MIN && !frame.last {
            return Err(VoiceError::Invalid(format!(
                "a sound frame holds {FRAME_MS_MIN} to {FRAME_MS_MAX} ms, {ms} ms came"
            )));
        }
        match stream.order.place(frame.seq, ms.max(FRAME_MS_MIN)) {
            Place::Old => return Ok(()),
            Place::Gap => {
                self.audio_end(frame.stream, false)?;
                return Err(VoiceError::Invalid(String::from(
                    "seq: too much sound was lost; begin a new stream",
                )));
            }
            Place::Next { lost } => {
                let (samples, rate_hz) = (incoming::samples_of(payload), stream.rate_hz);
                for _ in 0..lost {
                    take(&self.port, &self.session, vec![0; samples.len()], rate_hz)?;
                }
                take(&self.port, &self.session, samples, rate_hz)?;
            }
        }
        if frame.last {
            return self.audio_end(frame.stream, false);
        }
        Ok(())
    }

    /// Compressed sound for the listener. Where it cannot be decoded it has ended; what came until
    /// then is answered.
    fn decode(&self, format: SoundFormat) -> Coded {
        let (port, session) = (Rc::clone(&self.port), self.session.downgrade());
        let (hearing, failing) = (Rc::clone(&port), self.session.downgrade());
        let heard = move |samples, rate_hz| {
            if let Some(session) = session.upgrade()
                && let Err(error) = take(&hearing, &session, samples, rate_hz)
            {
                hearing.error(None, &error);
            }
        };
        let failed = move |error: VoiceError, is_heard: bool| {
            port.error(None, &error);
            match failing.upgrade() {
                // A session that has ended listens no more.
                Some(session) if !is_heard => {
                    let _ = session.event(Event::Interrupt);
                }
                _ => port.incoming.end(),
            }
        };
        let incoming = Rc::clone(&self.port.incoming);
        Coded::start(
            format,
            Sink {
                incoming,
                heard,
                failed,
            },
        )
    }

    fn subscribe(&mut self, events: &[String]) -> Result<(), VoiceError> {
        let unknown = unknown(events);
        if !unknown.is_empty() {
            return Err(VoiceError::Invalid(format!(
                "events: device, timers, jobs and memories can be followed, not {unknown:?}"
            )));
        }
        self.following = follow(&self.door.shared.bus, &self.port.link, events);
        Ok(())
    }
}

/// Sound for the listener, or, while the answer is spoken, somebody speaking into it.
fn take(
    port: &NativePort,
    session: &Session,
    samples: Vec<i16>,
    rate_hz: u32,
) -> Result<(), VoiceError> {
    let phase = session.state().phase;
    let is_answering = matches!(phase, Phase::Thinking { .. } | Phase::Speaking { .. });
    if is_answering && port.aec.get() {
        if port.incoming.overhear(samples, rate_hz) {
            port.barging.set(true);
            port.incoming.reopen();
            return session.event(Event::BargeIn);
        }
    } else if port.incoming.is_open() {
        port.incoming.push(samples, rate_hz);
    }
    Ok(())
}

fn fresh_session_id() -> String {
    let mut random = [0; 8];
    // Without randomness the id is a fixed one: it can then not be resumed by two, and no more.
    let _ = getrandom::fill(&mut random);
    format!("ses_{:016x}", u64::from_ne_bytes(random))
}

pub(super) struct NativePort {
    link: Rc<Link>,
    incoming: Rc<Incoming>,
    plays: Cell<bool>,
    aec: Cell<bool>,
    /// The turn that ends next makes room for sound that is already there.
    barging: Cell<bool>,
    stream: Cell<u16>,
    /// The compressed stream that came last.
    decoding: RefCell<Option<Decoding>>,
    mouth: RefCell<Option<Rc<NativeMouth>>>,
    room: Rc<Room>,
    /// How the last turn ended: the reason of the state that follows.
    ended: Cell<Option<&'static str>>,
}

impl NativePort {
    fn error(&self, turn: Option<Turn>, error: &VoiceError) {
        let line = error.line();
        self.link.send_json(&json!({
            "type": "error",
            "code": line.code,
            "message": error.told(self.room.settings().language.as_deref()),
            "turn": turn,
            "retryable": line.retry_after_s.is_some(),
        }));
    }

    fn played(&self, turn: Turn, sentence: usize, heard: Duration) {
        if let Some(mouth) = &*self.mouth.borrow()
            && mouth.turn == turn
        {
            mouth.note_heard(sentence, heard);
        }
    }

    fn reason(&self, state: &State) -> Option<&'static str> {
        match state.phase {
            Phase::Listening { ends, .. } => Some(match ends {
                Ends::FollowUp => "follow_up",
                Ends::BySilence | Ends::ByHand => "trigger",
                Ends::Memo => "memo",
            }),
            _ => self.ended.take(),
        }
    }

    fn message_of(&self, news: &News<'_>) -> Option<Value> {
        Some(match news {
            News::State(state) => json!({
                "type": "state", "state": state.phase.name(), "turn": state.turn(),
                "muted": state.muted, "since": self.room.clock.wall().rfc3339(),
                "reason": self.reason(state),
            }),
            News::Level { rms_db, voiced } => {
                // The first thing a slow reader does without.
                if self.link.queued_bytes() > CONSUMER_QUEUE_BYTES_MAX {
                    return None;
                }
                json!({"type": "level", "rms_db": rms_db, "vad": voiced})
            }
            News::SpeechStart { at_ms } => {
                json!({"type": "speech_start", "stream": self.stream.get(), "at_ms": at_ms})
            }
            News::SpeechEnd { at_ms, cause } => json!({
                "type": "speech_end", "stream": self.stream.get(), "at_ms": at_ms, "cause": cause,
            }),
            News::Transcript {
                turn,
                text,
                language,
            } => json!({"type": "transcript", "turn": turn, "text": text, "language": language}),
            News::Token { turn, text } => json!({"type": "token", "turn": turn, "text": text}),
            News::Sentence { turn, sentence } => json!({
                "type": "sentence", "turn": turn, "index": sentence.index, "text": sentence.text,
            }),
            News::Answer { answer, .. } => {
                let saved = answer.memory_saved.as_ref()?;
                json!({
                    "type": "memory_saved", "id": saved.id, "title": saved.title,
                    "category": saved.category,
                })
            }
            News::Error { turn, error } => {
                self.error(*turn, error);
                return None;
            }
            News::Queued {
                turn,
                recording_id,
                job_id,
                text,
            } => json!({
                "type": "notice", "source": "jobs", "event": "queued", "turn": turn,
                "recording_id": recording_id, "job_id": job_id, "text": text,
            }),
            News::Yielded { turn } => json!({
                "type": "notice", "source": "device", "event": "yielded", "turn": turn,
                "text": "another device hears you better",
            }),
            News::Tone(_) => return None,
            News::Done {
                turn,
                message_id,
                result,
                timing,
            } => json!({
                "type": "turn_done", "turn": turn, "message_id": message_id,
                "interrupted": *result == TurnResult::Interrupted, "result": result.name(),
                "timing_ms": timing,
            }),
        })
    }
}

impl Port for NativePort {
    fn name(&self) -> &'static str {
        "ws_native"
    }

    fn tell(&self, news: &News<'_>) {
        if let Some(message) = self.message_of(news) {
            self.link.send_json(&message);
        }
        match news {
            News::Done { result, .. } => {
                self.ended.set(Some(result.name()));
                self.mouth.borrow_mut().take();
                if !self.barging.get() {
                    self.incoming.end();
                }
            }
            News::Error {
                error: VoiceError::Muted,
                ..
            } => {
                self.barging.set(false);
                self.incoming.end();
            }
            News::State(state) if matches!(state.phase, Phase::Listening { .. }) => {
                self.barging.set(false);
            }
            _ => {}
        }
    }

    fn ear(&self) -> Work<'_, Box<dyn Ear>> {
        let ear = StreamEar::new(Rc::clone(&self.incoming));
        Box::pin(async { Ok(Box::new(ear) as Box<dyn Ear>) })
    }

    fn mouth(&self, turn: Turn) -> Result<Rc<dyn Mouth>, VoiceError> {
        let mouth = Rc::new(NativeMouth::new(Rc::clone(&self.link), turn));
        *self.mouth.borrow_mut() = Some(Rc::clone(&mouth));
        Ok(mouth)
    }
}
