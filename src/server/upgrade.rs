//! From an HTTP connection to a bare socket (RFC 9110 section 7.8).

use std::pin::Pin;

use http::{HeaderMap, StatusCode};

use super::connection::ConnectionGuard;
use super::response::{Body, Response};
use super::stream::Stream;

/// A connection taken back out of HTTP. The task that drives it keeps this value: it is what
/// counts the socket as open.
pub struct Upgraded {
    pub stream: Stream,
    /// What the client sent behind its request, already read.
    pub leftover: Vec<u8>,
    pub(super) guard: ConnectionGuard,
}

impl Upgraded {
    /// The stream, the bytes already read, and what has to be kept until the socket is closed.
    pub fn into_parts(self) -> (Stream, Vec<u8>, SocketSlot) {
        (self.stream, self.leftover, SocketSlot(self.guard))
    }
}

/// Counts one realtime socket as open until dropped. Drop it together with the stream.
pub struct SocketSlot(#[allow(dead_code, reason = "held for its drop")] ConnectionGuard);

/// Drives a socket to its end.
type Driving = Pin<Box<dyn Future<Output = ()>>>;

pub struct UpgradeTask(pub(super) Box<dyn FnOnce(Upgraded) -> Driving>);

impl Response {
    /// 101 with `headers`; `task` drives the socket once the answer has left. The door may
    /// answer 503 instead when too many sockets are open; then `task` is dropped uncalled.
    pub fn upgrade<F>(headers: HeaderMap, task: impl FnOnce(Upgraded) -> F + 'static) -> Response
    where
        F: Future<Output = ()> + 'static,
    {
        Response {
            status: StatusCode::SWITCHING_PROTOCOLS,
            headers,
            body: Body::Upgrade(UpgradeTask(Box::new(move |upgraded| {
                Box::pin(task(upgraded))
            }))),
        }
    }
}
