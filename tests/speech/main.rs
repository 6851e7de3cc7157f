//! Speech over HTTP and `/ws` in every format and dialect, against the running program with the
//! engines of this machine, called by curl as people do.

#[path = "../support/alsa.rs"]
mod alsa;
#[path = "../support/mod.rs"]
mod support;

mod caller;
mod native;
mod older;
mod transcribe;

use support::machine;
