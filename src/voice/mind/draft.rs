//! An answer while it is being written, and the recording that it ends.

use std::cell::{Cell, RefCell};

use super::super::db;
use super::super::db::context::Accounting;
use super::super::db::conversations::{NewMessage, Role};
use super::super::dialogue::{Dialogue, Turn, VoiceError};
use super::super::recall::estimated_tokens;
use crate::clock::UnixMillis;
use crate::store::Connection;

/// The recording in which a question was asked, and its words.
#[derive(Clone)]
pub struct Spoken {
    pub recording: String,
    pub text: String,
    pub memory: Option<String>,
}

impl Spoken {
    pub fn of(turn: &Turn) -> Option<Spoken> {
        let recording = turn.question.recording.clone()?;
        Some(Spoken {
            recording,
            text: turn.question.text.clone(),
            memory: None,
        })
    }

    /// In the transaction of its answer.
    pub fn answered(&self, connection: &Connection, at: UnixMillis) -> Result<(), VoiceError> {
        let memory = self.memory.as_deref();
        db::recordings::answered(connection, &self.recording, &self.text, memory, None, at)
    }
}

/// An answer that is being written. Dropped before its end, what came of it is kept.
pub(super) struct Draft {
    dialogue: Dialogue,
    conversation: String,
    answer: String,
    /// Id of the question's message.
    pub(super) said: String,
    pub(super) spoken: Option<Spoken>,
    pub(super) text: RefCell<String>,
    keeps: bool,
    is_for_later: Cell<bool>,
}

impl Draft {
    pub(super) fn new(dialogue: Dialogue, turn: &Turn, said: String) -> Draft {
        Draft {
            dialogue,
            conversation: turn.conversation_id.clone(),
            answer: turn.answer_id.clone(),
            said,
            spoken: Spoken::of(turn).filter(|_| turn.question.remember),
            text: RefCell::default(),
            keeps: turn.question.remember,
            is_for_later: Cell::new(false),
        }
    }

    pub(super) fn say(&self, piece: &str, on_text: &mut dyn FnMut(&str)) {
        self.text.borrow_mut().push_str(piece);
        on_text(piece);
    }

    /// Sets apart what comes next from what has come.
    pub(super) fn part(&self, on_text: &mut dyn FnMut(&str)) {
        let is_apart = {
            let text = self.text.borrow();
            text.is_empty() || text.ends_with(char::is_whitespace)
        };
        if !is_apart {
            self.say("\n", on_text);
        }
    }

    /// The words that come now are no answer; dropped before its end, it leaves a job.
    pub(super) fn answer_later(&self) {
        self.is_for_later.set(true);
    }

    /// Nothing is left to do on dropping; whether the answer is kept.
    pub(super) fn finish(mut self) -> bool {
        std::mem::take(&mut self.keeps)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let text = self.text.take();
        if !self.keeps || text.trim().is_empty() {
            return;
        }
        let (dialogue, spoken) = (self.dialogue.clone(), self.spoken.take());
        if self.is_for_later.get() {
            let Some(spoken) = spoken else { return };
            tokio::task::spawn_local(async move {
                if let Err(error) = dialogue.answer_later(spoken).await {
                    log::warn!("event=answer_not_put_off error=\"{error}\"");
                }
            });
            return;
        }
        let accounting = Accounting {
            provider: String::new(),
            input_tokens: 0,
            broke_off_at: Some(text.chars().count()),
        };
        let message = NewMessage {
            id: std::mem::take(&mut self.answer),
            role: Role::Assistant,
            tokens: estimated_tokens(&text),
            content: text,
            model: None,
            recording_id: None,
        };
        let conversation = std::mem::take(&mut self.conversation);
        tokio::task::spawn_local(async move {
            let kept = dialogue
                .keep_answer(&conversation, message, accounting, spoken)
                .await;
            if let Err(error) = kept {
                log::warn!("event=interrupted_answer_not_kept error=\"{error}\"");
            }
        });
    }
}
