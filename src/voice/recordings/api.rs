//! `POST /api/v1/voice`: a whole spoken turn in one call. `/api/v1/audio/{id}`: the sound of one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::late::{LoadError, load};
use super::upload::{self, Speak, Wish};
use super::{Held, Kept, Mode, Next, Recital, Recorded, State, stt_job};
use crate::clock::MonoMillis;
use crate::limits::{LISTEN_MAX, VOICE_CALL_SOUND_MAX};
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode, files};
use crate::voice::api::{Sentences, Speaker, notice};
use crate::voice::db;
use crate::voice::decode::Decoded;
use crate::voice::device::WeakDevice;
use crate::voice::dialogue::{Answer, Question};
use crate::voice::error::VoiceError;
use crate::voice::providers::{EngineError, Sound, SttOptions};
use crate::voice::rules::{self, replies};
use crate::voice::session::{Room, length_of};

/// Calls of one `client_id` that are being handled; the same again waits for its answer.
type Handling = Rc<RefCell<HashMap<String, Rc<Notify>>>>;

pub fn routes(router: &mut Router, room: &Rc<Room>) {
    let handling = Handling::default();
    let speaking = Rc::clone(room);
    router.route(
        Method::POST,
        "/api/v1/voice",
        Access::Member,
        move |request| voice(Rc::clone(&speaking), handling.clone(), request),
    );
    let reading = Rc::clone(room);
    router.route(
        Method::GET,
        "/api/v1/audio/{id}",
        Access::Member,
        move |request| audio(Rc::clone(&reading), request),
    );
    let removing = Rc::clone(room);
    router.route(
        Method::DELETE,
        "/api/v1/audio/{id}",
        Access::Member,
        move |request| remove(Rc::clone(&removing), request),
    );
}

async fn voice(
    room: Rc<Room>,
    handling: Handling,
    mut request: Request,
) -> Result<Response, HttpError> {
    let since = room.clock.mono();
    let bytes_max = room.settings().upload_bytes_max;
    let (wish, sent) = upload::read_head(&room.recordings, &mut request, bytes_max).await?;
    let turn = match &wish.client_id {
        Some(id) => Some(OneAtATime::enter(&handling, id).await),
        None => None,
    };
    if let Some(id) = &wish.client_id
        && let Some(known) = room.recordings.of_client(id)?
    {
        return answer_again(&room, &known);
    }
    check_conversation(&room, wish.conversation_id.as_deref())?;
    let held = upload::receive(&room.recordings, &wish, sent, &mut request, bytes_max).await?;
    // From here on the sound is here: a client that hangs up changes nothing, and the same sound
    // again waits for the end of this.
    let handled = tokio::task::spawn_local(async move {
        let _turn = turn;
        handle(room, wish, held, since).await
    });
    handled.await.unwrap_or_else(|_| {
        Err(HttpError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL_ERROR",
            "The recording is kept, but handling it failed; the log says why.",
        ))
    })
}

/// Holds the place of a client's id.
struct OneAtATime {
    handling: Handling,
    id: String,
}

impl OneAtATime {
    async fn enter(handling: &Handling, id: &str) -> OneAtATime {
        loop {
            let busy = handling.borrow().get(id).cloned();
            match busy {
                Some(busy) => busy.notified().await,
                None => break,
            }
        }
        handling.borrow_mut().insert(id.to_string(), Rc::default());
        OneAtATime {
            handling: handling.clone(),
            id: id.to_string(),
        }
    }
}

impl Drop for OneAtATime {
    fn drop(&mut self) {
        if let Some(waiting) = self.handling.borrow_mut().remove(&self.id) {
            waiting.notify_waiters();
        }
    }
}

fn check_conversation(room: &Room, id: Option<&str>) -> Result<(), VoiceError> {
    let Some(id) = id else { return Ok(()) };
    let store = room.recordings.database();
    match store.read(|connection| db::conversations::exists(connection, id))? {
        true => Ok(()),
        false => Err(VoiceError::NotFound(String::from(
            "conversation of this id",
        ))),
    }
}

/// The same upload again gets the same answer.
fn answer_again(room: &Room, known: &Recorded) -> Result<Response, HttpError> {
    if let Some(result) = &known.result {
        return Ok(data(StatusCode::OK, result));
    }
    let store = room.recordings.database();
    let job = store.read(|connection| db::jobs::of_recording(connection, &known.id))?;
    if known.state == State::Done && job.is_none() {
        let told = store.read(|connection| db::conversations::answer_of(connection, &known.id))?;
        let intent = match (&known.memory_id, &told) {
            (Some(_), _) => "note",
            (None, Some(_)) => "chat",
            (None, None) => "none",
        };
        let mut result = json!({
            "recording_id": known.id, "text": known.text, "intent": intent,
            "memory_id": known.memory_id,
        });
        // The power went between the answer and the note of what its client was told.
        if let Some(told) = told {
            result["reply"] = json!(told.content);
            result["conversation_id"] = json!(told.conversation);
            result["message_id"] = json!(told.message);
        }
        return Ok(data(StatusCode::OK, &result));
    }
    let language = known.language.as_deref();
    Ok(queued(&known.id, job.as_deref(), language))
}

