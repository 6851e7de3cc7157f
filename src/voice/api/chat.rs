//! `POST /api/v1/chat`: one question, one answer, whole or as events.

use std::rc::Rc;

use serde_json::{Value, json};

use super::input::{Fields, invalid};
use super::{Api, data};
use crate::clock::{Clock, MonoMillis};
use crate::server::response::EventSender;
use crate::server::{EventStream, HttpError, Request, Response, StatusCode};
use crate::voice::dialogue::{Answer, Question, Turn, VoiceError};
use crate::voice::sentence::{Cutter, Sentence};

const MODEL_CHARS_MAX: usize = 128;
const TOKENS_MAX: u64 = 1_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speak {
    None,
    Device,
}

struct Chat {
    question: Question,
    stream: bool,
    speak: Speak,
}

pub async fn post(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let since = api.dialogue.clock().mono();
    let chat = read(&mut request).await?;
    if chat.speak == Speak::Device && api.speaker.is_none() {
        return Err(invalid(
            "`speak` cannot be device: this box has no loudspeaker.",
        ));
    }
    let turn = api.dialogue.begin(chat.question)?;
    if chat.stream {
        return Ok(stream(api, turn, chat.speak, since));
    }
    let mut times = Times::since(since);
    let mut on_text = |_: &str| times.first_text(api.dialogue.clock());
    let answer = api.dialogue.finish(turn, &mut on_text).await?;
    perform(&api, chat.speak, &answer);
    Ok(data(StatusCode::OK, &whole(&api, &answer, times)))
}

async fn read(request: &mut Request) -> Result<Chat, HttpError> {
    let mut fields = Fields::of(request).await?;
    let text = fields.required_text("message")?;
    let model = fields.text("model")?;
    if let Some(model) = &model
        && model.chars().count() > MODEL_CHARS_MAX
    {
        return Err(invalid(format!(
            "`model` has at most {MODEL_CHARS_MAX} characters."
        )));
    }
    let max_tokens = fields.count("max_tokens", TOKENS_MAX)?;
    let stream = fields.flag("stream")?.unwrap_or(false);
    let allowed = [("none", Speak::None), ("device", Speak::Device)];
    let speak = fields.one_of("speak", &allowed)?.unwrap_or(Speak::None);
    Ok(Chat {
        question: Question {
            text,
            conversation: fields.text("conversation_id")?,
            remember: fields.flag("remember")?.unwrap_or(true),
            language: fields.text("language")?,
            recording: None,
            note: false,
            spoken: speak != Speak::None,
            model: model.filter(|model| !model.trim().is_empty()),
            max_tokens: max_tokens.map(|count| count as u32),
        },
        stream,
        speak,
    })
}

/// Answers as `start`, `token`, `sentence`, `done` or `error`. A client that hangs up cancels the turn.
fn stream(api: Rc<Api>, turn: Turn, speak: Speak, since: MonoMillis) -> Response {
    let (sender, events) = EventStream::new();
    tokio::task::spawn_local(async move {
        let gone = sender.clone();
        tokio::select! {
            biased;
            () = run(&api, turn, speak, since, &sender) => {}
            () = gone.gone() => log::debug!("chat stream ended cause=client_gone"),
        }
    });
    Response::events(events)
}

async fn run(api: &Api, turn: Turn, speak: Speak, since: MonoMillis, sender: &EventSender) {
    let start = json!({ "id": turn.answer_id, "conversation_id": turn.conversation_id });
    if sender.send("start", &start).is_err() {
        return;
    }
    let mut cutter = Cutter::default();
    let mut sentences = Vec::new();
    let mut times = Times::since(since);
    let mut on_text = |text: &str| {
        times.first_text(api.dialogue.clock());
        // A client that has gone is noticed by `gone`, which ends this turn.
        let _ = sender.send("token", &json!({ "text": text }));
        cutter.push(text, &mut sentences);
        for sentence in sentences.drain(..) {
            tell(sender, &sentence);
        }
    };
    let last = match api.dialogue.finish(turn, &mut on_text).await {
        Ok(answer) => {
            if let Some(sentence) = cutter.finish() {
                tell(sender, &sentence);
            }
            if let Some(trouble) = &answer.trouble {
                let _ = sender.send("error", &notice(trouble));
            }
            perform(api, speak, &answer);
            ("done", whole(api, &answer, times))
        }
        Err(error) => {
            let error = HttpError::from(error);
            (
                "error",
                json!({ "code": error.code, "message": error.message }),
            )
        }
    };
    if sender.send(last.0, &last.1).is_err() {
        log::debug!("chat stream ended cause=client_gone");
    }
}

fn tell(sender: &EventSender, sentence: &Sentence) {
    let sentence = json!({ "index": sentence.index, "text": sentence.text });
    let _ = sender.send("sentence", &sentence);
}

/// Why a model gave no answer, or not all of it.
fn notice(trouble: &VoiceError) -> Value {
    let line = trouble.line();
    json!({ "code": line.code, "message": line.message })
}

/// What the answer means for the box itself.
fn perform(api: &Api, speak: Speak, answer: &Answer) {
    let Some(speaker) = &api.speaker else { return };
    if let Some(action) = &answer.action {
        speaker.act(action);
    }
    if speak == Speak::Device {
        speaker.say(&answer.content);
    }
}

/// When things happened, for `timing_ms`.
#[derive(Clone, Copy)]
struct Times {
    began: MonoMillis,
    first_text: Option<MonoMillis>,
}

impl Times {
    fn since(began: MonoMillis) -> Times {
        Times {
            began,
            first_text: None,
        }
    }

    fn first_text(&mut self, clock: &Clock) {
        self.first_text.get_or_insert_with(|| clock.mono());
    }
}

fn whole(api: &Api, answer: &Answer, times: Times) -> Value {
    let took = |at: MonoMillis| at.since(times.began).as_millis() as u64;
    let now = api.dialogue.clock().mono();
    json!({
        "id": answer.id,
        "role": "assistant",
        "content": answer.content,
        "model": answer.model,
        "provider": answer.provider,
        "conversation_id": answer.conversation_id,
        "language": answer.language,
        "usage": { "input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens },
        "memories_used": answer.memories_used,
        "memory_saved": answer.memory_saved,
        "action": answer.action,
        "notice": answer.trouble.as_ref().map(notice),
        "timing_ms": { "llm_first": times.first_text.map(took), "total": took(now) },
    })
}
