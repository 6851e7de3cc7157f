//! Who is calling: the box's owner, its devices, their tokens, and how a fresh box is claimed.
//!
//! Owns the people and devices of the box and the pairing code. Everything a request is checked
//! against lies in memory, so [`Identity::who`] never waits; what changes is committed first and
//! believed after. Tokens have no end of life, so a clock that jumps years locks nobody out.
//! Never: writes a token or its hash to a log, or hands a token out a second time.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::{Clock, MonoMillis, UnixMillis};
use crate::limits;
use crate::store::{Store, StoreError};

mod codes;
mod db;
mod secret;
#[cfg(test)]
mod tests;

use codes::{Codes, Issued, Refused};
use secret::TokenHash;

/// `VOICE_AUTH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Loopback acts as the owner, everybody else shows a token.
    Lan,
    /// Everybody shows a token.
    Strict,
    /// Nobody is asked.
    Off,
}

/// What a request shows of itself.
pub struct Credentials<'a> {
    /// From `Authorization: Bearer` or the pairing cookie.
    pub token: Option<&'a str>,
    pub peer: IpAddr,
    /// The `Host` is a loopback name and no forwarding header is there.
    pub plainly_local: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The owner by loopback or by the local token, or anyone under [`AuthMode::Off`].
    Owner,
    Device {
        id: Rc<str>,
        admin: bool,
    },
    Nobody,
}

/// Clones share the same people and devices.
#[derive(Clone)]
pub struct Identity(Rc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    mode: Cell<AuthMode>,
    is_claimed: Cell<bool>,
    devices: RefCell<HashMap<TokenHash, Entry>>,
    /// Pairings that are being written, so that many at once keep the bound.
    pairing: Cell<usize>,
    codes: RefCell<Codes>,
    local: Cell<Option<TokenHash>>,
}

struct Entry {
    /// Shared with every [`Who`], so that identifying a request allocates nothing.
    id: Rc<str>,
    device: Device,
    touched: Option<MonoMillis>,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct Device {
    /// `dev_` and 16 hex digits.
    pub id: String,
    pub name: String,
    pub admin: bool,
    #[serde(serialize_with = "as_rfc3339")]
    pub created_at: UnixMillis,
    #[serde(serialize_with = "as_rfc3339_or_null")]
    pub last_seen_at: Option<UnixMillis>,
}

/// A code to be shown to a person, who types it on the device to be paired.
#[derive(Clone)]
pub struct PairingCode {
    /// Six digits.
    pub code: String,
    pub valid_for: Duration,
}

/// A device just paired. The token is nowhere else.
pub struct Paired {
    pub device: Device,
    pub token: String,
    /// This pairing claimed the box.
    pub claimed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimError {
    WrongCode {
        tries_left: u32,
    },
    Expired,
    /// No try is taken for `wait`.
    TooManyTries {
        wait: Duration,
    },
    TooManyDevices,
    /// The device's name is too long or has control characters.
    BadName,
    /// The system gave no random numbers.
    NoRandom,
    Store(StoreError),
}

impl Identity {
    /// Reads people and devices into memory.
    pub async fn load(store: Store, clock: Clock, mode: AuthMode) -> Result<Identity, StoreError> {
        let known = store.query(db::load).await?;
        let devices = known
            .devices
            .into_iter()
            .map(|row| (row.token_hash, Entry::new(row.device)))
            .collect();
        Ok(Identity(Rc::new(Inner {
            store,
            clock,
            mode: Cell::new(mode),
            is_claimed: Cell::new(known.is_claimed),
            devices: RefCell::new(devices),
            pairing: Cell::new(0),
            codes: RefCell::default(),
            local: Cell::new(None),
        })))
    }

    pub fn is_claimed(&self) -> bool {
        self.0.is_claimed.get()
    }

    pub fn mode(&self) -> AuthMode {
        self.0.mode.get()
    }

    /// After a reload of the settings.
    pub fn set_mode(&self, mode: AuthMode) {
        self.0.mode.set(mode);
    }

    /// Decides by token first, so that a device on the box itself is that device. A token nobody
    /// knows gives nothing and takes nothing away: an old cookie does not lock the owner out.
    ///
    /// The token is found by its hash, so the time this takes tells nothing of any token.
    pub fn who(&self, credentials: &Credentials) -> Who {
        if let Some(token) = credentials.token {
            let hash = secret::hash(token);
            if self.0.local.get() == Some(hash) {
                return Who::Owner;
            }
            if let Some(who) = self.device(&hash) {
                return who;
            }
        }
        let local = credentials.plainly_local && credentials.peer.to_canonical().is_loopback();
        match self.0.mode.get() {
            AuthMode::Off => Who::Owner,
            AuthMode::Lan if local => Who::Owner,
            AuthMode::Lan | AuthMode::Strict => Who::Nobody,
        }
    }

