//! Calls to the world: one-shot calls on ureq workers, streams by hyper's client on the loop.
//!
//! Every call has connect, first-byte, idle and total limits, an owner who cancels it by
//! dropping it, and a bound on how many run. Secrets never reach a log or an error.

use std::time::Duration;

use bytes::Bytes;

/// One call out, whether answered as a document or as a stream.
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
    pub first_byte: Duration,
    pub idle: Duration,
    pub total: Duration,
    pub answer_bytes_max: usize,
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

pub struct CallResponse {
    pub status: http::StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}
