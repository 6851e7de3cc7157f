//! What happens to a turn's sound when the turn cannot go on with it now: it is queued, and the
//! person is told so.

use std::rc::Rc;

use super::port::News;
use super::recordings::{Kept, stt_job};
use super::reply::Sentences;
use super::rules::{self, Language, replies};
use super::session::{Context, Open};
use super::turn::{Event, Turn};
use crate::voice::error::VoiceError;

/// Queues the sound of a turn; durable when this returns.
pub(super) async fn queue(context: &Context, kept: Kept) -> Result<String, VoiceError> {
    let job = stt_job(&kept.id);
    let id = context.room.recordings.store(kept, Some(job)).await?;
    Ok(id.unwrap_or_default())
}

/// The turn goes on without a transcript: its sound waits in the queue.
pub(super) async fn defer(context: &Context, open: &Open, kept: Kept) -> Event {
    let turn = open.turn;
    let recording_id = kept.id.clone();
    let job_id = match queue(context, kept).await {
        Ok(job_id) => job_id,
        Err(error) => {
            context.tell_error(turn, &error);
            return Event::TranscribeFailed { turn, retry: false };
        }
    };
    let text = replies::saved_for_later(language(context, open));
    context.port.tell(&News::Queued {
        turn,
        recording_id: &recording_id,
        job_id: &job_id,
        text: &text,
    });
    Event::Deferred(turn)
}

pub(super) async fn tell(context: Context, open: Rc<Open>) -> Event {
    let turn: Turn = open.turn;
    if open.manner.speak {
        let sentences = Sentences::default();
        sentences.push(&replies::saved_for_later(language(&context, &open)));
        sentences.close();
        super::stages::speak_if_wanted(&context, &open, &sentences).await;
    }
    Event::DeferralTold(turn)
}

/// A turn that ends before its time. Half a recording that somebody waved away goes, and what is
/// whole of it stays for its days unanswered; what a limit or a lost client cut off before it was
/// understood is queued.
pub(super) fn cancelled(context: &Context, open: &Open, is_deliberate: bool) {
    let is_memo = open.manner.mode == super::recordings::Mode::Note;
    if let Some(recording) = open.recording.borrow_mut().take()
        && is_deliberate
        && !is_memo
    {
        recording.discard();
    }
    let Some(kept) = open.kept.borrow_mut().take() else {
        return;
    };
    let text = open.text.borrow().clone();
    if !is_deliberate && text.is_empty() {
        let context = context.clone();
        tokio::task::spawn_local(async move {
            let id = kept.id.clone();
            if let Err(error) = queue(&context, kept).await {
                log::warn!("event=recording_not_queued recording={id} error=\"{error}\"");
            }
        });
        return;
    }
    let recordings = context.room.recordings.clone();
    tokio::task::spawn_local(async move {
        if let Err(error) = recordings.done(&kept.id, &text, None, None).await {
            log::warn!(
                "event=recording_not_closed recording={} error=\"{error}\"",
                kept.id
            );
        }
    });
}

fn language(context: &Context, open: &Open) -> Language {
    let settings = context.room.settings();
    let asked = open.manner.language.as_deref();
    rules::language_of("", asked.or(settings.language.as_deref()))
}