    /// Whether the device is still paired; for sockets that outlive the request they came with.
    pub fn is_paired(&self, id: &str) -> bool {
        let devices = self.0.devices.borrow();
        devices.values().any(|entry| &*entry.id == id)
    }

    /// The devices in the order they were paired.
    pub fn devices(&self) -> Vec<Device> {
        let devices = self.0.devices.borrow();
        let mut list: Vec<Device> = devices.values().map(|entry| entry.device.clone()).collect();
        list.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        list
    }

    /// A code for one more device; it replaces the one before. While tries are blocked there is
    /// none, since nobody could use it.
    pub fn new_code(&self, admin: bool) -> Result<PairingCode, ClaimError> {
        let now = self.0.clock.mono();
        if let Some(wait) = self.0.codes.borrow().blocked(now) {
            return Err(ClaimError::TooManyTries { wait });
        }
        self.room_for_one_more()?;
        let code = secret::code().map_err(|_| ClaimError::NoRandom)?;
        let issued = self.0.codes.borrow_mut().issue(code, admin, now);
        Ok(PairingCode::of(&issued, now))
    }

    /// The code that claims this box, while it is unclaimed; a new one when the last has expired.
    pub fn claim_code(&self) -> Result<Option<PairingCode>, ClaimError> {
        if self.is_claimed() {
            return Ok(None);
        }
        if let Some(code) = self.shown_code() {
            return Ok(Some(code));
        }
        self.new_code(true).map(Some)
    }

    /// The code that is valid now.
    pub fn shown_code(&self) -> Option<PairingCode> {
        let now = self.0.clock.mono();
        let codes = self.0.codes.borrow();
        codes
            .current(now)
            .map(|issued| PairingCode::of(issued, now))
    }

    /// Pairs the device that shows the code. The first one claims the box and is an admin.
    pub async fn pair(&self, code: &str, name: &str) -> Result<Paired, ClaimError> {
        let name = device_name(name)?;
        self.room_for_one_more()?;
        let now = self.0.clock.mono();
        let typed = secret::parse_code(code);
        let issued = self.0.codes.borrow_mut().redeem(typed, now)?;
        self.0.pairing.set(self.0.pairing.get() + 1);
        let result = self.add(name, issued.admin).await;
        self.0.pairing.set(self.0.pairing.get() - 1);
        if result.is_err() {
            self.0.codes.borrow_mut().restore(issued);
        }
        result
    }

    /// A device without a pairing code, by the word of an admin. The first one is an admin.
    pub async fn issue(&self, name: &str, admin: bool) -> Result<Paired, ClaimError> {
        let name = device_name(name)?;
        self.room_for_one_more()?;
        self.0.pairing.set(self.0.pairing.get() + 1);
        let result = self.add(name, admin || !self.is_claimed()).await;
        self.0.pairing.set(self.0.pairing.get() - 1);
        result
    }

    /// Ends the device's token once that is committed. `false` when there is no such device.
    pub async fn revoke(&self, id: &str) -> Result<bool, StoreError> {
        if !self.is_paired(id) {
            return Ok(false);
        }
        let (key, now) = (id.to_owned(), self.0.clock.wall());
        self.0
            .store
            .write(move |db| db::revoke(db, &key, now))
            .await?;
        self.0
            .devices
            .borrow_mut()
            .retain(|_, entry| &*entry.id != id);
        Ok(true)
    }

