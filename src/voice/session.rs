//! One endpoint's conversation: runs what the turn machine asks for, one stage at a time.
//!
//! The machine decides, the driver does: it owns the open microphone, the engines' calls, the
//! answer under way and the sound going out, all inside one future that is dropped to cancel.
//! It promises to be silent at once when interrupted and to keep only what was really heard.

use std::cell::{Cell, OnceCell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::decode::Weight;
use super::device::WeakDevice;
use super::dialogue::{Answer, Dialogue, VoiceError};
use super::health::Calls;
use super::listen::Control;
use super::port::{News, Port};
use super::providers::chains::World;
use super::providers::{EncodedSound, Engines};
use super::recordings::{Held, Mode, Recording, Recordings};
use super::reply::{Said, Sentences};
use super::settings::VoiceSettings;
use super::timeline::{Marks, TurnLog};
use super::triggers::Triggers;
use super::turn::{Effect, Ends, Event, Phase, State, Turn, TurnResult, step};
use crate::clock::{Clock, MonoMillis, UnixMillis};
use crate::limits::SESSION_QUEUE_MAX;

/// What all sessions share.
pub struct Room {
    pub recordings: Recordings,
    pub dialogue: Dialogue,
    /// In force now; a call under way keeps the ones it began with.
    pub engines: RefCell<Rc<Engines>>,
    pub world: World,
    pub clock: Clock,
    pub log: TurnLog,
    pub settings: RefCell<Rc<VoiceSettings>>,
    /// Sessions at work.
    pub sessions: Cell<usize>,
    /// Does on the box what was asked for over a socket; set once the box's own endpoint is there.
    pub actor: OnceCell<WeakDevice>,
    /// Endpoints that have just begun to listen.
    pub(super) triggers: Triggers,
    pub stt_calls: Calls,
    pub tts_calls: Calls,
}

impl Room {
    pub fn engines(&self) -> Rc<Engines> {
        Rc::clone(&self.engines.borrow())
    }

    pub fn settings(&self) -> Rc<VoiceSettings> {
        Rc::clone(&self.settings.borrow())
    }
}

/// How one turn is to be handled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    pub conversation: Option<String>,
    /// Answer by voice too.
    pub speak: bool,
    pub language: Option<String>,
    /// What is to become of spoken words.
    pub mode: Mode,
}

/// What an endpoint asks of its session.
pub enum Ask {
    Event(Event),
    Listen {
        ends: Ends,
        manner: Manner,
    },
    Text {
        text: String,
        manner: Manner,
    },
    /// A whole utterance at the speech rate.
    Utterance {
        samples: Vec<i16>,
        /// The same as it was sent.
        encoded: Option<EncodedSound>,
        weight: Option<Weight>,
        manner: Manner,
    },
    /// Words that may still be written.
    Say(Rc<Sentences>),
}

/// Handle of a session; it ends when the last handle is dropped.
#[derive(Clone)]
pub struct Session {
    asks: mpsc::Sender<Ask>,
    state: Rc<Cell<State>>,
}

impl Session {
    /// Must be called on the loop.
    pub fn start(room: Rc<Room>, port: Rc<dyn Port>, state: State) -> Session {
        let (asks, asked) = mpsc::channel(SESSION_QUEUE_MAX);
        let (reports, reported) = mpsc::channel(SESSION_QUEUE_MAX);
        let shown = Rc::new(Cell::new(state));
        let driver = Driver {
            context: Context {
                room,
                port,
                reports,
            },
            state,
            shown: Rc::clone(&shown),
            asked,
            reported,
            stage: None,
            overhearing: None,
            control: None,
            given: Given::default(),
            open: None,
            last_answer: String::new(),
            is_deliberate: false,
            is_ending: false,
        };
        let sessions = &driver.context.room.sessions;
        sessions.set(sessions.get() + 1);
        tokio::task::spawn_local(driver.run());
        Session { asks, state: shown }
    }

    /// `Err` when too much is asked at once.
    pub fn ask(&self, ask: Ask) -> Result<(), VoiceError> {
        self.asks.try_send(ask).map_err(|_| {
            VoiceError::Invalid(String::from(
                "too many requests at once; wait for the turn to end",
            ))
        })
    }

    pub fn event(&self, event: Event) -> Result<(), VoiceError> {
        self.ask(Ask::Event(event))
    }

    pub fn state(&self) -> State {
        self.state.get()
    }

