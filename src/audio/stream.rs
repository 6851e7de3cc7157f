//! What the card's callbacks touch: rings and counters shared with the loop and the audio thread.
//!
//! Everything that runs in a callback here takes no lock, allocates nothing and logs nothing; it
//! moves samples through a ring, adds to atomics and signals an eventfd.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

use super::wake::Wake;
use crate::limits;
use crate::ops::Counter;

/// Samples mixed at a time on the callback's stack; also how long a stopped sound fades (5 ms at 48 kHz).
const MIX_SAMPLES: usize = 256;
/// Errors in a row without a sample between them, after which a stream counts as broken.
const ERRORS_IN_A_ROW_MAX: u32 = 8;
/// Periods that the card holds after the callback wrote: then a sample was heard.
const CARD_PERIODS: u64 = 2;

/// A card's sample, to and from 16 bits.
pub(super) trait CardSample: Copy + Send + 'static {
    fn to_i16(self) -> i16;
    fn from_i16(sample: i16) -> Self;
}

impl CardSample for i16 {
    fn to_i16(self) -> i16 {
        self
    }
    fn from_i16(sample: i16) -> i16 {
        sample
    }
}

impl CardSample for i32 {
    fn to_i16(self) -> i16 {
        (self >> 16) as i16
    }
    fn from_i16(sample: i16) -> i32 {
        i32::from(sample) << 16
    }
}

impl CardSample for f32 {
    fn to_i16(self) -> i16 {
        (self * 32_768.0).clamp(-32_768.0, 32_767.0) as i16
    }
    fn from_i16(sample: i16) -> f32 {
        f32::from(sample) / 32_768.0
    }
}

/// Why a stream ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Unplugged or switched off.
    Gone = 1,
    /// Its format changed; opening again may work at once.
    Invalid = 2,
    /// Nothing but errors came from it.
    Broken = 3,
}

/// Counters of one open stream.
pub(super) struct StreamShared {
    /// Wakes the loop.
    pub(super) wake: Wake,
    /// Wakes the audio thread.
    thread: Arc<Wake>,
    xruns: Counter,
    loss: AtomicU32,
    errors_in_a_row: AtomicU32,
    callbacks: AtomicU64,
    /// Frames that passed; what the watch over a silent or racing card looks at.
    frames: AtomicU64,
    /// Microseconds after `epoch` of the last signal to the loop.
    signalled_us: AtomicU64,
    epoch: Instant,
}

impl StreamShared {
    pub(super) fn new(thread: Arc<Wake>, xruns: Counter) -> std::io::Result<Arc<StreamShared>> {
        Ok(Arc::new(StreamShared {
            wake: Wake::new()?,
            thread,
            xruns,
            loss: AtomicU32::new(0),
            errors_in_a_row: AtomicU32::new(0),
            callbacks: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            signalled_us: AtomicU64::new(0),
            epoch: Instant::now(),
        }))
    }

    pub(super) fn xrun(&self) {
        self.xruns.inc();
        self.error();
    }

    /// An error the stream may survive.
    pub(super) fn error(&self) {
        if self.errors_in_a_row.fetch_add(1, Ordering::Relaxed) >= ERRORS_IN_A_ROW_MAX {
            self.lost(Loss::Broken);
        }
    }

    pub(super) fn lost(&self, loss: Loss) {
        self.loss.store(loss as u32, Ordering::Release);
        self.thread.signal();
    }

    pub(super) fn loss(&self) -> Option<Loss> {
        match self.loss.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Loss::Gone),
            2 => Some(Loss::Invalid),
            _ => Some(Loss::Broken),
        }
    }

    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    fn callback(&self, frames: usize) -> u64 {
        self.errors_in_a_row.store(0, Ordering::Relaxed);
        self.frames.fetch_add(frames as u64, Ordering::Relaxed);
        self.callbacks.fetch_add(1, Ordering::Release) + 1
    }

    fn signal(&self) {
        let now_us = self.epoch.elapsed().as_micros() as u64;
        self.signalled_us.store(now_us, Ordering::Relaxed);
        self.wake.signal();
    }

    /// Time since the callback last signalled.
    pub(super) fn since_signal(&self) -> Duration {
        let then = Duration::from_micros(self.signalled_us.load(Ordering::Relaxed));
        self.epoch.elapsed().saturating_sub(then)
    }
}

