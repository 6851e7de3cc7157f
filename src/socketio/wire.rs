//! What comes over a WebSocket: of a session that began by it, or of one that moves to it.

use std::rc::Rc;

use super::polling::Polling;
use super::session::{Farewell, Session, Transport};
use super::{DisconnectReason, engine};
use crate::server::websocket::{self, Endpoint, Frame, Message};

pub(super) struct Wire {
    session: Rc<Session>,
    role: Role,
}

enum Role {
    /// The transport of the session.
    Transport,
    /// Tried out while the session still polls.
    Probe(Rc<Polling>),
    /// Closed as soon as it was opened.
    Stranger,
}

impl Wire {
    pub(super) fn of(session: Rc<Session>) -> Wire {
        Wire {
            session,
            role: Role::Transport,
        }
    }

    /// For a session that polls. One that has moved, or is about to, takes no second WebSocket.
    pub(super) fn beside(session: Rc<Session>, wire: &websocket::Socket) -> Wire {
        let mut role = Role::Stranger;
        if let (Transport::Polling(polling), Some(endpoint)) =
            (session.transport(), session.endpoint.upgrade())
            && session.is_open()
            && polling.begin_probe(wire, endpoint.clock.mono())
        {
            role = Role::Probe(polling);
        } else {
            wire.close(1000, "");
        }
        Wire { session, role }
    }

    fn probe(&mut self, wire: &websocket::Socket, message: Message<'_>) {
        let Role::Probe(polling) = &self.role else {
            return;
        };
        match message {
            Message::Text("2probe") => {
                wire.send(Frame::text("3probe"));
                polling.probed();
            }
            Message::Text("5") if polling.is_probed() => {
                self.role = Role::Transport;
                self.session.move_to(wire);
            }
            _ => {
                polling.end_probe();
                self.role = Role::Stranger;
                wire.close(1000, "");
            }
        }
    }
}

impl Endpoint for Wire {
    fn message(&mut self, wire: &websocket::Socket, message: Message<'_>) {
        if !matches!(self.role, Role::Transport) {
            return self.probe(wire, message);
        }
        let packet = match message {
            Message::Text(text) => engine::Packet::parse(text),
            Message::Binary(bytes) => Ok(engine::Packet::Binary(bytes.to_vec())),
        };
        match packet {
            Ok(packet) => self.session.take(packet),
            Err(_) => {
                self.session
                    .end(DisconnectReason::TransportClose, Farewell::Abrupt);
            }
        }
    }

    fn closed(&mut self, _: u16) {
        match &self.role {
            Role::Transport => {
                self.session
                    .end(DisconnectReason::TransportClose, Farewell::Abrupt);
            }
            Role::Probe(polling) => polling.end_probe(),
            Role::Stranger => {}
        }
    }
}
