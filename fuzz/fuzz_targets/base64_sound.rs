//! Base64 from strangers: what is taken is what the strict alphabet says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::voice::decode::read_base64;

fuzz_target!(|text: &str| {
    if let Ok(bytes) = read_base64(text.to_string()) {
        let letters = text.chars().filter(|c| !c.is_ascii_whitespace() && *c != '=').count();
        assert_eq!(bytes.len(), letters * 3 / 4);
    }
});
