//! One call to a model over HTTP: the request out, its events in, errors told by class.
//!
//! A call that failed before its first word is tried once more; after it never, so that nothing
//! is said twice. No error holds a key, and none more than a line of what the server said.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::super::EngineError;
use super::{ChatReply, ChatRequest, estimated_input};
use crate::clock::Clock;
use crate::limits::{
    ANSWER_MAX, FIRST_TEXT_MAX, LLM_ERROR_BYTES_MAX, LLM_EVENT_BYTES_MAX, LLM_RETRY_WAIT_MAX,
};
use crate::outbound::backoff::{Backoff, retry_after};
use crate::outbound::sse::{Event, Reader};
use crate::outbound::{CallError, CallLimits, CallRequest, Outbound, StreamBody, StreamResponse};

/// Where a provider is and how it is asked.
#[derive(Clone)]
pub struct Way {
    pub outbound: Outbound,
    pub clock: Clock,
    /// Without a slash at its end.
    pub base_url: String,
    /// Never shown; `None` for servers that want none.
    pub key: Option<String>,
    /// The setting that holds the key, for advice.
    pub key_setting: &'static str,
}

/// An answer that is put together from the events of its stream.
pub(super) trait Assembly: Default {
    /// Takes one event. `true`: this was the last.
    fn take(&mut self, event: &Event, on_text: &mut dyn FnMut(&str)) -> Result<bool, EngineError>;
    /// Whether a word or a call of a tool has come.
    fn has_begun(&self) -> bool;
    /// The whole; an error when the stream ended before its end.
    fn whole(self) -> Result<ChatReply, EngineError>;
    /// An answer of one piece, from a server that does not stream.
    fn document(_body: &[u8]) -> Result<ChatReply, EngineError> {
        Err(EngineError::Broken(String::from(
            "the model's server did not answer with an event stream; check its base URL",
        )))
    }
}

/// Reads events out of bytes, however they are cut, into an answer.
pub(super) struct Assembler<A> {
    reader: Reader,
    answer: A,
    done: bool,
}

impl<A: Assembly> Assembler<A> {
    pub(super) fn new() -> Assembler<A> {
        Assembler {
            reader: Reader::new(LLM_EVENT_BYTES_MAX),
            answer: A::default(),
            done: false,
        }
    }

    /// `true`: the answer is complete; what follows is not looked at.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        on_text: &mut dyn FnMut(&str),
    ) -> Result<bool, EngineError> {
        let mut events = Vec::new();
        let read = self.reader.push(bytes, &mut events);
        for event in events {
            if self.done {
                break;
            }
            self.done = self.answer.take(&event, on_text)?;
        }
        match read {
            Ok(()) => Ok(self.done),
            Err(_) if self.done => Ok(true),
            Err(_) => Err(EngineError::Broken(String::from(
                "the model's server sent an event that is too long",
            ))),
        }
    }

    pub(super) fn whole(self) -> Result<ChatReply, EngineError> {
        self.answer.whole()
    }
}

/// The answer with what its server left out.
pub(super) fn complete(
    mut reply: ChatReply,
    provider: &str,
    model: &str,
    request: &ChatRequest,
) -> ChatReply {
    reply.provider = provider.to_owned();
    if reply.model.is_empty() {
        reply.model = model.to_owned();
    }
    if reply.usage.input_tokens == 0 {
        reply.usage.input_tokens = estimated_input(request);
    }
    reply
}

impl Way {
    /// A call that asks for an event stream; `headers` beside those of every call.
    pub(super) fn post(&self, path: &str, mut headers: HeaderMap, body: &Value) -> CallRequest {
        let mut add = |name, value| headers.insert(name, HeaderValue::from_static(value));
        add(header::CONTENT_TYPE, "application/json");
        add(header::ACCEPT, "text/event-stream");
        CallRequest {
            method: Method::POST,
            url: format!("{}{path}", self.base_url),
            headers,
            body: Bytes::from(body.to_string()),
            limits: CallLimits::default(),
        }
    }

