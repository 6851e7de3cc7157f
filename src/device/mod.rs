//! The box as a device: what the same program does as root on the board that the image runs on.
//!
//! The service itself is unprivileged and only reads what is told here. Whoever writes to the
//! card outside `/data` is a command that runs for a moment, and does no more than its name says.

pub mod autoboot;
pub mod bundle;
pub mod durable;
pub mod first_boot;
pub mod keys;
pub mod machine;
pub mod slots;
pub mod source;
pub mod trial;
pub mod update;
