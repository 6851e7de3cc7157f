//! Sound that comes over HTTP: written to the card while it comes, bounded, and asked about by
//! the sender's own id.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Kept, Mode, NewRecording, Origin, Recordings};
use crate::clock::UnixMillis;
use crate::limits::{CLIENT_ID_BYTES_MAX, RECORDER_QUEUE_BYTES_MAX};
use crate::server::{HttpError, Request, StatusCode};

/// How often a card that is behind is looked at again.
const CARD_PAUSE: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speak {
    #[default]
    None,
    Device,
    Return,
}

/// What is asked of a recording that comes.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub mode: Mode,
    pub conversation_id: Option<String>,
    pub client_id: Option<String>,
    pub language: Option<String>,
    pub speak: Speak,
    pub recorded_at: Option<UnixMillis>,
}

/// The fields as they come: in JSON, in a query, in a form.
#[derive(Default, Deserialize)]
pub struct Fields {
    pub mode: Option<String>,
    pub conversation_id: Option<String>,
    pub client_id: Option<String>,
    pub language: Option<String>,
    pub speak: Option<String>,
    pub recorded_at: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    audio: String,
    #[serde(flatten)]
    fields: Fields,
}

/// A request whose sound may still have to be read.
pub enum Sound {
    Whole(Vec<u8>),
    /// The body itself.
    Raw,
}

impl Fields {
    pub fn of_query(request: &Request) -> Fields {
        Fields {
            mode: request.query("mode"),
            conversation_id: request.query("conversation_id"),
            client_id: request.query("client_id"),
            language: request.query("language"),
            speak: request.query("speak"),
            recorded_at: request.query("recorded_at"),
        }
    }

    /// Names the field that is wrong.
    pub fn check(self) -> Result<Wish, HttpError> {
        let mode = match self.mode.as_deref() {
            None => Mode::Auto,
            Some(word) => Mode::parse(word)
                .ok_or_else(|| HttpError::invalid("`mode` is chat, note or auto."))?,
        };
        let speak = match self.speak.as_deref() {
            None | Some("none") => Speak::None,
            Some("device") => Speak::Device,
            Some("return") => Speak::Return,
            Some(_) => return Err(HttpError::invalid("`speak` is none, device or return.")),
        };
        let fits = |id: &String| (1..=CLIENT_ID_BYTES_MAX).contains(&id.len());
        if self.client_id.as_ref().is_some_and(|id| !fits(id)) {
            return Err(HttpError::invalid(format!(
                "`client_id` has 1 to {CLIENT_ID_BYTES_MAX} bytes."
            )));
        }
        let recorded_at = self.recorded_at.map(|text| {
            UnixMillis::parse_rfc3339(&text).ok_or_else(|| {
                HttpError::invalid("`recorded_at` is a time such as 2026-01-02T03:04:05Z.")
            })
        });
        Ok(Wish {
            mode,
            conversation_id: self.conversation_id,
            client_id: self.client_id,
            language: self.language,
            speak,
            recorded_at: recorded_at.transpose()?,
        })
    }
}

/// Reads what has to be known before the sound.
pub async fn read_head(
    request: &mut Request,
    bytes_max: usize,
) -> Result<(Wish, Sound), HttpError> {
    let content_type = request.head.header("content-type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/json" => {
            // Base64 makes four bytes of three; the rest is the frame around it.
            let body: Body = request.json_of(bytes_max / 3 * 4 + 4_096).await?;
            let bytes = STANDARD
                .decode(body.audio.trim().as_bytes())
                .map_err(|_| HttpError::invalid("audio: the sound is not valid base64"))?;
            Ok((body.fields.check()?, Sound::Whole(bytes)))
        }
        sound if sound.starts_with("audio/") || sound == "application/octet-stream" => {
            Ok((Fields::of_query(request).check()?, Sound::Raw))
        }
        other => Err(HttpError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_AUDIO",
            format!(
                "Content-Type {other:?} is not understood; send audio/wav, or JSON with the field \
                 audio in base64"
            ),
        )),
    }
}

/// Puts the sound on the card, whole and synced.
pub async fn receive(
    recordings: &Recordings,
    wish: &Wish,
    sound: Sound,
    request: &mut Request,
    bytes_max: usize,
) -> Result<Kept, HttpError> {
    recordings.check_room()?;
    let new = |format| NewRecording {
        origin: Origin::Upload,
        mode: wish.mode,
        format,
        client_id: wish.client_id.clone(),
        conversation_id: wish.conversation_id.clone(),
        language: wish.language.clone(),
        speak: wish.speak == Speak::Return,
        recorded_at: wish.recorded_at,
    };
    if let Sound::Whole(bytes) = sound {
        let mut recording = recordings.begin(new(format_of(&bytes)))?;
        for part in bytes.chunks(256 * 1024) {
            wait_for_card(recordings).await;
            recording.push_bytes(part.to_vec())?;
        }
        return Ok(recording.finish().await?);
    }
    let mut start = Vec::new();
    let mut recording = None;
    while let Some(chunk) = request.body_chunk(bytes_max as u64).await? {
        wait_for_card(recordings).await;
        let recording = match &mut recording {
            Some(recording) => recording,
            none => {
                // The first bytes tell the format, and with it the file's name.
                start.extend_from_slice(&chunk);
                if start.len() < 16 {
                    continue;
                }
                let begun = none.insert(recordings.begin(new(format_of(&start)))?);
                begun.push_bytes(std::mem::take(&mut start))?;
                continue;
            }
        };
        recording.push_bytes(chunk.to_vec())?;
    }
    match recording {
        Some(recording) => Ok(recording.finish().await?),
        None => Err(HttpError::invalid("The sound is empty; send a recording.")),
    }
}

async fn wait_for_card(recordings: &Recordings) {
    while recordings.queued_bytes() > RECORDER_QUEUE_BYTES_MAX / 2 {
        tokio::time::sleep(CARD_PAUSE).await;
    }
}

/// By its first bytes; what is unknown is called `bin` and refused by the decoder.
pub fn format_of(start: &[u8]) -> &'static str {
    match start {
        [b'R', b'I' | b'F', b'F' | b'6', b'F' | b'4', ..] => "wav",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "webm",
        [b'O', b'g', b'g', b'S', ..] => "ogg",
        [b'f', b'L', b'a', b'C', ..] => "flac",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "mp4",
        [b'I', b'D', b'3', ..] => "mp3",
        [0xff, second, ..] if second & 0xf6 == 0xf0 => "aac",
        [0xff, second, ..] if second & 0xe0 == 0xe0 => "mp3",
        _ => "bin",
    }
}
