//! The front door over real sockets: a server of the library in a thread of its own, and
//! clients that write bytes.

mod basics;
mod house;
