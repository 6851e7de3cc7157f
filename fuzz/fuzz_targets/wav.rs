//! WAV from strangers: bounded memory, no panic, and what we write we read.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use magpie::audio::wav;

fuzz_target!(|data: &[u8]| {
    let limit = Duration::from_secs(60);
    if let Ok(speech) = wav::decode_speech(data, limit) {
        assert!(speech.len() <= 61 * 16_000);
        let again = wav::decode_speech(&wav::encode(&speech, 16_000), limit);
        assert_eq!(again.ok().as_deref(), Some(&speech[..]));
    }
    let _ = wav::repaired_header(data, data.len() as u64);
});
