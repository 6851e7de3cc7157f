//! WebSocket over real sockets: an echo of the library's server, and clients that write bytes.

mod autobahn;
mod slow;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use magpie::clock::Clock;
use magpie::ops::Registry;
use magpie::server::websocket::{self, Endpoint, Frame, Message, Socket, UpgradeOptions};
use magpie::server::{
    Access, Caller, Gatekeeper, Method, RequestHead, Role, Router, Server, ServerOptions,
};

/// Only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const UPGRADE: &str = "connection: keep-alive, Upgrade\r\nupgrade: websocket\r\n";
const VERSION: &str = "sec-websocket-version: 13\r\n";

struct Anybody;

impl Gatekeeper for Anybody {
    fn identify(&self, _: &RequestHead) -> Caller {
        Caller {
            role: Role::Nobody,
            device: None,
        }
    }
}

struct Echo;

impl Endpoint for Echo {
    fn message(&mut self, socket: &Socket, message: Message<'_>) {
        match message {
            Message::Text("panic") => panic!("asked for by the test"),
            Message::Text("close") => socket.close(4001, "asked for"),
            Message::Text(text) => socket.send(Frame::text(text)),
            Message::Binary(bytes) => socket.send(Frame::binary(&[bytes])),
        }
    }

    fn closed(&mut self, _: u16) {}
}

/// Starts a server that lives as long as the test's process.
fn server() -> SocketAddr {
    let (told, hear) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async move {
            let mut router = Router::default();
            for method in [Method::GET, Method::POST] {
                router.route(method, "/ws", Access::Public, |request| async {
                    websocket::upgrade(request, UpgradeOptions::default(), |_| Echo)
                });
            }
            let mut options = ServerOptions::new(Clock::system(), Registry::default());
            options.http = Some(([127, 0, 0, 1], 0).into());
            let server = Server::bind(options, router, Rc::new(Anybody)).expect("a free port");
            server.start();
            told.send(server.http_address()).expect("the test waits");
            std::future::pending::<()>().await;
        });
    });
    hear.recv().expect("a server").expect("a plain listener")
}

/// Sends a request, with `behind` in the same write, and reads the head of the answer.
fn request(address: SocketAddr, method: &str, headers: &str, behind: &[u8]) -> (TcpStream, String) {
    let mut tcp = TcpStream::connect(address).expect("a connection");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut bytes =
        format!("{method} /ws HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").into_bytes();
    bytes.extend_from_slice(behind);
    tcp.write_all(&bytes).expect("a request sent");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        tcp.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    (tcp, String::from_utf8_lossy(&head).to_lowercase())
}

fn open(address: SocketAddr, behind: &[u8]) -> TcpStream {
    let (tcp, head) = request(address, "GET", &format!("{UPGRADE}{VERSION}{KEY}"), behind);
    assert!(head.starts_with("http/1.1 101"), "{head}");
    tcp
}

/// A client's frame; `first` is FIN, the reserved bits and the opcode.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    frame
}

/// The server's next frame: its first byte and its payload.
fn next(tcp: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    tcp.read_exact(&mut head).expect("a frame");
    assert_eq!(head[1] & 0x80, 0, "a server does not mask");
    let mut length = usize::from(head[1]);
    if length == 126 {
        let mut long = [0; 2];
        tcp.read_exact(&mut long).expect("a length");
        length = usize::from(u16::from_be_bytes(long));
    } else if length == 127 {
        let mut long = [0; 8];
        tcp.read_exact(&mut long).expect("a length");
        length = usize::try_from(u64::from_be_bytes(long)).expect("a length that fits");
    }
    let mut payload = vec![0; length];
    tcp.read_exact(&mut payload).expect("a payload");
    (head[0], payload)
}

fn close_code(tcp: &mut TcpStream) -> u16 {
    let (first, payload) = next(tcp);
    assert_eq!(first, 0x88, "a close frame, not {payload:?}");
    u16::from_be_bytes([payload[0], payload[1]])
}

