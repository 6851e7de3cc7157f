//! The stages of a turn as straight lines; each ends in the event it reports to the machine.

use std::cell::Cell;
use std::rc::Rc;

use super::api::Speaker as _;
use super::deferred;
use super::device::WeakDevice;
use super::dialogue::{Action, Answer, Question, VoiceError};
use super::listen::{Control, Heard, Listening};
use super::port::News;
use super::providers::{Sound, SttOptions};
use super::recordings::{Held, Mode, NewRecording, Next, Tape};
use super::reply::{Sentences, Speaking, SpeakingParts, Step};
use super::session::{Context, Open};
use super::timeline::mark;
use super::turn::{Event, Turn};
use crate::limits::TRANSCRIBE_TRIES;

pub(super) async fn listen(context: Context, open: Rc<Open>, control: Rc<Control>) -> Event {
    let turn = open.turn;
    let new = NewRecording {
        conversation_id: open.manner.conversation.clone(),
        language: open.manner.language.clone(),
        speak: open.manner.speak,
        ..NewRecording::live(context.port.origin(), open.manner.mode)
    };
    let tape = Tape::new(&context.room.recordings, new, &open.recording);
    let listening = Listening {
        tape: &tape,
        triggers: &context.room.triggers,
        port: &*context.port,
        clock: &context.room.clock,
        control,
        end_silence: context.room.settings().end_silence,
        began: &|| context.report(Event::SpeechBegan(turn)),
    };
    match listening.run().await {
        Ok(Heard::Elsewhere) => {
            discard(&open);
            context.port.tell(&News::Yielded { turn });
            Event::Yielded(turn)
        }
        Ok(Heard::Sound(heard)) if heard.length.is_zero() => {
            discard(&open);
            Event::NothingHeard(turn)
        }
        Ok(Heard::Sound(heard)) => {
            let now = context.now();
            open.mark(|marks| {
                marks.speech_ended = heard.speech_ended;
                marks.endpoint = Some(now);
            });
            let sound = heard.length;
            open.samples.replace(heard.samples);
            Event::Heard { turn, sound }
        }
        Err(error) => {
            context.tell_error(turn, &error);
            Event::ListenFailed(turn)
        }
    }
}

fn discard(open: &Open) {
    if let Some(nothing) = open.recording.borrow_mut().take() {
        nothing.discard();
    }
}

pub(super) async fn transcribe(context: Context, open: Rc<Open>, attempt: u8) -> Event {
    let turn = open.turn;
    let samples = open.samples.take();
    let keeping = async {
        let held = held(&context, &open, &samples)?;
        Ok((held.whole().await?, held))
    };
    let (kept, held) = match keeping.await {
        Ok(both) => both,
        Err(error) => {
            context.tell_error(turn, &error);
            return Event::TranscribeFailed { turn, retry: false };
        }
    };
    if samples.is_empty() {
        // A long note: it is understood piece by piece, in the queue.
        return deferred::defer(&context, &open, &held).await;
    }
    let sound = Sound {
        encoded: open.encoded.borrow().clone(),
        ..Sound::new(samples)
    };
    let language = open.manner.language.clone();
    let options = SttOptions {
        language: language.or_else(|| context.room.settings().language.clone()),
        prompt: None,
    };
    let engines = context.room.engines();
    let understanding = async {
        match &engines.stt {
            Ok(stt) => stt.transcribe(&sound, &options).await,
            Err(error) => Err(error.clone()),
        }
    };
    // The sound is on the card; its row is stored while it is being understood.
    let storing = context.room.recordings.store(kept.clone(), None);
    let (result, stored) = tokio::join!(understanding, storing);
    if let Err(error) = stored {
        context.tell_error(turn, &error);
        return Event::TranscribeFailed { turn, retry: false };
    }
    if result.is_ok() {
        let now = context.room.clock.wall();
        context.room.stt_calls.succeeded(now);
    }
    match result {
        Ok(transcript) if transcript.text.trim().is_empty() => {
            close_recording(&context, &open, None);
            Event::Transcribed { turn, empty: true }
        }
        Ok(transcript) => {
            let now = context.now();
            open.mark(|marks| marks.transcribed = Some(now));
            context.port.tell(&News::Transcript {
                turn,
                text: &transcript.text,
                language: transcript.language.as_deref(),
            });
            held.next(Next::Answer(transcript.text.clone()));
            open.text.replace(transcript.text);
            Event::Transcribed { turn, empty: false }
        }
        Err(error) => {
            if error.may_pass() && attempt < TRANSCRIBE_TRIES {
                open.samples.replace(sound.samples.to_vec());
                return Event::TranscribeFailed { turn, retry: true };
            }
            let can_wait = error.is_retryable();
            let error = error.of_stt();
            context.room.stt_calls.failed(&error);
            if can_wait {
                return deferred::defer(&context, &open, &held).await;
            }
            if let Err(error) = deferred::queue(&context, &held).await {
                context.tell_error(turn, &error);
            }
            context.tell_error(turn, &error);
            Event::TranscribeFailed { turn, retry: false }
        }
    }
}

