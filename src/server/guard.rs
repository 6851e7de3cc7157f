//! Who may speak to the door at all: Host allow-list, Origin check, CORS, trusted proxies.
//!
//! A name that is not ours in `Host` means that a foreign page was rebound to our address; a
//! foreign `Origin` means that a foreign page calls us. Both are refused before any handler.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use super::{HeaderMap, HeaderValue, HttpError, Method, Peer, StatusCode, header};

/// `192.168.1.7` or `10.0.0.0/8`, several of them.
#[derive(Clone, Debug, Default)]
pub struct Networks(Rc<Vec<(IpAddr, u8)>>);

#[derive(Clone, Default)]
pub struct GuardOptions {
    /// Names the box answers to beside `localhost` and its addresses, e.g. `magpie.local`.
    pub names: Vec<String>,
    /// `scheme://host[:port]` of foreign pages that may call.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` count.
    pub trusted_proxies: Networks,
}

pub(super) struct Guard {
    options: RefCell<GuardOptions>,
    /// Own addresses, kept up to date by the sweeper.
    addresses: RefCell<Vec<IpAddr>>,
    ports: RefCell<Vec<u16>>,
}

/// What CORS says of a request.
pub(super) enum Cors {
    /// No foreign page is involved, or none that needs an answer.
    None,
    /// Answer this origin.
    Allowed(HeaderValue),
    /// Answer any: these paths are open to all pages.
    Anybody,
}

impl Networks {
    /// Reads addresses and networks; the error is the part that is neither.
    pub fn parse<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<Networks, String> {
        let mut networks = Vec::new();
        for part in parts {
            let part = part.trim();
            let (address, prefix) = part.split_once('/').unwrap_or((part, ""));
            let parsed = address.parse::<IpAddr>().ok().and_then(|address| {
                let all = if address.is_ipv4() { 32 } else { 128 };
                let prefix = match prefix {
                    "" => all,
                    text => text.parse().ok()?,
                };
                (prefix <= all).then_some((address.to_canonical(), prefix))
            });
            networks.push(parsed.ok_or_else(|| part.to_owned())?);
        }
        Ok(Networks(Rc::new(networks)))
    }

    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(
            |(network, prefix)| match (network, address.to_canonical()) {
                (IpAddr::V4(network), IpAddr::V4(address)) => {
                    let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
                    network.to_bits() & mask == address.to_bits() & mask
                }
                (IpAddr::V6(network), IpAddr::V6(address)) => {
                    let mask = u128::MAX.checked_shl(128 - u32::from(*prefix)).unwrap_or(0);
                    network.to_bits() & mask == address.to_bits() & mask
                }
                _ => false,
            },
        )
    }
}

impl Guard {
    pub fn new(options: GuardOptions) -> Guard {
        Guard {
            options: RefCell::new(options),
            addresses: RefCell::default(),
            ports: RefCell::default(),
        }
    }

    pub fn set_options(&self, options: GuardOptions) {
        *self.options.borrow_mut() = options;
    }

    pub fn set_own(&self, addresses: Vec<IpAddr>, ports: Vec<u16>) {
        *self.addresses.borrow_mut() = addresses;
        *self.ports.borrow_mut() = ports;
    }

