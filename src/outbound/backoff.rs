//! When to try again: exponential with full jitter, and what the server asks for by
//! `Retry-After` (RFC 9110 section 10.2.3).

use std::time::Duration;

use http::{HeaderMap, header};

use super::{CallError, CallRequest, CallResponse, Outbound};
use crate::clock::UnixMillis;
use crate::limits::RETRY_AFTER_MAX;

#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Upper bound of the first wait; doubles with each try.
    pub first: Duration,
    pub longest: Duration,
    /// Tries in all, the first included.
    pub tries: u32,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            tries: 3,
        }
    }
}

impl Backoff {
    /// The wait before try number `next` (from 2). `random` is uniform in 0..1; what the server
    /// asked for is kept as the least.
    pub fn wait(&self, next: u32, asked: Option<Duration>, random: f64) -> Duration {
        let doublings = next.saturating_sub(2).min(16);
        let bound = self.first.saturating_mul(1 << doublings).min(self.longest);
        let jittered = bound.mul_f64(random.clamp(0.0, 1.0));
        asked.map_or(jittered, |asked| {
            asked.min(RETRY_AFTER_MAX) + jittered.min(self.first)
        })
    }
}

/// Seconds or an HTTP date, at most [`RETRY_AFTER_MAX`].
pub fn retry_after(headers: &HeaderMap, now: UnixMillis) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?;
            let ms = date.timestamp().as_millisecond() - now.0;
            Duration::from_millis(u64::try_from(ms).unwrap_or(0))
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Whether an answer says "later": 408, 429, 5xx but 501.
pub fn asks_for_patience(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429) || (status.is_server_error() && status.as_u16() != 501)
}

impl Outbound {
    /// As [`Outbound::call`], tried again while that may help. Only for calls that may run twice.
    pub async fn call_again(
        &self,
        request: CallRequest,
        backoff: Backoff,
        now: impl Fn() -> UnixMillis,
    ) -> Result<CallResponse, CallError> {
        let mut attempt = 1;
        loop {
            let answer = self.call(request.clone()).await;
            let asked = match &answer {
                Ok(answer) if asks_for_patience(answer.status) => {
                    retry_after(&answer.headers, now())
                }
                Err(error) if error.is_retryable() => None,
                _ => return answer,
            };
            attempt += 1;
            if attempt > backoff.tries {
                return answer;
            }
            tokio::time::sleep(backoff.wait(attempt, asked, random())).await;
        }
    }
}

/// Uniform in 0..1.
pub fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness all wait the whole bound: later, never sooner.
    if getrandom::fill(&mut bytes).is_err() {
        return 1.0;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        headers
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_capped() {
        let now = UnixMillis::parse_rfc3339("2026-03-01T12:00:00Z").unwrap();
        let seconds = |value| retry_after(&headers(value), now).map(|wait| wait.as_secs());
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds("Sun, 01 Mar 2026 12:00:30 GMT"), Some(30));
        assert_eq!(seconds("Sun, 01 Mar 2026 11:00:00 GMT"), Some(0));
        assert_eq!(seconds("86400"), Some(RETRY_AFTER_MAX.as_secs()));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("-1"), None);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_its_bounds(
            next in 2..40u32, asked in proptest::option::of(0..1_000_000u64), random in 0.0..1.0f64,
        ) {
            let backoff = Backoff::default();
            let asked = asked.map(Duration::from_secs);
            let wait = backoff.wait(next, asked, random);
            prop_assert!(wait <= backoff.longest.max(RETRY_AFTER_MAX + backoff.first));
            if let Some(asked) = asked {
                prop_assert!(wait >= asked.min(RETRY_AFTER_MAX));
            }
        }
    }
}
