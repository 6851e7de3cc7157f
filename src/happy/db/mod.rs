//! The room's rows, one file for each family.

pub mod accounts;
pub mod machines;
pub mod messages;
pub mod pairings;
pub mod sessions;
