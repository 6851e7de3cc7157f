//! Engine.IO 4 and Socket.IO 5: long polling, WebSocket, and the way from the one to the other.
//!
//! A room hands in a [`Namespace`], is told of connections and events, and sends to sockets or to
//! rooms of sockets. A session of Engine.IO carries one socket for each namespace that its client
//! joined. It knows no event of any room.

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

mod arguments;
pub mod engine;
mod heartbeat;
mod http;
pub mod packet;
mod polling;
mod session;
mod socket;
mod wire;

pub use arguments::Arguments;
pub use session::Hold;
pub use socket::{Ack, AckError, Socket, SocketId};

use session::Session;

pub type Room = Rc<str>;

#[derive(Clone, Copy, Debug)]
pub struct IoOptions {
    pub ping_interval: Duration,
    /// A pong later than this ends the session.
    pub ping_timeout: Duration,
    /// How long a session may be without an accepted CONNECT.
    pub connect_limit: Duration,
    /// Longest message of a client, and the binary parts of one packet together; close 1009.
    pub max_payload: usize,
    /// What may wait for a client that does not read; it is cut off beyond either. One packet of any
    /// size always fits.
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
            queue_bytes_max: limits::SOCKETIO_QUEUE_BYTES_MAX,
            queue_messages_max: limits::SOCKETIO_QUEUE_PACKETS_MAX,
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
    /// The client has just been told that it is connected.
    fn connected(&mut self, _: &Socket) {}
    fn event(&mut self, socket: &Socket, name: &str, args: Vec<Value>, ack: Option<Ack>);
    /// An event with binary parts; whoever knows none sees the places where they belong.
    fn binary_event(&mut self, socket: &Socket, name: &str, args: Arguments, ack: Option<Ack>) {
        self.event(socket, name, args.values, ack);
    }
    /// Called once, after which nothing more comes.
    fn disconnected(&mut self, socket: &Socket, reason: DisconnectReason);
}

/// One namespace of an endpoint. Clones share; lives on the loop.
#[derive(Clone)]
pub struct Io {
    inner: Rc<Inner>,
    endpoint: Rc<Endpoint>,
}

/// A namespace and its rooms.
struct Inner {
    /// With its slash.
    name: &'static str,
    namespace: Rc<dyn Namespace>,
    /// Their members by id.
    rooms: RefCell<BTreeMap<Room, Vec<Socket>>>,
    /// Broadcasts that wait for the one in slices before them.
    sending: RefCell<VecDeque<(Frame, VecDeque<Socket>)>>,
    is_sending: Cell<bool>,
}

/// What all namespaces of one path share.
struct Endpoint {
    options: IoOptions,
    clock: Clock,
    open: Gauge,
    namespaces: RefCell<Vec<Rc<Inner>>>,
    /// Every open session, for the heartbeat.
    sessions: RefCell<Vec<Weak<Session>>>,
    /// Those that began by long polling.
    polling: RefCell<BTreeMap<SocketId, Rc<Session>>>,
    /// How many of them are no WebSocket.
    polling_count: Cell<usize>,
    is_beating: Cell<bool>,
}

impl Io {
    /// An endpoint with the namespace `/`.
    pub fn new(
        options: IoOptions,
        clock: Clock,
        metrics: &Registry,
        namespace: Rc<dyn Namespace>,
    ) -> Io {
        let endpoint = Rc::new(Endpoint {
            options,
            clock,
            open: metrics.gauge("magpie_socketio_sockets", "Open Socket.IO sessions.", &[]),
            namespaces: RefCell::default(),
            sessions: RefCell::default(),
            polling: RefCell::default(),
            polling_count: Cell::new(0),
            is_beating: Cell::new(false),
        });
        endpoint.serve("/", namespace)
    }

    /// Another namespace of the same endpoint, with rooms of its own.
    pub fn namespace(&self, name: &'static str, namespace: Rc<dyn Namespace>) -> Io {
        self.endpoint.serve(name, namespace)
    }

    /// To every socket in any of the rooms, once each.
    pub fn to(&self, rooms: &[Room]) -> Broadcast {
        let all = self.inner.rooms.borrow();
        let mut receivers = BTreeMap::new();
        for member in rooms.iter().filter_map(|room| all.get(room)).flatten() {
            receivers.insert(member.id().clone(), member.clone());
        }
        drop(all);
        Broadcast {
            io: self.inner.clone(),
            receivers,
        }
    }

    pub fn sockets_in(&self, room: &Room) -> Vec<Socket> {
        let rooms = self.inner.rooms.borrow();
        rooms.get(room).cloned().unwrap_or_default()
    }

    pub fn disconnect_all(&self, room: &Room) {
        for socket in self.sockets_in(room) {
            socket.disconnect();
        }
    }

    /// Ends the sessions that poll, so that no poll holds up a box that stops. Their WebSockets are
    /// the server's to close.
    pub fn end_polling(&self) {
        let sessions: Vec<_> = self.endpoint.polling.borrow().values().cloned().collect();
        for session in sessions {
            if matches!(session.transport(), session::Transport::Polling(_)) {
                session.end(DisconnectReason::TransportClose, session::Farewell::Orderly);
            }
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
        let io = self.io;
        let frame = arguments::event(io.name, None, event, std::slice::from_ref(argument), &[]);
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

    /// Adds a member; the room as all its members name it.
    fn join(&self, room: Room, socket: &Socket) -> Room {
        let mut rooms = self.rooms.borrow_mut();
        let name = match rooms.get_key_value(&room) {
            Some((name, _)) => name.clone(),
            None => room,
        };
        let members = rooms.entry(name.clone()).or_default();
        if let Err(at) = members.binary_search_by(|member| member.id().cmp(socket.id())) {
            if members.is_empty() {
                // Most rooms have one.
                members.reserve_exact(1);
            }
            members.insert(at, socket.clone());
        }
        name
    }

    fn leave(&self, room: &Room, id: &SocketId) -> Option<()> {
        let mut rooms = self.rooms.borrow_mut();
        let members = rooms.get_mut(room)?;
        if let Ok(at) = members.binary_search_by(|member| member.id().cmp(id)) {
            members.remove(at);
        }
        if members.is_empty() {
            rooms.remove(room);
        } else if members.len() < members.capacity() / 4 {
            members.shrink_to(members.len() * 2);
        }
        Some(())
    }
}

impl Endpoint {
    fn serve(self: &Rc<Self>, name: &'static str, namespace: Rc<dyn Namespace>) -> Io {
        let inner = Rc::new(Inner {
            name,
            namespace,
            rooms: RefCell::default(),
            sending: RefCell::default(),
            is_sending: Cell::new(false),
        });
        self.namespaces.borrow_mut().push(inner.clone());
        Io {
            inner,
            endpoint: self.clone(),
        }
    }

    fn namespace(&self, name: &str) -> Option<Rc<Inner>> {
        let namespaces = self.namespaces.borrow();
        namespaces.iter().find(|inner| inner.name == name).cloned()
    }
}
