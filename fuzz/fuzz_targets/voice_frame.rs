//! The native dialect of `/ws`: sound frames, commands, and the order of frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::voice::socket::wire::{Order, parse_command, parse_sound_frame};

fuzz_target!(|data: &[u8]| {
    let mut order = Order::new();
    for bytes in data.chunks(24) {
        if let Ok(frame) = parse_sound_frame(bytes) {
            assert!(frame.samples().is_err() || frame.payload.len() % 2 == 0);
            let _ = order.place(frame.seq, 20);
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = parse_command(text);
    }
});
