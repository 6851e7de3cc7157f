//! The `query` thread: lists and searches on a connection that cannot write.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;

use super::StoreError;
use super::answers::{Answers, Deliver};
use crate::limits::{QUERY_QUEUE_JOBS_MAX, QUERY_TIMEOUT, THREAD_STACK_BYTES};
use crate::ops::{Histogram, Registry};

/// Instructions of SQLite's machine between two looks at the time.
const STEPS_PER_LOOK: i32 = 10_000;

/// Given the connection, or why there is none.
pub type Run = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Deliver + Send>;

pub struct Query {
    pub run: Run,
    /// Set when nobody waits any more.
    pub abandoned: Arc<AtomicBool>,
}

enum Message {
    Run(Query),
    Close,
}

pub struct QueryThread {
    jobs: SyncSender<Message>,
    closing: Arc<AtomicBool>,
    thread: std::cell::RefCell<Option<JoinHandle<()>>>,
}

impl QueryThread {
    pub fn start(
        connection: Connection,
        registry: &Registry,
        answers: Answers,
    ) -> std::io::Result<QueryThread> {
        let (jobs, inbox) = sync_channel(QUERY_QUEUE_JOBS_MAX);
        let closing = Arc::new(AtomicBool::new(false));
        let ending = closing.clone();
        let took = registry.histogram("store_query_seconds", "Time of a query.", &[]);
        let thread = std::thread::Builder::new()
            .name("query".into())
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || answer_until_closed(connection, &inbox, &answers, &took, &ending))?;
        Ok(QueryThread {
            jobs,
            closing,
            thread: std::cell::RefCell::new(Some(thread)),
        })
    }

    pub fn ask(&self, query: Query) -> Result<(), StoreError> {
        self.jobs
            .try_send(Message::Run(query))
            .map_err(|error| match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Disconnected(_) => StoreError::Closed,
            })
    }

    /// Ends the query that runs and refuses those that wait; never blocks.
    pub fn close(&self) -> Option<JoinHandle<()>> {
        self.closing.store(true, Ordering::Relaxed);
        // A full queue needs no word: the thread looks at the flag before each query.
        let _ = self.jobs.try_send(Message::Close);
        self.thread.borrow_mut().take()
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

fn answer_until_closed(
    mut connection: Connection,
    inbox: &Receiver<Message>,
    answers: &Answers,
    took: &Histogram,
    closing: &Arc<AtomicBool>,
) {
    while let Ok(Message::Run(query)) = inbox.recv() {
        if closing.load(Ordering::Relaxed) {
            return;
        }
        if query.abandoned.load(Ordering::Relaxed) {
            continue;
        }
        let began = Instant::now();
        let (abandoned, ending) = (query.abandoned.clone(), closing.clone());
        let enough = move || {
            began.elapsed() > QUERY_TIMEOUT
                || abandoned.load(Ordering::Relaxed)
                || ending.load(Ordering::Relaxed)
        };
        let limited = connection.progress_handler(STEPS_PER_LOOK, Some(enough));
        let ready = limited.map(|()| &connection).map_err(StoreError::from);
        // A panic drops the sender of the answer, which its receiver is told.
        if let Ok(deliver) = catch_unwind(AssertUnwindSafe(|| (query.run)(ready))) {
            answers.send(vec![deliver]);
        }
        took.observe(began.elapsed());
    }
}
