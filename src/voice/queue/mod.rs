//! Work that waits for a network, a model or a quiet moment, kept over restarts.
//!
//! A job is a row that rides in the transaction of whatever caused it, so none is lost and none
//! is there without its cause. Each kind has a lane that works its jobs off one at a time, oldest
//! first; what fails for now is tried again with growing waits, what fails for good says why and
//! stays to be retried by hand. Work is done at least once: workers know their own results.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::db;
use super::error::VoiceError;
use super::memory::fresh_id;
use crate::bus::Bus;
use crate::clock::{Clock, UnixMillis};
use crate::limits::{JOB_MAX, JOB_POLL, JOB_STORE_RETRY, JOBS_DONE_KEPT};
use crate::ops::{Gauge, Registry};
use crate::store::Store;

mod api;
mod lane;
#[cfg(test)]
mod tests;

pub use api::routes;
use lane::Lane;
pub use lane::{Fate, Pace, Settled};

/// Bus topic of `job`, whenever one changes.
pub const TOPIC: &str = "jobs";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Sound to text.
    Stt,
    /// The answer to a text that was understood late.
    Reply,
    Organize,
    Embed,
    Summary,
}

/// Work to be done; the same kind and subject are one job until it is done.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub kind: JobKind,
    pub subject: String,
    pub recording_id: Option<String>,
    /// What the worker is told, a JSON object.
    pub payload: Value,
}

#[derive(Clone, Debug)]
pub struct Job {
    pub id: String,
    pub kind: JobKind,
    pub subject: String,
    pub recording_id: Option<String>,
    pub payload: Value,
    /// Tries before this one.
    pub attempts: u32,
    pub created_at: UnixMillis,
    pub(super) seq: i64,
    pub(super) revision: i64,
    pub(super) waited: Duration,
    pub(super) is_aside: bool,
}

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Worth another try; `after` where the other side said when.
    Later {
        why: String,
        after: Option<Duration>,
    },
    /// Never by itself again.
    Failed(String),
}

pub type Work<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

pub trait Worker {
    /// May be asked for the same job again, also after it was done: a restart forgets what was
    /// not stored. Dropping the future gives the try up.
    fn run<'a>(&'a self, job: &'a Job) -> Work<'a>;
}

/// Numbers of jobs by state, and bytes of sound that waits to be understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct QueueHealth {
    pub pending: u64,
    pub failed: u64,
    pub bytes: u64,
}

pub struct QueueParts {
    pub store: Store,
    pub bus: Bus,
    pub clock: Clock,
    pub metrics: Registry,
    pub pace: Pace,
}

/// Handle of the queue; clones share it.
#[derive(Clone)]
pub struct Queue(Rc<Inner>);

struct Inner {
    store: Store,
    bus: Bus,
    clock: Clock,
    pace: Cell<Pace>,
    pending: Gauge,
    lanes: RefCell<HashMap<JobKind, Rc<Bell>>>,
    running: RefCell<HashMap<String, AbortHandle>>,
}

/// How a lane is called.
#[derive(Default)]
struct Bell {
    /// There may be a new job.
    work: Notify,
    /// Whatever was in the way may be gone: try at once.
    again: Notify,
}

impl Queue {
    pub fn start(parts: QueueParts) -> Queue {
        let pending = parts.metrics.gauge(
            "voice_queue_pending",
            "Jobs that wait or run: late transcripts, answers, filing.",
            &[],
        );
        let queue = Queue(Rc::new(Inner {
            store: parts.store,
            bus: parts.bus,
            clock: parts.clock,
            pace: Cell::new(parts.pace),
            pending,
            lanes: RefCell::default(),
            running: RefCell::default(),
        }));
        queue.count();
        queue
    }

    /// From the next try on.
    pub fn reconfigure(&self, pace: Pace) {
        self.0.pace.set(pace);
    }

    /// Adds a job by itself; durable when this returns. Its id, also when it was there already.
    pub async fn add(&self, job: NewJob) -> Result<String, VoiceError> {
        let now = self.0.clock.wall();
        let id = self
            .0
            .store
            .write(move |connection| db::jobs::insert(connection, &job, now))
            .await?;
        self.wake();
        self.announce(&id);
        Ok(id)
    }

    /// Looks for new work, after a transaction that carried some.
    pub fn wake(&self) {
        self.count();
        for bell in self.0.lanes.borrow().values() {
            bell.work.notify_one();
        }
    }

