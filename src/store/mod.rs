//! One SQLite file, one thread that writes it.
//!
//! The loop hands closures to the `store` thread, which commits many of them together and
//! answers only after the commit (durable) or lets them ride along (relaxed). Lists and
//! searches go to the `query` thread; the loop itself reads by key only. Nothing in here knows
//! a table of a room.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::limits::THREAD_STACK_BYTES;
use crate::ops::Registry;

mod answers;
pub mod backup;
mod error;
pub mod migrate;
mod open;
mod query;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{OpenError, StoreError};
pub use open::{Examined, examine, foreign, look, upgrade};
pub use rusqlite::Error as SqlError;
pub use rusqlite::types::Value as Cell;
pub use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter};
pub use writer::{COMMIT_METRIC, QUEUE_METRIC, StoreHealth};

use answers::{Answers, Deliver};
use query::{Query, QueryThread};
use writer::{Job, Ran, WriterThread};

/// What a job counts in the queue when the caller names no size.
const JOB_BYTES: usize = 512;
/// How long a read on the loop waits for a lock, which only a recovering writer takes.
const LOOP_READ_WAIT: Duration = Duration::from_millis(5);

#[derive(Clone)]
pub struct StoreOptions {
    /// The database file, e.g. `data/voice-memory.db`.
    pub path: PathBuf,
    pub clock: Clock,
    pub metrics: Registry,
    pub durability: Durability,
}

/// `PRAGMA synchronous`. Only [`Durability::Full`] keeps the promise; the others exist so that
/// the fault tests can show that they would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Full,
    Normal,
    Off,
}

/// Handle of the loop; clones share the same threads.
#[derive(Clone)]
pub struct Store(Rc<Inner>);

struct Inner {
    /// Key reads only: a cold page of a slow card is the most the loop may wait for.
    reader: RefCell<Connection>,
    writer: WriterThread,
    query: QueryThread,
    hand_out: AbortHandle,
    path: PathBuf,
}

impl Store {
    /// Opens, checks, migrates and starts the threads. Blocks, so it is called before the loop
    /// turns; must be called inside a `LocalSet`.
    pub fn open(options: StoreOptions) -> Result<Store, OpenError> {
        let unusable = |why: String| OpenError::Unusable {
            path: options.path.clone(),
            why,
        };
        let writing = open::prepare(&options)?;
        let reading = || open::reading(&options.path).map_err(|error| unusable(error.to_string()));
        let (reader, querying) = (reading()?, reading()?);
        // The loop would rather be told that the file is busy than wait for it.
        reader
            .busy_timeout(LOOP_READ_WAIT)
            .map_err(|error| unusable(error.to_string()))?;
        let answers = Answers::default();
        let writer = WriterThread::start(
            writing,
            options.path.clone(),
            options.durability,
            &options.metrics,
            answers.clone(),
        )
        .map_err(|error| unusable(error.to_string()))?;
        let query = QueryThread::start(querying, &options.metrics, answers.clone())
            .map_err(|error| unusable(error.to_string()))?;
        let hand_out = tokio::task::spawn_local(answers.hand_out()).abort_handle();
        Ok(Store(Rc::new(Inner {
            reader: RefCell::new(reader),
            writer,
            query,
            hand_out,
            path: options.path,
        })))
    }

    /// A durable job: resolves after the commit that holds it. An `Err` of the job rolls back
    /// that job alone. The job runs even when the future is dropped after its first poll.
    pub async fn write<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + From<rusqlite::Error> + Send + 'static,
    {
        self.write_sized(JOB_BYTES, job).await
    }

    /// As [`Store::write`], for a job that carries about `bytes` of data.
    pub async fn write_sized<T, E>(
        &self,
        bytes: usize,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + From<rusqlite::Error> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel::<Result<T, E>>();
        let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
        let refuse = Once(sender.clone());
        let answer = Once(sender);
        self.0.writer.durable(Job {
            bytes,
            run: Box::new(move |connection| {
                let result = job(connection);
                Ran {
                    keep: result.is_ok(),
                    answer: Box::new(move |outcome| {
                        let result = match (result, outcome) {
                            // A job that failed by itself says why, whatever became of the rest.
                            (Err(error), _) => Err(error),
                            (Ok(value), Ok(())) => Ok(value),
                            (Ok(_), Err(error)) => Err(E::from(error)),
                        };
                        answer.deliver(result)
                    }),
                }
            }),
            refuse: Box::new(move |error| refuse.deliver(Err(E::from(error)))),
        })?;
        receiver
            .await
            .unwrap_or_else(|_| Err(E::from(StoreError::Closed)))
    }

