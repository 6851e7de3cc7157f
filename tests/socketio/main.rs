//! Socket.IO over real sockets: a real server, and independent peers that speak the protocols by
//! hand, after their published documents.

mod binary;
mod engine_suite;
mod hall;
mod hostile;
mod npm;
mod peer;
mod polling;
mod socketio_suite;
mod upgrade;
mod websocket;

use std::time::Duration;

/// Only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the server is.
const PATH: &str = "/v1/updates/";
