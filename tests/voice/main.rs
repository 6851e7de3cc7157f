//! The voice room as its clients meet it: `/ws` in its dialects, the device over HTTP, and a
//! spoken conversation on the card of files.

#[path = "../support/alsa.rs"]
mod alsa;
mod client;
mod device;
mod dialects;
mod hardware;
mod house;
#[path = "../support/machine.rs"]
mod machine;
mod satellite;
#[path = "../sound/signal.rs"]
#[allow(dead_code)]
mod signal;
mod speaker;
mod spoken;
mod timers;
mod wake;
