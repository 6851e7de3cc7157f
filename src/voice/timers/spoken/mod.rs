//! Timers, alarms and reminders in spoken and typed words, without a model.
//!
//! Understands by tables, says what was understood, and asks where a sentence can mean two things;
//! the answer to such a question is understood within the same conversation for a minute.

mod chinese;
mod english;
mod numbers;
mod when;

use std::cell::RefCell;
use std::time::Duration;

use jiff::Zoned;

use super::said;
use super::{NewTimer, Timekeeper as _, Timer, TimerKind, Timers, When, is_set, zoned};
use crate::clock::MonoMillis;
use crate::limits::{CONFIRMATION_LIFE, CONFIRMATIONS_MAX, SNOOZE_DEFAULT, SNOOZE_MAX};
use crate::voice::error::VoiceError;
use crate::voice::rules::Language;
use when::{Meaning, Said};

/// What a person wants of the timers.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Set(Draft),
    List(Option<TimerKind>),
    /// How long one has to run.
    Left {
        kind: Option<TimerKind>,
        label: String,
    },
    Cancel {
        kind: Option<TimerKind>,
        label: String,
        all: bool,
    },
    Snooze(Option<Duration>),
}

/// A timer as far as it was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    kind: TimerKind,
    label: String,
    said: Said,
}

/// Questions of ours that wait for an answer; oldest first.
#[derive(Default)]
pub struct Asked(RefCell<Vec<Question>>);

struct Question {
    conversation_id: String,
    about: About,
    until: MonoMillis,
}

enum About {
    /// The draft lacks a time.
    Time(Draft),
    /// Which of these to cancel.
    Which(Vec<String>),
}

pub fn understand(text: &str) -> Option<Request> {
    let text = without_courtesy(text);
    match text.chars().any(crate::voice::index::is_cjk) {
        true => chinese::understand(text),
        false => english::understand(text),
    }
}

/// Polite beginnings mean nothing; compared without case.
fn without_courtesy(text: &str) -> &str {
    let mut rest = text.trim();
    loop {
        let shorter = crate::voice::rules::words::COURTESY
            .iter()
            .find_map(|word| {
                let head = rest.get(..word.len())?;
                head.eq_ignore_ascii_case(word).then(|| &rest[word.len()..])
            })
            .map(|rest| rest.trim_start_matches([',', '，', ' ']));
        match shorter {
            Some(shorter) if !shorter.is_empty() => rest = shorter,
            _ => return rest,
        }
    }
}

