//! The house: the first page, pairing, devices, and how a phone comes to trust the box.
//!
//! Owns what belongs to no other room and is needed before one can be used. Promises that a
//! fresh box can be claimed by whoever sees its console and by nobody else. Never: shows a code
//! in an answer to anybody but an admin, or a token twice.

use std::cell::Cell;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use crate::identity::{ClaimError, Identity, PairingCode};
use crate::ops::{Setup, SetupNote};
use crate::server::{Access, Method, Router, interfaces};

pub mod backup;
mod devices;
pub mod docs;
mod gate;
pub mod health;
mod pages;
pub mod qr;
pub mod settings;
mod trust;

pub use backup::{BackupParts, Backups};
pub use gate::Gate;
pub use pages::web_dir;
pub use settings::Settings;

/// What the wiring hands to the room.
pub struct HouseParts {
    pub identity: Identity,
    pub setup: Setup,
    /// `None` while HTTPS is off or has a certificate from elsewhere.
    pub authority: Option<AuthorityCertificate>,
    /// `HOSTNAME_LABEL`.
    pub label: String,
    pub settings: Settings,
    /// `WEB_DIR`: serves this folder in place of the page that is built in.
    pub web_dir: Option<PathBuf>,
    /// What who asks for plain text in place of the page is answered.
    pub greeting: Option<&'static str>,
    pub backups: Backups,
}

/// The certificate that phones are asked to trust.
#[derive(Clone)]
pub struct AuthorityCertificate {
    /// DER.
    pub der: Vec<u8>,
    /// SHA-256 as shown to people.
    pub fingerprint: String,
}

/// Clones share the room.
#[derive(Clone)]
pub struct House(Rc<HouseParts>, Rc<Ports>);

/// The real ports, known once the door is open.
#[derive(Default)]
struct Ports {
    http: Cell<Option<u16>>,
    https: Cell<Option<u16>>,
}

impl House {
    pub fn start(parts: HouseParts) -> House {
        House(Rc::new(parts), Rc::default())
    }

    /// Told by the wiring once the listeners are bound.
    pub fn answers_on(&self, http: Option<u16>, https: Option<u16>) {
        self.1.http.set(http);
        self.1.https.set(https);
    }

    pub fn routes(&self, router: &mut Router) {
        pages::routes(router, self);
        trust::routes(router, self);
        settings::api::routes(router, &self.0.settings);
        backup::api::routes(router, &self.0.backups);
        let mut add = |method, pattern, access, handler: devices::Handler| {
            let house = self.clone();
            router.route(method, pattern, access, move |request| {
                handler(house.clone(), request)
            })
        };
        let (admin, public) = (Access::Admin, Access::Public);
        let session = devices::boxed(devices::session);
        add(Method::GET, "/api/v1/session", public, session).uncounted();
        let pair = devices::boxed(devices::pair);
        add(Method::POST, "/api/v1/pair", public, pair);
        let show = devices::boxed(devices::show_code);
        add(Method::POST, "/api/v1/pair/code", public, show);
        let list = devices::boxed(devices::list);
        add(Method::GET, "/api/v1/devices", admin, list);
        let token = devices::boxed(devices::make);
        add(Method::POST, "/api/v1/devices", admin, token);
        let code = devices::boxed(devices::new_code);
        add(Method::POST, "/api/v1/devices/code", admin, code);
        let addresses = devices::boxed(devices::addresses);
        add(Method::GET, "/api/v1/addresses", admin, addresses);
        let revoke = devices::boxed(devices::revoke);
        add(Method::DELETE, "/api/v1/devices/{id}", admin, revoke);
    }

    /// Shows how to claim the box, on the console, in the log and at `/setup`; nothing once it
    /// is claimed. Called at the start, and when a person at the page asks for a new code.
    pub fn show_claim_code(&self) -> Result<Option<PairingCode>, ClaimError> {
        let Some(code) = self.0.identity.claim_code()? else {
            self.0.setup.show(None);
            return Ok(None);
        };
        let url = self.pairing_url(&code);
        log::info!(
            "event=claim_code code={} valid_s={} url={url}",
            code.code,
            code.valid_for.as_secs()
        );
        let text = console_text(&code, &url);
        eprintln!("{text}");
        self.0.setup.show(Some(SetupNote {
            text,
            valid_until: Instant::now() + code.valid_for,
        }));
        Ok(Some(code))
    }

    /// What a phone opens to pair: the code is behind `#`, which no browser sends anywhere.
    pub fn pairing_url(&self, code: &PairingCode) -> String {
        format!("{}/#claim={}", self.origin(), code.code)
    }

    /// Where the box answers to others in the house, the best first.
    fn origins(&self) -> Vec<String> {
        let mut all = vec![self.origin()];
        let ports = [("http", &self.1.http), ("https", &self.1.https)];
        for (scheme, port) in ports.map(|(scheme, port)| (scheme, port.get())) {
            let name = port.map(|port| format!("{scheme}://{}.local:{port}", self.0.label));
            all.extend(name.filter(|url| !all.contains(url)));
        }
        all
    }

    /// The best address that a phone in the house can reach.
    fn origin(&self) -> String {
        let (scheme, port) = match (self.1.http.get(), self.1.https.get()) {
            (Some(port), _) => ("http", port),
            (None, port) => ("https", port.unwrap_or_default()),
        };
        match best_address(&interfaces::own_addresses()) {
            Some(IpAddr::V6(address)) => format!("{scheme}://[{address}]:{port}"),
            Some(IpAddr::V4(address)) => format!("{scheme}://{address}:{port}"),
            None => format!("{scheme}://localhost:{port}"),
        }
    }
}

fn console_text(code: &PairingCode, url: &str) -> String {
    let (first, second) = code.code.split_at(3);
    let picture = qr::terminal(url).unwrap_or_default();
    format!(
        "\nThis box belongs to nobody yet. Open {url} on a phone, or type the code\n\n    \
         {first} {second}\n\nthere within {} s.\n\n{picture}",
        code.valid_for.as_secs()
    )
}

/// Private IPv4 before any other IPv4 before unique-local IPv6; never loopback or link-local.
fn best_address(own: &[IpAddr]) -> Option<IpAddr> {
    let rank = |address: &IpAddr| match address {
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() => None,
        // Container bridges commonly take 172.17 and are no way in from the house.
        IpAddr::V4(v4) if v4.octets()[..2] == [172, 17] => Some(2),
        IpAddr::V4(v4) if v4.is_private() => Some(0),
        IpAddr::V4(_) => Some(1),
        IpAddr::V6(v6) if v6.is_unique_local() => Some(3),
        IpAddr::V6(_) => None,
    };
    own.iter()
        .filter_map(|address| Some((rank(address)?, *address)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, address)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_shown_is_one_that_the_house_can_reach() {
        for (own, expected) in [
            (&["127.0.0.1", "::1"][..], None),
            (
                &["127.0.0.1", "172.17.0.1", "192.168.1.9"],
                Some("192.168.1.9"),
            ),
            (&["203.0.113.5", "10.0.0.4"], Some("10.0.0.4")),
            (&["fe80::1", "fd00::2"], Some("fd00::2")),
            (&["169.254.3.4"], None),
        ] {
            let own: Vec<IpAddr> = own
                .iter()
                .map(|text| text.parse().expect("an address"))
                .collect();
            let best = best_address(&own).map(|address| address.to_string());
            assert_eq!(best.as_deref(), expected, "{own:?}");
        }
    }
}
