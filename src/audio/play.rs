//! Sounds on their way to the speaker, as the loop sees them.
//!
//! Each sound has a lane of its own in the open speaker; the callback mixes the lanes. A sound
//! belongs to one opening of the card: when the card goes, the sound ends with an error, and the
//! next sound tries to open it again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::capture::{SharedWake, watched, woken};
use super::engine::Order;
use super::resample::Resampler;
use super::stream::{Lane, OutputEnd, StreamShared, Users};
use super::{Audio, AudioError};

/// Samples resampled at a time, so that a long text read at once does not hold the loop.
const CHUNK_SAMPLES: usize = 4_096;

/// The open speaker, shared by all sounds that play on it.
pub(super) struct Speaker {
    wake: AsyncFd<SharedWake>,
    shared: Arc<StreamShared>,
    users: Arc<Users>,
    rate_hz: u32,
    free: RefCell<Vec<Lane>>,
}

/// One utterance on its way to the speaker; silent at once when dropped or stopped.
pub struct Playback {
    audio: Audio,
    lane: RefCell<Option<Taken>>,
    resampler: RefCell<Option<(u32, Resampler)>>,
    /// Resampled and not yet in the ring.
    waiting: RefCell<Vec<i16>>,
    stopped: Cell<bool>,
    stop_seen: Notify,
}

/// A lane in use; given back when dropped.
struct Taken {
    speaker: Rc<Speaker>,
    /// `None` only while being dropped.
    lane: Option<Lane>,
    pushed_before: u64,
    played_before: u64,
}

impl Playback {
    pub(super) fn new(audio: Audio) -> Playback {
        Playback {
            audio,
            lane: RefCell::new(None),
            resampler: RefCell::new(None),
            waiting: RefCell::new(Vec::new()),
            stopped: Cell::new(false),
            stop_seen: Notify::new(),
        }
    }

    /// Hands on mono samples of any rate; waits while more than a second is unplayed. After a stop
    /// they are thrown away. One writer at a time.
    pub async fn write(&self, samples: &[i16], rate_hz: u32) -> Result<(), AudioError> {
        let Some(card_hz) = self.ready().await? else {
            return Ok(());
        };
        for chunk in samples.chunks(CHUNK_SAMPLES) {
            self.convert(chunk, rate_hz, card_hz);
            self.drain().await?;
            if self.stopped.get() {
                break;
            }
        }
        Ok(())
    }

    /// Resolves when the last sample has left the card, or at once after a stop.
    pub async fn finished(&self) -> Result<(), AudioError> {
        if self.lane.borrow().is_none() {
            return Ok(());
        }
        let last = self.resampler.borrow_mut().take();
        if let Some((_, mut resampler)) = last {
            resampler.finish(&mut self.waiting.borrow_mut());
        }
        self.drain().await?;
        while !self.stopped.get() && !self.heard() {
            self.progress().await?;
        }
        Ok(())
    }

    /// Throws away what is unplayed; at most two periods that the card already holds are still heard.
    pub fn stop(&self) {
        self.stopped.set(true);
        self.waiting.borrow_mut().clear();
        if let Some(taken) = self.lane.borrow().as_ref()
            && let Some(lane) = &taken.lane
        {
            lane.cells.discard_to(lane.pushed);
        }
        self.stop_seen.notify_waiters();
    }

    /// How much was really played: what left for the card, at most two periods more than was heard.
    pub fn played(&self) -> Duration {
        let lane = self.lane.borrow();
        let Some((taken, lane)) = lane.as_ref().and_then(|t| Some((t, t.lane.as_ref()?))) else {
            return Duration::ZERO;
        };
        let samples = lane.cells.played() - taken.played_before;
        Duration::from_micros(samples * 1_000_000 / u64::from(taken.speaker.rate_hz))
    }

    /// Has a lane and tells the card's rate; `None` when stopped.
    async fn ready(&self) -> Result<Option<u32>, AudioError> {
        if self.stopped.get() {
            return Ok(None);
        }
        let known = self
            .lane
            .borrow()
            .as_ref()
            .map(|taken| taken.speaker.rate_hz);
        if known.is_some() {
            return Ok(known);
        }
        let taken = take_lane(&self.audio).await?;
        let rate_hz = taken.speaker.rate_hz;
        *self.lane.borrow_mut() = Some(taken);
        Ok((!self.stopped.get()).then_some(rate_hz))
    }

