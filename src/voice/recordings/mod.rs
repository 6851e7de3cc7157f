//! What people said, as sound on the card: there before anything else happens to it.
//!
//! Owns the folder `recordings/` and its table. Sound that still has to be understood is never
//! removed for room: at the cap new recordings are refused. What is understood goes by age. At a
//! start everything that was not finished is found again and queued.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::db;
use super::error::VoiceError;
use super::memory::fresh_id;
use super::queue::{JobKind, NewJob, Queue};
use crate::audio::SPEECH_RATE_HZ;
use crate::clock::{Clock, UnixMillis};
use crate::limits::{DISK_FREE_BYTES_MIN, RECORDING_ABANDONED_MAX, RECORDING_SWEEP_ROWS};
use crate::ops::disk;
use crate::store::{Connection, Store, StoreError};

mod adopt;
mod api;
mod held;
mod keeper;
mod kinds;
mod late;
mod pieces;
pub mod repair;
mod spoken;
mod tape;
#[cfg(test)]
mod tests;
mod unpack;
mod upload;
pub mod writer;

pub use api::routes;
use held::Left;
pub use held::{Held, Next};
pub use kinds::{Kept, Mode, NewRecording, Origin, Recorded, State};
pub use late::work;
use spoken::Fresh;
pub use spoken::{REPLY_PREFIX, Recital};
pub use tape::Tape;
use writer::{Handle, Writer};

const FOLDER: &str = "recordings";
/// In the name of a file that came or was made in one piece: without a row it is nobody's.
const HANDED_IN: &str = "in.";
/// 2020-01-01: an earlier time was told by a board whose clock was not set yet.
const CLOCK_SET: UnixMillis = UnixMillis(1_577_836_800_000);

pub struct RecordingsParts {
    pub store: Store,
    pub clock: Clock,
    pub queue: Queue,
    pub data_dir: PathBuf,
    pub kept_days: u32,
    pub waiting_bytes_max: u64,
}

/// Handle; clones share it.
#[derive(Clone)]
pub struct Recordings(Rc<Inner>);

struct Inner {
    folder: PathBuf,
    store: Store,
    clock: Clock,
    queue: Queue,
    writer: Option<Writer>,
    kept: Cell<Duration>,
    waiting_bytes_max: Cell<u64>,
    left: mpsc::Sender<Left>,
    /// Answers' sound that is not on the card.
    fresh: RefCell<Fresh>,
}

impl Recordings {
    /// Must be called on the loop. Repair, adoption and sweeping go on beside it.
    pub fn start(parts: RecordingsParts) -> Recordings {
        let folder = parts.data_dir.join(FOLDER);
        let (left, to_care_for) = mpsc::channel(RECORDING_ABANDONED_MAX);
        // Read before there can be one of this run.
        let unfinished = parts.store.read(db::recordings::unfinished);
        let (writer, found) = match Writer::start(folder.clone()) {
            Ok((writer, found)) => (Some(writer), Some(found)),
            Err(error) => {
                log::error!("event=thread_not_started name=recorder error={error}");
                (None, None)
            }
        };
        let recordings = Recordings(Rc::new(Inner {
            folder,
            store: parts.store,
            clock: parts.clock,
            queue: parts.queue,
            writer,
            kept: Cell::new(days(parts.kept_days)),
            waiting_bytes_max: Cell::new(parts.waiting_bytes_max),
            left,
            fresh: RefCell::default(),
        }));
        let own = recordings.clone();
        tokio::task::spawn_local(async move {
            if let Some(found) = found
                && let Ok(found) = found.await
            {
                own.adopt(found, unfinished).await;
            }
            keeper::keep_house(own, to_care_for).await;
        });
        recordings
    }

    /// From now on; the next sweep goes by it.
    pub fn reconfigure(&self, kept_days: u32, waiting_bytes_max: u64) {
        self.0.kept.set(days(kept_days));
        self.0.waiting_bytes_max.set(waiting_bytes_max);
    }

    /// Refuses, with what to do, when there is no room for another recording.
    pub fn check_room(&self) -> Result<(), VoiceError> {
        let waiting = self.0.store.read(db::recordings::waiting_bytes)?;
        if waiting >= self.0.waiting_bytes_max.get() {
            return Err(VoiceError::Full(format!(
                "{} MB of recordings wait to be understood already; bring the network or a speech \
                 engine back, or delete some under /api/v1/jobs",
                waiting / (1024 * 1024)
            )));
        }
        let free = disk::free(&self.0.folder);
        if free.is_some_and(|free| free < DISK_FREE_BYTES_MIN) {
            return Err(VoiceError::Full(format!(
                "the card has less than {} MB left: nothing was recorded; make room",
                DISK_FREE_BYTES_MIN / (1024 * 1024)
            )));
        }
        Ok(())
    }

