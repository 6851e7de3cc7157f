//! Filing: what a model makes of memories and conversations when nobody waits for it.
//!
//! Looks every half minute for memories that a model is to file, conversations that have fallen
//! silent, memories without a vector, and a day that is to be told, and makes jobs of them. The
//! marks of what is left to do lie in the rows themselves, so nothing is lost with the power and
//! nothing is done twice. It never runs inside a turn, sends no secret, and leaves alone what was
//! said in private or has been forgotten.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::db;
use super::db::filing::{Said, Unfiled};
use super::error::VoiceError;
use super::memories::{Filer, Memories};
use super::memory::{Importance, NewMemory, Source, title_of};
use super::organize::{self, Extracted, Filed};
use super::providers::EngineError;
use super::providers::llm::{ChatRequest, Llm};
use super::queue::{Job, JobKind, NewJob, Outcome, Queue, Work, Worker};
use super::rules::{self, Intent};
use super::secrets::secret_in;
use super::vectors::{EmbedSettings, Embedder};
use crate::clock::{Clock, UnixMillis};
use crate::limits::{
    FILING_BACK_DAYS, FILING_INTERVAL, MEMORY_BYTES_MAX, ORGANIZE_CONVERSATIONS, ORGANIZE_TIMEOUT,
};
use crate::outbound::Outbound;
use crate::store::Store;

mod api;
mod embed;
mod summary;
#[cfg(test)]
mod tests;

pub use api::routes;
pub use summary::Summary;

/// `AUTO_MEMORY`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoMemory {
    #[default]
    On,
    /// What is found waits for a person's word.
    Ask,
    Off,
}

/// What a person may set about filing; read anew each time.
#[derive(Clone, Debug)]
pub struct FilingSettings {
    pub auto_memory: AutoMemory,
    /// A conversation without a word for this long is over.
    pub conversation_idle: std::time::Duration,
    /// When the day is told; `None`: only when somebody asks.
    pub summary_at: Option<jiff::civil::Time>,
    pub embed: Option<EmbedSettings>,
}

/// The model in force, or why there is none.
pub type Model = Rc<dyn Fn() -> Result<Rc<dyn Llm>, EngineError>>;

pub struct FilingParts {
    pub store: Store,
    pub clock: Clock,
    pub memories: Memories,
    pub queue: Queue,
    pub outbound: Outbound,
    pub model: Model,
    pub settings: Rc<dyn Fn() -> FilingSettings>,
    pub time_zone: jiff::tz::TimeZone,
}

pub struct Filing {
    parts: FilingParts,
    wake: Notify,
    /// Vectors as they are set up now.
    embed: RefCell<Option<EmbedSettings>>,
}

impl Filing {
    /// Must be called on the loop.
    pub fn start(parts: FilingParts) -> Rc<Filing> {
        let filing = Rc::new(Filing {
            parts,
            wake: Notify::new(),
            embed: RefCell::new(None),
        });
        filing.parts.memories.file_with(filing.clone());
        for kind in [JobKind::Organize, JobKind::Embed, JobKind::Summary] {
            filing.parts.queue.work(kind, filing.clone());
        }
        let looking = filing.clone();
        tokio::task::spawn_local(async move {
            loop {
                if let Err(error) = looking.look().await {
                    log::warn!("event=filing_not_looked error=\"{error}\"");
                }
                let _ = tokio::time::timeout(FILING_INTERVAL, looking.wake.notified()).await;
            }
        });
        filing
    }

    /// Makes jobs of what is to be done now.
    pub async fn look(&self) -> Result<(), VoiceError> {
        self.set_up_vectors();
        if self.has_model() {
            for id in self.waiting_memories().await? {
                self.add(JobKind::Organize, id).await?;
            }
            for id in self.silent_conversations().await? {
                self.add(JobKind::Organize, id).await?;
            }
        }
        self.look_for_vectors().await?;
        self.look_for_summary().await
    }

    async fn waiting_memories(&self) -> Result<Vec<String>, VoiceError> {
        self.parts
            .store
            .query(|connection| db::filing::to_organize(connection, ORGANIZE_CONVERSATIONS))
            .await
    }

    async fn silent_conversations(&self) -> Result<Vec<String>, VoiceError> {
        let settings = (self.parts.settings)();
        if settings.auto_memory == AutoMemory::Off || self.parts.memories.is_private() {
            return Ok(Vec::new());
        }
        let now = self.now();
        let idle = UnixMillis(now.0 - settings.conversation_idle.as_millis() as i64);
        let since = UnixMillis(now.0 - FILING_BACK_DAYS * 86_400_000);
        self.parts
            .store
            .query(move |connection| {
                db::filing::idle(connection, since, idle, ORGANIZE_CONVERSATIONS)
            })
            .await
    }

