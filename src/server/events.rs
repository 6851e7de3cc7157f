//! `text/event-stream`: a bounded queue from a room to one client (HTML Living Standard 9.2).
//!
//! The sender never waits unless it asks to. A client that falls behind loses the stream, not
//! our memory; a client that goes away is told to the sender.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::clock::MonoMillis;
use crate::limits;

/// Receiving half of `text/event-stream`; dropped when the client hangs up.
pub struct EventStream {
    queue: Rc<Queue>,
    endless: bool,
}

/// Sending half: a bounded queue. `send` fails once the client is gone or has fallen too far
/// behind. The stream ends when the last clone is dropped.
#[derive(Clone)]
pub struct EventSender(Rc<SenderSide>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// What the door keeps of a stream it serves: heartbeats and the end at shutdown.
pub(super) struct ServedStream {
    queue: Weak<Queue>,
    pub endless: bool,
}

struct SenderSide(Rc<Queue>);

#[derive(Default)]
struct Queue {
    state: RefCell<State>,
    /// The client has gone, or the queue has emptied below half: whoever waits looks again.
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    /// Nothing more will be queued.
    ended: bool,
    /// The receiving half was dropped.
    gone: bool,
    reader: Option<Waker>,
    last_sent: MonoMillis,
}

impl EventStream {
    pub fn new() -> (EventSender, EventStream) {
        let queue = Rc::new(Queue::default());
        let sender = EventSender(Rc::new(SenderSide(queue.clone())));
        let stream = EventStream {
            queue,
            endless: false,
        };
        (sender, stream)
    }

    /// Marks a stream without an end of its own, such as a subscription: it ends at once, with a
    /// `retry:`, when the box shuts down. Others get [`limits::SHUTDOWN_STREAMS`] to finish.
    pub fn endless(mut self) -> EventStream {
        self.endless = true;
        self
    }

    pub(super) fn served(&self) -> ServedStream {
        ServedStream {
            queue: Rc::downgrade(&self.queue),
            endless: self.endless,
        }
    }

    /// All that waits, as one chunk; `None` at the end.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.queue.state.borrow_mut();
        if state.waiting.is_empty() {
            if state.ended {
                return Poll::Ready(None);
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let chunk = if state.waiting.len() == 1 {
            state.waiting.pop_front().unwrap_or_default()
        } else {
            let mut all = BytesMut::with_capacity(state.bytes);
            for event in state.waiting.drain(..) {
                all.extend_from_slice(&event);
            }
            all.freeze()
        };
        state.bytes = 0;
        drop(state);
        self.queue.changed.notify_waiters();
        Poll::Ready(Some(chunk))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let mut state = self.queue.state.borrow_mut();
        state.gone = true;
        state.ended = true;
        state.waiting = VecDeque::new();
        state.bytes = 0;
        drop(state);
        self.queue.changed.notify_waiters();
    }
}

impl EventSender {
    /// Queues one event; `Err` when the client has gone or fell behind (then the stream ends).
    pub fn send(&self, event: &str, data: &serde_json::Value) -> Result<(), Gone> {
        self.queue()
            .push(format!("event: {event}\ndata: {data}\n\n").into())
    }

    /// Queues one event with an id, which a returning client sends as `Last-Event-ID`.
    pub fn send_with_id(
        &self,
        id: &str,
        event: &str,
        data: &serde_json::Value,
    ) -> Result<(), Gone> {
        self.queue()
            .push(format!("id: {id}\nevent: {event}\ndata: {data}\n\n").into())
    }

    /// Resolves when there is room for more, or the client has gone.
    pub async fn ready(&self) -> Result<(), Gone> {
        loop {
            let mut changed = std::pin::pin!(self.queue().changed.notified());
            changed.as_mut().enable();
            {
                let state = self.queue().state.borrow();
                if state.ended {
                    return Err(Gone);
                }
                if state.bytes <= limits::CONSUMER_QUEUE_BYTES_MAX / 2
                    && state.waiting.len() <= limits::CONSUMER_QUEUE_MESSAGES_MAX / 2
                {
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    /// Resolves when the client has gone.
    pub async fn gone(&self) {
        loop {
            let mut changed = std::pin::pin!(self.queue().changed.notified());
            changed.as_mut().enable();
            if self.is_gone() {
                return;
            }
            changed.await;
        }
    }

    pub fn is_gone(&self) -> bool {
        self.queue().state.borrow().ended
    }

    fn queue(&self) -> &Queue {
        &self.0.0
    }
}

impl Drop for SenderSide {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl ServedStream {
    /// Sends a comment when nothing else was sent for `interval`; `false` once the stream is over.
    pub fn heartbeat(&self, now: MonoMillis, interval: std::time::Duration) -> bool {
        let Some(queue) = self.queue.upgrade() else {
            return false;
        };
        let mut state = queue.state.borrow_mut();
        if state.gone {
            return false;
        }
        if !state.waiting.is_empty() || state.last_sent == MonoMillis::default() {
            state.last_sent = now;
        } else if now.since(state.last_sent) >= interval && !state.ended {
            state.last_sent = now;
            drop(state);
            // A queue too full for a comment needs no heartbeat.
            let _ = queue.push(Bytes::from_static(b":\n\n"));
        }
        true
    }

    /// Queues a last word past the bound and ends the stream.
    pub fn finish(&self, last: Bytes) {
        if let Some(queue) = self.queue.upgrade() {
            let mut state = queue.state.borrow_mut();
            if !state.ended {
                state.bytes += last.len();
                state.waiting.push_back(last);
            }
            drop(state);
            queue.end();
        }
    }
}

impl Queue {
    fn push(&self, event: Bytes) -> Result<(), Gone> {
        let mut state = self.state.borrow_mut();
        if state.ended {
            return Err(Gone);
        }
        let full = state.waiting.len() >= limits::CONSUMER_QUEUE_MESSAGES_MAX
            || state.bytes + event.len() > limits::CONSUMER_QUEUE_BYTES_MAX;
        if full && !state.waiting.is_empty() {
            drop(state);
            log::debug!("event=stream_fell_behind");
            self.end();
            return Err(Gone);
        }
        state.bytes += event.len();
        state.waiting.push_back(event);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        Ok(())
    }

    fn end(&self) {
        let mut state = self.state.borrow_mut();
        state.ended = true;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

/// The chunks as an async iterator for tests of rooms.
impl EventStream {
    pub async fn next_chunk(&mut self) -> Option<Bytes> {
        let mut this = Pin::new(self);
        std::future::poll_fn(|cx| this.poll_chunk(cx)).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn events_arrive_in_order_and_end_with_the_last_sender() {
        block_on(async {
            let (sender, mut stream) = EventStream::new();
            sender
                .send("token", &json!({"text": "a\nb"}))
                .expect("open");
            sender.clone().send("done", &json!({})).expect("open");
            drop(sender);
            let chunk = stream.next_chunk().await.expect("two events");
            assert_eq!(
                chunk,
                "event: token\ndata: {\"text\":\"a\\nb\"}\n\nevent: done\ndata: {}\n\n"
            );
            assert_eq!(stream.next_chunk().await, None);
        });
    }

    #[test]
    fn a_reader_that_falls_behind_loses_the_stream() {
        let (sender, _stream) = EventStream::new();
        let sent = (0..10_000)
            .take_while(|_| sender.send("x", &json!({"n": 1})).is_ok())
            .count();
        assert_eq!(sent, limits::CONSUMER_QUEUE_MESSAGES_MAX);
        assert!(sender.is_gone());
    }

    #[test]
    fn one_event_larger_than_the_queue_passes_when_nothing_waits() {
        let (sender, _stream) = EventStream::new();
        let large = json!({"text": "x".repeat(limits::CONSUMER_QUEUE_BYTES_MAX)});
        assert_eq!(sender.send("big", &large), Ok(()));
        assert_eq!(sender.send("big", &large), Err(Gone));
    }

    #[test]
    fn a_client_that_hangs_up_is_told_to_the_sender() {
        block_on(async {
            let (sender, stream) = EventStream::new();
            drop(stream);
            sender.gone().await;
            assert_eq!(sender.send("x", &json!(1)), Err(Gone));
            assert_eq!(sender.ready().await, Err(Gone));
        });
    }
}