    pub fn downgrade(&self) -> WeakSession {
        WeakSession {
            asks: self.asks.downgrade(),
            state: Rc::clone(&self.state),
        }
    }
}

/// Does not keep its session alive.
pub struct WeakSession {
    asks: mpsc::WeakSender<Ask>,
    state: Rc<Cell<State>>,
}

impl WeakSession {
    pub fn upgrade(&self) -> Option<Session> {
        Some(Session {
            asks: self.asks.upgrade()?,
            state: Rc::clone(&self.state),
        })
    }
}

/// What a stage needs of the outside.
#[derive(Clone)]
pub(super) struct Context {
    pub room: Rc<Room>,
    pub port: Rc<dyn Port>,
    reports: mpsc::Sender<Event>,
}

impl Context {
    pub fn now(&self) -> MonoMillis {
        self.room.clock.mono()
    }

    /// Tells the machine of progress; a report that finds the queue full is one of many.
    pub fn report(&self, event: Event) {
        let _ = self.reports.try_send(event);
    }

    pub fn tell_error(&self, turn: Turn, error: &VoiceError) {
        let turn = Some(turn);
        self.port.tell(&News::Error { turn, error });
    }
}

/// What came with the request that opens the next turn.
#[derive(Default)]
struct Given {
    text: String,
    samples: Vec<i16>,
    encoded: Option<EncodedSound>,
    weight: Option<Weight>,
    sentences: Option<Rc<Sentences>>,
    manner: Manner,
}

/// The open turn, shared between the driver and the stage at work.
pub(super) struct Open {
    pub turn: Turn,
    at: UnixMillis,
    pub manner: Manner,
    pub marks: Cell<Marks>,
    pub text: RefCell<String>,
    pub samples: RefCell<Vec<i16>>,
    pub encoded: RefCell<Option<EncodedSound>>,
    _weight: Option<Weight>,
    /// The sound on the card: while it comes, and once it is whole.
    pub recording: RefCell<Option<Recording>>,
    pub held: RefCell<Option<Rc<Held>>>,
    pub said: Said,
    /// Id of the answer's message, known before its words.
    pub answer_id: RefCell<Option<String>>,
    pub answer: RefCell<Option<Answer>>,
}

impl Open {
    pub fn mark(&self, set: impl FnOnce(&mut Marks)) {
        let mut marks = self.marks.get();
        set(&mut marks);
        self.marks.set(marks);
    }
}

type Stage = Pin<Box<dyn Future<Output = Event>>>;
type Overhearing = Pin<Box<dyn Future<Output = Result<(), VoiceError>>>>;

struct Driver {
    context: Context,
    state: State,
    shown: Rc<Cell<State>>,
    asked: mpsc::Receiver<Ask>,
    reported: mpsc::Receiver<Event>,
    /// The one stage at work; dropping it cancels it.
    stage: Option<Stage>,
    /// The microphone that is open during an answer.
    overhearing: Option<Overhearing>,
    control: Option<Rc<Control>>,
    given: Given,
    open: Option<Rc<Open>>,
    last_answer: String,
    /// The event at work is somebody's own wish.
    is_deliberate: bool,
    /// Nobody holds this session any more.
    is_ending: bool,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let sessions = &self.context.room.sessions;
        sessions.set(sessions.get().saturating_sub(1));
    }
}

/// What woke the driver.
enum Wake {
    Asked(Option<Ask>),
    Event(Event),
    StageEnded(Event),
    Overheard(Result<(), VoiceError>),
}

impl Driver {
    async fn run(mut self) {
        loop {
            match self.wait().await {
                Wake::Asked(Some(ask)) => self.take(ask),
                Wake::Asked(None) => break,
                Wake::Event(event) => self.step(event),
                Wake::StageEnded(event) => {
                    self.stage = None;
                    self.step(event);
                }
                Wake::Overheard(result) => {
                    self.overhearing = None;
                    match result {
                        Ok(()) => self.take(Ask::Event(Event::BargeIn)),
                        Err(error) => log::warn!("event=answer_not_overheard error=\"{error}\""),
                    }
                }
            }
        }
        self.is_ending = true;
        self.step(Event::Interrupt);
    }

