//! Engine.IO 4 and Socket.IO 5 over our own WebSocket task, for the namespace `/`.
//!
//! A room hands in a [`Namespace`], is told of connections and events, and sends to sockets or to
//! rooms of sockets. It knows no event of any room. Long polling and binary attachments are not
//! spoken yet: the one is answered as an unknown transport, the other by a close.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use serde_json::Value;

use crate::clock::Clock;
use crate::limits;
use crate::ops::{Gauge, Registry};
use crate::server::websocket::Frame;

pub mod engine;
mod heartbeat;
pub mod packet;
mod socket;
mod transport;

pub use socket::{Ack, AckError, Socket, SocketId};

pub type Room = Rc<str>;

#[derive(Clone, Copy, Debug)]
pub struct IoOptions {
    pub ping_interval: Duration,
    /// A pong later than this ends the transport.
    pub ping_timeout: Duration,
    /// From the opening of a transport to its accepted CONNECT.
    pub connect_limit: Duration,
    /// Longest message of a client; close 1009.
    pub max_payload: usize,
    /// What may wait for a client that does not read; close 1013 beyond either.
    pub queue_bytes_max: usize,
    pub queue_messages_max: usize,
}

impl Default for IoOptions {
    fn default() -> IoOptions {
        IoOptions {
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(45),
            connect_limit: Duration::from_secs(20),
            max_payload: 1_000_000,
            queue_bytes_max: limits::CONSUMER_QUEUE_BYTES_MAX,
            queue_messages_max: limits::CONSUMER_QUEUE_MESSAGES_MAX,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConnectRefused {
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The client left the namespace.
    Client,
    /// [`Socket::disconnect`].
    Server,
    PingTimeout,
    TransportClose,
}

pub type Connecting = Pin<Box<dyn Future<Output = Result<Box<dyn Handler>, ConnectRefused>>>>;

pub trait Namespace {
    /// The handler is in place before the client hears that it is connected.
    fn connect(&self, socket: &Socket, auth: Value) -> Connecting;
}

/// Called on the loop, must not block; longer work is spawned.
pub trait Handler {
    fn event(&mut self, socket: &Socket, name: &str, args: Vec<Value>, ack: Option<Ack>);
    /// Called once, after which nothing more comes.
    fn disconnected(&mut self, socket: &Socket, reason: DisconnectReason);
}

/// Clones share; lives on the loop.
#[derive(Clone)]
pub struct Io(Rc<Inner>);

struct Inner {
    options: IoOptions,
    clock: Clock,
    namespace: Rc<dyn Namespace>,
    open: Gauge,
    /// Every open transport, for the heartbeat.
    sockets: RefCell<Vec<socket::WeakSocket>>,
    rooms: RefCell<BTreeMap<Room, BTreeMap<SocketId, Socket>>>,
    /// Broadcasts that wait for the one in slices before them.
    sending: RefCell<VecDeque<(Frame, VecDeque<Socket>)>>,
    is_sending: Cell<bool>,
    is_beating: Cell<bool>,
}

impl Io {
    pub fn new(
        options: IoOptions,
        clock: Clock,
        metrics: &Registry,
        namespace: Rc<dyn Namespace>,
    ) -> Io {
        Io(Rc::new(Inner {
            options,
            clock,
            namespace,
            open: metrics.gauge("magpie_socketio_sockets", "Open Socket.IO transports.", &[]),
            sockets: RefCell::default(),
            rooms: RefCell::default(),
            sending: RefCell::default(),
            is_sending: Cell::new(false),
            is_beating: Cell::new(false),
        }))
    }

    /// To every socket in any of the rooms, once each.
    pub fn to(&self, rooms: &[Room]) -> Broadcast {
        let all = self.0.rooms.borrow();
        let mut receivers = BTreeMap::new();
        for members in rooms.iter().filter_map(|room| all.get(room)) {
            receivers.extend(
                members
                    .iter()
                    .map(|(id, socket)| (id.clone(), socket.clone())),
            );
        }
        drop(all);
        Broadcast {
            io: self.0.clone(),
            receivers,
        }
    }

    pub fn sockets_in(&self, room: &Room) -> Vec<Socket> {
        let rooms = self.0.rooms.borrow();
        let members = rooms.get(room).into_iter().flat_map(BTreeMap::values);
        members.cloned().collect()
    }

    pub fn disconnect_all(&self, room: &Room) {
        for socket in self.sockets_in(room) {
            socket.disconnect();
        }
    }
}

pub struct Broadcast {
    io: Rc<Inner>,
    receivers: BTreeMap<SocketId, Socket>,
}

impl Broadcast {
    pub fn except(mut self, id: &SocketId) -> Broadcast {
        self.receivers.remove(id);
        self
    }

    /// Written once for all. Broadcasts arrive in the order in which they were emitted; a large
    /// one is sent in slices, so that other work gets its turn between.
    pub fn emit(self, event: &str, argument: &Value) {
        if self.receivers.is_empty() {
            return;
        }
        let frame = Frame::text(&socket::event_text(
            None,
            event,
            std::slice::from_ref(argument),
        ));
        let io = self.io;
        io.sending
            .borrow_mut()
            .push_back((frame, self.receivers.into_values().collect()));
        if io.is_sending.get() {
            // Whoever publishes faster than slices leave waits for them here.
            while io.sending.borrow().len() > limits::SOCKETIO_BROADCASTS_WAITING_MAX {
                io.send_slice();
            }
            return;
        }
        if io.send_slice() {
            io.is_sending.set(true);
            tokio::task::spawn_local(async move {
                tokio::task::yield_now().await;
                while io.send_slice() {
                    tokio::task::yield_now().await;
                }
                io.is_sending.set(false);
            });
        }
    }
}

impl Inner {
    /// Sends to the next sockets of the oldest broadcast; whether more is to be sent.
    fn send_slice(&self) -> bool {
        let mut sending = self.sending.borrow_mut();
        if let Some((frame, receivers)) = sending.front_mut() {
            let slice = receivers.len().min(limits::BROADCAST_SLICE_SOCKETS);
            for socket in receivers.drain(..slice) {
                socket.send(frame.clone());
            }
            if receivers.is_empty() {
                sending.pop_front();
            }
        }
        !sending.is_empty()
    }

    fn leave(&self, room: &Room, id: &SocketId) -> Option<()> {
        let mut rooms = self.rooms.borrow_mut();
        let members = rooms.get_mut(room)?;
        members.remove(id);
        if members.is_empty() {
            rooms.remove(room);
        }
        Some(())
    }
}

type WeakIo = Weak<Inner>;
