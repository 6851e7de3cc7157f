//! A zip of an account, from anybody.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use magpie::happy::archive::unpack::Zip;

fuzz_target!(|data: &[u8]| {
    let Ok(zip) = Zip::open(data) else { return };
    for entry in zip.entries() {
        let Ok(entry) = entry else { return };
        let mut content = Vec::new();
        let limit = entry.bytes.min(1 << 20);
        let _ = zip.content(&entry).take(limit).read_to_end(&mut content);
        assert!(content.len() as u64 <= entry.bytes);
    }
});
