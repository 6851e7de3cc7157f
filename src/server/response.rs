//! What a handler answers.

use std::borrow::Cow;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
}

pub enum Body {
    Empty,
    Bytes(Bytes),
    Events(EventStream),
}

/// Receiving half of `text/event-stream`; dropped when the client hangs up.
pub struct EventStream(());

/// Sending half: a bounded queue. `send` fails once the client is gone or has fallen too far behind.
#[derive(Clone)]
pub struct EventSender(Rc<()>);

impl EventStream {
    pub fn new() -> (EventSender, EventStream) {
        todo!()
    }
}

impl EventSender {
    /// Queues one event; `Err` when the client has gone or fell behind (then the stream ends).
    pub fn send(&self, _event: &str, _data: &serde_json::Value) -> Result<(), Gone> {
        todo!()
    }
    /// Resolves when the client has gone.
    pub async fn gone(&self) {
        todo!()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// An error on its way to the client; a scope's [`super::ErrorShape`] gives it that protocol's form.
#[derive(Debug, Clone)]
pub struct HttpError {
    pub status: StatusCode,
    /// Stable word for programs, e.g. `INVALID_REQUEST`.
    pub code: &'static str,
    /// What was wrong and what to do.
    pub message: Cow<'static, str>,
    /// Seconds, for 429 and 503.
    pub retry_after_s: Option<u32>,
}

impl HttpError {
    pub fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> HttpError {
        HttpError {
            status,
            code,
            message: message.into(),
            retry_after_s: None,
        }
    }
}

impl Response {
    pub fn json(_status: StatusCode, _value: &impl serde::Serialize) -> Response {
        todo!()
    }
    pub fn text(_status: StatusCode, _text: impl Into<Bytes>) -> Response {
        todo!()
    }
    pub fn events(_stream: EventStream) -> Response {
        todo!()
    }
}
