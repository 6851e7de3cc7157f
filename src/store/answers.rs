//! The way back: results of a whole batch reach the loop in one message and one wake.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Delivers one result; runs on the loop.
pub type Deliver = Box<dyn FnOnce() + Send>;

/// Shared by the threads that answer and the task that hands the answers out.
#[derive(Clone, Default)]
pub struct Answers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Vec<Deliver>>,
    wake: Notify,
}

impl Answers {
    /// Called by a thread.
    pub fn send(&self, batch: Vec<Deliver>) {
        if batch.is_empty() {
            return;
        }
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(batch);
        self.0.wake.notify_one();
    }

    /// Runs on the loop for as long as the store lives.
    pub async fn hand_out(self) {
        loop {
            self.0.wake.notified().await;
            let batch = mem::take(
                &mut *self
                    .0
                    .waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            );
            for deliver in batch {
                deliver();
            }
        }
    }
}
