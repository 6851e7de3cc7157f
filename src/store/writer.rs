//! The `store` thread: the one connection that writes, and group commit.
//!
//! A batch is one transaction: the job that came first and all that came while it ran, each in
//! a savepoint, so that one job's failure is its own. Answers leave after the commit. Relaxed
//! jobs ride along with durable ones, or go after a second of waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::answers::{Answers, Deliver};
use super::{Durability, StoreError, open};
use crate::limits::{
    STORE_BATCH_BYTES_MAX, STORE_BATCH_JOBS_MAX, STORE_LINGER, STORE_QUEUE_BYTES_MAX,
    STORE_QUEUE_JOBS_MAX, STORE_RELAXED_JOBS_MAX, STORE_RELAXED_WAIT, THREAD_STACK_BYTES,
    WAL_CHECKPOINT_IDLE_PAGES, WAL_CHECKPOINT_PAGES,
};
use crate::ops::{Counter, Gauge, Histogram, Registry};

/// Durable jobs that wait.
pub const QUEUE_METRIC: &str = "store_queue_jobs";
/// From the start of a batch to the end of its commit.
pub const COMMIT_METRIC: &str = "store_commit_seconds";

/// Runs the job; its answer is delivered once the batch's fate is known.
pub type Run = Box<dyn FnOnce(&Connection) -> Ran + Send>;

/// Given `Ok` after the commit, or why there was none; makes what is handed to the loop.
pub type Answer = Box<dyn FnOnce(Result<(), StoreError>) -> Deliver + Send>;

/// What a job left behind.
pub struct Ran {
    /// Keep what it wrote.
    pub keep: bool,
    pub answer: Answer,
}

pub struct Job {
    pub run: Run,
    /// Its answer when it could not run at all.
    pub refuse: Box<dyn FnOnce(StoreError) -> Deliver + Send>,
    pub bytes: usize,
}

pub type Relaxed = Box<dyn FnOnce(&Connection) -> rusqlite::Result<()> + Send>;

enum Message {
    Durable(Job),
    Relaxed(Relaxed),
    Close,
}

/// What other threads may read at any time.
pub struct StoreHealth {
    started: Instant,
    /// When the batch that runs began, in milliseconds since the start; negative: none runs.
    batch_since_ms: AtomicI64,
    /// The last commit failed.
    pub failing: AtomicBool,
}

impl StoreHealth {
    fn new() -> StoreHealth {
        StoreHealth {
            started: Instant::now(),
            batch_since_ms: AtomicI64::new(-1),
            failing: AtomicBool::new(false),
        }
    }

    /// How long the batch that runs has been at it: a card that hangs shows here.
    pub fn batch_age(&self) -> Option<Duration> {
        let since = u64::try_from(self.batch_since_ms.load(Ordering::Relaxed)).ok()?;
        Some(
            self.started
                .elapsed()
                .saturating_sub(Duration::from_millis(since)),
        )
    }

    fn batch_begins(&self) {
        let now = self.started.elapsed().as_millis() as i64;
        self.batch_since_ms.store(now, Ordering::Relaxed);
    }

    fn batch_ended(&self) {
        self.batch_since_ms.store(-1, Ordering::Relaxed);
    }
}

