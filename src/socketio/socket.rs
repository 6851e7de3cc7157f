//! One connected client: its rooms, its acknowledgements, its end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use super::{DisconnectReason, Handler, Room, WeakIo};
use crate::clock::MonoMillis;
use crate::limits;
use crate::server::websocket::{self, Frame};

pub type SocketId = Rc<str>;

/// Clones share the socket.
#[derive(Clone)]
pub struct Socket(pub(super) Rc<Inner>);

#[derive(Clone)]
pub(super) struct WeakSocket(Weak<Inner>);

pub(super) struct Inner {
    pub(super) id: SocketId,
    pub(super) io: WeakIo,
    pub(super) wire: websocket::Socket,
    pub(super) phase: Cell<Phase>,
    pub(super) opened: MonoMillis,
    pub(super) beat: Cell<Beat>,
    /// Away while it is being called.
    pub(super) handler: RefCell<Option<Box<dyn Handler>>>,
    pub(super) ended: Cell<Option<DisconnectReason>>,
    rooms: RefCell<Vec<Room>>,
    acks: RefCell<BTreeMap<u64, oneshot::Sender<Vec<Value>>>>,
    next_ack: Cell<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No accepted CONNECT yet.
    Open,
    /// The room decides about a CONNECT.
    Connecting,
    Connected,
    Gone,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Beat {
    Quiet(MonoMillis),
    /// A pong is owed since then.
    Awaited(MonoMillis),
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
    pub(super) socket: Socket,
    pub(super) id: u64,
}

impl Ack {
    pub fn send(self, args: &[Value]) {
        let text = format!("43{}{}", self.id, Value::Array(args.to_vec()));
        self.socket.send_connected(&text);
    }
}

impl Socket {
    pub(super) fn new(
        io: WeakIo,
        id: SocketId,
        wire: websocket::Socket,
        now: MonoMillis,
    ) -> Socket {
        Socket(Rc::new(Inner {
            id,
            io,
            wire,
            phase: Cell::new(Phase::Open),
            opened: now,
            beat: Cell::new(Beat::Quiet(now)),
            handler: RefCell::new(None),
            ended: Cell::new(None),
            rooms: RefCell::default(),
            acks: RefCell::default(),
            next_ack: Cell::new(0),
        }))
    }

    pub fn id(&self) -> &SocketId {
        &self.0.id
    }

    pub fn is_connected(&self) -> bool {
        self.0.phase.get() == Phase::Connected && self.0.wire.is_open()
    }

    /// The client is not read while [`limits::WS_COMMANDS_MAX`] of these live.
    pub fn hold(&self) -> websocket::Command {
        self.0.wire.begin_command()
    }

    /// Does nothing once the socket has ended.
    pub fn join(&self, room: Room) {
        let Some(io) = self.0.io.upgrade() else {
            return;
        };
        if self.0.phase.get() == Phase::Gone || self.0.rooms.borrow().contains(&room) {
            return;
        }
        self.0.rooms.borrow_mut().push(room.clone());
        let mut rooms = io.rooms.borrow_mut();
        rooms
            .entry(room)
            .or_default()
            .insert(self.0.id.clone(), self.clone());
    }

    pub fn leave(&self, room: &Room) {
        self.0.rooms.borrow_mut().retain(|joined| joined != room);
        if let Some(io) = self.0.io.upgrade() {
            io.leave(room, &self.0.id);
        }
    }

    pub fn emit(&self, event: &str, args: &[Value]) {
        self.send_connected(&event_text(None, event, args));
    }

    /// Sends at once; what is returned waits for the client's answer.
    pub fn emit_with_ack(
        &self,
        event: &str,
        args: &[Value],
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<Value>, AckError>> + use<> {
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
        args: &[Value],
    ) -> Result<(Waiting, oneshot::Receiver<Vec<Value>>), AckError> {
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
        self.send_connected(&event_text(Some(id), event, args));
        Ok((
            Waiting {
                socket: self.clone(),
                id,
            },
            answer,
        ))
    }

    /// Tells the client, then ends its transport.
    pub fn disconnect(&self) {
        self.send_connected("41");
        self.end(DisconnectReason::Server);
    }

    pub(super) fn answered(&self, id: u64, args: Vec<Value>) {
        // An answer that came too late has nobody waiting for it.
        if let Some(told) = self.0.acks.borrow_mut().remove(&id) {
            let _ = told.send(args);
        }
    }

    pub(super) fn send(&self, frame: Frame) {
        self.0.wire.send(frame);
    }

    fn send_connected(&self, text: &str) {
        if self.0.phase.get() == Phase::Connected {
            self.send(Frame::text(text));
        }
    }

    /// Closes the transport and tells the handler, once.
    pub(super) fn end(&self, reason: DisconnectReason) {
        if self.0.phase.replace(Phase::Gone) == Phase::Gone {
            return;
        }
        self.0.ended.set(Some(reason));
        self.leave_all();
        self.0.acks.take();
        self.0.wire.close(1000, "");
        self.tell_end();
    }

    /// Not while the handler is in a call, whose end asks for this again.
    pub(super) fn tell_end(&self) {
        let Some(reason) = self.0.ended.get() else {
            return;
        };
        let handler = self.0.handler.borrow_mut().take();
        if let Some(mut handler) = handler {
            handler.disconnected(self, reason);
        }
    }

    pub(super) fn leave_all(&self) {
        let rooms = self.0.rooms.take();
        let Some(io) = self.0.io.upgrade() else {
            return;
        };
        for room in rooms {
            io.leave(&room, &self.0.id);
        }
    }

    pub(super) fn downgrade(&self) -> WeakSocket {
        WeakSocket(Rc::downgrade(&self.0))
    }
}

impl WeakSocket {
    pub(super) fn upgrade(&self) -> Option<Socket> {
        self.0.upgrade().map(Socket)
    }
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

/// An event of the namespace `/` as the text of one Engine.IO message.
pub(super) fn event_text(ack: Option<u64>, event: &str, args: &[Value]) -> String {
    let mut text = String::from("42");
    if let Some(ack) = ack {
        text.push_str(&ack.to_string());
    }
    text.push('[');
    text.push_str(&Value::from(event).to_string());
    for arg in args {
        text.push(',');
        text.push_str(&arg.to_string());
    }
    text.push(']');
    text
}
