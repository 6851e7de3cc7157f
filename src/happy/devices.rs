//! Who was let in: tokens are given out here, and looked up each time they are shown.
//!
//! A token is good while the row of its `jti` is there, so the owner can take any one back. When a
//! device was heard of last is kept in memory and written now and then.

use std::cell::RefCell;
use std::collections::HashMap;

use super::answer::{internal, store_error};
use super::db::devices::{self, Kind, NewDevice};
use super::db::pairings;
use super::{Happy, id};
use crate::clock::UnixMillis;
use crate::limits;
use crate::server::{HttpError, RequestHead};
use crate::socketio::Room;
use crate::store::StoreError;

/// Whose token was shown.
pub struct Known {
    pub account: String,
    pub device: String,
}

/// When devices were heard of since the start, by id.
#[derive(Default)]
pub struct Heard(RefCell<HashMap<String, Moment>>);

#[derive(Clone)]
pub struct Moment {
    pub at: UnixMillis,
    pub host: Option<String>,
    written: UnixMillis,
}

impl Heard {
    pub fn of(&self, device: &str) -> Option<Moment> {
        self.0.borrow().get(device).cloned()
    }

    /// Whether it is to be written.
    fn note(&self, device: &str, host: Option<String>, now: UnixMillis) -> bool {
        let mut heard = self.0.borrow_mut();
        if heard.len() >= limits::HAPPY_PRESENT_MAX && !heard.contains_key(device) {
            heard.clear();
        }
        let moment = heard.entry(device.to_owned()).or_insert(Moment {
            at: now,
            host: None,
            written: UnixMillis(0),
        });
        moment.at = now;
        moment.host = host.or(moment.host.take());
        let again = limits::HAPPY_SEEN_AGAIN.as_millis() as i64;
        // A clock that was set back must not keep it from being written.
        let is_due = (now.0 - moment.written.0).abs() >= again;
        if is_due {
            moment.written = now;
        }
        is_due
    }

    pub fn forget(&self, device: &str) {
        self.0.borrow_mut().remove(device);
    }
}

/// The sockets of one device.
pub fn room_of(device: &str) -> Room {
    format!("device/{device}").into()
}

/// What a client says of itself in a header: short and in one line, or nothing.
fn told(head: &RequestHead, name: &str) -> Option<String> {
    let text = head.header(name)?;
    let text: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(limits::HAPPY_AGENT_CHARS_MAX)
        .collect();
    (!text.is_empty()).then_some(text)
}

impl Happy {
    /// A token that holds from now on; `session` names the pairing of a terminal, `paired` that of
    /// any device that was let in by another.
    pub(super) async fn issue(
        &self,
        head: &RequestHead,
        account: &str,
        kind: Kind,
        session: Option<&str>,
        paired: Option<String>,
    ) -> Result<String, HttpError> {
        let room = &self.0;
        let now = room.clock.wall();
        let new = NewDevice {
            id: id::uuid().ok_or_else(internal)?,
            account: account.to_owned(),
            kind,
            agent: told(head, "user-agent"),
            host: told(head, "host"),
        };
        let token = room.tokens.issue(account, &new.id, session, now);
        let token = token.ok_or_else(internal)?;
        let kept = room.store.write(move |db| {
            devices::add(db, &new, now)?;
            match paired {
                Some(pairing) => pairings::fetched(db, &pairing, &new.id, now),
                None => Ok(()),
            }
        });
        let kept: Result<(), StoreError> = kept.await;
        kept.map_err(store_error)?;
        Ok(token)
    }

    /// `None`: it is no token of this box, or was taken back.
    pub(super) fn known(&self, token: &str) -> Result<Option<Known>, StoreError> {
        let Some(claims) = self.0.tokens.verify(token) else {
            return Ok(None);
        };
        let account = self
            .0
            .store
            .read(|db| devices::account_of(db, &claims.jti))?;
        Ok(account
            .filter(|account| *account == claims.sub)
            .map(|account| Known {
                account,
                device: claims.jti,
            }))
    }

    pub(super) fn note_heard(&self, device: &str, head: Option<&RequestHead>) {
        let now = self.0.clock.wall();
        let host = head.and_then(|head| told(head, "host"));
        if self.0.heard.note(device, host.clone(), now) {
            let device = device.to_owned();
            self.0
                .store
                .relaxed(move |db| devices::seen(db, &device, host.as_deref(), now));
        }
    }

    /// Its token is good no more, and its sockets end. Whether there was one.
    pub(super) async fn take_back(&self, device: &str) -> Result<bool, StoreError> {
        let id = device.to_owned();
        let removed = self
            .0
            .store
            .write(move |db| devices::remove(db, &id))
            .await?;
        self.0.heard.forget(device);
        if let Some(io) = self.0.hub.io() {
            io.disconnect_all(&room_of(device));
        }
        Ok(removed)
    }
}
