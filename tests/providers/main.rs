//! The box with providers of the network, stood in for by the strict double: what it sends, what
//! comes out of the speaker, and what happens when they fail.

mod double;
#[path = "../support/provider/mod.rs"]
mod provider;
