//! RFC 6455 frame by frame, whole and in pieces.

use proptest::prelude::*;
use tungstenite::protocol::frame::coding::OpCode;

use super::*;

const MESSAGE_MAX: usize = 1 << 20;

/// What a parser said, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(u16),
    Failed(u16),
}

fn frame(is_final: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let header = FrameHeader {
        is_final,
        opcode: OpCode::from(opcode),
        mask: Some(mask),
        ..FrameHeader::default()
    };
    let mut bytes = Vec::new();
    header.format(payload.len() as u64, &mut bytes).unwrap();
    let masked = payload.iter().zip(mask.iter().cycle());
    bytes.extend(masked.map(|(byte, key)| byte ^ key));
    bytes
}

fn parse(pieces: &[&[u8]]) -> Vec<Said> {
    parse_limited(pieces, MESSAGE_MAX, 1_000)
}

fn parse_limited(pieces: &[&[u8]], bytes_max: usize, fragments_max: usize) -> Vec<Said> {
    let mut parser = Parser::new(bytes_max, fragments_max);
    let mut said = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut ended = false;
        let result = parser.feed(&mut piece, &mut |event| {
            said.push(match event {
                Event::Message(Message::Text(text)) => Said::Text(text.into()),
                Event::Message(Message::Binary(bytes)) => Said::Binary(bytes.into()),
                Event::Ping(payload) => Said::Ping(payload.into()),
                Event::Pong => Said::Pong,
                Event::Close(code) => {
                    ended = true;
                    Said::Close(code)
                }
            });
            ControlFlow::Continue(())
        });
        if let Err(violation) = result {
            said.push(Said::Failed(violation.code));
            return said;
        }
        if ended {
            return said;
        }
    }
    said
}

#[test]
fn malformed_frames_fail_with_the_code_the_rfc_gives() {
    let unmasked = vec![0x81, 0x02, b'h', b'i'];
    let mut reserved_bit = frame(true, 1, b"x");
    reserved_bit[0] |= 0x40;
    let long_form = [&[0x81, 0xfe, 0, 5, 0, 0, 0, 0][..], b"hello"].concat();
    let huge = vec![
        0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0,
    ];
    let beyond_63_bits = vec![
        0x82, 0xff, 0xff, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0,
    ];
    let second_start = [frame(false, 1, b"a"), frame(true, 1, b"b")].concat();
    for (name, bytes, code) in [
        ("unmasked", unmasked, 1002),
        ("reserved bit", reserved_bit, 1002),
        ("reserved data opcode", frame(true, 3, b""), 1002),
        ("reserved control opcode", frame(true, 11, b""), 1002),
        ("fragmented ping", frame(false, 9, b""), 1002),
        ("ping of 126 bytes", frame(true, 9, &[b'x'; 126]), 1002),
        ("continuation of nothing", frame(true, 0, b"x"), 1002),
        ("message within a message", second_start, 1002),
        ("length not in its shortest form", long_form, 1002),
        ("2^63 - 1 bytes", huge, 1009),
        ("more than 2^63 bytes", beyond_63_bits, 1009),
        (
            "text that is no UTF-8",
            frame(true, 1, b"\xce\xba\xed\xa0\x80"),
            1007,
        ),
        ("text cut in a character", frame(true, 1, b"\xce"), 1007),
        ("close of one byte", frame(true, 8, b"\x03"), 1002),
        ("close 1005", frame(true, 8, &1005u16.to_be_bytes()), 1002),
        ("close 999", frame(true, 8, &999u16.to_be_bytes()), 1002),
        ("close 2999", frame(true, 8, &2999u16.to_be_bytes()), 1002),
        (
            "close reason no UTF-8",
            frame(true, 8, b"\x03\xe8\xff"),
            1007,
        ),
    ] {
        assert_eq!(parse(&[&bytes]), [Said::Failed(code)], "{name}");
        let dribbled: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(
            parse(&dribbled),
            [Said::Failed(code)],
            "{name}, byte by byte"
        );
    }
}

