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
use super::db::conversations::{NewMessage, NewTurn, Role};
use super::index::Query;
use super::memory::{
    Forget, Memories, MemoryFilter, NewMemory, Source, check_text, fresh_id, title_of,
};
use super::recall::{self, Fit, Found, Hit};
use super::rules::{self, Intent, Kind, Language, replies};
use super::settings::VoiceSettings;
use super::timers::Timers;

pub use super::error::VoiceError;

/// What `model` and `provider` of an answer made here say.
pub const MODEL: &str = "local-rules";
pub const PROVIDER: &str = "local";

/// Memories looked at for one answer.
const FOUND_MAX: usize = 20;
/// Memories told in one answer.
const TOLD_MAX: usize = 3;
/// Memories listed aloud.
const LISTED_MAX: usize = 5;
/// A further memory is told when its score is at least this.
const ALSO_FITS_SCORE: f64 = 0.6;
/// A memory that has only a part of the question is told, with doubt, from this share on.
const COVERED_MIN: f64 = 0.5;
/// Memories one spoken "forget" may remove.
const FORGET_MAX: usize = 5;
const VOLUME_STEP: u8 = 10;
const VOLUME_DEFAULT: u8 = 70;

/// Clones share one state.
#[derive(Clone)]
pub struct Dialogue(Rc<State>);

struct State {
    memories: Memories,
    timers: Timers,
    conversation_idle: std::time::Duration,
    time_zone: jiff::tz::TimeZone,
    /// Conversation that a turn without one belongs to, and when it was last used.
    running: RefCell<Option<(String, MonoMillis)>>,
    /// Oldest first.
    confirmations: RefCell<Vec<Confirmation>>,
    volume: Cell<u8>,
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
#[serde(rename_all = "snake_case")]
pub enum Action {
    Stop,
    Repeat,
    Volume { percent: u8 },
    Mute,
}

/// A question that passed the door and has its place: answer it with [`Dialogue::finish`].
pub struct Turn {
    question: Question,
    language: Language,
    /// Id the stored answer will have.
    pub answer_id: String,
    pub conversation_id: String,
}

/// What a turn comes to, before it is stored.
#[derive(Default)]
struct Reply {
    content: String,
    used: Vec<MemoryUsed>,
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
        }))
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
        let reply = self.reply(&turn).await?;
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

    async fn reply(&self, turn: &Turn) -> Result<Reply, VoiceError> {
        let language = turn.language;
        let waiting = self.take_confirmation(&turn.conversation_id);
        Ok(match rules::understand(&turn.question.text) {
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
            Intent::Recall(question) => self.recall(&question, language).await?,
            Intent::Forget(about) => self.ask_to_forget(&about, turn).await?,
            Intent::Unknown => self.guess(turn).await?,
        })
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
            Kind::Mute => Reply::does(Action::Mute, replies::muted(language)),
            Kind::VolumeUp => self.volume(volume.saturating_add(VOLUME_STEP).min(100), language),
            Kind::VolumeDown => self.volume(volume.saturating_sub(VOLUME_STEP), language),
            Kind::Repeat => self.repeat(turn)?,
            Kind::List => self.list(language).await?,
            Kind::SummaryToday => self.summary_of_today(language).await?,
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
            ..NewMemory::plain(content, source, self.clock().wall())
        };
        Reply {
            record: Some(memory),
            ..Reply::says(text)
        }
    }

    async fn recall(&self, question: &str, language: Language) -> Result<Reply, VoiceError> {
        let subject = recall::subject(question);
        if subject.is_empty() {
            return Ok(Reply::says(replies::ask_what(language)));
        }
        let found = self.find(subject).await?;
        Ok(told(&found, language).unwrap_or_else(|| Reply::says(replies::unknown(language))))
    }

    /// No rule fits: a few words may still name something remembered, if all of them are in it.
    async fn guess(&self, turn: &Turn) -> Result<Reply, VoiceError> {
        let subject = recall::subject(&turn.question.text);
        if !subject.is_empty() {
            let mut found = self.find(subject).await?;
            found.hits.retain(|hit| hit.fit != Fit::Some);
            if let Some(reply) = told(&found, turn.language) {
                return Ok(reply);
            }
        }
        Ok(Reply::says(replies::not_understood(turn.language)))
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

    async fn summary_of_today(&self, language: Language) -> Result<Reply, VoiceError> {
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
        let mut waiting = self.0.confirmations.borrow_mut();
        if waiting.len() == CONFIRMATIONS_MAX {
            waiting.remove(0);
        }
        waiting.push(Confirmation {
            conversation_id: turn.conversation_id.clone(),
            what,
            until: MonoMillis(self.clock().mono().0 + CONFIRMATION_LIFE.as_millis() as u64),
        });
        Reply::says(text)
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

    async fn store_turn(
        &self,
        turn: Turn,
        reply: Reply,
        answer: &Answer,
    ) -> Result<(), VoiceError> {
        let question = turn.question;
        if !question.remember && reply.clear.is_none() {
            return Ok(());
        }
        let said = NewMessage {
            id: fresh_id("msg_"),
            role: Role::User,
            content: question.text,
            tokens: answer.input_tokens,
            model: None,
            recording_id: question.recording,
        };
        let answered = NewMessage {
            id: answer.id.clone(),
            role: Role::Assistant,
            content: reply.content,
            tokens: answer.output_tokens,
            model: Some(MODEL),
            recording_id: None,
        };
        let record = reply
            .record
            .map(NewMemory::check)
            .transpose()?
            .map(|memory| NewMemory {
                message_id: Some(said.id.clone()),
                ..memory
            });
        let turn = NewTurn {
            conversation_id: turn.conversation_id,
            summary: title_of(&said.content),
            said,
            answered,
            at: self.clock().wall(),
        };
        let clears = reply.clear.is_some();
        let keeps = question.remember;
        self.store()
            .write(move |connection| {
                if clears {
                    db::conversations::delete(connection, &turn.conversation_id)?;
                }
                if keeps {
                    db::conversations::insert_turn(connection, &turn)?;
                }
                match &record {
                    Some(memory) => db::memories::insert(connection, memory),
                    None => Ok(()),
                }
            })
            .await
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

    fn now(&self) -> jiff::Zoned {
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

/// Puts what was found into words; `None` when nothing fits well enough.
fn told(found: &Found, language: Language) -> Option<Reply> {
    let trust = found.hits.first()?.fit;
    let mut sure: Vec<&Hit> = Vec::new();
    for hit in &found.hits {
        let fits = hit.fit == trust && trust != Fit::Some && hit.score >= ALSO_FITS_SCORE;
        let is_new = sure.iter().all(|known| known.content != hit.content);
        if fits && is_new && sure.len() < TOLD_MAX {
            sure.push(hit);
        }
    }
    let (content, hits) = match sure.is_empty() {
        false => {
            let contents: Vec<&str> = sure.iter().map(|hit| hit.content.as_str()).collect();
            (replies::told(language, &contents), sure)
        }
        true => {
            let best = found
                .hits
                .iter()
                .filter(|hit| hit.covered >= COVERED_MIN)
                .max_by(|a, b| {
                    a.covered
                        .total_cmp(&b.covered)
                        .then(a.score.total_cmp(&b.score))
                })?;
            (replies::perhaps_told(language, &best.content), vec![best])
        }
    };
    let used = hits
        .iter()
        .map(|hit| MemoryUsed {
            id: hit.id.clone(),
            score: hit.score,
        })
        .collect();
    Some(Reply {
        used,
        ..Reply::says(content)
    })
}
