//! The open microphone as the loop sees it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use rtrb::Consumer;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::engine::{InputEvent, Order};
use super::resample::Resampler;
use super::stream::{InputEnd, StreamShared};
use super::{Audio, AudioError, FRAME_SAMPLES, SPEECH_RATE_HZ};
use crate::limits;

/// Card samples resampled at a time.
const CHUNK_SAMPLES: usize = 1_024;

/// An open microphone; closed when dropped.
pub struct Capture {
    audio: Audio,
    events: mpsc::Receiver<InputEvent>,
    /// `None` while the card is away.
    live: Option<Live>,
}

struct Live {
    ring: Consumer<i16>,
    wake: AsyncFd<SharedWake>,
    /// `None` when the card itself gives speech's rate.
    resampler: Option<Resampler>,
    ready: Vec<i16>,
}

/// Lets the runtime watch the descriptor inside the shared state.
pub(super) struct SharedWake(pub(super) Arc<StreamShared>);

impl AsRawFd for SharedWake {
    fn as_raw_fd(&self) -> RawFd {
        self.0.wake.as_fd().as_raw_fd()
    }
}

impl AsFd for SharedWake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.wake.as_fd()
    }
}

impl Capture {
    pub(super) async fn open(audio: Audio) -> Result<Capture, AudioError> {
        let (sender, events) = mpsc::channel(limits::AUDIO_EVENTS_MAX);
        // Made first, so that its drop closes the microphone whenever this is cancelled.
        let mut capture = Capture {
            audio,
            events,
            live: None,
        };
        let order = |reply| Order::OpenInput {
            events: sender,
            reply,
        };
        let end = capture.audio.ask(order).await??;
        capture.live = Some(Live::new(end)?);
        Ok(capture)
    }

    /// The next 16 ms at [`SPEECH_RATE_HZ`]. A lost card is told once, as an error: what was being
    /// said is broken off there. The call after that waits until the card is back. May be cancelled.
    pub async fn frame(&mut self) -> Result<[i16; FRAME_SAMPLES], AudioError> {
        loop {
            if let Some(frame) = self.live.as_mut().and_then(Live::take) {
                return Ok(frame);
            }
            let event = match &mut self.live {
                Some(live) => tokio::select! {
                    biased;
                    event = self.events.recv() => event,
                    result = live.woken(&self.audio) => { result?; continue }
                },
                None => self.events.recv().await,
            };
            match event {
                Some(InputEvent::Lost(error)) => {
                    self.live = None;
                    return Err(error);
                }
                Some(InputEvent::Back(end)) => self.live = Some(Live::new(end)?),
                None => {
                    return Err(AudioError::Unavailable(String::from(
                        "the microphone was closed; open it again",
                    )));
                }
            }
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.events.close();
        self.audio.order(Order::CloseInput);
    }
}

impl Live {
    fn new(end: InputEnd) -> Result<Live, AudioError> {
        Ok(Live {
            ring: end.ring,
            wake: watched(end.shared)?,
            resampler: (end.rate_hz != SPEECH_RATE_HZ)
                .then(|| Resampler::new(end.rate_hz, SPEECH_RATE_HZ)),
            ready: Vec::new(),
        })
    }

    fn take(&mut self) -> Option<[i16; FRAME_SAMPLES]> {
        let mut frame = [0; FRAME_SAMPLES];
        let Some(resampler) = &mut self.resampler else {
            return self.ring.pop_entire_slice(&mut frame).ok().map(|()| frame);
        };
        let mut chunk = [0; CHUNK_SAMPLES];
        while self.ready.len() < FRAME_SAMPLES {
            let (got, _) = self.ring.pop_partial_slice(&mut chunk);
            if got.is_empty() {
                return None;
            }
            resampler.process(got, &mut self.ready);
        }
        frame.copy_from_slice(&self.ready[..FRAME_SAMPLES]);
        self.ready.drain(..FRAME_SAMPLES);
        Some(frame)
    }

    async fn woken(&mut self, audio: &Audio) -> Result<(), AudioError> {
        woken(&self.wake, audio).await
    }
}

pub(super) fn watched(shared: Arc<StreamShared>) -> Result<AsyncFd<SharedWake>, AudioError> {
    // SAFETY: the descriptor is owned by `shared`, which the AsyncFd keeps and never changes.
    let registered =
        unsafe { AsyncFd::register_with_interest(SharedWake(shared), Interest::READABLE) };
    registered.map_err(|error| {
        AudioError::Unavailable(format!(
            "the sound card's events cannot be watched ({error}); raise the limit of open files"
        ))
    })
}

/// Waits for the next signal of the callback.
pub(super) async fn woken(wake: &AsyncFd<SharedWake>, audio: &Audio) -> Result<(), AudioError> {
    let mut ready = wake.readable().await.map_err(|error| {
        AudioError::Unavailable(format!("the sound card's events ended ({error})"))
    })?;
    let shared = &wake.get_ref().0;
    audio.0.wake_times.observe(shared.since_signal());
    shared.wake.clear();
    ready.clear_ready();
    Ok(())
}
