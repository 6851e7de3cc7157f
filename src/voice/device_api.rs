//! The box's ear and mouth over HTTP: `/api/v1/device/…`, `/api/v1/transcribe`,
//! `/api/v1/synthesize` and the turns' times under `/api/v1/debug/stats`.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::Voice;
use super::decode::{DecodeError, Source, decode};
use super::device::state_payload;
use super::dialogue::VoiceError;
use super::providers::{Sound, Speech, SttOptions};
use super::recordings::Mode;
use super::sentence::Cutter;
use super::turn::Turn;
use crate::audio::wav;
use crate::limits::{LISTEN_MAX, SPEAK_MAX, SPEAK_STALL_MAX, SYNTHESIZE_CHARS_MAX, TRANSCRIBE_MAX};
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode, header};

/// A turn that was waited for takes no longer than all its stages may.
const TURN_WAIT_MAX: Duration = Duration::from_secs(
    LISTEN_MAX.as_secs() * 2 + TRANSCRIBE_MAX.as_secs() * 2 + SPEAK_MAX.as_secs(),
);

pub fn routes(router: &mut Router, voice: &Rc<Voice>) {
    let mut add = |method, pattern, access, handler: Handler| {
        let voice = Rc::clone(voice);
        router.route(method, pattern, access, move |request| {
            handler(Rc::clone(&voice), request)
        });
    };
    let (get, post) = (Method::GET, Method::POST);
    let member = Access::Member;
    add(get.clone(), "/api/v1/device", member, |voice, _| {
        Box::pin(async move { device(&voice) })
    });
    add(
        post.clone(),
        "/api/v1/device/listen",
        member,
        |voice, request| Box::pin(listen(voice, request)),
    );
    add(
        post.clone(),
        "/api/v1/device/say",
        member,
        |voice, request| Box::pin(say(voice, request)),
    );
    add(post.clone(), "/api/v1/device/stop", member, |voice, _| {
        Box::pin(async move {
            voice.device.stop()?;
            Ok(data(&json!({})))
        })
    });
    add(
        post.clone(),
        "/api/v1/device/mute",
        Access::Admin,
        |voice, request| Box::pin(mute(voice, request)),
    );
    add(
        post.clone(),
        "/api/v1/transcribe",
        member,
        |voice, request| Box::pin(transcribe(voice, request)),
    );
    add(post, "/api/v1/synthesize", member, |voice, request| {
        Box::pin(synthesize(voice, request))
    });
    add(get, "/api/v1/debug/stats", Access::Admin, |voice, _| {
        Box::pin(async move { Ok(stats(&voice)) })
    });
}

type Answering = std::pin::Pin<Box<dyn Future<Output = Result<Response, HttpError>>>>;
type Handler = fn(Rc<Voice>, Request) -> Answering;

fn data(value: &impl serde::Serialize) -> Response {
    Response::json(StatusCode::OK, &json!({"success": true, "data": value}))
}

fn device(voice: &Voice) -> Result<Response, HttpError> {
    let mut value = state_payload(&voice.device.state());
    value["audio"] = json!(voice.device.audio());
    Ok(data(&value))
}

#[derive(Default, Deserialize)]
struct ListenBody {
    /// Answer when the turn is over, with what was understood and said.
    #[serde(default)]
    wait: bool,
    /// `note`: until `/device/stop`, a button, or a long silence.
    mode: Option<String>,
}

async fn listen(voice: Rc<Voice>, mut request: Request) -> Result<Response, HttpError> {
    let body: ListenBody = optional_json(&mut request).await?;
    let mode = match body.mode.as_deref() {
        None => Mode::Chat,
        Some(word) => {
            Mode::parse(word).ok_or_else(|| HttpError::invalid("`mode` is chat, note or auto."))?
        }
    };
    if mode == Mode::Note && body.wait {
        return Err(HttpError::invalid(
            "`wait` is not for a note, which may last for hours; it ends with /device/stop.",
        ));
    }
    let turn = voice.device.listen(mode)?;
    answer_turn(&voice, turn, body.wait).await
}

#[derive(Deserialize)]
struct SayBody {
    text: String,
    #[serde(default)]
    wait: bool,
}

async fn say(voice: Rc<Voice>, mut request: Request) -> Result<Response, HttpError> {
    let body: SayBody = request.json().await?;
    check_text(&body.text)?;
    if let Err(error) = &voice.engines().tts {
        return Err(error.clone().of_tts().into());
    }
    let turn = voice.device.say(&body.text)?;
    answer_turn(&voice, turn, body.wait).await
}

async fn answer_turn(voice: &Voice, turn: Turn, wait: bool) -> Result<Response, HttpError> {
    if !wait {
        return Ok(data(&json!({"turn": turn})));
    }
    let ended = tokio::time::timeout(TURN_WAIT_MAX, voice.device.ended(turn))
        .await
        .map_err(|_| VoiceError::Timeout("the end of the turn"))??;
    Ok(data(&ended))
}

#[derive(Deserialize)]
struct MuteBody {
    muted: bool,
}

async fn mute(voice: Rc<Voice>, mut request: Request) -> Result<Response, HttpError> {
    let body: MuteBody = request.json().await?;
    voice.device.mute(body.muted).await?;
    Ok(data(&json!({"muted": body.muted})))
}

