//! Whether the internet can be reached, as far as that is known without asking needlessly.
//!
//! It is down when the machine has no default route, or when calls found no way twice in a row.
//! While it is down the providers that need it are passed over; a small call without any key looks
//! whether it is back, at first every few seconds.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use http::{HeaderMap, Method};
use tokio::sync::watch;

use super::EngineError;
use crate::limits::{NETWORK_PROBE_INTERVAL, NETWORK_PROBE_INTERVAL_MAX};
use crate::outbound::{CallLimits, CallRequest, Outbound};

/// Calls in a row that found no way.
const UNREACHABLE_MAX: u8 = 2;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkState {
    #[default]
    Online,
    /// There, and the last call to a provider failed.
    Degraded,
    Offline,
}

impl NetworkState {
    pub fn name(self) -> &'static str {
        match self {
            NetworkState::Online => "online",
            NetworkState::Degraded => "degraded",
            NetworkState::Offline => "offline",
        }
    }
}

/// What is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Facts {
    unrouted: bool,
    unreachable: u8,
    failing: bool,
}

impl Facts {
    fn state(self) -> NetworkState {
        if self.unrouted || self.unreachable >= UNREACHABLE_MAX {
            NetworkState::Offline
        } else if self.failing {
            NetworkState::Degraded
        } else {
            NetworkState::Online
        }
    }
}

/// Clones share one.
#[derive(Clone)]
pub struct Network(Rc<Inner>);

struct Inner {
    facts: Cell<Facts>,
    state: watch::Sender<NetworkState>,
    /// How often something that was away came back.
    returns: watch::Sender<u64>,
    /// Asked whether the network is back; empty: nothing needs it.
    hosts: RefCell<Vec<String>>,
}

impl Default for Network {
    fn default() -> Network {
        Network(Rc::new(Inner {
            facts: Cell::default(),
            state: watch::Sender::new(NetworkState::Online),
            returns: watch::Sender::new(0),
            hosts: RefCell::default(),
        }))
    }
}

impl Network {
    /// Looks after itself from now on, until the last clone is gone.
    pub fn start(outbound: &Outbound) -> Network {
        let network = Network::default();
        let watching = look_after(Rc::downgrade(&network.0), outbound.clone());
        tokio::task::spawn_local(watching);
        network
    }

    pub fn state(&self) -> NetworkState {
        self.0.facts.get().state()
    }

    pub fn is_down(&self) -> bool {
        self.state() == NetworkState::Offline
    }

    /// Where the providers are that need the network; the old ones are forgotten.
    pub fn needed_by(&self, base_urls: Vec<String>) {
        self.0.hosts.replace(base_urls);
    }

    /// Whether anything that is set up needs the network.
    pub fn is_needed(&self) -> bool {
        !self.0.hosts.borrow().is_empty()
    }

    pub fn changes(&self) -> watch::Receiver<NetworkState> {
        self.0.state.subscribe()
    }

    /// Counts up when the network or a provider is back: what waits is worth another try.
    pub fn returns(&self) -> watch::Receiver<u64> {
        self.0.returns.subscribe()
    }

    pub fn returned(&self) -> u64 {
        *self.0.returns.borrow()
    }

    /// A provider that failed the last time answered.
    pub fn note_return(&self) {
        self.0.returns.send_modify(|count| *count += 1);
    }

    /// A call to a provider out there ended.
    pub fn note(&self, result: Result<(), &EngineError>) {
        self.change(|facts| match result {
            Ok(()) => {
                facts.unreachable = 0;
                facts.failing = false;
            }
            Err(EngineError::Unreachable(_)) => {
                facts.unreachable = facts.unreachable.saturating_add(1);
                facts.failing = true;
            }
            Err(EngineError::Broken(_) | EngineError::Limited { .. } | EngineError::Timeout(_)) => {
                facts.failing = true
            }
            Err(_) => {}
        });
    }

    fn change(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.0.facts.get();
        let was_down = facts.state() == NetworkState::Offline;
        change(&mut facts);
        self.0.facts.set(facts);
        let state = facts.state();
        let changed = self.0.state.send_if_modified(|told| {
            let changed = *told != state;
            *told = state;
            changed
        });
        if changed {
            log::info!("event=network state={}", state.name());
        }
        if was_down && state != NetworkState::Offline {
            self.note_return();
        }
    }
}

