//! One session of Engine.IO: its transport, its heartbeat, and a socket for each namespace.
//!
//! It promises that a client cannot make it hold more than the bounds of [`crate::limits`]: what
//! is unread, what is attached, and what waits for an answer.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::polling::Polling;
use super::socket::Socket;
use super::{
    Arguments, DisconnectReason, Endpoint, IoOptions, SocketId, arguments, engine, heartbeat,
    packet,
};
use crate::clock::MonoMillis;
use crate::limits;
use crate::server::websocket::{self, Frame};

pub(super) struct Session {
    pub(super) endpoint: Weak<Endpoint>,
    /// By which a client that polls names it; kept when it moves to a WebSocket.
    polling_id: Option<SocketId>,
    /// Among those that poll.
    is_counted: Cell<bool>,
    transport: RefCell<Transport>,
    is_open: Cell<bool>,
    /// Without an accepted CONNECT since then.
    pub(super) unconnected: Cell<Option<MonoMillis>>,
    pub(super) beat: Cell<Beat>,
    sockets: RefCell<Vec<Socket>>,
    refusals: Cell<u8>,
    /// A namespace has accepted it, be it left since.
    is_let_in: Cell<bool>,
    attached: RefCell<Option<Box<Attached>>>,
    pub(super) flow: Flow,
}

#[derive(Clone)]
pub(super) enum Transport {
    WebSocket(websocket::Socket),
    Polling(Rc<Polling>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Beat {
    Quiet(MonoMillis),
    /// A pong is owed since then.
    Awaited(MonoMillis),
}

/// How a client that polls learns of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// What waits is still fetched, by the next poll if need be.
    Orderly,
    /// Only a poll that waits right now.
    Abrupt,
    /// The client asked for it.
    Asked,
}

/// A packet whose binary parts are on their way.
struct Attached {
    packet: packet::Packet,
    missing: usize,
    bytes: usize,
    parts: Vec<Bytes>,
}

/// How fast the client sends.
pub(super) struct Flow {
    second: Cell<MonoMillis>,
    /// Packets of this second.
    packets: Cell<u32>,
    /// Answers that the client waits for.
    owed: Cell<usize>,
    /// What it asked for and is not done.
    held: Cell<usize>,
}

/// Work that a client asked for, until it is dropped.
pub struct Hold(Rc<Session>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.flow.held.update(|held| held - 1);
        self.0.pace();
    }
}

impl Session {
    pub(super) fn open(endpoint: &Rc<Endpoint>, transport: Transport) -> Rc<Session> {
        let now = endpoint.clock.mono();
        let polling_id = match &transport {
            Transport::Polling(polling) => Some(polling.sid.clone()),
            Transport::WebSocket(_) => None,
        };
        let session = Rc::new(Session {
            endpoint: Rc::downgrade(endpoint),
            is_counted: Cell::new(polling_id.is_some()),
            polling_id,
            transport: RefCell::new(transport),
            is_open: Cell::new(true),
            unconnected: Cell::new(Some(now)),
            beat: Cell::new(Beat::Quiet(now)),
            sockets: RefCell::default(),
            refusals: Cell::new(0),
            is_let_in: Cell::new(false),
            attached: RefCell::default(),
            flow: Flow {
                second: Cell::new(now),
                packets: Cell::new(0),
                owed: Cell::new(0),
                held: Cell::new(0),
            },
        });
        endpoint.open.add(1);
        if let Some(id) = &session.polling_id {
            let mut polling = endpoint.polling.borrow_mut();
            polling.insert(id.clone(), session.clone());
            endpoint.polling_count.update(|count| count + 1);
        }
        endpoint.sessions.borrow_mut().push(Rc::downgrade(&session));
        heartbeat::keep_beating(endpoint);
        session
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport.borrow().clone()
    }

    /// From long polling to a WebSocket, on which everything unread leaves first.
    pub(super) fn move_to(&self, wire: &websocket::Socket) {
        let before = self.transport.replace(Transport::WebSocket(wire.clone()));
        if let (Transport::Polling(polling), Some(endpoint)) = (before, self.endpoint.upgrade()) {
            for frame in polling.leave() {
                wire.send(frame);
            }
            self.uncount(&endpoint);
        }
        if !self.is_open.get() {
            wire.close(1000, "");
            self.forget();
        }
        self.pace();
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.get()
            && match &*self.transport.borrow() {
                Transport::WebSocket(wire) => wire.is_open(),
                Transport::Polling(_) => true,
            }
    }

