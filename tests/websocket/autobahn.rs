//! A table equal to the public Autobahn cases of groups 1 to 7, 9 as far as our message limit goes,
//! and 10, numbered as there. Groups 12 and 13 are about compression, which is not offered.
//! Of what the suite leaves open only our own choice is held.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{next, open, server};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CONTINUE: u8 = 0;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

struct Case {
    id: String,
    frames: Vec<Vec<u8>>,
    /// Bytes a write; 0: a write for each frame.
    chop: usize,
    /// First byte and payload of each frame that must come, in order.
    answers: Vec<(u8, Vec<u8>)>,
    end: End,
}

enum End {
    /// Still open; a normal close is answered.
    Open,
    /// A close frame with this code, then the end.
    Closed(u16),
    /// A close frame without a code.
    ClosedBare,
}

fn case(
    id: impl Into<String>,
    frames: Vec<Vec<u8>>,
    answers: Vec<(u8, Vec<u8>)>,
    end: End,
) -> Case {
    Case {
        id: id.into(),
        frames,
        chop: usize::MAX,
        answers,
        end,
    }
}

impl Case {
    fn chopped(mut self, bytes: usize) -> Case {
        self.chop = bytes;
        self
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        middle @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    let mask = [0x9a, 0x01, 0xfe, 0x55];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    frame
}

fn text(payload: &[u8]) -> Vec<u8> {
    frame(FIN | TEXT, payload)
}

fn echo(payload: &[u8]) -> (u8, Vec<u8>) {
    (FIN | TEXT, payload.to_vec())
}

fn pong(payload: &[u8]) -> (u8, Vec<u8>) {
    (FIN | PONG, payload.to_vec())
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// A message in fragments of the given pieces.
fn fragments(opcode: u8, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = pieces.len() - 1;
    let each = pieces.iter().enumerate().map(|(index, piece)| {
        let kind = if index == 0 { opcode } else { CONTINUE };
        frame(kind | if index == last { FIN } else { 0 }, piece)
    });
    each.collect()
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    framing(&mut all);
    pings(&mut all);
    reserved(&mut all);
    fragmentation(&mut all);
    utf8(&mut all);
    closing(&mut all);
    sizes(&mut all);
    all
}

fn framing(all: &mut Vec<Case>) {
    for (group, opcode, byte) in [("1.1", TEXT, b'*'), ("1.2", BINARY, 0xfe)] {
        for (number, length) in [0, 125, 126, 127, 128, 65_535, 65_536]
            .into_iter()
            .enumerate()
        {
            let payload = vec![byte; length];
            let sent = vec![frame(FIN | opcode, &payload)];
            let answers = vec![(FIN | opcode, payload)];
            all.push(case(
                format!("{group}.{}", number + 1),
                sent,
                answers,
                End::Open,
            ));
        }
        let payload = vec![byte; 65_536];
        let sent = vec![frame(FIN | opcode, &payload)];
        let answers = vec![(FIN | opcode, payload)];
        all.push(case(format!("{group}.8"), sent, answers, End::Open).chopped(997));
    }
}

fn pings(all: &mut Vec<Case>) {
    let ping = |payload: &[u8]| frame(FIN | PING, payload);
    let binary = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    let full = [0xfe; 125];
    all.push(case("2.1", vec![ping(b"")], vec![pong(b"")], End::Open));
    all.push(case(
        "2.2",
        vec![ping(b"Hello")],
        vec![pong(b"Hello")],
        End::Open,
    ));
    all.push(case(
        "2.3",
        vec![ping(&binary)],
        vec![pong(&binary)],
        End::Open,
    ));
    all.push(case("2.4", vec![ping(&full)], vec![pong(&full)], End::Open));
    all.push(case(
        "2.5",
        vec![ping(&[0xfe; 126])],
        vec![],
        End::Closed(1002),
    ));
    all.push(case("2.6", vec![ping(&full)], vec![pong(&full)], End::Open).chopped(1));
    let unasked = |payload: &[u8]| frame(FIN | PONG, payload);
    all.push(case("2.7", vec![unasked(b"")], vec![], End::Open));
    all.push(case(
        "2.8",
        vec![unasked(b"nobody asked")],
        vec![],
        End::Open,
    ));
    let both = vec![unasked(b"nobody asked"), ping(b"payload")];
    all.push(case("2.9", both, vec![pong(b"payload")], End::Open));
    for (id, chop) in [("2.10", usize::MAX), ("2.11", 1)] {
        let payloads: Vec<String> = (0..10).map(|n| format!("payload-{n}")).collect();
        let sent = payloads.iter().map(|p| ping(p.as_bytes())).collect();
        let answers = payloads.iter().map(|p| pong(p.as_bytes())).collect();
        all.push(case(id, sent, answers, End::Open).chopped(chop));
    }
}

fn reserved(all: &mut Vec<Case>) {
    let hello = text(b"Hello, world!");
    let echoed = || vec![echo(b"Hello, world!")];
    let ping = frame(FIN | PING, b"");
    let bad = |bits: u8, opcode: u8, payload: &[u8]| frame(FIN | bits << 4 | opcode, payload);
    let failed = || End::Closed(1002);
    all.push(case("3.1", vec![bad(1, TEXT, b"x")], vec![], failed()));
    let mixed = |bits| vec![hello.clone(), bad(bits, TEXT, b"x"), ping.clone()];
    all.push(case("3.2", mixed(2), echoed(), failed()));
    all.push(case("3.3", mixed(3), echoed(), failed()).chopped(0));
    all.push(case("3.4", mixed(4), echoed(), failed()).chopped(1));
    all.push(case("3.5", vec![bad(5, BINARY, b"x")], vec![], failed()));
    all.push(case("3.6", vec![bad(6, PING, b"x")], vec![], failed()));
    all.push(case("3.7", vec![bad(7, CLOSE, b"")], vec![], failed()));
    for (group, first) in [("4.1", 3), ("4.2", 11)] {
        let opcode = |number: u8, payload: &[u8]| frame(FIN | (first + number), payload);
        all.push(case(
            format!("{group}.1"),
            vec![opcode(0, b"")],
            vec![],
            failed(),
        ));
        all.push(case(
            format!("{group}.2"),
            vec![opcode(1, b"x")],
            vec![],
            failed(),
        ));
        for (number, payload, chop) in [(2, &b""[..], 0), (3, b"x", 0), (4, b"x", 1)] {
            let sent = vec![hello.clone(), opcode(number, payload), ping.clone()];
            let id = format!("{group}.{}", number + 1);
            all.push(case(id, sent, echoed(), failed()).chopped(chop));
        }
    }
}

fn fragmentation(all: &mut Vec<Case>) {
    let failed = || End::Closed(1002);
    all.push(case(
        "5.1",
        fragments(PING, &[b"frag1", b"frag2"]),
        vec![],
        failed(),
    ));
    all.push(case(
        "5.2",
        fragments(PONG, &[b"frag1", b"frag2"]),
        vec![],
        failed(),
    ));
    for (id, chop) in [("5.3", usize::MAX), ("5.4", 0), ("5.5", 1)] {
        let sent = fragments(TEXT, &[b"frag1", b"frag2"]);
        all.push(case(id, sent, vec![echo(b"frag1frag2")], End::Open).chopped(chop));
    }
    for (id, chop) in [("5.6", usize::MAX), ("5.7", 0), ("5.8", 1)] {
        let mut sent = fragments(TEXT, &[b"frag1", b"frag2"]);
        sent.insert(1, frame(FIN | PING, b"ping"));
        let answers = vec![pong(b"ping"), echo(b"frag1frag2")];
        all.push(case(id, sent, answers, End::Open).chopped(chop));
    }
    for (id, fin, chop) in [
        ("5.9", FIN, usize::MAX),
        ("5.10", FIN, 0),
        ("5.11", FIN, 1),
        ("5.12", 0, usize::MAX),
        ("5.13", 0, 0),
        ("5.14", 0, 1),
    ] {
        let sent = vec![
            frame(fin | CONTINUE, b"nothing to continue"),
            text(b"Hello"),
        ];
        all.push(case(id, sent, vec![], failed()).chopped(chop));
    }
    let mut sent = fragments(TEXT, &[b"frag1", b"frag2"]);
    sent.extend([frame(CONTINUE, b"frag3"), text(b"frag4")]);
    all.push(case("5.15", sent, vec![echo(b"frag1frag2")], failed()));
    for (id, fin) in [("5.16", 0), ("5.17", FIN)] {
        let once = [
            frame(fin | CONTINUE, b"frag1"),
            frame(TEXT, b"frag2"),
            frame(FIN | CONTINUE, b"frag3"),
        ];
        all.push(case(id, [once.clone(), once].concat(), vec![], failed()));
    }
    let sent = vec![frame(TEXT, b"frag1"), text(b"frag2")];
    all.push(case("5.18", sent, vec![], failed()));
    for (id, chop) in [("5.19", 0), ("5.20", 1)] {
        let mut sent = fragments(TEXT, &[b"f1", b"f2", b"f3", b"f4", b"f5"]);
        sent.insert(4, frame(FIN | PING, b"two"));
        sent.insert(2, frame(FIN | PING, b"one"));
        let answers = vec![pong(b"one"), pong(b"two"), echo(b"f1f2f3f4f5")];
        all.push(case(id, sent, answers, End::Open).chopped(chop));
    }
}

fn utf8(all: &mut Vec<Case>) {
    let greek = "κόσμε and on: Hello-µ@ßöäüàá-UTF-8!!".as_bytes();
    let single = |bytes: &'static [u8]| bytes.chunks(1).collect::<Vec<_>>();
    let valid = |id: &str, pieces: &[&[u8]]| {
        case(
            id,
            fragments(TEXT, pieces),
            vec![echo(&pieces.concat())],
            End::Open,
        )
    };
    let invalid =
        |id: String, pieces: &[&[u8]]| case(id, fragments(TEXT, pieces), vec![], End::Closed(1007));
    all.push(valid("6.1.1", &[b""]));
    all.push(valid("6.1.2", &[b"", b"", b""]));
    all.push(valid("6.1.3", &[b"", b"middle frame payload", b""]));
    all.push(valid("6.2.1", &[greek]));
    all.push(valid("6.2.2", &[&greek[..4], &greek[4..]]));
    all.push(valid("6.2.3", &single(greek)));
    all.push(valid("6.2.4", &single("κόσμε".as_bytes())));
    let broken = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
    all.push(invalid("6.3.1".into(), &[broken]));
    all.push(invalid("6.3.2".into(), &single(broken)));
    // Fails at the first wrong byte, with the end of the message still to come.
    let start = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90";
    let whole = frame(FIN | TEXT, &[&start[..], b"\x80\x80never sent"].concat());
    let unsent = b"\x80\x80never sent".len();
    let cut = vec![whole[..whole.len() - unsent].to_vec()];
    all.push(case(
        "6.4.1",
        vec![frame(TEXT, start)],
        vec![],
        End::Closed(1007),
    ));
    all.push(case("6.4.3", cut, vec![], End::Closed(1007)));
    for (number, bytes) in VALID.iter().enumerate() {
        all.push(valid(&format!("6.5-6.22 valid {}", number + 1), &[bytes]));
        all.push(valid(
            &format!("6.5-6.22 valid {} split", number + 1),
            &single(bytes),
        ));
    }
    for (number, bytes) in INVALID.iter().enumerate() {
        all.push(invalid(
            format!("6.6-6.23 invalid {}", number + 1),
            &[bytes],
        ));
    }
}

/// First and last characters of each length, the borders of the surrogates, noncharacters.
const VALID: &[&[u8]] = &[
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xef\xbf\xbf",
    b"\xf0\x90\x80\x80",
    b"\xf4\x8f\xbf\xbf",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xef\xbf\xbe",
    b"\xf0\x9f\xbf\xbe",
    b"\xf0\xaf\xbf\xbf",
    b"\xf3\xbf\xbf\xbe",
    b"\xe1\xbd\xb9",
    b"\xf0\x9f\x98\x80",
];

/// Cut characters, lonely continuation bytes, overlong forms, surrogates, impossible bytes.
const INVALID: &[&[u8]] = &[
    b"\xce",
    b"\xce\xba\xe1",
    b"\xce\xba\xe1\xbd",
    b"\xf0\x90\x80",
    b"\x80",
    b"\xbf",
    b"\x80\xbf\x80\xbf",
    b"\xc0 \xc1 ",
    b"\xe0 \xef ",
    b"\xf0 \xf7 ",
    b"\xf8 ",
    b"\xfc ",
    b"\xfe",
    b"\xff",
    b"\xfe\xfe\xff\xff",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xf8\x80\x80\x80\xaf",
    b"\xfc\x80\x80\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xc0\x80",
    b"\xe0\x80\x80",
    b"\xf0\x80\x80\x80",
    b"\xed\xa0\x80",
    b"\xed\xad\xbf",
    b"\xed\xae\x80",
    b"\xed\xaf\xbf",
    b"\xed\xb0\x80",
    b"\xed\xbe\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xed\xaf\xbf\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfb\xbf\xbf\xbf\xbf",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfd\xbf\xbf\xbf\xbf\xbf",
    b"\xc3(",
    b"\xe2\x82(",
    b"\xf0(\x8c\xbc",
];

fn closing(all: &mut Vec<Case>) {
    let bye = close(1000, b"");
    let normal = || End::Closed(1000);
    let echoed = || vec![echo(b"Hello World!")];
    let hello = text(b"Hello World!");
    all.push(case(
        "7.1.1",
        vec![hello.clone(), bye.clone()],
        echoed(),
        normal(),
    ));
    all.push(case(
        "7.1.2",
        vec![bye.clone(), bye.clone()],
        vec![],
        normal(),
    ));
    let after = vec![bye.clone(), frame(FIN | PING, b"")];
    all.push(case("7.1.3", after, vec![], normal()));
    all.push(case("7.1.4", vec![bye.clone(), hello], vec![], normal()));
    let mut between = fragments(TEXT, &[b"fragment1", b"fragment2"]);
    between.insert(1, bye.clone());
    all.push(case("7.1.5", between, vec![], normal()));
    let large = vec![b'B'; 256 * 1024];
    let sent = vec![text(&large), bye, frame(FIN | PING, b"")];
    all.push(case("7.1.6", sent, vec![echo(&large)], normal()));
    all.push(case(
        "7.3.1",
        vec![frame(FIN | CLOSE, b"")],
        vec![],
        End::ClosedBare,
    ));
    all.push(case(
        "7.3.2",
        vec![frame(FIN | CLOSE, b"a")],
        vec![],
        End::Closed(1002),
    ));
    all.push(case("7.3.3", vec![close(1000, b"")], vec![], normal()));
    all.push(case(
        "7.3.4",
        vec![close(1000, b"Hello World!")],
        vec![],
        normal(),
    ));
    all.push(case(
        "7.3.5",
        vec![close(1000, &[b'*'; 123])],
        vec![],
        normal(),
    ));
    all.push(case(
        "7.3.6",
        vec![close(1000, &[b'*'; 124])],
        vec![],
        End::Closed(1002),
    ));
    let wrong = close(
        1000,
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80",
    );
    all.push(case("7.5.1", vec![wrong], vec![], End::Closed(1007)));
    let allowed = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ];
    for (number, code) in allowed.into_iter().enumerate() {
        let id = format!("7.7.{}", number + 1);
        all.push(case(id, vec![close(code, b"")], vec![], End::Closed(code)));
    }
    let forbidden = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
    for (number, code) in forbidden.into_iter().enumerate() {
        let id = format!("7.9.{}", number + 1);
        all.push(case(id, vec![close(code, b"")], vec![], End::Closed(1002)));
    }
    for (number, code) in [5000, 65535].into_iter().enumerate() {
        let id = format!("7.13.{}", number + 1);
        all.push(case(id, vec![close(code, b"")], vec![], End::Closed(1002)));
    }
}

fn sizes(all: &mut Vec<Case>) {
    for (number, length) in [64 << 10, 256 << 10, 1 << 20].into_iter().enumerate() {
        let payload = vec![b'*'; length];
        let id = format!("9.1.{}", number + 1);
        all.push(case(
            id,
            vec![text(&payload)],
            vec![echo(&payload)],
            End::Open,
        ));
        let id = format!("9.2.{}", number + 1);
        let sent = vec![frame(FIN | BINARY, &payload)];
        all.push(case(id, sent, vec![(FIN | BINARY, payload)], End::Open));
    }
    // Four megabytes are beyond our limit.
    let head = frame(FIN | TEXT, &vec![b'*'; 4 << 20])[..14].to_vec();
    all.push(case("9.1.4", vec![head], vec![], End::Closed(1009)));
    let payload = vec![b'*'; 65_536];
    let pieces: Vec<&[u8]> = payload.chunks(1_300).collect();
    let sent = fragments(TEXT, &pieces);
    all.push(case("10.1.1", sent, vec![echo(&payload)], End::Open));
}

#[test]
fn every_case_is_answered_as_the_suite_wants() {
    let address = server();
    let cases = cases();
    println!("{} cases", cases.len());
    assert!(cases.len() > 190, "{}", cases.len());
    for case in cases {
        let mut tcp = open(address, b"");
        tcp.set_nodelay(true).unwrap();
        send(&mut tcp, &case);
        for (first, payload) in &case.answers {
            let (got_first, got) = next(&mut tcp);
            assert_eq!(got_first, *first, "{}", case.id);
            assert!(got == *payload, "{}: {} bytes came", case.id, got.len());
        }
        match case.end {
            End::Open => {
                tcp.write_all(&close(1000, b"")).unwrap();
                ended(&mut tcp, &case.id, &1000u16.to_be_bytes());
            }
            End::Closed(code) => ended(&mut tcp, &case.id, &code.to_be_bytes()),
            End::ClosedBare => ended(&mut tcp, &case.id, b""),
        }
    }
}

fn send(tcp: &mut TcpStream, case: &Case) {
    // A failed connection may refuse what comes behind the failure.
    if case.chop == 0 {
        for frame in &case.frames {
            let _ = tcp.write_all(frame);
        }
        return;
    }
    for piece in case.frames.concat().chunks(case.chop) {
        if tcp.write_all(piece).is_err() {
            return;
        }
    }
}

/// A close frame that begins with `code`, then nothing more.
fn ended(tcp: &mut TcpStream, id: &str, code: &[u8]) {
    let (first, payload) = next(tcp);
    assert_eq!(first, FIN | CLOSE, "{id}: no close frame, {payload:?}");
    assert!(payload.starts_with(code), "{id}: closed with {payload:?}");
    assert_eq!(payload.is_empty(), code.is_empty(), "{id}");
    let _ = tcp.shutdown(std::net::Shutdown::Write);
    let mut rest = Vec::new();
    let end = tcp.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{id}: {rest:?} came after the close");
    if let Err(error) = end {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{id}");
    }
}