/// The turn's sound, on its way to the card; again the same at a second try.
fn held(context: &Context, open: &Open, samples: &[i16]) -> Result<Rc<Held>, VoiceError> {
    if let Some(held) = &*open.held.borrow() {
        return Ok(Rc::clone(held));
    }
    let recording = open.recording.borrow_mut().take();
    let recording = match recording {
        Some(recording) => recording,
        None => {
            let new = NewRecording {
                conversation_id: open.manner.conversation.clone(),
                language: open.manner.language.clone(),
                speak: open.manner.speak,
                ..NewRecording::live(context.port.origin(), open.manner.mode)
            };
            context.room.recordings.begin_with(new, samples)?
        }
    };
    let held = Rc::new(recording.end(Next::Understand)?);
    open.held.replace(Some(Rc::clone(&held)));
    Ok(held)
}

/// The turn's sound is dealt with.
fn close_recording(context: &Context, open: &Open, answer: Option<&Answer>) {
    let Some(held) = open.held.borrow_mut().take() else {
        return;
    };
    if answer.is_some_and(|answer| answer.waits_for.is_some()) {
        held.release();
        return context.room.recordings.wake_queue();
    }
    let recordings = context.room.recordings.clone();
    let text = open.text.borrow().clone();
    let memory = answer.and_then(|answer| answer.memory_saved.as_ref());
    let memory = memory.map(|saved| saved.id.clone());
    held.next(Next::Rest(text.clone()));
    tokio::task::spawn_local(async move {
        let id = held.id();
        match recordings.done(&id, &text, memory, None).await {
            Ok(()) => held.release(),
            Err(error) => {
                log::warn!("event=recording_not_closed recording={id} error=\"{error}\"");
            }
        }
    });
}

pub(super) async fn reply(context: Context, open: Rc<Open>) -> Event {
    let turn = open.turn;
    let now = context.now();
    open.mark(|marks| marks.asked = Some(now));
    let sentences = Sentences::default();
    let thinking = async {
        let answer = think(&context, &open, &sentences).await?;
        sentences.close();
        Ok(answer)
    };
    let speaking = async {
        speak_if_wanted(&context, &open, &sentences).await;
        Ok(())
    };
    match tokio::try_join!(thinking, speaking) {
        Ok((answer, ())) => {
            act(&context, turn, &answer);
            let asks = answer.content.trim_end().ends_with(['?', '？']);
            Event::Answered { turn, asks }
        }
        Err(error) => {
            context.tell_error(turn, &error);
            Event::AnswerFailed(turn)
        }
    }
}

