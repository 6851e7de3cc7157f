//! The voice room as its clients meet it: `/ws` in its dialects, the device over HTTP, and a
//! spoken conversation on the card of files.

#[path = "../support/alsa.rs"]
mod alsa;
mod client;
mod device;
mod dialects;
mod house;
#[cfg(feature = "audio")]
#[path = "../sound/signal.rs"]
#[allow(dead_code, reason = "shared with the tests of sound")]
mod signal;
#[cfg(feature = "audio")]
mod spoken;
