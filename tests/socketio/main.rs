//! Socket.IO over real sockets: a real server, and an independent WebSocket peer that speaks the
//! two protocols by hand, after their published documents.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use magpie::clock::Clock;
use magpie::ops::Registry;
use magpie::server::{Caller, Gatekeeper, RequestHead, Role, Router, Server, ServerOptions};
use magpie::socketio::{
    Ack, AckError, ConnectRefused, Connecting, DisconnectReason, Handler, Io, IoOptions, Namespace,
    Room, Socket,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// Only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

struct Anybody;

impl Gatekeeper for Anybody {
    fn identify(&self, _: &RequestHead) -> Caller {
        Caller {
            role: Role::Nobody,
            device: None,
        }
    }
}

/// The room of the test; the handle comes once there is one.
struct Hall {
    io: Rc<std::cell::OnceCell<Io>>,
    ends: Sender<DisconnectReason>,
    stop: Rc<tokio::sync::Notify>,
}

impl Namespace for Hall {
    fn connect(&self, socket: &Socket, auth: Value) -> Connecting {
        let (io, ends, socket) = (self.io.clone(), self.ends.clone(), socket.clone());
        let stop = self.stop.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            if auth["token"] == "wrong" {
                return Err(ConnectRefused {
                    message: "Invalid authentication token".into(),
                });
            }
            socket.join(Rc::from("all"));
            socket.join(Rc::from("also"));
            Ok(Box::new(Guest { io, ends, stop }) as Box<dyn Handler>)
        })
    }
}

struct Guest {
    io: Rc<std::cell::OnceCell<Io>>,
    ends: Sender<DisconnectReason>,
    stop: Rc<tokio::sync::Notify>,
}

impl Handler for Guest {
    fn event(&mut self, socket: &Socket, name: &str, args: Vec<Value>, ack: Option<Ack>) {
        let io = self.io.get().expect("set before the server starts");
        let rooms: [Room; 2] = [Rc::from("all"), Rc::from("also")];
        match (name, ack) {
            ("message", None) => socket.emit("message-back", &args),
            ("message-with-ack", Some(ack)) => ack.send(&args),
            ("shout", None) => io.to(&rooms).except(socket.id()).emit("update", &args[0]),
            ("leave", None) => rooms.iter().for_each(|room| socket.leave(room)),
            ("count", Some(ack)) => ack.send(&[json!(io.sockets_in(&rooms[0]).len())]),
            ("panic", None) => panic!("asked for by the test"),
            ("stop the box", None) => {
                let stop = self.stop.clone();
                stop.notify_one();
            }
            ("throw out", None) => io.disconnect_all(&rooms[0]),
            ("ask me", None) => {
                let limit = Duration::from_millis(args[0].as_u64().expect("milliseconds"));
                let (asking, socket) = (socket.emit_with_ack("ask", &[], limit), socket.clone());
                tokio::task::spawn_local(async move {
                    let told = match asking.await {
                        Ok(answer) => json!(answer),
                        Err(AckError::TimedOut) => json!("timed out"),
                        Err(other) => json!(format!("{other:?}")),
                    };
                    socket.emit("asked", &[told]);
                });
            }
            (other, _) => panic!("no such event: {other}"),
        }
    }

    fn disconnected(&mut self, _: &Socket, reason: DisconnectReason) {
        let _ = self.ends.send(reason);
    }
}

/// Starts a server that lives as long as the test's process.
fn server(options: IoOptions) -> (SocketAddr, Receiver<DisconnectReason>) {
    let (told, hear) = mpsc::channel();
    let (ends, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async move {
            let (clock, metrics) = (Clock::system(), Registry::default());
            let handle = Rc::new(std::cell::OnceCell::new());
            let stop = Rc::new(tokio::sync::Notify::new());
            let hall = Rc::new(Hall {
                io: handle.clone(),
                ends,
                stop: stop.clone(),
            });
            let io = Io::new(options, clock.clone(), &metrics, hall);
            let mut router = Router::default();
            io.routes(&mut router, "/v1/updates/");
            assert!(handle.set(io).is_ok());
            let mut options = ServerOptions::new(clock, metrics);
            options.http = Some(([127, 0, 0, 1], 0).into());
            let server = Server::bind(options, router, Rc::new(Anybody)).expect("a free port");
            server.start();
            told.send(server.http_address()).expect("the test waits");
            stop.notified().await;
            server.shutdown().await;
        });
    });
    let address = hear.recv().expect("a server").expect("a plain listener");
    (address, ended)
}

struct Client(WebSocket<TcpStream>);