    async fn add(&self, kind: JobKind, subject: String) -> Result<(), VoiceError> {
        let job = NewJob {
            kind,
            subject,
            recording_id: None,
            payload: json!({}),
        };
        self.parts.queue.add(job).await.map(|_| ())
    }

    async fn organize(&self, subject: &str) -> Result<(), Trouble> {
        match subject.starts_with("conv_") {
            true => self.file_conversation(subject).await,
            false => self.organize_memory(subject).await,
        }
    }

    /// What a person had kept: the model fills in what is empty.
    async fn organize_memory(&self, id: &str) -> Result<(), Trouble> {
        let key = id.to_string();
        let read = self
            .parts
            .store
            .query(move |connection| db::filing::unorganized(connection, &key))
            .await?;
        let Some(read) = read else { return Ok(()) };
        let found = match secret_in(&read.0) {
            // A secret stays on the box.
            Some(_) => None,
            None => {
                let request = organize::ask_for_one(&read.0);
                self.extract(request, organize::parse_one)
                    .await?
                    .filter(|found| !found.holds_secret())
            }
        };
        let (key, now) = (id.to_string(), self.now());
        let is_stored = self
            .parts
            .store
            .write(move |connection| match found {
                Some(found) => db::filing::organized(connection, &key, &read, found, now),
                None => db::filing::leave_unorganized(connection, &key).map(|()| true),
            })
            .await?;
        match is_stored {
            true => {
                self.parts.memories.announce_changed(id);
                Ok(())
            }
            false => Err(Trouble::later("the memory was changed meanwhile")),
        }
    }

    /// What is worth keeping of a conversation that is over.
    async fn file_conversation(&self, id: &str) -> Result<(), Trouble> {
        let auto_memory = (self.parts.settings)().auto_memory;
        if auto_memory == AutoMemory::Off || self.parts.memories.is_private() {
            return Ok(());
        }
        let key = id.to_string();
        let seen = self
            .parts
            .store
            .query(move |connection| db::filing::unfiled(connection, &key))
            .await?;
        let worth = worth_reading(&seen.said);
        let found = match worth.iter().any(|said| said.by_person) {
            true => {
                let request = organize::ask_for_several(&worth);
                let found = self.extract(request, organize::parse_several).await?;
                self.as_memories(id, &seen, found, &worth)
            }
            false => Vec::new(),
        };
        // Private mode may have been switched on while the model was thinking.
        if self.parts.memories.is_private() {
            return Ok(());
        }
        let (key, now, is_cut) = (id.to_string(), self.now(), seen.is_cut);
        let asks = auto_memory == AutoMemory::Ask;
        let filed = self
            .parts
            .store
            .write(move |connection| db::filing::file(connection, &key, &seen, &found, asks, now))
            .await?;
        match filed {
            Some(Filed::Stored(saved)) => {
                for saved in &saved {
                    self.parts.memories.announce_saved(saved);
                }
            }
            Some(Filed::Suggested(0)) | None => {}
            Some(Filed::Suggested(_)) => self.parts.memories.announce_suggestions(),
        }
        if is_cut {
            self.add(JobKind::Organize, id.to_string()).await?;
        }
        Ok(())
    }

    /// The same answer for the same part of a conversation gives the same ids.
    fn as_memories(
        &self,
        conversation: &str,
        seen: &Unfiled,
        found: Option<Vec<Extracted>>,
        worth: &[Said],
    ) -> Vec<NewMemory> {
        let now = self.now();
        let found = found.unwrap_or_else(|| vec![unorganized(worth)]);
        found
            .into_iter()
            .enumerate()
            .filter(|(_, one)| !one.holds_secret())
            .filter_map(|(index, one)| {
                let content = one.content.unwrap_or_default();
                let memory = NewMemory {
                    id: made_id(conversation, seen.last_seq, index),
                    title: one.title,
                    summary: (!one.summary.is_empty()).then_some(one.summary),
                    category: one.category,
                    tags: one.tags,
                    importance: one.importance,
                    details: one.details,
                    conversation_id: Some(conversation.to_string()),
                    organized_at: Some(now),
                    ..NewMemory::plain(content, Source::Chat, now)
                };
                memory.check().ok()
            })
            .collect()
    }

