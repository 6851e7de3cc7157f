//! The WebSocket parser: no bytes make it panic, and how they are split changes nothing.
#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use magpie::server::websocket::Message;
use magpie::server::websocket::parser::{Event, Parser};

fuzz_target!(|data: &[u8]| {
    let Some((&step, bytes)) = data.split_first() else {
        return;
    };
    let whole = said(bytes, bytes.len().max(1));
    let split = said(bytes, usize::from(step).max(1));
    assert_eq!(whole, split);
});

fn said(bytes: &[u8], step: usize) -> Vec<String> {
    let mut parser = Parser::new(4096, 16);
    let mut said = Vec::new();
    let mut closed = false;
    for piece in bytes.chunks(step) {
        let mut piece = piece.to_vec();
        let fed = parser.feed(&mut piece, &mut |event| {
            said.push(match event {
                Event::Message(Message::Text(text)) => format!("text {text}"),
                Event::Message(Message::Binary(bytes)) => format!("binary {bytes:?}"),
                Event::Ping(payload) => format!("ping {payload:?}"),
                Event::Pong => "pong".to_string(),
                Event::Close(code) => {
                    closed = true;
                    format!("close {code}")
                }
            });
            ControlFlow::Continue(())
        });
        if let Err(violation) = fed {
            said.push(format!("failed {}", violation.code));
            break;
        }
        if closed {
            break;
        }
    }
    said
}