    /// Begins a file; its sound is safe as it comes.
    pub fn begin(&self, new: NewRecording) -> Result<Recording, VoiceError> {
        let Some(writer) = &self.0.writer else {
            return Err(VoiceError::Store(StoreError::Closed));
        };
        let id = fresh_id(match new.origin {
            Origin::Reply => REPLY_PREFIX,
            _ => "rec_",
        });
        let handed_in = if new.is_live() { "" } else { HANDED_IN };
        let file = format!("{id}.{handed_in}{}", new.format);
        let handle = writer.open(
            self.0.folder.join(&file),
            new.format == "wav" && new.is_live(),
        );
        let is_memo = new.is_live() && new.mode == Mode::Note;
        let kept = Kept {
            id,
            file,
            format: new.format.to_string(),
            origin: new.origin,
            mode: new.mode,
            state: State::Waiting,
            bytes: 0,
            duration_ms: None,
            hash: None,
            client_id: new.client_id,
            conversation_id: new.conversation_id,
            language: new.language,
            speak: new.speak,
            recorded_at: new.recorded_at.unwrap_or(self.0.clock.wall()),
        };
        if is_memo {
            let (begun, now) = (kept.clone(), self.0.clock.wall());
            self.write_behind(move |connection| db::recordings::begin(connection, &begun, now));
        }
        Ok(Recording {
            recordings: self.clone(),
            open: Some((handle, kept)),
            samples: 0,
            is_memo,
        })
    }

    /// Nobody waits for it; each is written before what is written later.
    fn write_behind(
        &self,
        write: impl FnOnce(&Connection) -> Result<(), VoiceError> + Send + 'static,
    ) {
        let store = self.0.store.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = store.write(write).await {
                log::warn!("event=recording_row_not_kept error=\"{error}\"");
            }
        });
    }

    /// Whole sound at the speech rate.
    pub fn begin_with(&self, new: NewRecording, samples: &[i16]) -> Result<Recording, VoiceError> {
        self.check_room()?;
        let mut recording = self.begin(new)?;
        recording.push(samples)?;
        Ok(recording)
    }

    /// The row of a kept file; with `job` the work that waits for it, in one transaction.
    pub async fn store(
        &self,
        kept: Kept,
        job: Option<NewJob>,
    ) -> Result<Option<String>, VoiceError> {
        let now = self.0.clock.wall();
        let has_job = job.is_some();
        let id = self
            .0
            .store
            .write(move |connection| {
                db::recordings::keep(connection, &kept, now)?;
                job.map(|job| db::jobs::insert(connection, &job, now))
                    .transpose()
            })
            .await?;
        if has_job {
            self.0.queue.wake();
        }
        Ok(id)
    }

    /// Marks a turn's recording as dealt with; its sound may go.
    pub async fn done(
        &self,
        id: &str,
        text: &str,
        memory_id: Option<String>,
        result: Option<serde_json::Value>,
    ) -> Result<(), VoiceError> {
        let (key, text, now) = (id.to_string(), text.to_string(), self.0.clock.wall());
        self.0
            .store
            .write(move |connection| {
                let (memory, result) = (memory_id.as_deref(), result.as_ref());
                db::recordings::answered(connection, &key, &text, memory, result, now)
            })
            .await?;
        self.after_use(id).await
    }

    /// Removes the sound for good and keeps the text. `false`: there is none.
    pub async fn remove_sound(&self, id: &str) -> Result<bool, VoiceError> {
        let (key, now) = (id.to_string(), self.0.clock.wall());
        let file = self
            .0
            .store
            .write(move |connection| db::recordings::drop_sound(connection, &key, now))
            .await?;
        let Some(file) = file else {
            return Ok(false);
        };
        if let Some(writer) = &self.0.writer {
            writer.remove(self.0.folder.join(file));
        }
        Ok(true)
    }

    pub fn get(&self, id: &str) -> Result<Option<Recorded>, VoiceError> {
        self.0
            .store
            .read(|connection| db::recordings::get(connection, id))
    }

    pub fn of_client(&self, client_id: &str) -> Result<Option<Recorded>, VoiceError> {
        self.0
            .store
            .read(|connection| db::recordings::of_client(connection, client_id))
    }

    pub fn path_of(&self, file: &str) -> PathBuf {
        self.0.folder.join(file)
    }

    /// Understood sound that nobody wants kept goes at once.
    pub(super) async fn after_use(&self, id: &str) -> Result<(), VoiceError> {
        if self.0.kept.get().is_zero() {
            self.remove_sound(id).await?;
        }
        Ok(())
    }

    pub(super) fn database(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// After a transaction that carried a job of a recording.
    pub fn wake_queue(&self) {
        self.0.queue.wake();
    }

    /// Bytes that wait for the card.
    pub(super) fn queued_bytes(&self) -> usize {
        self.0.writer.as_ref().map_or(0, Writer::queued_bytes)
    }

    /// What stays of them the next start removes.
    pub fn unlink_all(&self, files: &[String]) {
        files.iter().for_each(|file| self.unlink(file));
    }

    fn unlink(&self, file: &str) {
        if let Some(writer) = &self.0.writer {
            writer.remove(self.0.folder.join(file));
        }
    }

    /// Removes understood sound that has become too old or too much.
    async fn sweep(&self) -> Result<(), VoiceError> {
        let now = self.0.clock.wall();
        if now < CLOCK_SET {
            return Ok(());
        }
        let adopted: Result<(), VoiceError> = self
            .0
            .store
            .write(move |connection| db::recordings::adopt_time(connection, CLOCK_SET, now))
            .await;
        adopted?;
        let before = UnixMillis(now.0 - self.0.kept.get().as_millis() as i64);
        let cramped = disk::free(&self.0.folder).is_some_and(|free| free < DISK_FREE_BYTES_MIN);
        let kept_max = if cramped {
            0
        } else {
            self.0.waiting_bytes_max.get()
        };
        loop {
            let outlived: Result<Vec<String>, VoiceError> = self
                .0
                .store
                .query(move |connection| {
                    db::recordings::outlived(connection, before, kept_max, RECORDING_SWEEP_ROWS)
                })
                .await;
            let outlived = outlived?;
            for id in &outlived {
                self.remove_sound(id).await?;
            }
            if outlived.len() < RECORDING_SWEEP_ROWS {
                return Ok(());
            }
        }
    }
}

fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 86_400)
}

/// The work that a recording waits for.
pub fn stt_job(recording: &str) -> NewJob {
    NewJob {
        kind: JobKind::Stt,
        subject: recording.to_string(),
        recording_id: Some(recording.to_string()),
        payload: serde_json::json!({}),
    }
}

/// The answer to what was understood.
pub fn reply_job(recording: &str) -> NewJob {
    NewJob {
        kind: JobKind::Reply,
        ..stt_job(recording)
    }
}

/// One recording under way. Dropped without a word it is kept and understood later.
pub struct Recording {
    recordings: Recordings,
    /// Until it is finished or discarded.
    open: Option<(Handle, Kept)>,
    samples: u64,
    /// It has a row already.
    is_memo: bool,
}

impl Recording {
    pub fn id(&self) -> &str {
        self.open.as_ref().map_or("", |(_, kept)| &kept.id)
    }

    pub fn length(&self) -> Duration {
        Duration::from_millis(self.samples * 1_000 / u64::from(SPEECH_RATE_HZ))
    }

    /// Live sound at the speech rate; never waits.
    pub fn push(&mut self, samples: &[i16]) -> Result<(), VoiceError> {
        self.samples += samples.len() as u64;
        let bytes = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        self.push_bytes(bytes)
    }

    /// Sound as somebody sent it.
    pub fn push_bytes(&mut self, bytes: Vec<u8>) -> Result<(), VoiceError> {
        let taken = self
            .open
            .as_ref()
            .is_some_and(|(handle, _)| handle.append(bytes));
        match taken {
            true => Ok(()),
            false => Err(VoiceError::Full(String::from(
                "the card takes no more sound; what came before is kept",
            ))),
        }
    }

    /// That was all: it is on its way to the card.
    pub fn end(mut self, next: Next) -> Result<Held, VoiceError> {
        match self.open.take() {
            Some((handle, kept)) => Ok(self.held(handle, kept, next)),
            None => Err(VoiceError::Store(StoreError::Closed)),
        }
    }

    /// On the card when this returns; the row is for [`Recordings::store`].
    pub async fn finish(self) -> Result<Kept, VoiceError> {
        let next = self.unless_told();
        let held = self.end(next)?;
        let kept = held.whole().await?;
        held.release();
        Ok(kept)
    }

    /// Nobody wants it: a false start, or the speaker's own word.
    pub fn discard(mut self) {
        let Some((handle, kept)) = self.open.take() else {
            return;
        };
        handle.discard();
        if self.is_memo {
            self.recordings
                .write_behind(move |connection| db::recordings::delete(connection, &kept.id));
        }
    }

    /// Live sound is understood later; nobody was told of half an upload, which is sent again.
    fn unless_told(&self) -> Next {
        let origin = self.open.as_ref().map(|(_, kept)| kept.origin);
        match origin {
            Some(Origin::Device | Origin::Socket) => Next::Understand,
            _ => Next::Remove,
        }
    }

    fn held(&self, handle: Handle, mut kept: Kept, next: Next) -> Held {
        if self.samples > 0 {
            kept.duration_ms = Some(self.length().as_millis() as u64);
        }
        Held::new(self.recordings.clone(), kept, handle.finish(), next)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let next = self.unless_told();
        let Some((handle, mut kept)) = self.open.take() else {
            return;
        };
        if next == Next::Remove {
            return handle.discard();
        }
        kept.mode = Mode::Note;
        drop(self.held(handle, kept, next));
    }
}

fn card_error(error: io::Error) -> VoiceError {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => VoiceError::Store(StoreError::Full),
        Some(libc::EROFS) => VoiceError::Store(StoreError::ReadOnly),
        _ => VoiceError::Store(StoreError::Io(error.to_string())),
    }
}
