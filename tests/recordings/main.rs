//! Recordings that nothing loses: uploads, outages, long memos, killed processes, a full card.
//!
//! The real program with a recogniser of a few lines of shell, which can be told to be away.

#[path = "../support/mod.rs"]
mod support;

mod forgetting;
mod memos;
mod outages;
mod rig;
mod terminal;
mod uploads;
