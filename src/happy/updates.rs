//! What an account's sockets are told: numbered updates of what was stored, and events of the
//! moment.
//!
//! A write takes the update's number in its own transaction and publishes after the commit, so
//! nothing is told that a power cut takes back. Updates are neither kept nor repeated: whoever
//! was away asks over HTTP.

use std::cell::OnceCell;

use serde_json::{Value, json};

use super::{Happy, id};
use crate::socketio::{Broadcast, Io, Room, SocketId};

/// Which of the account's sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    UserScoped,
    /// The session's own and the user-scoped ones.
    Session(String),
    /// The machine's own and the user-scoped ones.
    Machine(String),
}

impl Recipients {
    fn rooms(&self, account: &str) -> Vec<Room> {
        match self {
            Recipients::UserScoped => vec![users_of(account)],
            Recipients::Session(id) => vec![users_of(account), session_of(account, id)],
            Recipients::Machine(id) => vec![users_of(account), machine_of(account, id)],
        }
    }
}

// No room of one account is a room of another's.

pub fn users_of(account: &str) -> Room {
    format!("{account}/users").into()
}

pub fn session_of(account: &str, session: &str) -> Room {
    format!("{account}/session/{session}").into()
}

pub fn machine_of(account: &str, machine: &str) -> Room {
    format!("{account}/machine/{machine}").into()
}

/// The sockets, once they are served.
#[derive(Default)]
pub struct Hub(OnceCell<Io>);

impl Hub {
    pub fn serve(&self, io: Io) {
        // Called once, by the start of the room.
        let _ = self.0.set(io);
    }

    pub fn io(&self) -> Option<&Io> {
        self.0.get()
    }
}

impl Happy {
    /// Tells of a durable write, whose transaction took `seq`.
    pub fn publish(&self, account: &str, seq: i64, body: Value, to: Recipients) {
        self.publish_except(account, seq, body, to, None);
    }

    /// As [`Happy::publish`], but not to the socket that wrote.
    pub(super) fn publish_except(
        &self,
        account: &str,
        seq: i64,
        body: Value,
        to: Recipients,
        except: Option<&SocketId>,
    ) {
        let Some(mut receivers) = self.receivers(account, &to) else {
            return;
        };
        let Some(id) = id::of_update() else {
            log::error!("event=happy_update_lost error=\"the system gave no random numbers\"");
            return;
        };
        if let Some(socket) = except {
            receivers = receivers.except(socket);
        }
        let now = self.0.clock.wall().0;
        let update = json!({"id": id, "seq": seq, "body": body, "createdAt": now});
        receivers.emit("update", &update);
    }

    /// Tells of what is not stored.
    pub fn ephemeral(&self, account: &str, body: Value, to: Recipients) {
        if let Some(receivers) = self.receivers(account, &to) {
            receivers.emit("ephemeral", &body);
        }
    }

    fn receivers(&self, account: &str, to: &Recipients) -> Option<Broadcast> {
        Some(self.0.hub.io()?.to(&to.rooms(account)))
    }
}