impl Client {
    /// Opened, and its open packet read.
    fn open(address: SocketAddr) -> (Client, Value) {
        let tcp = TcpStream::connect(address).expect("a connection");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let url = format!(
            "ws://localhost:{}/v1/updates/?EIO=4&transport=websocket",
            address.port()
        );
        let (socket, _) = tungstenite::client(url, tcp).expect("an upgrade");
        let mut client = Client(socket);
        let open = client.hear().expect("an open packet");
        let told = serde_json::from_str(open.strip_prefix('0').expect("type 0")).expect("JSON");
        (client, told)
    }

    fn connected(address: SocketAddr) -> Client {
        let (mut client, _) = Client::open(address);
        client.say("40");
        assert!(client.hear().expect("an answer").starts_with("40{\"sid\":"));
        client
    }

    fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("sent");
    }

    /// The next text; `None` when the server closed.
    fn hear(&mut self) -> Option<String> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(Message::Close(_)) => return None,
                Ok(_) => {}
                Err(tungstenite::Error::ConnectionClosed) => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[track_caller]
    fn expects(&mut self, text: &str) {
        assert_eq!(self.hear().as_deref(), Some(text));
    }

    #[track_caller]
    fn is_closed(&mut self) {
        assert_eq!(self.hear(), None);
    }
}

fn get(address: SocketAddr, method: &str, target: &str) -> String {
    let mut tcp = TcpStream::connect(address).expect("a connection");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let head =
        format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    tcp.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_handshake_tells_the_limits_and_refuses_what_it_does_not_speak() {
    let (address, _ends) = server(IoOptions::default());
    let (_client, told) = Client::open(address);
    assert!(
        told["sid"].as_str().is_some_and(|sid| sid.len() == 20),
        "{told}"
    );
    assert_eq!(told["upgrades"], json!([]));
    assert_eq!(told["pingInterval"], 15_000);
    assert_eq!(told["pingTimeout"], 45_000);
    assert_eq!(told["maxPayload"], 1_000_000);
    for (method, query, code, message) in [
        ("GET", "EIO=4&transport=carrier", 0, "Transport unknown"),
        ("GET", "EIO=4", 0, "Transport unknown"),
        (
            "GET",
            "EIO=4&transport=websocket&sid=x",
            1,
            "Session ID unknown",
        ),
        (
            "POST",
            "EIO=4&transport=websocket",
            2,
            "Bad handshake method",
        ),
        ("GET", "EIO=4&transport=websocket", 3, "Bad request"),
        (
            "GET",
            "EIO=3&transport=websocket",
            5,
            "Unsupported protocol version",
        ),
        (
            "GET",
            "transport=websocket",
            5,
            "Unsupported protocol version",
        ),
    ] {
        let answer = get(address, method, &format!("/v1/updates/?{query}"));
        assert!(answer.starts_with("HTTP/1.1 400"), "{query}: {answer}");
        let body = answer.split("\r\n\r\n").nth(1).expect("a body");
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body, json!({"code": code, "message": message}), "{query}");
    }
}

