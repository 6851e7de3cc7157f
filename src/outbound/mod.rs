//! Calls to the world: one-shot calls on ureq workers, streams by hyper's client on the loop.
//!
//! Every call has connect, first-byte, idle and total limits, an owner who cancels it by
//! dropping it, and a bound on how many run. No error and no log line holds a query string, a
//! header or a proxy's password.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;

use crate::limits;
use crate::ops::Registry;

pub mod backoff;
mod connect;
mod pool;
mod proxy;
mod resolve;
pub mod socket;
pub mod sse;
mod stream;
mod tls;
mod workers;

pub use proxy::Proxy;
pub use stream::{StreamBody, StreamResponse};

/// How the box reaches the world.
#[derive(Clone, Debug, Default)]
pub struct OutboundOptions {
    pub proxy: Option<Proxy>,
    /// Hosts and domains (`.example.org`) that are reached without the proxy.
    pub no_proxy: Vec<String>,
    /// PEM certificates of authorities that are trusted beside the public ones, for servers of
    /// one's own. While any are set one-shot calls take the loop's client too, since ureq trusts
    /// either the public authorities or named ones.
    pub extra_authorities: Vec<u8>,
}

/// One call out, whether answered as a document or as a stream.
#[derive(Clone)]
pub struct CallRequest {
    pub method: http::Method,
    /// `http` or `https`; never logged with its query.
    pub url: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    pub limits: CallLimits,
}

#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    pub connect: Duration,
    /// From the request's end to the answer's head.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
    pub total: Duration,
    /// Of a document; a stream may be longer.
    pub answer_bytes_max: usize,
}

impl Default for CallLimits {
    fn default() -> CallLimits {
        CallLimits {
            connect: limits::CONNECT_TIMEOUT,
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(120),
            answer_bytes_max: limits::CALL_ANSWER_BYTES_MAX,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// Too many calls run or wait.
    Busy,
    /// Name or address could not be reached: no byte of an answer came.
    Connect(String),
    Tls(String),
    /// Which limit passed: `connect`, `first byte`, `idle` or `total`.
    Timeout(&'static str),
    /// The answer broke off or was no HTTP.
    Broken(String),
    TooLarge,
    Invalid(String),
}

impl CallError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, CallError::Invalid(_) | CallError::TooLarge)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Busy => write!(f, "too many calls are under way; try again in a second"),
            CallError::Connect(why) => write!(f, "the server could not be reached: {why}"),
            CallError::Tls(why) => write!(f, "no secure connection: {why}"),
            CallError::Timeout(limit) => write!(f, "the server took too long ({limit})"),
            CallError::Broken(why) => write!(f, "the server's answer broke off: {why}"),
            CallError::TooLarge => write!(f, "the server's answer is too large"),
            CallError::Invalid(why) => write!(f, "this call cannot be made: {why}"),
        }
    }
}

impl std::error::Error for CallError {}

#[derive(Debug)]
pub struct CallResponse {
    pub status: http::StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

/// The loop's handle; clones share workers, connections and bounds.
#[derive(Clone)]
pub struct Outbound(Rc<Inner>);

struct Inner {
    options: OutboundOptions,
    tls: tls::Tls,
    workers: workers::Workers,
    pool: pool::Pool,
    names: resolve::Names,
    gauges: stream::Gauges,
}

impl Outbound {
    pub fn new(options: OutboundOptions, metrics: &Registry) -> Result<Outbound, CallError> {
        let tls = tls::Tls::new(&options.extra_authorities)?;
        Ok(Outbound(Rc::new(Inner {
            options,
            tls,
            workers: workers::Workers::new(metrics),
            pool: pool::Pool::default(),
            names: resolve::Names::default(),
            gauges: stream::Gauges::new(metrics),
        })))
    }

    /// A call whose answer is one document. Dropping the future cancels it: a waiting call never
    /// starts, the answer of a running one is thrown away.
    pub async fn call(&self, request: CallRequest) -> Result<CallResponse, CallError> {
        let target = Target::parse(&request.url)?;
        let proxy = self.proxy_for(&target);
        let on_loop = matches!(proxy, Some(Proxy::Socks5 { .. }))
            || !self.0.options.extra_authorities.is_empty();
        if !on_loop {
            return self.0.workers.call(request, proxy.cloned()).await;
        }
        let bytes_max = request.limits.answer_bytes_max;
        let answer = self.stream(request).await?;
        let (status, headers) = (answer.status, answer.headers);
        let body = answer.body.collect(bytes_max).await?;
        Ok(CallResponse {
            status,
            headers,
            body,
        })
    }

    /// A call whose answer is read as it comes. Dropping the body ends the connection at once.
    pub async fn stream(&self, request: CallRequest) -> Result<StreamResponse, CallError> {
        let target = Target::parse(&request.url)?;
        let proxy = self.proxy_for(&target).cloned();
        stream::call(self, target, proxy, request).await
    }

    fn proxy_for(&self, target: &Target) -> Option<&Proxy> {
        let options = &self.0.options;
        let direct = options.no_proxy.iter().any(|rule| {
            let rule = rule.trim_start_matches('.');
            rule == "*"
                || target.host.eq_ignore_ascii_case(rule)
                || target
                    .host
                    .to_ascii_lowercase()
                    .ends_with(&format!(".{}", rule.to_ascii_lowercase()))
        });
        options.proxy.as_ref().filter(|_| !direct)
    }
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    secure: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    path_and_query: String,
}

impl Target {
    fn parse(url: &str) -> Result<Target, CallError> {
        let invalid = |why: &str| CallError::Invalid(String::from(why));
        let uri: Uri = url.parse().map_err(|_| invalid("the URL is malformed"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid("the URL must begin with http:// or https://")),
        };
        if uri
            .authority()
            .is_some_and(|whole| whole.as_str().contains('@'))
        {
            return Err(invalid(
                "a URL must not hold a user or password; use a header",
            ));
        }
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid("the URL names no host"))?;
        Ok(Target {
            secure,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            path_and_query: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }

    /// As it stands in `Host` and CONNECT.
    fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let usual = if self.secure { 443 } else { 80 };
        if self.port == usual {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}
