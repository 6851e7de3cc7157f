//! What a timer's ring sounds like on the box: a chime, then the words, beside nobody's turn.
//!
//! Promises to be silent as soon as the ring is stopped, never to speak into somebody's question
//! or answer, and to chime all the same while an answer is spoken.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::device::WeakDevice;
use super::rules::Language;
use super::timers::{Bell, Timer, TimerState, Timers, said};
use super::turn::{Phase, Turn};
use crate::audio::{Audio, Earcon, Playback};

pub struct BoxBell {
    device: WeakDevice,
    audio: Audio,
    timers: Timers,
    /// The chime under way.
    chime: RefCell<Option<Rc<Playback>>>,
    /// The turn that speaks the words.
    speaks: Rc<Cell<Option<Turn>>>,
}

impl BoxBell {
    pub fn new(device: WeakDevice, audio: Audio, timers: Timers) -> BoxBell {
        BoxBell {
            device,
            audio,
            timers,
            chime: RefCell::default(),
            speaks: Rc::default(),
        }
    }

    fn words(&self, timers: &[Timer]) -> String {
        let language = match timers.first().map(|timer| timer.language.as_str()) {
            Some("zh") => Language::Chinese,
            _ => Language::English,
        };
        let zone = super::timers::Timekeeper::zone(&self.timers);
        said::rung(language, timers, &zone)
    }
}

impl Bell for BoxBell {
    fn round(&self, timers: &[Timer]) {
        let Some(device) = self.device.upgrade() else {
            return;
        };
        // The microphone would hear it, and the person who speaks knows already.
        if matches!(device.state().phase, Phase::Listening { .. }) {
            return;
        }
        let chime = self.audio.play().ok().map(Rc::new);
        self.chime.replace(chime.clone());
        let text = self.words(timers);
        let is_missed = timers.iter().any(|timer| timer.state == TimerState::Missed);
        let rings = self.timers.clone();
        let speaks = Rc::clone(&self.speaks);
        let (samples, rate_hz) = device.earcons().sound(Earcon::Timer);
        tokio::task::spawn_local(async move {
            if let Some(chime) = chime {
                let sounded = async {
                    chime.write(&samples, rate_hz).await?;
                    chime.finished().await
                };
                // Without a speaker the clients still ring; its state is in the status already.
                let _ = tokio::time::timeout(crate::limits::RING_ROUND, sounded).await;
            }
            if is_missed || rings.is_ringing() {
                // The ring may have been stopped meanwhile.
                speaks.set(device.announce(&text));
            }
        });
    }

    fn ringing(&self, rings: bool) {
        let Some(device) = self.device.upgrade() else {
            return;
        };
        if let Err(error) = device.rings(rings) {
            log::warn!("event=ring_not_shown error=\"{error}\"");
        }
        if !rings {
            if let Some(chime) = self.chime.take() {
                chime.stop();
            }
            let turn = self.speaks.take();
            if turn.is_some() && device.state().turn() == turn {
                let _ = device.stop();
            }
        }
    }
}
