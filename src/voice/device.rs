//! The box's own microphone and loudspeaker as an endpoint of the conversation.
//!
//! What happens is told on the bus topic `device`. Muting is kept in the store before it is
//! acknowledged, survives a restart, and closes the microphone rather than ignoring it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde::Serialize;
use serde_json::json;
use tokio::sync::{Notify, oneshot};

use super::db;
use super::dialogue::{Answer, Dialogue, VoiceError};
use super::earcons::Earcons;
use super::port::{Ear, Mouth, News, Port, Work};
use super::recordings::{Mode, Origin};
use super::reply::Sentences;
use super::session::{Ask, Manner, Room, Session, WeakSession};
use super::timeline::Timing;
use super::turn::{Ends, Event, Phase, State, Tone, Turn};
use super::wake::Spotter;
use crate::audio::{Audio, AudioError, AudioStatus, Earcon};
use crate::bus::Bus;
use crate::clock::Clock;
use crate::limits::TURN_WAITERS_MAX;
use crate::store::Store;

mod ear;
mod mouth;
mod tones;
mod wake;

use ear::{DeviceEar, Mask};
use mouth::DeviceMouth;
use tones::{Thinking, play_earcon};

/// Bus topic of everything below.
pub const TOPIC: &str = "device";
const MUTED_KEY: &str = "device.muted";

/// Clones share one device.
#[derive(Clone)]
pub struct Device {
    session: Session,
    port: Rc<DevicePort>,
}

/// Does not keep the device's conversation alive.
pub struct WeakDevice {
    session: WeakSession,
    port: Rc<DevicePort>,
}

impl WeakDevice {
    pub fn upgrade(&self) -> Option<Device> {
        Some(Device {
            session: self.session.upgrade()?,
            port: Rc::clone(&self.port),
        })
    }
}

/// One turn as whoever waited for it is told.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TurnRecord {
    pub turn: Turn,
    /// `answered`, `interrupted`, `nothing_heard` or `failed`.
    pub result: &'static str,
    /// What was understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// What went wrong, also when the turn went on.
    pub errors: Vec<TurnError>,
    /// Handles the sound later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    pub timing_ms: Timing,
}

#[derive(Clone, Debug, Serialize)]
pub struct TurnError {
    pub code: &'static str,
    pub message: String,
}

pub struct DeviceParts {
    pub room: Rc<Room>,
    pub audio: Audio,
    pub bus: Bus,
    pub store: Store,
}

impl Device {
    pub fn start(parts: DeviceParts) -> Device {
        let muted = was_muted(&parts.store);
        let port = Rc::new(DevicePort {
            audio: parts.audio.clone(),
            bus: parts.bus,
            store: parts.store,
            clock: parts.room.clock.clone(),
            dialogue: parts.room.dialogue.clone(),
            muted: Cell::new(muted),
            mute_held: Cell::new(false),
            level: Cell::new(None),
            earcons: Rc::new(Earcons::of(parts.room.settings().earcons.as_deref())),
            ears: Rc::default(),
            changes: Rc::default(),
            overheard: RefCell::default(),
            mask: Rc::default(),
            thinking: RefCell::default(),
            room: Rc::downgrade(&parts.room),
            spotter: wake::spotter(&parts.room.settings()),
            changed: Rc::default(),
            record: RefCell::default(),
            waiters: RefCell::default(),
        });
        let state = State::new(muted, parts.room.settings().follow_up);
        let session = Session::start(parts.room, port.clone(), state);
        if let Some(spotter) = port.spotter.clone() {
            let port = Rc::downgrade(&port);
            tokio::task::spawn_local(wake::listen_for_it(spotter, port, session.downgrade()));
        }
        tokio::task::spawn_local(watch_cards(parts.audio, Rc::downgrade(&port)));
        Device { session, port }
    }

    /// Listens for one spoken question and answers it aloud, or takes a long note until it is
    /// stopped. The number of the turn.
    pub fn listen(&self, mode: Mode) -> Result<Turn, VoiceError> {
        let state = self.session.state();
        if state.muted {
            return Err(VoiceError::Muted);
        }
        let turn = match state.phase {
            Phase::Listening { turn, .. } => turn,
            _ => state.next_turn(),
        };
        self.session.ask(Ask::Listen {
            ends: match mode {
                Mode::Note => Ends::Memo,
                Mode::Chat | Mode::Auto => Ends::BySilence,
            },
            manner: Manner {
                speak: true,
                mode,
                ..Manner::default()
            },
        })?;
        Ok(turn)
    }

    /// Says `text`, in place of whatever goes on.
    pub fn say(&self, text: &str) -> Result<Turn, VoiceError> {
        self.recite(Rc::new(Sentences::of(text)))
    }