    /// A relaxed job: committed with the next durable batch or after a second; never waited for,
    /// dropped and counted when too many wait.
    pub fn relaxed(
        &self,
        job: impl FnOnce(&Connection) -> Result<(), rusqlite::Error> + Send + 'static,
    ) {
        self.0.writer.relaxed(Box::new(job));
    }

    /// Lists, searches and exports, on the `query` thread's read-only connection. Dropping the
    /// future stops the query.
    pub async fn query<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + From<rusqlite::Error> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel::<Result<T, E>>();
        let abandoned = Arc::new(AtomicBool::new(false));
        let _guard = Abandon(abandoned.clone());
        self.0.query.ask(Query {
            abandoned,
            run: Box::new(move |connection| {
                let result = connection.map_err(E::from).and_then(job);
                Box::new(move || {
                    let _ = sender.send(result);
                })
            }),
        })?;
        receiver.await.unwrap_or_else(|_| {
            let why = if self.0.query.is_closing() {
                StoreError::Closed
            } else {
                StoreError::Panicked
            };
            Err(E::from(why))
        })
    }

    /// Reads on the loop itself: by primary key or unique index, at most
    /// [`crate::limits::LOOP_READ_ROWS_MAX`] rows.
    pub fn read<T, E>(&self, job: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError> + From<rusqlite::Error>,
    {
        job(&self.0.reader.borrow())
    }

    /// A checked copy of the whole database at `target`, as it is at this moment. It is made on a
    /// thread and a connection of its own, so writes go on meanwhile; it ends by itself even when
    /// nobody waits for it any more.
    pub async fn backup(&self, target: &Path) -> Result<(), StoreError> {
        let (sender, receiver) = oneshot::channel();
        let (path, target) = (self.0.path.clone(), target.to_path_buf());
        std::thread::Builder::new()
            .name("backup".into())
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || {
                let copied = open::reading(&path)
                    .map_err(StoreError::from)
                    .and_then(|source| backup::copy(&source, &target));
                let _ = sender.send(copied);
            })
            .map_err(|error| StoreError::Io(error.to_string()))?;
        receiver.await.unwrap_or(Err(StoreError::Closed))
    }

    /// A connection that cannot write, for a thread that reads long and in small steps (an
    /// export): opened where it is called, never on the loop.
    pub fn read_only(path: &Path) -> Result<Connection, StoreError> {
        Ok(open::reading(path)?)
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    pub fn health(&self) -> Arc<StoreHealth> {
        self.0.writer.health.clone()
    }

    /// Commits what is queued, empties the log into the file and ends the threads. Everything
    /// sent afterwards is answered with [`StoreError::Closed`].
    pub async fn close(&self) -> Result<(), StoreError> {
        if let Some(thread) = self.0.query.close() {
            ended(thread).await;
        }
        loop {
            match self.0.writer.try_close() {
                Ok(thread) => {
                    if let Some(thread) = thread {
                        ended(thread).await;
                    }
                    return Ok(());
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    }
}

/// Waits for a thread's end without holding up the loop, which still hands out answers.
async fn ended(thread: JoinHandle<()>) {
    while !thread.is_finished() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let _ = thread.join();
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.hand_out.abort();
        for thread in [self.query.close(), self.writer.close()]
            .into_iter()
            .flatten()
        {
            let _ = thread.join();
        }
    }
}

/// The one answer of a job, reachable from both ways it can come.
struct Once<T>(Arc<std::sync::Mutex<Option<oneshot::Sender<T>>>>);

impl<T: Send + 'static> Once<T> {
    fn deliver(self, result: T) -> Deliver {
        Box::new(move || {
            let sender = match self.0.lock() {
                Ok(mut sender) => sender.take(),
                Err(poisoned) => poisoned.into_inner().take(),
            };
            if let Some(sender) = sender {
                let _ = sender.send(result);
            }
        })
    }
}

/// Tells the `query` thread that nobody waits any more.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