    pub(super) fn send(self: &Rc<Self>, frame: Frame) {
        if !self.is_open.get() {
            return;
        }
        match self.transport() {
            Transport::WebSocket(wire) => wire.send(frame),
            Transport::Polling(polling) => {
                if !polling.push(frame) {
                    // Whoever sends may be in the middle of a broadcast.
                    let session = self.clone();
                    tokio::task::spawn_local(async move {
                        session.end(DisconnectReason::TransportClose, Farewell::Abrupt);
                    });
                }
            }
        }
    }

    /// Closes the transport and tells the sockets' handlers, once.
    pub(super) fn end(&self, reason: DisconnectReason, farewell: Farewell) {
        if !self.is_open.replace(false) {
            return;
        }
        self.attached.take();
        if let Some(endpoint) = self.endpoint.upgrade() {
            endpoint.open.add(-1);
            let is_fetched = match self.transport() {
                Transport::WebSocket(wire) => {
                    wire.close(1000, "");
                    false
                }
                Transport::Polling(polling) => {
                    polling.close(endpoint.clock.mono(), farewell);
                    farewell == Farewell::Orderly
                }
            };
            if !is_fetched {
                self.forget();
            }
        }
        for socket in self.sockets.take() {
            socket.end(reason);
        }
    }

    /// Its id is unknown from now on.
    pub(super) fn forget(&self) {
        let (Some(endpoint), Some(id)) = (self.endpoint.upgrade(), &self.polling_id) else {
            return;
        };
        endpoint.polling.borrow_mut().remove(id);
        self.uncount(&endpoint);
    }

    fn uncount(&self, endpoint: &Endpoint) {
        if self.is_counted.replace(false) {
            endpoint.polling_count.update(|count| count - 1);
        }
    }

    pub(super) fn take(self: &Rc<Self>, packet: engine::Packet) {
        self.count();
        let taken = catch_unwind(AssertUnwindSafe(|| self.handle(packet)));
        if taken.is_err() {
            log::error!("event=handler_panicked at=socketio");
            self.end(DisconnectReason::TransportClose, Farewell::Abrupt);
        }
    }

    fn handle(self: &Rc<Self>, packet: engine::Packet) {
        let Some(endpoint) = self.endpoint.upgrade().filter(|_| self.is_open()) else {
            return;
        };
        let taken = match packet {
            engine::Packet::Message(text) => self.message(&endpoint, &text),
            engine::Packet::Binary(part) => self.part(&endpoint, part.into()),
            engine::Packet::Pong(_) => {
                self.beat.set(Beat::Quiet(endpoint.clock.mono()));
                Some(())
            }
            engine::Packet::Noop => Some(()),
            engine::Packet::Close => {
                return self.end(DisconnectReason::TransportClose, Farewell::Asked);
            }
            engine::Packet::Open(_) | engine::Packet::Ping(_) | engine::Packet::Upgrade => None,
        };
        if taken.is_none() {
            self.end(DisconnectReason::TransportClose, Farewell::Orderly);
        }
    }

    /// `None` here and below for what the protocol does not allow.
    fn message(self: &Rc<Self>, endpoint: &Rc<Endpoint>, text: &str) -> Option<()> {
        if self.attached.borrow().is_some() {
            return None;
        }
        let packet = packet::Packet::parse(text).ok()?;
        let (packet::Body::Event { attachments, .. } | packet::Body::Ack { attachments, .. }) =
            packet.body
        else {
            return self.packet(endpoint, packet, Vec::new());
        };
        // Who is not let in may not make the box hold anything.
        self.socket(&packet.namespace)?
            .is_connected()
            .then_some(())?;
        if attachments == 0 {
            return self.packet(endpoint, packet, Vec::new());
        }
        *self.attached.borrow_mut() = Some(Box::new(Attached {
            packet,
            missing: attachments,
            bytes: 0,
            parts: Vec::new(),
        }));
        Some(())
    }

    fn part(self: &Rc<Self>, endpoint: &Rc<Endpoint>, part: Bytes) -> Option<()> {
        let mut slot = self.attached.borrow_mut();
        let attached = slot.as_mut()?;
        attached.bytes += part.len();
        if attached.bytes > endpoint.options.max_payload {
            return None;
        }
        attached.parts.push(part);
        attached.missing -= 1;
        if attached.missing > 0 {
            return Some(());
        }
        let whole = slot.take()?;
        drop(slot);
        self.packet(endpoint, whole.packet, whole.parts)
    }