    /// 421 unless the one `Host` is ours.
    pub fn check_host(&self, headers: &HeaderMap, peer: Peer) -> Result<(), HttpError> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().unwrap_or(""),
            (None, _) => return Err(HttpError::invalid("The Host header is missing.")),
            (Some(_), Some(_)) => {
                return Err(HttpError::invalid("There is more than one Host header."));
            }
        };
        let Some((name, _)) = split_authority(host) else {
            return Err(HttpError::invalid("The Host header is malformed."));
        };
        if self.is_own(&name, peer) {
            return Ok(());
        }
        Err(HttpError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "FORBIDDEN",
            format!(
                "This box does not answer to the name {name:?}; use its address or its own name, or list the site in ALLOWED_ORIGINS."
            ),
        ))
    }

    /// What CORS answers to a page of an allowed origin.
    pub fn cors(&self, headers: &HeaderMap) -> Cors {
        match headers.get(header::ORIGIN) {
            Some(origin) if self.allows(origin) => Cors::Allowed(origin.clone()),
            _ => Cors::None,
        }
    }

    /// 403 when a page of a foreign origin does more than read, or opens a socket.
    pub fn check_origin(
        &self,
        method: &Method,
        headers: &HeaderMap,
        peer: Peer,
    ) -> Result<(), HttpError> {
        let safe = method.is_safe() && !headers.contains_key(header::UPGRADE);
        if safe {
            return Ok(());
        }
        let Some(origin) = headers.get(header::ORIGIN) else {
            // No browser sends a cross-site write without an Origin; where one is missing but
            // the browser says so by itself, it is believed.
            return match headers.get("sec-fetch-site") {
                Some(site) if site == "cross-site" => Err(foreign("of another site")),
                _ => Ok(()),
            };
        };
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let text = origin.to_str().unwrap_or("");
        if self.allows(origin) || self.is_own_origin(text, host.unwrap_or(""), peer) {
            return Ok(());
        }
        Err(foreign(&text.chars().take(200).collect::<String>()))
    }

    /// The client's address and whether it speaks TLS, by the word of trusted proxies only.
    pub fn client(&self, headers: &HeaderMap, peer: Peer) -> (IpAddr, bool) {
        let options = self.options.borrow();
        let direct = peer.address.ip().to_canonical();
        if !options.trusted_proxies.contain(direct) {
            return (direct, peer.tls);
        }
        let tls = headers
            .get("x-forwarded-proto")
            .map_or(peer.tls, |proto| proto == "https");
        // From the right: each trusted proxy vouches for the one before it.
        let hops: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        let mut client = direct;
        for hop in hops.iter().rev() {
            let Ok(address) = hop.parse::<IpAddr>() else {
                break;
            };
            client = address.to_canonical();
            if !options.trusted_proxies.contain(client) {
                break;
            }
        }
        (client, tls)
    }

    fn is_own(&self, name: &str, peer: Peer) -> bool {
        if name == "localhost" || name.ends_with(".localhost") {
            return true;
        }
        let (options, name) = (self.options.borrow(), name.trim_end_matches('.'));
        // Also an address, where a container or a router has another one than the box knows.
        let is_listed = options
            .allowed_origins
            .iter()
            .any(|origin| split_origin(origin).is_some_and(|(_, host, _)| host == name));
        if is_listed {
            return true;
        }
        if let Ok(address) = name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
        {
            let address = address.to_canonical();
            return address.is_loopback()
                || address == peer.local.ip().to_canonical()
                || self.addresses.borrow().contains(&address);
        }
        options
            .names
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
    }

    /// The page came from this box: from the host it calls, or from another port of ours.
    fn is_own_origin(&self, origin: &str, host: &str, peer: Peer) -> bool {
        let Some((scheme, name, port)) = split_origin(origin) else {
            return false;
        };
        let default_port = if scheme == "https" { 443 } else { 80 };
        let port = port.unwrap_or(default_port);
        let same_host = split_authority(host).is_some_and(|(host_name, host_port)| {
            host_name == name && host_port.unwrap_or(default_port) == port
        });
        same_host || (self.is_own(&name, peer) && self.ports.borrow().contains(&port))
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let Some(origin) = origin.to_str().ok().and_then(split_origin) else {
            return false;
        };
        self.options
            .borrow()
            .allowed_origins
            .iter()
            .any(|allowed| split_origin(allowed).is_some_and(|allowed| allowed == origin))
    }
}

/// The headers that tell a page that it may.
pub(super) fn cors_headers(headers: &mut HeaderMap, cors: &Cors) {
    match cors {
        Cors::None => return,
        Cors::Anybody => {
            let any = HeaderValue::from_static("*");
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
        }
        Cors::Allowed(origin) => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
    }
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("x-request-id, retry-after"),
    );
}

/// What a preflight is told beyond [`cors_headers`]; `None` where the page may not call.
pub(super) fn preflight_headers(headers: &mut HeaderMap, cors: &Cors) -> Option<()> {
    let (methods, names) = match cors {
        Cors::None => return None,
        Cors::Allowed(_) => (
            "GET, POST, PATCH, DELETE, OPTIONS",
            "Content-Type, Authorization",
        ),
        // The star stands for every name but Authorization.
        Cors::Anybody => ("GET, POST, PUT, DELETE", "*, Authorization"),
    };
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(methods),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(names),
    );
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    Some(())
}

fn foreign(origin: &str) -> HttpError {
    HttpError::new(
        StatusCode::FORBIDDEN,
        "FORBIDDEN",
        format!("Pages {origin} may not call this box; list their origin in ALLOWED_ORIGINS."),
    )
}

/// Lower-case host and port of `host[:port]`.
fn split_authority(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text[colon..].contains(']') => {
            (&text[..colon], Some(text[colon + 1..].parse().ok()?))
        }
        _ => (text, None),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    (literal || (!host.is_empty() && host.bytes().all(plain)))
        .then(|| (host.to_ascii_lowercase(), port))
}