fn queued(recording_id: &str, job_id: Option<&str>, language: Option<&str>) -> Response {
    let text = replies::saved_for_later(rules::language_of("", language));
    data(
        StatusCode::ACCEPTED,
        &json!({
            "code": "OFFLINE_QUEUED", "recording_id": recording_id, "job_id": job_id,
            "message": text,
        }),
    )
}

async fn handle(
    room: Rc<Room>,
    wish: Wish,
    held: Held,
    since: MonoMillis,
) -> Result<Response, HttpError> {
    let mut kept = held.whole().await?;
    room.recordings.store(kept.clone(), None).await?;
    held.next(Next::Understand);
    let decoded = match measure(&room, &mut kept).await {
        Ok(decoded) => decoded,
        Err(error) => {
            held.release();
            room.recordings.remove(&kept).await?;
            return Err(error);
        }
    };
    let id = kept.id.clone();
    let Some(mut decoded) = decoded else {
        // Too long to wait for: it is understood piece by piece.
        return later(&room, &wish, held, kept).await;
    };
    let transcribing = room.clock.mono();
    // How long it is is known now.
    let measured = room.recordings.store(kept.clone(), None);
    let (text, measured) = tokio::join!(transcribe(&room, &wish, decoded.sound()), measured);
    measured?;
    drop(decoded);
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            let queued = later(&room, &wish, held, kept).await?;
            return match error.is_retryable() {
                true => Ok(queued),
                false => Err(error.of_stt().into()),
            };
        }
    };
    let stt = room.clock.mono().since(transcribing).as_millis() as u64;
    if text.is_empty() {
        held.next(Next::Rest(String::new()));
        let result = json!({"recording_id": id, "text": "", "intent": "none"});
        room.recordings
            .done(&id, "", None, Some(result.clone()))
            .await?;
        held.release();
        return Ok(data(StatusCode::OK, &result));
    }
    held.next(Next::Answer(text.clone()));
    let answer = answer(&room, &wish, &id, &text, kept.duration_ms).await?;
    // Answered, or a job of its own by now.
    held.release();
    if answer.waits_for.is_some() {
        room.recordings.queue().wake();
        return answered_later(&room, &id, &text, &answer);
    }
    let (audio, trouble) = sound_of(&room, &wish, &answer).await;
    let mut result = result_of(&id, &text, &answer, audio.as_deref());
    if let Some(trouble) = answer.trouble.as_ref().or(trouble.as_ref()) {
        result["notice"] = notice(trouble);
    }
    let memory = answer.memory_saved.as_ref().map(|saved| saved.id.clone());
    let total = room.clock.mono().since(since).as_millis() as u64;
    result["timing_ms"] = json!({"stt": stt, "total": total});
    room.recordings
        .done(&id, &text, memory, Some(result.clone()))
        .await?;
    Ok(data(StatusCode::OK, &result))
}

/// Decodes the sound and notes its length; `None` when it is too long for one call.
async fn measure(room: &Room, kept: &mut Kept) -> Result<Option<Decoded>, HttpError> {
    let path = room.recordings.path_of(&kept.file);
    if kept.format == "wav" && super::pieces::is_ours(&path).await {
        let length = super::repair::length_of_wav(kept.bytes);
        kept.duration_ms = Some(length.as_millis() as u64);
        if length > VOICE_CALL_SOUND_MAX {
            return Ok(None);
        }
    }
    let decoded = match load(&kept.format, path).await {
        Ok(decoded) => decoded,
        Err(LoadError::TooLong(_)) if kept.format != "wav" => return Ok(None),
        Err(LoadError::Unreadable(why) | LoadError::TooLong(why)) => {
            return Err(HttpError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_AUDIO",
                why,
            ));
        }
        Err(LoadError::Busy(why)) => return Err(HttpError::busy(why, 1)),
    };
    kept.duration_ms = Some(length_of(&decoded.samples).as_millis() as u64);
    Ok(Some(decoded))
}

/// Queues the recording; durable when this returns.
async fn later(room: &Room, wish: &Wish, held: Held, kept: Kept) -> Result<Response, HttpError> {
    let (id, job) = (kept.id.clone(), stt_job(&kept.id));
    let job_id = room.recordings.store(kept, Some(job)).await?;
    held.release();
    Ok(queued(&id, job_id.as_deref(), wish.language.as_deref()))
}

