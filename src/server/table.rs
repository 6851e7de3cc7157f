//! Every open connection, counted by phase and by address, and the rules of crowding.
//!
//! Counting is done before a task is spawned. Upgraded sockets are counted but not listed:
//! their own task keeps their limits.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::rc::Rc;

use super::connection::{Connection, ConnectionGuard, Phase};
use super::events::ServedStream;
use super::guard::Networks;
use super::rate::Bucket;
use super::{Peer, ServerLimits, socket};
use crate::clock::{Clock, MonoMillis};
use crate::limits;
use crate::ops::{Counter, Gauge, Registry};

pub struct Table {
    clock: Clock,
    pub limits: ServerLimits,
    exempt: Networks,
    slots: RefCell<Vec<Option<Rc<Connection>>>>,
    free: RefCell<Vec<usize>>,
    phases: [Cell<usize>; Phase::COUNT],
    /// Most that were open at once since [`Table::take_peak`].
    peak: Cell<usize>,
    upgraded_tls: Cell<usize>,
    addresses: RefCell<HashMap<IpAddr, AddressCount>>,
    pub(super) streams: RefCell<Vec<ServedStream>>,
    refusing: Cell<usize>,
    gauges: Gauges,
}

struct AddressCount {
    connections: usize,
    heads: usize,
    new: Bucket,
}

struct Gauges {
    http: Gauge,
    streams: Gauge,
    sockets: Gauge,
    sockets_tls: Gauge,
    refused: Counter,
    swept: Counter,
}

/// What becomes of a connection just accepted.
pub(super) enum Admission {
    Welcome(ConnectionGuard),
    /// Say 503 and close.
    Full,
    /// Close without a word.
    Unwelcome,
}

impl Table {
    pub(super) fn new(
        clock: Clock,
        limits: ServerLimits,
        exempt: Networks,
        metrics: &Registry,
    ) -> Table {
        let open = |kind| {
            metrics.gauge(
                "magpie_connections",
                "Open connections by kind.",
                &[("kind", kind)],
            )
        };
        Table {
            clock,
            limits,
            exempt,
            slots: RefCell::default(),
            free: RefCell::default(),
            phases: Default::default(),
            peak: Cell::new(0),
            upgraded_tls: Cell::new(0),
            addresses: RefCell::default(),
            streams: RefCell::default(),
            refusing: Cell::new(0),
            gauges: Gauges {
                http: open("http"),
                streams: open("event_stream"),
                sockets: open("websocket"),
                sockets_tls: open("websocket_tls"),
                refused: metrics.counter(
                    "magpie_connections_refused_total",
                    "Connections refused because a bound was reached.",
                    &[],
                ),
                swept: metrics.counter(
                    "magpie_connections_swept_total",
                    "Connections closed because they were over a time limit or crowded out.",
                    &[],
                ),
            },
        }
    }

    pub fn now(&self) -> MonoMillis {
        self.clock.mono()
    }