pub struct WriterThread {
    jobs: SyncSender<Message>,
    queued: Arc<Queued>,
    metrics: Metrics,
    pub health: Arc<StoreHealth>,
    thread: std::cell::RefCell<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queued {
    jobs: AtomicUsize,
    bytes: AtomicUsize,
    relaxed: AtomicUsize,
}

#[derive(Clone)]
struct Metrics {
    queue: Gauge,
    commit: Histogram,
    committed: Counter,
    failed: Counter,
    relaxed_dropped: Counter,
    wal_pages: Gauge,
}

impl WriterThread {
    pub fn start(
        connection: Connection,
        path: PathBuf,
        durability: Durability,
        registry: &Registry,
        answers: Answers,
    ) -> std::io::Result<WriterThread> {
        let (jobs, inbox) = sync_channel(STORE_QUEUE_JOBS_MAX + STORE_RELAXED_JOBS_MAX + 2);
        let metrics = Metrics::new(registry);
        let queued = Arc::new(Queued::default());
        let health = Arc::new(StoreHealth::new());
        let mut writer = Writer {
            connection: Some(connection),
            path,
            durability,
            inbox,
            answers,
            queued: queued.clone(),
            metrics: metrics.clone(),
            health: health.clone(),
            pending: Vec::new(),
            pending_since: None,
            closing: false,
        };
        let thread = std::thread::Builder::new()
            .name("store".into())
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| writer.turn_until_closed())).is_err() {
                    // Jobs are caught by themselves, so this is the store's own fault: nothing
                    // could be kept any more, and a supervisor starts the box afresh.
                    log::error!("event=store_thread_panicked");
                    crate::ops::log::flush();
                    std::process::abort();
                }
            })?;
        Ok(WriterThread {
            jobs,
            queued,
            metrics,
            health,
            thread: std::cell::RefCell::new(Some(thread)),
        })
    }

    pub fn durable(&self, job: Job) -> Result<(), StoreError> {
        let bytes = job.bytes;
        let jobs = self.queued.jobs.fetch_add(1, Ordering::Relaxed) + 1;
        let held = self.queued.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // What is larger than the queue goes alone, or it would never go.
        let is_alone = held == bytes;
        let fits = jobs <= STORE_QUEUE_JOBS_MAX && (held <= STORE_QUEUE_BYTES_MAX || is_alone);
        let sent = if fits {
            self.send(Message::Durable(job))
        } else {
            Err(StoreError::Busy)
        };
        if sent.is_err() {
            self.queued.jobs.fetch_sub(1, Ordering::Relaxed);
            self.queued.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.metrics
            .queue
            .set(self.queued.jobs.load(Ordering::Relaxed) as i64);
        sent
    }

    /// Dropped, and counted, when too many wait.
    pub fn relaxed(&self, job: Relaxed) {
        let waiting = self.queued.relaxed.fetch_add(1, Ordering::Relaxed);
        if waiting >= STORE_RELAXED_JOBS_MAX || self.send(Message::Relaxed(job)).is_err() {
            self.queued.relaxed.fetch_sub(1, Ordering::Relaxed);
            self.metrics.relaxed_dropped.inc();
        }
    }

    /// Everything queued before is committed first. May wait for a place in the queue.
    pub fn close(&self) -> Option<JoinHandle<()>> {
        let thread = self.thread.borrow_mut().take();
        if thread.is_some() {
            let _ = self.jobs.send(Message::Close);
        }
        thread
    }

    /// As [`WriterThread::close`], without waiting: `Err` while the queue has no place.
    pub fn try_close(&self) -> Result<Option<JoinHandle<()>>, StoreError> {
        if self.thread.borrow().is_none() {
            return Ok(None);
        }
        match self.send(Message::Close) {
            Err(StoreError::Busy) => Err(StoreError::Busy),
            _ => Ok(self.thread.borrow_mut().take()),
        }
    }

    fn send(&self, message: Message) -> Result<(), StoreError> {
        self.jobs.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })
    }
}

struct Writer {
    /// `None` after a failure that a connection does not survive, until it could be reopened.
    connection: Option<Connection>,
    path: PathBuf,
    durability: Durability,
    inbox: Receiver<Message>,
    answers: Answers,
    queued: Arc<Queued>,
    metrics: Metrics,
    health: Arc<StoreHealth>,
    /// Relaxed jobs that wait for company.
    pending: Vec<Relaxed>,
    pending_since: Option<Instant>,
    closing: bool,
}

