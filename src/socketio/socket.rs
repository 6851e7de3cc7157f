//! One client in one namespace: its rooms, its handler, the answers it owes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::session::{Farewell, Hold, Session};
use super::{Arguments, DisconnectReason, Handler, Room, arguments};
use crate::limits;
use crate::server::websocket::Frame;

pub type SocketId = Rc<str>;

/// Clones share the socket.
#[derive(Clone)]
pub struct Socket(Rc<Inner>);

impl PartialEq for Socket {
    fn eq(&self, other: &Socket) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

struct Inner {
    id: SocketId,
    namespace: &'static str,
    io: Weak<super::Inner>,
    session: Rc<Session>,
    phase: Cell<Phase>,
    /// Away while it is being called.
    handler: RefCell<Option<Box<dyn Handler>>>,
    ended: Cell<Option<DisconnectReason>>,
    rooms: RefCell<Vec<Room>>,
    acks: RefCell<BTreeMap<u64, oneshot::Sender<Arguments>>>,
    next_ack: Cell<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The room decides about a CONNECT.
    Connecting,
    Connected,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckError {
    TimedOut,
    Disconnected,
    /// More than [`limits::SOCKETIO_ACKS_MAX`] are awaited of this socket.
    TooMany,
}

/// The answer that a client waits for.
pub struct Ack {
    socket: Socket,
    id: u64,
}

impl Ack {
    fn new(socket: &Socket, id: u64) -> Ack {
        socket.0.session.owe();
        Ack {
            socket: socket.clone(),
            id,
        }
    }

    pub fn send(self, args: &[Value]) {
        let frame = arguments::answer(self.socket.namespace(), self.id, args, &[]);
        self.socket.send_connected(frame);
    }

    pub fn send_binary(self, args: &Arguments) {
        let namespace = self.socket.namespace();
        let frame = arguments::answer(namespace, self.id, &args.values, &args.attachments);
        self.socket.send_connected(frame);
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.socket.0.session.paid();
    }
}

impl Socket {
    pub(super) fn new(io: &Rc<super::Inner>, session: Rc<Session>) -> Option<Socket> {
        Some(Socket(Rc::new(Inner {
            id: random_id()?,
            namespace: io.name,
            io: Rc::downgrade(io),
            session,
            phase: Cell::new(Phase::Connecting),
            handler: RefCell::new(None),
            ended: Cell::new(None),
            rooms: RefCell::default(),
            acks: RefCell::default(),
            next_ack: Cell::new(0),
        })))
    }

    pub fn id(&self) -> &SocketId {
        &self.0.id
    }

    pub(super) fn namespace(&self) -> &'static str {
        self.0.namespace
    }

    pub fn is_connected(&self) -> bool {
        self.0.phase.get() == Phase::Connected && self.0.session.is_open()
    }

    /// The client is not read while [`limits::WS_COMMANDS_MAX`] of these live.
    pub fn hold(&self) -> Hold {
        self.0.session.hold()
    }

    /// Does nothing once the socket has ended.
    pub fn join(&self, room: Room) {
        let Some(io) = self.0.io.upgrade() else {
            return;
        };
        if self.0.phase.get() == Phase::Gone || self.0.rooms.borrow().contains(&room) {
            return;
        }
        let room = io.join(room, self);
        let mut rooms = self.0.rooms.borrow_mut();
        rooms.reserve_exact(1);
        rooms.push(room);
    }

    pub fn leave(&self, room: &Room) {
        self.0.rooms.borrow_mut().retain(|joined| joined != room);
        if let Some(io) = self.0.io.upgrade() {
            io.leave(room, &self.0.id);
        }
    }

    pub fn emit(&self, event: &str, args: &[Value]) {
        self.send_connected(arguments::event(self.namespace(), None, event, args, &[]));
    }

    pub fn emit_binary(&self, event: &str, args: &Arguments) {
        let (values, attachments) = (&args.values, &args.attachments);
        let frame = arguments::event(self.namespace(), None, event, values, attachments);
        self.send_connected(frame);
    }

