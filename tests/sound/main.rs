//! Sound through the real cpal and the real ALSA, over a paced card made of files.

#[path = "../support/alsa.rs"]
mod alsa;
#[path = "../support/machine.rs"]
mod machine;
#[cfg(feature = "audio")]
#[macro_use]
mod rig;
#[cfg(feature = "audio")]
mod card;
#[cfg(feature = "audio")]
mod faults;
mod listening;
#[cfg(feature = "audio")]
mod signal;
