//! Compressed sound of a client that speaks, decoded as it comes.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::incoming::Incoming;
use crate::audio::decode::{DecodeError, Decoder, SoundFormat};
use crate::limits::{CLIENT_CODED_FRAMES_MAX, NOTE_MAX};
use crate::voice::dialogue::VoiceError;

/// The formats of `audio_start` beside `s16le`.
pub fn format_of(name: &str) -> Option<SoundFormat> {
    Some(match name {
        "webm_opus" => SoundFormat::WebM,
        "ogg_opus" => SoundFormat::Ogg,
        "mp4_aac" => SoundFormat::Mp4,
        "wav" => SoundFormat::Wav,
        _ => return None,
    })
}

/// The receiving end. Dropped without [`Coded::end`], what was not decoded yet is forgotten.
pub struct Coded {
    frames: mpsc::Sender<Frame>,
    wanted: Rc<Cell<bool>>,
}

enum Frame {
    Sound(Bytes),
    End,
}

/// What takes the sound.
pub struct Sink<Heard, Failed> {
    /// Waited for before more is decoded.
    pub incoming: Rc<Incoming>,
    /// Given samples and their rate.
    pub heard: Heard,
    /// Told once, when the rest cannot be decoded; with whether anything was before it.
    pub failed: Failed,
}

impl Coded {
    pub fn start<Heard, Failed>(format: SoundFormat, sink: Sink<Heard, Failed>) -> Coded
    where
        Heard: Fn(Vec<i16>, u32) + 'static,
        Failed: FnOnce(VoiceError, bool) + 'static,
    {
        let (sender, frames) = mpsc::channel(CLIENT_CODED_FRAMES_MAX);
        let wanted = Rc::new(Cell::new(true));
        let still_wanted = Rc::clone(&wanted);
        tokio::task::spawn_local(async move {
            let is_heard = Cell::new(false);
            let heard = |samples, rate_hz| {
                is_heard.set(true);
                (sink.heard)(samples, rate_hz);
            };
            let decoded = decode(format, frames, &sink.incoming, &heard, &still_wanted).await;
            if let Err(error) = decoded {
                (sink.failed)(VoiceError::Invalid(error.to_string()), is_heard.get());
            }
        });
        Coded {
            frames: sender,
            wanted,
        }
    }

    pub fn push(&self, bytes: &[u8]) -> Result<(), VoiceError> {
        self.send(Frame::Sound(Bytes::copy_from_slice(bytes)))
    }

    /// That was all: the rest is decoded, and then the listener's sound has ended.
    pub fn end(self) -> Result<(), VoiceError> {
        let sent = self.send(Frame::End);
        let wanted = Rc::clone(&self.wanted);
        drop(self);
        wanted.set(sent.is_ok());
        sent
    }

    fn send(&self, frame: Frame) -> Result<(), VoiceError> {
        match self.frames.try_send(frame) {
            // What ended on its own has been told already.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(VoiceError::Invalid(String::from(
                "sound comes faster than it can be decoded; send it as it is recorded",
            ))),
        }
    }
}

impl Drop for Coded {
    fn drop(&mut self) {
        self.wanted.set(false);
    }
}

async fn decode(
    format: SoundFormat,
    mut frames: mpsc::Receiver<Frame>,
    incoming: &Incoming,
    heard: &dyn Fn(Vec<i16>, u32),
    wanted: &Cell<bool>,
) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(Some(format), NOTE_MAX);
    while let Some(frame) = frames.recv().await {
        let ended = match frame {
            Frame::Sound(bytes) => {
                decoder.push(bytes)?;
                false
            }
            Frame::End => {
                decoder.finish();
                true
            }
        };
        while let Some(sound) = decoder.next().await? {
            incoming.room().await;
            if !wanted.get() {
                return Ok(());
            }
            heard(sound.samples, sound.rate_hz);
        }
        if ended && wanted.get() {
            incoming.end();
            break;
        }
    }
    Ok(())
}
