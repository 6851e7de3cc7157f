//! All request bodies that are held in memory, together.

use std::cell::Cell;

#[derive(Default)]
pub(super) struct BodyBudget {
    taken: Cell<usize>,
    max: usize,
}

impl BodyBudget {
    pub fn new(max: usize) -> BodyBudget {
        BodyBudget {
            taken: Cell::new(0),
            max,
        }
    }

    /// Whether there was room for `bytes` more; they are taken then.
    pub fn take(&self, bytes: usize) -> bool {
        let taken = self.taken.get() + bytes;
        if taken > self.max {
            return false;
        }
        self.taken.set(taken);
        true
    }

    pub fn give_back(&self, bytes: usize) {
        debug_assert!(bytes <= self.taken.get(), "more given back than taken");
        self.taken.set(self.taken.get().saturating_sub(bytes));
    }

    pub fn taken(&self) -> usize {
        self.taken.get()
    }
}
