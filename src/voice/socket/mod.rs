//! `/ws`: one socket, three dialects; the first frame decides which one is spoken.
//!
//! - *document*: `{"type":"text","data":…}`, `{"type":"audio","data":"<base64 WAV>"}`.
//! - *stream*: `{"type":"text","text":…}`, binary sound, the bare word `interrupt`.
//! - *native*: begins with `{"type":"hello","proto":2}`; see [`wire`].
//!
//! Bad frames get an error in the dialect spoken; nothing a client sends ends more than its socket.

mod coded;
mod encoded;
mod follow;
mod incoming;
mod mouth;
mod native;
mod orders;
mod plain;
pub mod wire;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Value, json};

use super::api::older::conversation_of;
use super::error::VoiceError;
use super::session::Room;
use crate::bus::Bus;
use crate::limits::{VOICE_QUEUE_BYTES_MAX, VOICE_QUEUE_MESSAGES_MAX, VOICE_TEXT_BYTES_MAX};
use crate::server::websocket::{Endpoint, Frame, Message, Socket, UpgradeOptions, upgrade};
use crate::server::{Access, Method, RateKey, RateLimiter, Router};

/// All open sockets of the room; clones share them.
#[derive(Clone)]
pub struct Sockets(Rc<Shared>);

pub(super) struct Shared {
    room: Rc<Room>,
    bus: Bus,
    limiter: OnceCell<RateLimiter>,
    open: Cell<usize>,
    /// Conversations whose socket was lost while listening, by session.
    parked: RefCell<HashMap<String, native::Parked>>,
}

impl Sockets {
    pub fn new(room: Rc<Room>, bus: Bus) -> Sockets {
        Sockets(Rc::new(Shared {
            room,
            bus,
            limiter: OnceCell::new(),
            open: Cell::new(0),
            parked: RefCell::default(),
        }))
    }

    /// Every turn counts against the caller's calls a minute from here on.
    pub fn limit_turns(&self, limiter: RateLimiter) {
        let _ = self.0.limiter.set(limiter);
    }

    pub fn open(&self) -> usize {
        self.0.open.get()
    }

    pub fn routes(&self, router: &mut Router) {
        let shared = Rc::clone(&self.0);
        router
            .route(Method::GET, "/ws", Access::Member, move |request| {
                let shared = Rc::clone(&shared);
                let options = UpgradeOptions {
                    message_bytes_max: shared.room.settings().upload_bytes_max,
                    queue_bytes_max: VOICE_QUEUE_BYTES_MAX,
                    queue_messages_max: VOICE_QUEUE_MESSAGES_MAX,
                };
                let key = RateKey::of(request.caller.device.as_ref(), request.head.client);
                async move {
                    let session = request.query("session_id").unwrap_or_default();
                    let conversation = conversation_of(&shared.room.dialogue, &session).await?;
                    upgrade(request, options, move |socket| {
                        shared.open.set(shared.open.get() + 1);
                        Client {
                            link: Rc::new(Link::new(socket.clone())),
                            door: Rc::new(Door {
                                shared,
                                key,
                                conversation,
                            }),
                            dialect: Dialect::Undecided,
                        }
                    })
                }
            })
            .uncounted();
    }
}

/// What a dialect needs beside its socket.
pub(super) struct Door {
    shared: Rc<Shared>,
    key: RateKey,
    /// Of the query's `session_id`, which the older dialects use.
    conversation: Option<String>,
}

impl Door {
    /// Counts one turn of this caller.
    fn take_turn(&self) -> Result<(), VoiceError> {
        match self.shared.limiter.get() {
            Some(limiter) => limiter
                .take(self.key.clone())
                .map_err(|error| VoiceError::TooMany(error.message.into_owned())),
            None => Ok(()),
        }
    }
}

/// The sending side; `None` while a native client is away and may come back.
pub(super) struct Link(RefCell<Option<Socket>>);

impl Link {
    fn new(socket: Socket) -> Link {
        Link(RefCell::new(Some(socket)))
    }

    fn send(&self, frame: Frame) {
        if let Some(socket) = &*self.0.borrow() {
            socket.send(frame);
        }
    }

    fn send_json(&self, value: &Value) {
        self.send(Frame::text(&value.to_string()));
    }

    fn queued_bytes(&self) -> usize {
        self.0.borrow().as_ref().map_or(0, Socket::queued_bytes)
    }

    fn close(&self, code: u16, reason: &str) {
        if let Some(socket) = &*self.0.borrow() {
            socket.close(code, reason);
        }
    }
}

/// One client and the dialect it speaks.
struct Client {
    link: Rc<Link>,
    door: Rc<Door>,
    dialect: Dialect,
}

enum Dialect {
    Undecided,
    Plain(plain::Plain),
    Native(native::Native),
}

impl Endpoint for Client {
    fn message(&mut self, _socket: &Socket, message: Message<'_>) {
        if let Message::Text(text) = message
            && text.len() > VOICE_TEXT_BYTES_MAX
        {
            return self.link.close(1009, "a text message has at most 1 MiB");
        }
        if let Dialect::Undecided = self.dialect {
            self.decide(message);
        }
        match &mut self.dialect {
            Dialect::Undecided => self.answer_undecided(message),
            Dialect::Plain(plain) => plain.message(message),
            Dialect::Native(native) => native.message(message),
        }
    }

    fn closed(&mut self, _code: u16) {
        let open = &self.door.shared.open;
        open.set(open.get().saturating_sub(1));
        if let Dialect::Native(native) = std::mem::replace(&mut self.dialect, Dialect::Undecided) {
            native.lost();
        }
    }
}

impl Client {
    fn decide(&mut self, message: Message<'_>) {
        let plain = |style| Dialect::Plain(plain::Plain::start(&self.link, &self.door, style));
        let text = match message {
            Message::Binary(_) => return self.dialect = plain(plain::Style::Stream),
            Message::Text(text) => text,
        };
        if text.trim() == "interrupt" {
            return self.dialect = plain(plain::Style::Stream);
        }
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return;
        };
        self.dialect = match value["type"].as_str().unwrap_or_default() {
            "hello" => Dialect::Native(native::Native::start(&self.link, &self.door)),
            "audio" => plain(plain::Style::Document),
            "text" if value.get("data").is_some() => plain(plain::Style::Document),
            "text" | "config" | "interrupt" => plain(plain::Style::Stream),
            _ => return,
        };
    }

    /// A ping tells no dialect; what else comes is no message of any.
    fn answer_undecided(&self, message: Message<'_>) {
        if let Message::Text(text) = message
            && let Ok(value) = serde_json::from_str::<Value>(text)
            && value["type"] == "ping"
        {
            return self.link.send_json(&pong(&self.door.shared.room));
        }
        let what = "this message begins no dialect of /ws; send {\"type\":\"text\",\"data\":\"…\"} \
                    or {\"type\":\"hello\",\"proto\":2}";
        self.link
            .send_json(&json!({"type": "error", "data": what, "error": what}));
    }
}

fn pong(room: &Room) -> Value {
    let now = room.clock.wall().rfc3339();
    json!({"type": "pong", "data": now})
}
