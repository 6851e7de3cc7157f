//! Names into addresses, on a worker: the runtime's own look-up would need its thread pool.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::CallError;
use super::workers::Workers;

/// Addresses may change, and a Pi has better things to keep.
const KEPT: Duration = Duration::from_secs(60);
const NAMES_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Names(RefCell<HashMap<String, (Instant, Vec<IpAddr>)>>);

impl Names {
    /// In the order in which they are to be tried.
    pub(super) async fn resolve(
        &self,
        workers: &Workers,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, CallError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![(address, port).into()]);
        }
        // RFC 6761 section 6.3: this name needs nobody's answer.
        if host.eq_ignore_ascii_case("localhost") {
            let both = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(both.map(|ip: IpAddr| (ip, port).into()).to_vec());
        }
        let found = match self.known(host) {
            Some(found) => found,
            None => {
                let name = host.to_owned();
                let found = workers.run(move || look_up(&name)).await??;
                self.keep(host, found.clone());
                found
            }
        };
        Ok(found.into_iter().map(|ip| (ip, port).into()).collect())
    }

    /// Forgets a host none of whose addresses could be reached.
    pub(super) fn forget(&self, host: &str) {
        self.0.borrow_mut().remove(host);
    }

    fn known(&self, host: &str) -> Option<Vec<IpAddr>> {
        let names = self.0.borrow();
        let (when, found) = names.get(host)?;
        (when.elapsed() < KEPT).then(|| found.clone())
    }

    fn keep(&self, host: &str, found: Vec<IpAddr>) {
        let mut names = self.0.borrow_mut();
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(host.to_owned(), (Instant::now(), found));
    }
}

fn look_up(host: &str) -> Result<Vec<IpAddr>, CallError> {
    let found = (host, 0)
        .to_socket_addrs()
        .map_err(|error| CallError::Connect(format!("{host} is not known: {error}")))?;
    let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    if found.is_empty() {
        return Err(CallError::Connect(format!("{host} has no address")));
    }
    Ok(found)
}
