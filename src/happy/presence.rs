//! Who is there: heartbeats of sessions and machines, and what is made of them.
//!
//! Every heartbeat is told at once and none is written by itself. A row is written when it is
//! half a minute behind, together with all others, so that a card is not worn out by clients
//! that are merely there. Whoever was silent for ten minutes is there no more. A session that
//! ended stays ended for a minute whatever late heartbeats say.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use super::updates::Recipients;
use super::{Happy, db};
use crate::clock::{MonoMillis, UnixMillis};
use crate::limits;

pub use super::db::presence::Kind;

#[derive(Default)]
pub struct Presence {
    known: RefCell<BTreeMap<(Kind, String), Known>>,
    /// Sessions whose heartbeats do not count, and until when.
    stopped: RefCell<BTreeMap<String, MonoMillis>>,
    is_writing: Cell<bool>,
    is_watching: Cell<bool>,
}

/// A row that was looked up not long ago.
struct Known {
    account: Rc<str>,
    since: MonoMillis,
    is_active: bool,
    /// As the row has it.
    written: i64,
    /// To be written.
    newest: Option<i64>,
}

/// When a heartbeat was made: not in the future, and not so long ago that it says nothing.
pub fn heard_at(time: &Value, now: UnixMillis) -> Option<i64> {
    let time = time
        .as_i64()
        .or_else(|| time.as_f64().map(|time| time as i64))?;
    let time = time.min(now.0);
    let oldest = now.0 - limits::HAPPY_HEARTBEAT_AGE_MAX.as_millis() as i64;
    (time >= oldest).then_some(time)
}

impl Happy {
    /// Heartbeats of the session do not count for a minute: called before the write that ends it.
    pub fn session_stops(&self, session: &str) {
        let presence = &self.0.presence;
        let mut known = presence.known.borrow_mut();
        known.remove(&(Kind::Session, session.to_owned()));
        let mut stopped = presence.stopped.borrow_mut();
        let now = self.0.clock.mono();
        if stopped.len() >= limits::HAPPY_STOPPED_SESSIONS_MAX {
            stopped.retain(|_, until| *until > now);
        }
        if stopped.len() < limits::HAPPY_STOPPED_SESSIONS_MAX {
            let until = MonoMillis(now.0 + limits::HAPPY_STOPPED_WAIT.as_millis() as u64);
            stopped.insert(session.to_owned(), until);
        }
    }

    /// Called after the write that deletes it: what was known of it makes late heartbeats count.
    pub fn machine_is_gone(&self, machine: &str) {
        let mut known = self.0.presence.known.borrow_mut();
        known.remove(&(Kind::Machine, machine.to_owned()));
    }

    /// It starts anew, so its heartbeats count again.
    pub fn session_resumes(&self, session: &str) {
        self.0.presence.stopped.borrow_mut().remove(session);
    }

    pub fn session_activity(
        &self,
        account: &str,
        session: &str,
        active: bool,
        at: i64,
        thinking: bool,
    ) {
        let body = json!({
            "type": "activity",
            "id": session,
            "active": active,
            "activeAt": at,
            "thinking": thinking,
        });
        self.ephemeral(account, body, Recipients::UserScoped);
    }

    pub fn machine_activity(&self, account: &str, machine: &str, active: bool, at: i64) {
        let body = json!({
            "type": "machine-activity",
            "id": machine,
            "active": active,
            "activeAt": at,
        });
        self.ephemeral(account, body, Recipients::UserScoped);
    }

    /// Takes a heartbeat; whether it counts.
    pub(super) fn alive(&self, kind: Kind, account: &Rc<str>, id: &str, at: i64) -> bool {
        let presence = &self.0.presence;
        let now = self.0.clock.mono();
        if kind == Kind::Session && presence.is_stopped(id, now) {
            return false;
        }
        let key = (kind, id.to_owned());
        let is_fresh = presence.known.borrow().get(&key).is_some_and(|known| {
            *known.account == **account && now.since(known.since) < limits::HAPPY_KNOWN_LIFE
        });
        if !is_fresh && !self.look_up(&key, account) {
            return false;
        }
        let mut all = presence.known.borrow_mut();
        if let Some(known) = all.get_mut(&key) {
            let behind = at.abs_diff(known.written);
            if !known.is_active || u128::from(behind) > limits::HAPPY_WRITTEN_BEHIND.as_millis() {
                known.newest = Some(at);
                drop(all);
                self.write_soon();
            }
        }
        true
    }