    /// Makes a token for programs of this machine that may read `data_dir`, and writes it to
    /// `local.token` there (mode 0600). It acts as the owner until the box restarts.
    pub fn offer_local_token(&self, data_dir: &Path) -> std::io::Result<()> {
        let token = secret::token().map_err(|error| std::io::Error::other(error.to_string()))?;
        let path = data_dir.join("local.token");
        let temporary = data_dir.join("local.token.new");
        let _ = std::fs::remove_file(&temporary);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(token.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        self.0.local.set(Some(secret::hash(&token)));
        Ok(())
    }

    fn device(&self, hash: &TokenHash) -> Option<Who> {
        let mut devices = self.0.devices.borrow_mut();
        let entry = devices.get_mut(hash)?;
        let now = self.0.clock.mono();
        let fresh = entry
            .touched
            .is_some_and(|at| now.since(at) < limits::LAST_SEEN_INTERVAL);
        if !fresh {
            entry.touched = Some(now);
            let wall = self.0.clock.wall();
            entry.device.last_seen_at = Some(wall);
            let id = entry.device.id.clone();
            self.0.store.relaxed(move |db| db::seen(db, &id, wall));
        }
        Some(Who::Device {
            id: entry.id.clone(),
            admin: entry.device.admin,
        })
    }

    fn room_for_one_more(&self) -> Result<(), ClaimError> {
        let taken = self.0.devices.borrow().len() + self.0.pairing.get();
        if taken >= limits::DEVICES_MAX {
            return Err(ClaimError::TooManyDevices);
        }
        Ok(())
    }

    async fn add(&self, name: String, admin: bool) -> Result<Paired, ClaimError> {
        let no_random = |_| ClaimError::NoRandom;
        let token = secret::token().map_err(no_random)?;
        let owner = secret::id("per_").map_err(no_random)?;
        let now = self.0.clock.wall();
        let row = db::DeviceRow {
            device: Device {
                id: secret::id("dev_").map_err(no_random)?,
                name,
                admin,
                created_at: now,
                last_seen_at: None,
            },
            token_hash: secret::hash(&token),
        };
        let written = row.clone();
        self.0
            .store
            .write(move |db| db::add_device(db, &written, &owner, now))
            .await?;
        let claimed = !self.0.is_claimed.replace(true);
        let entry = Entry::new(row.device.clone());
        self.0.devices.borrow_mut().insert(row.token_hash, entry);
        log::info!(
            "event=device_paired device={} admin={admin} claimed={claimed}",
            row.device.id
        );
        Ok(Paired {
            device: row.device,
            token,
            claimed,
        })
    }
}

impl Entry {
    fn new(device: Device) -> Entry {
        Entry {
            id: Rc::from(device.id.as_str()),
            device,
            touched: None,
        }
    }
}

impl PairingCode {
    fn of(issued: &Issued, now: MonoMillis) -> PairingCode {
        PairingCode {
            code: issued.code.iter().map(|digit| char::from(*digit)).collect(),
            valid_for: issued.until.since(now),
        }
    }
}

/// The name a person gives; without one it is `Device`.
fn device_name(name: &str) -> Result<String, ClaimError> {
    let name = name.trim();
    if name.is_empty() {
        return Ok(String::from("Device"));
    }
    let fits = name.chars().count() <= limits::DEVICE_NAME_CHARS_MAX;
    if !fits || name.chars().any(char::is_control) {
        return Err(ClaimError::BadName);
    }
    Ok(name.to_owned())
}

impl From<Refused> for ClaimError {
    fn from(refused: Refused) -> ClaimError {
        match refused {
            Refused::Wrong { tries_left } => ClaimError::WrongCode { tries_left },
            Refused::Expired => ClaimError::Expired,
            Refused::TooMany { wait } => ClaimError::TooManyTries { wait },
        }
    }
}

impl From<StoreError> for ClaimError {
    fn from(error: StoreError) -> ClaimError {
        ClaimError::Store(error)
    }
}

impl fmt::Display for ClaimError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClaimError::WrongCode { tries_left } => write!(
                out,
                "That is not the code the box shows; {tries_left} more tries before it changes."
            ),
            ClaimError::Expired => out.write_str(
                "No pairing code is valid now; have a new one shown (on the box: magpie pair) and type that.",
            ),
            ClaimError::TooManyTries { wait } => write!(
                out,
                "Too many wrong codes; wait {} seconds, then have a new one shown.",
                wait.as_secs().max(1)
            ),
            ClaimError::TooManyDevices => write!(
                out,
                "The box knows {} devices, which is all it takes; revoke one first.",
                limits::DEVICES_MAX
            ),
            ClaimError::BadName => write!(
                out,
                "A device's name has at most {} characters and no line breaks; choose another.",
                limits::DEVICE_NAME_CHARS_MAX
            ),
            ClaimError::NoRandom => out
                .write_str("The system gives no random numbers yet; try again in a few seconds."),
            ClaimError::Store(error) => {
                write!(out, "The pairing could not be stored: {error}")
            }
        }
    }
}

fn as_rfc3339<S: serde::Serializer>(time: &UnixMillis, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&time.rfc3339())
}

fn as_rfc3339_or_null<S: serde::Serializer>(
    time: &Option<UnixMillis>,
    out: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_rfc3339(time, out),
        None => out.serialize_none(),
    }
}