    /// `None`: twice no usable answer.
    async fn extract<T>(
        &self,
        request: ChatRequest,
        parse: impl Fn(&str) -> Result<T, VoiceError>,
    ) -> Result<Option<T>, Trouble> {
        let model = (self.parts.model)()?;
        let answer = self.ask(&*model, &request).await?;
        let why = match parse(&answer) {
            Ok(found) => return Ok(Some(found)),
            Err(why) => why.to_string(),
        };
        // Not why: that may quote what was said.
        log::info!("event=filing_asks_again what=\"an answer that has not the form\"");
        let again = organize::ask_again(&request, &answer, &why);
        match parse(&self.ask(&*model, &again).await?) {
            Ok(found) => Ok(Some(found)),
            Err(_) => {
                log::warn!("event=filing_unusable what=\"two answers that have not the form\"");
                Ok(None)
            }
        }
    }

    async fn ask(&self, model: &dyn Llm, request: &ChatRequest) -> Result<String, EngineError> {
        let mut unheard = |_: &str| {};
        let asked = model.chat(request, &mut unheard);
        match tokio::time::timeout(ORGANIZE_TIMEOUT, asked).await {
            Ok(reply) => Ok(reply?.text),
            Err(_) => Err(EngineError::Timeout(ORGANIZE_TIMEOUT)),
        }
    }

    /// Vectors as the settings have them now.
    fn set_up_vectors(&self) {
        let wanted = (self.parts.settings)().embed;
        if *self.embed.borrow() != wanted {
            let embedder = wanted
                .clone()
                .map(|settings| Rc::new(Embedder::new(self.parts.outbound.clone(), settings)));
            self.parts.memories.embed_with(embedder);
            self.embed.replace(wanted);
        }
    }

    fn now(&self) -> UnixMillis {
        self.parts.clock.wall()
    }
}

impl Filer for Filing {
    fn has_model(&self) -> bool {
        (self.parts.model)().is_ok()
    }

    fn files_by_itself(&self) -> bool {
        (self.parts.settings)().auto_memory != AutoMemory::Off
    }

    fn wake(&self) {
        self.wake.notify_one();
    }
}

impl Worker for Filing {
    fn run<'a>(&'a self, job: &'a Job) -> Work<'a> {
        Box::pin(async move {
            let done = match job.kind {
                JobKind::Organize => self.organize(&job.subject).await,
                JobKind::Embed => self.embed_all().await,
                JobKind::Summary => self.tell_day(&job.subject).await,
                JobKind::Stt | JobKind::Reply => Ok(()),
            };
            match done {
                Ok(()) => Outcome::Done,
                Err(Trouble(outcome)) => outcome,
            }
        })
    }
}

/// What kept a job from being done.
struct Trouble(Outcome);

impl Trouble {
    fn later(why: &str) -> Trouble {
        Trouble(Outcome::Later {
            why: why.to_string(),
            after: None,
        })
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Trouble {
        let why = error.to_string();
        Trouble(match error {
            EngineError::Limited { retry_after, .. } => Outcome::Later {
                why,
                after: retry_after,
            },
            error if error.is_retryable() => Outcome::Later { why, after: None },
            _ => Outcome::Failed(why),
        })
    }
}

impl From<VoiceError> for Trouble {
    fn from(error: VoiceError) -> Trouble {
        Trouble::later(&error.to_string())
    }
}

/// Without secrets, and without what the box's own rules answered: the time, the volume, thanks.
fn worth_reading(said: &[Said]) -> Vec<Said> {
    let mut worth = Vec::new();
    let mut is_answer_wanted = true;
    for one in said {
        if one.by_person {
            let is_command = matches!(
                rules::understand(&one.content),
                Intent::Plain(_) | Intent::Volume(_) | Intent::Forget(_)
            );
            is_answer_wanted = !is_command && secret_in(&one.content).is_none();
        }
        if is_answer_wanted && secret_in(&one.content).is_none() {
            worth.push(one.clone());
        }
    }
    worth
}

/// What the person said, as it was said, when no model could file it.
fn unorganized(worth: &[Said]) -> Extracted {
    let mut content = String::new();
    for said in worth.iter().filter(|said| said.by_person) {
        if content.len() + said.content.len() < MEMORY_BYTES_MAX {
            content.push_str(said.content.trim());
            content.push('\n');
        }
    }
    Extracted {
        title: title_of(&content),
        content: Some(content.trim_end().to_string()),
        summary: String::new(),
        category: String::from("life"),
        tags: Vec::new(),
        importance: Importance::Low,
        details: super::details::Details::default(),
    }
}

fn made_id(conversation: &str, last_seq: i64, index: usize) -> String {
    let digest = Sha256::digest(format!("{conversation} {last_seq} {index}"));
    let hex: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("mem_{hex}")
}
