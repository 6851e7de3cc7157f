//! Sound a client sends while it speaks: a bounded buffer between its frames and the listener.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::audio::barge_in::{BargeIn, KEPT_SAMPLES};
use crate::audio::{FRAME_SAMPLES, Resampler, SPEECH_RATE_HZ};
use crate::limits::CLIENT_SOUND_BUFFERED;
use crate::voice::dialogue::VoiceError;
use crate::voice::port::{Ear, Work};

/// Frames handed to the listener before other work gets its turn.
const FRAMES_A_TURN: u32 = 32;

pub struct Incoming {
    samples: RefCell<VecDeque<i16>>,
    resampler: RefCell<Option<Resampler>>,
    /// Of the samples that come now.
    rate_hz: Cell<u32>,
    ended: Cell<bool>,
    /// Somebody listens, or is about to.
    listened: Cell<bool>,
    overrun: Cell<bool>,
    changed: Notify,
    taken: Notify,
    overheard: RefCell<Overheard>,
}

#[derive(Default)]
struct Overheard {
    barge_in: BargeIn,
    rest: Vec<i16>,
}

impl Overheard {
    /// Whether somebody speaks in what came last.
    fn push(&mut self, samples: &[i16]) -> bool {
        self.rest.extend_from_slice(samples);
        let (frames, left) = self.rest.as_chunks::<FRAME_SAMPLES>();
        let spoken = frames.iter().any(|frame| self.barge_in.push(frame));
        let left = left.len();
        self.rest.drain(..self.rest.len() - left);
        spoken
    }
}

impl Incoming {
    pub fn new() -> Incoming {
        Incoming {
            samples: RefCell::default(),
            resampler: RefCell::default(),
            rate_hz: Cell::new(SPEECH_RATE_HZ),
            ended: Cell::new(true),
            listened: Cell::new(false),
            overrun: Cell::new(false),
            changed: Notify::new(),
            taken: Notify::new(),
            overheard: RefCell::default(),
        }
    }

    /// Sound of a new utterance comes, at `rate_hz`.
    pub fn begin(&self, rate_hz: u32) {
        self.samples.borrow_mut().clear();
        self.set_rate(rate_hz);
        self.reopen();
    }

    /// Takes sound, whose rate may change; what comes faster than it is heard by far ends the
    /// listening. While nobody listens only the newest is kept.
    pub fn push(&self, samples: Vec<i16>, rate_hz: u32) {
        let fresh = self.at_speech_rate(samples, rate_hz);
        self.keep(fresh);
    }

    /// As [`Incoming::push`] while an answer is spoken; whether somebody speaks into it.
    pub fn overhear(&self, samples: Vec<i16>, rate_hz: u32) -> bool {
        let fresh = self.at_speech_rate(samples, rate_hz);
        let spoken = self.overheard.borrow_mut().push(&fresh);
        self.keep(fresh);
        spoken
    }

    fn at_speech_rate(&self, samples: Vec<i16>, rate_hz: u32) -> Vec<i16> {
        if rate_hz != self.rate_hz.get() {
            self.set_rate(rate_hz);
        }
        let Some(resampler) = &mut *self.resampler.borrow_mut() else {
            return samples;
        };
        let mut fresh = Vec::new();
        resampler.process(&samples, &mut fresh);
        fresh
    }

    fn keep(&self, fresh: Vec<i16>) {
        let mut samples = self.samples.borrow_mut();
        if !self.listened.get() {
            samples.extend(fresh);
            let surplus = samples.len().saturating_sub(KEPT_SAMPLES);
            samples.drain(..surplus);
            return;
        }
        let bound = CLIENT_SOUND_BUFFERED.as_secs() as usize * SPEECH_RATE_HZ as usize;
        if samples.len() + fresh.len() > bound {
            self.overrun.set(true);
        } else {
            samples.extend(fresh);
        }
        self.changed.notify_one();
    }

    /// Resolves when the listener has taken most of what came, or nobody listens any more.
    pub async fn room(&self) {
        let bound = CLIENT_SOUND_BUFFERED.as_secs() as usize * SPEECH_RATE_HZ as usize / 2;
        let is_behind = || self.samples.borrow().len() > bound && self.listened.get();
        while is_behind() && !self.ended.get() {
            self.taken.notified().await;
        }
    }

    fn set_rate(&self, rate_hz: u32) {
        let other_rate = rate_hz != SPEECH_RATE_HZ;
        let resampler = other_rate.then(|| Resampler::new(rate_hz, SPEECH_RATE_HZ));
        *self.resampler.borrow_mut() = resampler;
        self.rate_hz.set(rate_hz);
    }