    /// Streams one answer, with one more try while no word of it has come.
    pub(super) async fn stream<A: Assembly>(
        &self,
        request: CallRequest,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<ChatReply, EngineError> {
        let until = Instant::now() + ANSWER_MAX;
        let begun = Cell::new(false);
        let mut watched = |text: &str| {
            begun.set(true);
            on_text(text);
        };
        let first = self.once::<A>(request.clone(), until, &mut watched).await;
        let error = match first {
            Err(error) if !begun.get() => error,
            other => return other,
        };
        let Some(wait) = wait_before_retry(&error) else {
            return Err(error);
        };
        tokio::time::sleep(wait).await;
        self.once::<A>(request, until, on_text).await
    }

    async fn once<A: Assembly>(
        &self,
        mut request: CallRequest,
        until: Instant,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<ChatReply, EngineError> {
        request.limits = CallLimits {
            first_byte: FIRST_TEXT_MAX,
            idle: FIRST_TEXT_MAX,
            total: until.saturating_duration_since(Instant::now()),
            ..CallLimits::default()
        };
        let first_until = Instant::now() + FIRST_TEXT_MAX;
        let late = |_| EngineError::Timeout(FIRST_TEXT_MAX);
        let answer = timeout_at(first_until, self.outbound.stream(request))
            .await
            .map_err(late)?
            .map_err(of_call)?;
        if !answer.status.is_success() {
            return Err(self.refusal(answer).await);
        }
        let is_document = answer
            .headers
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if is_document {
            let bytes = answer
                .body
                .collect(LLM_EVENT_BYTES_MAX)
                .await
                .map_err(of_call)?;
            let reply = A::document(&bytes)?;
            on_text(&reply.text);
            return Ok(reply);
        }
        let mut body = answer.body;
        let mut assembler = Assembler::<A>::new();
        loop {
            let chunk = match assembler.answer.has_begun() {
                true => body.chunk().await,
                false => timeout_at(first_until, body.chunk()).await.map_err(late)?,
            };
            let Some(bytes) = chunk.map_err(of_call)? else {
                return assembler.whole();
            };
            if assembler.push(&bytes, on_text)? {
                keep_connection(body);
                return assembler.whole();
            }
        }
    }

    /// What an answer that is no success means.
    async fn refusal(&self, answer: StreamResponse) -> EngineError {
        let status = answer.status.as_u16();
        let asked = retry_after(&answer.headers, self.clock.wall());
        let body = match answer.body.collect(LLM_ERROR_BYTES_MAX).await {
            Ok(body) => body,
            Err(_) => Bytes::new(),
        };
        let said = self.without_key(&message_of(&body));
        of_status(status, &said, asked, self.key_setting)
    }

    fn without_key(&self, text: &str) -> String {
        match self.key.as_deref() {
            Some(key) if !key.is_empty() => text.replace(key, "…"),
            _ => text.to_owned(),
        }
    }
}

/// Reads what is left, so that the connection serves the next turn.
fn keep_connection(body: StreamBody) {
    tokio::task::spawn_local(async move {
        let rest = body.collect(LLM_ERROR_BYTES_MAX);
        let _ = tokio::time::timeout(LLM_RETRY_WAIT_MAX, rest).await;
    });
}

/// `None`: another try would not help or would come too late for whoever waits.
fn wait_before_retry(error: &EngineError) -> Option<Duration> {
    let asked = match error {
        EngineError::Limited { retry_after, .. } => *retry_after,
        EngineError::Broken(_) | EngineError::Unreachable(_) => None,
        _ => return None,
    };
    let wait = Backoff::default().wait(2, asked, crate::outbound::backoff::random());
    (wait <= LLM_RETRY_WAIT_MAX).then_some(wait)
}

/// A header that no log shows.
pub(super) fn secret_header(value: &str, setting: &str) -> Result<HeaderValue, EngineError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        EngineError::Rejected(format!(
            "{setting} holds characters that no key has; set it again"
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn of_call(error: CallError) -> EngineError {
    let told = error.to_string();
    match error {
        CallError::Busy => EngineError::Busy,
        CallError::Connect(_) | CallError::Tls(_) => EngineError::Unreachable(told),
        CallError::Timeout("total") => EngineError::Timeout(ANSWER_MAX),
        CallError::Timeout("connect") => EngineError::Unreachable(told),
        CallError::Timeout(_) => EngineError::Timeout(FIRST_TEXT_MAX),
        CallError::Broken(_) | CallError::TooLarge => EngineError::Broken(told),
        CallError::Invalid(_) => EngineError::Rejected(told),
    }
}

/// The class of a status and of what stood in its body.
fn of_status(
    status: u16,
    said: &str,
    retry_after: Option<Duration>,
    key_setting: &str,
) -> EngineError {
    let told = |what: &str| match said.is_empty() {
        true => format!("the model's server {what} ({status})"),
        false => format!("the model's server {what} ({status}): {said}"),
    };
    match status {
        429 | 529 => EngineError::Limited {
            what: told("takes no more for now"),
            retry_after,
        },
        408 | 500..=599 => EngineError::Broken(told("failed")),
        401 | 403 => EngineError::Rejected(told(&format!(
            "does not accept the key; check {key_setting}"
        ))),
        404 => EngineError::Rejected(told(
            "does not know the model or the address; check LLM_MODEL and the base URL",
        )),
        _ => EngineError::Rejected(told("does not take this")),
    }
}

/// `error.message` where the body has one, else its first line.
fn message_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Told {
        error: ErrorBody,
    }
    match serde_json::from_slice::<Told>(body) {
        Ok(told) => told.error.said(),
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            one_line(text.trim().lines().next().unwrap_or_default())
        }
    }
}

/// An `error` as providers write it: an object, or just words.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum ErrorBody {
    Object {
        #[serde(rename = "type")]
        kind: Option<String>,
        message: Option<String>,
        code: Option<serde_json::Value>,
    },
    Words(String),
    Other(serde::de::IgnoredAny),
}

impl ErrorBody {
    pub(super) fn said(&self) -> String {
        match self {
            ErrorBody::Object { kind, message, .. } => {
                let kind = kind.as_deref().unwrap_or("error");
                one_line(&format!(
                    "{kind}: {}",
                    message.as_deref().unwrap_or_default()
                ))
            }
            ErrorBody::Words(words) => one_line(words),
            ErrorBody::Other(_) => String::new(),
        }
    }

