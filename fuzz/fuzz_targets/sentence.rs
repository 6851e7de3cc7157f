//! The sentence cutter: how an answer is streamed changes nothing of what is spoken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::voice::sentence::Cutter;

fuzz_target!(|text: &str| {
    let whole = cut(std::iter::once(text));
    let mut bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    bounds.push(text.len());
    let single = cut(bounds.windows(2).map(|pair| &text[pair[0]..pair[1]]));
    assert_eq!(whole, single);
});

fn cut<'a>(pieces: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut cutter = Cutter::default();
    let mut sentences = Vec::new();
    for piece in pieces {
        cutter.push(piece, &mut sentences);
    }
    sentences.extend(cutter.finish());
    sentences.into_iter().map(|sentence| format!("{sentence:?}")).collect()
}
