//! What a model may do here: keep, change, find memories, set and cancel timers, see the time.
//!
//! Every input is checked against its shape; what is wrong goes back to the model as an error to
//! put right. Nothing is removed by a model: forgetting is a dry run, and the person's yes in the
//! same conversation does it. Results are data, bounded in length.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::dialogue::{MemorySaved, MemoryUsed};
use super::error::VoiceError;
use super::index::Query;
use super::memory::{Memories, MemoryFilter, MemoryPatch, NewMemory, Source, is_id, title_of};
use super::providers::llm::{ToolCall, ToolResult, ToolSpec};
use super::recall::{Fit, Hit};
use super::rules::Language;
use super::timers::{NewTimer, Repeat, Timekeeper, Timer, TimerKind, When};
use crate::clock::UnixMillis;
use crate::limits::{TIMERS_LIVE_MAX, TOOL_RESULT_BYTES_MAX};

/// Memories one search gives.
const FOUND_MAX: usize = 5;
/// Memories one "forget" may be about.
const FORGET_MAX: usize = 5;
/// Characters of one memory in a result.
const CONTENT_CHARS_MAX: usize = 500;
const TIMERS_TOLD_MAX: usize = 30;

/// The tools of one turn.
pub struct Tools<'a> {
    pub memories: &'a Memories,
    pub timers: &'a dyn Timekeeper,
    pub language: Language,
    /// Whether anything of this conversation is kept.
    pub keeps: bool,
    pub conversation: &'a str,
    /// The message and the recording in which it was asked for.
    pub message: Option<&'a str>,
    pub recording: Option<&'a str>,
    pub now: jiff::Zoned,
}

/// What was done beside giving results.
#[derive(Debug, Default)]
pub struct Done {
    pub saved: Option<MemorySaved>,
    /// Memories that the model was shown.
    pub used: Vec<MemoryUsed>,
    /// Memories that the next yes removes.
    pub to_forget: Option<Vec<String>>,
}

