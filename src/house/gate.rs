//! Says for the door who is calling, by token, cookie or a plainly local connection.

use std::net::IpAddr;

use crate::identity::{Credentials, Identity, Who};
use crate::server::{Caller, Gatekeeper, HeaderMap, RequestHead, Role, header};

/// The pairing cookie.
pub(super) const COOKIE: &str = "magpie_token";

/// Any of these means that somebody else's request is passed on to us.
const FORWARDING: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
];

pub struct Gate(Identity);

impl Gate {
    pub fn new(identity: Identity) -> Gate {
        Gate(identity)
    }
}

impl Gatekeeper for Gate {
    fn identify(&self, head: &RequestHead) -> Caller {
        let who = self.0.who(&Credentials {
            token: token(&head.headers),
            peer: head.peer.address.ip(),
            plainly_local: is_plainly_local(&head.headers),
        });
        match who {
            Who::Owner => Caller {
                role: Role::Owner,
                device: None,
            },
            Who::Device { id, admin } => Caller {
                role: if admin { Role::Owner } else { Role::Device },
                device: Some(id),
            },
            Who::Nobody => Caller {
                role: Role::Nobody,
                device: None,
            },
        }
    }
}

/// `Authorization: Bearer` before the cookie.
fn token(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    bearer.or_else(|| {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == COOKIE)
            .map(|(_, token)| token)
    })
}

/// The `Host` is a loopback name, and nobody forwards: a reverse proxy on this machine opens
/// nothing.
fn is_plainly_local(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let is_forwarded = FORWARDING.iter().any(|name| headers.contains_key(*name));
    !is_forwarded && host.to_str().is_ok_and(is_loopback_name)
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    #[test]
    fn only_a_loopback_host_without_forwarding_is_plainly_local() {
        for (pairs, expected) in [
            (&[("host", "localhost:8080")][..], true),
            (&[("host", "LocalHost")], true),
            (&[("host", "127.0.0.1:8080")], true),
            (&[("host", "127.9.9.9")], true),
            (&[("host", "[::1]:8080")], true),
            (&[("host", "[::ffff:127.0.0.1]")], true),
            (&[], false),
            (&[("host", "magpie.local")], false),
            (&[("host", "192.168.1.9")], false),
            (&[("host", "localhost.evil.example")], false),
            (&[("host", "127.0.0.1.evil.example")], false),
            (
                &[("host", "localhost"), ("x-forwarded-for", "1.2.3.4")],
                false,
            ),
            (
                &[("host", "localhost"), ("forwarded", "for=1.2.3.4")],
                false,
            ),
            (&[("host", "localhost"), ("x-real-ip", "1.2.3.4")], false),
            (&[("host", "localhost"), ("via", "1.1 proxy")], false),
        ] {
            assert_eq!(is_plainly_local(&headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_token_comes_by_header_or_cookie() {
        for (pairs, expected) in [
            (&[("authorization", "Bearer mgp_a")][..], Some("mgp_a")),
            (&[("authorization", "bearer  mgp_a ")], Some("mgp_a")),
            (&[("authorization", "Basic mgp_a")], None),
            (&[("cookie", "a=b; magpie_token=mgp_b")], Some("mgp_b")),
            (
                &[("authorization", "Bearer x"), ("cookie", "magpie_token=y")],
                Some("x"),
            ),
            (&[("cookie", "xmagpie_token=y")], None),
        ] {
            assert_eq!(token(&headers(pairs)), expected, "{pairs:?}");
        }
    }
}