/// The microphone's callback end.
pub(super) struct InputSink {
    ring: Producer<i16>,
    shared: Arc<StreamShared>,
}

/// The microphone's loop end.
pub(super) struct InputEnd {
    pub(super) ring: Consumer<i16>,
    pub(super) shared: Arc<StreamShared>,
    pub(super) rate_hz: u32,
}

pub(super) fn input(shared: &Arc<StreamShared>, rate_hz: u32) -> (InputSink, InputEnd) {
    let samples = (u64::from(rate_hz) * limits::CAPTURE_RING.as_millis() as u64 / 1000) as usize;
    let (producer, consumer) = RingBuffer::new(samples);
    let sink = InputSink {
        ring: producer,
        shared: shared.clone(),
    };
    let end = InputEnd {
        ring: consumer,
        shared: shared.clone(),
        rate_hz,
    };
    (sink, end)
}

impl InputSink {
    #[cfg(feature = "audio")]
    pub(super) fn shared(&self) -> Arc<StreamShared> {
        self.shared.clone()
    }

    /// Interleaved frames from the card, mixed down to one channel. What a full ring cannot take is
    /// lost and counted as one xrun.
    pub(super) fn push<T: CardSample>(&mut self, interleaved: &[T], channels: usize) {
        let frames = interleaved.len() / channels;
        self.shared.callback(frames);
        let room = self.ring.slots().min(frames);
        if room < frames {
            self.shared.xruns.inc();
        }
        if let Ok(chunk) = self.ring.write_chunk_uninit(room) {
            chunk.fill_from_iter(interleaved.chunks_exact(channels).map(|frame| {
                let sum: i32 = frame.iter().map(|sample| i32::from(sample.to_i16())).sum();
                (sum / channels as i32) as i16
            }));
        }
        self.shared.signal();
    }
}

/// One sound among those that play together; the loop writes, the callback reads.
pub(super) struct Lane {
    pub(super) ring: Producer<i16>,
    pub(super) cells: Arc<LaneCells>,
    /// Samples written since the stream was opened.
    pub(super) pushed: u64,
}

#[derive(Default)]
pub(super) struct LaneCells {
    /// Samples before this one are thrown away.
    discard_to: AtomicU64,
    /// Samples that left the ring, played or thrown away.
    taken: AtomicU64,
    played: AtomicU64,
    /// Number of the callback that took the last sample.
    last_callback: AtomicU64,
}

struct LaneReader {
    ring: Consumer<i16>,
    cells: Arc<LaneCells>,
}

/// Who uses an open speaker; closed only while nobody does.
pub(super) struct Users(AtomicUsize);

const CLOSED: usize = usize::MAX;

impl Users {
    pub(super) fn enter(&self) -> bool {
        let mut users = self.0.load(Ordering::Acquire);
        while users != CLOSED {
            let entered =
                self.0
                    .compare_exchange_weak(users, users + 1, Ordering::AcqRel, Ordering::Acquire);
            match entered {
                Ok(_) => return true,
                Err(meanwhile) => users = meanwhile,
            }
        }
        false
    }

    pub(super) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn any(&self) -> bool {
        !matches!(self.0.load(Ordering::Acquire), 0 | CLOSED)
    }