#[test]
fn a_handshake_is_answered_as_the_standard_says() {
    let address = server();
    let two_keys = format!("{KEY}{KEY}");
    for (method, upgrade, version, key, status) in [
        ("GET", UPGRADE, VERSION, KEY, 101),
        ("POST", UPGRADE, VERSION, KEY, 400),
        ("GET", "", VERSION, KEY, 426),
        ("GET", "upgrade: websocket\r\n", VERSION, KEY, 426),
        ("GET", UPGRADE, "sec-websocket-version: 8\r\n", KEY, 426),
        ("GET", UPGRADE, "", KEY, 426),
        ("GET", UPGRADE, VERSION, "", 400),
        ("GET", UPGRADE, VERSION, &two_keys, 400),
        (
            "GET",
            UPGRADE,
            VERSION,
            "sec-websocket-key: c2hvcnQ=\r\n",
            400,
        ),
    ] {
        let headers = format!("{upgrade}{version}{key}");
        let (_, head) = request(address, method, &headers, b"");
        assert!(
            head.starts_with(&format!("http/1.1 {status}")),
            "{headers}: {head}"
        );
        if status == 101 {
            assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        }
        if status == 426 {
            assert!(head.contains("sec-websocket-version: 13"), "{head}");
        }
    }
}

#[test]
fn whole_and_fragmented_messages_come_back_whole() {
    /// Autobahn's number, bytes sent, frames expected.
    type Case<'a> = (&'a str, Vec<u8>, Vec<(u8, &'a [u8])>);
    let long = vec![b'*'; 40_000];
    let mut split_with_ping = masked(0x01, b"frag");
    split_with_ping.extend(masked(0x89, b"ping"));
    split_with_ping.extend(masked(0x80, b"ment"));
    let cases: Vec<Case> = vec![
        ("1.1.1", masked(0x81, b""), vec![(0x81, b"")]),
        (
            "1.1.2",
            masked(0x81, &long[..125]),
            vec![(0x81, &long[..125])],
        ),
        (
            "1.1.3",
            masked(0x81, &long[..126]),
            vec![(0x81, &long[..126])],
        ),
        (
            "1.2.4",
            masked(0x82, &long[..127]),
            vec![(0x82, &long[..127])],
        ),
        ("1.2.6", masked(0x82, &long), vec![(0x82, &long)]),
        (
            "2.4",
            masked(0x89, &long[..125]),
            vec![(0x8a, &long[..125])],
        ),
        (
            "5.6",
            split_with_ping,
            vec![(0x8a, b"ping"), (0x81, b"fragment")],
        ),
    ];
    let address = server();
    for (case, sent, expected) in cases {
        let mut tcp = open(address, b"");
        tcp.write_all(&sent).expect(case);
        for (first, payload) in expected {
            let got = next(&mut tcp);
            assert!(got.0 == first && got.1 == payload, "case {case}");
        }
    }
}

#[test]
fn a_violation_is_closed_with_its_code() {
    let cases: [(&str, Vec<u8>, u16); 11] = [
        ("2.5 long ping", masked(0x89, &[0; 126]), 1002),
        ("3.1 reserved bit", masked(0xc1, b"x"), 1002),
        ("4.1.1 opcode 3", masked(0x83, b""), 1002),
        ("4.2.1 opcode 11", masked(0x8b, b""), 1002),
        ("5.1 split ping", masked(0x09, b"x"), 1002),
        ("5.9 lone continuation", masked(0x80, b"x"), 1002),
        ("6.3 not UTF-8", masked(0x81, b"\xce\xba\xed\xa0\x80"), 1007),
        ("7.1 close", masked(0x88, &1000u16.to_be_bytes()), 1000),
        ("7.3 one byte", masked(0x88, b"\x03"), 1002),
        ("7.9 code 1005", masked(0x88, &1005u16.to_be_bytes()), 1002),
        ("unmasked", vec![0x81, 0x01, b'x'], 1002),
    ];
    let address = server();
    for (case, sent, code) in cases {
        let mut tcp = open(address, b"");
        tcp.write_all(&sent).expect(case);
        assert_eq!(close_code(&mut tcp), code, "case {case}");
    }
}

#[test]
fn bytes_behind_the_upgrade_request_are_not_lost() {
    let mut tcp = open(server(), &masked(0x81, b"early"));
    assert_eq!(next(&mut tcp), (0x81, b"early".to_vec()));
}

#[test]
fn a_close_of_the_box_ends_once_the_peer_has_answered() {
    let mut tcp = open(server(), &masked(0x81, b"close"));
    assert_eq!(close_code(&mut tcp), 4001);
    tcp.write_all(&masked(0x88, &4001u16.to_be_bytes()))
        .expect("the answer");
    assert_eq!(tcp.read(&mut [0]).expect("an orderly end"), 0);
}

#[test]
fn a_panic_of_an_endpoint_costs_its_socket_only() {
    let address = server();
    let mut other = open(address, b"");
    let mut tcp = open(address, &masked(0x81, b"panic"));
    assert_eq!(close_code(&mut tcp), 1011);
    other
        .write_all(&masked(0x81, b"still here"))
        .expect("a message");
    assert_eq!(next(&mut other), (0x81, b"still here".to_vec()));
}