    /// Says `text` where there is a voice and nobody has the word.
    pub fn announce(&self, text: &str) -> Option<Turn> {
        let is_free = matches!(self.state().phase, Phase::Idle | Phase::Error { .. });
        if !is_free || !self.can_speak() {
            return None;
        }
        self.say(text).ok()
    }

    /// As [`Device::say`], with words that may still be written.
    pub fn recite(&self, sentences: Rc<Sentences>) -> Result<Turn, VoiceError> {
        let turn = self.session.state().next_turn();
        self.session.ask(Ask::Say(sentences))?;
        Ok(turn)
    }

    /// Ends whatever goes on; a long note is kept.
    pub fn stop(&self) -> Result<(), VoiceError> {
        if let Phase::Listening {
            ends: Ends::Memo, ..
        } = self.session.state().phase
        {
            return self.session.event(Event::EndListening);
        }
        self.session.event(Event::Interrupt)
    }

    /// Loudness of everything the box says, 0 to 100.
    pub fn set_volume(&self, percent: u8) {
        self.port.set_volume(percent);
    }

    /// Kept when this returns. [`VoiceError::Muted`] while the switch on the box says off.
    pub async fn mute(&self, muted: bool) -> Result<(), VoiceError> {
        if self.port.mute_held.get() && !muted {
            return Err(VoiceError::Muted);
        }
        keep_muted(&self.port.store, self.port.clock.wall(), muted).await?;
        self.port.muted.set(muted);
        self.session.event(Event::Mute(muted))
    }

    /// The switch on the box was moved, or found so at the start.
    pub async fn hold_mute(&self, off: bool) -> Result<(), VoiceError> {
        self.port.mute_held.set(off);
        self.session.event(Event::MuteSwitch(off))?;
        keep_muted(&self.port.store, self.port.clock.wall(), off).await?;
        self.port.muted.set(off);
        Ok(())
    }

    /// Whether the microphone's stream is open.
    pub fn hears(&self) -> bool {
        self.port.ears.get() > 0
    }

    pub fn volume(&self) -> u8 {
        self.port.audio.volume()
    }

    /// Loudness in dBFS and voice of the last tenth of a second, while the microphone is open.
    pub fn level(&self) -> Option<(f32, bool)> {
        self.port.level.get().filter(|_| self.hears())
    }

    /// Told when the state or the microphone has changed.
    pub fn changes(&self) -> Rc<Notify> {
        Rc::clone(&self.port.changes)
    }

    pub(super) fn earcons(&self) -> Rc<Earcons> {
        Rc::clone(&self.port.earcons)
    }

    pub fn downgrade(&self) -> WeakDevice {
        WeakDevice {
            session: self.session.downgrade(),
            port: Rc::clone(&self.port),
        }
    }

    /// A timer rings on the box, or has stopped.
    pub fn rings(&self, rings: bool) -> Result<(), VoiceError> {
        self.session.event(Event::Ringing(rings))
    }

    /// Whether there is a voice at all.
    pub fn can_speak(&self) -> bool {
        let room = self.port.room.upgrade();
        room.is_some_and(|room| room.engines().tts.is_ok())
    }

    /// Whether what the box needs of the internet is out of reach.
    pub fn set_offline(&self, offline: bool) -> Result<(), VoiceError> {
        self.session.event(Event::Offline(offline))
    }

    pub fn press(&self) -> Result<(), VoiceError> {
        self.session.event(Event::Press)
    }

    pub fn release(&self) -> Result<(), VoiceError> {
        self.session.event(Event::Release)
    }

    pub fn state(&self) -> State {
        self.session.state()
    }

    pub fn audio(&self) -> AudioStatus {
        self.port.audio.status()
    }

    /// Resolves when turn `from` or a later one ends from now on.
    pub fn ended(
        &self,
        from: Turn,
    ) -> impl Future<Output = Result<TurnRecord, VoiceError>> + use<> {
        let ended = self.wait_for(from);
        async move {
            ended?
                .await
                .map_err(|_| VoiceError::Timeout("the end of the turn"))
        }
    }

    fn wait_for(&self, from: Turn) -> Result<oneshot::Receiver<TurnRecord>, VoiceError> {
        let mut waiters = self.port.waiters.borrow_mut();
        waiters.retain(|(_, waiter)| !waiter.is_closed());
        if waiters.len() >= TURN_WAITERS_MAX {
            return Err(VoiceError::Conflict(String::from(
                "too many callers wait for the box's microphone; try again in a moment",
            )));
        }
        let (sender, ended) = oneshot::channel();
        waiters.push((from, sender));
        Ok(ended)
    }
}

/// A box that cannot tell whether it was muted stays muted.
fn was_muted(store: &Store) -> bool {
    match store.read(|connection| db::settings::get(connection, MUTED_KEY)) {
        Ok(value) => value.as_deref() == Some("1"),
        Err(error) => {
            log::warn!("event=mute_unknown effect=\"the microphone stays off\" error=\"{error}\"");
            true
        }
    }
}

