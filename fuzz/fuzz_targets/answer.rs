//! What a model answers when it is asked for strict JSON: refused, or within every bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::voice::organize::check_answer;

fuzz_target!(|answer: &str| check_answer(answer));