    /// The class of an error that came within a stream.
    pub(super) fn class(&self) -> EngineError {
        let said = self.said();
        let (kind, code) = match self {
            ErrorBody::Object { kind, code, .. } => (
                kind.as_deref().unwrap_or_default(),
                code.as_ref().map(ToString::to_string).unwrap_or_default(),
            ),
            _ => ("", String::new()),
        };
        let words = format!("{kind} {code}");
        let has = |wanted: &[&str]| wanted.iter().any(|word| words.contains(word));
        if has(&["overloaded", "rate_limit", "429", "529"]) {
            return EngineError::Limited {
                what: format!("the model's server takes no more for now: {said}"),
                retry_after: None,
            };
        }
        if has(&[
            "invalid_request",
            "authentication",
            "permission",
            "not_found",
        ]) {
            return EngineError::Rejected(format!("the model's server does not take this: {said}"));
        }
        EngineError::Broken(format!("the model's server failed: {said}"))
    }
}

/// At most 300 characters, without line ends.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect()
}

/// Says where and of what kind the fault is, and quotes nothing: it may be what was said.
pub(super) fn not_understood(error: &serde_json::Error) -> EngineError {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "a field is not what it should be",
        _ => "it is no JSON",
    };
    EngineError::Broken(format!(
        "the model's server sent an event that is not understood: {kind}, near column {}",
        error.column()
    ))
}

pub(super) fn broke_off() -> EngineError {
    EngineError::Broken(String::from("the model's answer broke off"))
}
