//! Streams of language models: how the bytes are cut changes nothing, and none break a reader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::voice::providers::llm::{read_anthropic, read_openai};

fuzz_target!(|bytes: &[u8]| {
    let mut told = String::new();
    let whole = read_anthropic(std::iter::once(bytes), &mut |text| told.push_str(text));
    let mut again = String::new();
    let single = read_anthropic(bytes.chunks(1), &mut |text| again.push_str(text));
    assert_eq!((told, whole), (again, single));

    let mut told = String::new();
    let whole = read_openai(std::iter::once(bytes), &mut |text| told.push_str(text));
    let mut again = String::new();
    let single = read_openai(bytes.chunks(1), &mut |text| again.push_str(text));
    assert_eq!((told, whole), (again, single));
});
