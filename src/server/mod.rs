//! The front door: sockets, TLS, HTTP, WebSocket and event streams. It knows no room.

use std::net::SocketAddr;
use std::rc::Rc;

pub mod request;
pub mod response;
pub mod router;
pub mod stream;
pub mod websocket;

pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use request::{Request, RequestHead};
pub use response::{Body, EventStream, HttpError, Response};
pub use router::{Access, ErrorShape, Router};

/// Who the gatekeeper says is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub role: Role,
    /// Device id, where the caller has one.
    pub device: Option<Rc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Nobody,
    Device,
    Owner,
}

/// Decides who is calling; handed in by the house, since the door knows no identities.
pub trait Gatekeeper {
    fn identify(&self, head: &RequestHead) -> Caller;
}

/// What a listener saw of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub tls: bool,
}