#[derive(Deserialize)]
struct TranscribeBody {
    audio: String,
    language: Option<String>,
}

async fn transcribe(voice: Rc<Voice>, mut request: Request) -> Result<Response, HttpError> {
    let bytes_max = voice.settings().upload_bytes_max;
    let (source, language) = match content_type(&request).as_str() {
        "application/json" => {
            // Base64 makes four bytes of three; the rest is the frame around it.
            let body: TranscribeBody = request.json_of(bytes_max / 3 * 4 + 4_096).await?;
            (Source::Base64(body.audio), body.language)
        }
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => {
            let language = request.query("language");
            (Source::Wav(request.body(bytes_max).await?), language)
        }
        other => {
            return Err(unsupported(format!(
                "Content-Type {other:?} is not understood; send audio/wav, or JSON with the field \
                 audio in base64"
            )));
        }
    };
    let samples = decode(source).await.map_err(decode_error)?;
    let stt = voice
        .engines()
        .stt
        .clone()
        .map_err(super::EngineError::of_stt)?;
    let sound = Sound::new(samples);
    let language = language.or_else(|| voice.settings().language.clone());
    let options = SttOptions {
        language,
        prompt: None,
    };
    let transcript = stt
        .transcribe(&sound, &options)
        .await
        .map_err(super::EngineError::of_stt)?;
    Ok(data(&json!({
        "text": transcript.text,
        "language": transcript.language,
        "duration": sound.duration().as_secs_f64(),
        "provider": &*transcript.provider,
    })))
}

#[derive(Deserialize)]
struct SynthesizeBody {
    text: String,
    language: Option<String>,
}

async fn synthesize(voice: Rc<Voice>, mut request: Request) -> Result<Response, HttpError> {
    let body: SynthesizeBody = request.json().await?;
    check_text(&body.text)?;
    let speech = speech_of(&voice, &body).await?;
    let bytes = wav::encode(&speech.samples, speech.rate_hz);
    let accept = request.head.header("accept").unwrap_or_default();
    if accept.trim_start().starts_with("audio/") {
        return Ok(Response::bytes(StatusCode::OK, "audio/wav", bytes));
    }
    Ok(data(&json!({
        "audio": STANDARD.encode(&bytes),
        "format": "wav",
        "duration": speech.duration().as_secs_f64(),
    })))
}

/// All sentences in one sound of the first one's rate.
async fn speech_of(voice: &Voice, body: &SynthesizeBody) -> Result<Speech, VoiceError> {
    let tts = voice
        .engines()
        .tts
        .clone()
        .map_err(super::EngineError::of_tts)?;
    let mut cutter = Cutter::default();
    let mut sentences = Vec::new();
    cutter.push(&body.text, &mut sentences);
    sentences.extend(cutter.finish());
    let mut whole: Option<Speech> = None;
    for sentence in sentences {
        let stream = tts
            .synthesize(&sentence.text, body.language.as_deref())
            .await
            .map_err(super::EngineError::of_tts)?;
        let speech = stream
            .collect(SPEAK_STALL_MAX)
            .await
            .map_err(super::EngineError::of_tts)?;
        match &mut whole {
            None => whole = Some(speech),
            Some(whole) => whole.append(speech),
        }
    }
    whole.ok_or_else(|| {
        VoiceError::Invalid(String::from(
            "text: there is nothing in it that can be spoken",
        ))
    })
}

fn check_text(text: &str) -> Result<(), VoiceError> {
    let chars = text.chars().count();
    if text.trim().is_empty() || chars > SYNTHESIZE_CHARS_MAX {
        return Err(VoiceError::Invalid(format!(
            "text: 1 to {SYNTHESIZE_CHARS_MAX} characters are allowed, {chars} were sent"
        )));
    }
    Ok(())
}

fn stats(voice: &Voice) -> Response {
    data(&json!({
        "device": state_payload(&voice.device.state()),
        "audio": voice.device.audio(),
        "sessions": voice.sessions(),
        "sockets": voice.sockets.open(),
        "turns": voice.turn_log().last(),
    }))
}

/// A body may be left out.
async fn optional_json<T: Default + serde::de::DeserializeOwned>(
    request: &mut Request,
) -> Result<T, HttpError> {
    let empty = request
        .head
        .header("content-length")
        .is_none_or(|length| length == "0")
        && request.head.header("transfer-encoding").is_none();
    if empty {
        Ok(T::default())
    } else {
        request.json().await
    }
}

fn content_type(request: &Request) -> String {
    let value = request
        .head
        .header(header::CONTENT_TYPE.as_str())
        .unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn unsupported(message: String) -> HttpError {
    HttpError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UNSUPPORTED_AUDIO",
        message,
    )
}

fn decode_error(error: DecodeError) -> HttpError {
    match error {
        DecodeError::Base64 => HttpError::invalid(format!("audio: {error}")),
        DecodeError::TooLong(_) => HttpError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PAYLOAD_TOO_LARGE",
            error.to_string(),
        ),
        DecodeError::Busy => HttpError::busy(error.to_string(), 1),
        DecodeError::Unsupported(_) => unsupported(error.to_string()),
    }
}
