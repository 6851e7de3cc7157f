//! Sound in and out: devices, rings, resampling, voice activity, WAV.
//!
//! The loop sees 16 kHz mono frames come and samples go; cards, rates and callbacks stay in here.
//! One thread owns the open cards ([`engine`]); samples go from a card's callback through a
//! lock-free ring straight to the loop, or back. A card that is unplugged ends nothing but the sound
//! of the moment: it is opened again by itself, and [`Audio::watch`] tells of it.

#[cfg(feature = "audio")]
mod alsa_config;
mod backend;
pub mod barge_in;
mod capture;
mod check;
#[cfg(feature = "audio")]
mod cpal_backend;
pub mod decode;
pub mod earcon;
pub mod endpoint;
mod engine;
pub mod level;
mod play;
pub mod resample;
// Without a sound system nothing drives the callbacks' ends.
#[cfg_attr(not(feature = "audio"), allow(dead_code))]
mod stream;
pub mod vad;
mod wake;
pub mod wav;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc as orders;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

pub use capture::Capture;
pub use check::{Levels, SoundCheck};
pub use earcon::Earcon;
pub use endpoint::{EndCause, EndpointEvent, EndpointOptions, Endpointer};
pub use engine::RETRIES;
pub use play::Playback;
pub use resample::Resampler;
pub use vad::Vad;

use crate::limits;
use crate::ops::{Counter, Histogram, Registry};
use engine::Order;
use wake::Wake;

/// Rate of all speech inside the box.
pub const SPEECH_RATE_HZ: u32 = 16_000;
/// 16 ms, the voice activity detector's step.
pub const FRAME_SAMPLES: usize = 256;

#[derive(Clone, Debug)]
pub struct AudioOptions {
    /// Name of the ALSA PCM, or `default`; `off` opens nothing.
    pub input: String,
    pub output: String,
    /// What the card asks for at a time; it holds two of these.
    pub period: Duration,
    /// 0..=100.
    pub volume: u8,
}

/// The text says what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioError {
    /// Not there or unplugged; opened again by itself when it is back.
    Unavailable(String),
    Busy(String),
    /// The device cannot be used at all, with what to do.
    Refused(String),
    Off,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct AudioStatus {
    pub input: String,
    pub output: String,
    pub input_error: Option<String>,
    pub output_error: Option<String>,
    /// Overruns and underruns of both directions since the start.
    pub xruns: u64,
}

/// A device that the sound system offers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeviceInfo {
    /// What `AUDIO_INPUT` and `AUDIO_OUTPUT` take.
    pub name: String,
    pub description: String,
    /// ALSA's type: `hw`, `plug`, `dmix`; empty when unknown.
    pub kind: String,
    pub input: bool,
    pub output: bool,
}

/// The loop's handle of the sound thread.
#[derive(Clone)]
pub struct Audio(Rc<Inner>);

struct Inner {
    /// `None` only while being dropped.
    orders: Option<orders::Sender<Order>>,
    /// `None` when the system had no descriptor left for it.
    wake: Option<Arc<Wake>>,
    gain: Arc<AtomicU32>,
    status: watch::Receiver<AudioStatus>,
    input_off: bool,
    output_off: bool,
    input_xruns: Counter,
    output_xruns: Counter,
    /// From a callback's signal to the task that waited for it.
    wake_times: Histogram,
    speaker: RefCell<Option<Rc<play::Speaker>>>,
    /// Held while the speaker is being opened.
    opening: tokio::sync::Mutex<()>,
}

/// Tells of each change of the status: an error, and its end.
pub struct StatusWatch {
    audio: Audio,
    status: watch::Receiver<AudioStatus>,
}

impl Audio {
    /// Never fails: what is wrong with a device is in [`Audio::status`] and in each use.
    pub fn start(options: AudioOptions, metrics: &Registry) -> Audio {
        Audio::start_with_retries(options, metrics, &RETRIES)
    }

