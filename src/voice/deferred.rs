//! What happens to a turn's sound when the turn cannot go on with it now: it is queued, and the
//! person is told so.

use std::rc::Rc;

use super::port::News;
use super::recordings::{Held, Mode, Next, stt_job};
use super::reply::Sentences;
use super::rules::{self, Language, replies};
use super::session::{Context, Open};
use super::turn::{Event, Turn};
use crate::voice::error::VoiceError;

/// Queues the sound of a turn; durable when this returns.
pub(super) async fn queue(context: &Context, held: &Held) -> Result<String, VoiceError> {
    let kept = held.whole().await?;
    let job = stt_job(&kept.id);
    let id = context.room.recordings.store(kept, Some(job)).await?;
    held.release();
    Ok(id.unwrap_or_default())
}

/// The turn goes on without a transcript: its sound waits in the queue.
pub(super) async fn defer(context: &Context, open: &Open, held: &Held) -> Event {
    let turn = open.turn;
    let recording_id = held.id();
    let job_id = match queue(context, held).await {
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
/// whole of it stays for its days unanswered, as does one whose answer has begun; what a limit or a
/// lost client cut off is queued, and so is a note, which nobody waves away.
pub(super) fn cancelled(open: &Open, is_deliberate: bool) {
    let is_memo = open.manner.mode == Mode::Note;
    if let Some(recording) = open.recording.borrow_mut().take()
        && is_deliberate
        && !is_memo
    {
        recording.discard();
    }
    if let Some(held) = open.held.borrow_mut().take()
        && (is_deliberate && !is_memo || open.marks.get().first_text.is_some())
    {
        held.next(Next::Rest(open.text.borrow().clone()));
    }
}

fn language(context: &Context, open: &Open) -> Language {
    let settings = context.room.settings();
    let asked = open.manner.language.as_deref();
    rules::language_of("", asked.or(settings.language.as_deref()))
}