    async fn wait(&mut self) -> Wake {
        let now = self.context.now();
        let due = self.state.deadline().map(|at| at.since(now));
        let tick = async move {
            match due {
                // The clock counts whole milliseconds; one more makes sure that it has moved on.
                Some(wait) => tokio::time::sleep(wait + Duration::from_millis(1)).await,
                None => std::future::pending().await,
            }
        };
        let stage = &mut self.stage;
        let work = async move {
            match stage {
                Some(stage) => stage.await,
                None => std::future::pending().await,
            }
        };
        let overhearing = &mut self.overhearing;
        let overheard = async move {
            match overhearing {
                Some(overhearing) => overhearing.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ask = self.asked.recv() => Wake::Asked(ask),
            Some(event) = self.reported.recv() => Wake::Event(event),
            event = work => Wake::StageEnded(event),
            result = overheard => Wake::Overheard(result),
            () = tick => Wake::Event(Event::Tick),
        }
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Event(event) => {
                if event == Event::BargeIn {
                    self.context.room.log.barge_in();
                }
                self.given = self.given_by_voice();
                if event == Event::BargeIn
                    && let Some(open) = &self.open
                {
                    // Whoever speaks into an answer goes on with the same conversation.
                    self.given.manner.clone_from(&open.manner);
                    self.given.manner.speak = true;
                }
                self.step(event);
            }
            Ask::Listen { ends, manner } => {
                self.given = Given {
                    manner,
                    ..Given::default()
                };
                self.step(match ends {
                    Ends::ByHand => Event::ListenHeld,
                    Ends::Memo => Event::ListenMemo,
                    Ends::BySilence | Ends::FollowUp => Event::Listen,
                });
            }
            Ask::Text { text, manner } => {
                self.given = Given {
                    text,
                    manner,
                    ..Given::default()
                };
                self.step(Event::Text);
            }
            Ask::Utterance {
                samples,
                encoded,
                weight,
                manner,
            } => {
                let sound = length_of(&samples);
                self.given = Given {
                    samples,
                    encoded,
                    weight,
                    manner,
                    ..Given::default()
                };
                self.step(Event::Utterance { sound });
            }
            Ask::Say(sentences) => {
                self.given = Given {
                    sentences: Some(sentences),
                    ..self.given_by_voice()
                };
                self.step(Event::Say);
            }
        }
    }

    /// Turns that a button, a barge-in or a question of ours opens are spoken.
    fn given_by_voice(&self) -> Given {
        Given {
            manner: Manner {
                speak: true,
                ..Manner::default()
            },
            ..Given::default()
        }
    }

    fn step(&mut self, event: Event) {
        // What a limit, a lost client or something to be said cuts off is kept; what somebody waves
        // away is not.
        self.is_deliberate = !self.is_ending && !matches!(event, Event::Tick | Event::Say);
        let (state, effects) = step(&self.state, event, self.context.now());
        self.state = state;
        self.shown.set(state);
        for effect in effects {
            self.apply(effect);
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Listen { turn, ends } => self.listen(turn, ends),
            Effect::EndBySilence(_) => {
                if let Some(control) = &self.control {
                    control.end_by_silence();
                }
            }
            Effect::FinishListening(_) => {
                if let Some(control) = &self.control {
                    control.finish();
                }
            }
            Effect::Transcribe { turn, attempt } => {
                let open = self.open(turn);
                let stage = super::stages::transcribe(self.context.clone(), open, attempt);
                self.stage = Some(Box::pin(stage));
            }
            Effect::Reply(turn) => {
                let open = self.open(turn);
                let stage = super::stages::reply(self.context.clone(), open);
                self.stage = Some(Box::pin(stage));
            }
            Effect::TellDeferred(turn) => {
                let open = self.open(turn);
                let stage = super::deferred::tell(self.context.clone(), open);
                self.stage = Some(Box::pin(stage));
            }
            Effect::Repeat(turn) => {
                let again = Sentences::of(&self.last_answer);
                self.say(turn, Rc::new(again));
            }
            Effect::Say(turn) => {
                let sentences = self.given.sentences.take().unwrap_or_default();
                self.say(turn, sentences);
            }
            Effect::Cancel(turn) => self.cancel(turn),
            Effect::Done { turn, result } => self.done(turn, result),
            Effect::TimedOut { turn, stage } => {
                self.context.tell_error(turn, &VoiceError::Timeout(stage));
            }
            Effect::RefuseMuted => {
                let error = &VoiceError::Muted;
                self.context.port.tell(&News::Error { turn: None, error });
            }
            Effect::Silence => {
                self.context.room.dialogue.timers().silence();
            }
            Effect::KeepMuted(muted) => self.context.port.keep_muted(muted),
            Effect::Tone(tone) => self.context.port.tell(&News::Tone(tone)),
            Effect::Changed => {
                self.overhear();
                self.context.port.tell(&News::State(&self.state));
            }
        }
    }

