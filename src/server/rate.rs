//! Token buckets: how many calls a client may make.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::{HttpError, StatusCode};
use crate::clock::{Clock, MonoMillis};
use crate::limits;

/// Holds up to a burst of tokens and regains them steadily.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    tokens: f64,
    at: MonoMillis,
}

/// Whose calls are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RateKey {
    Device(Rc<str>),
    Address(IpAddr),
}

/// Calls a minute per client, with a burst of as many. Clones share the same buckets.
#[derive(Clone)]
pub struct RateLimiter(Rc<State>);

struct State {
    clock: Clock,
    /// 0: no limit.
    per_minute: std::cell::Cell<u32>,
    buckets: RefCell<HashMap<RateKey, Bucket>>,
}

impl Bucket {
    pub fn full(now: MonoMillis, burst: u32) -> Bucket {
        Bucket {
            tokens: f64::from(burst),
            at: now,
        }
    }

    /// Takes one token, or says in how many seconds there is one.
    pub fn take(&mut self, now: MonoMillis, per_s: f64, burst: u32) -> Result<(), f64> {
        self.tokens = self.level(now, per_s, burst);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err((1.0 - self.tokens) / per_s)
    }

    pub fn is_full(&self, now: MonoMillis, per_s: f64, burst: u32) -> bool {
        self.level(now, per_s, burst) >= f64::from(burst)
    }

    fn level(&self, now: MonoMillis, per_s: f64, burst: u32) -> f64 {
        (self.tokens + now.since(self.at).as_secs_f64() * per_s).min(f64::from(burst))
    }
}

impl RateKey {
    /// By device where the caller has shown one, else by address; one IPv6 network of 64 bits
    /// is one client, since a host has all of it to choose from.
    pub fn of(device: Option<&Rc<str>>, address: IpAddr) -> RateKey {
        if let Some(device) = device {
            return RateKey::Device(device.clone());
        }
        RateKey::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::from((v6.to_bits() & !u128::from(u64::MAX)).to_be_bytes()),
            v4 => v4,
        })
    }
}

impl RateLimiter {
    pub fn new(clock: Clock, per_minute: u32) -> RateLimiter {
        RateLimiter(Rc::new(State {
            clock,
            per_minute: std::cell::Cell::new(per_minute),
            buckets: RefCell::default(),
        }))
    }

    /// Takes effect with the next call; 0 ends the limit.
    pub fn set_per_minute(&self, per_minute: u32) {
        self.0.per_minute.set(per_minute);
    }

    /// Counts one call; 429 with Retry-After when it is one too many.
    pub fn take(&self, key: RateKey) -> Result<(), HttpError> {
        let per_minute = self.0.per_minute.get();
        if per_minute == 0 {
            return Ok(());
        }
        let per_s = f64::from(per_minute) / 60.0;
        let now = self.0.clock.mono();
        let mut buckets = self.0.buckets.borrow_mut();
        if buckets.len() >= limits::RATE_KEYS_MAX && !buckets.contains_key(&key) {
            make_room(&mut buckets, now, per_s, per_minute);
        }
        let bucket = buckets
            .entry(key)
            .or_insert_with(|| Bucket::full(now, per_minute));
        bucket.take(now, per_s, per_minute).map_err(|wait_s| HttpError {
            retry_after_s: Some(wait_s.ceil().max(1.0) as u32),
            ..HttpError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "RATE_LIMIT_EXCEEDED",
                format!(
                    "More than {per_minute} calls a minute; wait as Retry-After says, or raise RATE_LIMIT."
                ),
            )
        })
    }
}

/// Forgets whoever has a full bucket, else the longest unused.
fn make_room(buckets: &mut HashMap<RateKey, Bucket>, now: MonoMillis, per_s: f64, burst: u32) {
    buckets.retain(|_, bucket| !bucket.is_full(now, per_s, burst));
    if buckets.len() >= limits::RATE_KEYS_MAX
        && let Some(oldest) = buckets
            .iter()
            .min_by_key(|(_, bucket)| bucket.at)
            .map(|(key, _)| key.clone())
    {
        buckets.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::UnixMillis;

    #[test]
    fn a_burst_passes_then_one_call_for_each_token_regained() {
        let clock = Clock::manual(UnixMillis(0));
        let limiter = RateLimiter::new(clock.clone(), 60);
        let key = RateKey::of(None, IpAddr::from([192, 168, 1, 2]));
        for _ in 0..60 {
            limiter.take(key.clone()).expect("within the burst");
        }
        let error = limiter.take(key.clone()).expect_err("one too many");
        assert_eq!(error.retry_after_s, Some(1));
        clock.advance(Duration::from_secs(2));
        assert!(limiter.take(key.clone()).is_ok());
        assert!(limiter.take(key.clone()).is_ok());
        assert!(limiter.take(key).is_err());
        let other = RateKey::of(None, IpAddr::from([192, 168, 1, 3]));
        assert!(limiter.take(other).is_ok());
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_table() {
        let clock = Clock::manual(UnixMillis(0));
        let limiter = RateLimiter::new(clock.clone(), 60);
        for number in 0..(limits::RATE_KEYS_MAX as u32 + 500) {
            let address = IpAddr::from(number.to_be_bytes());
            let _ = limiter.take(RateKey::of(None, address));
        }
        assert!(limiter.0.buckets.borrow().len() <= limits::RATE_KEYS_MAX);
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_bucket() {
        let key = |text: &str| RateKey::of(None, text.parse().expect("an address"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
    }
}