impl Writer {
    fn turn_until_closed(&mut self) {
        let mut last_was_shared = false;
        while !self.closing {
            let Some(first) = self.wait() else {
                self.commit(Vec::new());
                continue;
            };
            let mut batch = vec![first];
            self.gather(&mut batch, last_was_shared);
            last_was_shared = batch.len() > 1;
            self.commit(batch);
            self.checkpoint(WAL_CHECKPOINT_PAGES);
        }
        // Whatever was sent before the close is still honoured.
        let mut rest = Vec::new();
        while let Ok(message) = self.inbox.try_recv() {
            self.sort(message, &mut rest);
        }
        self.commit(rest);
        if let Some(connection) = self.connection.take() {
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }

    /// The next durable job; `None` when relaxed jobs have waited long enough or the end is near.
    fn wait(&mut self) -> Option<Job> {
        let mut batch = Vec::new();
        loop {
            let message = match self.pending_since {
                None => match self.inbox.try_recv() {
                    Ok(message) => Ok(message),
                    Err(_) => {
                        self.checkpoint(WAL_CHECKPOINT_IDLE_PAGES);
                        self.inbox
                            .recv()
                            .map_err(|_| RecvTimeoutError::Disconnected)
                    }
                },
                Some(since) => {
                    let left = STORE_RELAXED_WAIT.saturating_sub(since.elapsed());
                    self.inbox.recv_timeout(left)
                }
            };
            match message {
                Ok(message) => self.sort(message, &mut batch),
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => self.closing = true,
            }
            if let Some(job) = batch.pop() {
                return Some(job);
            }
            if self.closing {
                return None;
            }
        }
    }

    /// Takes all that waits, and lingers a moment for more when the last batch was shared.
    fn gather(&mut self, batch: &mut Vec<Job>, linger: bool) {
        let until = Instant::now() + if linger { STORE_LINGER } else { Duration::ZERO };
        let mut bytes: usize = batch.iter().map(|job| job.bytes).sum();
        while batch.len() < STORE_BATCH_JOBS_MAX && bytes < STORE_BATCH_BYTES_MAX && !self.closing {
            let message = match self.inbox.try_recv() {
                Ok(message) => message,
                Err(_) => match self
                    .inbox
                    .recv_timeout(until.saturating_duration_since(Instant::now()))
                {
                    Ok(message) => message,
                    Err(_) => break,
                },
            };
            let before = batch.len();
            self.sort(message, batch);
            bytes += batch[before..].iter().map(|job| job.bytes).sum::<usize>();
        }
    }

    fn sort(&mut self, message: Message, batch: &mut Vec<Job>) {
        match message {
            Message::Durable(job) => {
                self.queued.jobs.fetch_sub(1, Ordering::Relaxed);
                self.queued.bytes.fetch_sub(job.bytes, Ordering::Relaxed);
                batch.push(job);
            }
            Message::Relaxed(job) => {
                self.pending_since.get_or_insert_with(Instant::now);
                self.pending.push(job);
            }
            Message::Close => self.closing = true,
        }
    }

    fn commit(&mut self, batch: Vec<Job>) {
        let relaxed = std::mem::take(&mut self.pending);
        // Counted until now, so that those that wait for company are bounded as well.
        self.queued
            .relaxed
            .fetch_sub(relaxed.len(), Ordering::Relaxed);
        self.pending_since = None;
        if batch.is_empty() && relaxed.is_empty() {
            return;
        }
        self.metrics
            .queue
            .set(self.queued.jobs.load(Ordering::Relaxed) as i64);
        let began = Instant::now();
        self.health.batch_begins();
        let jobs = batch.len() + relaxed.len();
        let answers = match self.connection() {
            Ok(connection) => {
                let (answers, outcome) = run_batch(connection, batch, relaxed);
                self.note(&outcome, began.elapsed(), jobs);
                answers
            }
            Err(error) => {
                let answers = batch
                    .into_iter()
                    .map(|job| (job.refuse)(error.clone()))
                    .collect();
                self.note(&Err(error), began.elapsed(), jobs);
                answers
            }
        };
        self.health.batch_ended();
        self.answers.send(answers);
    }

    fn note(&mut self, outcome: &Result<(), StoreError>, took: Duration, jobs: usize) {
        self.metrics.commit.observe(took);
        match outcome {
            Ok(()) => {
                self.metrics.committed.add(jobs as u64);
                if self.health.failing.swap(false, Ordering::Relaxed) {
                    log::info!("store writes again");
                }
            }
            Err(error) => {
                self.metrics.failed.add(jobs as u64);
                if !self.health.failing.swap(true, Ordering::Relaxed) {
                    log::error!("store cannot write error={error}");
                }
                if error.breaks_connection() {
                    self.connection = None;
                }
            }
        }
    }

    /// The writing connection, opened afresh after a failure.
    fn connection(&mut self) -> Result<&Connection, StoreError> {
        if self.connection.is_none() {
            let connection = open::writing(&self.path, self.durability)?;
            let verdict: String =
                connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if verdict != "ok" {
                return Err(StoreError::Corrupt(verdict));
            }
            self.connection = Some(connection);
        }
        self.connection.as_ref().ok_or(StoreError::Closed)
    }

    /// Moves the log into the file when more of its pages than given are not there yet; never
    /// waits for readers. A log that was moved whole is begun anew by the next commit; its file
    /// keeps its length, which therefore says nothing.
    fn checkpoint(&mut self, pages_min: u32) {
        let Some(connection) = &self.connection else {
            return;
        };
        let counts = |pragma| {
            connection
                .prepare_cached(pragma)?
                .query_row([], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
        };
        let done = counts("PRAGMA wal_checkpoint(NOOP)").and_then(|(in_log, moved)| {
            self.metrics.wal_pages.set(in_log);
            if in_log - moved > i64::from(pages_min) {
                counts("PRAGMA wal_checkpoint(PASSIVE)")?;
            }
            rusqlite::Result::Ok(())
        });
        if let Err(error) = done {
            log::warn!("checkpoint failed error={error}");
        }
    }
}

/// One transaction around all jobs; the answers that go with its fate.
fn run_batch(
    connection: &Connection,
    batch: Vec<Job>,
    relaxed: Vec<Relaxed>,
) -> (Vec<Deliver>, Result<(), StoreError>) {
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        let error = StoreError::from(error);
        let refused = batch.into_iter().map(|job| (job.refuse)(error.clone()));
        return (refused.collect(), Err(error));
    }
    let mut ran: Vec<Answer> = Vec::with_capacity(batch.len());
    for job in batch {
        // An error can end the whole transaction; what ran after it would commit by itself.
        if connection.is_autocommit() {
            ran.push(Box::new(|outcome| {
                (job.refuse)(outcome.err().unwrap_or_else(transaction_ended))
            }));
            continue;
        }
        match in_savepoint(connection, job.run) {
            Ok(outcome) => ran.push(outcome.answer),
            Err(error) => {
                let answer = (job.refuse)(error);
                ran.push(Box::new(move |_| answer));
            }
        }
    }
    for job in relaxed {
        if connection.is_autocommit() {
            break;
        }
        let run: Run = Box::new(move |connection| {
            let result = job(connection);
            if let Err(error) = &result {
                log::warn!("relaxed job failed error={error}");
            }
            Ran {
                keep: result.is_ok(),
                answer: Box::new(|_| Box::new(|| {})),
            }
        });
        if let Err(error) = in_savepoint(connection, run) {
            log::warn!("relaxed job lost error={error}");
        }
    }
    let outcome = if connection.is_autocommit() {
        Err(transaction_ended())
    } else {
        connection
            .execute_batch("COMMIT")
            .map_err(StoreError::from)
            .inspect_err(|_| {
                // Fails when SQLite has rolled back by itself, which is as good.
                let _ = connection.execute_batch("ROLLBACK");
            })
    };
    let answers = ran
        .into_iter()
        .map(|answer| answer(outcome.clone()))
        .collect();
    (answers, outcome)
}

/// Runs one job; what it wrote is rolled back when it fails or panics.
fn in_savepoint(connection: &Connection, run: Run) -> Result<Ran, StoreError> {
    connection.execute_batch("SAVEPOINT job")?;
    let ran = catch_unwind(AssertUnwindSafe(|| run(connection)));
    let keep = ran.as_ref().is_ok_and(|ran| ran.keep);
    if !keep {
        // Fails only when SQLite has rolled back the whole transaction by itself; the release
        // then fails as well and says so.
        let _ = connection.execute_batch("ROLLBACK TO job");
    }
    let released = connection.execute_batch("RELEASE job");
    match ran {
        Err(_) => Err(StoreError::Panicked),
        Ok(ran) if ran.keep => released.map(|()| ran).map_err(StoreError::from),
        Ok(ran) => Ok(ran),
    }
}

/// SQLite rolled back everything in the midst of a batch, as it may when the card fails.
fn transaction_ended() -> StoreError {
    StoreError::Io("the transaction was rolled back".into())
}

impl Metrics {
    fn new(registry: &Registry) -> Metrics {
        Metrics {
            queue: registry.gauge(QUEUE_METRIC, "Durable jobs that wait.", &[]),
            commit: registry.histogram(
                COMMIT_METRIC,
                "From the start of a batch to the end of its commit, fsync included.",
                &[],
            ),
            committed: registry.counter(
                "store_jobs_total",
                "Jobs by outcome.",
                &[("result", "ok")],
            ),
            failed: registry.counter(
                "store_jobs_total",
                "Jobs by outcome.",
                &[("result", "error")],
            ),
            relaxed_dropped: registry.counter(
                "store_relaxed_dropped_total",
                "Relaxed jobs dropped because too many waited.",
                &[],
            ),
            wal_pages: registry.gauge("store_wal_pages", "Length of the write-ahead log.", &[]),
        }
    }
}