    fn listen(&mut self, turn: Turn, ends: Ends) {
        if ends == Ends::FollowUp {
            self.given = self.given_by_voice();
        }
        let open = self.open(turn);
        let control = Rc::new(Control::new(ends));
        self.control = Some(Rc::clone(&control));
        let stage = super::stages::listen(self.context.clone(), open, control);
        self.stage = Some(Box::pin(stage));
    }

    /// The microphone is open during an answer where its own sound is no trouble, and closed before
    /// the next listening opens it.
    fn overhear(&mut self) {
        let speaks = matches!(self.state.phase, Phase::Speaking { .. }) && !self.state.muted;
        if !speaks {
            self.overhearing = None;
        } else if self.overhearing.is_none() && self.context.port.overhears() {
            let port = Rc::clone(&self.context.port);
            self.overhearing = Some(Box::pin(async move { port.overhear().await }));
        }
    }

    fn say(&mut self, turn: Turn, sentences: Rc<Sentences>) {
        let open = self.open(turn);
        let stage = super::stages::say(self.context.clone(), open, sentences);
        self.stage = Some(Box::pin(stage));
    }

    /// The turn's record; made from what was given when the turn is new.
    fn open(&mut self, turn: Turn) -> Rc<Open> {
        if let Some(open) = &self.open
            && open.turn == turn
        {
            return Rc::clone(open);
        }
        let now = self.context.now();
        let given = std::mem::take(&mut self.given);
        let whole = (!given.samples.is_empty()).then_some(now);
        let open = Rc::new(Open {
            turn,
            at: self.context.room.clock.wall(),
            manner: given.manner,
            marks: Cell::new(Marks {
                began: now,
                speech_ended: whole,
                endpoint: whole,
                ..Marks::default()
            }),
            text: RefCell::new(given.text.clone()),
            samples: RefCell::new(given.samples),
            encoded: RefCell::new(given.encoded),
            _weight: given.weight,
            recording: RefCell::default(),
            held: RefCell::default(),
            said: Said::default(),
            answer_id: RefCell::default(),
            answer: RefCell::default(),
        });
        self.given.text = given.text;
        self.given.sentences = given.sentences;
        self.open = Some(Rc::clone(&open));
        open
    }

    fn cancel(&mut self, turn: Turn) {
        let Some(open) = self.open.as_ref().filter(|open| open.turn == turn) else {
            return;
        };
        let heard_chars = open.said.heard_chars();
        open.said.stop();
        self.stage = None;
        super::deferred::cancelled(open, self.is_deliberate);
        self.control = None;
        // An answer that was only to be read is as long as it came.
        let Some(message) = open
            .answer_id
            .borrow()
            .clone()
            .filter(|_| open.manner.speak)
        else {
            return;
        };
        let dialogue = self.context.room.dialogue.clone();
        tokio::task::spawn_local(async move {
            // Without a word of the answer there is nothing to note it at.
            let kept = dialogue.interrupted(&message, heard_chars).await;
            if let Err(error) = kept
                && !matches!(error, VoiceError::NotFound(_))
            {
                log::warn!("event=interruption_not_kept message={message} error={error:?}");
            }
        });
    }

    fn done(&mut self, turn: Turn, result: TurnResult) {
        let Some(open) = self.open.take_if(|open| open.turn == turn) else {
            return;
        };
        self.control = None;
        let timing = open.marks.get().timing(self.context.now());
        let answer = open.answer.borrow();
        let port = &self.context.port;
        let log = &self.context.room.log;
        log.add(port.name(), turn, open.at, result, timing);
        port.tell(&News::Done {
            turn,
            message_id: answer.as_ref().map(|answer| answer.id.as_str()),
            result,
            timing,
        });
        if let Some(answer) = &*answer
            && !answer.content.is_empty()
        {
            self.last_answer.clone_from(&answer.content);
        }
    }
}

/// Of sound at the speech rate.
pub(super) fn length_of(samples: &[i16]) -> Duration {
    Duration::from_millis(samples.len() as u64 * 1000 / u64::from(crate::audio::SPEECH_RATE_HZ))
}
