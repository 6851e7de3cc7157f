//! The box with providers of the network, stood in for by the strict double: what it sends, what
//! comes out of the speaker, and what happens when they fail.

#[path = "../support/alsa.rs"]
mod alsa;
mod backlog;
mod cut;
mod double;
mod failing;
mod files;
#[path = "../support/gpio.rs"]
mod gpio;
#[path = "../support/provider/mod.rs"]
mod provider;
mod rig;
#[path = "../sound/signal.rs"]
#[allow(dead_code)]
mod signal;
mod spoken;
#[path = "../support/mod.rs"]
mod support;

use support::machine;