    /// The network is back: what waits for it is tried at once, in order.
    pub fn network_returned(&self) {
        for bell in self.0.lanes.borrow().values() {
            bell.again.notify_one();
        }
    }

    /// From now on jobs of `kind` are worked off; once a kind.
    pub fn work(&self, kind: JobKind, worker: Rc<dyn Worker>) {
        let bell = Rc::new(Bell::default());
        let before = self.0.lanes.borrow_mut().insert(kind, Rc::clone(&bell));
        debug_assert!(before.is_none(), "{kind:?} has two workers");
        tokio::task::spawn_local(run_lane(self.clone(), kind, worker, bell));
    }

    pub fn health(&self) -> QueueHealth {
        let read = self.0.store.read(db::jobs::health);
        read.unwrap_or_else(|error: VoiceError| {
            log::warn!("event=queue_not_counted error=\"{error}\"");
            QueueHealth::default()
        })
    }

    /// Tries a job again that was given up or that waits.
    pub async fn retry(&self, id: &str) -> Result<(), VoiceError> {
        let (key, now) = (id.to_string(), self.0.clock.wall());
        let found = self
            .0
            .store
            .write(move |connection| db::jobs::retry(connection, &key, now))
            .await?;
        if !found {
            return Err(no_job());
        }
        self.count();
        self.announce(id);
        self.network_returned();
        Ok(())
    }

    /// Gives a job up for good; one that runs is ended.
    pub async fn remove(&self, id: &str) -> Result<(), VoiceError> {
        let key = id.to_string();
        let found = self
            .0
            .store
            .write(move |connection| db::jobs::delete(connection, &key))
            .await?;
        if !found {
            return Err(no_job());
        }
        if let Some(running) = self.0.running.borrow_mut().remove(id) {
            running.abort();
        }
        self.count();
        self.0
            .bus
            .publish(TOPIC, "job", json!({"id": id, "state": "deleted"}));
        Ok(())
    }

    /// One page, oldest first, as JSON.
    pub async fn list_json(
        &self,
        state: Option<String>,
        page: super::memory::Page,
    ) -> Result<Vec<u8>, VoiceError> {
        self.0
            .store
            .query(move |connection| db::jobs::list_json(connection, state.as_deref(), page))
            .await
    }

    /// Tells of work on the way on the queue's topic; events of one key replace each other.
    pub fn tell(&self, kind: &'static str, key: Option<&str>, payload: Value) {
        self.0.bus.publish_keyed(TOPIC, kind, key, payload);
    }

    fn count(&self) {
        self.0.pending.set(self.health().pending as i64);
    }

    fn announce(&self, id: &str) {
        let view = self
            .0
            .store
            .read(|connection| db::jobs::view(connection, id));
        match view {
            Ok(Some(view)) => self.0.bus.publish(TOPIC, "job", json!(view)),
            Ok(None) => {}
            Err(error) => {
                let error: VoiceError = error;
                log::warn!("event=job_not_announced job={id} error=\"{error}\"");
            }
        }
    }
}

fn no_job() -> VoiceError {
    VoiceError::NotFound(String::from("job of this id"))
}

async fn run_lane(queue: Queue, kind: JobKind, worker: Rc<dyn Worker>, bell: Rc<Bell>) {
    let left = until_stored(&queue, |queue| {
        let now = queue.0.clock.wall();
        let requeued = queue
            .0
            .store
            .write(move |connection| db::jobs::requeue(connection, kind, now));
        Box::pin(requeued)
    })
    .await;
    let mut lane = Lane::new(queue.0.pace.get(), left > 0);
    loop {
        let after = lane.looks_after();
        let now = queue.0.clock.wall();
        let next = queue
            .0
            .store
            .read(|connection| db::jobs::next(connection, kind, after, now));
        let job = match next {
            Ok(Some(job)) => job,
            Ok(None) => {
                match lane.nothing_left() {
                    Some(wait) => pause(&bell, &mut lane, wait).await,
                    None => wait_for_work(&bell).await,
                }
                continue;
            }
            Err(error) => {
                let error: VoiceError = error;
                log::warn!(
                    "event=queue_not_read kind={} error=\"{error}\"",
                    kind.name()
                );
                tokio::time::sleep(JOB_STORE_RETRY).await;
                continue;
            }
        };
        let Some(outcome) = try_once(&queue, &worker, &job).await else {
            continue;
        };
        lane.pace = queue.0.pace.get();
        let settled = lane.settle(&job, outcome, random());
        keep(&queue, &job, &settled).await;
        pause(&bell, &mut lane, settled.pause).await;
    }
}

