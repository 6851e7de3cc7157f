//! Packets of Engine.IO and Socket.IO: no text makes them panic, and what is read survives writing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::socketio::{engine, packet};

fuzz_target!(|text: &str| {
    let Ok(packets) = engine::parse_payload(text) else {
        return;
    };
    let again = engine::parse_payload(&engine::write_payload(&packets));
    assert_eq!(again.as_ref(), Ok(&packets));
    for message in packets {
        if let engine::Packet::Message(text) = message
            && let Ok(packet) = packet::Packet::parse(&text)
        {
            // Read anew from its own text, it is written as the same text.
            let written = packet.write();
            assert!(packet::Packet::parse(&written).is_ok());
        }
    }
});
