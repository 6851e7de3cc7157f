//! What people said, as sound on the card: there before anything else happens to it.
//!
//! Owns the folder `recordings/` and its table. Sound that still has to be understood is never
//! removed for room: at the cap new recordings are refused. What is understood goes by age. At a
//! start everything that was not finished is found again and queued.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::db;
use super::error::VoiceError;
use super::memory::{fresh_id, is_id};
use super::queue::{JobKind, NewJob, Queue};
use crate::audio::SPEECH_RATE_HZ;
use crate::clock::{Clock, UnixMillis};
use crate::limits::{
    DISK_FREE_BYTES_MIN, RECORDING_ABANDONED_MAX, RECORDING_SWEEP, RECORDING_SWEEP_ROWS,
};
use crate::store::{Store, StoreError};

mod api;
mod kinds;
mod late;
mod pieces;
pub mod repair;
mod spoken;
mod tape;
mod unpack;
mod upload;
pub mod writer;

pub use api::routes;
pub use kinds::{Kept, Mode, NewRecording, Origin, Recorded, State};
pub use late::work;
use repair::Found;
use spoken::Fresh;
pub use spoken::{REPLY_PREFIX, Recital};
pub use tape::Tape;
use writer::{Handle, Writer};

const FOLDER: &str = "recordings";
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
    abandoned: mpsc::Sender<(Handle, Kept)>,
    /// Answers' sound that is not on the card.
    fresh: RefCell<Fresh>,
}

