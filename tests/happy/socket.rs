//! A socket of a client: Socket.IO by hand over an independent WebSocket peer.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::client::Client;
use crate::support::Running;

/// Only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Socket {
    wire: WebSocket<TcpStream>,
    next_ack: u64,
    /// Events that came while something else was waited for.
    heard: VecDeque<(String, Value)>,
}

impl Socket {
    /// The text of the refusal when it was not let in.
    pub fn open(running: &Running, auth: &Value) -> Result<Socket, String> {
        let address = running.address("http").expect("a plain listener");
        let tcp = TcpStream::connect(address).expect("a connection");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let url = format!("ws://{address}/v1/updates/?EIO=4&transport=websocket");
        let (wire, _) = tungstenite::client(url, tcp).expect("an upgrade");
        let mut socket = Socket {
            wire,
            next_ack: 0,
            heard: VecDeque::new(),
        };
        socket.say(&format!("40{auth}"));
        let answer = socket.packet().expect("an answer");
        match answer.strip_prefix("44") {
            None => assert!(answer.starts_with("40{\"sid\":"), "{answer}"),
            Some(refusal) => {
                let refusal: Value = serde_json::from_str(refusal).expect("JSON");
                return Err(refusal["message"].as_str().expect("a text").to_owned());
            }
        }
        Ok(socket)
    }

    pub fn user(client: &Client) -> Socket {
        Socket::of(client, json!({}))
    }

    pub fn session(client: &Client, id: &str) -> Socket {
        let scope = json!({"clientType": "session-scoped", "sessionId": id});
        Socket::of(client, scope)
    }

    pub fn machine(client: &Client, id: &str) -> Socket {
        let scope = json!({"clientType": "machine-scoped", "machineId": id});
        Socket::of(client, scope)
    }

    fn of(client: &Client, mut auth: Value) -> Socket {
        let token = client.bearer.strip_prefix("Bearer ").expect("a token");
        auth["token"] = json!(token);
        Socket::open(client.running, &auth).expect("let in")
    }

    pub fn emit(&mut self, event: &str, argument: &Value) {
        self.say(&format!("42{}", json!([event, argument])));
    }

    /// Sends an event and gives back what its answer is known by.
    pub fn begin(&mut self, event: &str, argument: &Value) -> u64 {
        let id = self.next_ack;
        self.next_ack += 1;
        self.say(&format!("42{id}{}", json!([event, argument])));
        id
    }

    pub fn ask(&mut self, event: &str, argument: &Value) -> Value {
        let id = self.begin(event, argument);
        self.answer(id)
    }

    /// The answer to what was begun; `Null` when the server is gone.
    pub fn answer(&mut self, id: u64) -> Value {
        let start = format!("43{id}[");
        while let Some(packet) = self.packet() {
            if let Some(rest) = packet.strip_prefix(&start) {
                let answer: Value = serde_json::from_str(&format!("[{rest}")).expect("JSON");
                return answer[0].clone();
            }
            self.keep(&packet);
        }
        Value::Null
    }

    /// The next event.
    #[track_caller]
    pub fn hear(&mut self) -> (String, Value) {
        if let Some(event) = self.heard.pop_front() {
            return event;
        }
        let packet = self.packet().expect("still open");
        self.keep(&packet);
        self.heard.pop_front().expect("an event and no answer")
    }

    #[track_caller]
    pub fn hears_update(&mut self) -> Value {
        let (event, update) = self.hear();
        assert_eq!(event, "update", "{update}");
        update
    }

    #[track_caller]
    pub fn hears_ephemeral(&mut self) -> Value {
        let (event, told) = self.hear();
        assert_eq!(event, "ephemeral", "{told}");
        told
    }

    /// Nothing was sent to it before the answer to this.
    #[track_caller]
    pub fn hears_nothing(&mut self) {
        assert_eq!(self.ask("ping", &json!(null)), json!({}));
        assert_eq!(self.heard, []);
    }

    /// A request to this worker: what its answer is known by, and what is asked.
    #[track_caller]
    pub fn hears_request(&mut self) -> (String, Value) {
        let packet = self.packet().expect("a request");
        let digits: String = packet[2..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let request: Value = serde_json::from_str(&packet[2 + digits.len()..]).expect("JSON");
        assert_eq!(request[0], "rpc-request", "{packet}");
        (digits, request[1].clone())
    }

    pub fn answers(&mut self, request: &str, answer: &Value) {
        self.say(&format!("43{request}{}", json!([answer])));
    }

    /// A packet as it stands on the wire, and one binary part after it.
    pub fn say_binary(&mut self, packet: &str, part: &[u8]) {
        self.say(packet);
        let _ = self.wire.send(Message::binary(part.to_vec()));
    }

    /// The next packet as it stands on the wire, and the binary part after it.
    #[track_caller]
    pub fn hears_binary(&mut self) -> (String, Vec<u8>) {
        let packet = self.packet().expect("a packet");
        match self.wire.read().expect("a part") {
            Message::Binary(part) => (packet, part.to_vec()),
            other => panic!("{other:?} after {packet}"),
        }
    }

    /// Answers the next request and gives back its params.
    #[track_caller]
    pub fn works(&mut self, answer: &Value) -> Value {
        let (id, request) = self.hears_request();
        self.answers(&id, answer);
        request["params"].clone()
    }

    /// Packets until the server closes.
    pub fn reads_to_its_end(&mut self) -> usize {
        std::iter::from_fn(|| self.packet()).count()
    }

    fn keep(&mut self, packet: &str) {
        let event = packet.strip_prefix("42").expect("an event");
        let event: Value = serde_json::from_str(event).expect("JSON");
        let name = event[0].as_str().expect("a name").to_owned();
        self.heard.push_back((name, event[1].clone()));
    }

    fn say(&mut self, text: &str) {
        // A server that is gone shows when it is listened to.
        let _ = self.wire.send(Message::text(text));
    }

    /// The next packet that is no ping; `None` when the server closed.
    fn packet(&mut self) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.wire.read() {
                Ok(Message::Text(text)) if text.as_str() == "2" => {
                    assert!(
                        Instant::now() < deadline,
                        "only pings came within {PATIENCE:?}"
                    );
                    self.say("3");
                }
                Ok(Message::Text(text)) if text.starts_with('0') => {}
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(Message::Close(_)) => return None,
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if error.kind() == std::io::ErrorKind::WouldBlock =>
                {
                    panic!("nothing came within {PATIENCE:?}")
                }
                Err(_) => return None,
            }
        }
    }
}
