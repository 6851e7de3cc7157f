//! Recordings that nothing loses: uploads, outages, long memos, killed processes, a full card.
//!
//! The real program with a recogniser of a few lines of shell, which can be told to be away.

#[path = "../support/alsa.rs"]
mod alsa;
#[path = "../support/provider/mod.rs"]
mod provider;
#[path = "../sound/signal.rs"]
#[allow(dead_code)]
mod signal;
#[path = "../providers/rig.rs"]
#[allow(dead_code)]
mod socket;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod card;
mod forgetting;
mod forms;
mod live;
mod memos;
mod outages;
mod rig;
mod terminal;
mod told;
mod uploads;

use support::machine;