impl Recordings {
    /// Must be called on the loop. Repair, adoption and sweeping go on beside it.
    pub fn start(parts: RecordingsParts) -> Recordings {
        let folder = parts.data_dir.join(FOLDER);
        let (abandoned, left) = mpsc::channel(RECORDING_ABANDONED_MAX);
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
            abandoned,
            fresh: RefCell::default(),
        }));
        let keeper = recordings.clone();
        tokio::task::spawn_local(async move {
            if let Some(found) = found
                && let Ok(found) = found.await
            {
                keeper.adopt(found).await;
            }
            keeper.keep_house(left).await;
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
        let free = disk_free(&self.0.folder);
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
        let file = format!("{id}.{}", new.format);
        let handle = writer.open(
            self.0.folder.join(&file),
            new.format == "wav" && new.is_live(),
        );
        Ok(Recording {
            recordings: self.clone(),
            open: Some((
                handle,
                Kept {
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
                },
            )),
            samples: 0,
        })
    }

    /// Whole sound at the speech rate, on the card when this returns.
    pub async fn keep_samples(
        &self,
        new: NewRecording,
        samples: &[i16],
    ) -> Result<Kept, VoiceError> {
        self.check_room()?;
        let mut recording = self.begin(new)?;
        recording.push(samples)?;
        recording.finish().await
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
                db::recordings::transcribed(connection, &key, &text, now)?;
                db::recordings::answered(
                    connection,
                    &key,
                    memory_id.as_deref(),
                    result.as_ref(),
                    now,
                )
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

    /// What the last run left: files without a row get one, rows without a file are told.
    async fn adopt(&self, found: Vec<Found>) {
        if let Err(error) = self.try_adopt(found).await {
            log::warn!("event=recordings_not_adopted error=\"{error}\"");
        }
    }

    async fn try_adopt(&self, found: Vec<Found>) -> Result<(), VoiceError> {
        let unfinished = self.0.store.query(db::recordings::unfinished).await?;
        for file in &found {
            let id = file.id.clone();
            let known: Option<Option<String>> = self
                .0
                .store
                .query(move |connection| db::recordings::known_file(connection, &id))
                .await?;
            match known {
                // The box's own words are nobody's recording.
                None if is_id(&file.id, REPLY_PREFIX) => self.unlink(&file.file),
                None => {
                    let kept = self.adopted(file);
                    let job = stt_job(&kept.id);
                    self.store(kept, Some(job)).await?;
                    log::info!("event=recording_adopted recording={}", file.id);
                }
                Some(None) => self.unlink(&file.file),
                Some(Some(_)) => {}
            }
        }
        for row in unfinished {
            let file = found.iter().find(|file| file.id == row.id);
            self.take_up(row, file).await?;
        }
        Ok(())
    }

    async fn take_up(&self, row: Recorded, file: Option<&Found>) -> Result<(), VoiceError> {
        let now = self.0.clock.wall();
        let measured = file.map(|file| (file.bytes, file.duration));
        if measured.is_none() {
            log::warn!("event=recording_lost recording={}", row.id);
        }
        self.0
            .store
            .write(move |connection| {
                let Some((bytes, duration)) = measured else {
                    return db::recordings::set_state(connection, &row.id, State::Failed, now);
                };
                let duration = duration.map(|duration| duration.as_millis() as u64);
                db::recordings::measured(connection, &row.id, bytes, duration, now)?;
                db::jobs::insert(connection, &stt_job(&row.id), now).map(drop)
            })
            .await?;
        self.0.queue.wake();
        Ok(())
    }

    fn adopted(&self, file: &Found) -> Kept {
        Kept {
            id: file.id.clone(),
            file: file.file.clone(),
            format: file.file.rsplit('.').next().unwrap_or("wav").to_string(),
            origin: Origin::Device,
            // Nobody waits for an answer any more; the words must not be lost.
            mode: Mode::Note,
            state: State::Waiting,
            bytes: file.bytes,
            duration_ms: file.duration.map(|duration| duration.as_millis() as u64),
            hash: None,
            client_id: None,
            conversation_id: None,
            language: None,
            speak: false,
            recorded_at: file.changed_at,
        }
    }

    /// Bytes that wait for the card.
    pub(super) fn queued_bytes(&self) -> usize {
        self.0.writer.as_ref().map_or(0, Writer::queued_bytes)
    }

    fn unlink(&self, file: &str) {
        if let Some(writer) = &self.0.writer {
            writer.remove(self.0.folder.join(file));
        }
    }

    /// Takes in recordings that nobody finished, and sweeps now and then.
    async fn keep_house(&self, mut left: mpsc::Receiver<(Handle, Kept)>) {
        let mut sweeping = tokio::time::interval(RECORDING_SWEEP);
        loop {
            tokio::select! {
                Some((handle, kept)) = left.recv() => {
                    if let Err(error) = self.keep_abandoned(handle, kept).await {
                        log::warn!("event=recording_not_kept error=\"{error}\"");
                    }
                }
                _ = sweeping.tick() => {
                    if let Err(error) = self.sweep().await {
                        log::warn!("event=recordings_not_swept error=\"{error}\"");
                    }
                }
            }
        }
    }

    async fn keep_abandoned(&self, handle: Handle, kept: Kept) -> Result<(), VoiceError> {
        let kept = whole(handle, kept).await?;
        let job = stt_job(&kept.id);
        self.store(kept, Some(job)).await.map(drop)
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
        let cramped = disk_free(&self.0.folder).is_some_and(|free| free < DISK_FREE_BYTES_MIN);
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

/// One recording under way. Dropped without a word it is kept and understood later.
pub struct Recording {
    recordings: Recordings,
    /// Until it is finished or discarded.
    open: Option<(Handle, Kept)>,
    samples: u64,
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

    /// On the card when this returns; the row is for [`Recordings::store`].
    pub async fn finish(mut self) -> Result<Kept, VoiceError> {
        let Some((handle, mut kept)) = self.open.take() else {
            return Err(VoiceError::Store(StoreError::Closed));
        };
        if self.samples > 0 {
            kept.duration_ms = Some(self.length().as_millis() as u64);
        }
        whole(handle, kept).await
    }

    /// Nobody wants it: a false start, or the speaker's own word.
    pub fn discard(mut self) {
        if let Some((handle, _)) = self.open.take() {
            handle.discard();
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let Some((handle, mut kept)) = self.open.take() else {
            return;
        };
        if matches!(kept.origin, Origin::Upload | Origin::Reply) {
            // Half an upload: whoever sent it was told nothing and sends it again.
            return handle.discard();
        }
        if self.samples > 0 {
            kept.duration_ms = Some(self.length().as_millis() as u64);
        }
        kept.mode = Mode::Note;
        if self
            .recordings
            .0
            .abandoned
            .try_send((handle, kept))
            .is_err()
        {
            log::warn!("event=recording_left_for_the_next_start");
        }
    }
}

async fn whole(handle: Handle, mut kept: Kept) -> Result<Kept, VoiceError> {
    let written = handle.finish().await.map_err(card_error)?;
    kept.bytes = written.bytes;
    kept.hash = Some(written.hash);
    Ok(kept)
}

fn card_error(error: io::Error) -> VoiceError {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => VoiceError::Store(StoreError::Full),
        Some(libc::EROFS) => VoiceError::Store(StoreError::ReadOnly),
        _ => VoiceError::Store(StoreError::Io(error.to_string())),
    }
}

/// Bytes that this user may still write; `None` when the system does not say.
fn disk_free(folder: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    // The folder itself may not be there yet.
    let folder = if folder.exists() {
        folder
    } else {
        folder.parent()?
    };
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    let mut room = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: a terminated string, and a place that the call fills when it answers 0.
    let room = unsafe {
        (libc::statvfs(path.as_ptr(), room.as_mut_ptr()) == 0).then(|| room.assume_init())?
    };
    Some(room.f_bavail as u64 * room.f_frsize as u64)
}
