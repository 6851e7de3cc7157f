//! Keeps the house: what was let go becomes a job of the queue, however long the store or the queue
//! takes nothing; what waits for nobody is found; what is old goes.

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep_until};

use super::held::Left;
use super::{Recordings, db};
use crate::limits::{
    RECORDING_ABANDONED_MAX, RECORDING_CARE_PAUSES, RECORDING_SWEEP, RECORDING_SWEEP_ROWS,
};
use crate::voice::error::VoiceError;

/// Never ends.
pub(super) async fn keep_house(recordings: Recordings, mut let_go: mpsc::Receiver<Left>) {
    let mut keeper = Keeper::new(recordings);
    let mut sweeping = interval(RECORDING_SWEEP);
    loop {
        let next = keeper.refused.iter().map(|refused| refused.again_at).min();
        tokio::select! {
            Some(left) = let_go.recv() => keeper.take_care(left, 0).await,
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                keeper.try_again().await;
            }
            _ = sweeping.tick() => {
                if let Err(error) = keeper.attend().await {
                    log::warn!("event=recordings_not_attended error=\"{error}\"");
                }
                if let Err(error) = keeper.recordings.sweep().await {
                    log::warn!("event=recordings_not_swept error=\"{error}\"");
                }
            }
        }
    }
}

pub(super) struct Keeper {
    recordings: Recordings,
    /// What the store did not take.
    refused: Vec<Refused>,
    /// What waited for nobody when it was looked for last; a turn may have had it in its hands.
    alone: BTreeSet<String>,
}

struct Refused {
    left: Left,
    tries: usize,
    again_at: Instant,
}

impl Keeper {
    pub(super) fn new(recordings: Recordings) -> Keeper {
        Keeper {
            recordings,
            refused: Vec::new(),
            alone: BTreeSet::new(),
        }
    }

    async fn take_care(&mut self, mut left: Left, tries: usize) {
        let Err(error) = self.recordings.take_care(&mut left).await else {
            return;
        };
        let id = &left.kept.id;
        if left.is_broken() || self.refused.len() >= RECORDING_ABANDONED_MAX {
            return log::warn!("event=recording_not_kept recording={id} error=\"{error}\"");
        }
        if tries == 0 {
            log::warn!("event=recording_not_kept_yet recording={id} error=\"{error}\"");
        }
        let last = RECORDING_CARE_PAUSES.len() - 1;
        self.refused.push(Refused {
            left,
            tries: tries + 1,
            again_at: Instant::now() + RECORDING_CARE_PAUSES[tries.min(last)],
        });
    }

    async fn try_again(&mut self) {
        let now = Instant::now();
        let due = self
            .refused
            .extract_if(.., |refused| refused.again_at <= now);
        for refused in due.collect::<Vec<_>>() {
            self.take_care(refused.left, refused.tries).await;
        }
    }

    /// Queues what has waited for nobody since the last look.
    pub(super) async fn attend(&mut self) -> Result<(), VoiceError> {
        let store = self.recordings.database().clone();
        let find = |connection: &_| db::recordings::without_job(connection, RECORDING_SWEEP_ROWS);
        let found: BTreeSet<String> = store.query(find).await?.into_iter().collect();
        let long: Vec<String> = found.intersection(&self.alone).cloned().collect();
        self.alone = found;
        if long.is_empty() {
            return Ok(());
        }
        log::warn!("event=recordings_attended count={}", long.len());
        let now = self.recordings.0.clock.wall();
        let queued: Result<(), VoiceError> = store
            .write(move |connection| {
                for id in &long {
                    if db::recordings::is_waiting(connection, id)? {
                        db::recordings::to_be_understood(connection, id, now)?;
                    }
                }
                Ok(())
            })
            .await;
        self.recordings.wake_queue();
        queued
    }
}