/// The answer to what is about timers; `None` when it is about something else.
pub async fn answer(
    timers: &Timers,
    text: &str,
    conversation_id: &str,
    language: Language,
) -> Result<Option<String>, VoiceError> {
    let asked = timers.take_question(conversation_id);
    let request = understand(text);
    let turn = Turn {
        timers,
        conversation_id,
        language,
        now: zoned(timers.clock().wall(), &timers.zone()),
    };
    let told = match (request, asked) {
        (Some(Request::Set(draft)), _) => turn.set(draft).await,
        (Some(Request::List(kind)), _) => Ok(turn.list(kind)),
        (Some(Request::Left { kind, label }), _) => Ok(turn.left(kind, &label)),
        (Some(Request::Cancel { kind, label, all }), _) => turn.cancel(kind, &label, all).await,
        (Some(Request::Snooze(wait)), _) => turn.snooze(wait).await,
        (None, Some(About::Time(mut draft))) => {
            let more = match text.chars().any(crate::voice::index::is_cjk) {
                true => chinese::times(text),
                false => english::times(text),
            };
            if more.is_empty() {
                return Ok(None);
            }
            draft.said.complete(more);
            turn.set(draft).await
        }
        (None, Some(About::Which(ids))) => match turn.chosen(text, &ids) {
            Some(ids) => turn.cancel_these(&ids).await,
            None => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    match told {
        // What a person asked for and cannot have is an answer; a broken store is not.
        Err(VoiceError::Invalid(_)) => Ok(Some(said::too_long(language))),
        Err(VoiceError::Conflict(_)) => Ok(Some(said::full(language))),
        told => told.map(Some),
    }
}

struct Turn<'a> {
    timers: &'a Timers,
    conversation_id: &'a str,
    language: Language,
    now: Zoned,
}

impl Turn<'_> {
    async fn set(&self, draft: Draft) -> Result<String, VoiceError> {
        let language = self.language;
        let (when, repeat) = match draft.said.meaning(draft.kind, &self.now) {
            Meaning::At(When::At(_), _) if !is_set(self.timers.clock().wall()) => {
                return Ok(said::clock_unset(language));
            }
            Meaning::At(when, repeat) => (when, repeat),
            Meaning::Nothing => {
                let text = match draft.kind {
                    TimerKind::Timer => said::ask_length(language),
                    TimerKind::Alarm | TimerKind::Reminder => said::ask_when(language),
                };
                return Ok(self.ask(About::Time(draft), text));
            }
            Meaning::EitherHalf(clock) => {
                let text = said::ask_half(language, clock.hour, clock.minute);
                return Ok(self.ask(About::Time(draft), text));
            }
            Meaning::Passed => return Ok(said::passed(language)),
        };
        let timer = self
            .timers
            .add(NewTimer {
                kind: draft.kind,
                label: draft.label,
                when,
                repeat,
                language: language.code().to_string(),
            })
            .await?;
        Ok(said::set(language, &timer, &self.now))
    }

    fn ask(&self, about: About, text: String) -> String {
        self.timers.ask(self.conversation_id, about);
        text
    }

    fn list(&self, kind: Option<TimerKind>) -> String {
        let of_kind = self.live(kind);
        // Who asks for alarms and has a reminder wants to hear of it.
        let timers = match of_kind.is_empty() {
            true => self.live(None),
            false => of_kind,
        };
        let with_rest: Vec<(Timer, Duration)> = timers
            .into_iter()
            .map(|timer| {
                let left = self.timers.remaining(&timer.id).unwrap_or_default();
                (timer, left)
            })
            .collect();
        said::listed(self.language, &with_rest, &self.now)
    }

    fn left(&self, kind: Option<TimerKind>, label: &str) -> String {
        let found = self.matching(kind, label);
        let Some(next) = found.first() else {
            return said::none(self.language);
        };
        let left = self.timers.remaining(&next.id).unwrap_or_default();
        said::left(self.language, next, left, &self.now)
    }

    async fn cancel(
        &self,
        kind: Option<TimerKind>,
        label: &str,
        all: bool,
    ) -> Result<String, VoiceError> {
        let found = self.matching(kind, label);
        if found.len() > 1 && !all {
            let ids = found.iter().map(|timer| timer.id.clone()).collect();
            let text = said::which(self.language, &found, &self.now);
            return Ok(self.ask(About::Which(ids), text));
        }
        let ids: Vec<String> = found.into_iter().map(|timer| timer.id).collect();
        self.cancel_these(&ids).await
    }

    async fn cancel_these(&self, ids: &[String]) -> Result<String, VoiceError> {
        let mut cancelled = Vec::new();
        for id in ids {
            cancelled.push(self.timers.cancel(id).await?);
        }
        Ok(said::cancelled(self.language, &cancelled, &self.now))
    }

    async fn snooze(&self, wait: Option<Duration>) -> Result<String, VoiceError> {
        let wait = wait.unwrap_or(SNOOZE_DEFAULT).min(SNOOZE_MAX);
        let ringing: Vec<Timer> = self
            .live(None)
            .into_iter()
            .filter(|timer| timer.state == super::TimerState::Ringing)
            .collect();
        if ringing.is_empty() {
            return Ok(said::nothing_rings(self.language));
        }
        for timer in &ringing {
            self.timers.snooze(&timer.id, wait).await?;
        }
        Ok(said::snoozed(self.language, wait))
    }

    fn live(&self, kind: Option<TimerKind>) -> Vec<Timer> {
        let mut timers = self.timers.live();
        timers.retain(|timer| kind.is_none_or(|kind| timer.kind == kind));
        timers
    }

    /// Of the kind, or by name whatever the kind; all of the kind when no name fits.
    fn matching(&self, kind: Option<TimerKind>, label: &str) -> Vec<Timer> {
        let all = self.live(None);
        if !label.is_empty() {
            let wanted = label.to_lowercase();
            let named: Vec<Timer> = all
                .iter()
                .filter(|timer| {
                    let has = timer.label.to_lowercase();
                    !has.is_empty() && (has.contains(&wanted) || wanted.contains(&has))
                })
                .cloned()
                .collect();
            if !named.is_empty() {
                return named;
            }
        }
        let of_kind = self.live(kind);
        match of_kind.is_empty() && label.is_empty() {
            true => all,
            false => of_kind,
        }
    }

    /// The ones that the answer to "which one?" means.
    fn chosen(&self, text: &str, ids: &[String]) -> Option<Vec<String>> {
        let lower = text.to_lowercase();
        let word = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if word(&["all", "both", "every", "全部", "所有", "都"]) {
            return Some(ids.to_vec());
        }
        let ordinals: [&[&str]; 5] = [
            &["first", "第一"],
            &["second", "第二"],
            &["third", "第三"],
            &["fourth", "第四"],
            &["fifth", "第五"],
        ];
        let by_place = ordinals.iter().position(|words| word(words));
        if let Some(id) = by_place.and_then(|at| ids.get(at)) {
            return Some(vec![id.clone()]);
        }
        let by_name: Vec<String> = self
            .timers
            .live()
            .into_iter()
            .filter(|timer| {
                let label = timer.label.to_lowercase();
                let is_named = !label.is_empty()
                    && (lower.contains(&label) || label.contains(lower.trim_end_matches('.')));
                ids.contains(&timer.id) && is_named
            })
            .map(|timer| timer.id)
            .collect();
        (!by_name.is_empty()).then_some(by_name)
    }
}

impl Timers {
    fn ask(&self, conversation_id: &str, about: About) {
        let mut asked = self.0.asked.0.borrow_mut();
        asked.retain(|question| question.conversation_id != conversation_id);
        if asked.len() >= CONFIRMATIONS_MAX {
            asked.remove(0);
        }
        let life = CONFIRMATION_LIFE.as_millis() as u64;
        asked.push(Question {
            conversation_id: conversation_id.to_string(),
            about,
            until: MonoMillis(self.0.clock.mono().0 + life),
        });
    }

    /// Whatever is said next ends the wait for an answer.
    fn take_question(&self, conversation_id: &str) -> Option<About> {
        let now = self.0.clock.mono();
        let mut asked = self.0.asked.0.borrow_mut();
        asked.retain(|question| question.until > now);
        let at = asked
            .iter()
            .position(|question| question.conversation_id == conversation_id)?;
        Some(asked.remove(at).about)
    }
}

#[cfg(test)]
mod tests;
