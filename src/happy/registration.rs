//! Which keys become accounts: `HAPPY_REGISTRATION`.
//!
//! Unmodified clients have no field for an invite, so an invite is a door held open: the next
//! unknown key that signs in within its time becomes an account, and the invite is used up.

use std::cell::RefCell;

use serde_json::json;

use crate::clock::MonoMillis;
use crate::limits;
use crate::server::{HttpError, Response, StatusCode};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Any key.
    Open,
    /// Known keys, and one more for each invite.
    Invite,
    /// Known keys.
    Closed,
}

impl Registration {
    /// As `HAPPY_REGISTRATION` names it.
    pub fn name(self) -> &'static str {
        match self {
            Registration::Open => "open",
            Registration::Invite => "invite",
            Registration::Closed => "closed",
        }
    }
}

/// Invites that are out; in memory, so a restart withdraws them.
#[derive(Default)]
pub struct Invites(RefCell<Vec<MonoMillis>>);

impl Invites {
    pub fn count(&self, now: MonoMillis) -> usize {
        let mut made = self.0.borrow_mut();
        made.retain(|made| now.since(*made) < limits::HAPPY_INVITE_LIFE);
        made.len()
    }

    /// Uses one up.
    pub fn take(&self, now: MonoMillis) -> bool {
        let mut made = self.0.borrow_mut();
        made.retain(|made| now.since(*made) < limits::HAPPY_INVITE_LIFE);
        if made.is_empty() {
            return false;
        }
        made.remove(0);
        true
    }

    /// Gives back what [`Invites::take`] took for an account that was not made.
    pub fn give(&self, now: MonoMillis) -> bool {
        let mut made = self.0.borrow_mut();
        made.retain(|made| now.since(*made) < limits::HAPPY_INVITE_LIFE);
        let has_room = made.len() < limits::HAPPY_INVITES_MAX;
        if has_room {
            made.push(now);
        }
        has_room
    }
}

/// An admin holds the door open for one key.
pub fn invite(invites: &Invites, now: MonoMillis) -> Result<Response, HttpError> {
    if !invites.give(now) {
        return Err(HttpError::new(
            StatusCode::CONFLICT,
            "CONFLICT",
            "As many invites as can be are out; let them be used or wait until they end.",
        ));
    }
    let life = limits::HAPPY_INVITE_LIFE.as_secs();
    Ok(Response::json(
        StatusCode::CREATED,
        &json!({"success": true, "data": {"valid_for_s": life}}),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_lets_one_key_in_and_ends_by_itself() {
        let invites = Invites::default();
        assert!(!invites.take(MonoMillis(0)));
        assert!(invites.give(MonoMillis(0)));
        assert!(invites.take(MonoMillis(1)));
        assert!(!invites.take(MonoMillis(1)));
        let life = limits::HAPPY_INVITE_LIFE.as_millis() as u64;
        assert!(invites.give(MonoMillis(0)));
        assert!(!invites.take(MonoMillis(life)));
        for _ in 0..limits::HAPPY_INVITES_MAX {
            assert!(invites.give(MonoMillis(life)));
        }
        assert!(!invites.give(MonoMillis(life)));
    }
}
