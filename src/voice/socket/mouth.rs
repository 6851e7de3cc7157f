//! The way of an answer's sound to a native client: frames, never far ahead of what it can have
//! played, silent at once when stopped.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Link, wire};
use crate::audio::resample;
use crate::limits::{CLIENT_SOUND_AHEAD, VOICE_SOUND_QUEUED_BYTES_MAX};
use crate::server::websocket::Frame;
use crate::voice::port::{Mouth, Work};
use crate::voice::providers::Speech;
use crate::voice::sentence::Sentence;
use crate::voice::turn::Turn;

/// Sound of one frame to the client.
const SPEAKER_FRAME: Duration = Duration::from_millis(100);
/// Kept until more comes, so that a sentence's last frame can be marked.
const HELD_BACK: Duration = Duration::from_millis(5);
/// How often a client that reads slowly is looked at again.
const SLOW_READER_PAUSE: Duration = Duration::from_millis(10);

/// Sound as frames, not much further ahead than the client can have played.
pub(super) struct NativeMouth {
    link: Rc<Link>,
    pub(super) turn: Turn,
    seq: Cell<u32>,
    sent: Cell<Duration>,
    /// When the client has played all that was sent, pauses for want of sound included.
    plays_until: Cell<Option<Instant>>,
    /// What the client says it has played.
    heard: Cell<Option<Duration>>,
    /// Number and length of each sentence that was sent.
    sentences: RefCell<Vec<(usize, Duration)>>,
    sending: RefCell<Option<Sending>>,
    stopped: Cell<bool>,
}

/// A sentence under way to the client.
struct Sending {
    /// Said in `audio_begin`; pieces of another rate are brought to it.
    rate_hz: u32,
    /// The last little of what came: whether it is the sentence's end is not known yet.
    held: Vec<i16>,
}

impl NativeMouth {
    pub(super) fn new(link: Rc<Link>, turn: Turn) -> NativeMouth {
        NativeMouth {
            link,
            turn,
            seq: Cell::new(0),
            sent: Cell::new(Duration::ZERO),
            plays_until: Cell::new(None),
            heard: Cell::new(None),
            sentences: RefCell::default(),
            sending: RefCell::default(),
            stopped: Cell::new(false),
        }
    }

    /// The client says how much of a sentence it has played.
    pub(super) fn note_heard(&self, sentence: usize, heard: Duration) {
        let sentences = self.sentences.borrow();
        let Some(at) = sentences.iter().position(|(index, _)| *index == sentence) else {
            return;
        };
        let before: Duration = sentences[..at].iter().map(|(_, length)| *length).sum();
        self.heard.set(Some(before + heard.min(sentences[at].1)));
    }

    /// Sends all of `piece` but its last little.
    async fn send(&self, sentence: &Sentence, piece: &Speech) {
        let mut sending = match self.sending.take() {
            Some(sending) => sending,
            None => self.begin(sentence, piece.rate_hz),
        };
        let rate_hz = sending.rate_hz;
        if piece.rate_hz == rate_hz {
            sending.held.extend_from_slice(&piece.samples);
        } else {
            let samples = resample::resample(&piece.samples, piece.rate_hz, rate_hz);
            sending.held.extend(samples);
        }
        if let Some((_, length)) = self.sentences.borrow_mut().last_mut() {
            *length += piece.duration();
        }
        let ready = sending
            .held
            .len()
            .saturating_sub(samples_of(HELD_BACK, rate_hz));
        let samples: Vec<i16> = sending.held.drain(..ready).collect();
        self.sending.replace(Some(sending));
        for chunk in samples.chunks(samples_of(SPEAKER_FRAME, rate_hz)) {
            self.frame(chunk, rate_hz, false).await;
        }
    }

    fn begin(&self, sentence: &Sentence, rate_hz: u32) -> Sending {
        self.sentences
            .borrow_mut()
            .push((sentence.index, Duration::ZERO));
        self.link.send_json(&json!({
            "type": "audio_begin", "turn": self.turn, "index": sentence.index, "format": "s16le",
            "rate": rate_hz,
        }));
        Sending {
            rate_hz,
            held: Vec::new(),
        }
    }

    /// The last frame says that it is the last.
    async fn send_end(&self, sentence: &Sentence) {
        let Some(Sending { rate_hz, held }) = self.sending.take() else {
            return;
        };
        self.frame(&held, rate_hz, true).await;
        if !self.stopped.get() {
            let (turn, index) = (self.turn, sentence.index);
            self.link
                .send_json(&json!({"type": "audio_done", "turn": turn, "index": index}));
        }
    }

    async fn frame(&self, samples: &[i16], rate_hz: u32, last: bool) {
        self.wait_for_room().await;
        if self.stopped.get() {
            return;
        }
        let head = wire::speaker_head(last, self.turn as u16, self.seq.get());
        let bytes: Vec<u8> = samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        self.link.send(Frame::binary(&[&head, &bytes]));
        self.seq.set(self.seq.get().wrapping_add(1));
        let length = Duration::from_secs_f64(samples.len() as f64 / f64::from(rate_hz.max(1)));
        self.sent.set(self.sent.get() + length);
        let now = Instant::now();
        let begins = self.plays_until.get().unwrap_or(now).max(now);
        self.plays_until.set(Some(begins + length));
    }

    async fn wait_for_room(&self) {
        let room = |until: Instant| until.checked_sub(CLIENT_SOUND_AHEAD);
        if let Some(due) = self.plays_until.get().and_then(room) {
            tokio::time::sleep_until(due).await;
        }
        while self.link.queued_bytes() > VOICE_SOUND_QUEUED_BYTES_MAX && !self.stopped.get() {
            tokio::time::sleep(SLOW_READER_PAUSE).await;
        }
    }
}

impl Mouth for NativeMouth {
    fn say<'a>(&'a self, sentence: &'a Sentence, piece: &'a Speech) -> Work<'a, ()> {
        Box::pin(async {
            self.send(sentence, piece).await;
            Ok(())
        })
    }

    fn end<'a>(&'a self, sentence: &'a Sentence) -> Work<'a, ()> {
        Box::pin(async {
            self.send_end(sentence).await;
            Ok(())
        })
    }

    fn finished(&self) -> Work<'_, ()> {
        Box::pin(async {
            if let Some(until) = self.plays_until.get() {
                tokio::time::sleep_until(until).await;
            }
            Ok(())
        })
    }

    fn played(&self) -> Duration {
        let until = self.plays_until.get();
        let ahead = until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        });
        let played = self.sent.get().saturating_sub(ahead);
        self.heard.get().unwrap_or(played).min(self.sent.get())
    }

    fn stop(&self) {
        self.stopped.set(true);
    }
}

fn samples_of(time: Duration, rate_hz: u32) -> usize {
    (rate_hz as usize * time.as_millis() as usize / 1000).max(1)
}
