//! Idle connections to servers that were called a moment ago.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Instant;

use super::Target;
use super::connect::Connection;
use super::proxy::Proxy;
use crate::limits::{IDLE_UPSTREAM, IDLE_UPSTREAMS_PER_HOST_MAX};

/// Hosts with idle connections; more are not kept.
const HOSTS_MAX: usize = 32;

/// Whose connections may be used for one another.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    secure: bool,
    host: String,
    port: u16,
    proxy: Option<Proxy>,
}

impl Key {
    pub(super) fn new(target: &Target, proxy: Option<&Proxy>) -> Key {
        Key {
            secure: target.secure,
            host: target.host.to_ascii_lowercase(),
            port: target.port,
            proxy: proxy.cloned(),
        }
    }
}

#[derive(Default)]
pub(super) struct Pool(RefCell<HashMap<Key, Vec<(Instant, Connection)>>>);

impl Pool {
    /// The one used last: the likeliest to be still open.
    pub(super) fn take(&self, key: &Key) -> Option<Connection> {
        let mut hosts = self.0.borrow_mut();
        let idle = hosts.get_mut(key)?;
        while let Some((since, connection)) = idle.pop() {
            if since.elapsed() < IDLE_UPSTREAM && connection.sender.is_ready() {
                return Some(connection);
            }
        }
        hosts.remove(key);
        None
    }

    pub(super) fn give_back(&self, key: Key, connection: Connection) {
        let mut hosts = self.0.borrow_mut();
        for idle in hosts.values_mut() {
            idle.retain(|(since, _)| since.elapsed() < IDLE_UPSTREAM);
        }
        hosts.retain(|_, idle| !idle.is_empty());
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(&key) {
            return;
        }
        let idle = hosts.entry(key).or_default();
        if idle.len() >= IDLE_UPSTREAMS_PER_HOST_MAX {
            idle.remove(0);
        }
        idle.push((Instant::now(), connection));
    }
}