async fn wait_for_work(bell: &Bell) {
    tokio::select! {
        () = bell.work.notified() => {}
        () = bell.again.notified() => {}
        // A job set aside comes due without a call.
        () = tokio::time::sleep(JOB_POLL) => {}
    }
}

async fn pause(bell: &Bell, lane: &mut Lane, pause: Duration) {
    if pause.is_zero() {
        return;
    }
    tokio::select! {
        () = bell.again.notified() => lane.network_returned(),
        () = tokio::time::sleep(pause) => {}
    }
}

/// `None`: the job was taken away meanwhile, or could not be begun.
async fn try_once(queue: &Queue, worker: &Rc<dyn Worker>, job: &Job) -> Option<Outcome> {
    let (id, now) = (job.id.clone(), queue.0.clock.wall());
    let begun = queue
        .0
        .store
        .write(move |connection| db::jobs::begin(connection, &id, now))
        .await;
    match begun {
        Ok(true) => queue.announce(&job.id),
        Ok(false) => return None,
        Err(error) => {
            let error: VoiceError = error;
            log::warn!("event=job_not_begun job={} error=\"{error}\"", job.id);
            tokio::time::sleep(JOB_STORE_RETRY).await;
            return None;
        }
    }
    let (worker, mine) = (Rc::clone(worker), job.clone());
    // A task of its own: a panic in one job costs that job.
    let task =
        tokio::task::spawn_local(
            async move { tokio::time::timeout(JOB_MAX, worker.run(&mine)).await },
        );
    let running = &queue.0.running;
    running
        .borrow_mut()
        .insert(job.id.clone(), task.abort_handle());
    let ended = task.await;
    running.borrow_mut().remove(&job.id);
    Some(match ended {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Outcome::Later {
            why: format!("not done after {} s", JOB_MAX.as_secs()),
            after: None,
        },
        Err(error) if error.is_cancelled() => return None,
        Err(_) => Outcome::Failed(String::from(
            "an internal error; the log says more; retry it by hand",
        )),
    })
}

/// Stores what became of a try, however long the card refuses: a result is not made twice.
async fn keep(queue: &Queue, job: &Job, settled: &Settled) {
    until_stored(queue, |queue| {
        let (job, settled) = (job.clone(), settled.clone());
        let now = queue.0.clock.wall();
        Box::pin(queue.0.store.write(move |connection| {
            db::jobs::settle(connection, &job, &settled, now)?;
            db::jobs::prune(connection, JOBS_DONE_KEPT)
        }))
    })
    .await;
    if let Fate::Failed(why) = &settled.fate {
        log::warn!(
            "event=job_failed job={} kind={} attempts={} error={why:?}",
            job.id,
            job.kind.name(),
            job.attempts + 1
        );
    }
    queue.count();
    queue.announce(&job.id);
}

type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, VoiceError>> + 'a>>;

async fn until_stored<T>(queue: &Queue, write: impl Fn(&Queue) -> Stored<'_, T>) -> T {
    loop {
        match write(queue).await {
            Ok(value) => return value,
            Err(error) => {
                log::warn!("event=queue_not_stored error=\"{error}\"");
                tokio::time::sleep(JOB_STORE_RETRY).await;
            }
        }
    }
}

/// Uniform in 0..1.
fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness all boxes wait the same time, which is no fault of one of them.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

impl JobKind {
    pub const ALL: [JobKind; 5] = [
        JobKind::Stt,
        JobKind::Reply,
        JobKind::Organize,
        JobKind::Embed,
        JobKind::Summary,
    ];

    pub fn name(self) -> &'static str {
        match self {
            JobKind::Stt => "stt",
            JobKind::Reply => "reply",
            JobKind::Organize => "organize",
            JobKind::Embed => "embed",
            JobKind::Summary => "summary",
        }
    }

    pub fn parse(name: &str) -> Option<JobKind> {
        JobKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl NewJob {
    /// The id a row of this job gets.
    pub(super) fn fresh_id() -> String {
        fresh_id("job_")
    }
}
