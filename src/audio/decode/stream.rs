//! Sound that comes in pieces over a network, decoded as it comes.
//!
//! Samples in a row are converted at once; compressed sound goes through a thread of its own, which
//! waits for bytes when it has none and ends when its [`Decoder`] is dropped.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use symphonia::core::io::ReadOnlySource;
use tokio::sync::Notify;

use super::format::{SNIFF_BYTES, id3_bytes};
use super::plain::Plain;
use super::reader::Reader;
use super::{DecodeError, Sound, SoundFormat};
use crate::limits::{
    DECODE_PUSHED_BYTES_MAX, DECODE_STACK_BYTES, DECODED_AHEAD_SAMPLES, STREAM_DECODES_MAX,
};

/// Opus is spoken at this rate; its decoder leaves the choice.
const OPUS_RATE_HZ: u32 = 48_000;

/// Push bytes, then take what they give until it wants more:
///
/// ```ignore
/// while let Some(bytes) = body.next().await? {
///     decoder.push(bytes)?;
///     while let Some(piece) = decoder.next().await? { play(piece).await }
/// }
/// decoder.finish();
/// while let Some(piece) = decoder.next().await? { play(piece).await }
/// ```
///
/// Pushing without taking is bounded by [`DECODE_PUSHED_BYTES_MAX`]. Dropping it ends the work.
pub struct Decoder {
    claimed: Option<SoundFormat>,
    max: Duration,
    given: Duration,
    finished: bool,
    failed: Option<DecodeError>,
    state: State,
}

enum State {
    /// Too few bytes to know what it is.
    Sniffing(Vec<u8>),
    Plain {
        plain: Plain,
        ready: VecDeque<Sound>,
        checked: bool,
    },
    Threaded(Worker),
}

impl Decoder {
    /// `claimed` is what the sender calls it, and the only way to know raw PCM. More than `max` of
    /// sound is an error.
    pub fn new(claimed: Option<SoundFormat>, max: Duration) -> Decoder {
        Decoder {
            claimed,
            max,
            given: Duration::ZERO,
            finished: false,
            failed: None,
            state: State::Sniffing(Vec::new()),
        }
    }

    /// What it turned out to be, once enough has come.
    pub fn format(&self) -> Option<SoundFormat> {
        match &self.state {
            State::Sniffing(_) => None,
            State::Plain { plain, .. } => Some(plain.format()),
            State::Threaded(worker) => Some(worker.format),
        }
    }

    pub fn push(&mut self, bytes: impl Into<Bytes>) -> Result<(), DecodeError> {
        let bytes = bytes.into();
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let pushed = match &mut self.state {
            State::Sniffing(head) => {
                head.extend_from_slice(&bytes);
                if head.len() < SNIFF_BYTES {
                    return Ok(());
                }
                self.begin()
            }
            State::Plain { plain, ready, .. } => {
                plain.push(&bytes).map(|sound| ready.extend(sound))
            }
            State::Threaded(worker) => worker.push(bytes),
        };
        pushed.map_err(|error| self.fail(error))
    }

    /// Nothing more comes: what is left is decoded to its end.
    pub fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        if let State::Sniffing(_) = self.state
            && let Err(error) = self.begin()
        {
            self.fail(error);
        }
        if let State::Threaded(worker) = &self.state {
            worker.finish();
        }
    }

    /// The next piece; `None` when more bytes are wanted, and after [`Decoder::finish`] at the end.
    pub async fn next(&mut self) -> Result<Option<Sound>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let next = match &mut self.state {
            State::Sniffing(_) => Ok(None),
            State::Plain {
                plain,
                ready,
                checked,
            } => match ready.pop_front() {
                Some(sound) => Ok(Some(sound)),
                None if self.finished && !std::mem::replace(checked, true) => {
                    plain.finish().map(|()| None)
                }
                None => Ok(None),
            },
            State::Threaded(worker) => worker.next().await,
        };
        let next = next.map_err(|error| self.fail(error))?;
        if let Some(sound) = &next {
            self.given += sound.duration();
            if self.given > self.max {
                return Err(self.fail(DecodeError::TooLong { max: self.max }));
            }
        }
        Ok(next)
    }

    fn begin(&mut self) -> Result<(), DecodeError> {
        let State::Sniffing(head) = &mut self.state else {
            return Ok(());
        };
        let head = std::mem::take(head);
        let format = SoundFormat::found(&head, self.claimed)?;
        self.state = match Plain::of(format) {
            Some(mut plain) => State::Plain {
                ready: plain.push(&head)?.into_iter().collect(),
                plain,
                checked: false,
            },
            None => State::Threaded(Worker::start(format, head.into(), self.max)?),
        };
        Ok(())
    }

    fn fail(&mut self, error: DecodeError) -> DecodeError {
        // A thread that may still be at work ends with this.
        self.state = State::Sniffing(Vec::new());
        self.failed = Some(error.clone());
        error
    }
}

/// The loop's end of a decoding thread.
struct Worker {
    format: SoundFormat,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    pipe: Mutex<Pipe>,
    /// For the thread: bytes came, pieces were taken, or nobody wants them any more.
    moved: Condvar,
    /// For the loop: a piece came, or bytes are wanted.
    told: Notify,
}

