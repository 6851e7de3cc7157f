//! The dialect of the first Voice Memory server: `/api/stt`, `/api/tts`, `/api/knowledge/…`,
//! `/api/sessions`, `/api/chat`.
//!
//! Thin: a session is a conversation, a piece of knowledge is a memory. Answers are flat, with
//! `success` and an `error` that is a plain text. A session may have any name; it stands for the
//! conversation whose id is made from the name.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::sound_in::SoundIn;
use super::speech::{check_text, speech_of, understand};
use crate::audio::wav;
use crate::limits::{
    OLDER_SESSION_MESSAGES_MAX, OLDER_SESSIONS_MAX, OLDER_SOUND_BYTES_MAX, PAGE_ROWS_MAX,
};
use crate::server::{Access, Asked, HttpError, Method, Request, Response, Router, StatusCode};
use crate::store::Connection;
use crate::voice::Voice;
use crate::voice::db;
use crate::voice::dialogue::{Dialogue, Question, VoiceError};
use crate::voice::index::Query;
use crate::voice::memory::{MemoryFilter, NewMemory, Page, Source, is_id};
use crate::voice::providers::SttOptions;
use crate::voice::recall;

const SESSION_CHARS_MAX: usize = 128;
const SEARCH_HITS_MAX: usize = 20;
/// The volume that leaves the voice as it is, of 0 to 15.
const VOLUME_PLAIN: u32 = 5;
const VOLUME_MAX: u32 = 15;

struct Older {
    voice: Rc<Voice>,
    spoken: RefCell<Spoken>,
}

pub fn routes(router: &mut Router, voice: &Rc<Voice>) {
    let older = Rc::new(Older {
        voice: Rc::clone(voice),
        spoken: RefCell::default(),
    });
    for prefix in [
        "/api/stt",
        "/api/tts",
        "/api/audio/",
        "/api/chat",
        "/api/knowledge/",
        "/api/sessions",
    ] {
        router.errors_of(prefix, error_shape);
    }
    let mut add = |method, pattern, handler: Handler| {
        let older = Rc::clone(&older);
        router.route(method, pattern, Access::Member, move |request| {
            handler(Rc::clone(&older), request)
        });
    };
    let (get, post) = (Method::GET, Method::POST);
    add(post.clone(), "/api/stt", |older, request| {
        Box::pin(stt(older, request))
    });
    add(get.clone(), "/api/tts", |older, request| {
        Box::pin(tts(older, request))
    });
    add(get.clone(), "/api/audio/{file}", |older, request| {
        Box::pin(async move { audio(&older, &request) })
    });
    add(post.clone(), "/api/chat", |older, request| {
        Box::pin(chat(older, request))
    });
    add(post.clone(), "/api/knowledge/record", |older, request| {
        Box::pin(record(older, request))
    });
    add(get.clone(), "/api/knowledge/list", |older, request| {
        Box::pin(list(older, request))
    });
    add(post, "/api/knowledge/search", |older, request| {
        Box::pin(search(older, request))
    });
    add(get.clone(), "/api/sessions", |older, _| {
        Box::pin(sessions(older))
    });
    add(get, "/api/sessions/get", |older, request| {
        Box::pin(session(older, request))
    });
    add(Method::DELETE, "/api/sessions", |older, request| {
        Box::pin(delete_session(older, request))
    });
}

type Answering = std::pin::Pin<Box<dyn Future<Output = Result<Response, HttpError>>>>;
type Handler = fn(Rc<Older>, Request) -> Answering;

fn error_shape(error: &HttpError, _: &Asked) -> Response {
    Response::json(
        error.status,
        &json!({"success": false, "error": error.message, "code": error.code}),
    )
}

fn ok(value: &Value) -> Response {
    Response::json(StatusCode::OK, value)
}

impl Older {
    fn dialogue(&self) -> &Dialogue {
        &self.voice.dialogue
    }
}

