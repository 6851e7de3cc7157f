//! A recording that has come to its end, in the hands of whoever goes on with it.
//!
//! Whoever holds it says how far it is. Let go at any moment, by a failure, a limit, a lost client
//! or a panic, what is still to be done goes to the queue: no recording waits for nobody.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::writer::Written;
use super::{Kept, Recordings, card_error};
use crate::store::StoreError;
use crate::voice::db;
use crate::voice::error::VoiceError;

pub struct Held {
    recordings: Recordings,
    /// Until somebody has taken care of it.
    left: RefCell<Option<Left>>,
}

/// What becomes of a recording that is let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nobody was told that it is here: it goes.
    Remove,
    Understand,
    /// These are its words.
    Answer(String),
    /// Somebody waved it away, or nothing is in it: it stays for its days.
    Rest(String),
}

/// A recording that was let go.
pub(super) struct Left {
    sound: Sound,
    pub(super) kept: Kept,
    pub(super) next: Next,
}

enum Sound {
    /// On its way to the card.
    Coming(oneshot::Receiver<io::Result<Written>>),
    Whole,
    Broken(VoiceError),
}

impl Held {
    pub(super) fn new(
        recordings: Recordings,
        kept: Kept,
        coming: oneshot::Receiver<io::Result<Written>>,
        next: Next,
    ) -> Held {
        Held {
            recordings,
            left: RefCell::new(Some(Left {
                sound: Sound::Coming(coming),
                kept,
                next,
            })),
        }
    }

    pub fn id(&self) -> String {
        let left = self.left.borrow();
        left.as_ref()
            .map_or_else(String::new, |left| left.kept.id.clone())
    }

    /// Resolves once all of it is synced.
    pub async fn whole(&self) -> Result<Kept, VoiceError> {
        poll_fn(|context| match &mut *self.left.borrow_mut() {
            Some(left) => left.poll_whole(context),
            None => Poll::Ready(Err(VoiceError::Store(StoreError::Closed))),
        })
        .await
    }

    /// What is known of it now that was not when it began.
    pub fn describe(&self, set: impl FnOnce(&mut Kept)) {
        if let Some(left) = &mut *self.left.borrow_mut() {
            set(&mut left.kept);
        }
    }

    /// From now on this is what is to be done, should nobody do it.
    pub fn next(&self, next: Next) {
        if let Some(left) = &mut *self.left.borrow_mut() {
            left.next = next;
        }
    }

    /// All is done, or stored as a job.
    pub fn release(&self) {
        self.left.borrow_mut().take();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(left) = self.left.borrow_mut().take() {
            self.recordings.leave(left);
        }
    }
}

impl Left {
    /// The card did not take its sound, and never will.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self.sound, Sound::Broken(_))
    }

    fn poll_whole(&mut self, context: &mut Context<'_>) -> Poll<Result<Kept, VoiceError>> {
        if let Sound::Coming(coming) = &mut self.sound {
            let written = ready!(Pin::new(coming).poll(context));
            let ended = || io::Error::other("the recorder has ended");
            self.sound = match written.unwrap_or_else(|_| Err(ended())) {
                Ok(written) => {
                    self.kept.bytes = written.bytes;
                    self.kept.hash = Some(written.hash);
                    Sound::Whole
                }
                Err(error) => Sound::Broken(card_error(error)),
            };
        }
        Poll::Ready(match &self.sound {
            Sound::Broken(error) => Err(error.clone()),
            _ => Ok(self.kept.clone()),
        })
    }
}

impl Recordings {
    fn leave(&self, left: Left) {
        if self.0.left.try_send(left).is_err() {
            log::warn!("event=recording_left_for_the_next_start");
        }
    }

    /// Does what is left to do, or stores it as a job.
    pub(super) async fn take_care(&self, left: &mut Left) -> Result<(), VoiceError> {
        let whole = poll_fn(|context| left.poll_whole(context)).await;
        if left.next == Next::Remove {
            return self.remove(&left.kept).await;
        }
        let (kept, next, now) = (whole?, left.next.clone(), self.0.clock.wall());
        let id = kept.id.clone();
        let is_over = matches!(next, Next::Rest(_));
        self.0
            .store
            .write(move |connection| {
                let id = &kept.id;
                db::recordings::keep(connection, &kept, now)?;
                if !db::recordings::is_waiting(connection, id)? {
                    return Ok(());
                }
                match next {
                    Next::Understand => db::recordings::to_be_understood(connection, id, now),
                    Next::Answer(text) => {
                        db::recordings::to_be_answered(connection, id, &text, now)
                    }
                    Next::Rest(text) => {
                        db::recordings::answered(connection, id, &text, None, None, now)
                    }
                    Next::Remove => Ok(()),
                }
            })
            .await?;
        self.0.queue.wake();
        match is_over {
            true => self.after_use(&id).await,
            false => Ok(()),
        }
    }

    /// Row and file, as if they had never been.
    pub(super) async fn remove(&self, kept: &Kept) -> Result<(), VoiceError> {
        let id = kept.id.clone();
        self.0
            .store
            .write(move |connection| db::recordings::delete(connection, &id))
            .await?;
        self.unlink(&kept.file);
        Ok(())
    }
}