    fn convert(&self, chunk: &[i16], rate_hz: u32, card_hz: u32) {
        let mut waiting = self.waiting.borrow_mut();
        let mut slot = self.resampler.borrow_mut();
        if slot.as_ref().is_some_and(|(rate, _)| *rate != rate_hz)
            && let Some((_, mut last)) = slot.take()
        {
            last.finish(&mut waiting);
        }
        let (_, resampler) =
            slot.get_or_insert_with(|| (rate_hz, Resampler::new(rate_hz, card_hz)));
        resampler.process(chunk, &mut waiting);
    }

    /// Moves all that waits into the ring.
    async fn drain(&self) -> Result<(), AudioError> {
        loop {
            if self.stopped.get() || self.push() {
                return Ok(());
            }
            self.progress().await?;
        }
    }

    /// Whether nothing waits any more.
    fn push(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let mut slot = self.lane.borrow_mut();
        if let Some(lane) = slot.as_mut().and_then(|taken| taken.lane.as_mut()) {
            let pushed = lane.ring.push_partial_slice(&waiting).0.len();
            lane.pushed += pushed as u64;
            waiting.drain(..pushed);
        }
        waiting.is_empty()
    }

    fn heard(&self) -> bool {
        let slot = self.lane.borrow();
        let Some((taken, lane)) = slot.as_ref().and_then(|t| Some((t, t.lane.as_ref()?))) else {
            return true;
        };
        lane.pushed == taken.pushed_before || lane.cells.heard(lane.pushed, &taken.speaker.shared)
    }

    /// Waits until the card took something, the card is lost, or the sound is stopped.
    async fn progress(&self) -> Result<(), AudioError> {
        let Some(speaker) = self
            .lane
            .borrow()
            .as_ref()
            .map(|taken| taken.speaker.clone())
        else {
            return Ok(());
        };
        let mut status = self.audio.0.status.clone();
        status.mark_unchanged();
        if speaker.shared.loss().is_some() {
            return Err(lost());
        }
        tokio::select! {
            result = woken(&speaker.wake, &self.audio) => result,
            () = self.stop_seen.notified() => Ok(()),
            // A lost card changes the status; a changed status says to look again.
            _ = status.changed() => match status.borrow().output_error.clone() {
                Some(error) => Err(AudioError::Unavailable(error)),
                None => Ok(()),
            },
        }
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(lane) = self.lane.take() {
            self.speaker.free.borrow_mut().push(lane);
        }
        self.speaker.users.leave();
    }
}

impl Speaker {
    fn new(end: OutputEnd) -> Result<Speaker, AudioError> {
        Ok(Speaker {
            wake: watched(end.shared.clone())?,
            shared: end.shared,
            users: end.users,
            rate_hz: end.rate_hz,
            free: RefCell::new(end.lanes),
        })
    }
}

async fn take_lane(audio: &Audio) -> Result<Taken, AudioError> {
    let _opening = audio.0.opening.lock().await;
    let known = audio.0.speaker.borrow().clone();
    if let Some(speaker) = known
        && speaker.shared.loss().is_none()
        && speaker.users.enter()
    {
        return entered(speaker);
    }
    let end = audio.ask(|reply| Order::OpenOutput { reply }).await??;
    let speaker = Rc::new(Speaker::new(end)?);
    *audio.0.speaker.borrow_mut() = Some(speaker.clone());
    if !speaker.users.enter() {
        return Err(lost());
    }
    entered(speaker)
}

/// The caller has entered `users`.
fn entered(speaker: Rc<Speaker>) -> Result<Taken, AudioError> {
    let lane = speaker.free.borrow_mut().pop();
    let Some(lane) = lane else {
        speaker.users.leave();
        return Err(AudioError::Busy(String::from(
            "the speaker plays too many sounds at once; wait for one to end",
        )));
    };
    Ok(Taken {
        pushed_before: lane.pushed,
        played_before: lane.cells.played(),
        lane: Some(lane),
        speaker,
    })
}

fn lost() -> AudioError {
    AudioError::Unavailable(String::from(
        "the speaker was lost while it played; it is opened again when it is back",
    ))
}