#[derive(Default)]
struct Pipe {
    pushed: VecDeque<Bytes>,
    pushed_bytes: usize,
    finished: bool,
    /// The thread waits for bytes.
    hungry: bool,
    pieces: VecDeque<Sound>,
    ahead_samples: usize,
    ended: Option<Result<(), DecodeError>>,
    dropped: bool,
}

impl Worker {
    fn start(format: SoundFormat, head: Bytes, max: Duration) -> Result<Worker, DecodeError> {
        let place = Place::take()?;
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            format,
            shared: Arc::clone(&shared),
        };
        let skip = id3_bytes(&head).unwrap_or_default();
        worker.push(head)?;
        let thread = std::thread::Builder::new()
            .name(String::from("decode"))
            .stack_size(DECODE_STACK_BYTES);
        let work = move || {
            let _place = place;
            let decoded = catch_unwind(AssertUnwindSafe(|| shared.decode(format, skip, max)));
            let broke = |_| Err(DecodeError::broken(format, "the decoder gave up"));
            shared.lock().ended = Some(decoded.unwrap_or_else(broke));
            shared.told.notify_one();
        };
        thread.spawn(work).map_err(|_| DecodeError::Busy)?;
        Ok(worker)
    }

    fn push(&self, bytes: Bytes) -> Result<(), DecodeError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut pipe = self.shared.lock();
        if pipe.pushed_bytes + bytes.len() > DECODE_PUSHED_BYTES_MAX && pipe.pushed_bytes > 0 {
            return Err(DecodeError::Busy);
        }
        if pipe.ended.is_none() {
            pipe.pushed_bytes += bytes.len();
            pipe.pushed.push_back(bytes);
            pipe.hungry = false;
        }
        self.shared.moved.notify_one();
        Ok(())
    }

    fn finish(&self) {
        let mut pipe = self.shared.lock();
        pipe.finished = true;
        pipe.hungry = false;
        self.shared.moved.notify_one();
    }

    async fn next(&self) -> Result<Option<Sound>, DecodeError> {
        loop {
            let told = self.shared.told.notified();
            {
                let mut pipe = self.shared.lock();
                if let Some(sound) = pipe.pieces.pop_front() {
                    pipe.ahead_samples -= sound.samples.len();
                    self.shared.moved.notify_one();
                    return Ok(Some(sound));
                }
                if let Some(ended) = &pipe.ended {
                    return ended.clone().map(|()| None);
                }
                if pipe.hungry {
                    return Ok(None);
                }
            }
            told.await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.lock().dropped = true;
        self.shared.moved.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pipe> {
        // Nothing panics while it holds the lock; and if it did, the queues would be whole.
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decode(
        self: &Arc<Shared>,
        format: SoundFormat,
        skip: usize,
        max: Duration,
    ) -> Result<(), DecodeError> {
        let source = ReadOnlySource::new(Source {
            shared: Arc::clone(self),
            skip,
        });
        let mut reader = Reader::open(format, Box::new(source), OPUS_RATE_HZ, max)?;
        while let Some(sound) = reader.next()? {
            let mut pipe = self.lock();
            while pipe.ahead_samples > DECODED_AHEAD_SAMPLES && !pipe.dropped {
                pipe = self.wait(pipe);
            }
            if pipe.dropped {
                break;
            }
            pipe.ahead_samples += sound.samples.len();
            pipe.pieces.push_back(sound);
            self.told.notify_one();
        }
        Ok(())
    }

    fn wait<'a>(&self, pipe: MutexGuard<'a, Pipe>) -> MutexGuard<'a, Pipe> {
        self.moved
            .wait(pipe)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's end: what was pushed, as one stream that blocks.
struct Source {
    shared: Arc<Shared>,
    /// Bytes of a tag in front of the sound.
    skip: usize,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.shared.lock();
        loop {
            if pipe.dropped {
                return Err(io::Error::other("nobody waits for it any more"));
            }
            if let Some(front) = pipe.pushed.front_mut() {
                let skipped = front.len().min(self.skip);
                front.advance(skipped);
                self.skip -= skipped;
                let count = front.len().min(buffer.len());
                front.copy_to_slice(&mut buffer[..count]);
                if front.is_empty() {
                    pipe.pushed.pop_front();
                }
                pipe.pushed_bytes -= skipped + count;
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
                continue;
            }
            if pipe.finished {
                return Ok(0);
            }
            pipe.hungry = true;
            self.shared.told.notify_one();
            pipe = self.shared.wait(pipe);
        }
    }
}

static DECODING: AtomicUsize = AtomicUsize::new(0);

/// Held by a thread at work, whether or not anybody still waits for it.
struct Place;

impl Place {
    fn take() -> Result<Place, DecodeError> {
        let enter = |busy: usize| (busy < STREAM_DECODES_MAX).then_some(busy + 1);
        let entered = DECODING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter);
        entered.map(|_| Place).map_err(|_| DecodeError::Busy)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        DECODING.fetch_sub(1, Ordering::Relaxed);
    }
}
