//! Sound in and out: devices, rings, resampling, voice activity, WAV.
//!
//! The loop sees 16 kHz mono samples come and go; cards, rates and callbacks stay in here.

/// Rate of all speech inside the box.
pub const SPEECH_RATE_HZ: u32 = 16_000;
