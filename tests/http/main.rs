//! The front door over real sockets: a server of the library in a thread of its own, and
//! clients that write bytes.

mod bad_input;
mod basics;
mod crowds;
mod doors;
mod files;
mod house;
#[path = "../support/machine.rs"]
mod machine;
mod secure;
mod slow;
