//! The end of a session: gone for everybody with one write, and then taken apart piece by piece.
//!
//! What is taken apart is a row with a mark, so a power cut in between delays the end and does not
//! lose it: it goes on at the start, and every hour where the card refused.

use std::rc::Rc;

use serde_json::json;
use tokio::sync::Notify;

use super::db::bounds::Idle;
use super::db::{WriteError, deleted};
use super::presence::Kind;
use super::updates::Turn;
use super::{Happy, Recipients};
use crate::limits;
use crate::store::StoreError;

/// Told when there is something to take apart.
#[derive(Default)]
pub struct Deletions(Rc<Notify>);

impl Happy {
    /// Deletes a session with all that belongs to it and tells the account's clients. When this
    /// returns, nothing reads, lists or writes it any more, also after a power cut; the rest goes
    /// in the background, or with [`Happy::take_apart_deleted`]. `false`: no such session.
    pub(super) async fn delete_session(
        &self,
        account: &str,
        session: &str,
    ) -> Result<bool, StoreError> {
        if self.owns(Kind::Session, account, session) {
            self.session_stops(session);
        }
        let (owner, id) = (account.to_owned(), session.to_owned());
        let turn = self.turn();
        let marked = self
            .0
            .store
            .write(move |db| deleted::mark(db, &owner, &id))
            .await;
        if marked.is_err() {
            self.session_resumes(session);
        }
        let Some(seq) = marked? else {
            return Ok(false);
        };
        self.tell_deleted(&turn, account, session, seq);
        Ok(true)
    }

    /// As [`Happy::delete_session`], where it is still idle when it is marked.
    pub(super) async fn delete_idle_session(&self, idle: Idle) -> Result<bool, StoreError> {
        let Idle {
            account,
            id,
            before,
        } = idle;
        let (owner, session) = (account.clone(), id.clone());
        let turn = self.turn();
        let marked = self
            .0
            .store
            .write(move |db| deleted::mark_idle(db, &owner, &session, before));
        let Some(seq) = marked.await? else {
            return Ok(false);
        };
        self.session_stops(&id);
        self.tell_deleted(&turn, &account, &id, seq);
        Ok(true)
    }

    fn tell_deleted(&self, turn: &Turn, account: &str, session: &str, seq: i64) {
        let body = json!({"t": "delete-session", "sid": session});
        turn.publish(account, seq, body, Recipients::UserScoped);
        self.0.deletions.0.notify_one();
    }

    /// Returns when nothing is left of any session that was deleted before; one whose files the
    /// card holds fast does not keep the others.
    pub(super) async fn take_apart_deleted(&self) -> Result<(), StoreError> {
        let (mut last, mut outcome) = (String::new(), Ok(()));
        loop {
            let after = last.clone();
            let next = self.0.store.query(move |db| deleted::next(db, &after));
            let Some(session) = next.await? else {
                return outcome;
            };
            match self.remove_files(&session).await {
                Ok(()) => while self.take_apart_piece(&session).await? {},
                Err(error) => outcome = Err(StoreError::Io(error.to_string())),
            }
            last = session;
        }
    }

    /// Ends with the room.
    pub(super) fn watch_deletions(&self) {
        let (room, wake) = (Rc::downgrade(&self.0), self.0.deletions.0.clone());
        tokio::task::spawn_local(async move {
            while let Some(happy) = room.upgrade().map(Happy) {
                if let Err(error) = happy.take_apart_deleted().await {
                    log::warn!("event=happy_deletion_waits error=\"{error}\"");
                }
                drop(happy);
                let _ = tokio::time::timeout(limits::HAPPY_DELETION_LOOK, wake.notified()).await;
            }
        });
    }

    /// Whether there is more of this one.
    async fn take_apart_piece(&self, session: &str) -> Result<bool, StoreError> {
        let id = session.to_owned();
        let job = move |db: &_| Ok(deleted::take_apart(db, &id)?);
        self.write_event(0, job).await.map_err(|error| match error {
            WriteError::Store(error) => error,
            WriteError::NoRoom => StoreError::Full,
        })
    }
}