async fn stt(older: Rc<Older>, mut request: Request) -> Result<Response, HttpError> {
    let bytes_max = older.voice.settings().upload_bytes_max;
    let mut sound = SoundIn::read(&mut request, bytes_max).await?;
    let source = sound.sound()?;
    let heard = understand(&older.voice, source, SttOptions::default()).await?;
    Ok(ok(
        &json!({"success": true, "result": [heard.transcript.text]}),
    ))
}

/// `per`, `spd` and `pit` name a voice that is not ours and are read over; `vol` is obeyed.
async fn tts(older: Rc<Older>, request: Request) -> Result<Response, HttpError> {
    let text = request.query("text").unwrap_or_default();
    check_text(&text)?;
    let volume = match request.query("vol") {
        None => VOLUME_PLAIN,
        Some(sent) => sent
            .parse()
            .ok()
            .filter(|volume| *volume <= VOLUME_MAX)
            .ok_or_else(|| HttpError::invalid(format!("vol: 0 to {VOLUME_MAX} are allowed")))?,
    };
    let name = format!("{}.wav", name_of(&format!("{volume} {text}")));
    if older.spoken.borrow().get(&name).is_none() {
        let mut speech = speech_of(&older.voice, &text, None).await?;
        if volume != VOLUME_PLAIN {
            let gain = volume as f32 / VOLUME_PLAIN as f32;
            for sample in &mut speech.samples {
                *sample = (f32::from(*sample) * gain) as i16;
            }
        }
        let bytes = wav::encode(&speech.samples, speech.rate_hz);
        older.spoken.borrow_mut().keep(name.clone(), bytes.into());
    }
    Ok(ok(&json!({
        "success": true,
        "audio_url": format!("/api/audio/{name}"),
        "session_id": request.query("session_id").unwrap_or_default(),
    })))
}

fn audio(older: &Older, request: &Request) -> Result<Response, HttpError> {
    let sound = older.spoken.borrow().get(request.param("file"));
    let bytes = sound.ok_or_else(|| {
        VoiceError::NotFound(String::from(
            "sound of this name any more; ask /api/tts again",
        ))
    })?;
    Ok(Response::bytes(StatusCode::OK, "audio/wav", bytes))
}

#[derive(Deserialize)]
struct ChatBody {
    message: String,
    session_id: Option<String>,
}

async fn chat(older: Rc<Older>, mut request: Request) -> Result<Response, HttpError> {
    let body: ChatBody = request.json().await?;
    let session = body.session_id.unwrap_or_default();
    let question = Question {
        text: body.message,
        conversation: conversation_of(older.dialogue(), &session).await?,
        remember: true,
        ..Question::default()
    };
    let answer = older.dialogue().answer(question, &mut |_| {}).await?;
    let session = match session.trim() {
        "" => answer.conversation_id,
        session => session.to_string(),
    };
    Ok(ok(
        &json!({"success": true, "reply": answer.content, "session_id": session}),
    ))
}

async fn record(older: Rc<Older>, mut request: Request) -> Result<Response, HttpError> {
    let bytes_max = older.voice.settings().upload_bytes_max;
    let mut form = SoundIn::read(&mut request, bytes_max).await?;
    let session = form.text("session_id").unwrap_or_default();
    let conversation_id = conversation_of(older.dialogue(), &session).await?;
    let (text, source) = match form.text("text") {
        Some(text) => (text, Source::Manual),
        None => {
            let sound = form.sound()?;
            let heard = understand(&older.voice, sound, SttOptions::default()).await?;
            (heard.transcript.text, Source::Voice)
        }
    };
    if text.trim().is_empty() {
        return Err(VoiceError::Stt(String::from("nothing was understood in the sound")).into());
    }
    let organize = form.text("auto_organize").map(|word| word == "true");
    let memory = NewMemory {
        conversation_id,
        wants_organizing: older.dialogue().memories().wants_organizing(organize),
        ..NewMemory::plain(text, source, older.dialogue().clock().wall())
    };
    let saved = older.dialogue().memories().create(memory).await?;
    let json = older.dialogue().memories().json(&saved.id, "", "")?;
    let memory = read(&json)?;
    Ok(ok(
        &json!({"success": true, "knowledge": knowledge(&memory)}),
    ))
}

