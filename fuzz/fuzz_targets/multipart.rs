//! Forms from strangers: the same parts however the bytes were cut, and bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use magpie::server::multipart::{Event, MultipartError, Parser, boundary_of};

fuzz_target!(|data: &[u8]| {
    let Some((step, body)) = data.split_first() else {
        return;
    };
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = boundary_of(text);
    }
    assert_eq!(parse(body, usize::from(*step) + 1), parse(body, body.len().max(1)));
});

fn parse(body: &[u8], step: usize) -> Result<Vec<(String, Vec<u8>)>, MultipartError> {
    let mut parser = Parser::new("b");
    let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
    let mut pieces = body.chunks(step);
    loop {
        match parser.event()? {
            Event::Part(part) => parts.push((part.name, Vec::new())),
            Event::Data(data) => parts.last_mut().expect("a part").1.extend_from_slice(&data),
            Event::PartEnd => {}
            Event::End => return Ok(parts),
            Event::NeedMore => match pieces.next() {
                Some(piece) => parser.push(piece),
                None => return Err(MultipartError::BreaksOff),
            },
        }
    }
}
