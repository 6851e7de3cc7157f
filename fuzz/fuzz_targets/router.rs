//! Request targets: whatever was sent, a handler sees decoded segments that cannot climb.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::server::target::{parse_path, parse_query};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if let Ok(segments) = parse_path(path) {
        for segment in &segments {
            assert!(segment != "." && segment != "..", "{path:?} climbs");
            assert!(!segment.chars().any(char::is_control), "{path:?}");
        }
        assert!(segments.len() <= path.len());
    }
    if let Ok(pairs) = parse_query(query) {
        assert!(pairs.len() <= query.len() + 1);
    }
});
