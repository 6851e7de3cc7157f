//! What an account's sockets are told: numbered updates of what was stored, and events of the
//! moment.
//!
//! A write takes the update's number in its own transaction and publishes after the commit, so
//! nothing is told that a power cut takes back. Updates are neither kept nor repeated: whoever
//! was away asks over HTTP.

use std::cell::OnceCell;
use std::rc::Rc;

use serde_json::{Value, json};

use super::{Happy, id};

/// A set of sockets, by name. No name of one account is a name of another's.
pub type Room = Rc<str>;

/// Which of the account's sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    All,
    UserScoped,
    /// The session's own and the user-scoped ones.
    Session(String),
    /// The machine's own and the user-scoped ones.
    Machine(String),
}

impl Recipients {
    pub fn rooms(&self, account: &str) -> Vec<Room> {
        match self {
            Recipients::All => vec![all_of(account)],
            Recipients::UserScoped => vec![users_of(account)],
            Recipients::Session(id) => vec![users_of(account), session_of(account, id)],
            Recipients::Machine(id) => vec![users_of(account), machine_of(account, id)],
        }
    }
}

pub fn all_of(account: &str) -> Room {
    account.into()
}

pub fn users_of(account: &str) -> Room {
    format!("{account}/users").into()
}

pub fn session_of(account: &str, session: &str) -> Room {
    format!("{account}/session/{session}").into()
}

pub fn machine_of(account: &str, machine: &str) -> Room {
    format!("{account}/machine/{machine}").into()
}

/// Sends to every socket in any of the rooms, once each.
pub trait Sender {
    fn send(&self, rooms: &[Room], event: &str, argument: &Value);
}

/// Where updates go; without a sender nobody listens.
#[derive(Default)]
pub struct Hub(OnceCell<Rc<dyn Sender>>);

impl Happy {
    /// Tells of a durable write, whose transaction took `seq`.
    pub fn publish(&self, account: &str, seq: i64, body: Value, to: Recipients) {
        let Some(update) = self.update(seq, body) else {
            log::error!("event=happy_update_lost error=\"the system gave no random numbers\"");
            return;
        };
        self.send(account, "update", &update, &to);
    }

    /// Tells of what is not stored.
    pub fn ephemeral(&self, account: &str, body: Value, to: Recipients) {
        self.send(account, "ephemeral", &body, &to);
    }

    fn update(&self, seq: i64, body: Value) -> Option<Value> {
        Some(json!({
            "id": id::of_update()?,
            "seq": seq,
            "body": body,
            "createdAt": self.0.clock.wall().0,
        }))
    }

    fn send(&self, account: &str, event: &str, argument: &Value, to: &Recipients) {
        if let Some(sender) = self.0.hub.0.get() {
            sender.send(&to.rooms(account), event, argument);
        }
    }
}
