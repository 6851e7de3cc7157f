//! `/api/v1/transcribe` and `/api/v1/synthesize`: speech into text, text into speech.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::sound_in::SoundIn;
use crate::audio::decode::SoundFormat;
use crate::audio::{SPEECH_RATE_HZ, resample, wav};
use crate::limits::{SPEAK_STALL_MAX, SYNTHESIZE_CHARS_MAX};
use crate::server::pieces::Pieces;
use crate::server::{Access, Body, HttpError, Method, Request, Response, Router, StatusCode};
use crate::voice::Voice;
use crate::voice::decode::{DecodeError, Source, decode};
use crate::voice::dialogue::VoiceError;
use crate::voice::providers::{
    EngineError, FileFormat, FileWish, Speech, SpeechFile, SttOptions, Transcript,
};
use crate::voice::sentence::{Cutter, Sentence};

const NAME_BYTES_MAX: usize = 64;

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
    let Some(format) = FileFormat::named(asked) else {
        return Err(HttpError::invalid(format!(
            "response_format: {} are allowed, {:?} was sent",
            FileFormat::ALL.map(FileFormat::name).join(", "),
            asked.chars().take(40).collect::<String>()
        )));
    };
    let wish = FileWish {
        text: speakable(&body.text)?,
        voice: named("voice", body.voice)?,
        model: named("model", body.model)?,
        format,
    };
    let accept = request.head.header("accept").unwrap_or_default();
    let is_sound_asked = accept.trim_start().starts_with("audio/");
    let tts = voice.engines().tts.clone().map_err(EngineError::of_tts)?;
    if let Some(file) = tts.encode(&wish).await.map_err(EngineError::of_tts)? {
        return match is_sound_asked {
            true => Ok(passed_on(file, format)),
            false => told(file, format).await,
        };
    }
    let speech = speech_of(&voice, &body.text, body.language.as_deref()).await?;
    let (bytes, format) = file_of(&speech, format);
    if is_sound_asked {
        return Ok(Response::bytes(StatusCode::OK, format.mime(), bytes));
    }
    Ok(success(&json!({
        "audio": STANDARD.encode(&bytes),
        "format": format.name(),
        "duration": speech.duration().as_secs_f64(),
    })))
}

/// A name of a voice or a model; what is empty is not set.
fn named(field: &str, name: Option<String>) -> Result<Option<String>, HttpError> {
    let name = name.filter(|name| !name.trim().is_empty());
    if name
        .as_ref()
        .is_some_and(|name| name.len() > NAME_BYTES_MAX)
    {
        return Err(HttpError::invalid(format!(
            "{field}: at most {NAME_BYTES_MAX} bytes are allowed"
        )));
    }
    Ok(name)
}

/// The provider's bytes as they come; an answer that breaks off is cut, which the client can tell.
fn passed_on(mut file: SpeechFile, format: FileFormat) -> Response {
    let (writer, pieces) = Pieces::new();
    tokio::task::spawn_local(async move {
        loop {
            match file.next().await {
                Ok(Some(bytes)) => {
                    if writer.send(bytes).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    log::warn!("event=speech_broke_off error=\"{error}\"");
                    return;
                }
            }
        }
        // Nothing is left in it to flush.
        let _ = writer.finish();
    });
    let mut answer = Response::bytes(StatusCode::OK, format.mime(), Bytes::new());
    answer.body = Body::Pieces(pieces);
    answer
}

/// The whole file with its length, which is only known once it was decoded.
async fn told(file: SpeechFile, format: FileFormat) -> Result<Response, HttpError> {
    let bytes = Bytes::from(file.collect().await.map_err(EngineError::of_tts)?);
    let claimed = SoundFormat::of_type(format.mime());
    let seconds = match format {
        FileFormat::Pcm => bytes.len() as f64 / 2.0 / f64::from(SoundFormat::PCM_RATE_HZ),
        _ => {
            let decoded = decode(Source::bytes(bytes.clone(), claimed)).await;
            let decoded = decoded.map_err(|error| match error {
                DecodeError::Busy => EngineError::Busy.of_tts(),
                DecodeError::Base64 | DecodeError::Sound(_) => VoiceError::Tts(format!(
                    "what the speech server sent cannot be heard: {}",
                    VoiceError::from(error)
                )),
            })?;
            decoded.samples.len() as f64 / f64::from(SPEECH_RATE_HZ)
        }
    };
    Ok(success(&json!({
        "audio": STANDARD.encode(&bytes),
        "format": format.name(),
        "duration": seconds,
    })))
}

/// In the format asked for where it can be made of plain samples, else as WAV.
pub fn file_of(speech: &Speech, asked: FileFormat) -> (Vec<u8>, FileFormat) {
    if asked != FileFormat::Pcm {
        let bytes = wav::encode(&speech.samples, speech.rate_hz);
        return (bytes, FileFormat::Wav);
    }
    let samples = resample::resample(&speech.samples, speech.rate_hz, SoundFormat::PCM_RATE_HZ);
    let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
    (bytes.collect(), FileFormat::Pcm)
}

/// The text without what cannot be spoken, such as the marks of Markdown.
fn speakable(text: &str) -> Result<String, VoiceError> {
    let sentences = sentences_of(text);
    if sentences.is_empty() {
        return Err(nothing_spoken());
    }
    let texts: Vec<String> = sentences.into_iter().map(|one| one.text).collect();
    Ok(texts.join(" "))
}

fn sentences_of(text: &str) -> Vec<Sentence> {
    let mut cutter = Cutter::default();
    let mut sentences = Vec::new();
    cutter.push(text, &mut sentences);
    sentences.extend(cutter.finish());
    sentences
}

fn nothing_spoken() -> VoiceError {
    VoiceError::Invalid(String::from(
        "text: there is nothing in it that can be spoken",
    ))
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
    whole.ok_or_else(nothing_spoken)
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