async fn look_after(network: Weak<Inner>, outbound: Outbound) {
    let mut wait = NETWORK_PROBE_INTERVAL;
    loop {
        tokio::time::sleep(wait).await;
        let Some(network) = network.upgrade().map(Network) else {
            return;
        };
        let host = network.0.hosts.borrow().first().cloned();
        let Some(host) = host else {
            continue;
        };
        let unrouted = !has_route();
        network.change(|facts| facts.unrouted = unrouted);
        if unrouted || !network.is_down() {
            wait = NETWORK_PROBE_INTERVAL;
            continue;
        }
        if outbound.call(probe(host)).await.is_ok() {
            network.change(|facts| facts.unreachable = 0);
            wait = NETWORK_PROBE_INTERVAL;
        } else {
            wait = (wait * 2).min(NETWORK_PROBE_INTERVAL_MAX);
        }
    }
}

/// Any answer at all says that the network is there.
fn probe(url: String) -> CallRequest {
    CallRequest {
        method: Method::HEAD,
        url,
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        limits: CallLimits {
            first_byte: Duration::from_secs(10),
            total: Duration::from_secs(20),
            ..CallLimits::default()
        },
    }
}

/// Where the kernel tells no routes there may be one.
fn has_route() -> bool {
    let v4 = std::fs::read_to_string("/proc/net/route");
    let v6 = std::fs::read_to_string("/proc/net/ipv6_route");
    match (v4, v6) {
        (Err(_), Err(_)) => true,
        (v4, v6) => routes_v4(&v4.unwrap_or_default()) || routes_v6(&v6.unwrap_or_default()),
    }
}

/// A default route that is up, of an interface that is no loopback.
fn routes_v4(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields[..], [interface, "00000000", _, flags, ..]
            if interface != "lo" && u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 != 0))
    })
}

fn routes_v6(table: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.len() >= 10
            && fields[1] == "00"
            && fields[0].bytes().all(|b| b == b'0')
            && fields[9] != "lo"
    })
}

/// Whether a server is reached without the internet: this machine, or one in the same house.
pub fn is_near(base_url: &str) -> bool {
    let Some(host) = base_url
        .parse::<http::Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_ascii_lowercase))
    else {
        return false;
    };
    let host = host.trim_matches(['[', ']']);
    match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(std::net::IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        Err(_) => host == "localhost" || host.ends_with(".local") || !host.contains('.'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_calls_without_a_way_mean_that_the_network_is_down() {
        let network = Network::default();
        let lost = EngineError::Unreachable(String::from("no route"));
        network.note(Err(&lost));
        assert_eq!(network.state(), NetworkState::Degraded);
        network.note(Err(&lost));
        assert!(network.is_down());
        network.note(Ok(()));
        assert_eq!(network.state(), NetworkState::Online);
        network.note(Err(&EngineError::Broken(String::from("500"))));
        assert_eq!(network.state(), NetworkState::Degraded);
        network.note(Err(&EngineError::Rejected(String::from("400"))));
        assert_eq!(network.state(), NetworkState::Degraded);
    }

    #[test]
    fn a_default_route_is_found_in_both_tables() {
        let head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n";
        let usual = format!("{head}eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\n");
        assert!(routes_v4(&usual));
        assert!(!routes_v4(&usual.replace("0003", "0002")), "down");
        assert!(!routes_v4(&format!(
            "{head}eth0\t0000000A\t00000000\t0001\t0\n"
        )));
        let zero = "0".repeat(32);
        let line = |interface: &str| {
            format!("{zero} 00 {zero} 00 {zero} 00000400 00000001 00000000 00200200 {interface}\n")
        };
        assert!(routes_v6(&line("eth0")) && !routes_v6(&line("lo")));
        assert!(!routes_v4("") && !routes_v6("broken"));
    }

    #[test]
    fn servers_of_the_house_need_no_internet() {
        for near in [
            "http://127.0.0.1:9/v1",
            "http://[::1]/v1",
            "http://10.1.2.3",
            "http://whisper.local/v1",
            "http://nas:8000",
        ] {
            assert!(is_near(near), "{near}");
        }
        for far in ["https://api.openai.com/v1", "http://8.8.8.8", "not a url"] {
            assert!(!is_near(far), "{far}");
        }
    }
}
