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
    frames: mpsc::Sender<Bytes>,
    decoding: Decoding,
    is_ended: bool,
}

/// A stream that is being decoded, its rest after the end as well.
#[derive(Clone)]
pub struct Decoding(Rc<Cell<bool>>);

impl Decoding {
    /// Nobody waits for it any more: it neither gives sound nor ends the listening.
    pub fn forget(&self) {
        self.0.set(false);
    }

    fn is_wanted(&self) -> bool {
        self.0.get()
    }
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
        let decoding = Decoding(Rc::new(Cell::new(true)));
        let own = decoding.clone();
        tokio::task::spawn_local(async move {
            let is_heard = Cell::new(false);
            let heard = |samples, rate_hz| {
                is_heard.set(true);
                (sink.heard)(samples, rate_hz);
            };
            let decoded = decode(format, frames, &sink.incoming, &heard, &own).await;
            match decoded {
                _ if !own.is_wanted() => {}
                Ok(()) => sink.incoming.end(),
                Err(error) => {
                    (sink.failed)(VoiceError::Invalid(error.to_string()), is_heard.get());
                }
            }
        });
        Coded {
            frames: sender,
            decoding,
            is_ended: false,
        }
    }

    pub fn decoding(&self) -> Decoding {
        self.decoding.clone()
    }

    pub fn push(&self, bytes: &[u8]) -> Result<(), VoiceError> {
        match self.frames.try_send(Bytes::copy_from_slice(bytes)) {
            // What ended on its own has been told already.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(VoiceError::Invalid(String::from(
                "sound comes faster than it can be decoded; send it as it is recorded",
            ))),
        }
    }

    /// That was all: the rest is decoded, and then the listener's sound has ended.
    pub fn end(mut self) {
        self.is_ended = true;
    }
}

impl Drop for Coded {
    fn drop(&mut self) {
        if !self.is_ended {
            self.decoding.forget();
        }
    }
}

async fn decode(
    format: SoundFormat,
    mut frames: mpsc::Receiver<Bytes>,
    incoming: &Incoming,
    heard: &dyn Fn(Vec<i16>, u32),
    decoding: &Decoding,
) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(Some(format), NOTE_MAX);
    loop {
        let frame = frames.recv().await;
        let is_last = frame.is_none();
        match frame {
            Some(bytes) => decoder.push(bytes)?,
            None => decoder.finish(),
        }
        while let Some(sound) = decoder.next().await? {
            incoming.room().await;
            if !decoding.is_wanted() {
                return Ok(());
            }
            heard(sound.samples, sound.rate_hz);
        }
        if is_last {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use tokio::task::LocalSet;

    use super::*;
    use crate::audio::wav;

    fn on_loop(work: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        LocalSet::new().block_on(&runtime, work);
    }

    fn start(incoming: &Rc<Incoming>, heard: &Rc<RefCell<Vec<i16>>>) -> Coded {
        let heard = Rc::clone(heard);
        Coded::start(
            SoundFormat::Wav,
            Sink {
                incoming: Rc::clone(incoming),
                heard: move |samples: Vec<i16>, _| heard.borrow_mut().extend(samples),
                failed: |error, _| panic!("{error:?}"),
            },
        )
    }

    async fn ended(incoming: &Incoming) {
        for _ in 0..2_000 {
            if !incoming.is_open() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the listener waits for ever");
    }

    #[test]
    fn what_came_before_a_full_queue_is_decoded_and_the_listening_ends() {
        on_loop(async {
            let (incoming, heard) = (Rc::new(Incoming::new()), Rc::default());
            incoming.begin(16_000);
            let coded = start(&incoming, &heard);
            let sound: Vec<i16> = (0..32_000).collect();
            let bytes = wav::encode(&sound, 16_000);
            // All in one turn of the loop, as one read of the socket gives them.
            let taken = bytes
                .chunks(100)
                .take_while(|piece| coded.push(piece).is_ok())
                .count();
            assert_eq!(taken, CLIENT_CODED_FRAMES_MAX);
            coded.end();
            ended(&incoming).await;
            assert!(sound.starts_with(&heard.borrow()) && heard.borrow().len() > 3_000);
        });
    }

    #[test]
    fn a_stream_that_is_forgotten_ends_no_other() {
        on_loop(async {
            let (incoming, heard) = (Rc::new(Incoming::new()), Rc::default());
            incoming.begin(16_000);
            let first = start(&incoming, &heard);
            let sound: Vec<i16> = (0..16_000).collect();
            first.push(&wav::encode(&sound, 16_000)).expect("room");
            first.decoding().forget();
            first.end();
            let second = start(&incoming, &heard);
            let bytes = wav::encode(&[7; 1_600], 16_000);
            second.push(&bytes[..1_000]).expect("room");
            for _ in 0..50 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(incoming.is_open());
            second.push(&bytes[1_000..]).expect("room");
            second.end();
            ended(&incoming).await;
            assert_eq!(*heard.borrow(), [7; 1_600]);
        });
    }
}