    /// Like [`Audio::start`] with the waits between two tries to open a lost card.
    pub fn start_with_retries(
        options: AudioOptions,
        metrics: &Registry,
        retries: &[Duration],
    ) -> Audio {
        let xruns = |stream| {
            let help = "Overruns and underruns of the sound card.";
            metrics.counter("voice_audio_xruns_total", help, &[("stream", stream)])
        };
        let (input_xruns, output_xruns) = (xruns("input"), xruns("output"));
        let (status_sender, status) = watch::channel(AudioStatus {
            input: options.input.clone(),
            output: options.output.clone(),
            ..AudioStatus::default()
        });
        let (sender, receiver) = orders::channel();
        let gain = Arc::new(AtomicU32::new(gain_of(options.volume).to_bits()));
        let mut inner = Inner {
            orders: Some(sender),
            wake: None,
            gain: gain.clone(),
            status,
            input_off: is_off(&options.input),
            output_off: is_off(&options.output),
            input_xruns: input_xruns.clone(),
            output_xruns: output_xruns.clone(),
            wake_times: metrics.histogram(
                "voice_audio_wake_seconds",
                "From the sound card's callback to the task that waits for it.",
                &[],
            ),
            speaker: RefCell::new(None),
            opening: tokio::sync::Mutex::new(()),
        };
        let started = Wake::new().and_then(|wake| {
            let wake = Arc::new(wake);
            inner.wake = Some(wake.clone());
            let parts = engine::Parts {
                options,
                retries: retries.to_vec(),
                orders: receiver,
                wake,
                gain,
                status: status_sender,
                input_xruns,
                output_xruns,
            };
            std::thread::Builder::new()
                .name(String::from("audio"))
                .stack_size(limits::SOUND_STACK_BYTES)
                .spawn(move || engine::run(parts))
        });
        if let Err(error) = started {
            log::error!(
                "event=audio_thread error={error:?} effect=\"no sound until the next start\""
            );
        }
        Audio(Rc::new(inner))
    }

    /// Opens the microphone. One user at a time: a second one is told it is busy.
    pub async fn capture(&self) -> Result<Capture, AudioError> {
        if self.0.input_off {
            return Err(AudioError::Off);
        }
        Capture::open(self.clone()).await
    }

    /// A new sound. The speaker is opened by the first [`Playback::write`] and closed when it was
    /// idle for [`limits::SPEAKER_IDLE`].
    pub fn play(&self) -> Result<Playback, AudioError> {
        if self.0.output_off {
            return Err(AudioError::Off);
        }
        Ok(Playback::new(self.clone()))
    }

    pub fn status(&self) -> AudioStatus {
        let mut status = self.0.status.borrow().clone();
        status.xruns = self.0.input_xruns.get() + self.0.output_xruns.get();
        status
    }

    /// Tells of changes from now on.
    pub fn watch(&self) -> StatusWatch {
        let mut status = self.0.status.clone();
        status.mark_unchanged();
        StatusWatch {
            audio: self.clone(),
            status,
        }
    }

    /// 0..=100; heard within two periods.
    pub fn set_volume(&self, percent: u8) {
        self.0
            .gain
            .store(gain_of(percent).to_bits(), Ordering::Relaxed);
    }

    /// 0..=100, as it was set last.
    pub fn volume(&self) -> u8 {
        let gain = f32::from_bits(self.0.gain.load(Ordering::Relaxed));
        (gain.max(0.0).sqrt() * 100.0).round() as u8
    }

    /// Every device of the sound system, also those that would be refused.
    pub async fn devices(&self) -> Vec<DeviceInfo> {
        self.ask(|reply| Order::Devices { reply })
            .await
            .unwrap_or_default()
    }

    async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T, AudioError> {
        let (reply, answer) = oneshot::channel();
        self.order(order(reply));
        answer.await.map_err(|_| {
            AudioError::Unavailable(String::from(
                "the sound thread has ended; start the program again",
            ))
        })
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.0.orders {
            // A thread that has ended drops the order, and with it the reply's sender.
            let _ = orders.send(order);
            self.0.signal();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.orders = None;
        self.signal();
    }
}

impl Inner {
    fn signal(&self) {
        if let Some(wake) = &self.wake {
            wake.signal();
        }
    }
}

impl StatusWatch {
    /// Waits for the next change since the last call; never resolves after the sound thread ended.
    pub async fn changed(&mut self) -> AudioStatus {
        if self.status.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.audio.status()
    }
}

impl fmt::Display for AudioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AudioError::Unavailable(text) | AudioError::Busy(text) | AudioError::Refused(text) => {
                f.write_str(text)
            }
            AudioError::Off => f.write_str(
                "sound is off; set AUDIO_INPUT and AUDIO_OUTPUT to a device that `magpie devices` lists",
            ),
        }
    }
}

impl std::error::Error for AudioError {}

fn is_off(device: &str) -> bool {
    device == "off" || cfg!(not(feature = "audio"))
}

/// The square of the share: people hear 50 as about half as loud, which is a quarter of the amplitude.
fn gain_of(percent: u8) -> f32 {
    let part = f32::from(percent.min(100)) / 100.0;
    part * part
}