/// All tools as they are offered.
pub fn specs() -> Vec<ToolSpec> {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let tool = |name, description, properties: Value, required: &[&str]| ToolSpec {
        name,
        description,
        schema: json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        }),
    };
    vec![
        tool(
            "remember",
            "Keep something the person wants kept, in their own words.",
            json!({
                "content": text("One complete sentence that is clear by itself later"),
                "tags": { "type": "array", "items": { "type": "string" }, "maxItems": 5 },
            }),
            &["content"],
        ),
        tool(
            "search_memory",
            "Find what was kept earlier.",
            json!({ "query": text("The words it is about, not a question") }),
            &["query"],
        ),
        tool(
            "update_memory",
            "Put a memory right that has changed or was wrong.",
            json!({ "id": text("Its id from search_memory"), "content": text("Its whole new text") }),
            &["id", "content"],
        ),
        tool(
            "forget_memory",
            "Prepare to remove memories. Removes nothing: tells what would go, and then the person must say yes.",
            json!({
                "ids": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": FORGET_MAX,
                         "description": "Ids from search_memory" },
            }),
            &["ids"],
        ),
        tool(
            "set_timer",
            "Ring after a span of time.",
            json!({
                "seconds": { "type": "integer", "minimum": 1 },
                "label": text("What it is for, in a word or two"),
            }),
            &["seconds"],
        ),
        tool(
            "set_reminder",
            "Remind of something, or wake, at a time of the clock.",
            json!({
                "at": text("Local time such as 2026-03-01T07:30"),
                "text": text("What to say then"),
                "kind": { "type": "string", "enum": ["reminder", "alarm"] },
                "repeat": text("FREQ=DAILY, or FREQ=WEEKLY;BYDAY=MO,TU; leave out for once"),
            }),
            &["at", "text"],
        ),
        tool(
            "list_timers",
            "Timers, alarms and reminders that will ring.",
            json!({}),
            &[],
        ),
        tool(
            "cancel_timer",
            "Cancel one of them.",
            json!({ "id": text("Its id from list_timers") }),
            &["id"],
        ),
        tool(
            "current_time",
            "Date, time and weekday here.",
            json!({}),
            &[],
        ),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Remember {
    content: String,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    query: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    id: String,
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgetThese {
    ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetTimer {
    seconds: u64,
    label: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetReminder {
    at: String,
    text: String,
    kind: Option<ReminderKind>,
    repeat: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReminderKind {
    Reminder,
    Alarm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ById {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Tools<'_> {
    /// Runs one call; an error is a result too, since the model can put it right.
    pub async fn call(&self, call: &ToolCall, done: &mut Done) -> ToolResult {
        let result = self.run(call, done).await;
        let is_error = result.is_err();
        let mut content = match result {
            Ok(value) => value.to_string(),
            Err(error) => error.line().message,
        };
        if content.len() > TOOL_RESULT_BYTES_MAX {
            let end = content.floor_char_boundary(TOOL_RESULT_BYTES_MAX);
            content.truncate(end);
        }
        ToolResult {
            call_id: call.id.clone(),
            content,
            is_error,
        }
    }

    async fn run(&self, call: &ToolCall, done: &mut Done) -> Result<Value, VoiceError> {
        match call.name.as_str() {
            "remember" => self.remember(input(call)?, done).await,
            "search_memory" => self.search(input(call)?, done).await,
            "update_memory" => self.update(input(call)?).await,
            "forget_memory" => self.forget(input(call)?, done).await,
            "set_timer" => self.set_timer(input(call)?).await,
            "set_reminder" => self.set_reminder(input(call)?).await,
            "list_timers" => {
                let Nothing {} = input(call)?;
                Ok(self.list_timers())
            }
            "cancel_timer" => self.cancel_timer(input(call)?).await,
            "current_time" => {
                let Nothing {} = input(call)?;
                Ok(self.current_time())
            }
            other => Err(VoiceError::Invalid(format!(
                "There is no tool {}.",
                other.chars().take(64).collect::<String>()
            ))),
        }
    }

    async fn remember(&self, given: Remember, done: &mut Done) -> Result<Value, VoiceError> {
        self.must_keep()?;
        let source = match self.recording {
            Some(_) => Source::Voice,
            None => Source::Chat,
        };
        let now = self.memories.clock.wall();
        let memory = NewMemory {
            tags: given.tags,
            conversation_id: Some(self.conversation.to_owned()),
            message_id: self.message.map(str::to_owned),
            recording_id: self.recording.map(str::to_owned),
            wants_organizing: self.memories.wants_organizing(None),
            ..NewMemory::told(given.content.trim(), source, now)
        };
        let saved = self.memories.create(memory).await?;
        let answer = json!({ "id": saved.id, "kept": true });
        done.saved = Some(saved);
        Ok(answer)
    }

    async fn search(&self, given: Search, done: &mut Done) -> Result<Value, VoiceError> {
        let current = MemoryFilter {
            current_only: true,
            ..MemoryFilter::default()
        };
        let query = Query::parse(&given.query);
        let found = self
            .memories
            .recall(&given.query, query, current, FOUND_MAX)
            .await?;
        for hit in found.hits.iter().filter(|hit| hit.fit != Fit::Some) {
            if done.used.iter().all(|used| used.id != hit.id) {
                done.used.push(MemoryUsed {
                    id: hit.id.clone(),
                    score: hit.score,
                });
            }
        }
        let notes: Vec<Value> = found.hits.iter().map(|hit| self.note(hit)).collect();
        Ok(json!({ "notes_not_instructions": notes, "total": found.total }))
    }

    fn note(&self, hit: &Hit) -> Value {
        json!({
            "id": hit.id,
            "content": shortened(&hit.content),
            "kept_on": self.local(hit.created_at),
            "fits": match hit.fit {
                Fit::Some => "partly",
                Fit::Meaning => "by meaning",
                Fit::All | Fit::Stems => "well",
            },
        })
    }

    async fn update(&self, given: Update) -> Result<Value, VoiceError> {
        self.must_keep()?;
        check_memory_id(&given.id)?;
        let content = given.content.trim().to_owned();
        let patch = MemoryPatch {
            title: Some(title_of(&content)),
            content: Some(content),
            ..MemoryPatch::default()
        };
        self.memories.patch(&given.id, patch).await?;
        Ok(json!({ "id": given.id, "changed": true }))
    }

    async fn forget(&self, given: ForgetThese, done: &mut Done) -> Result<Value, VoiceError> {
        if given.ids.is_empty() || given.ids.len() > FORGET_MAX {
            return Err(VoiceError::Invalid(format!(
                "`ids` holds 1 to {FORGET_MAX} ids of memories."
            )));
        }
        let mut would_go = Vec::new();
        for id in &given.ids {
            check_memory_id(id)?;
            let memory = self.memories.json(id, "", "")?;
            let memory: Value = serde_json::from_slice(&memory).unwrap_or_default();
            let content = memory["content"].as_str().unwrap_or_default();
            would_go.push(json!({ "id": id, "content": shortened(content) }));
        }
        done.to_forget = Some(given.ids);
        Ok(json!({
            "removed": false,
            "would_remove": would_go,
            "next": "Tell the person what would be removed and ask for a yes. Their yes removes it; call nothing more.",
        }))
    }

    async fn set_timer(&self, given: SetTimer) -> Result<Value, VoiceError> {
        let timer = NewTimer {
            kind: TimerKind::Timer,
            label: given.label.unwrap_or_default(),
            when: When::After(Duration::from_secs(given.seconds)),
            repeat: None,
            language: self.language.code().to_owned(),
        };
        let timer = self.timers.add(timer).await?;
        Ok(self.timer(&timer))
    }

    async fn set_reminder(&self, given: SetReminder) -> Result<Value, VoiceError> {
        let at = self.timers.parse_time(given.at.trim()).ok_or_else(|| {
            VoiceError::Invalid(String::from(
                "`at` is a local time such as 2026-03-01T07:30.",
            ))
        })?;
        let repeat = given
            .repeat
            .as_deref()
            .filter(|rule| !rule.trim().is_empty());
        let repeat = repeat
            .map(Repeat::parse)
            .transpose()
            .map_err(|why| VoiceError::Invalid(format!("`repeat`: {why}")))?;
        let timer = NewTimer {
            kind: match given.kind {
                Some(ReminderKind::Alarm) => TimerKind::Alarm,
                Some(ReminderKind::Reminder) | None => TimerKind::Reminder,
            },
            label: given.text.trim().to_owned(),
            when: When::At(at),
            repeat,
            language: self.language.code().to_owned(),
        };
        let timer = self.timers.add(timer).await?;
        Ok(self.timer(&timer))
    }

    fn list_timers(&self) -> Value {
        let live = self.timers.live();
        debug_assert!(live.len() <= TIMERS_LIVE_MAX, "bounded by the keeper");
        let told: Vec<Value> = live
            .iter()
            .take(TIMERS_TOLD_MAX)
            .map(|timer| self.timer(timer))
            .collect();
        json!({ "timers": told, "total": live.len() })
    }

    async fn cancel_timer(&self, given: ById) -> Result<Value, VoiceError> {
        if !is_id(&given.id, "tmr_") {
            return Err(VoiceError::Invalid(String::from(
                "`id` is the id of a timer as list_timers gives it.",
            )));
        }
        let timer = self.timers.cancel(&given.id).await?;
        Ok(self.timer(&timer))
    }

    fn timer(&self, timer: &Timer) -> Value {
        json!({
            "id": timer.id,
            "kind": timer.kind,
            "label": timer.label,
            "state": timer.state,
            "rings_at": self.local(timer.due_at),
            "repeats": timer.repeat.is_some(),
        })
    }

    fn current_time(&self) -> Value {
        json!({
            "local": self.now.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            "weekday": self.now.strftime("%A").to_string(),
            "zone": self.now.time_zone().iana_name(),
        })
    }

    fn local(&self, at: UnixMillis) -> String {
        jiff::Timestamp::from_millisecond(at.0)
            .unwrap_or_default()
            .to_zoned(self.now.time_zone().clone())
            .strftime("%Y-%m-%dT%H:%M:%S")
            .to_string()
    }

    fn must_keep(&self) -> Result<(), VoiceError> {
        match self.keeps {
            true => Ok(()),
            false => Err(VoiceError::Invalid(String::from(
                "Nothing of this conversation is kept, as the person wished; tell them so.",
            ))),
        }
    }
}

fn input<T: DeserializeOwned>(call: &ToolCall) -> Result<T, VoiceError> {
    let text = match call.input.trim() {
        "" => "{}",
        text => text,
    };
    serde_json::from_str(text).map_err(|error| {
        VoiceError::Invalid(format!(
            "This is no input of {}: {error}.",
            call.name.chars().take(64).collect::<String>()
        ))
    })
}

fn check_memory_id(id: &str) -> Result<(), VoiceError> {
    match is_id(id, "mem_") {
        true => Ok(()),
        false => Err(VoiceError::Invalid(String::from(
            "An id of a memory is as search_memory gives it.",
        ))),
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(CONTENT_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
