//! `/api/v1/transcribe` and `/api/v1/synthesize`: speech into text, text into speech.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::sound_in::SoundIn;
use crate::audio::decode::SoundFormat;
use crate::audio::{resample, wav};
use crate::limits::{SPEAK_STALL_MAX, SYNTHESIZE_CHARS_MAX};
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode};
use crate::voice::Voice;
use crate::voice::decode::{Source, decode};
use crate::voice::dialogue::VoiceError;
use crate::voice::providers::{EngineError, FileWish, Speech, SttOptions, Transcript};
use crate::voice::sentence::{Cutter, Sentence};
use crate::voice::session::length_of;

/// What `response_format` takes.
const FORMATS: [&str; 6] = ["mp3", "opus", "aac", "wav", "flac", "pcm"];
/// Of a voice's or model's name.
const NAME_BYTES_MAX: usize = 100;

pub fn routes(router: &mut Router, voice: &Rc<Voice>) {
    let room = Rc::clone(voice);
    router.route(
        Method::POST,
        "/api/v1/transcribe",
        Access::Member,
        move |request| transcribe(Rc::clone(&room), request),
    );
    let room = Rc::clone(voice);
    router.route(
        Method::POST,
        "/api/v1/synthesize",
        Access::Member,
        move |request| synthesize(Rc::clone(&room), request),
    );
}

async fn transcribe(voice: Rc<Voice>, mut request: Request) -> Result<Response, HttpError> {
    let bytes_max = voice.settings().upload_bytes_max;
    let mut sound = SoundIn::read(&mut request, bytes_max).await?;
    let source = sound.sound()?;
    let options = SttOptions {
        language: sound.text("language"),
        prompt: sound.text("prompt"),
    };
    let heard = understand(&voice, source, options).await?;
    let transcript = &heard.transcript;
    let mut data = json!({
        "text": transcript.text,
        "language": transcript.language,
        "duration": heard.seconds,
        "provider": &*transcript.provider,
    });
    if !transcript.segments.is_empty() {
        data["segments"] = json!(transcript.segments);
    }
    Ok(success(&data))
}

/// What was said in some sound.
pub struct Heard {
    pub transcript: Transcript,
    pub seconds: f64,
}

/// Decodes and transcribes; the language of the settings where none is asked for.
pub async fn understand(
    voice: &Voice,
    source: Source,
    options: SttOptions,
) -> Result<Heard, HttpError> {
    let mut decoded = decode(source).await?;
    if decoded.samples.is_empty() {
        return Err(HttpError::invalid("audio: the sound is empty"));
    }
    let stt = voice.engines().stt.clone().map_err(EngineError::of_stt)?;
    let sound = decoded.sound();
    let options = SttOptions {
        language: options
            .language
            .or_else(|| voice.settings().language.clone()),
        ..options
    };
    let transcript = stt.transcribe(&sound, &options).await;
    Ok(Heard {
        transcript: transcript.map_err(EngineError::of_stt)?,
        seconds: sound.duration().as_secs_f64(),
    })
}

#[derive(Deserialize)]
struct SynthesizeBody {
    text: String,
    language: Option<String>,
    voice: Option<String>,
    model: Option<String>,
    response_format: Option<String>,
}

async fn synthesize(voice: Rc<Voice>, mut request: Request) -> Result<Response, HttpError> {
    let body: SynthesizeBody = request.json().await?;
    check_text(&body.text)?;
    let asked = body.response_format.as_deref().unwrap_or("mp3");
    let Some(asked) = FORMATS.into_iter().find(|format| *format == asked) else {
        return Err(HttpError::invalid(format!(
            "response_format: {} are allowed, {:?} was sent",
            FORMATS.join(", "),
            asked.chars().take(40).collect::<String>()
        )));
    };
    for (name, value) in [("voice", &body.voice), ("model", &body.model)] {
        if value.as_ref().is_some_and(|value| !is_name(value)) {
            return Err(HttpError::invalid(format!(
                "{name}: a name of at most {NAME_BYTES_MAX} bytes is allowed"
            )));
        }
    }
    let language = body.language.as_deref();
    let sound = match encoded(&voice, &body, asked).await? {
        Some(sound) => sound,
        None => {
            let speech = speech_of(&voice, &body.text, language).await?;
            let (bytes, format) = file_of(&speech, asked);
            File {
                bytes: bytes.into(),
                mime: format.mime(),
                format: format.extension(),
                seconds: speech.duration().as_secs_f64(),
            }
        }
    };
    let accept = request.head.header("accept").unwrap_or_default();
    if accept.trim_start().starts_with("audio/") {
        return Ok(Response::bytes(StatusCode::OK, sound.mime, sound.bytes));
    }
    Ok(success(&json!({
        "audio": STANDARD.encode(&sound.bytes),
        "format": sound.format,
        "duration": sound.seconds,
    })))
}

