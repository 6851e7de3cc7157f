//! Search words: nothing a person types reaches FTS5 as an operator.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::voice::index;

fuzz_target!(|text: &str| {
    index::check_query(text);
    let _ = index::indexed(text);
});