    /// Whether the account has it, asked on the loop: by key.
    pub(super) fn owns(&self, kind: Kind, account: &str, id: &str) -> bool {
        let found = self
            .0
            .store
            .read(|db| db::presence::get(db, kind, account, id));
        matches!(found, Ok(Some(_)))
    }

    fn look_up(&self, key: &(Kind, String), account: &Rc<str>) -> bool {
        let found = self
            .0
            .store
            .read(|db| db::presence::get(db, key.0, account, &key.1));
        let Ok(Some((is_active, written))) = found else {
            return false;
        };
        let now = self.0.clock.mono();
        let mut known = self.0.presence.known.borrow_mut();
        if known.len() >= limits::HAPPY_PRESENT_MAX {
            known.retain(|_, known| {
                known.newest.is_some() || now.since(known.since) < limits::HAPPY_KNOWN_LIFE
            });
        }
        // One too many is told of and not written.
        if known.len() < limits::HAPPY_PRESENT_MAX || known.contains_key(key) {
            let newest = known.get(key).and_then(|known| known.newest);
            let entry = Known {
                account: account.clone(),
                since: now,
                is_active,
                written,
                newest,
            };
            known.insert(key.clone(), entry);
        }
        true
    }

    /// Writes all that is behind, some seconds from now.
    fn write_soon(&self) {
        if self.0.presence.is_writing.replace(true) {
            return;
        }
        let room = Rc::downgrade(&self.0);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(limits::HAPPY_PRESENCE_WAIT).await;
            if let Some(room) = room.upgrade() {
                Happy(room).write_presence().await;
            }
        });
    }

    pub(super) async fn write_presence(&self) {
        let presence = &self.0.presence;
        presence.is_writing.set(false);
        let behind = presence.take_behind();
        if behind.is_empty() {
            return;
        }
        let now = self.0.clock.wall();
        let written = self.0.store.write(move |db| {
            for (kind, id, account, at) in &behind {
                db::presence::heard(db, *kind, account, id, *at, now)?;
            }
            Ok::<_, crate::store::StoreError>(())
        });
        // Whoever is there says so again within seconds.
        if let Err(error) = written.await {
            log::warn!("event=happy_presence_not_written error=\"{error}\"");
        }
    }

    /// Looks every minute for whoever fell silent. Ends with the room.
    pub(super) fn watch_silence(&self) {
        if self.0.presence.is_watching.replace(true) {
            return;
        }
        let room = Rc::downgrade(&self.0);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(limits::HAPPY_SILENCE_LOOK).await;
                let Some(room) = room.upgrade() else { return };
                Happy(room).end_silent().await;
            }
        });
    }

    pub(super) async fn end_silent(&self) {
        let now = self.0.clock.wall();
        let since = UnixMillis(now.0 - limits::HAPPY_SILENCE_MAX.as_millis() as i64);
        let found = self
            .0
            .store
            .query(move |db| db::presence::any_silent(db, since));
        if !matches!(found.await, Ok(true)) {
            return;
        }
        let ended = self
            .0
            .store
            .write(move |db| db::presence::end_silent(db, since, now));
        for silent in ended.await.unwrap_or_default() {
            let (account, id, at) = (&silent.account, &silent.id, silent.at);
            let key = (silent.kind, id.clone());
            self.0.presence.known.borrow_mut().remove(&key);
            match silent.kind {
                Kind::Session => self.session_activity(account, id, false, at, false),
                Kind::Machine => self.machine_activity(account, id, false, at),
            }
        }
    }
}

impl Presence {
    fn is_stopped(&self, session: &str, now: MonoMillis) -> bool {
        let mut stopped = self.stopped.borrow_mut();
        match stopped.get(session) {
            Some(until) if *until > now => true,
            Some(_) => {
                stopped.remove(session);
                false
            }
            None => false,
        }
    }

    fn take_behind(&self) -> Vec<(Kind, String, String, i64)> {
        let mut behind = Vec::new();
        for ((kind, id), known) in self.known.borrow_mut().iter_mut() {
            if let Some(at) = known.newest.take() {
                known.written = at;
                known.is_active = true;
                behind.push((*kind, id.clone(), known.account.to_string(), at));
            }
        }
        behind
    }
}