struct File {
    bytes: Bytes,
    mime: &'static str,
    format: &'static str,
    seconds: f64,
}

/// As a voice of the chain encodes it; `None` where none does, or none can be reached now.
async fn encoded(
    voice: &Voice,
    body: &SynthesizeBody,
    format: &'static str,
) -> Result<Option<File>, HttpError> {
    let is_plain = matches!(format, "wav" | "pcm") && body.voice.is_none() && body.model.is_none();
    let tts = voice.engines().tts.clone().map_err(EngineError::of_tts)?;
    if is_plain || !tts.encodes() {
        return Ok(None);
    }
    let sentences = sentences_of(&body.text);
    let words: Vec<&str> = sentences
        .iter()
        .map(|sentence| sentence.text.as_str())
        .collect();
    if words.is_empty() {
        return Ok(None);
    }
    let wish = FileWish {
        text: words.join(" "),
        format,
        voice: body.voice.clone(),
        model: body.model.clone(),
    };
    let bytes = match tts.encode(&wish).await {
        Ok(bytes) => bytes,
        // A name that the provider does not know is the caller's to mend.
        Err(error @ EngineError::Rejected(_)) => return Err(error.of_tts().into()),
        Err(error) => {
            log::info!("event=speech_not_encoded format={format} error=\"{error}\"");
            return Ok(None);
        }
    };
    let decoded = decode(Source::bytes(bytes.clone(), SoundFormat::of_type(format))).await;
    let Ok(decoded) = decoded else {
        log::info!("event=speech_not_encoded format={format} error=\"it cannot be heard\"");
        return Ok(None);
    };
    Ok(Some(File {
        bytes,
        mime: decoded.format.mime(),
        format,
        seconds: length_of(&decoded.samples).as_secs_f64(),
    }))
}

fn is_name(value: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&value.len()) && !value.chars().any(char::is_control)
}

/// In the format asked for where it can be made of plain samples, else as WAV.
pub fn file_of(speech: &Speech, asked: &str) -> (Vec<u8>, SoundFormat) {
    if asked != "pcm" {
        let bytes = wav::encode(&speech.samples, speech.rate_hz);
        return (bytes, SoundFormat::Wav);
    }
    let samples = resample::resample(&speech.samples, speech.rate_hz, SoundFormat::PCM_RATE_HZ);
    let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
    (bytes.collect(), SoundFormat::Pcm)
}

/// All sentences in one sound of the first one's rate.
pub async fn speech_of(
    voice: &Voice,
    text: &str,
    language: Option<&str>,
) -> Result<Speech, VoiceError> {
    let tts = voice.engines().tts.clone().map_err(EngineError::of_tts)?;
    let mut whole: Option<Speech> = None;
    for sentence in sentences_of(text) {
        let stream = tts
            .synthesize(&sentence.text, language)
            .await
            .map_err(EngineError::of_tts)?;
        let speech = stream
            .collect(SPEAK_STALL_MAX)
            .await
            .map_err(EngineError::of_tts)?;
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

fn sentences_of(text: &str) -> Vec<Sentence> {
    let mut cutter = Cutter::default();
    let mut sentences = Vec::new();
    cutter.push(text, &mut sentences);
    sentences.extend(cutter.finish());
    sentences
}

pub fn check_text(text: &str) -> Result<(), VoiceError> {
    let chars = text.chars().count();
    if text.trim().is_empty() || chars > SYNTHESIZE_CHARS_MAX {
        return Err(VoiceError::Invalid(format!(
            "text: 1 to {SYNTHESIZE_CHARS_MAX} characters are allowed, {chars} were sent"
        )));
    }
    Ok(())
}

fn success(data: &serde_json::Value) -> Response {
    Response::json(StatusCode::OK, &json!({"success": true, "data": data}))
}
