//! How the box is: metrics, health, logs, warnings, the watchdog. It knows no room; rooms
//! register what they have to tell.

pub mod loop_watch;
pub mod metrics;

pub use metrics::{Counter, Gauge, Histogram, Registry};
