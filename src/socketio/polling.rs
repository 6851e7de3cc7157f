//! The transport of HTTP long polling: packets wait here for the next GET.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use super::session::{Farewell, Session, Transport};
use super::{DisconnectReason, IoOptions, SocketId, engine};
use crate::clock::MonoMillis;
use crate::limits;
use crate::server::websocket::{self, Frame, Message};

const CLOSE: &str = "1";
const NOOP: &str = "6";
/// A poll that asks only to learn of the end.
const LATE_CLOSE: &str = "6\u{1e}1";

pub(super) struct Polling {
    pub(super) sid: SocketId,
    queue_bytes_max: usize,
    queue_messages_max: usize,
    queue: RefCell<VecDeque<Frame>>,
    queued_bytes: Cell<usize>,
    /// More was unread than may be; nothing is kept any more.
    is_over: Cell<bool>,
    /// A GET waits, and how to wake it.
    is_polled: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    pub(super) is_posted: Cell<bool>,
    /// A session that is paused reads on.
    pub(super) resumed: Notify,
    /// The WebSocket that is to take over, since when, and whether it was tried out.
    probe: RefCell<Option<(websocket::Socket, MonoMillis)>>,
    is_probed: Cell<bool>,
    last_word: Cell<Option<&'static str>>,
    pub(super) closed: Cell<Option<MonoMillis>>,
}

impl Polling {
    pub(super) fn new(sid: SocketId, options: &IoOptions) -> Polling {
        Polling {
            sid,
            queue_bytes_max: options.queue_bytes_max,
            queue_messages_max: options.queue_messages_max,
            queue: RefCell::default(),
            queued_bytes: Cell::new(0),
            is_over: Cell::new(false),
            is_polled: Cell::new(false),
            waker: RefCell::new(None),
            is_posted: Cell::new(false),
            resumed: Notify::new(),
            probe: RefCell::new(None),
            is_probed: Cell::new(false),
            last_word: Cell::new(None),
            closed: Cell::new(None),
        }
    }

    /// `false` once, when the client has more unread than it may.
    pub(super) fn push(&self, frame: Frame) -> bool {
        if self.is_over.get() {
            return true;
        }
        let mut queue = self.queue.borrow_mut();
        let bytes = self.queued_bytes.get() + frame.bytes();
        let is_over = bytes > self.queue_bytes_max && !queue.is_empty();
        if is_over || queue.len() >= self.queue_messages_max {
            queue.clear();
            self.queued_bytes.set(0);
            self.is_over.set(true);
            return false;
        }
        self.queued_bytes.set(bytes);
        queue.push_back(frame);
        drop(queue);
        self.wake();
        true
    }

    /// The session has ended; the poll that waits is answered.
    pub(super) fn close(&self, now: MonoMillis, farewell: Farewell) {
        let is_read_up = self.is_polled.get() && self.queue.borrow().is_empty();
        let word = match (farewell, self.is_polled.get()) {
            (Farewell::Asked, true) => Some(NOOP),
            (Farewell::Orderly, _) if !is_read_up => Some(LATE_CLOSE),
            (_, true) => Some(CLOSE),
            (_, false) => None,
        };
        self.last_word.set(word);
        self.closed.set(Some(now));
        // A client that was told to come over polls no more: it learns of the end over there.
        let is_coming = farewell == Farewell::Orderly && self.is_probed.get();
        let probe = self.probe.borrow_mut().take_if(|_| !is_coming);
        if let Some((wire, _)) = probe {
            wire.close(1000, "");
        }
        self.resumed.notify_waiters();
        self.wake();
    }

    /// What was unread when a WebSocket took over; a poll that waits is answered.
    pub(super) fn leave(&self) -> VecDeque<Frame> {
        self.probe.take();
        self.queued_bytes.set(0);
        self.last_word.set(Some(NOOP));
        // A POST that waits is read on; from now on only the WebSocket is paused.
        self.resumed.notify_waiters();
        self.wake();
        self.queue.take()
    }

    fn take(&self) -> Option<String> {
        let queue = self.queue.take();
        self.queued_bytes.set(0);
        let mut parts = Vec::new();
        for frame in &queue {
            for message in frame.messages() {
                parts.push(match message {
                    Message::Text(text) => text.to_owned(),
                    Message::Binary(bytes) => engine::binary_text(bytes),
                });
            }
        }
        match self.last_word.get() {
            // Clients look at a close before the packets beside it.
            Some(LATE_CLOSE) if !parts.is_empty() => {}
            Some(word) => {
                self.last_word.set(None);
                parts.push(word.to_owned());
            }
            // The client is about to leave and waits for its poll to end.
            None if parts.is_empty() && self.is_probed.get() => parts.push(NOOP.to_owned()),
            None => {}
        }
        (!parts.is_empty()).then(|| parts.join("\u{1e}"))
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

// The WebSocket that is to take over.
impl Polling {
    /// `false` when there is one already.
    pub(super) fn begin_probe(&self, wire: &websocket::Socket, now: MonoMillis) -> bool {
        let mut probe = self.probe.borrow_mut();
        if probe.is_some() {
            return false;
        }
        *probe = Some((wire.clone(), now));
        true
    }

    /// The WebSocket that is to take over.
    pub(super) fn coming(&self) -> Option<websocket::Socket> {
        let probe = self.probe.borrow();
        probe.as_ref().map(|(wire, _)| wire.clone())
    }

    pub(super) fn probed(&self) {
        self.is_probed.set(true);
        self.wake();
    }

    pub(super) fn is_probed(&self) -> bool {
        self.is_probed.get()
    }

    pub(super) fn end_probe(&self) {
        self.probe.take();
        self.is_probed.set(false);
    }

    pub(super) fn end_late_probe(&self, now: MonoMillis) {
        let is_late = |since| now.since(since) >= limits::ENGINE_UPGRADE_MAX;
        let late = self
            .probe
            .borrow()
            .as_ref()
            .filter(|(_, since)| is_late(*since))
            .map(|(wire, _)| wire.clone());
        if let Some(wire) = late {
            self.end_probe();
            wire.close(1000, "");
        }
    }
}

/// One GET. A client that hangs up before its answer has lost its session.
pub(super) struct Polled {
    session: Rc<Session>,
    polling: Rc<Polling>,
    is_answered: bool,
}

impl Polled {
    /// `None` while another GET waits.
    pub(super) fn begin(session: &Rc<Session>, polling: &Rc<Polling>) -> Option<Polled> {
        if polling.is_polled.replace(true) {
            return None;
        }
        Some(Polled {
            session: session.clone(),
            polling: polling.clone(),
            is_answered: false,
        })
    }
}

impl Future for Polled {
    type Output = String;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<String> {
        let Some(text) = self.polling.take() else {
            *self.polling.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        };
        self.is_answered = true;
        Poll::Ready(text)
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.polling.is_polled.set(false);
        self.polling.waker.take();
        let polling = &self.polling;
        if polling.closed.get().is_some() && polling.last_word.get().is_none() {
            self.session.forget();
        }
        let is_polling = matches!(self.session.transport(), Transport::Polling(_));
        if !self.is_answered && is_polling {
            self.session
                .end(DisconnectReason::TransportClose, Farewell::Abrupt);
        }
    }
}
