//! How the box is: metrics, health, logs, warnings, the watchdog. It knows no room; rooms
//! register what they have to tell.

pub mod disk;
pub mod health;
pub mod listener;
pub mod log;
pub mod loop_watch;
pub mod metrics;
pub mod process;
pub mod watchdog;

pub use health::{Health, Severity, Warning};
pub use listener::{Ops, OpsParts, Setup, SetupNote};
pub use loop_watch::Beat;
pub use metrics::{Counter, Gauge, Histogram, Registry};
pub use process::Process;
pub use watchdog::Notifier;
