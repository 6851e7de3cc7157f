//! The front door: sockets, TLS, HTTP, WebSocket and event streams.
//!
//! It owns every accepted connection and its limits, and hands whole requests to the routes of
//! the rooms. It promises that no client can hold memory, a descriptor or the loop beyond the
//! bounds of [`crate::limits`]. It knows no room, reads no state, and never blocks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::limits;
use crate::ops::{Counter, Histogram, Registry};

pub mod authority;
mod body_budget;
mod compress;
pub mod connection;
mod events;
pub mod files;
mod framing;
pub mod guard;
pub mod interfaces;
mod json;
mod listener;
pub mod memory;
pub mod multipart;
pub mod openapi;
pub mod pieces;
pub mod rate;
pub mod request;
pub mod response;
pub mod router;
mod service;
mod socket;
pub mod stream;
mod sweeper;
pub mod table;
pub mod target;
pub mod tls;
pub mod upgrade;
pub mod upload;
pub mod websocket;

pub use crate::scope::current as current_request_id;
pub use guard::{GuardOptions, Networks};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use listener::StartError;
pub use rate::{RateKey, RateLimiter};
pub use request::{Request, RequestHead, parse_json};
pub use response::{Body, EventSender, EventStream, Gone, HttpError, Response};
pub use router::{Access, Asked, ErrorShape, Route, Router};
pub use tls::{Tls, TlsError};

/// Who the gatekeeper says is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub role: Role,
    /// Device id, where the caller has one.
    pub device: Option<Rc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Nobody,
    Device,
    Owner,
}

/// Decides who is calling; handed in by the house, since the door knows no identities.
pub trait Gatekeeper {
    fn identify(&self, head: &RequestHead) -> Caller;
}

/// What a listener saw of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// Our end of it.
    pub local: SocketAddr,
    /// For a request also by the word of a trusted proxy.
    pub tls: bool,
}

pub struct ServerOptions {
    /// `None`: no plain listener. Port 0 picks a free one.
    pub http: Option<SocketAddr>,
    /// `None`: no TLS listener; wants `tls`.
    pub https: Option<SocketAddr>,
    pub tls: Option<tls::Tls>,
    pub guard: GuardOptions,
    /// Calls a minute per client; 0 for no limit.
    pub rate_per_minute: u32,
    pub limits: ServerLimits,
    pub clock: Clock,
    pub metrics: Registry,
}

impl ServerOptions {
    pub fn new(clock: Clock, metrics: Registry) -> ServerOptions {
        ServerOptions {
            http: None,
            https: None,
            tls: None,
            guard: GuardOptions::default(),
            rate_per_minute: 0,
            limits: ServerLimits::default(),
            clock,
            metrics,
        }
    }
}

/// The bounds of [`crate::limits`] that tests shorten.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    pub sweep: Duration,
    pub head: Duration,
    pub tls_handshake: Duration,
    pub idle: Duration,
    pub idle_crowded: Duration,
    pub body_gap: Duration,
    pub write_stall: Duration,
    pub heartbeat: Duration,
    pub shutdown_streams: Duration,
    pub http_connections: usize,
    pub unfinished_heads: usize,
    pub unfinished_bodies: usize,
    pub address_connections: usize,
    pub address_unfinished_heads: usize,
    pub event_streams: usize,
    pub realtime_sockets: usize,
    pub realtime_sockets_tls: usize,
}

impl Default for ServerLimits {
    fn default() -> ServerLimits {
        ServerLimits {
            sweep: limits::SWEEP_INTERVAL,
            head: limits::HEAD_TIMEOUT,
            tls_handshake: limits::TLS_HANDSHAKE_TIMEOUT,
            idle: limits::KEEP_ALIVE_IDLE,
            idle_crowded: limits::KEEP_ALIVE_IDLE_CROWDED,
            body_gap: limits::BODY_GAP_TIMEOUT,
            write_stall: limits::WRITE_STALL_TIMEOUT,
            heartbeat: limits::SSE_HEARTBEAT,
            shutdown_streams: limits::SHUTDOWN_STREAMS,
            http_connections: limits::HTTP_CONNECTIONS_MAX,
            unfinished_heads: limits::UNFINISHED_HEADS_MAX,
            unfinished_bodies: limits::UNFINISHED_BODIES_MAX,
            address_connections: limits::ADDRESS_CONNECTIONS_MAX,
            address_unfinished_heads: limits::ADDRESS_UNFINISHED_HEADS_MAX,
            event_streams: limits::EVENT_STREAMS_MAX,
            realtime_sockets: interfaces::realtime_sockets_max(),
            realtime_sockets_tls: limits::REALTIME_SOCKETS_TLS_MAX,
        }
    }
}

/// The open door. Clones share it.
#[derive(Clone)]
pub struct Server(Rc<Shared>);

type Series = HashMap<(&'static str, &'static str), (Counter, Histogram)>;