async fn list(older: Rc<Older>, request: Request) -> Result<Response, HttpError> {
    let filter = MemoryFilter {
        category: request.query("category").filter(|text| !text.is_empty()),
        ..MemoryFilter::default()
    };
    let found = older.dialogue().store().query(move |connection| {
        let page = Page {
            limit: PAGE_ROWS_MAX,
            offset: 0,
        };
        let page = read(&db::memories::list_json(connection, &filter, page)?)?;
        let all = page["memories"].as_array().into_iter().flatten();
        encode(&json!({"success": true, "knowledges": all.map(knowledge).collect::<Vec<_>>()}))
    });
    Ok(json_bytes(found.await?))
}

#[derive(Deserialize)]
struct SearchBody {
    query: String,
}

async fn search(older: Rc<Older>, mut request: Request) -> Result<Response, HttpError> {
    let body: SearchBody = request.json().await?;
    let query = super::memories::words("query", &body.query)?;
    let now = older.dialogue().clock().wall();
    let found = older.dialogue().store().query(move |connection| {
        let found = search_all(connection, &query, now)?;
        encode(&json!({"success": true, "knowledges": found}))
    });
    Ok(json_bytes(found.await?))
}

fn search_all(
    connection: &Connection,
    query: &Query,
    now: crate::clock::UnixMillis,
) -> Result<Vec<Value>, VoiceError> {
    let filter = MemoryFilter::default();
    let found = recall::search(connection, query, &filter, now, SEARCH_HITS_MAX)?;
    let mut all = Vec::new();
    for hit in found.hits {
        if let Some(json) = db::memories::json(connection, &hit.id, "", "")? {
            all.push(knowledge(&read(&json)?));
        }
    }
    Ok(all)
}

async fn sessions(older: Rc<Older>) -> Result<Response, HttpError> {
    let found = older.dialogue().store().query(|connection| {
        let page = Page {
            limit: OLDER_SESSIONS_MAX,
            offset: 0,
        };
        let list = read(&db::conversations::list_json(
            connection, None, false, page,
        )?)?;
        let mut all = Vec::new();
        for conversation in list["conversations"].as_array().into_iter().flatten() {
            all.extend(session_of(
                connection,
                conversation["id"].as_str().unwrap_or_default(),
                OLDER_SESSION_MESSAGES_MAX,
            )?);
        }
        encode(&json!({"success": true, "count": all.len(), "sessions": all}))
    });
    Ok(json_bytes(found.await?))
}

async fn session(older: Rc<Older>, request: Request) -> Result<Response, HttpError> {
    let session = request.query("session_id").unwrap_or_default();
    let id = id_of(&session)?.ok_or_else(session_missing)?;
    let found = older.dialogue().store().query(move |connection| {
        let found = session_of(connection, &id, PAGE_ROWS_MAX)?;
        found
            .map(|session| encode(&json!({"success": true, "session": session})))
            .transpose()
    });
    let found = found.await?;
    let found = found.ok_or_else(|| VoiceError::NotFound(String::from("session of this id")))?;
    Ok(json_bytes(found))
}

async fn delete_session(older: Rc<Older>, request: Request) -> Result<Response, HttpError> {
    let session = request.query("session_id").unwrap_or_default();
    let id = id_of(&session)?.ok_or_else(session_missing)?;
    // One that is not there is gone as well.
    older
        .dialogue()
        .store()
        .write(move |connection| db::conversations::delete(connection, &id))
        .await?;
    Ok(ok(&json!({"success": true})))
}

fn session_missing() -> HttpError {
    HttpError::invalid("session_id is missing")
}

/// The conversation with its last messages.
fn session_of(
    connection: &Connection,
    id: &str,
    messages_max: usize,
) -> Result<Option<Value>, VoiceError> {
    let page = |limit, offset| Page { limit, offset };
    let Some(json) = db::conversations::json(connection, id, page(1, 0))? else {
        return Ok(None);
    };
    let head = read(&json)?;
    let count = head["message_count"].as_u64().unwrap_or_default() as usize;
    let newest = page(messages_max, count.saturating_sub(messages_max));
    let whole = match db::conversations::json(connection, id, newest)? {
        Some(json) => read(&json)?,
        None => return Ok(None),
    };
    let messages = whole["messages"].as_array().into_iter().flatten();
    let messages: Vec<Value> = messages
        .map(|message| json!({"role": message["role"], "content": message["content"]}))
        .collect();
    Ok(Some(json!({
        "id": head["id"],
        "messages": messages,
        "created_at": head["created_at"],
        "updated_at": head["updated_at"],
    })))
}

