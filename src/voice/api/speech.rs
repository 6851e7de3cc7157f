//! `/api/v1/transcribe` and `/api/v1/synthesize`: speech into text, text into speech.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
use crate::voice::providers::{EngineError, Speech, SttOptions, Transcript};
use crate::voice::sentence::Cutter;

/// What `response_format` takes.
const FORMATS: [&str; 6] = ["mp3", "opus", "aac", "wav", "flac", "pcm"];

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
    response_format: Option<String>,
}

async fn synthesize(voice: Rc<Voice>, mut request: Request) -> Result<Response, HttpError> {
    let body: SynthesizeBody = request.json().await?;
    check_text(&body.text)?;
    let asked = body.response_format.as_deref().unwrap_or("mp3");
    if !FORMATS.contains(&asked) {
        return Err(HttpError::invalid(format!(
            "response_format: {} are allowed, {:?} was sent",
            FORMATS.join(", "),
            asked.chars().take(40).collect::<String>()
        )));
    }
    let speech = speech_of(&voice, &body.text, body.language.as_deref()).await?;
    let (bytes, format) = file_of(&speech, asked);
    let accept = request.head.header("accept").unwrap_or_default();
    if accept.trim_start().starts_with("audio/") {
        return Ok(Response::bytes(StatusCode::OK, format.mime(), bytes));
    }
    Ok(success(&json!({
        "audio": STANDARD.encode(&bytes),
        "format": format.extension(),
        "duration": speech.duration().as_secs_f64(),
    })))
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
    let mut cutter = Cutter::default();
    let mut sentences = Vec::new();
    cutter.push(text, &mut sentences);
    sentences.extend(cutter.finish());
    let mut whole: Option<Speech> = None;
    for sentence in sentences {
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
