//! WebSocket (RFC 6455) by our own task over tungstenite's frame header codec.

use std::rc::Rc;

use bytes::Bytes;

use super::{HttpError, Request, Response};

/// A whole message, unmasked and checked (text is valid UTF-8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// A frame encoded once, for any number of sockets.
#[derive(Clone)]
pub struct Frame(Bytes);

impl Frame {
    pub fn text(_text: &str) -> Frame {
        todo!()
    }
    pub fn binary(_parts: &[&[u8]]) -> Frame {
        todo!()
    }
}

/// The room's side of one socket. Called on the loop, must not block; longer work is spawned.
pub trait Endpoint {
    fn message(&mut self, socket: &Socket, message: Message<'_>);
    /// Called once, after which nothing more comes. `code` is the peer's close code, or 1006.
    fn closed(&mut self, code: u16);
}

/// The sending side; clones share the socket. Never waits.
#[derive(Clone)]
pub struct Socket(Rc<()>);

/// Keeps one command of a socket counted as in progress until dropped.
pub struct Command(());

impl Socket {
    /// Queues a frame. When the consumer's queue is over its bound the socket is closed with 1013
    /// and this and all later sends are dropped.
    pub fn send(&self, _frame: Frame) {
        todo!()
    }
    pub fn close(&self, _code: u16, _reason: &str) {
        todo!()
    }
    pub fn queued_bytes(&self) -> usize {
        todo!()
    }
    pub fn is_open(&self) -> bool {
        todo!()
    }
    /// The socket is not read while [`crate::limits::WS_COMMANDS_MAX`] of these live.
    pub fn begin_command(&self) -> Command {
        todo!()
    }
}

pub struct UpgradeOptions {
    pub message_bytes_max: usize,
    pub queue_bytes_max: usize,
    pub queue_messages_max: usize,
}

/// Answers an upgrade request with 101; `endpoint` is made once the socket is open.
pub fn upgrade<E: Endpoint + 'static>(
    _request: Request,
    _options: UpgradeOptions,
    _endpoint: impl FnOnce(&Socket) -> E + 'static,
) -> Result<Response, HttpError> {
    todo!()
}

/// Sends one frame to many sockets in slices, so that other work gets its turn between.
pub async fn broadcast(_frame: Frame, _sockets: Vec<Socket>) {
    todo!()
}

/// Once a second from the door's sweeper: pings, pong limits, close waits.
pub(super) fn sweep(_now: crate::clock::MonoMillis) {}

/// The door is closing: every socket is told 1012.
pub(super) fn close_all() {}
