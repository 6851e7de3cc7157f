//! The end of an account, by the owner of the box: gone for everybody with one write, and then
//! taken apart piece by piece.
//!
//! As with a session, what is taken apart is a row with a mark: a power cut delays the end and does
//! not lose it. What an import left half goes the same way, at the start.

use std::rc::{Rc, Weak};

use serde_json::json;

use super::answer::store_error;
use super::archive::no_account;
use super::db::{WriteError, removal};
use super::devices::room_of;
use super::{Happy, Room};
use crate::limits;
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode};
use crate::store::{Connection, StoreError};

pub fn routes(router: &mut Router, happy: &Happy) {
    let own = happy.clone();
    let path = "/api/v1/happy/accounts/{id}";
    router.route(Method::DELETE, path, Access::Admin, move |request| {
        remove(own.clone(), request)
    });
}

async fn remove(happy: Happy, request: Request) -> Result<Response, HttpError> {
    let account = request.param("id").to_owned();
    // To its end, though whoever asked hangs up.
    let working = tokio::task::spawn_local(async move {
        if !happy.part_with(&account).await.map_err(store_error)? {
            return Err(no_account());
        }
        let gone = happy.take_apart_account(&account).await;
        if let Err(error) = &gone {
            log::warn!("event=happy_removal_waits error=\"{error}\"");
        }
        Ok(gone.is_err())
    });
    let is_pending = match tokio::time::timeout(limits::HAPPY_REMOVAL_WAIT, working).await {
        Ok(Ok(outcome)) => outcome?,
        Ok(Err(_)) => return Err(HttpError::busy("The box is stopping; try again.", 1)),
        // It goes on.
        Err(_) => true,
    };
    let answer = json!({"success": true, "data": {"pending": is_pending}});
    Ok(Response::json(StatusCode::OK, &answer))
}

impl Happy {
    /// No token of the account holds any more, its sockets end, and nobody sees it. Whether there
    /// was one.
    pub(super) async fn part_with(&self, account: &str) -> Result<bool, StoreError> {
        let id = account.to_owned();
        let marked = self.0.store.write(move |db| removal::mark(db, &id)).await?;
        let Some(devices) = marked else {
            return Ok(false);
        };
        log::info!("event=happy_account_removed devices={}", devices.len());
        for device in devices {
            self.0.heard.forget(&device);
            if let Some(io) = self.0.hub.io() {
                io.disconnect_all(&room_of(&device));
            }
        }
        Ok(true)
    }

    /// Returns when nothing is left of an account that is marked.
    pub(super) async fn take_apart_account(&self, account: &str) -> Result<(), StoreError> {
        while self.piece_of(account, removal::some_sessions).await? {}
        self.take_apart_deleted().await?;
        while self.piece_of(account, removal::take_apart).await? {}
        let id = account.to_owned();
        // A call that began before may have stored something more.
        match self
            .0
            .store
            .query(move |db| removal::is_left(db, &id))
            .await?
        {
            true => Err(StoreError::Busy),
            false => Ok(()),
        }
    }

    async fn piece_of(
        &self,
        account: &str,
        piece: fn(&Connection, &str) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let id = account.to_owned();
        let job = move |db: &Connection| Ok(piece(db, &id)?);
        self.write_event(0, job).await.map_err(|error| match error {
            WriteError::Store(error) => error,
            WriteError::NoRoom => StoreError::Full,
        })
    }

    /// What is marked goes on being taken apart. Ends with the room.
    pub(super) fn watch_removals(&self) {
        let room = Rc::downgrade(&self.0);
        tokio::task::spawn_local(async move {
            while room.strong_count() > 0 {
                if let Err(error) = take_apart(&room).await {
                    log::warn!("event=happy_removal_waits error=\"{error}\"");
                }
                tokio::time::sleep(limits::HAPPY_DELETION_LOOK).await;
            }
        });
    }
}

/// All that are marked; one that the card holds fast does not keep the others.
async fn take_apart(room: &Weak<Room>) -> Result<(), StoreError> {
    let (mut last, mut outcome) = (String::new(), Ok(()));
    while let Some(happy) = room.upgrade().map(Happy) {
        let after = last.clone();
        let next = happy.0.store.query(move |db| removal::next(db, &after));
        let Some(account) = next.await? else { break };
        if let Err(error) = happy.take_apart_account(&account).await {
            outcome = Err(error);
        }
        last = account;
    }
    outcome
}

/// What an import left that was cut off is to go; before anybody can begin another.
pub async fn give_up_imports(store: &crate::store::Store) -> Result<(), StoreError> {
    match store.write(|db| removal::give_up(db, None)).await? {
        0 => {}
        count => log::info!("event=happy_imports_given_up count={count}"),
    }
    Ok(())
}
