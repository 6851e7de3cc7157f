//! From what a person said to what the box answers: local rules, recall, storing both sides.
//!
//! Owns the running conversation and the questions that wait for a yes. Promises that both sides,
//! and a memory made by them, are durable in one transaction before a word of the answer is given.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::bus::Bus;
use crate::clock::{Clock, MonoMillis, UnixMillis};
use crate::limits::{CHAT_MESSAGE_BYTES_MAX, CONFIRMATION_LIFE, CONFIRMATIONS_MAX};
use crate::store::Store;

use super::db;
use super::health::Calls;
use super::index::Query;
use super::memory::{Forget, Memories, MemoryFilter, NewMemory, Source, check_text, fresh_id};
use super::mind::{Mind, ModelSettings};
use super::providers::EngineError;
use super::providers::llm::Llm;
use super::recall::{self, Fit, Found};
use super::rules::{self, Intent, Kind, Language, replies};
use super::settings::VoiceSettings;
use super::timers::{Timers, spoken};

pub use super::error::VoiceError;
use telling::told;

mod keeping;
mod telling;

/// What `model` and `provider` of an answer made here say.
pub const MODEL: &str = "local-rules";
pub const PROVIDER: &str = "local";

/// Memories looked at for one answer.
const FOUND_MAX: usize = 20;
/// Memories listed aloud.
const LISTED_MAX: usize = 5;
/// Memories one spoken "forget" may remove.
const FORGET_MAX: usize = 5;
const VOLUME_STEP: u8 = 10;
const VOLUME_DEFAULT: u8 = 70;

/// Clones share one state.
#[derive(Clone)]
pub struct Dialogue(pub(super) Rc<State>);

pub(super) struct State {
    memories: Memories,
    timers: Timers,
    conversation_idle: std::time::Duration,
    time_zone: jiff::tz::TimeZone,
    /// Conversation that a turn without one belongs to, and when it was last used.
    running: RefCell<Option<(String, MonoMillis)>>,
    /// Oldest first.
    confirmations: RefCell<Vec<Confirmation>>,
    volume: Cell<u8>,
    /// An `Err` says why the rules answer alone.
    mind: RefCell<Result<Mind, EngineError>>,
    pub(super) llm_calls: Calls,
    /// A conversation is being summed up.
    pub(super) sums_up: Cell<bool>,
}

struct Confirmation {
    conversation_id: String,
    what: Clearing,
    until: MonoMillis,
}

#[derive(Clone, Debug)]
enum Clearing {
    Memories(Forget),
    Conversation,
}

#[derive(Clone, Debug, Default)]
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
    /// Keep the text word for word; nothing is asked.
    pub note: bool,
    /// Nobody waits for the answer any more.
    pub is_late: bool,
    /// The answer will be heard rather than read.
    pub spoken: bool,
    /// A model of the provider; `None`: the one of the settings.
    pub model: Option<String>,
    /// Of the answer; `None`: as the settings say.
    pub max_tokens: Option<u32>,
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
    /// Why the model gave no answer, or not all of it; the content says so too.
    #[serde(skip)]
    pub trouble: Option<VoiceError>,
    /// Why a spoken question waits for the model in the queue; the answer is not kept.
    #[serde(skip)]
    pub waits_for: Option<EngineError>,
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
#[serde(rename_all = "snake_case")]
pub enum Action {
    Stop,
    Repeat,
    Volume {
        percent: u8,
    },
    Mute,
    /// Record a long note.
    Memo,
}

/// A question that passed the door and has its place: answer it with [`Dialogue::finish`].
pub struct Turn {
    pub(super) question: Question,
    pub(super) language: Language,
    /// Id the stored answer will have.
    pub answer_id: String,
    pub conversation_id: String,
}

impl Turn {
    pub(super) fn language(&self) -> Language {
        self.language
    }
}

/// What a turn comes to, before it is stored.
#[derive(Default)]
pub(super) struct Reply {
    pub(super) content: String,
    pub(super) used: Vec<MemoryUsed>,
    record: Option<NewMemory>,
    clear: Option<Clearing>,
    action: Option<Action>,
}

