//! Speech to text and back by servers that speak OpenAI's protocol, its own or another's.
//!
//! `POST {base}/audio/transcriptions` takes a form with the sound as it was recorded, where the
//! server knows its format, else as WAV; `POST {base}/audio/speech` gives sound that is decoded
//! while it comes. Dropping a call ends its connection, and with it what it costs. No error holds
//! the key, and none more than a line of what the server said.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use super::file::FilePieces;
use super::sound::Pieces;
use super::{
    Call, EngineError, FileWish, Segment, Sound, Speech, SpeechFile, SpeechStream, Stt, SttOptions,
    Transcript, Tts,
};
use crate::audio::decode::{Decoder, SoundFormat};
use crate::audio::{SPEECH_RATE_HZ, wav};
use crate::clock::Clock;
use crate::limits::{
    LLM_ERROR_BYTES_MAX, SPEECH_ANSWER_BYTES_MAX, SPEECH_UPLOAD_BYTES_MAX, SYNTHESIZE_MAX,
    SYNTHESIZED_MAX, TRANSCRIBE_MAX, TRANSCRIPT_BYTES_MAX,
};
use crate::outbound::backoff::retry_after;
use crate::outbound::{CallError, CallLimits, CallRequest, Outbound, StreamBody, StreamResponse};

pub const NAME: &str = "openai";
pub const BASE_URL: &str = "https://api.openai.com/v1";
pub const STT_MODEL: &str = "whisper-1";
pub const TTS_MODEL: &str = "tts-1";
pub const TTS_VOICE: &str = "nova";

/// The voices of OpenAI's own models.
pub const VOICES: [&str; 11] = [
    "alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse",
];

/// Where the server is and how it is asked.
#[derive(Clone)]
pub struct Way {
    pub outbound: Outbound,
    pub clock: Clock,
    /// Without a slash at its end.
    pub base_url: String,
    /// Never shown; `None` for servers that want none.
    pub key: Option<String>,
}

pub struct OpenAiStt {
    pub way: Way,
    pub model: String,
}

pub struct OpenAiTts {
    pub way: Way,
    pub model: String,
    pub voice: String,
    pub format: SoundFormat,
}

