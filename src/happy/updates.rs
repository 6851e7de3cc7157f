//! What an account's sockets are told: numbered updates of what was stored, and events of the
//! moment.
//!
//! A write takes the update's number in its own transaction and publishes after the commit, so
//! nothing is told that a power cut takes back. Updates leave in the order of their numbers,
//! whichever of the writers is awake first. They are neither kept nor repeated: whoever was away
//! asks over HTTP.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

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

/// Writes that take numbers, in the order in which the store was handed them, which is the order
/// in which it runs them. Whoever waits for one that came earlier waits only until that one's
/// task is polled: the store answers them in this order too.
#[derive(Default)]
pub struct Turns(RefCell<Places>);

#[derive(Default)]
struct Places {
    next: u64,
    open: BTreeMap<u64, Place>,
}

#[derive(Default)]
struct Place {
    /// What the writer said while an earlier one had still to speak.
    held: Vec<Say>,
    has_ended: bool,
}

type Say = Box<dyn FnOnce()>;

impl Turns {
    fn take(&self) -> u64 {
        let mut places = self.0.borrow_mut();
        let number = places.next;
        places.next += 1;
        places.open.insert(number, Place::default());
        number
    }

    fn say(&self, number: u64, say: Say) {
        let mut places = self.0.borrow_mut();
        let is_first = places.open.first_key_value().map(|(first, _)| *first) == Some(number);
        match places.open.get_mut(&number) {
            Some(place) if !is_first => place.held.push(say),
            _ => {
                drop(places);
                say();
            }
        }
    }

    fn end(&self, number: u64) {
        if let Some(place) = self.0.borrow_mut().open.get_mut(&number) {
            place.has_ended = true;
        }
        while let Some(held) = self.next_held() {
            held.into_iter().for_each(|say| say());
        }
    }

    /// What the first said too early; `None` where it has still to speak, or nobody has.
    fn next_held(&self) -> Option<Vec<Say>> {
        let mut places = self.0.borrow_mut();
        let mut first = places.open.first_entry()?;
        let held = std::mem::take(&mut first.get_mut().held);
        match first.get().has_ended {
            true => drop(first.remove()),
            false if held.is_empty() => return None,
            false => {}
        }
        Some(held)
    }
}

/// The place of one write among all that take numbers. Kept no longer than until what it tells is
/// published: others wait for its end.
#[must_use]
pub struct Turn {
    happy: Happy,
    number: u64,
}

impl Turn {
    /// Tells of the durable write, whose transaction took `seq`.
    pub fn publish(&self, account: &str, seq: i64, body: Value, to: Recipients) {
        self.publish_except(account, seq, body, to, None);
    }

    /// As [`Turn::publish`], but not to the socket that wrote.
    pub(super) fn publish_except(
        &self,
        account: &str,
        seq: i64,
        body: Value,
        to: Recipients,
        except: Option<&SocketId>,
    ) {
        let Some(mut receivers) = self.happy.receivers(account, &to) else {
            return;
        };
        let Some(id) = id::of_update() else {
            log::error!("event=happy_update_lost error=\"the system gave no random numbers\"");
            return;
        };
        if let Some(socket) = except {
            receivers = receivers.except(socket);
        }
        let now = self.happy.0.clock.wall().0;
        let update = json!({"id": id, "seq": seq, "body": body, "createdAt": now});
        let say = Box::new(move || receivers.emit("update", &update));
        self.happy.0.turns.say(self.number, say);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.happy.0.turns.end(self.number);
    }
}

impl Happy {
    /// Taken right before a write that takes numbers is handed to the store.
    pub(super) fn turn(&self) -> Turn {
        Turn {
            happy: self.clone(),
            number: self.0.turns.take(),
        }
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

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    struct Said(Turns, Rc<RefCell<Vec<&'static str>>>);

    impl Said {
        fn say(&self, number: u64, what: &'static str) {
            let said = self.1.clone();
            let say = move || said.borrow_mut().push(what);
            self.0.say(number, Box::new(say));
        }
    }

    #[test]
    fn whoever_wakes_first_speaks_in_the_order_of_the_writes() {
        let said = Said(Turns::default(), Rc::default());
        let [first, second, third, fourth] = [0; 4].map(|_| said.0.take());
        said.say(third, "3");
        said.0.end(third);
        said.say(second, "2a");
        assert!(said.1.borrow().is_empty());
        said.say(first, "1a");
        said.say(first, "1b");
        assert_eq!(*said.1.borrow(), ["1a", "1b"]);
        said.0.end(first);
        assert_eq!(*said.1.borrow(), ["1a", "1b", "2a"]);
        said.say(second, "2b");
        said.0.end(second);
        said.0.end(fourth);
        assert_eq!(*said.1.borrow(), ["1a", "1b", "2a", "2b", "3"]);
        assert!(said.0.0.borrow().open.is_empty());
    }

    #[test]
    fn a_write_that_tells_nothing_holds_nobody_up() {
        let said = Said(Turns::default(), Rc::default());
        let [first, second] = [0; 2].map(|_| said.0.take());
        said.say(second, "2");
        said.0.end(first);
        assert_eq!(*said.1.borrow(), ["2"]);
        said.0.end(second);
        assert!(said.0.0.borrow().open.is_empty());
    }
}
