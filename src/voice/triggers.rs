//! Two endpoints that are triggered at once by one voice: the one that hears it louder goes on.
//!
//! Endpoints whose listening began within [`TRIGGER_WINDOW`] of each other are rivals. Each is
//! judged by the power of its first [`TRIGGER_WINDOW`] of sound, once it has that much of it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use crate::clock::MonoMillis;
use crate::limits::TRIGGER_WINDOW;

/// Clones share what they know.
#[derive(Clone, Default)]
pub struct Triggers(Rc<RefCell<Vec<Weak<Trigger>>>>);

/// One endpoint that was just triggered, as long as it listens.
pub struct Trigger {
    began: MonoMillis,
    frames: Cell<u32>,
    power: Cell<f64>,
    is_outdone: Cell<bool>,
    others: Triggers,
}

impl Triggers {
    pub fn enter(&self, now: MonoMillis) -> Rc<Trigger> {
        let trigger = Rc::new(Trigger {
            began: now,
            frames: Cell::new(0),
            power: Cell::new(0.0),
            is_outdone: Cell::new(false),
            others: self.clone(),
        });
        let mut all = self.0.borrow_mut();
        all.retain(|other| other.strong_count() > 0);
        all.push(Rc::downgrade(&trigger));
        trigger
    }
}

impl Trigger {
    /// The power of the next 16 ms; whether a rival has heard more.
    pub fn hear(&self, power: f32) -> bool {
        let heard = self.frames.get();
        if heard < window_frames() {
            self.frames.set(heard + 1);
            self.power.set(self.power.get() + f64::from(power));
            if self.is_known() {
                self.judge();
            }
        }
        self.is_outdone.get()
    }

    fn is_known(&self) -> bool {
        self.frames.get() == window_frames()
    }

    /// Whoever knows its level last decides; an equal level goes to who was first.
    fn judge(&self) {
        let rivals: Vec<Rc<Trigger>> = self
            .others
            .0
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for rival in rivals {
            let apart = self
                .began
                .since(rival.began)
                .max(rival.began.since(self.began));
            let is_self = std::ptr::eq(&*rival, self);
            if is_self || apart > TRIGGER_WINDOW || !rival.is_known() || rival.is_outdone.get() {
                continue;
            }
            if rival.power.get() >= self.power.get() {
                self.is_outdone.set(true);
            } else {
                rival.is_outdone.set(true);
            }
        }
    }
}

fn window_frames() -> u32 {
    (TRIGGER_WINDOW.as_millis() as u32).div_ceil(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins two listenings `apart` milliseconds apart; which of them are outdone.
    fn contest(apart: u64, powers: [f32; 2]) -> [bool; 2] {
        let triggers = Triggers::default();
        let both = [MonoMillis(1_000), MonoMillis(1_000 + apart)].map(|at| triggers.enter(at));
        let mut outdone = [false; 2];
        for _ in 0..40 {
            for at in 0..2 {
                outdone[at] = both[at].hear(powers[at]);
            }
        }
        outdone
    }

    #[test]
    fn of_two_that_are_triggered_at_once_the_louder_goes_on() {
        assert_eq!(contest(200, [0.1, 0.4]), [true, false]);
        assert_eq!(contest(200, [0.4, 0.1]), [false, true]);
        assert_eq!(
            contest(300, [0.2, 0.2]),
            [false, true],
            "the first of two equals"
        );
        assert_eq!(contest(301, [0.1, 0.4]), [false, false], "not at once");
    }

    #[test]
    fn one_that_has_gone_is_nobodys_rival() {
        let triggers = Triggers::default();
        let loud = triggers.enter(MonoMillis(0));
        for _ in 0..40 {
            loud.hear(1.0);
        }
        drop(loud);
        let soft = triggers.enter(MonoMillis(10));
        assert!((0..40).all(|_| !soft.hear(0.1)));
        assert_eq!(triggers.0.borrow().len(), 1);
    }
}
