//! Follows a listener and puts what it keeps on the card as it comes.

use std::cell::{Cell, RefCell};

use super::{NewRecording, Recording, Recordings};
use crate::voice::error::VoiceError;

pub struct Tape<'a> {
    pub recordings: &'a Recordings,
    pub new: NewRecording,
    /// The recording under way, shared with whoever may have to end it.
    pub slot: &'a RefCell<Option<Recording>>,
    written: Cell<usize>,
    rewritten: Cell<u32>,
}

impl<'a> Tape<'a> {
    pub fn new(
        recordings: &'a Recordings,
        new: NewRecording,
        slot: &'a RefCell<Option<Recording>>,
    ) -> Tape<'a> {
        Tape {
            recordings,
            new,
            slot,
            written: Cell::new(0),
            rewritten: Cell::new(0),
        }
    }

    pub fn check_room(&self) -> Result<(), VoiceError> {
        self.recordings.check_room()
    }

    /// Takes what is new in `samples`; they are others altogether when `rewritten` has changed.
    pub fn follow(&self, rewritten: u32, samples: &[i16]) -> Result<(), VoiceError> {
        if self.rewritten.replace(rewritten) != rewritten {
            if let Some(false_start) = self.slot.borrow_mut().take() {
                false_start.discard();
            }
            self.written.set(0);
        }
        let fresh = samples.get(self.written.get()..).unwrap_or_default();
        if fresh.is_empty() {
            return Ok(());
        }
        self.written.set(samples.len());
        self.append(fresh)
    }

    pub fn append(&self, samples: &[i16]) -> Result<(), VoiceError> {
        let mut slot = self.slot.borrow_mut();
        let recording = match &mut *slot {
            Some(recording) => recording,
            None => slot.insert(self.recordings.begin(self.new.clone())?),
        };
        recording.push(samples)
    }
}
