//! What a handler answers, and the error it may end in.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

pub use super::events::{EventSender, EventStream, Gone};
pub use super::files::FileBody;
use super::pieces::Pieces;
use super::upgrade::UpgradeTask;

pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
}

pub enum Body {
    Empty,
    Bytes(Bytes),
    Events(EventStream),
    /// A part of a file on disk.
    File(FileBody),
    /// What a thread is writing.
    Pieces(Pieces),
    /// 101: what drives the socket once the answer has left.
    Upgrade(UpgradeTask),
}

/// The policy of every page: nothing from elsewhere, nothing inline.
const PAGE_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
     connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

impl Response {
    pub fn empty(status: StatusCode) -> Response {
        Response {
            status,
            headers: HeaderMap::new(),
            body: Body::Empty,
        }
    }

    pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
        match serde_json::to_vec(value) {
            Ok(text) => Response::bytes(status, "application/json", text),
            Err(error) => {
                log::error!("event=answer_not_serializable error={error}");
                Response::bytes(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "application/json",
                    &br#"{"success":false,"error":{"code":"INTERNAL_ERROR","message":"The answer could not be written as JSON; this is a defect of the box."}}"#[..],
                )
            }
        }
    }

    pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
        Response::bytes(status, "text/plain; charset=utf-8", text)
    }

    /// A page, under a policy that lets nothing in from elsewhere.
    pub fn html(status: StatusCode, text: impl Into<Bytes>) -> Response {
        Response::bytes(status, "text/html; charset=utf-8", text)
    }

    pub fn bytes(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Response {
        Response {
            status,
            headers: HeaderMap::new(),
            body: Body::Bytes(body.into()),
        }
        .with(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    pub fn events(stream: EventStream) -> Response {
        Response {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Body::Events(stream),
        }
        .with(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        )
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        // Tells proxies of the nginx family not to hold events back.
        .with(
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        )
    }

    /// Sets a header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Response {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn is_page(&self) -> bool {
        self.content_type().starts_with("text/html")
    }

    pub(super) fn content_type(&self) -> &str {
        self.headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }

    /// Headers of every answer; what a handler set itself is left alone.
    pub(super) fn secure(&mut self) {
        let page = self.is_page();
        let mut default = |name: HeaderName, value: &'static str| {
            self.headers
                .entry(name)
                .or_insert(HeaderValue::from_static(value));
        };
        default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        default(header::REFERRER_POLICY, "no-referrer");
        if page {
            default(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
            default(header::X_FRAME_OPTIONS, "DENY");
            default(
                HeaderName::from_static("permissions-policy"),
                "microphone=(self)",
            );
        }
    }
}

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

    /// 400 `INVALID_REQUEST`.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> HttpError {
        HttpError::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
    }

    /// 503 `UNAVAILABLE`, to be tried again after `seconds`.
    pub fn busy(message: impl Into<Cow<'static, str>>, seconds: u32) -> HttpError {
        HttpError {
            retry_after_s: Some(seconds),
            ..HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
        }
    }
}