impl Way {
    fn headers(&self, content_type: &str) -> Result<HeaderMap, EngineError> {
        let mut headers = HeaderMap::new();
        let wrong = |what: &str| EngineError::Rejected(format!("{what} cannot stand in a header"));
        let kind = HeaderValue::from_str(content_type).map_err(|_| wrong("the boundary"))?;
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(key) = &self.key {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
                .map_err(|_| wrong("the key in OPENAI_API_KEY"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// An answer that is a success; anything else as the error it means.
    async fn ask(
        &self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
        limits: CallLimits,
    ) -> Result<StreamResponse, EngineError> {
        let request = CallRequest {
            method: Method::POST,
            url: format!("{}{path}", self.base_url),
            headers: self.headers(content_type)?,
            body: Bytes::from(body),
            limits,
        };
        let patience = limits.first_byte;
        let answer = self.outbound.stream(request).await;
        let answer = answer.map_err(|error| of_call(error, patience))?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let asked = retry_after(&answer.headers, self.clock.wall());
        let status = answer.status;
        let body = answer.body.collect(LLM_ERROR_BYTES_MAX).await;
        let said = message_of(&body.unwrap_or_default());
        let said = match &self.key {
            Some(key) => said.replace(key.as_str(), "…"),
            None => said,
        };
        Err(of_status(status, &said, asked))
    }
}

fn of_call(error: CallError, patience: Duration) -> EngineError {
    let told = error.to_string();
    match error {
        CallError::Busy => EngineError::Busy,
        CallError::Connect(_) | CallError::Tls(_) | CallError::Timeout("connect") => {
            EngineError::Unreachable(told)
        }
        CallError::Timeout(_) => EngineError::Timeout(patience),
        CallError::Broken(_) | CallError::TooLarge => EngineError::Broken(told),
        CallError::Invalid(_) => EngineError::Rejected(told),
    }
}

fn of_status(status: StatusCode, said: &str, retry_after: Option<Duration>) -> EngineError {
    let number = status.as_u16();
    let told = |what: &str| match said.is_empty() {
        true => format!("the speech server {what} ({number})"),
        false => format!("the speech server {what} ({number}): {said}"),
    };
    match number {
        429 | 529 => EngineError::Limited {
            what: told("takes no more for now"),
            retry_after,
        },
        408 | 500..=599 => EngineError::Broken(told("failed")),
        401 | 403 => EngineError::Rejected(told("does not accept the key; check OPENAI_API_KEY")),
        404 => EngineError::Rejected(told(
            "does not know the model or the address; check the model and the base URL",
        )),
        _ => EngineError::Rejected(told("does not take this")),
    }
}

/// `error.message` where the body has one, else its first line; at most 300 characters.
fn message_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Told {
        error: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let text = match serde_json::from_slice::<Told>(body) {
        Ok(told) => told.error.message,
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            text.trim().lines().next().unwrap_or_default().to_owned()
        }
    };
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect()
}

impl Stt for OpenAiStt {
    fn name(&self) -> &str {
        NAME
    }

    fn transcribe<'a>(&'a self, sound: &'a Sound, options: &'a SttOptions) -> Call<'a, Transcript> {
        Box::pin(async move {
            let (form, boundary) = self.form(sound, options)?;
            let patience = TRANSCRIBE_MAX + sound.duration();
            let limits = CallLimits {
                first_byte: patience,
                idle: TRANSCRIBE_MAX,
                total: patience,
                ..CallLimits::default()
            };
            let kind = format!("multipart/form-data; boundary={boundary}");
            let path = "/audio/transcriptions";
            let answer = self.way.ask(path, &kind, form, limits).await?;
            let body = answer.body.collect(TRANSCRIPT_BYTES_MAX).await;
            let body = body.map_err(|error| of_call(error, patience))?;
            transcript_of(&body, sound, options)
        })
    }
}

impl OpenAiStt {
    fn form(&self, sound: &Sound, options: &SttOptions) -> Result<(Vec<u8>, String), EngineError> {
        let as_recorded = sound
            .encoded
            .as_ref()
            .filter(|(bytes, format)| is_taken(*format) && bytes.len() <= SPEECH_UPLOAD_BYTES_MAX);
        let made;
        let (bytes, format) = match as_recorded {
            Some((bytes, format)) => (&bytes[..], *format),
            None => {
                made = wav::encode(&sound.samples, SPEECH_RATE_HZ);
                (&made[..], SoundFormat::Wav)
            }
        };
        if bytes.len() > SPEECH_UPLOAD_BYTES_MAX {
            return Err(EngineError::Rejected(format!(
                "the speech server takes at most {} MB at once; the sound has to be cut first",
                SPEECH_UPLOAD_BYTES_MAX / (1024 * 1024)
            )));
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| {
            EngineError::Failed(format!("the kernel gave no randomness: {error}"))
        })?;
        let boundary = format!("magpie-{:032x}", u128::from_ne_bytes(random));
        let mut form = Vec::with_capacity(bytes.len() + 1024);
        // Only whisper tells when each word was said, and others refuse to.
        let detail = if self.model.contains("whisper") {
            "verbose_json"
        } else {
            "json"
        };
        let mut field = |name: &str, value: &str| {
            form.extend_from_slice(
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                    .as_bytes(),
            );
        };
        field("model", &self.model);
        field("response_format", detail);
        field("temperature", "0");
        if let Some(language) = &options.language {
            field("language", language);
        }
        if let Some(prompt) = options.prompt.as_deref().filter(|p| !p.trim().is_empty()) {
            field("prompt", prompt);
        }
        form.extend_from_slice(
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.{}\"\r\n\
                 Content-Type: {}\r\n\r\n",
                format.extension(),
                format.mime()
            )
            .as_bytes(),
        );
        form.extend_from_slice(bytes);
        form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Ok((form, boundary))
    }
}

/// What the transcription API reads as it is.
fn is_taken(format: SoundFormat) -> bool {
    !matches!(format, SoundFormat::Aac | SoundFormat::Pcm)
}

