//! Who is calling: the box's owner, its devices, their tokens, and how a fresh box is claimed.

use std::net::IpAddr;
use std::rc::Rc;

use crate::clock::{Clock, UnixMillis};
use crate::store::{Store, StoreError};

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
    /// The owner by loopback, or anyone under [`AuthMode::Off`].
    Owner,
    Device {
        id: Rc<str>,
        admin: bool,
    },
    Nobody,
}

#[derive(Clone)]
pub struct Identity(Rc<()>);

#[derive(Clone, Debug, serde::Serialize)]
pub struct Device {
    /// `dev_` and 16 hex digits.
    pub id: String,
    pub name: String,
    pub admin: bool,
    pub created_at: UnixMillis,
    pub last_seen_at: Option<UnixMillis>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimError {
    WrongCode { tries_left: u32 },
    Expired,
    TooManyTries,
    TooManyDevices,
    Store(StoreError),
}

impl Identity {
    pub async fn load(
        _store: Store,
        _clock: Clock,
        _mode: AuthMode,
    ) -> Result<Identity, StoreError> {
        todo!()
    }
    pub fn is_claimed(&self) -> bool {
        todo!()
    }
    pub fn who(&self, _credentials: &Credentials) -> Who {
        todo!()
    }
}