    /// What came last belongs to the next listening.
    pub fn reopen(&self) {
        self.ended.set(false);
        self.overrun.set(false);
        self.listened.set(true);
    }

    /// That was all.
    pub fn end(&self) {
        self.ended.set(true);
        self.changed.notify_one();
        self.taken.notify_one();
    }

    /// Whether a stream is open.
    pub fn is_open(&self) -> bool {
        !self.ended.get()
    }
}

/// Of s16le sound; half a sample at its end is left out.
pub fn samples_of(bytes: &[u8]) -> Vec<i16> {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// The listener's end of [`Incoming`].
pub struct StreamEar {
    incoming: Rc<Incoming>,
    since_pause: u32,
}

impl StreamEar {
    pub fn new(incoming: Rc<Incoming>) -> StreamEar {
        incoming.listened.set(true);
        StreamEar {
            incoming,
            since_pause: 0,
        }
    }

    async fn next(&mut self) -> Result<Option<[i16; FRAME_SAMPLES]>, VoiceError> {
        self.since_pause += 1;
        if self.since_pause >= FRAMES_A_TURN {
            self.since_pause = 0;
            tokio::task::yield_now().await;
        }
        loop {
            if self.incoming.overrun.get() {
                return Err(VoiceError::Invalid(format!(
                    "more than {} s of sound came at once; send it as it is spoken",
                    CLIENT_SOUND_BUFFERED.as_secs()
                )));
            }
            if let Some(frame) = self.take() {
                return Ok(Some(frame));
            }
            if self.incoming.ended.get() {
                return Ok(None);
            }
            self.incoming.changed.notified().await;
        }
    }

    /// A whole frame; at the stream's end also its rest, filled up with silence.
    fn take(&self) -> Option<[i16; FRAME_SAMPLES]> {
        let mut samples = self.incoming.samples.borrow_mut();
        if samples.is_empty() || samples.len() < FRAME_SAMPLES && !self.incoming.ended.get() {
            return None;
        }
        let mut frame = [0; FRAME_SAMPLES];
        let count = samples.len().min(FRAME_SAMPLES);
        for (slot, sample) in frame.iter_mut().zip(samples.drain(..count)) {
            *slot = sample;
        }
        self.incoming.taken.notify_one();
        Some(frame)
    }
}

impl Drop for StreamEar {
    fn drop(&mut self) {
        self.incoming.listened.set(false);
        self.incoming.taken.notify_one();
    }
}

impl Ear for StreamEar {
    fn frame(&mut self) -> Work<'_, Option<[i16; FRAME_SAMPLES]>> {
        Box::pin(self.next())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn frames(incoming: &Rc<Incoming>) -> Result<usize, VoiceError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut ear = StreamEar::new(Rc::clone(incoming));
            let mut count = 0;
            while ear.frame().await?.is_some() {
                count += 1;
            }
            Ok(count)
        })
    }

    #[test]
    fn sound_comes_out_in_whole_frames_and_its_rest_at_the_end() {
        let incoming = Rc::new(Incoming::new());
        incoming.begin(16_000);
        for _ in 0..5 {
            incoming.push(vec![0; 320], 16_000);
        }
        incoming.end();
        assert_eq!(frames(&incoming), Ok(7), "1600 samples are 6.25 frames");
    }

    #[test]
    fn sound_of_another_rate_is_brought_to_the_speech_rate() {
        let incoming = Rc::new(Incoming::new());
        incoming.begin(48_000);
        for _ in 0..50 {
            incoming.push(vec![0; 960], 48_000);
        }
        incoming.end();
        let count = frames(&incoming).expect("frames");
        assert!(
            (60..=63).contains(&count),
            "a second is 62.5 frames, not {count}"
        );
    }

    #[test]
    fn what_goes_on_after_the_listening_is_no_flood_and_only_its_newest_is_kept() {
        let incoming = Rc::new(Incoming::new());
        incoming.begin(16_000);
        drop(StreamEar::new(Rc::clone(&incoming)));
        for _ in 0..100 {
            incoming.push(vec![0; 16_000], 16_000);
            incoming
                .room()
                .now_or_never()
                .expect("nobody is waited for");
        }
        incoming.end();
        let kept = KEPT_SAMPLES.div_ceil(FRAME_SAMPLES);
        assert_eq!(frames(&incoming), Ok(kept));
    }

    #[test]
    fn a_flood_of_sound_is_refused() {
        let incoming = Rc::new(Incoming::new());
        incoming.begin(16_000);
        for _ in 0..100 {
            incoming.push(vec![0; 16_000], 16_000);
        }
        assert!(matches!(frames(&incoming), Err(VoiceError::Invalid(_))));
    }
}
