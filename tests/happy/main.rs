//! The Happy sync room of the real program, spoken to as its clients speak.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/alsa.rs"]
mod alsa;

#[path = "../support/expo.rs"]
mod expo;

mod aloud;
mod archive;
mod attachments;
mod client;
mod compared;
mod cut_off;
mod deletion;
mod floods;
mod hostile;
mod http_rules;
mod kept;
mod owner;
mod pairing;
mod parcel;
mod people;
mod phone;
mod published;
mod push;
mod quota;
mod realtime;
mod sign_in;
mod socket;
mod sync;
mod told;

use support::machine;
