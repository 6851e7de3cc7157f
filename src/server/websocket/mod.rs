//! WebSocket (RFC 6455) by our own task over tungstenite's frame header codec.
//!
//! An idle socket costs a task, a small shared record and no buffer at all: reads go through one
//! buffer that all sockets share, writes leave at once or wait in a bounded queue. It knows no
//! message of any room. Extensions and subprotocols are not offered.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::Cursor;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::Waker;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_VERSION, UPGRADE};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::response::Body;
use super::{HeaderMap, HeaderValue, HttpError, Method, Request, Response, StatusCode, socket};
use crate::limits;

pub mod parser;
mod registry;
mod task;

pub use registry::close_owned;
pub(super) use registry::{close_all, sweep};

/// A whole message, unmasked and checked (text is valid UTF-8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// The room's side of one socket. Called on the loop, must not block; longer work is spawned.
pub trait Endpoint {
    fn message(&mut self, socket: &Socket, message: Message<'_>);
    /// Called once, after which nothing more comes. `code` is the close code that was received,
    /// the one that was sent when the box ended it, or 1006.
    fn closed(&mut self, code: u16);
}

#[derive(Clone, Copy, Debug)]
pub struct UpgradeOptions {
    /// Close 1009 beyond it.
    pub message_bytes_max: usize,
    /// Close 1013 beyond either.
    pub queue_bytes_max: usize,
    pub queue_messages_max: usize,
}

impl Default for UpgradeOptions {
    fn default() -> UpgradeOptions {
        UpgradeOptions {
            message_bytes_max: limits::WS_MESSAGE_BYTES_MAX,
            queue_bytes_max: limits::CONSUMER_QUEUE_BYTES_MAX,
            queue_messages_max: limits::CONSUMER_QUEUE_MESSAGES_MAX,
        }
    }
}

/// Answers an upgrade request with 101; `endpoint` is made once the socket is open.
pub fn upgrade<E: Endpoint + 'static>(
    request: Request,
    options: UpgradeOptions,
    endpoint: impl FnOnce(&Socket) -> E + 'static,
) -> Result<Response, HttpError> {
    let accept = match handshake(&request.head.method, &request.head.headers) {
        Ok(accept) => accept,
        Err(Refusal::NotWebSocket(why)) => return Err(HttpError::invalid(why)),
        Err(Refusal::Upgrade) => return Ok(upgrade_required()),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    let owner = request.caller.device;
    Ok(Response::upgrade(headers, move |upgraded| {
        task::serve(upgraded, options, owner, endpoint)
    }))
}

enum Refusal {
    /// It speaks of WebSocket, but wrongly.
    NotWebSocket(&'static str),
    /// No upgrade, or to a version we do not speak.
    Upgrade,
}

/// RFC 6455 section 4.2.1; gives the value of `Sec-WebSocket-Accept`.
fn handshake(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let has = |name: &str, wanted: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    if !has("upgrade", "websocket") || !has("connection", "upgrade") {
        return Err(Refusal::Upgrade);
    }
    if method != Method::GET {
        return Err(Refusal::NotWebSocket("A WebSocket is opened by GET."));
    }
    if !has("sec-websocket-version", "13") {
        return Err(Refusal::Upgrade);
    }
    let mut keys = headers.get_all("sec-websocket-key").iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(Refusal::NotWebSocket(
            "Send exactly one Sec-WebSocket-Key header.",
        ));
    };
    let decoded = base64::engine::general_purpose::STANDARD.decode(key.as_bytes());
    if decoded.is_ok_and(|nonce| nonce.len() == 16) {
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        return HeaderValue::from_str(&accept)
            .map_err(|_| Refusal::NotWebSocket("The Sec-WebSocket-Key cannot be used."));
    }
    Err(Refusal::NotWebSocket(
        "Sec-WebSocket-Key must be 16 bytes in base64.",
    ))
}

fn upgrade_required() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Response {
        status: StatusCode::UPGRADE_REQUIRED,
        headers,
        body: Body::Bytes(Bytes::from_static(
            b"This address speaks WebSocket version 13; open it with a WebSocket client.\n",
        )),
    }
}

