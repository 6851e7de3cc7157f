//! The sound thread: it owns the open streams, because opening a card blocks and a stream may not
//! leave the thread that made it.
//!
//! It sleeps until an order, a lost card or a retry is due; samples never pass through it. A card
//! that is lost is opened again by the schedule, whether or not somebody waits for it, so that
//! [`super::AudioStatus`] tells the truth.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc as orders;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::backend::{self, Backend, Direction, OpenStream};
use super::stream::{self, InputEnd, Loss, OutputEnd, StreamShared, Users};
use super::wake::Wake;
use super::{AudioError, AudioOptions, AudioStatus, DeviceInfo};
use crate::limits;
use crate::ops::Counter;

/// Waits between two tries to open a lost card; the last one repeats.
pub const RETRIES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// How often open streams are looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// A card that moves this many times more frames than its rate allows keeps no time.
const RACING: u64 = 4;

pub(super) enum Order {
    OpenInput {
        events: mpsc::Sender<InputEvent>,
        reply: oneshot::Sender<Result<InputEnd, AudioError>>,
    },
    CloseInput,
    OpenOutput {
        reply: oneshot::Sender<Result<OutputEnd, AudioError>>,
    },
    Devices {
        reply: oneshot::Sender<Vec<DeviceInfo>>,
    },
}

/// What an open microphone learns between samples.
pub(super) enum InputEvent {
    Lost(AudioError),
    Back(InputEnd),
}

/// What the thread is started with.
pub(super) struct Parts {
    pub(super) options: AudioOptions,
    pub(super) retries: Vec<Duration>,
    pub(super) orders: orders::Receiver<Order>,
    pub(super) wake: Arc<Wake>,
    pub(super) gain: Arc<AtomicU32>,
    pub(super) status: watch::Sender<AudioStatus>,
    pub(super) input_xruns: Counter,
    pub(super) output_xruns: Counter,
}

pub(super) fn run(parts: Parts) {
    let mut engine = Engine {
        backend: backend::system(),
        input: Side::new(&parts.options.input),
        output: Side::new(&parts.options.output),
        input_events: None,
        output_users: None,
        output_idle_since: None,
        parts,
    };
    engine.check(Direction::Input);
    engine.check(Direction::Output);
    while engine.turn() {}
}

struct Engine {
    parts: Parts,
    backend: Box<dyn Backend>,
    input: Side,
    output: Side,
    /// Whoever has the microphone.
    input_events: Option<mpsc::Sender<InputEvent>>,
    output_users: Option<Arc<Users>>,
    output_idle_since: Option<Instant>,
}

/// One direction: its stream while open, and what is wrong with it.
struct Side {
    device: String,
    open: Option<Open>,
    error: Option<AudioError>,
    retry: Option<Retry>,
}

struct Open {
    stream: OpenStream,
    shared: Arc<StreamShared>,
    watch: Watch,
}

struct Retry {
    tries: usize,
    at: Instant,
}

/// Compares the frames that passed with the time that passed.
struct Watch {
    since: Instant,
    frames: u64,
    moved: Instant,
}

impl Engine {
    /// Whether there is more to do; false when the loop's handle is gone.
    fn turn(&mut self) -> bool {
        self.parts.wake.wait(self.next_wait());
        loop {
            match self.parts.orders.try_recv() {
                Ok(order) => self.obey(order),
                Err(orders::TryRecvError::Empty) => break,
                Err(orders::TryRecvError::Disconnected) => return false,
            }
        }
        self.watch(Direction::Input);
        self.watch(Direction::Output);
        self.close_idle_speaker();
        self.retry(Direction::Input);
        self.retry(Direction::Output);
        true
    }