/// What every connection needs.
pub(super) struct Shared {
    router: Router,
    gatekeeper: Rc<dyn Gatekeeper>,
    guard: guard::Guard,
    rate: RateLimiter,
    table: Rc<table::Table>,
    bodies: Rc<body_budget::BodyBudget>,
    tls: Option<tls::Tls>,
    clock: Clock,
    metrics: Registry,
    series: RefCell<Series>,
    trimmer: RefCell<memory::Trimmer>,
    listeners: RefCell<Vec<listener::Listener>>,
    addresses: Cell<(Option<SocketAddr>, Option<SocketAddr>)>,
    draining: Cell<bool>,
    drain: Notify,
}

impl Server {
    /// Binds the listeners; nobody is answered before [`Server::start`].
    pub fn bind(
        options: ServerOptions,
        router: Router,
        gatekeeper: Rc<dyn Gatekeeper>,
    ) -> Result<Server, StartError> {
        let (listeners, http, https) = listener::bind(&options)?;
        let table = table::Table::new(
            options.clock.clone(),
            options.limits,
            options.guard.trusted_proxies.clone(),
            &options.metrics,
        );
        let shared = Rc::new(Shared {
            router,
            gatekeeper,
            guard: guard::Guard::new(options.guard),
            rate: RateLimiter::new(options.clock.clone(), options.rate_per_minute),
            table: Rc::new(table),
            bodies: Rc::new(body_budget::BodyBudget::new(
                limits::BODIES_BUFFERED_BYTES_MAX,
            )),
            tls: options.tls,
            clock: options.clock,
            metrics: options.metrics,
            series: RefCell::default(),
            trimmer: RefCell::default(),
            listeners: RefCell::new(listeners),
            addresses: Cell::new((http, https)),
            draining: Cell::new(false),
            drain: Notify::new(),
        });
        shared.refresh_addresses();
        Ok(Server(shared))
    }

    /// Accepts from now on; the work runs on the current `LocalSet`.
    pub fn start(&self) {
        for listener in self.0.listeners.take() {
            tokio::task::spawn_local(listener::run(self.0.clone(), listener));
        }
        tokio::task::spawn_local(sweeper::run(self.0.clone()));
    }

    /// Where plain HTTP is answered, with the real port.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.0.addresses.get().0
    }

    pub fn https_address(&self) -> Option<SocketAddr> {
        self.0.addresses.get().1
    }

    /// The limiter of routes, for turns that come over a socket.
    pub fn rate(&self) -> RateLimiter {
        self.0.rate.clone()
    }

    /// New names, origins and proxies, after a reload of the settings.
    pub fn set_guard(&self, options: GuardOptions) {
        self.0.guard.set_options(options);
    }

    pub fn routes(&self) -> Vec<Route> {
        self.0.router.routes()
    }

    /// Counts of what is open, for statistics and tests.
    pub fn table(&self) -> Rc<table::Table> {
        self.0.table.clone()
    }

    /// Bytes of request bodies held in memory right now.
    pub fn bodies_buffered(&self) -> usize {
        self.0.bodies.taken()
    }

    /// Stops accepting, lets what runs finish, and returns when all connections are closed or
    /// their time is over.
    pub async fn shutdown(&self) {
        let shared = &self.0;
        shared.draining.set(true);
        shared.drain.notify_waiters();
        websocket::close_all();
        self.end_streams(|stream| stream.endless);
        while shared.table.close_oldest_idle() {}
        let deadline = tokio::time::Instant::now() + shared.table.limits.shutdown_streams;
        while shared.table.open() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.end_streams(|_| true);
        // A last moment for the last words to leave.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
        while shared.table.open() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn end_streams(&self, which: impl Fn(&events::ServedStream) -> bool) {
        for stream in self.0.table.streams.borrow().iter() {
            if !which(stream) {
                continue;
            }
            let last = if stream.endless {
                // Spread, so that a house full of pages does not return in one moment.
                let retry_ms = 1_000 + getrandom::u32().unwrap_or(0) % 4_000;
                format!("retry: {retry_ms}\n\n")
            } else {
                String::from(
                    "event: error\ndata: {\"code\":\"SHUTTING_DOWN\",\"message\":\"The box is restarting; ask again in a moment.\"}\n\n",
                )
            };
            stream.finish(last.into());
        }
    }
}

impl Shared {
    fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Resolves once the door is closing.
    async fn draining(&self) {
        let notified = self.drain.notified();
        if !self.is_draining() {
            notified.await;
        }
    }

    fn refresh_addresses(&self) {
        let (http, https) = self.addresses.get();
        let ports = [http, https]
            .iter()
            .flatten()
            .map(SocketAddr::port)
            .collect();
        let own: Vec<IpAddr> = interfaces::own_addresses();
        if let Some(tls) = &self.tls {
            tls.refresh(&own, self.clock.wall());
        }
        self.guard.set_own(own, ports);
    }
}
