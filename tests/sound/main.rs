//! Sound through the real cpal and the real ALSA, over a paced card made of files.

#[path = "../support/alsa.rs"]
mod alsa;
mod signal;

#[cfg(feature = "audio")]
mod card;
