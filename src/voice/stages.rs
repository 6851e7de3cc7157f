//! The stages of a turn as straight lines; each ends in the event it reports to the machine.

use std::cell::Cell;
use std::rc::Rc;

use super::api::Speaker as _;
use super::device::WeakDevice;
use super::dialogue::{Action, Answer, Question, VoiceError};
use super::listen::{Control, Listening};
use super::port::News;
use super::providers::{Sound, SttOptions};
use super::reply::{Sentences, Speaking, SpeakingParts, Step};
use super::session::{Context, Open, length_of};
use super::timeline::mark;
use super::turn::{Event, Turn};
use crate::limits::TRANSCRIBE_TRIES;

pub(super) async fn listen(context: Context, open: Rc<Open>, control: Rc<Control>) -> Event {
    let turn = open.turn;
    let listening = Listening {
        port: &*context.port,
        clock: &context.room.clock,
        control,
        end_silence: context.room.settings().end_silence,
        began: &|| context.report(Event::SpeechBegan(turn)),
    };
    match listening.run().await {
        Ok(heard) if heard.samples.is_empty() => Event::NothingHeard(turn),
        Ok(heard) => {
            let now = context.now();
            open.mark(|marks| {
                marks.speech_ended = heard.speech_ended;
                marks.endpoint = Some(now);
            });
            let sound = length_of(&heard.samples);
            open.samples.replace(heard.samples);
            Event::Heard { turn, sound }
        }
        Err(error) => {
            context.tell_error(turn, &error);
            Event::ListenFailed(turn)
        }
    }
}

pub(super) async fn transcribe(context: Context, open: Rc<Open>, attempt: u8) -> Event {
    let turn = open.turn;
    let sound = Sound::new(open.samples.take());
    context.port.keep_utterance(&sound.samples);
    let language = open.manner.language.clone();
    let options = SttOptions {
        language: language.or_else(|| context.room.settings().language.clone()),
        prompt: None,
    };
    let result = match &context.room.engines().stt {
        Ok(stt) => stt.transcribe(&sound, &options).await,
        Err(error) => Err(error.clone()),
    };
    if result.is_ok() {
        let now = context.room.clock.wall();
        context.room.stt_calls.succeeded(now);
    }
    match result {
        Ok(transcript) if transcript.text.trim().is_empty() => {
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
            open.text.replace(transcript.text);
            Event::Transcribed { turn, empty: false }
        }
        Err(error) => {
            let retry = error.may_pass() && attempt < TRANSCRIBE_TRIES;
            if retry {
                open.samples.replace(sound.samples.to_vec());
            } else {
                let error = error.of_stt();
                context.room.stt_calls.failed(&error);
                context.tell_error(turn, &error);
            }
            Event::TranscribeFailed { turn, retry }
        }
    }
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
            act(&context, &answer);
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
        ..Question::default()
    };
    let dialogue = &context.room.dialogue;
    let begun = dialogue.begin(question)?;
    open.answer_id.replace(Some(begun.answer_id.clone()));
    let answer = dialogue.finish(begun, &mut on_text).await?;
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
async fn speak_if_wanted(context: &Context, open: &Open, sentences: &Sentences) {
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
        tts,
        language: open.manner.language.clone(),
        sentences,
        said: &open.said,
        on: &on,
    };
    Speaking::new(parts).run().await
}

/// Does what the answer promised beside its words: here, or on the box when asked over a socket.
fn act(context: &Context, answer: &Answer) {
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
        Action::Stop | Action::Repeat => {}
    }
}

/// Speaks given words.
pub(super) async fn say(context: Context, open: Rc<Open>, text: String) -> Event {
    let turn: Turn = open.turn;
    let sentences = Sentences::default();
    sentences.push(&text);
    sentences.close();
    match speak(&context, &open, &sentences).await {
        Ok(()) => Event::Answered { turn, asks: false },
        Err(error) => {
            context.tell_error(turn, &error);
            Event::AnswerFailed(turn)
        }
    }
}
