//! Sound that comes over HTTP: written to the card while it comes, bounded, and asked about by
//! the sender's own id.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Held, Mode, NewRecording, Next, Origin, Recording, Recordings};
use crate::clock::UnixMillis;
use crate::limits::{CLIENT_ID_BYTES_MAX, MULTIPART_TEXT_BYTES_MAX, RECORDER_QUEUE_BYTES_MAX};
use crate::server::{HttpError, Request, StatusCode};

/// How often a card that is behind is looked at again.
const CARD_PAUSE: Duration = Duration::from_millis(5);
/// Of a form beside its sound: boundaries and the other fields.
const FORM_FRAME_BYTES_MAX: u64 = 128 * 1024;
/// So many bytes tell a format.
const FORMAT_BYTES: usize = 16;

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
    /// Of a form, whose fields may come behind the sound: it is on its way to the card already.
    Begun(Box<Recording>),
}

impl Fields {
    async fn of_form(
        recordings: &Recordings,
        request: &mut Request,
        bytes_max: usize,
    ) -> Result<(Fields, Sound), HttpError> {
        let mut form = request.multipart(bytes_max as u64 + FORM_FRAME_BYTES_MAX)?;
        let mut fields = Fields::default();
        let mut sound = None;
        while let Some(part) = form.part().await? {
            if part.filename.is_some() || matches!(part.name.as_str(), "audio" | "file") {
                if sound.is_some() {
                    return Err(HttpError::invalid("The form holds more than one file."));
                }
                let mut intake = Intake::new(recordings)?;
                while let Some(chunk) = form.chunk().await? {
                    intake.push(&chunk).await?;
                }
                sound = Some(intake.begun()?);
                continue;
            }
            let text = form.text(&part.name, MULTIPART_TEXT_BYTES_MAX).await?;
            fields.set(&part.name, text);
        }
        let sound = sound.ok_or_else(|| {
            HttpError::invalid("`audio` is missing: send the sound in a field of this name.")
        })?;
        Ok((fields, Sound::Begun(Box::new(sound))))
    }

    /// An empty field of a form was left empty by whoever filled it in.
    fn set(&mut self, name: &str, text: String) {
        let field = match name {
            "mode" => &mut self.mode,
            "conversation_id" => &mut self.conversation_id,
            "client_id" => &mut self.client_id,
            "language" => &mut self.language,
            "speak" => &mut self.speak,
            "recorded_at" => &mut self.recorded_at,
            _ => return,
        };
        *field = Some(text).filter(|text| !text.trim().is_empty());
    }

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
    recordings: &Recordings,
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
        "multipart/form-data" => {
            let (fields, sound) = Fields::of_form(recordings, request, bytes_max).await?;
            Ok((fields.check()?, sound))
        }
        sound if sound.starts_with("audio/") || sound == "application/octet-stream" => {
            Ok((Fields::of_query(request).check()?, Sound::Raw))
        }
        other => Err(HttpError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_AUDIO",
            format!(
                "Content-Type {other:?} is not understood; send audio/wav, a form with the file \
                 audio, or JSON with the field audio in base64"
            ),
        )),
    }
}

/// Puts the sound on the card, whole and synced; its row is still to be stored.
pub async fn receive(
    recordings: &Recordings,
    wish: &Wish,
    sound: Sound,
    request: &mut Request,
    bytes_max: usize,
) -> Result<Held, HttpError> {
    let recording = match sound {
        Sound::Begun(recording) => *recording,
        Sound::Whole(bytes) => {
            let mut intake = Intake::new(recordings)?;
            for part in bytes.chunks(256 * 1024) {
                intake.push(part).await?;
            }
            intake.begun()?
        }
        Sound::Raw => {
            let mut intake = Intake::new(recordings)?;
            while let Some(chunk) = request.body_chunk(bytes_max as u64).await? {
                intake.push(&chunk).await?;
            }
            intake.begun()?
        }
    };
    let held = recording.end(Next::Remove)?;
    held.describe(|kept| {
        kept.mode = wish.mode;
        kept.client_id.clone_from(&wish.client_id);
        kept.conversation_id.clone_from(&wish.conversation_id);
        kept.language.clone_from(&wish.language);
        kept.speak = wish.speak == Speak::Return;
        kept.recorded_at = wish.recorded_at.unwrap_or(kept.recorded_at);
    });
    held.whole().await?;
    Ok(held)
}

/// Sound on its way to the card. Given up it leaves nothing.
struct Intake<'a> {
    recordings: &'a Recordings,
    /// Too little yet to tell the format, and with it the file's name.
    start: Vec<u8>,
    recording: Option<Recording>,
}

impl<'a> Intake<'a> {
    fn new(recordings: &'a Recordings) -> Result<Intake<'a>, HttpError> {
        recordings.check_room()?;
        Ok(Intake {
            recordings,
            start: Vec::new(),
            recording: None,
        })
    }

    async fn push(&mut self, chunk: &[u8]) -> Result<(), HttpError> {
        wait_for_card(self.recordings).await;
        if let Some(recording) = &mut self.recording {
            return Ok(recording.push_bytes(chunk.to_vec())?);
        }
        self.start.extend_from_slice(chunk);
        match self.start.len() < FORMAT_BYTES {
            true => Ok(()),
            false => self.begin(),
        }
    }

    fn begin(&mut self) -> Result<(), HttpError> {
        let start = std::mem::take(&mut self.start);
        let new = NewRecording {
            format: format_of(&start),
            ..NewRecording::live(Origin::Upload, Mode::Auto)
        };
        let recording = self.recording.insert(self.recordings.begin(new)?);
        Ok(recording.push_bytes(start)?)
    }

    fn begun(mut self) -> Result<Recording, HttpError> {
        if !self.start.is_empty() {
            self.begin()?;
        }
        self.recording
            .ok_or_else(|| HttpError::invalid("The sound is empty; send a recording."))
    }
}

pub(super) async fn wait_for_card(recordings: &Recordings) {
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