/// A frame encoded once, for any number of sockets.
#[derive(Clone, Debug)]
pub struct Frame(Bytes);

impl Frame {
    pub fn text(text: &str) -> Frame {
        Frame::encode(OpCode::Data(Data::Text), &[text.as_bytes()])
    }

    /// One binary message of several parts.
    pub fn binary(parts: &[&[u8]]) -> Frame {
        Frame::encode(OpCode::Data(Data::Binary), parts)
    }

    /// Several messages that are queued together or, over a bound, not at all.
    pub fn joined(frames: &[Frame]) -> Frame {
        let parts: Vec<&[u8]> = frames.iter().map(|frame| &frame.0[..]).collect();
        Frame(parts.concat().into())
    }

    /// The messages in it, for a transport that is no WebSocket.
    pub fn messages(&self) -> Vec<Message<'_>> {
        let mut messages = Vec::new();
        let mut at = Cursor::new(&self.0[..]);
        while let Ok(Some((header, length))) = FrameHeader::parse(&mut at) {
            let begin = at.position();
            at.set_position(begin + length);
            let message = &self.0[begin as usize..(begin + length) as usize];
            match header.opcode {
                OpCode::Data(Data::Text) => {
                    messages.extend(std::str::from_utf8(message).map(Message::Text));
                }
                OpCode::Data(Data::Binary) => messages.push(Message::Binary(message)),
                _ => {}
            }
        }
        messages
    }

    /// Of the frames as they leave.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    fn ping() -> Frame {
        Frame::encode(OpCode::Control(Control::Ping), &[])
    }

    fn pong(payload: &[u8]) -> Frame {
        Frame::encode(OpCode::Control(Control::Pong), &[payload])
    }

    /// Codes that must not be sent (RFC 6455 section 7.4.1) become a close without a code.
    fn close(code: u16, reason: &str) -> Frame {
        const REASON_BYTES_MAX: usize = 123;
        let opcode = OpCode::Control(Control::Close);
        if !parser::may_be_sent(code) {
            return Frame::encode(opcode, &[]);
        }
        let end = reason.floor_char_boundary(REASON_BYTES_MAX);
        Frame::encode(opcode, &[&code.to_be_bytes(), &reason.as_bytes()[..end]])
    }

    fn encode(opcode: OpCode, parts: &[&[u8]]) -> Frame {
        let header = FrameHeader {
            is_final: true,
            opcode,
            ..FrameHeader::default()
        };
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut bytes = Vec::with_capacity(header.len(length as u64) + length);
        // Writing to a Vec cannot fail.
        let _ = header.format(length as u64, &mut bytes);
        for part in parts {
            bytes.extend_from_slice(part);
        }
        Frame(bytes.into())
    }
}

/// The sending side; clones share the socket. Never waits.
#[derive(Clone)]
pub struct Socket(Rc<Shared>);

/// What the task, the sweeper and the room's handles share of one socket.
struct Shared {
    state: Cell<State>,
    queue: RefCell<VecDeque<Bytes>>,
    queued_bytes: Cell<usize>,
    /// How much of the queue's first frame has left.
    sent_of_first: Cell<usize>,
    waker: RefCell<Option<Waker>>,
    /// Written to directly while nothing is queued; -1 over TLS.
    fd: Cell<RawFd>,
    commands: Cell<u32>,
    is_paused: Cell<bool>,
    message_bytes_max: Cell<u32>,
    queue_bytes_max: u32,
    queue_messages_max: u32,
    /// In the sweeper's seconds.
    heard_s: Cell<u32>,
    pinged_s: Cell<u32>,
    progress_s: Cell<u32>,
    /// What the endpoint is told at the end.
    close_code: Cell<u16>,
    /// The device it was opened by.
    owner: Option<Rc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Our close frame is queued or sent; the peer's is awaited since this second.
    Closing {
        since_s: u32,
    },
    /// Both close frames are there: flush and end.
    Closed,
    /// End at once.
    Dead,
}

/// Keeps one command of a socket counted as in progress until dropped.
pub struct Command(Rc<Shared>);