/// The words are here, and the model is asked again by a job.
fn answered_later(
    room: &Room,
    id: &str,
    text: &str,
    answer: &Answer,
) -> Result<Response, HttpError> {
    let store = room.recordings.database();
    let job = store.read(|connection| db::jobs::of_recording(connection, id))?;
    Ok(data(
        StatusCode::ACCEPTED,
        &json!({
            "code": "OFFLINE_QUEUED", "recording_id": id, "job_id": job, "text": text,
            "conversation_id": answer.conversation_id, "reply": answer.content,
            "message": answer.content,
        }),
    ))
}

async fn transcribe(room: &Room, wish: &Wish, sound: Sound) -> Result<String, EngineError> {
    let options = SttOptions {
        language: wish
            .language
            .clone()
            .or_else(|| room.settings().language.clone()),
        prompt: None,
    };
    let engines = room.engines();
    let stt = engines.stt.clone()?;
    let transcript = stt.transcribe(&sound, &options).await;
    match &transcript {
        Ok(_) => room.stt_calls.succeeded(room.clock.wall()),
        Err(error) => room.stt_calls.failed(&error.clone().of_stt()),
    }
    Ok(transcript?.text.trim().to_string())
}

async fn answer(
    room: &Room,
    wish: &Wish,
    recording: &str,
    text: &str,
    duration_ms: Option<u64>,
) -> Result<Answer, VoiceError> {
    let is_long = duration_ms.unwrap_or(0) > LISTEN_MAX.as_millis() as u64;
    let question = Question {
        text: text.to_string(),
        conversation: wish.conversation_id.clone(),
        remember: true,
        language: wish.language.clone(),
        recording: Some(recording.to_string()),
        note: wish.mode == Mode::Note || wish.mode == Mode::Auto && is_long,
        ..Question::default()
    };
    let answer = room.dialogue.answer(question, &mut |_| {}).await?;
    if let Some(device) = room.actor.get().and_then(WeakDevice::upgrade) {
        if let Some(action) = &answer.action {
            device.act(action);
        }
        if wish.speak == Speak::Device {
            Speaker::recite(&device, &Rc::new(Sentences::of(&answer.content)));
        }
    }
    Ok(answer)
}

/// The answer as sound, where that is wanted: its place, and what went wrong. The text is the answer
/// also without a voice.
async fn sound_of(
    room: &Room,
    wish: &Wish,
    answer: &Answer,
) -> (Option<String>, Option<VoiceError>) {
    if wish.speak != Speak::Return {
        return (None, None);
    }
    let mut recital = Recital::new(room, Some(answer.language.clone()));
    let sentences = Sentences::of(&answer.content);
    while let Some(sentence) = sentences.take().await {
        recital.say(&sentence.text).await;
    }
    recital.end(answer, true).await
}

/// What a client is told of a turn that is done.
pub fn result_of(recording: &str, text: &str, answer: &Answer, audio: Option<&str>) -> Value {
    let saved = answer.memory_saved.as_ref();
    json!({
        "recording_id": recording,
        "text": text,
        "intent": if saved.is_some() { "note" } else { "chat" },
        "reply": answer.content,
        "conversation_id": answer.conversation_id,
        "message_id": answer.id,
        "memory_id": saved.map(|saved| &saved.id),
        "memories_used": answer.memories_used,
        "provider": answer.provider,
        "model": answer.model,
        "audio_url": audio,
    })
}

fn data(status: StatusCode, value: &Value) -> Response {
    Response::json(status, &json!({"success": true, "data": value}))
}

async fn audio(room: Rc<Room>, request: Request) -> Result<Response, HttpError> {
    let id = request.param("id");
    if let Some(sound) = room.recordings.fresh(id) {
        return Ok(files::bytes(&request.head, sound, "audio/wav", id));
    }
    let recorded = room.recordings.get(id)?;
    let file = recorded
        .and_then(|recorded| recorded.file)
        .ok_or_else(no_sound)?;
    let content_type = files::content_type_of(&file);
    files::file(&request.head, room.recordings.path_of(&file), content_type).await
}

async fn remove(room: Rc<Room>, request: Request) -> Result<Response, HttpError> {
    let id = request.param("id");
    match room.recordings.remove_fresh(id) || room.recordings.remove_sound(id).await? {
        true => Ok(Response::json(StatusCode::OK, &json!({"success": true}))),
        false => Err(no_sound().into()),
    }
}

fn no_sound() -> VoiceError {
    VoiceError::NotFound(String::from("sound of this id"))
}