    fn next_wait(&self) -> Duration {
        let mut wait = Duration::from_secs(60);
        for side in [&self.input, &self.output] {
            if side.open.is_some() {
                wait = wait.min(WATCH_INTERVAL);
            }
            if let Some(retry) = &side.retry {
                wait = wait.min(retry.at.saturating_duration_since(Instant::now()));
            }
        }
        wait
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::OpenInput { events, reply } => {
                let result = self.open_for(events);
                let _ = reply.send(result);
            }
            Order::CloseInput => self.close_left_microphone(),
            Order::OpenOutput { reply } => {
                let _ = reply.send(self.open_output());
            }
            Order::Devices { reply } => {
                let _ = reply.send(self.backend.devices());
            }
        }
    }

    /// Somebody let go of a microphone; if it was another one than the open one, that goes on.
    fn close_left_microphone(&mut self) {
        if self
            .input_events
            .as_ref()
            .is_some_and(mpsc::Sender::is_closed)
        {
            self.input_events = None;
            self.input.open = None;
        }
    }

    fn open_for(&mut self, events: mpsc::Sender<InputEvent>) -> Result<InputEnd, AudioError> {
        self.close_left_microphone();
        if self.input_events.is_some() {
            return Err(AudioError::Busy(String::from(
                "the microphone is already listening for somebody else; end that first",
            )));
        }
        let end = self.open_input()?;
        self.input_events = Some(events);
        Ok(end)
    }

    fn open_input(&mut self) -> Result<InputEnd, AudioError> {
        let shared = self.shared(&self.parts.input_xruns)?;
        let mut end = None;
        let opened = match self.usable(Direction::Input) {
            Ok(()) => self.backend.open_input(
                &self.input.device,
                self.parts.options.period,
                &mut |rate_hz| {
                    let (sink, loop_end) = stream::input(&shared, rate_hz);
                    end = Some(loop_end);
                    sink
                },
            ),
            Err(error) => Err(error),
        };
        self.opened(Direction::Input, opened, shared)?;
        end.ok_or_else(|| not_driven(Direction::Input))
    }

    fn open_output(&mut self) -> Result<OutputEnd, AudioError> {
        let shared = self.shared(&self.parts.output_xruns)?;
        let gain = self.parts.gain.clone();
        let mut end = None;
        let opened = match self.usable(Direction::Output) {
            Ok(()) => self.backend.open_output(
                &self.output.device,
                self.parts.options.period,
                &mut |rate_hz| {
                    let (source, loop_end) = stream::output(&shared, rate_hz, gain.clone());
                    end = Some(loop_end);
                    source
                },
            ),
            Err(error) => Err(error),
        };
        self.opened(Direction::Output, opened, shared)?;
        let end: OutputEnd = end.ok_or_else(|| not_driven(Direction::Output))?;
        self.output_users = Some(end.users.clone());
        self.output_idle_since = None;
        Ok(end)
    }

    fn shared(&self, xruns: &Counter) -> Result<Arc<StreamShared>, AudioError> {
        StreamShared::new(self.parts.wake.clone(), xruns.clone()).map_err(|error| {
            AudioError::Unavailable(format!(
                "no descriptor for the sound card ({error}); raise the limit of open files"
            ))
        })
    }

    /// Closes what is open and looks whether the device may be used at all.
    fn usable(&mut self, direction: Direction) -> Result<(), AudioError> {
        let side = match direction {
            Direction::Input => &mut self.input,
            Direction::Output => &mut self.output,
        };
        side.open = None;
        if side.device == "off" {
            return Err(AudioError::Off);
        }
        self.backend.check(direction, &side.device).map(drop)
    }

    /// Notes how an attempt to open ended, in status, log and schedule.
    fn opened(
        &mut self,
        direction: Direction,
        opened: Result<OpenStream, AudioError>,
        shared: Arc<StreamShared>,
    ) -> Result<(), AudioError> {
        match opened {
            Ok(stream) => {
                log::debug!(
                    "event=audio_open kind={} device={:?} {}",
                    direction.name(),
                    self.side(direction).device,
                    stream.agreed
                );
                let watch = Watch::new(Instant::now());
                self.side(direction).open = Some(Open {
                    stream,
                    shared,
                    watch,
                });
                self.well(direction);
                Ok(())
            }
            Err(error) => {
                self.failed(direction, &error);
                Err(error)
            }
        }
    }

    /// At the start: tells early what a first use would find out, and warns once.
    fn check(&mut self, direction: Direction) {
        let device = self.side(direction).device.clone();
        if device == "off" {
            return;
        }
        match self.backend.check(direction, &device) {
            Ok(None) => {}
            Ok(Some(warning)) => log::warn!("event=audio_warning {warning}"),
            Err(AudioError::Off) => {}
            Err(error) => self.failed(direction, &error),
        }
    }

    fn failed(&mut self, direction: Direction, error: &AudioError) {
        if *error == AudioError::Off {
            return;
        }
        let again = matches!(error, AudioError::Unavailable(_) | AudioError::Busy(_));
        let schedule = &self.parts.retries;
        let side = match direction {
            Direction::Input => &mut self.input,
            Direction::Output => &mut self.output,
        };
        let tries = side.retry.as_ref().map_or(0, |retry| retry.tries);
        let wait = schedule.get(tries.min(schedule.len().saturating_sub(1)));
        side.retry = match (again, wait) {
            (true, Some(wait)) => Some(Retry {
                tries: tries + 1,
                at: Instant::now() + *wait,
            }),
            _ => None,
        };
        if side.error.as_ref() == Some(error) {
            return;
        }
        log::warn!(
            "event=audio_failed kind={} device={:?} error={:?}",
            direction.name(),
            side.device,
            error.to_string()
        );
        side.error = Some(error.clone());
        self.publish();
    }

    fn well(&mut self, direction: Direction) {
        let side = self.side(direction);
        side.retry = None;
        if side.error.take().is_some() {
            log::info!(
                "event=audio_back kind={} device={:?}",
                direction.name(),
                side.device
            );
            self.publish();
        }
    }

    fn publish(&self) {
        let text = |side: &Side| side.error.as_ref().map(AudioError::to_string);
        self.parts.status.send_modify(|status| {
            status.input_error = text(&self.input);
            status.output_error = text(&self.output);
        });
    }

    /// Drops a stream whose card is gone, stands still or keeps no time.
    fn watch(&mut self, direction: Direction) {
        let side = self.side(direction);
        let Some(open) = &mut side.open else { return };
        let name = direction.name();
        let device = &side.device;
        let error = match open.shared.loss() {
            Some(Loss::Gone) => AudioError::Unavailable(format!(
                "the {name} {device:?} was unplugged; plug it in again, it is opened by itself"
            )),
            Some(Loss::Invalid) => AudioError::Unavailable(format!(
                "the {name} {device:?} changed its format; it is opened again by itself"
            )),
            Some(Loss::Broken) => AudioError::Unavailable(format!(
                "the {name} {device:?} gives nothing but errors; unplug it and plug it in again"
            )),
            None => match open
                .watch
                .look(Instant::now(), open.shared.frames(), open.stream.rate_hz)
            {
                Pace::Good => return,
                Pace::Stalled => AudioError::Unavailable(format!(
                    "the {name} {device:?} stands still; unplug it and plug it in again"
                )),
                Pace::Racing => AudioError::Refused(format!(
                    "the {name} {device:?} does not keep time, as ALSA's null and file devices do; set {} to a real card or to off",
                    direction.setting()
                )),
            },
        };
        // Whoever still holds the other end learns that nothing moves any more.
        open.shared.lost(Loss::Broken);
        side.open = None;
        self.failed(direction, &error);
        if direction == Direction::Input
            && let Some(events) = &self.input_events
        {
            let _ = events.try_send(InputEvent::Lost(error));
        }
    }

    fn retry(&mut self, direction: Direction) {
        let due = |retry: &Retry| retry.at <= Instant::now();
        if !self.side(direction).retry.as_ref().is_some_and(due) {
            return;
        }
        match direction {
            Direction::Input => self.retry_input(),
            Direction::Output => {
                if self.open_output().is_ok() {
                    // Only a look whether it works; the next sound opens it again.
                    self.output.open = None;
                }
            }
        }
    }

    fn retry_input(&mut self) {
        let Ok(end) = self.open_input() else { return };
        let Some(events) = self.input_events.clone() else {
            // Only a look whether it works; the next capture opens it again.
            self.input.open = None;
            return;
        };
        if events.try_send(InputEvent::Back(end)).is_err() {
            // Its owner reads no events at the moment, or is about to close it.
            self.input.open = None;
            let wait = self.parts.retries.last().copied().unwrap_or_default();
            self.input.retry = (!events.is_closed()).then(|| Retry {
                tries: self.parts.retries.len(),
                at: Instant::now() + wait.max(WATCH_INTERVAL),
            });
        }
    }

    fn close_idle_speaker(&mut self) {
        let (Some(_), Some(users)) = (&self.output.open, &self.output_users) else {
            return;
        };
        if users.any() {
            self.output_idle_since = None;
            return;
        }
        let since = *self.output_idle_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= limits::SPEAKER_IDLE && users.close_if_empty() {
            self.output.open = None;
            self.output_users = None;
        }
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Input => &mut self.input,
            Direction::Output => &mut self.output,
        }
    }
}