impl Drop for Command {
    fn drop(&mut self) {
        let left = self.0.commands.get() - 1;
        self.0.commands.set(left);
        if left as usize == limits::WS_COMMANDS_MAX - 1 {
            self.0.wake();
        }
    }
}

impl Socket {
    /// Queues a frame. When the consumer's queue is over its bound the socket is closed with 1013
    /// and this and all later sends are dropped.
    pub fn send(&self, frame: Frame) {
        if self.0.state.get() == State::Open {
            self.0.push(frame);
        }
    }

    /// As [`Socket::send`], but dropped without harm when the queue is half full; `false` then.
    pub fn send_droppable(&self, frame: Frame) -> bool {
        let room = self.0.queued_bytes.get() < self.0.queue_bytes_max as usize / 2
            && self.0.queue.borrow().len() < self.0.queue_messages_max as usize / 2;
        if room {
            self.send(frame);
        }
        room
    }

    /// Starts the closing handshake after what is queued.
    pub fn close(&self, code: u16, reason: &str) {
        self.0.close(code, reason);
    }

    pub fn queued_bytes(&self) -> usize {
        self.0.queued_bytes.get()
    }

    pub fn is_open(&self) -> bool {
        self.0.state.get() == State::Open
    }

    /// The socket is not read while [`limits::WS_COMMANDS_MAX`] of these live.
    pub fn begin_command(&self) -> Command {
        self.0.commands.set(self.0.commands.get() + 1);
        Command(self.0.clone())
    }

    /// Longer or shorter messages from now on, as when the peer is known.
    pub fn set_message_bytes_max(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.0.message_bytes_max.set(bytes);
    }

    /// A paused socket is not read, so that a peer that sends too fast has to wait.
    pub fn set_paused(&self, is_paused: bool) {
        if self.0.is_paused.replace(is_paused) && !is_paused {
            self.0.wake();
        }
    }
}

impl Shared {
    /// What comes next has to wait.
    fn is_busy(&self) -> bool {
        self.is_paused.get() || self.commands.get() as usize >= limits::WS_COMMANDS_MAX
    }

    fn push(&self, frame: Frame) {
        let mut bytes = frame.0;
        if self.queue.borrow().is_empty() {
            // Straight to the kernel: most frames never see the queue or wake the task.
            let sent = socket::send_some(self.fd.get(), &bytes);
            if sent == bytes.len() {
                return;
            }
            let _ = bytes.split_to(sent);
            self.progress_s.set(registry::now_s());
        } else if self.queued_bytes.get() + bytes.len() > self.queue_bytes_max as usize
            || self.queue.borrow().len() >= self.queue_messages_max as usize
        {
            self.overflow();
            return;
        }
        self.queued_bytes.set(self.queued_bytes.get() + bytes.len());
        self.queue.borrow_mut().push_back(bytes);
        self.wake();
    }

    /// The consumer is too slow: what waits is thrown away, but for a frame half sent.
    fn overflow(&self) {
        let half_sent = usize::from(self.sent_of_first.get() > 0);
        let mut queue = self.queue.borrow_mut();
        queue.truncate(half_sent);
        self.queued_bytes
            .set(queue.iter().map(Bytes::len).sum::<usize>() - self.sent_of_first.get());
        drop(queue);
        self.close(1013, "too slow; resume by sequence number");
    }

    fn close(&self, code: u16, reason: &str) {
        if self.state.get() != State::Open {
            return;
        }
        self.close_code.set(code);
        self.state.set(State::Closing {
            since_s: registry::now_s(),
        });
        self.push_unbounded(Frame::close(code, reason));
    }

    fn push_unbounded(&self, frame: Frame) {
        self.queued_bytes
            .set(self.queued_bytes.get() + frame.0.len());
        self.queue.borrow_mut().push_back(frame.0);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Sends one frame to many sockets in slices, so that other work gets its turn between.
pub async fn broadcast(frame: Frame, sockets: Vec<Socket>) {
    for slice in sockets.chunks(limits::BROADCAST_SLICE_SOCKETS) {
        for socket in slice {
            socket.send(frame.clone());
        }
        tokio::task::yield_now().await;
    }
}