/// Scheme, host and port of an origin, in lower case; default ports are left out.
fn split_origin(text: &str) -> Option<(String, String, Option<u16>)> {
    let (scheme, rest) = text.split_once("://")?;
    let (host, port) = split_authority(rest)?;
    let scheme = scheme.to_ascii_lowercase();
    let port = port.filter(|port| {
        (scheme.as_str(), *port) != ("http", 80) && (scheme.as_str(), *port) != ("https", 443)
    });
    Some((scheme, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        let guard = Guard::new(GuardOptions {
            names: vec!["magpie".into(), "magpie.local".into()],
            allowed_origins: vec![
                "https://app.example.org".into(),
                "http://lab.example:3000".into(),
                "http://192.0.2.7:8080".into(),
                "http://[2001:db8::7]:8080".into(),
            ],
            trusted_proxies: Networks::parse(["127.0.0.1", "10.1.0.0/16"]).expect("networks"),
        });
        guard.set_own(vec![IpAddr::from([192, 168, 1, 9])], vec![8080, 8443]);
        guard
    }

    fn peer() -> Peer {
        Peer {
            address: ([192, 168, 1, 77], 50_000).into(),
            local: ([192, 168, 1, 9], 8080).into(),
            tls: false,
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_str(value).expect("a header value"),
                )
            })
            .collect()
    }

    #[test]
    fn only_our_own_hosts_are_answered() {
        for (host, expected) in [
            ("localhost", 0),
            ("localhost:8080", 0),
            ("LOCALHOST:8080", 0),
            ("127.0.0.1:8080", 0),
            ("[::1]:8080", 0),
            ("192.168.1.9:8080", 0),
            ("magpie.local", 0),
            ("Magpie.Local.:8080", 0),
            ("magpie", 0),
            ("app.example.org", 0),
            ("app.example.org.", 0),
            ("192.0.2.7:8080", 0),
            ("[2001:db8::7]:8080", 0),
            ("evil.example", 421),
            ("magpie.local.evil.example", 421),
            ("192.168.1.10", 421),
            ("8.8.8.8", 421),
            ("[2001:db8::1]", 421),
            ("", 400),
            ("a b", 400),
            ("magpie:notaport", 400),
            ("user@magpie", 400),
            ("[::1", 400),
        ] {
            let status = match guard().check_host(&headers(&[("host", host)]), peer()) {
                Ok(()) => 0,
                Err(error) => error.status.as_u16(),
            };
            assert_eq!(status, expected, "{host:?}");
        }
        let twice = {
            let mut headers = headers(&[("host", "magpie")]);
            headers.append(header::HOST, HeaderValue::from_static("evil.example"));
            headers
        };
        let error = guard().check_host(&twice, peer()).expect_err("two hosts");
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn foreign_pages_may_read_but_not_write() {
        for (method, origin, allowed) in [
            (Method::GET, "https://evil.example", true),
            (Method::POST, "https://evil.example", false),
            (Method::POST, "null", false),
            (Method::POST, "http://magpie.local:8080", true),
            (Method::POST, "https://magpie.local:8443", true),
            (Method::POST, "http://192.168.1.9:8080", true),
            (Method::POST, "http://magpie.local:3000", false),
            (Method::POST, "https://app.example.org", true),
            (Method::POST, "https://APP.example.org:443", true),
            (Method::POST, "http://app.example.org", false),
            (Method::DELETE, "http://lab.example:3000", true),
            (Method::DELETE, "http://lab.example", false),
        ] {
            let headers = headers(&[("host", "magpie.local:8080"), ("origin", origin)]);
            let result = guard().check_origin(&method, &headers, peer());
            assert_eq!(result.is_ok(), allowed, "{method} from {origin}");
        }
        let upgrade = headers(&[
            ("host", "magpie.local:8080"),
            ("origin", "https://evil.example"),
            ("upgrade", "websocket"),
        ]);
        assert!(
            guard()
                .check_origin(&Method::GET, &upgrade, peer())
                .is_err()
        );
        let silent = headers(&[("host", "magpie.local"), ("sec-fetch-site", "cross-site")]);
        assert!(
            guard()
                .check_origin(&Method::POST, &silent, peer())
                .is_err()
        );
        let program = headers(&[("host", "magpie.local")]);
        assert!(
            guard()
                .check_origin(&Method::POST, &program, peer())
                .is_ok()
        );
    }

    #[test]
    fn forwarded_headers_count_only_from_trusted_proxies() {
        let forwarded = headers(&[
            ("x-forwarded-for", "6.6.6.6, 203.0.113.5, 10.1.2.3"),
            ("x-forwarded-proto", "https"),
        ]);
        let (client, tls) = guard().client(&forwarded, peer());
        assert_eq!((client.to_string().as_str(), tls), ("192.168.1.77", false));
        let proxy = Peer {
            address: ([127, 0, 0, 1], 50_000).into(),
            ..peer()
        };
        let (client, tls) = guard().client(&forwarded, proxy);
        assert_eq!((client.to_string().as_str(), tls), ("203.0.113.5", true));
        let (client, _) = guard().client(&headers(&[("x-forwarded-for", "nonsense")]), proxy);
        assert_eq!(client.to_string(), "127.0.0.1");
    }

    #[test]
    fn networks_are_read_and_matched() {
        let networks = Networks::parse(["10.0.0.0/8", "fd00::/8", "0.0.0.0/0"]).expect("networks");
        assert!(networks.contain(IpAddr::from([10, 200, 0, 1])));
        assert!(networks.contain("fd12::1".parse().expect("an address")));
        assert!(!networks.contain("fe80::1".parse().expect("an address")));
        assert_eq!(
            Networks::parse(["10.0.0.0/33"]).err(),
            Some("10.0.0.0/33".into())
        );
        assert_eq!(
            Networks::parse(["proxy.lan"]).err(),
            Some("proxy.lan".into())
        );
    }
}
