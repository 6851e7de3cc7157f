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
            let mut prefixes = row.table.prefixes.iter();
            let is_date = prefixes.len() == 0;
            assert!(is_date || prefixes.any(|prefix| row.id.starts_with(prefix)));
            assert!(row.row.values().all(|value| value.as_str() != Some("\0")));
        }
    }
});
