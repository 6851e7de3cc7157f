//! The room's rows, one file for each family.

pub mod accounts;
pub mod pairings;
