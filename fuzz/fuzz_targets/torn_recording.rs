//! A torn recording: whatever is left of its start and however long it is, the repair gives a
//! header that fits and needs no other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::audio::wav;
use magpie::voice::recordings::repair::{Repair, repair_of};

fuzz_target!(|data: &[u8]| {
    let Some((more, start)) = data.split_first_chunk::<4>() else {
        return;
    };
    let bytes = start.len() as u64 + u64::from(u32::from_le_bytes(*more));
    if let Repair::Header(header) = repair_of(start, bytes) {
        assert_eq!(repair_of(&header, bytes), Repair::Whole);
        assert!(bytes >= wav::HEADER_BYTES as u64 + 2);
    }
});