    fn packet(
        self: &Rc<Self>,
        endpoint: &Rc<Endpoint>,
        packet: packet::Packet,
        attachments: Vec<Bytes>,
    ) -> Option<()> {
        let socket = self.socket(&packet.namespace);
        let arguments = |values| {
            let arguments = Arguments {
                values,
                attachments,
            };
            (arguments.attachments.is_empty() || arguments.are_whole()).then_some(arguments)
        };
        match (packet.body, socket) {
            (packet::Body::Connect(auth), None) => {
                self.connect(endpoint, packet.namespace, auth)?;
            }
            (packet::Body::Disconnect, Some(socket)) if socket.is_connected() => {
                let mut sockets = self.sockets.borrow_mut();
                sockets.retain(|other| *other != socket);
                let is_connected = sockets.iter().any(Socket::is_connected);
                drop(sockets);
                if !is_connected {
                    self.unconnected.set(Some(endpoint.clock.mono()));
                }
                socket.end(DisconnectReason::Client);
            }
            (packet::Body::Event { args, .. }, Some(socket)) => {
                socket.event(packet.ack, arguments(args)?);
            }
            (packet::Body::Ack { args, .. }, Some(socket)) => {
                socket.answered(packet.ack?, arguments(args)?);
            }
            _ => return None,
        }
        Some(())
    }

    fn connect(
        self: &Rc<Self>,
        endpoint: &Rc<Endpoint>,
        name: String,
        auth: Option<Value>,
    ) -> Option<()> {
        if self.refusals.get() >= limits::SOCKETIO_REFUSALS_MAX {
            return None;
        }
        let Some(io) = endpoint.namespace(&name) else {
            self.refusals.update(|refusals| refusals + 1);
            let why = json!({"message": "Invalid namespace"});
            self.send(arguments::plain('4', &name, Some(&why)));
            return Some(());
        };
        let socket = Socket::new(&io, self.clone())?;
        let mut sockets = self.sockets.borrow_mut();
        sockets.reserve_exact(1);
        sockets.push(socket.clone());
        drop(sockets);
        let connecting = io
            .namespace
            .connect(&socket, auth.unwrap_or_else(|| json!({})));
        let session = self.clone();
        tokio::task::spawn_local(async move {
            match connecting.await {
                Ok(handler) => {
                    if socket.begin(handler) {
                        session.let_in();
                    }
                }
                Err(refused) => {
                    session.refusals.update(|refusals| refusals + 1);
                    session
                        .sockets
                        .borrow_mut()
                        .retain(|other| *other != socket);
                    socket.refuse(&refused.message);
                }
            }
        });
        Some(())
    }

    fn let_in(&self) {
        self.unconnected.set(None);
        self.is_let_in.set(true);
        let wire = match self.transport() {
            Transport::WebSocket(wire) => Some(wire),
            Transport::Polling(polling) => polling.coming(),
        };
        if let Some(wire) = wire {
            wire.set_message_bytes_max(self.message_bytes_max());
        }
    }

    pub(super) fn message_bytes_max(&self) -> usize {
        match self.endpoint.upgrade() {
            Some(endpoint) if self.is_let_in.get() => endpoint.options.max_payload,
            Some(endpoint) => stranger_bytes_max(&endpoint.options),
            None => 0,
        }
    }

    fn socket(&self, namespace: &str) -> Option<Socket> {
        let sockets = self.sockets.borrow();
        sockets
            .iter()
            .find(|socket| socket.namespace() == namespace)
            .cloned()
    }
}

/// Before a namespace has accepted the client.
pub(super) fn stranger_bytes_max(options: &IoOptions) -> usize {
    options.max_payload.min(limits::SOCKETIO_STRANGER_BYTES_MAX)
}

// How fast the client may send.
impl Session {
    fn count(&self) {
        self.flow
            .packets
            .update(|packets| packets.saturating_add(1));
        self.pace();
    }

    pub(super) fn owe(&self) {
        self.flow.owed.update(|owed| owed + 1);
        self.pace();
    }

    pub(super) fn paid(&self) {
        self.flow.owed.update(|owed| owed - 1);
        self.pace();
    }

    pub(super) fn hold(self: &Rc<Self>) -> Hold {
        self.flow.held.update(|held| held + 1);
        self.pace();
        Hold(self.clone())
    }

    /// From the heartbeat.
    pub(super) fn next_second(&self, now: MonoMillis) {
        if now.since(self.flow.second.get()) >= Duration::from_secs(1) {
            self.flow.second.set(now);
            self.flow.packets.set(0);
            self.pace();
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.flow.packets.get() as usize >= limits::ENGINE_PACKETS_PER_S_MAX
            || self.flow.owed.get() > limits::SOCKETIO_OWED_ANSWERS_MAX
            || self.flow.held.get() >= limits::WS_COMMANDS_MAX
    }

    fn pace(&self) {
        match &*self.transport.borrow() {
            Transport::WebSocket(wire) => wire.set_paused(self.is_paused()),
            Transport::Polling(polling) if !self.is_paused() => polling.resumed.notify_waiters(),
            Transport::Polling(_) => {}
        }
    }
}
