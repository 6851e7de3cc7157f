//! What strangers can send to the set-up page's Wi-Fi: names in the air, forms, questions for names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::device::first_boot::set_up::{Form, answer_name, read_scan};

fuzz_target!(|bytes: &[u8]| {
    let _ = Form::read(bytes);
    for seen in read_scan(&String::from_utf8_lossy(bytes)) {
        assert!(seen.ssid.len() <= 32);
    }
    if let Some(answer) = answer_name(bytes, [10, 77, 0, 1].into()) {
        assert!(answer.len() <= bytes.len() + 16);
    }
});