async fn keep_muted(
    store: &Store,
    now: crate::clock::UnixMillis,
    muted: bool,
) -> Result<(), VoiceError> {
    let value = if muted { "1" } else { "0" };
    store
        .write(move |connection| db::settings::set(connection, MUTED_KEY, value, now))
        .await
}

struct DevicePort {
    audio: Audio,
    bus: Bus,
    store: Store,
    clock: Clock,
    dialogue: Dialogue,
    /// What the store holds.
    muted: Cell<bool>,
    /// The switch on the box says off.
    mute_held: Cell<bool>,
    level: Cell<Option<(f32, bool)>>,
    earcons: Rc<Earcons>,
    /// Open microphones.
    ears: Rc<Cell<u32>>,
    changes: Rc<Notify>,
    /// Somebody spoke into the answer: the next listening begins with it.
    overheard: RefCell<Option<DeviceEar>>,
    /// The microphone hears the box's own tone.
    mask: Rc<Mask>,
    thinking: RefCell<Option<Thinking>>,
    room: std::rc::Weak<Room>,
    /// Hears the wake phrase, where one is set.
    spotter: Option<Spotter>,
    /// The state has changed.
    changed: Rc<Notify>,
    /// The turn under way.
    record: RefCell<TurnRecord>,
    waiters: RefCell<Vec<(Turn, oneshot::Sender<TurnRecord>)>>,
}

impl Port for DevicePort {
    fn name(&self) -> &'static str {
        "device"
    }

    fn is_box(&self) -> bool {
        true
    }

    fn tell(&self, news: &News<'_>) {
        self.keep_record(news);
        if let News::Level { rms_db, voiced } = news {
            self.level.set(Some((*rms_db, *voiced)));
        }
        if let News::State(state) = news {
            self.changes.notify_one();
            self.changed.notify_one();
            self.think_aloud(state);
        }
        let (kind, payload) = match news {
            News::State(state) => ("state", state_payload(state)),
            News::Level { rms_db, voiced } => ("level", json!({"rms_db": rms_db, "vad": voiced})),
            News::SpeechStart { at_ms } => ("speech_start", json!({"at_ms": at_ms})),
            News::SpeechEnd { at_ms, cause } => {
                ("speech_end", json!({"at_ms": at_ms, "cause": cause}))
            }
            News::Transcript { turn, text, .. } => {
                ("transcript", json!({"turn": turn, "text": text}))
            }
            News::Token { .. } => return,
            News::Sentence { turn, sentence } => (
                "sentence",
                json!({"turn": turn, "index": sentence.index, "text": sentence.text}),
            ),
            News::Answer { turn, answer } => {
                ("answer", json!({"turn": turn, "text": answer.content}))
            }
            News::Error { turn, error } => {
                let line = error.line();
                log::warn!(
                    "event=device_turn_error code={} message={:?}",
                    line.code,
                    line.message
                );
                let payload = json!({"turn": turn, "code": line.code, "message": line.message});
                ("error", payload)
            }
            News::Queued {
                turn,
                recording_id,
                job_id,
                text,
            } => (
                "queued",
                json!({"turn": turn, "recording_id": recording_id, "job_id": job_id, "text": text}),
            ),
            News::Yielded { turn } => ("yielded", json!({"turn": turn})),
            News::Tone(tone) => return self.sound(*tone),
            News::Done {
                turn,
                message_id,
                result,
                timing,
            } => (
                "turn_done",
                json!({"turn": turn, "message_id": message_id, "result": result.name(), "timing_ms": timing}),
            ),
        };
        let key = (kind == "level").then_some(kind);
        self.bus.publish_keyed(TOPIC, kind, key, payload);
    }

    fn ear(&self) -> Work<'_, Box<dyn Ear>> {
        Box::pin(async {
            let overheard = self.overheard.take();
            let ear = match overheard {
                Some(ear) => ear,
                None => self.open_ear().await?,
            };
            Ok(Box::new(ear) as Box<dyn Ear>)
        })
    }

    fn overhears(&self) -> bool {
        self.is_echo_cancelled() || self.spotter.is_some()
    }

    fn overhear(&self) -> Work<'_, ()> {
        Box::pin(async {
            self.overheard.take();
            let ear = self.open_ear().await?;
            let ear = match &self.spotter {
                Some(spotter) if !self.is_echo_cancelled() => ear.spot(spotter).await?,
                _ => ear.overhear().await?,
            };
            self.overheard.replace(Some(ear));
            Ok(())
        })
    }

    fn mouth(&self, _turn: Turn) -> Result<Rc<dyn Mouth>, VoiceError> {
        let playback = self.audio.play().map_err(audio_error)?;
        Ok(Rc::new(DeviceMouth(playback)))
    }

    fn keep_muted(&self, muted: bool) {
        if self.muted.replace(muted) == muted {
            return;
        }
        let (store, now) = (self.store.clone(), self.clock.wall());
        tokio::task::spawn_local(async move {
            if let Err(error) = keep_muted(&store, now, muted).await {
                log::warn!("event=mute_not_kept muted={muted} error=\"{error}\"");
            }
        });
    }

    fn set_volume(&self, percent: u8) {
        self.audio.set_volume(percent);
        self.dialogue.note_volume(percent);
    }

    fn origin(&self) -> Origin {
        Origin::Device
    }
}