    /// Counts a new connection and makes room for it where it can.
    pub(super) fn admit(self: &Rc<Self>, peer: Peer, fd: RawFd) -> Admission {
        let address = peer.address.ip();
        if !self.address_may_connect(address) {
            self.gauges.refused.inc();
            return Admission::Unwelcome;
        }
        if self.http() >= self.limits.http_connections && !self.close_oldest_idle() {
            self.gauges.refused.inc();
            return Admission::Full;
        }
        let phase = if peer.tls {
            Phase::Handshake
        } else {
            Phase::Fresh
        };
        let connection = Rc::new(Connection::new(self.clone(), peer, fd, phase));
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut slots = self.slots.borrow_mut();
            slots.push(None);
            slots.len() - 1
        });
        self.slots.borrow_mut()[index] = Some(connection.clone());
        connection.slot().set(Some(index));
        self.count(phase, 1);
        self.peak.set(self.peak.get().max(self.open()));
        if let Some(count) = self.addresses.borrow_mut().get_mut(&address) {
            count.connections += 1;
        }
        self.publish();
        Admission::Welcome(ConnectionGuard(connection))
    }

    pub(super) fn remove(&self, connection: &Rc<Connection>) {
        self.unlist(connection);
        let phase = connection.phase();
        self.uncount(connection, phase);
        let mut addresses = self.addresses.borrow_mut();
        if let Some(count) = addresses.get_mut(&connection.peer.address.ip()) {
            count.connections = count.connections.saturating_sub(1);
            if phase == Phase::Head {
                count.heads = count.heads.saturating_sub(1);
            }
        }
        drop(addresses);
        self.publish();
    }

    /// Keeps the counts and the crowding rules when a connection changes its phase.
    pub(super) fn moved(&self, connection: &Rc<Connection>, from: Phase, to: Phase) {
        self.uncount(connection, from);
        self.count(to, 1);
        if to == Phase::Upgraded {
            self.unlist(connection);
            if connection.peer.tls {
                self.upgraded_tls.set(self.upgraded_tls.get() + 1);
            }
        }
        let heads_of_address = self.count_heads(connection, from, to);
        if to == Phase::Head {
            if heads_of_address > self.limits.address_unfinished_heads {
                self.close(connection);
            } else if self.phase(Phase::Head) > self.limits.unfinished_heads {
                self.close_longest_waiting(Phase::Head);
            }
        }
        if to == Phase::Body && self.phase(Phase::Body) > self.limits.unfinished_bodies {
            self.close_longest_waiting(Phase::Body);
        }
        self.publish();
    }

    /// Ends a connection from outside its task, which notices by its socket.
    pub(super) fn close(&self, connection: &Rc<Connection>) {
        if connection.phase() == Phase::Closing {
            return;
        }
        self.gauges.swept.inc();
        connection.enter(Phase::Closing);
        socket::shutdown(connection.fd());
    }

    /// Ends a connection whose client takes no bytes: the kernel's buffers go at once.
    pub(super) fn reset(&self, connection: &Rc<Connection>) {
        socket::reset_on_close(connection.fd());
        self.close(connection);
    }

    /// Closes the longest idle connection; `false` when none is idle.
    pub(super) fn close_oldest_idle(&self) -> bool {
        let idle = |phase| matches!(phase, Phase::Idle | Phase::Fresh);
        self.close_longest(idle)
    }

    fn close_longest_waiting(&self, wanted: Phase) -> bool {
        self.close_longest(|phase| phase == wanted)
    }

    fn close_longest(&self, wanted: impl Fn(Phase) -> bool) -> bool {
        let oldest = self
            .slots
            .borrow()
            .iter()
            .flatten()
            .filter(|connection| wanted(connection.phase()))
            .min_by_key(|connection| match connection.phase() {
                // A dribbled head makes progress: its age counts, not its last byte.
                Phase::Head => connection.since.get(),
                _ => connection.progress.get(),
            })
            .cloned();
        match oldest {
            Some(connection) => {
                self.close(&connection);
                true
            }
            None => false,
        }
    }

    /// The listed connections, for the sweeper.
    pub(super) fn listed(&self) -> Vec<Rc<Connection>> {
        self.slots.borrow().iter().flatten().cloned().collect()
    }

    /// Forgets addresses that hold nothing and have their full allowance again.
    pub(super) fn forget_addresses(&self) {
        let now = self.now();
        self.addresses.borrow_mut().retain(|_, count| {
            count.connections > 0
                || !count.new.is_full(
                    now,
                    limits::ADDRESS_NEW_PER_S as f64,
                    limits::ADDRESS_NEW_BURST,
                )
        });
    }

    /// Whether one more realtime socket may be opened.
    pub(super) fn has_room_for_socket(&self, tls: bool) -> bool {
        self.phase(Phase::Upgraded) < self.limits.realtime_sockets
            && (!tls || self.upgraded_tls.get() < self.limits.realtime_sockets_tls)
    }

    pub(super) fn has_room_for_stream(&self) -> bool {
        self.phase(Phase::Streaming) < self.limits.event_streams
    }

    /// Plain HTTP connections.
    pub fn http(&self) -> usize {
        let apart = [Phase::Streaming, Phase::Upgraded, Phase::Closing];
        let all: usize = self.phases.iter().map(Cell::get).sum();
        all - apart.iter().map(|phase| self.phase(*phase)).sum::<usize>()
    }

    /// All that is open, of any kind.
    pub fn open(&self) -> usize {
        self.phases.iter().map(Cell::get).sum()
    }

    /// The most that were open at once since the last call.
    pub(super) fn take_peak(&self) -> usize {
        self.peak.replace(self.open())
    }

    pub fn phase(&self, phase: Phase) -> usize {
        self.phases[phase as usize].get()
    }

    /// Whether one more connection may be told 503 before it is closed.
    pub(super) fn begin_refusal(self: &Rc<Self>) -> Option<Refusal> {
        const REFUSALS_AT_ONCE: usize = 64;
        if self.refusing.get() >= REFUSALS_AT_ONCE {
            return None;
        }
        self.refusing.set(self.refusing.get() + 1);
        Some(Refusal(self.clone()))
    }

    fn address_may_connect(&self, address: IpAddr) -> bool {
        if address.to_canonical().is_loopback() || self.exempt.contain(address) {
            return true;
        }
        let now = self.now();
        let mut addresses = self.addresses.borrow_mut();
        if addresses.len() >= limits::RATE_KEYS_MAX && !addresses.contains_key(&address) {
            // Each entry left by `forget_addresses` holds a connection or came just now.
            return false;
        }
        let count = addresses.entry(address).or_insert_with(|| AddressCount {
            connections: 0,
            heads: 0,
            new: Bucket::full(now, limits::ADDRESS_NEW_BURST),
        });
        count.connections < self.limits.address_connections
            && count
                .new
                .take(
                    now,
                    f64::from(limits::ADDRESS_NEW_PER_S),
                    limits::ADDRESS_NEW_BURST,
                )
                .is_ok()
    }

    fn count_heads(&self, connection: &Connection, from: Phase, to: Phase) -> usize {
        let mut addresses = self.addresses.borrow_mut();
        let Some(count) = addresses.get_mut(&connection.peer.address.ip()) else {
            return 0;
        };
        if from == Phase::Head {
            count.heads = count.heads.saturating_sub(1);
        }
        if to == Phase::Head {
            count.heads += 1;
        }
        count.heads
    }

    fn unlist(&self, connection: &Connection) {
        if let Some(index) = connection.slot().take() {
            self.slots.borrow_mut()[index] = None;
            self.free.borrow_mut().push(index);
        }
    }

    fn count(&self, phase: Phase, by: usize) {
        let cell = &self.phases[phase as usize];
        cell.set(cell.get() + by);
    }

    fn uncount(&self, connection: &Connection, phase: Phase) {
        let cell = &self.phases[phase as usize];
        cell.set(cell.get().saturating_sub(1));
        if phase == Phase::Upgraded && connection.peer.tls {
            self.upgraded_tls
                .set(self.upgraded_tls.get().saturating_sub(1));
        }
    }

    fn publish(&self) {
        let sockets = self.phase(Phase::Upgraded);
        let tls = self.upgraded_tls.get();
        self.gauges.http.set(self.http() as i64);
        self.gauges.streams.set(self.phase(Phase::Streaming) as i64);
        self.gauges.sockets.set((sockets - tls) as i64);
        self.gauges.sockets_tls.set(tls as i64);
    }
}

/// One connection that is being told 503.
pub(super) struct Refusal(Rc<Table>);

impl Drop for Refusal {
    fn drop(&mut self) {
        self.0.refusing.set(self.0.refusing.get() - 1);
    }
}