impl Dialogue {
    pub fn start(store: Store, bus: Bus, clock: Clock, settings: &VoiceSettings) -> Dialogue {
        let timers = Timers::new(store.clone(), bus.clone(), clock.clone());
        Dialogue(Rc::new(State {
            timers,
            memories: Memories::new(store, bus, clock),
            conversation_idle: settings.conversation_idle,
            time_zone: jiff::tz::TimeZone::system(),
            running: RefCell::new(None),
            confirmations: RefCell::new(Vec::new()),
            volume: Cell::new(VOLUME_DEFAULT),
            mind: RefCell::new(Err(EngineError::Missing(String::new()))),
            llm_calls: Calls::default(),
            sums_up: Cell::new(false),
        }))
    }

    /// From the next turn on this model answers what no rule does, or none.
    pub fn answer_with(&self, llm: Result<Rc<dyn Llm>, EngineError>, settings: ModelSettings) {
        *self.0.mind.borrow_mut() = llm.map(|llm| Mind { llm, settings });
    }

    /// The model of the moment; why there is none.
    pub(super) fn mind(&self) -> Result<Mind, EngineError> {
        self.0.mind.borrow().clone()
    }

    /// Answers and stores both sides durably. `on_text` gets the answer piece by piece as it
    /// comes. Dropping the future cancels the turn.
    pub async fn answer(
        &self,
        question: Question,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Answer, VoiceError> {
        let turn = self.begin(question)?;
        self.finish(turn, on_text).await
    }

    /// Checks a question and finds its conversation; nothing is stored yet.
    pub fn begin(&self, question: Question) -> Result<Turn, VoiceError> {
        check_text("message", &question.text, 1, CHAT_MESSAGE_BYTES_MAX)?;
        let conversation_id = match &question.conversation {
            Some(id) => self.known_conversation(id)?,
            None => self.running_conversation(),
        };
        Ok(Turn {
            language: rules::language_of(&question.text, question.language.as_deref()),
            answer_id: fresh_id("msg_"),
            conversation_id,
            question,
        })
    }

    /// Answers a turn that has begun.
    pub async fn finish(
        &self,
        turn: Turn,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Answer, VoiceError> {
        let mind = self.mind();
        let reply = match (self.reply(&turn, mind.is_ok()).await?, mind) {
            (None, Ok(mind)) => return self.think(turn, mind, on_text).await,
            (Some(reply), _) => reply,
            (None, Err(_)) => Reply::says(replies::not_understood(turn.language)),
        };
        let memory_saved = reply.record.as_ref().map(NewMemory::saved);
        let answer = Answer {
            id: turn.answer_id.clone(),
            conversation_id: turn.conversation_id.clone(),
            content: reply.content.clone(),
            model: MODEL.to_string(),
            provider: PROVIDER.to_string(),
            memories_used: reply.used.clone(),
            memory_saved,
            language: turn.language.code().to_string(),
            input_tokens: recall::estimated_tokens(&turn.question.text),
            output_tokens: recall::estimated_tokens(&reply.content),
            action: reply.action.clone(),
            trouble: None,
            waits_for: None,
        };
        self.store_turn(turn, reply, &answer).await?;
        self.0.memories.recalled(&answer.memories_used);
        if let Some(saved) = &answer.memory_saved {
            self.0.memories.announce_saved(saved);
        }
        on_text(&answer.content);
        Ok(answer)
    }

    /// Keeps what was really heard of an interrupted answer.
    pub async fn interrupted(&self, message: &str, spoken_chars: usize) -> Result<(), VoiceError> {
        let id = message.to_string();
        let found = self
            .store()
            .write(move |connection| db::conversations::interrupt(connection, &id, spoken_chars))
            .await?;
        match found {
            true => Ok(()),
            false => Err(VoiceError::NotFound(String::from("answer of this id"))),
        }
    }

    pub fn memories(&self) -> &Memories {
        &self.0.memories
    }

    pub fn timers(&self) -> &Timers {
        &self.0.timers
    }

    /// Tells the volume the loudspeaker has, so that "louder" knows where it starts.
    pub fn note_volume(&self, percent: u8) {
        self.0.volume.set(percent.min(100));
    }

    /// The rules' answer; `None`: the model's turn, which is there with `has_mind`.
    async fn reply(&self, turn: &Turn, has_mind: bool) -> Result<Option<Reply>, VoiceError> {
        if turn.question.note {
            return Ok(Some(self.record(turn.question.text.clone(), turn)));
        }
        let language = turn.language;
        let waiting = self.take_confirmation(&turn.conversation_id);
        let (text, conversation) = (&turn.question.text, &turn.conversation_id);
        if let Some(told) = spoken::answer(&self.0.timers, text, conversation, language).await? {
            return Ok(Some(Reply::says(told)));
        }
        let intent = rules::understand(&turn.question.text);
        if has_mind && waiting.is_none() && intent.is_talk(&turn.question.text) {
            return Ok(None);
        }
        Ok(Some(match intent {
            Intent::Plain(Kind::Yes) => match waiting {
                Some(what) => self.clear(what, turn).await?,
                None => Reply::says(replies::nothing_asked(language)),
            },
            Intent::Plain(Kind::No) => Reply::says(match waiting {
                Some(_) => replies::kept(language),
                None => replies::nothing_asked(language),
            }),
            Intent::Plain(kind) => self.plain(kind, turn).await?,
            Intent::Volume(percent) => self.volume(percent, language),
            Intent::Record(content) => self.record(content, turn),
            Intent::Recall(question) => match self.recall(&question, language).await? {
                Some(reply) => reply,
                None if has_mind => return Ok(None),
                None => Reply::says(replies::unknown(language)),
            },
            Intent::Forget(about) => self.ask_to_forget(&about, turn).await?,
            Intent::Unknown if has_mind => return Ok(None),
            Intent::Unknown => match self.told_from_memory(turn).await? {
                Some(reply) => reply,
                None => Reply::says(replies::not_understood(language)),
            },
        }))
    }

    async fn plain(&self, kind: Kind, turn: &Turn) -> Result<Reply, VoiceError> {
        let language = turn.language;
        let volume = self.0.volume.get();
        Ok(match kind {
            Kind::Greeting => Reply::says(replies::greeting(language)),
            Kind::Help => Reply::says(replies::help(language)),
            Kind::Thanks => Reply::says(replies::thanks(language)),
            Kind::Farewell => Reply::says(replies::farewell(language)),
            Kind::Time => Reply::says(replies::time(language, &self.now())),
            Kind::Date => Reply::says(replies::date(language, &self.now())),
            Kind::Stop => Reply::does(Action::Stop, replies::stopped(language)),
            Kind::Memo => Reply::does(Action::Memo, replies::memo_begins(language)),
            Kind::Mute => Reply::does(Action::Mute, replies::muted(language)),
            Kind::VolumeUp => self.volume(volume.saturating_add(VOLUME_STEP).min(100), language),
            Kind::VolumeDown => self.volume(volume.saturating_sub(VOLUME_STEP), language),
            Kind::Repeat => self.repeat(turn)?,
            Kind::List => self.list(language).await?,
            Kind::SummaryToday => self.summary_of_today(language).await?,
            Kind::PrivateOn => Reply::says(self.private(true, turn).await?),
            Kind::PrivateOff => Reply::says(self.private(false, turn).await?),
            Kind::ForgetEverything => self.ask_to_forget_everything(turn).await?,
            Kind::ClearConversation => self.ask(
                turn,
                Clearing::Conversation,
                replies::confirm_conversation(language),
            ),
            // These carry a part that varies and are intents of their own.
            Kind::Yes | Kind::No | Kind::VolumeTo | Kind::Recall | Kind::Record | Kind::Forget => {
                Reply::says(replies::not_understood(language))
            }
        })
    }

    fn volume(&self, percent: u8, language: Language) -> Reply {
        self.0.volume.set(percent);
        Reply::does(
            Action::Volume { percent },
            replies::volume(language, percent),
        )
    }

    fn record(&self, content: String, turn: &Turn) -> Reply {
        if !turn.question.remember {
            return Reply::says(replies::not_recorded(turn.language));
        }
        let source = match turn.question.recording {
            Some(_) => Source::Voice,
            None => Source::Chat,
        };
        let text = replies::recorded(turn.language, &content);
        let memory = NewMemory {
            conversation_id: Some(turn.conversation_id.clone()),
            recording_id: turn.question.recording.clone(),
            wants_organizing: self.memories().wants_organizing(None),
            ..NewMemory::told(content, source, self.clock().wall())
        };
        Reply {
            record: Some(memory),
            ..Reply::says(text)
        }
    }

    /// `None`: nothing of it is remembered.
    async fn recall(
        &self,
        question: &str,
        language: Language,
    ) -> Result<Option<Reply>, VoiceError> {
        let subject = recall::subject(question);
        if subject.is_empty() {
            return Ok(Some(Reply::says(replies::ask_what(language))));
        }
        Ok(told(&self.find(subject).await?, language))
    }

    /// A few words may name something remembered, if all of them are in it.
    pub(super) async fn told_from_memory(&self, turn: &Turn) -> Result<Option<Reply>, VoiceError> {
        let subject = recall::subject(&turn.question.text);
        if subject.is_empty() {
            return Ok(None);
        }
        let mut found = self.find(subject).await?;
        found.hits.retain(|hit| hit.fit != Fit::Some);
        Ok(told(&found, turn.language))
    }

    async fn find(&self, subject: Query) -> Result<Found, VoiceError> {
        let current = MemoryFilter {
            current_only: true,
            ..MemoryFilter::default()
        };
        self.0.memories.search(subject, current, FOUND_MAX).await
    }

    fn repeat(&self, turn: &Turn) -> Result<Reply, VoiceError> {
        let last = self
            .store()
            .read(|connection| db::conversations::last_answer(connection, &turn.conversation_id))?;
        Ok(match last {
            Some(content) => Reply::does(Action::Repeat, content),
            None => Reply::says(replies::nothing_to_repeat(turn.language)),
        })
    }

    async fn list(&self, language: Language) -> Result<Reply, VoiceError> {
        let (newest, total) = self.newest_since(UnixMillis(i64::MIN)).await?;
        let newest: Vec<&str> = newest.iter().map(String::as_str).collect();
        Ok(Reply::says(replies::list(language, &newest, total)))
    }

    /// As a model told the day, where it did; else as its notes tell it now.
    async fn summary_of_today(&self, language: Language) -> Result<Reply, VoiceError> {
        let today = self.now().date().to_string();
        let told = self
            .store()
            .query(move |connection| db::summaries::get(connection, &today))
            .await?;
        if let Some(told) = told.filter(|told| told.language == language.code()) {
            return Ok(Reply::says(told.text));
        }
        let midnight = self
            .now()
            .start_of_day()
            .map_or(UnixMillis(i64::MIN), |start| {
                UnixMillis(start.timestamp().as_millisecond())
            });
        let (newest, total) = self.newest_since(midnight).await?;
        let questions = self
            .store()
            .query(move |connection| db::conversations::questions_since(connection, midnight))
            .await?;
        let newest: Vec<&str> = newest.iter().map(String::as_str).collect();
        Ok(Reply::says(replies::summary(
            language, &newest, total, questions,
        )))
    }

    async fn newest_since(&self, since: UnixMillis) -> Result<(Vec<String>, usize), VoiceError> {
        self.store()
            .query(move |connection| db::memories::newest(connection, since, LISTED_MAX))
            .await
    }

    async fn ask_to_forget(&self, about: &str, turn: &Turn) -> Result<Reply, VoiceError> {
        let language = turn.language;
        let mut found = self.find(recall::subject(about)).await?;
        found.hits.retain(|hit| hit.fit != Fit::Some);
        found.hits.truncate(FORGET_MAX);
        let Some(best) = found.hits.first() else {
            return Ok(Reply::says(replies::nothing_to_forget(language)));
        };
        let text = replies::confirm_forget(language, &best.content, found.hits.len() - 1);
        let ids = found.hits.iter().map(|hit| hit.id.clone()).collect();
        Ok(self.ask(turn, Clearing::Memories(Forget::These(ids)), text))
    }

    async fn ask_to_forget_everything(&self, turn: &Turn) -> Result<Reply, VoiceError> {
        let (_, total) = self.newest_since(UnixMillis(i64::MIN)).await?;
        if total == 0 {
            return Ok(Reply::says(replies::list(turn.language, &[], 0)));
        }
        let text = replies::confirm_everything(turn.language, total);
        Ok(self.ask(turn, Clearing::Memories(Forget::Everything), text))
    }

    /// Says `text` and lets the next yes in this conversation do it.
    fn ask(&self, turn: &Turn, what: Clearing, text: String) -> Reply {
        self.await_yes(&turn.conversation_id, what);
        Reply::says(text)
    }

    /// The next yes in this conversation removes these memories.
    pub(super) fn await_yes_to_forget(&self, conversation_id: &str, ids: Vec<String>) {
        self.await_yes(conversation_id, Clearing::Memories(Forget::These(ids)));
    }

    fn await_yes(&self, conversation_id: &str, what: Clearing) {
        let mut waiting = self.0.confirmations.borrow_mut();
        if waiting.len() == CONFIRMATIONS_MAX {
            waiting.remove(0);
        }
        waiting.push(Confirmation {
            conversation_id: conversation_id.to_owned(),
            what,
            until: MonoMillis(self.clock().mono().0 + CONFIRMATION_LIFE.as_millis() as u64),
        });
    }

    /// Whatever is said next ends the wait for a yes.
    fn take_confirmation(&self, conversation_id: &str) -> Option<Clearing> {
        let now = self.clock().mono();
        let mut waiting = self.0.confirmations.borrow_mut();
        waiting.retain(|confirmation| confirmation.until > now);
        let at = waiting
            .iter()
            .position(|confirmation| confirmation.conversation_id == conversation_id)?;
        Some(waiting.remove(at).what)
    }

    async fn clear(&self, what: Clearing, turn: &Turn) -> Result<Reply, VoiceError> {
        match what {
            Clearing::Memories(what) => {
                let count = self.0.memories.forget(what).await?;
                Ok(Reply::says(replies::forgotten(turn.language, count)))
            }
            Clearing::Conversation => Ok(Reply {
                clear: Some(Clearing::Conversation),
                ..Reply::says(replies::conversation_cleared(turn.language))
            }),
        }
    }

    /// An unknown id is an error; one of the running conversation need not be stored yet.
    fn known_conversation(&self, id: &str) -> Result<String, VoiceError> {
        let is_running = matches!(&*self.0.running.borrow(), Some((running, _)) if running == id);
        let exists = is_running
            || self
                .store()
                .read(|connection| db::conversations::exists(connection, id))?;
        match exists {
            true => Ok(id.to_string()),
            false => Err(VoiceError::NotFound(String::from(
                "conversation of this id",
            ))),
        }
    }

    fn running_conversation(&self) -> String {
        let now = self.clock().mono();
        let mut running = self.0.running.borrow_mut();
        let id = match running.take() {
            Some((id, used)) if now.since(used) < self.0.conversation_idle => id,
            _ => fresh_id("conv_"),
        };
        *running = Some((id.clone(), now));
        id
    }

    pub(super) fn now(&self) -> jiff::Zoned {
        jiff::Timestamp::from_millisecond(self.clock().wall().0)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(self.0.time_zone.clone())
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.memories.store
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.memories.clock
    }
}

impl Reply {
    fn says(content: String) -> Reply {
        Reply {
            content,
            ..Reply::default()
        }
    }

    fn does(action: Action, content: String) -> Reply {
        Reply {
            action: Some(action),
            ..Reply::says(content)
        }
    }
}