#[test]
fn broken_text_fails_at_its_first_wrong_byte() {
    let whole = frame(false, 1, b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80 and more");
    // Everything up to the byte after 0xf4, which makes a character beyond U+10FFFF.
    let upto = whole.len() - b"\x80\x80 and more".len();
    assert_eq!(parse(&[&whole[..upto - 1]]), []);
    assert_eq!(parse(&[&whole[..upto]]), [Said::Failed(1007)]);
}

#[test]
fn control_frames_may_come_within_a_message() {
    let bytes = [
        frame(false, 1, b"one "),
        frame(true, 9, b"hello?"),
        frame(false, 0, b"two "),
        frame(true, 10, b""),
        frame(true, 0, b"three"),
        frame(true, 8, b"\x03\xe8bye"),
        frame(true, 1, b"ignored"),
    ]
    .concat();
    let expected = [
        Said::Ping(b"hello?".to_vec()),
        Said::Pong,
        Said::Text("one two three".into()),
        Said::Close(1000),
    ];
    assert_eq!(parse(&[&bytes]), expected);
    let dribbled: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(parse(&dribbled), expected);
}

#[test]
fn size_and_fragments_are_bounded() {
    let small = frame(true, 2, &[0; 100]);
    assert_eq!(
        parse_limited(&[&small], 100, 10),
        [Said::Binary(vec![0; 100])]
    );
    assert_eq!(parse_limited(&[&small], 99, 10), [Said::Failed(1009)]);
    let halves = [frame(false, 2, &[0; 60]), frame(true, 0, &[0; 60])].concat();
    assert_eq!(parse_limited(&[&halves], 100, 10), [Said::Failed(1009)]);
    let mut crumbs = frame(false, 2, b"");
    for _ in 0..20 {
        crumbs.extend(frame(false, 0, b""));
    }
    assert_eq!(parse_limited(&[&crumbs], 100, 10), [Said::Failed(1009)]);
}

#[test]
fn an_idle_parser_holds_no_memory() {
    let mut parser = Parser::new(MESSAGE_MAX, 10);
    let bytes = [frame(false, 1, b"ab"), frame(true, 0, b"c")].concat();
    for byte in bytes {
        parser
            .feed(&mut [byte], &mut |_| ControlFlow::Continue(()))
            .unwrap();
    }
    assert!(parser.is_between_messages());
}

#[test]
fn a_pause_keeps_the_rest_for_later() {
    let mut parser = Parser::new(MESSAGE_MAX, 10);
    let mut bytes = [frame(true, 1, b"a"), frame(true, 1, b"b")].concat();
    let half = bytes.len() / 2;
    let read = parser
        .feed(&mut bytes, &mut |_| ControlFlow::Break(()))
        .unwrap();
    assert_eq!(read, half);
}

proptest! {
    #[test]
    fn any_fragmentation_and_any_split_give_the_same_message(
        text in "\\PC{0,200}",
        is_text: bool,
        fragment_bytes in 1..50usize,
        piece_bytes in 1..40usize,
        ping_between: bool,
    ) {
        let payload = text.as_bytes();
        let mut bytes = Vec::new();
        let mut parts: Vec<&[u8]> = payload.chunks(fragment_bytes).collect();
        if parts.is_empty() {
            parts.push(b"");
        }
        for (index, part) in parts.iter().enumerate() {
            let opcode = if index > 0 { 0 } else if is_text { 1 } else { 2 };
            bytes.extend(frame(index + 1 == parts.len(), opcode, part));
            if ping_between && index + 1 < parts.len() {
                bytes.extend(frame(true, 9, b"p"));
            }
        }
        let pieces: Vec<&[u8]> = bytes.chunks(piece_bytes).collect();
        let mut said = parse(&pieces);
        said.retain(|said| *said != Said::Ping(b"p".to_vec()));
        let expected = if is_text {
            Said::Text(text.clone())
        } else {
            Said::Binary(payload.to_vec())
        };
        prop_assert_eq!(said, vec![expected]);
    }

    #[test]
    fn no_bytes_make_it_panic_and_splitting_changes_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        piece_bytes in 1..30usize,
    ) {
        let pieces: Vec<&[u8]> = bytes.chunks(piece_bytes).collect();
        prop_assert_eq!(parse(&[&bytes]), parse(&pieces));
    }
}