    /// Whether it is closed now: nobody was inside and nobody comes in any more.
    pub(super) fn close_if_empty(&self) -> bool {
        self.0
            .compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// The speaker's callback end.
pub(super) struct OutputSource {
    lanes: Vec<LaneReader>,
    shared: Arc<StreamShared>,
    /// Gain as the bits of an `f32`.
    gain: Arc<AtomicU32>,
    gain_now: f32,
}

/// The speaker's loop end.
pub(super) struct OutputEnd {
    pub(super) lanes: Vec<Lane>,
    pub(super) shared: Arc<StreamShared>,
    pub(super) users: Arc<Users>,
    pub(super) rate_hz: u32,
}

pub(super) fn output(
    shared: &Arc<StreamShared>,
    rate_hz: u32,
    gain: Arc<AtomicU32>,
) -> (OutputSource, OutputEnd) {
    let samples =
        (u64::from(rate_hz) * limits::PLAYBACK_AHEAD_MAX.as_millis() as u64 / 1000) as usize;
    let mut source = OutputSource {
        lanes: Vec::new(),
        shared: shared.clone(),
        gain_now: f32::from_bits(gain.load(Ordering::Relaxed)),
        gain,
    };
    let mut end = OutputEnd {
        lanes: Vec::new(),
        shared: shared.clone(),
        users: Arc::new(Users(AtomicUsize::new(0))),
        rate_hz,
    };
    for _ in 0..limits::PLAYBACKS_MAX {
        let (producer, consumer) = RingBuffer::new(samples);
        let cells = Arc::new(LaneCells::default());
        source.lanes.push(LaneReader {
            ring: consumer,
            cells: cells.clone(),
        });
        end.lanes.push(Lane {
            ring: producer,
            cells,
            pushed: 0,
        });
    }
    (source, end)
}

impl OutputSource {
    #[cfg(feature = "audio")]
    pub(super) fn shared(&self) -> Arc<StreamShared> {
        self.shared.clone()
    }

    /// Fills the card's buffer with the mix of all lanes; silence where they have nothing.
    pub(super) fn fill<T: CardSample>(&mut self, interleaved: &mut [T], channels: usize) {
        let callback = self.shared.callback(interleaved.len() / channels);
        let target = f32::from_bits(self.gain.load(Ordering::Relaxed));
        let mut busy = false;
        for part in interleaved.chunks_mut(MIX_SAMPLES * channels) {
            let mut mix = [0i32; MIX_SAMPLES];
            let frames = part.len() / channels;
            for lane in &mut self.lanes {
                lane.add(&mut mix[..frames], callback);
            }
            let step = (target - self.gain_now) / frames.max(1) as f32;
            for (frame, sum) in part.chunks_exact_mut(channels).zip(mix) {
                self.gain_now += step;
                let sample = (sum as f32 * self.gain_now).clamp(-32_768.0, 32_767.0);
                frame.fill(T::from_i16(sample.round() as i16));
            }
            self.gain_now = target;
        }
        for lane in &self.lanes {
            let last = lane.cells.last_callback.load(Ordering::Relaxed);
            busy |= last > 0 && callback <= last + CARD_PERIODS + 1;
        }
        if busy {
            self.shared.signal();
        }
    }
}

impl LaneReader {
    fn add(&mut self, mix: &mut [i32], callback: u64) {
        let taken = self.cells.taken.load(Ordering::Relaxed);
        let discard = self.cells.discard_to.load(Ordering::Acquire);
        if taken < discard {
            self.fade_out(mix, (discard - taken) as usize);
            self.cells.taken.store(discard, Ordering::Release);
            self.cells.last_callback.store(callback, Ordering::Release);
            return;
        }
        let count = self.ring.slots().min(mix.len());
        if count == 0 {
            return;
        }
        if let Ok(chunk) = self.ring.read_chunk(count) {
            for (sum, sample) in mix.iter_mut().zip(chunk) {
                *sum += i32::from(sample);
            }
        }
        self.cells.played.fetch_add(count as u64, Ordering::Relaxed);
        self.cells.last_callback.store(callback, Ordering::Release);
        self.cells
            .taken
            .store(taken + count as u64, Ordering::Release);
    }

    /// Lets the next few of `count` unwanted samples fade, so that a stop makes no click, and skips the rest.
    fn fade_out(&mut self, mix: &mut [i32], count: usize) {
        let count = count.min(self.ring.slots());
        let fade = count.min(mix.len());
        if let Ok(chunk) = self.ring.read_chunk(count) {
            let (first, second) = chunk.as_slices();
            let samples = first.iter().chain(second).take(fade);
            for (at, (sum, sample)) in mix.iter_mut().zip(samples).enumerate() {
                *sum += i32::from(*sample) * (fade - at) as i32 / fade as i32;
            }
            chunk.commit_all();
        }
    }
}

impl LaneCells {
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    pub(super) fn played(&self) -> u64 {
        self.played.load(Ordering::Relaxed)
    }

    pub(super) fn discard_to(&self, sample: u64) {
        self.discard_to.store(sample, Ordering::Release);
    }

    /// Whether all before `pushed` was taken and has also passed the card's own buffer.
    pub(super) fn heard(&self, pushed: u64, shared: &StreamShared) -> bool {
        self.taken() >= pushed
            && shared.callbacks.load(Ordering::Acquire)
                >= self.last_callback.load(Ordering::Acquire) + CARD_PERIODS
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