fn transcript_of(
    body: &[u8],
    sound: &Sound,
    options: &SttOptions,
) -> Result<Transcript, EngineError> {
    #[derive(Deserialize)]
    struct Heard {
        text: String,
        language: Option<String>,
        duration: Option<f64>,
        segments: Option<Vec<Piece>>,
    }
    #[derive(Deserialize)]
    struct Piece {
        start: f64,
        end: f64,
        text: String,
    }
    // serde's own words quote what it found, which may be what was said.
    let heard: Heard = serde_json::from_slice(body).map_err(|error| {
        EngineError::Broken(format!(
            "the speech server's answer is not understood, near line {} column {}",
            error.line(),
            error.column()
        ))
    })?;
    let segments = heard.segments.unwrap_or_default().into_iter();
    Ok(Transcript {
        text: heard.text.trim().to_owned(),
        language: options
            .language
            .clone()
            .or_else(|| heard.language.map(language_code)),
        provider: Rc::from(NAME),
        segments: segments
            .map(|piece| Segment {
                start: piece.start,
                end: piece.end,
                text: piece.text.trim().to_owned(),
            })
            .collect(),
        duration: heard
            .duration
            .unwrap_or_else(|| sound.duration().as_secs_f64()),
    })
}

/// Whisper tells languages by their English names.
fn language_code(name: String) -> String {
    match name.to_ascii_lowercase().as_str() {
        "english" => String::from("en"),
        "chinese" | "mandarin" => String::from("zh"),
        other => other.to_owned(),
    }
}

impl Tts for OpenAiTts {
    fn name(&self) -> &str {
        NAME
    }

    fn voice(&self) -> String {
        format!("{}/{}", self.model, self.voice)
    }

    fn synthesize<'a>(
        &'a self,
        text: &'a str,
        _language: Option<&'a str>,
    ) -> Call<'a, SpeechStream> {
        Box::pin(async move {
            let begun = async {
                let format = self.format.extension();
                let mut sound = Arriving {
                    body: self.ask(&self.model, &self.voice, text, format).await?,
                    decoder: Decoder::new(Some(self.format), SYNTHESIZED_MAX),
                    ended: false,
                    first: None,
                };
                sound.first = sound.piece().await?;
                Ok(sound)
            };
            let sound = tokio::time::timeout(SYNTHESIZE_MAX, begun)
                .await
                .map_err(|_| EngineError::Timeout(SYNTHESIZE_MAX))??;
            if sound.first.is_none() {
                return Err(no_sound());
            }
            Ok(SpeechStream::new(sound))
        })
    }

    fn encodes(&self) -> bool {
        true
    }

    fn encode<'a>(&'a self, wish: &'a FileWish) -> Call<'a, Option<SpeechFile>> {
        Box::pin(async move {
            let begun = async {
                let model = wish.model.as_ref().unwrap_or(&self.model);
                let voice = wish.voice.as_ref().unwrap_or(&self.voice);
                let format = wish.format.name();
                let mut body = self.ask(model, voice, &wish.text, format).await?;
                let first = body.next().await?.ok_or_else(no_sound)?;
                Ok(Passing {
                    first: Some(first),
                    body,
                })
            };
            let file = tokio::time::timeout(SYNTHESIZE_MAX, begun)
                .await
                .map_err(|_| EngineError::Timeout(SYNTHESIZE_MAX))??;
            Ok(Some(SpeechFile::new(file)))
        })
    }
}

impl OpenAiTts {
    async fn ask(
        &self,
        model: &str,
        voice: &str,
        text: &str,
        format: &str,
    ) -> Result<SpeechBody, EngineError> {
        let body = json!({
            "model": model,
            "voice": voice,
            "input": text,
            "response_format": format,
        });
        let limits = CallLimits {
            first_byte: SYNTHESIZE_MAX,
            idle: SYNTHESIZE_MAX,
            total: SYNTHESIZED_MAX * 2,
            ..CallLimits::default()
        };
        let body = body.to_string().into_bytes();
        let path = "/audio/speech";
        let answer = self.way.ask(path, "application/json", body, limits).await?;
        Ok(SpeechBody {
            body: answer.body,
            bytes: 0,
        })
    }
}

fn no_sound() -> EngineError {
    EngineError::Broken(String::from("the speech server gave no sound"))
}

/// What the server sends, up to [`SPEECH_ANSWER_BYTES_MAX`].
struct SpeechBody {
    body: StreamBody,
    bytes: usize,
}

impl SpeechBody {
    async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        let chunk = self.body.chunk().await;
        let chunk = chunk.map_err(|error| of_call(error, SYNTHESIZE_MAX))?;
        self.bytes += chunk.as_ref().map_or(0, Bytes::len);
        match self.bytes > SPEECH_ANSWER_BYTES_MAX {
            true => Err(of_call(CallError::TooLarge, SYNTHESIZE_MAX)),
            false => Ok(chunk),
        }
    }
}

