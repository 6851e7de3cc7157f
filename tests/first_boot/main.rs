//! The appliance's first boot as the units run it: `magpie first-boot` on a folder tree that
//! stands for the machine, and the set-up page over real sockets and in a real Chromium.
//!
//! A radio cannot be here: `iw`, `wpa_supplicant` and `systemctl` are scripts that do with the
//! tree what the programs do with the air.

#[path = "../support/mod.rs"]
mod support;

mod card;
mod radio;
mod set_up;
