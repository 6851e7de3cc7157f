//! `magpie.txt` as people leave it: each value lies where it says, and other lines are told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::device::first_boot::read_lines;

fuzz_target!(|file: &[u8]| {
    for entry in read_lines(file).entries {
        let place = std::str::from_utf8(&file[entry.place.clone()]).unwrap();
        assert!(place.contains(&entry.value));
    }
});
