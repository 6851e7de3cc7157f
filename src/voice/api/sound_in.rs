//! Sound in a request, in the three ways that clients send it: base64 in JSON, a file in a form, or
//! the body itself.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::audio::decode::SoundFormat;
use crate::limits::MULTIPART_TEXT_BYTES_MAX;
use crate::server::{HttpError, Request, StatusCode, header};
use crate::voice::decode::Source;

/// Of the frame around the sound: JSON, or the boundaries and other fields of a form.
const FRAME_BYTES_MAX: usize = 128 * 1024;

/// What came with a request.
pub struct SoundIn {
    pub source: Option<Source>,
    fields: HashMap<String, String>,
}

impl SoundIn {
    /// Reads the whole request; the sound has at most `bytes_max`.
    pub async fn read(request: &mut Request, bytes_max: usize) -> Result<SoundIn, HttpError> {
        let sent = request.head.header(header::CONTENT_TYPE.as_str());
        let sent = sent.unwrap_or_default().to_string();
        let essence = sent.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => SoundIn::of_json(request, bytes_max).await,
            "multipart/form-data" => SoundIn::of_form(request, bytes_max).await,
            "application/octet-stream" | "video/webm" | "video/mp4" => {
                SoundIn::of_body(request, &sent, bytes_max).await
            }
            other if other.starts_with("audio/") => {
                SoundIn::of_body(request, &sent, bytes_max).await
            }
            other => Err(HttpError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_AUDIO",
                format!(
                    "Content-Type {:?} is not understood; send the sound as audio/…, as the file \
                     `audio` of multipart/form-data, or as JSON with the field `audio` in base64.",
                    other.chars().take(60).collect::<String>()
                ),
            )),
        }
    }

    /// The sound, which has to be there.
    pub fn sound(&mut self) -> Result<Source, HttpError> {
        self.source.take().ok_or_else(|| {
            HttpError::invalid("`audio` is missing: send the sound in a field of this name.")
        })
    }

    /// A field beside the sound; an empty one counts as absent.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.fields
            .remove(name)
            .filter(|text| !text.trim().is_empty())
    }

    async fn of_json(request: &mut Request, bytes_max: usize) -> Result<SoundIn, HttpError> {
        // Base64 makes four bytes of three.
        let body_max = bytes_max / 3 * 4 + FRAME_BYTES_MAX;
        let body: Map<String, Value> = request.json_of(body_max).await?;
        let mut sound = SoundIn {
            source: None,
            fields: HashMap::new(),
        };
        for (name, value) in body {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("audio", Value::String(text)) => sound.source = Some(Source::base64(text)),
                (_, Value::String(text)) => drop(sound.fields.insert(name, text)),
                ("audio", _) => return Err(wrong(&name, "a string of base64")),
                (_, value @ (Value::Bool(_) | Value::Number(_))) => {
                    sound.fields.insert(name, value.to_string());
                }
                ("language" | "prompt" | "text", _) => return Err(wrong(&name, "a string")),
                _ => {}
            }
        }
        Ok(sound)
    }

    async fn of_form(request: &mut Request, bytes_max: usize) -> Result<SoundIn, HttpError> {
        let mut form = request.multipart((bytes_max + FRAME_BYTES_MAX) as u64)?;
        let mut sound = SoundIn {
            source: None,
            fields: HashMap::new(),
        };
        while let Some(part) = form.part().await? {
            if part.filename.is_some() || matches!(part.name.as_str(), "audio" | "file") {
                if sound.source.is_some() {
                    return Err(HttpError::invalid("The form holds more than one file."));
                }
                let bytes = form.bytes(bytes_max).await?;
                let by_type = part.content_type.as_deref().and_then(SoundFormat::of_type);
                let by_name = part.filename.as_deref().and_then(SoundFormat::of_type);
                sound.source = Some(Source::bytes(bytes, by_type.or(by_name)));
            } else {
                let text = form.text(&part.name, MULTIPART_TEXT_BYTES_MAX).await?;
                sound.fields.insert(part.name, text);
            }
        }
        Ok(sound)
    }

    async fn of_body(
        request: &mut Request,
        content_type: &str,
        bytes_max: usize,
    ) -> Result<SoundIn, HttpError> {
        let bytes = Bytes::from(request.body(bytes_max).await?);
        let claimed = SoundFormat::of_type(content_type);
        Ok(SoundIn {
            source: Some(Source::bytes(bytes, claimed)),
            fields: request.query_pairs().into_iter().collect(),
        })
    }
}

fn wrong(name: &str, expected: &str) -> HttpError {
    HttpError::invalid(format!("`{name}` must be {expected}."))
}