impl Side {
    fn new(device: &str) -> Side {
        Side {
            device: device.to_string(),
            open: None,
            error: None,
            retry: None,
        }
    }
}

fn not_driven(direction: Direction) -> AudioError {
    AudioError::Unavailable(format!(
        "the {} was opened without a stream; try again",
        direction.name()
    ))
}

#[derive(Debug, PartialEq, Eq)]
enum Pace {
    Good,
    Stalled,
    Racing,
}

impl Watch {
    fn new(now: Instant) -> Watch {
        Watch {
            since: now,
            frames: 0,
            moved: now,
        }
    }

    /// `frames` passed from the opening of the stream to `now`.
    fn look(&mut self, now: Instant, frames: u64, rate_hz: u32) -> Pace {
        let fresh = frames - self.frames;
        if fresh > 0 {
            self.moved = now;
        } else if now - self.moved >= limits::CARD_STALL_MAX {
            return Pace::Stalled;
        }
        let passed_ms = (now - self.since).as_millis() as u64;
        if passed_ms < WATCH_INTERVAL.as_millis() as u64 {
            return Pace::Good;
        }
        (self.since, self.frames) = (now, frames);
        if fresh > u64::from(rate_hz) * passed_ms / 1000 * RACING {
            return Pace::Racing;
        }
        Pace::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every half second at a card that moves `frames_per_look`; the first verdict that is not good.
    fn verdict(frames_per_look: u64, looks: u64) -> Option<(u64, Pace)> {
        let began = Instant::now();
        let mut watch = Watch::new(began);
        (1..=looks)
            .map(|look| {
                let now = began + WATCH_INTERVAL * look as u32;
                (look, watch.look(now, frames_per_look * look, 48_000))
            })
            .find(|(_, pace)| *pace != Pace::Good)
    }

    #[test]
    fn a_card_that_keeps_time_is_left_alone_even_when_it_hurries_to_catch_up() {
        assert_eq!(verdict(24_000, 100), None);
        assert_eq!(verdict(60_000, 100), None);
        assert_eq!(verdict(1, 100), None);
    }

    #[test]
    fn a_card_that_stands_still_is_noticed_after_two_seconds() {
        assert_eq!(verdict(0, 100), Some((4, Pace::Stalled)));
    }

    #[test]
    fn a_device_that_takes_all_it_gets_at_once_is_noticed_at_the_first_look() {
        assert_eq!(verdict(24_000 * 50, 100), Some((1, Pace::Racing)));
    }
}
