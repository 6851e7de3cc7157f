//! A request as a handler sees it: head parsed, limits kept, body not yet read.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::body_budget::BodyBudget;
use super::connection::{Connection, Phase};
use super::json::field_at;
use super::target::parse_query;
use super::{Caller, HeaderMap, HttpError, Method, Peer, StatusCode, header};
use crate::clock::{Clock, MonoMillis};
use crate::limits;

/// All of a request but its body.
pub struct RequestHead {
    /// Short random name on every log line of this request and in `x-request-id`.
    pub id: Rc<str>,
    pub method: Method,
    /// Percent-encoded as sent, without the query.
    pub path: String,
    /// Raw query without `?`.
    pub query: String,
    pub headers: HeaderMap,
    pub peer: Peer,
    /// The client's address: of the peer, or by a trusted proxy's word.
    pub client: IpAddr,
}

pub struct Request {
    pub head: RequestHead,
    pub caller: Caller,
    pub(super) params: Vec<(&'static str, String)>,
    pub(super) body: BodyReader,
}

impl RequestHead {
    /// A header's value as text, where it is ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Request {
    /// A `{name}` of the route, percent-decoded.
    pub fn param(&self, name: &str) -> &str {
        self.params
            .iter()
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    }

    /// First value of a query parameter, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        self.query_pairs()
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// All query parameters in order, decoded; the router has checked that they can be.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        parse_query(&self.head.query).unwrap_or_default()
    }

    /// The whole body, at most `bytes_max` long.
    pub async fn body(&mut self, bytes_max: usize) -> Result<Vec<u8>, HttpError> {
        self.body.whole(bytes_max, &self.head.headers).await
    }

    /// The next piece of a body of at most `bytes_max` in all, for bodies that go to disk;
    /// `None` at its end.
    pub async fn body_chunk(&mut self, bytes_max: u64) -> Result<Option<Bytes>, HttpError> {
        if self.body.received == 0 {
            refuse_declared(&self.head.headers, bytes_max)?;
        }
        let chunk = self.body.next().await?;
        if self.body.received > bytes_max {
            return Err(too_large(bytes_max));
        }
        Ok(chunk)
    }

    /// A JSON body of the default limit; the error names the field that has a wrong type.
    pub async fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, HttpError> {
        self.json_of(limits::BODY_BYTES_DEFAULT).await
    }

    /// A JSON body of at most `bytes_max`.
    pub async fn json_of<T: serde::de::DeserializeOwned>(
        &mut self,
        bytes_max: usize,
    ) -> Result<T, HttpError> {
        require_json(&self.head.headers)?;
        let body = self.body(bytes_max).await?;
        parse_json(&body)
    }
}

/// Bytes of the body as they come, with the limits of its progress.
pub(super) struct BodyReader {
    pub incoming: Option<Incoming>,
    pub connection: Rc<Connection>,
    pub clock: Clock,
    pub gap: Duration,
    pub budget: Rc<BodyBudget>,
    pub received: u64,
    pub started: Option<MonoMillis>,
    /// Bytes of the budget that this request holds until it is answered.
    pub held: usize,
}

impl BodyReader {
    async fn whole(&mut self, bytes_max: usize, headers: &HeaderMap) -> Result<Vec<u8>, HttpError> {
        let declared = refuse_declared(headers, bytes_max as u64)?.unwrap_or(0) as usize;
        // The declared length is only believed up to a first buffer: whoever declares much and
        // sends little holds little.
        let mut body = Vec::new();
        self.grow(&mut body, declared.min(16 * 1024))?;
        while let Some(frame) = self.next().await? {
            let length = body.len() + frame.len();
            if length > bytes_max {
                return Err(too_large(bytes_max as u64));
            }
            if length > body.capacity() {
                let wanted = length.max(body.capacity() * 2).min(bytes_max);
                self.grow(&mut body, wanted)?;
            }
            // Copied, because a dribbled frame would keep hyper's whole read buffer alive.
            body.extend_from_slice(&frame);
        }
        Ok(body)
    }

