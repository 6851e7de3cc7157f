//! Magpie: a household's private AI box in one binary.
//!
//! Floors, lowest first; a module may only import from floors below its own
//! (`tests/architecture.rs` holds the rule, `ARCHITECTURE.md` tells the story).

// floor 0: plain facts
pub mod clock;
pub mod config;
pub mod limits;
pub mod scope;

// floor 1, ground: what every room stands on
pub mod audio;
pub mod bus;
pub mod identity;
pub mod ops;
pub mod outbound;
pub mod store;

// floor 1, door: sockets in, sockets out
pub mod server;
pub mod socketio;

// floor 2: the rooms, which never import each other
pub mod device;
pub mod happy;
pub mod house;
pub mod voice;

// floor 3: the wiring and the command line
pub mod app;
pub mod cli;
