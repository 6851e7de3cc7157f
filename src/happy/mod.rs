//! Happy sync: the server that end-to-end encrypted Claude Code clients talk to.
//!
//! Owns accounts, which are Ed25519 keys, and what they sync; all of it is ciphertext that this
//! room stores and hands on unread. It speaks the wire contract of the original server, so its
//! routes are open to the door and check tokens of their own. Never: lets a key in that the
//! registration mode does not, or tells one account of another.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;

use crate::clock::Clock;
use crate::limits;
use crate::ops::Registry;
use crate::outbound::Outbound;
use crate::server::{RateLimiter, Router};
use crate::store::{Store, StoreError};

mod access_keys;
mod account;
mod answer;
pub mod archive;
mod artifacts;
mod attachments;
mod auth;
mod call;
mod db;
mod deletion;
#[cfg(test)]
mod deletion_tests;
mod devices;
pub mod docs;
mod feed;
mod files;
mod friends;
mod id;
mod kv;
mod machines;
mod messages;
mod outside;
mod owner;
mod pairing;
pub mod people_docs;
mod presence;
#[cfg(test)]
mod presence_tests;
pub mod push;
mod registration;
mod removal;
mod retention;
#[cfg(test)]
mod retention_tests;
mod sessions;
mod sockets;
mod token;
mod updates;
mod usage;
mod vendors;

pub use registration::Registration;
pub use updates::Recipients;
pub use vendors::Seal;

use archive::Archives;
use attachments::Uploads;
use deletion::Deletions;
use devices::Heard;
use files::Files;
use presence::Presence;
use push::{Aloud, Push, PushWay};
use registration::Invites;
use retention::Retention;
use sockets::{Watchers, Workers};
use token::Tokens;
use updates::{Hub, Turns};

/// What the app looks for at the address of a server.
pub const GREETING: &str = "Welcome to Happy Server!";

/// What the wiring hands to the room.
pub struct HappyParts {
    pub store: Store,
    pub clock: Clock,
    pub metrics: Registry,
    pub registration: Registration,
    /// Accounts may make so many calls only; the owner of the box can turn that off.
    pub is_limited: bool,
    /// What each account may store.
    pub account_bytes: i64,
    /// Sessions that were not used for longer go; 0: none does.
    pub keep_days: u32,
    pub data_dir: PathBuf,
    pub push: PushWay,
    /// The box's voice, where it is to say that Claude waits.
    pub aloud: Option<Rc<dyn Aloud>>,
    pub outbound: Outbound,
    /// For what is kept for accounts in plain text.
    pub seal: Rc<dyn Seal>,
}

/// Clones share the room.
#[derive(Clone)]
pub struct Happy(Rc<Room>);

struct Room {
    store: Store,
    clock: Clock,
    registration: Registration,
    invites: Invites,
    tokens: Tokens,
    hub: Hub,
    turns: Turns,
    heard: Heard,
    presence: Presence,
    files: Files,
    uploads: Uploads,
    deletions: Deletions,
    retention: Retention,
    archives: Archives,
    data_dir: PathBuf,
    watchers: Watchers,
    workers: Workers,
    seal: Rc<dyn Seal>,
    push: Push,
    /// Calls without a token, by address: they cost a signature or a row.
    strangers: RateLimiter,
    /// Calls of each account.
    members: RateLimiter,
}

impl Happy {
    pub async fn start(parts: HappyParts) -> Result<Happy, StoreError> {
        let token_seed = token_seed(&parts.store).await?;
        let bytes = parts.account_bytes;
        let bounded = move |db: &_| db::bounds::set_account_bytes(db, bytes);
        parts.store.write(bounded).await?;
        removal::give_up_imports(&parts.store).await?;
        let calls = match parts.is_limited {
            true => limits::HAPPY_CALLS_PER_MINUTE,
            false => 0,
        };
        let happy = Happy(Rc::new(Room {
            tokens: Tokens::new(&token_seed),
            strangers: RateLimiter::new(
                parts.clock.clone(),
                limits::HAPPY_STRANGER_CALLS_PER_MINUTE,
            ),
            members: RateLimiter::new(parts.clock.clone(), calls),
            invites: Invites::default(),
            hub: Hub::default(),
            turns: Turns::default(),
            heard: Heard::default(),
            presence: Presence::default(),
            files: Files::new(&parts.data_dir),
            uploads: Uploads::default(),
            deletions: Deletions::default(),
            retention: Retention::new(parts.keep_days, &parts.clock),
            archives: Archives::default(),
            data_dir: parts.data_dir,
            watchers: Watchers::default(),
            workers: Workers::default(),
            seal: parts.seal,
            push: Push {
                way: parts.push,
                outbound: parts.outbound,
                aloud: parts.aloud,
                spoke: Cell::default(),
                often: RateLimiter::new(parts.clock.clone(), limits::HAPPY_PUSHES_PER_MINUTE),
            },
            store: parts.store,
            clock: parts.clock,
            registration: parts.registration,
        }));
        sockets::serve(&happy, &parts.metrics);
        happy.watch_silence();
        happy.watch_receipts();
        happy.tidy_files();
        happy.watch_deletions();
        happy.watch_retention();
        happy.watch_removals();
        Ok(happy)
    }

    /// No poll holds up a box that stops.
    pub fn stop(&self) {
        if let Some(io) = self.0.hub.io() {
            io.end_polling();
        }
    }

    pub fn routes(&self, router: &mut Router) {
        for prefix in ["/v1/", "/v2/", "/v3/"] {
            router.errors_of(prefix, answer::error_shape);
            router.open_to_pages(prefix);
        }
        router.errors_of("/files/", answer::file_error_shape);
        auth::routes(router, self);
        pairing::routes(router, self);
        sessions::routes(router, self);
        messages::routes(router, self);
        machines::routes(router, self);
        access_keys::routes(router, self);
        artifacts::routes(router, self);
        attachments::routes(router, self);
        sockets::routes(router, self);
        account::routes(router, self);
        usage::routes(router, self);
        kv::routes(router, self);
        push::routes(router, self);
        friends::routes(router, self);
        feed::routes(router, self);
        vendors::routes(router, self);
        outside::routes(router, self);
        owner::routes(router, self);
        archive::routes(router, self);
        removal::routes(router, self);
    }
}

/// Made once; whoever copies the database signs the same.
async fn token_seed(store: &Store) -> Result<[u8; 32], StoreError> {
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh)
        .map_err(|error| StoreError::Io(format!("no random numbers: {error}")))?;
    store
        .write(move |db| db::devices::key(db, "tokens", fresh))
        .await
}