    pub(super) fn grow(&mut self, body: &mut Vec<u8>, capacity: usize) -> Result<(), HttpError> {
        let more = capacity.saturating_sub(body.capacity());
        if !self.budget.take(more) {
            return Err(HttpError::busy(
                "The box is reading too many large requests at once; try again in a second.",
                1,
            ));
        }
        self.held += more;
        body.reserve_exact(capacity - body.len());
        Ok(())
    }

    /// The next frame of data; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        let started = *self.started.get_or_insert_with(|| self.clock.mono());
        let Some(incoming) = self.incoming.as_mut() else {
            return Ok(None);
        };
        loop {
            let frame = match tokio::time::timeout(self.gap, incoming.frame()).await {
                Err(_) => return Err(too_slow()),
                Ok(None) => {
                    self.incoming = None;
                    self.connection.enter(Phase::Handling);
                    return Ok(None);
                }
                Ok(Some(Err(error))) => {
                    return Err(HttpError::invalid(format!(
                        "The body broke off or is malformed ({error}); send it again."
                    )));
                }
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers are read over.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.received += data.len() as u64;
            let took = self.clock.mono().since(started);
            if took >= limits::BODY_RATE_WINDOW
                && self.received < limits::BODY_RATE_BYTES_PER_S_MIN * took.as_secs()
                && !incoming_is_done(incoming)
            {
                return Err(too_slow());
            }
            return Ok(Some(data));
        }
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        self.budget.give_back(self.held);
        if self
            .incoming
            .as_ref()
            .is_some_and(|body| !incoming_is_done(body))
        {
            self.connection.body_left_unread();
        }
    }
}

fn incoming_is_done(incoming: &Incoming) -> bool {
    hyper::body::Body::is_end_stream(incoming)
}

/// 413 by what `Content-Length` says, before a byte is read.
fn refuse_declared(headers: &HeaderMap, bytes_max: u64) -> Result<Option<u64>, HttpError> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match declared {
        Some(length) if length > bytes_max => Err(too_large(bytes_max)),
        declared => Ok(declared),
    }
}

pub(super) fn too_large(bytes_max: u64) -> HttpError {
    HttpError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "PAYLOAD_TOO_LARGE",
        format!("The body may be at most {bytes_max} bytes long; send less."),
    )
}

fn too_slow() -> HttpError {
    HttpError::new(
        StatusCode::REQUEST_TIMEOUT,
        "REQUEST_TIMEOUT",
        "The body did not arrive in time; send it again without a pause.",
    )
}

fn require_json(headers: &HeaderMap) -> Result<(), HttpError> {
    let sent = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("").to_ascii_lowercase());
    let essence = sent
        .as_deref()
        .map(|sent| sent.split(';').next().unwrap_or("").trim());
    let is_json = essence.is_some_and(|essence| {
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    });
    if is_json {
        return Ok(());
    }
    let found = essence.map_or(String::from("none was sent"), |essence| {
        format!(
            "{:?} was sent",
            essence.chars().take(60).collect::<String>()
        )
    });
    Err(HttpError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "INVALID_REQUEST",
        format!("The body has to be JSON with the header Content-Type: application/json; {found}."),
    ))
}

/// Reads JSON; the error says where and which field.
pub fn parse_json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, HttpError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        HttpError::invalid(format!(
            "The body is not valid UTF-8 at byte {}; send JSON in UTF-8.",
            error.valid_up_to()
        ))
    })?;
    if text.trim_ascii().is_empty() {
        return Err(HttpError::invalid("The body is empty; send a JSON object."));
    }
    serde_json::from_str(text).map_err(|error| {
        let field = field_at(text, error.line(), error.column());
        let place = match field.as_str() {
            "" => String::new(),
            field => format!("field {field:?}: "),
        };
        HttpError::invalid(format!("The body is not as expected: {place}{error}."))
    })
}