impl DevicePort {
    fn is_echo_cancelled(&self) -> bool {
        let room = self.room.upgrade();
        room.is_some_and(|room| room.settings().echo_cancelled)
    }

    async fn open_ear(&self) -> Result<DeviceEar, VoiceError> {
        let capture = self.audio.capture().await.map_err(audio_error)?;
        Ok(DeviceEar::new(
            capture,
            &self.mask,
            &self.ears,
            &self.changes,
        ))
    }

    fn keep_record(&self, news: &News<'_>) {
        let mut record = self.record.borrow_mut();
        match news {
            News::Transcript { text, .. } => record.text = Some(text.to_string()),
            News::Answer { answer, .. } => record.answer = Some((*answer).clone()),
            News::Queued { job_id, .. } => record.job_id = Some(job_id.to_string()),
            News::Error {
                turn: Some(_),
                error,
            } => {
                let line = error.line();
                record.errors.push(TurnError {
                    code: line.code,
                    message: line.message,
                });
            }
            News::Done {
                turn,
                result,
                timing,
                ..
            } => {
                let mut ended = std::mem::take(&mut *record);
                ended.turn = *turn;
                ended.result = result.name();
                ended.timing_ms = *timing;
                drop(record);
                self.wake_waiters(&ended);
            }
            _ => {}
        }
    }

    fn wake_waiters(&self, ended: &TurnRecord) {
        let mut waiters = self.waiters.borrow_mut();
        let (due, waiting): (Vec<_>, Vec<_>) =
            waiters.drain(..).partition(|(from, _)| *from <= ended.turn);
        *waiters = waiting;
        for (_, waiter) in due {
            let _ = waiter.send(ended.clone());
        }
    }

    /// Plays a small sound beside whatever goes on.
    fn sound(&self, tone: Tone) {
        let earcon = match tone {
            Tone::Listen => Earcon::Listen,
            Tone::Done | Tone::Nothing => Earcon::Done,
            Tone::Saved => Earcon::Saved,
            Tone::Offline => Earcon::Offline,
            Tone::Error => Earcon::Error,
            Tone::Mute => Earcon::Mute,
            Tone::Unmute => Earcon::Unmute,
        };
        let mask = (tone == Tone::Listen && !self.overhears()).then(|| Rc::clone(&self.mask));
        play_earcon(&self.audio, &self.earcons, earcon, mask);
    }

    /// Ticks softly while somebody waits for an answer.
    fn think_aloud(&self, state: &State) {
        let waits = matches!(
            state.phase,
            Phase::Transcribing { .. } | Phase::Thinking { .. }
        );
        let mut thinking = self.thinking.borrow_mut();
        if !waits {
            *thinking = None;
        } else if thinking.is_none() {
            *thinking = Some(Thinking::start(&self.audio, &self.earcons));
        }
    }
}

/// Tells of a card that went and of its return.
async fn watch_cards(audio: Audio, port: std::rc::Weak<DevicePort>) {
    let mut watch = audio.watch();
    let mut before = audio.status();
    loop {
        let now = watch.changed().await;
        let Some(port) = port.upgrade() else {
            return;
        };
        let lost =
            |status: &AudioStatus| (status.input_error.is_some(), status.output_error.is_some());
        if lost(&before) != lost(&now) {
            let errors = [&now.input_error, &now.output_error];
            log::warn!(
                "event=sound_card input_error={:?} output_error={:?}",
                errors[0],
                errors[1]
            );
            port.bus.publish(TOPIC, "audio", json!(now));
            let back = lost(&before).1 && !lost(&now).1 || lost(&before).0 && !lost(&now).0;
            if back {
                play_earcon(&port.audio, &port.earcons, Earcon::Unmute, None);
            }
        }
        before = now;
    }
}

pub(super) fn state_payload(state: &State) -> serde_json::Value {
    json!({
        "state": state.phase.name(),
        "turn": state.turn(),
        "muted": state.muted,
        "offline": state.offline,
        "ringing": state.ringing,
    })
}

fn audio_error(error: AudioError) -> VoiceError {
    VoiceError::Audio(error.to_string())
}
