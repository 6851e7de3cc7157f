//! `POST /api/v1/chat`: one question, one answer, whole or as events, and spoken where that is
//! wanted: at the box, or as sound to be fetched. The voice begins while the answer is written.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Value, json};

use super::input::{Fields, invalid};
use super::{Api, Sentences, data, notice};
use crate::clock::{Clock, MonoMillis};
use crate::server::response::EventSender;
use crate::server::{EventStream, HttpError, Request, Response, StatusCode};
use crate::voice::dialogue::{Answer, Question, Turn, VoiceError};
use crate::voice::recordings::Recital;
use crate::voice::sentence::Sentence;
use crate::voice::session::Room;

const MODEL_CHARS_MAX: usize = 128;
const TOKENS_MAX: u64 = 1_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speak {
    None,
    Device,
    Return,
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
    if chat.speak == Speak::Return && api.room.is_none() {
        return Err(invalid("`speak` cannot be return: this box has no voice."));
    }
    let wish = Wish {
        speak: chat.speak,
        language: chat.question.language.clone(),
        is_kept: chat.question.remember,
        since,
    };
    let turn = api.dialogue.begin(chat.question)?;
    if chat.stream {
        return Ok(stream(api, turn, wish));
    }
    let told = answer(&api, turn, &wish, None).await?;
    Ok(data(StatusCode::OK, &told))
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
    let allowed = [
        ("none", Speak::None),
        ("device", Speak::Device),
        ("return", Speak::Return),
    ];
    let speak = fields.one_of("speak", &allowed)?.unwrap_or(Speak::None);
    Ok(Chat {
        question: Question {
            text,
            conversation: fields.text("conversation_id")?,
            remember: fields.flag("remember")?.unwrap_or(true),
            language: fields.text("language")?,
            recording: None,
            note: false,
            is_late: false,
            spoken: speak != Speak::None,
            model: model.filter(|model| !model.trim().is_empty()),
            max_tokens: max_tokens.map(|count| count as u32),
        },
        stream,
        speak,
    })
}

/// How a turn is to be answered.
struct Wish {
    speak: Speak,
    language: Option<String>,
    /// Both sides are kept, and the sound with them.
    is_kept: bool,
    since: MonoMillis,
}

/// Answers as `start`, `token`, `sentence`, `done` or `error`. A client that hangs up cancels the turn.
fn stream(api: Rc<Api>, turn: Turn, wish: Wish) -> Response {
    let (sender, events) = EventStream::new();
    tokio::task::spawn_local(async move {
        let gone = sender.clone();
        tokio::select! {
            biased;
            () = run(&api, turn, &wish, &sender) => {}
            () = gone.gone() => log::debug!("chat stream ended cause=client_gone"),
        }
    });
    Response::events(events)
}

async fn run(api: &Api, turn: Turn, wish: &Wish, sender: &EventSender) {
    let start = json!({ "id": turn.answer_id, "conversation_id": turn.conversation_id });
    if sender.send("start", &start).is_err() {
        return;
    }
    let last = match answer(api, turn, wish, Some(sender)).await {
        Ok(told) => ("done", told),
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

/// The whole answer as it is told at the end; meanwhile its words and sentences, where somebody
/// reads along.
async fn answer(
    api: &Api,
    turn: Turn,
    wish: &Wish,
    reader: Option<&EventSender>,
) -> Result<Value, VoiceError> {
    let sentences = Sentences::default();
    let times = Cell::new(Times::since(wish.since));
    let thinking = async {
        let mut on_text = |text: &str| {
            times.set(times.get().with_text(api.dialogue.clock()));
            if let Some(reader) = reader {
                // A client that has gone is noticed by `gone`, which ends this turn.
                let _ = reader.send("token", &json!({ "text": text }));
            }
            sentences.push(text);
        };
        let answer = api.dialogue.finish(turn, &mut on_text).await?;
        // Before the voice begins: what is done may be to be silent.
        if let (Some(action), Some(speaker)) = (&answer.action, &api.speaker) {
            speaker.act(action);
        }
        sentences.close();
        if let (Some(trouble), Some(reader)) = (&answer.trouble, reader) {
            let _ = reader.send("error", &notice(trouble));
        }
        Ok::<Answer, VoiceError>(answer)
    };
    let telling = async { Ok(tell(api, wish, &sentences, reader).await) };
    let (answer, recital) = tokio::try_join!(thinking, telling)?;
    let (audio_url, trouble) = match recital {
        Some(recital) => recital.end(&answer, wish.is_kept).await,
        None => (None, None),
    };
    let trouble = answer.trouble.as_ref().or(trouble.as_ref());
    let mut told = whole(api, &answer, times.get());
    told["notice"] = json!(trouble.map(notice));
    if wish.speak == Speak::Return {
        told["audio_url"] = json!(audio_url);
    }
    Ok(told)
}

/// Passes the sentences on as they come, to the reader and to the voice.
async fn tell<'a>(
    api: &'a Api,
    wish: &Wish,
    sentences: &Sentences,
    reader: Option<&EventSender>,
) -> Option<Recital<'a>> {
    let recital = |room: &'a Rc<Room>| Recital::new(room, wish.language.clone());
    let mut recital = api
        .room
        .as_ref()
        .filter(|_| wish.speak == Speak::Return)
        .map(recital);
    let mut aloud = None;
    while let Some(sentence) = sentences.take().await {
        if let (Speak::Device, Some(speaker)) = (wish.speak, &api.speaker) {
            let aloud = aloud.get_or_insert_with(|| {
                let aloud = Aloud::default();
                speaker.recite(&aloud.0);
                aloud
            });
            aloud.0.add([sentence.clone()]);
        }
        let url = match (&mut recital, reader) {
            (None, _) => None,
            (Some(recital), Some(_)) => recital.sentence(&sentence.text).await,
            (Some(recital), None) => {
                recital.say(&sentence.text).await;
                None
            }
        };
        if let Some(reader) = reader {
            let _ = reader.send("sentence", &event_of(&sentence, url));
        }
    }
    if let Some(aloud) = aloud {
        aloud.0.close();
    }
    recital
}

fn event_of(sentence: &Sentence, url: Option<String>) -> Value {
    let mut event = json!({ "index": sentence.index, "text": sentence.text });
    if let Some(url) = url {
        event["audio_url"] = json!(url);
    }
    event
}

/// What the box says while it is written; a turn that is given up is not spoken on.
#[derive(Default)]
struct Aloud(Rc<Sentences>);

impl Drop for Aloud {
    fn drop(&mut self) {
        if !self.0.is_closed() {
            self.0.abandon();
        }
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

    fn with_text(self, clock: &Clock) -> Times {
        Times {
            first_text: self.first_text.or_else(|| Some(clock.mono())),
            ..self
        }
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
        "timing_ms": { "llm_first": times.first_text.map(took), "total": took(now) },
    })
}