/// A memory as it was called there.
fn knowledge(memory: &Value) -> Value {
    let text = |name: &str| memory[name].as_str().unwrap_or_default();
    let list = |name: &str| match &memory[name] {
        Value::Array(list) => Value::Array(list.clone()),
        _ => json!([]),
    };
    let audio_url = match memory["recording_id"].as_str() {
        Some(id) => format!("/api/v1/audio/{id}"),
        None => String::new(),
    };
    let metadata = match &memory["metadata"] {
        Value::Object(fields) => Value::Object(fields.clone()),
        _ => json!({}),
    };
    json!({
        "id": text("id"),
        "title": text("title"),
        "content": text("content"),
        "summary": text("summary"),
        "key_points": list("key_points"),
        "category": text("category"),
        "tags": list("tags"),
        "source": text("source"),
        "audio_url": audio_url,
        "session_id": text("conversation_id"),
        "created_at": text("created_at"),
        "updated_at": text("updated_at"),
        "metadata": metadata,
    })
}

/// The conversation that a session's name stands for, begun where it is not there yet; `None`
/// without a name.
pub async fn conversation_of(
    dialogue: &Dialogue,
    session: &str,
) -> Result<Option<String>, VoiceError> {
    let Some(id) = id_of(session)? else {
        return Ok(None);
    };
    let known = {
        let id = id.clone();
        dialogue
            .store()
            .read(move |connection| db::conversations::exists(connection, &id))?
    };
    if !known {
        let (new, now) = (id.clone(), dialogue.clock().wall());
        let begin = dialogue.store().write(move |connection| {
            if !db::conversations::exists(connection, &new)? {
                db::conversations::create(connection, &new, "", now)?;
            }
            Ok::<_, VoiceError>(())
        });
        begin.await?;
    }
    Ok(Some(id))
}

fn id_of(session: &str) -> Result<Option<String>, VoiceError> {
    let session = session.trim();
    if session.is_empty() {
        return Ok(None);
    }
    if session.chars().count() > SESSION_CHARS_MAX {
        return Err(VoiceError::Invalid(format!(
            "session_id: at most {SESSION_CHARS_MAX} characters are allowed"
        )));
    }
    if is_id(session, "conv_") {
        return Ok(Some(session.to_string()));
    }
    Ok(Some(format!("conv_{}", name_of(session))))
}

/// 16 hex digits that depend on all of the text.
fn name_of(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(json: &[u8]) -> Result<Value, VoiceError> {
    serde_json::from_slice(json)
        .map_err(|error| VoiceError::Invalid(format!("a row cannot be read: {error}")))
}

fn encode(value: &Value) -> Result<Vec<u8>, VoiceError> {
    Ok(value.to_string().into_bytes())
}

fn json_bytes(body: Vec<u8>) -> Response {
    super::json_bytes(StatusCode::OK, body)
}

/// What was spoken last, by name; the oldest goes first.
#[derive(Default)]
struct Spoken {
    sounds: VecDeque<(String, Bytes)>,
    bytes: usize,
}

impl Spoken {
    fn get(&self, name: &str) -> Option<Bytes> {
        let found = self.sounds.iter().find(|(known, _)| known == name);
        found.map(|(_, bytes)| bytes.clone())
    }

    fn keep(&mut self, name: String, sound: Bytes) {
        if self.get(&name).is_some() {
            return;
        }
        self.bytes += sound.len();
        self.sounds.push_back((name, sound));
        while self.bytes > OLDER_SOUND_BYTES_MAX && self.sounds.len() > 1 {
            if let Some((_, oldest)) = self.sounds.pop_front() {
                self.bytes -= oldest.len();
            }
        }
    }
}