    /// Sends at once; what is returned waits for the client's answer.
    pub fn emit_with_ack(
        &self,
        event: &str,
        args: &[Value],
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<Value>, AckError>> + use<> {
        let args = Arguments {
            values: args.to_vec(),
            attachments: Vec::new(),
        };
        let asking = self.emit_binary_with_ack(event, &args, timeout);
        async move { asking.await.map(|answer| answer.values) }
    }

    /// As [`Socket::emit_with_ack`], with binary parts both ways.
    pub fn emit_binary_with_ack(
        &self,
        event: &str,
        args: &Arguments,
        timeout: Duration,
    ) -> impl Future<Output = Result<Arguments, AckError>> + use<> {
        let asked = self.ask(event, args);
        async move {
            let (waiting, answer) = asked?;
            let answered = tokio::time::timeout(timeout, answer).await;
            drop(waiting);
            match answered {
                Err(_) => Err(AckError::TimedOut),
                Ok(Err(_)) => Err(AckError::Disconnected),
                Ok(Ok(args)) => Ok(args),
            }
        }
    }

    fn ask(
        &self,
        event: &str,
        args: &Arguments,
    ) -> Result<(Waiting, oneshot::Receiver<Arguments>), AckError> {
        if !self.is_connected() {
            return Err(AckError::Disconnected);
        }
        if self.0.acks.borrow().len() >= limits::SOCKETIO_ACKS_MAX {
            return Err(AckError::TooMany);
        }
        let id = self.0.next_ack.get();
        self.0.next_ack.set(id + 1);
        let (told, answer) = oneshot::channel();
        self.0.acks.borrow_mut().insert(id, told);
        let (values, attachments) = (&args.values, &args.attachments);
        let frame = arguments::event(self.namespace(), Some(id), event, values, attachments);
        self.send_connected(frame);
        Ok((
            Waiting {
                socket: self.clone(),
                id,
            },
            answer,
        ))
    }

    /// Tells the client, then ends its session.
    pub fn disconnect(&self) {
        self.send_connected(arguments::plain('1', self.namespace(), None));
        self.0
            .session
            .end(DisconnectReason::Server, Farewell::Orderly);
    }

    pub(super) fn send(&self, frame: Frame) {
        self.0.session.send(frame);
    }

    fn send_connected(&self, frame: Frame) {
        if self.0.phase.get() == Phase::Connected {
            self.send(frame);
        }
    }
}

// What the session tells it.
impl Socket {
    /// Whether the client is still there to be let in.
    pub(super) fn begin(&self, handler: Box<dyn Handler>) -> bool {
        *self.0.handler.borrow_mut() = Some(handler);
        if self.0.phase.get() != Phase::Connecting {
            self.tell_end();
            return false;
        }
        self.0.phase.set(Phase::Connected);
        let told = json!({"sid": &*self.0.id});
        self.send(arguments::plain('0', self.namespace(), Some(&told)));
        self.call(|handler| handler.connected(self));
        true
    }

    pub(super) fn refuse(&self, message: &str) {
        self.end(DisconnectReason::Server);
        let told = json!({"message": message});
        self.send(arguments::plain('4', self.namespace(), Some(&told)));
    }

    pub(super) fn event(&self, ack: Option<u64>, mut args: Arguments) {
        let Value::String(name) = args.values.remove(0) else {
            return;
        };
        let ack = ack.map(|id| Ack::new(self, id));
        self.call(|handler| {
            if args.attachments.is_empty() {
                handler.event(self, &name, args.values, ack);
            } else {
                handler.binary_event(self, &name, args, ack);
            }
        });
    }

    fn call(&self, what: impl FnOnce(&mut Box<dyn Handler>)) {
        let handler = self.0.handler.borrow_mut().take();
        if let Some(handler) = handler {
            let mut lent = Lent {
                socket: self,
                handler: Some(handler),
            };
            lent.handler.as_mut().map(what);
        }
        self.tell_end();
    }

    pub(super) fn answered(&self, id: u64, args: Arguments) {
        // An answer that came too late has nobody waiting for it.
        if let Some(told) = self.0.acks.borrow_mut().remove(&id) {
            let _ = told.send(args);
        }
    }

    /// Leaves its rooms and tells its handler, once.
    pub(super) fn end(&self, reason: DisconnectReason) {
        if self.0.phase.replace(Phase::Gone) == Phase::Gone {
            return;
        }
        self.0.ended.set(Some(reason));
        let rooms = self.0.rooms.take();
        if let Some(io) = self.0.io.upgrade() {
            for room in rooms {
                io.leave(&room, &self.0.id);
            }
        }
        self.0.acks.take();
        self.tell_end();
    }

    /// Not while the handler is in a call, whose end asks for this again.
    fn tell_end(&self) {
        let Some(reason) = self.0.ended.get() else {
            return;
        };
        let Some(mut handler) = self.0.handler.borrow_mut().take() else {
            return;
        };
        // Others of the same walk are still to be told.
        let told = catch_unwind(AssertUnwindSafe(|| handler.disconnected(self, reason)));
        if told.is_err() {
            log::error!("event=handler_panicked at=socketio_disconnected");
        }
    }
}

/// Not to be guessed.
pub(super) fn random_id() -> Option<SocketId> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).ok()?;
    let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    Some(id.into())
}

/// Forgets the acknowledgement when nobody waits for it any more.
struct Waiting {
    socket: Socket,
    id: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.socket.0.acks.borrow_mut().remove(&self.id);
    }
}

/// Goes back to its socket after a call, after a panic too: it is still owed the end.
struct Lent<'a> {
    socket: &'a Socket,
    handler: Option<Box<dyn Handler>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        *self.socket.0.handler.borrow_mut() = self.handler.take();
    }
}
