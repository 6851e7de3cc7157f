//! A line of an import, from anybody.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::voice::archive::{import::Kind, parse_line};

fuzz_target!(|data: &[u8]| {
    let _ = Kind::sniff(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for (number, line) in text.lines().enumerate() {
        if let Ok(Some(row)) = parse_line(line, number + 1) {
            assert!(row.id.starts_with(row.table.prefix));
            assert!(row.row.values().all(|value| value.as_str() != Some("\0")));
        }
    }
});