/// Sound that is passed on as it comes.
struct Passing {
    first: Option<Bytes>,
    body: SpeechBody,
}

impl FilePieces for Passing {
    fn next(&mut self) -> Call<'_, Option<Bytes>> {
        Box::pin(async {
            match self.first.take() {
                Some(first) => Ok(Some(first)),
                None => self.body.next().await,
            }
        })
    }
}

/// Sound that is decoded while it comes.
struct Arriving {
    body: SpeechBody,
    decoder: Decoder,
    ended: bool,
    first: Option<Speech>,
}

impl Arriving {
    async fn piece(&mut self) -> Result<Option<Speech>, EngineError> {
        loop {
            let decoded = self.decoder.next().await.map_err(not_sound)?;
            if let Some(sound) = decoded.filter(|sound| !sound.samples.is_empty()) {
                return Ok(Some(Speech {
                    samples: sound.samples,
                    rate_hz: sound.rate_hz,
                }));
            }
            if self.ended {
                return Ok(None);
            }
            match self.body.next().await? {
                Some(bytes) => self.decoder.push(bytes).map_err(not_sound)?,
                None => {
                    self.decoder.finish();
                    self.ended = true;
                }
            }
        }
    }
}

impl Pieces for Arriving {
    fn next(&mut self) -> Call<'_, Option<Speech>> {
        Box::pin(async {
            match self.first.take() {
                Some(first) => Ok(Some(first)),
                None => self.piece().await,
            }
        })
    }
}

fn not_sound(error: crate::audio::decode::DecodeError) -> EngineError {
    EngineError::Broken(format!(
        "what the speech server sent cannot be heard: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stt(model: &str) -> OpenAiStt {
        OpenAiStt {
            way: Way {
                outbound: Outbound::new(Default::default(), &crate::ops::Registry::default())
                    .expect("a way out"),
                clock: Clock::system(),
                base_url: String::from("http://127.0.0.1:1/v1"),
                key: None,
            },
            model: model.to_owned(),
        }
    }

    #[test]
    fn sound_is_passed_on_as_it_was_recorded_where_the_server_knows_its_format() {
        let recorded = Bytes::from_static(b"OggS as the phone made it");
        let sound = |format| Sound {
            encoded: Some((recorded.clone(), format)),
            ..Sound::new(vec![0; 1_600])
        };
        let form = |format| {
            let (form, _) = stt("whisper-1")
                .form(&sound(format), &SttOptions::default())
                .expect("a form");
            String::from_utf8_lossy(&form).into_owned()
        };
        let ogg = form(SoundFormat::Ogg);
        assert!(ogg.contains("OggS as the phone made it") && ogg.contains("speech.ogg"));
        let pcm = form(SoundFormat::Pcm);
        assert!(pcm.contains("RIFF") && pcm.contains("speech.wav"), "{pcm}");
    }

    #[test]
    fn only_whisper_is_asked_for_details() {
        let sound = Sound::new(vec![0; 1_600]);
        for (model, detail) in [
            ("whisper-1", "verbose_json"),
            ("gpt-4o-transcribe", "\njson"),
        ] {
            let (form, _) = stt(model)
                .form(&sound, &SttOptions::default())
                .expect("a form");
            assert!(String::from_utf8_lossy(&form).contains(detail), "{model}");
        }
    }

    #[test]
    fn answers_of_a_status_have_their_class() {
        let class = |status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            of_status(status, "", Some(Duration::from_secs(7)))
        };
        for status in [408, 500, 502, 503] {
            assert!(matches!(class(status), EngineError::Broken(_)), "{status}");
        }
        for status in [429, 529] {
            let limited = matches!(
                class(status),
                EngineError::Limited {
                    retry_after: Some(_),
                    ..
                }
            );
            assert!(limited, "{status}");
        }
        for status in [400, 401, 403, 404, 413, 415, 422] {
            let error = class(status);
            assert!(!error.is_retryable(), "{status}: {error:?}");
        }
    }

    #[test]
    fn what_a_server_says_is_short_and_of_one_line() {
        assert_eq!(
            message_of(br#"{"error":{"message":"no\nluck"}}"#),
            "no luck"
        );
        assert_eq!(message_of(b"<html>\nmore"), "<html>");
        assert_eq!(message_of(&[b'x'; 5_000]).chars().count(), 300);
    }
}