#[test]
fn a_refused_client_hears_why_and_may_try_again() {
    let (address, _ends) = server(IoOptions::default());
    let (mut client, _) = Client::open(address);
    client.say(r#"40{"token":"wrong"}"#);
    client.expects(r#"44{"message":"Invalid authentication token"}"#);
    client.say("40/admin,");
    client.expects(r#"44/admin,{"message":"Invalid namespace"}"#);
    client.say(r#"40{"token":"right"}"#);
    assert!(client.hear().expect("an answer").starts_with("40{\"sid\":"));
}

#[test]
fn what_the_protocol_does_not_allow_closes_the_transport() {
    let (address, ends) = server(IoOptions::default());
    for text in [r#"42["message"]"#, "41", "4", "4x", "x", "", "1", "430[]"] {
        let (mut client, _) = Client::open(address);
        client.say(text);
        client.is_closed();
    }
    for text in [
        "42",
        "42{}",
        "42[]",
        "42[1]",
        "40",
        "43[]",
        "4abc",
        r#"451-["message"]"#,
    ] {
        let mut client = Client::connected(address);
        client.say(text);
        client.is_closed();
        assert_eq!(
            ends.recv_timeout(PATIENCE),
            Ok(DisconnectReason::TransportClose),
            "{text}"
        );
    }
    let mut client = Client::connected(address);
    client.0.send(Message::binary(vec![1, 2, 3])).expect("sent");
    client.is_closed();
}

#[test]
fn events_and_acknowledgements_go_both_ways() {
    let (address, ends) = server(IoOptions::default());
    let mut client = Client::connected(address);
    client.say(r#"42["message",1,"2",{"3":[true]}]"#);
    client.expects(r#"42["message-back",1,"2",{"3":[true]}]"#);
    client.say(r#"42456["message-with-ack",1,{"a":null}]"#);
    client.expects(r#"43456[1,{"a":null}]"#);
    client.say(r#"42["ask me",20000]"#);
    client.expects(r#"420["ask"]"#);
    client.say(r#"430["yes",2]"#);
    client.expects(r#"42["asked",["yes",2]]"#);
    client.say(r#"42["ask me",1]"#);
    client.expects(r#"421["ask"]"#);
    client.expects(r#"42["asked","timed out"]"#);
    client.say("431[]");
    client.say("41");
    client.is_closed();
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(DisconnectReason::Client));
}

#[test]
fn a_broadcast_reaches_each_member_once_and_in_order() {
    let (address, ends) = server(IoOptions::default());
    let mut speaker = Client::connected(address);
    let mut leaver = Client::connected(address);
    // More than one slice.
    let mut hearers: Vec<Client> = (0..70).map(|_| Client::connected(address)).collect();
    leaver.say(r#"42["leave"]"#);
    leaver.say(r#"420["count"]"#);
    leaver.expects("430[71]");
    for number in 0..3 {
        speaker.say(&format!(r#"42["shout",{number}]"#));
    }
    for hearer in &mut hearers {
        for number in 0..3 {
            hearer.expects(&format!(r#"42["update",{number}]"#));
        }
    }
    for outside in [&mut speaker, &mut leaver] {
        outside.say(r#"42["message"]"#);
        outside.expects(r#"42["message-back"]"#);
    }
    leaver.say(r#"42["throw out"]"#);
    for gone in hearers.iter_mut().chain([&mut speaker]) {
        gone.expects("41");
        gone.is_closed();
        assert_eq!(ends.recv_timeout(PATIENCE), Ok(DisconnectReason::Server));
    }
    leaver.say(r#"421["count"]"#);
    leaver.expects("431[0]");
}

#[test]
fn a_client_that_answers_pings_stays_and_a_silent_one_goes() {
    let (address, ends) = server(IoOptions {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_secs(2),
        ..IoOptions::default()
    });
    let mut client = Client::connected(address);
    for _ in 0..3 {
        client.expects("2");
        client.say("3");
    }
    client.say(r#"42["message"]"#);
    while client.hear().expect("still open") != r#"42["message-back"]"# {}
    while client.hear().is_some() {}
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::PingTimeout)
    );
}

#[test]
fn a_transport_that_never_connects_is_closed() {
    let (address, _ends) = server(IoOptions {
        connect_limit: Duration::from_millis(200),
        ..IoOptions::default()
    });
    let (mut client, _) = Client::open(address);
    client.is_closed();
}

#[test]
fn who_does_not_read_is_cut_off_and_the_others_hear_everything() {
    let (address, ends) = server(IoOptions::default());
    let mut speaker = Client::connected(address);
    let _deaf = Client::connected(address);
    let mut hearer = Client::connected(address);
    let long = "x".repeat(200_000);
    for number in 0..20 {
        speaker.say(&format!(r#"42["shout","{number} {long}"]"#));
        hearer.expects(&format!(r#"42["update","{number} {long}"]"#));
    }
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::TransportClose)
    );
    hearer.say(r#"420["count"]"#);
    hearer.expects("430[2]");
}

#[test]
fn a_handler_that_panics_loses_its_socket_alone_and_is_told_of_the_end() {
    let (address, ends) = server(IoOptions::default());
    let mut client = Client::connected(address);
    let mut other = Client::connected(address);
    client.say(r#"42["panic"]"#);
    client.is_closed();
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::TransportClose)
    );
    other.say(r#"420["count"]"#);
    other.expects("430[1]");
}

#[test]
fn a_box_that_stops_closes_its_sockets() {
    let (address, ends) = server(IoOptions::default());
    let mut client = Client::connected(address);
    client.say(r#"42["stop the box"]"#);
    client.is_closed();
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::TransportClose)
    );
}

#[test]
fn the_client_from_npm_connects_talks_and_comes_back() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/socketio/npm");
    if std::env::var_os("MAGPIE_SKIP_PAGES").is_some() {
        return;
    }
    assert!(
        std::path::Path::new(folder)
            .join("node_modules/socket.io-client")
            .exists(),
        "run `npm ci` in tests/socketio/npm first, or set MAGPIE_SKIP_PAGES=1"
    );
    let (address, _ends) = server(IoOptions::default());
    let ran = std::process::Command::new("node")
        .current_dir(folder)
        .args(["client.mjs", &address.port().to_string()])
        .output()
        .expect("node is installed");
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