async fn think(
    context: &Context,
    open: &Open,
    sentences: &Sentences,
) -> Result<Answer, VoiceError> {
    let turn = open.turn;
    let any = Cell::new(false);
    let mut on_text = |piece: &str| {
        if piece.is_empty() {
            return;
        }
        if !any.replace(true) {
            let now = context.now();
            open.mark(|marks| mark(&mut marks.first_text, now));
            context.report(Event::Progress(turn));
        }
        context.port.tell(&News::Token { turn, text: piece });
        sentences.push(piece);
    };
    let question = Question {
        text: open.text.borrow().clone(),
        conversation: open.manner.conversation.clone(),
        remember: true,
        language: open.manner.language.clone(),
        spoken: open.manner.speak,
        note: open.manner.mode == Mode::Note && open.held.borrow().is_some(),
        recording: open.held.borrow().as_ref().map(|held| held.id()),
        ..Question::default()
    };
    let dialogue = &context.room.dialogue;
    let begun = dialogue.begin(question)?;
    open.answer_id.replace(Some(begun.answer_id.clone()));
    let answer = dialogue.finish(begun, &mut on_text).await?;
    close_recording(context, open, Some(&answer));
    if !any.get() {
        on_text(&answer.content);
    }
    if let Some(trouble) = &answer.trouble {
        context.tell_error(turn, trouble);
    }
    context.port.tell(&News::Answer {
        turn,
        answer: &answer,
    });
    open.answer.replace(Some(answer.clone()));
    Ok(answer)
}

/// Sound that fails is told and leaves the written answer as it is.
pub(super) async fn speak_if_wanted(context: &Context, open: &Open, sentences: &Sentences) {
    if !open.manner.speak {
        return;
    }
    if let Err(error) = speak(context, open, sentences).await {
        context.tell_error(open.turn, &error);
    }
}

async fn speak(context: &Context, open: &Open, sentences: &Sentences) -> Result<(), VoiceError> {
    let tts = match &context.room.engines().tts {
        Ok(tts) => Rc::clone(tts),
        Err(error) => return Err(error.clone().of_tts()),
    };
    let turn = open.turn;
    let first = Cell::new(true);
    let on = |step: Step<'_>| {
        let now = context.now();
        match step {
            Step::FirstSentence => open.mark(|marks| mark(&mut marks.first_sentence, now)),
            Step::FirstSpeech => {
                open.mark(|marks| mark(&mut marks.first_speech, now));
                context.room.tts_calls.succeeded(context.room.clock.wall());
            }
            Step::Failed(error) => context.room.tts_calls.failed(error),
            Step::Sound if first.replace(false) => {
                open.mark(|marks| mark(&mut marks.first_audio, now));
                context.report(Event::SoundBegan(turn));
            }
            Step::Sound => context.report(Event::Progress(turn)),
        }
    };
    let parts = SpeakingParts {
        turn,
        port: &*context.port,
        tts: context.port.voice(tts),
        language: open.manner.language.clone(),
        sentences,
        said: &open.said,
        on: &on,
    };
    Speaking::new(parts).run().await
}

/// Does what the answer promised beside its words: here, or on the box when asked over a socket.
fn act(context: &Context, turn: Turn, answer: &Answer) {
    let Some(action) = &answer.action else {
        return;
    };
    if *action == Action::Stop {
        context.room.dialogue.timers().silence();
    }
    if !context.port.is_box() {
        if let Some(device) = context.room.actor.get().and_then(WeakDevice::upgrade) {
            device.act(action);
        }
        return;
    }
    match action {
        Action::Mute => context.report(Event::Mute(true)),
        Action::Volume { percent } => context.port.set_volume(*percent),
        Action::Memo => begin_memo(context, turn),
        Action::Stop | Action::Repeat => {}
    }
}

/// Records once the words of the answer have been heard.
fn begin_memo(context: &Context, turn: Turn) {
    let Some(device) = context.room.actor.get().and_then(WeakDevice::upgrade) else {
        return;
    };
    // Waited for from here on: the turn may be over before the task runs for the first time.
    let ended = device.ended(turn);
    tokio::task::spawn_local(async move {
        if ended.await.is_ok()
            && let Err(error) = device.listen(Mode::Note)
        {
            log::warn!("event=memo_not_begun error=\"{error}\"");
        }
    });
}

/// Speaks given words.
pub(super) async fn say(context: Context, open: Rc<Open>, sentences: Rc<Sentences>) -> Event {
    let turn: Turn = open.turn;
    match speak(&context, &open, &sentences).await {
        Ok(()) => Event::Answered { turn, asks: false },
        Err(error) => {
            context.tell_error(turn, &error);
            Event::AnswerFailed(turn)
        }
    }
}
