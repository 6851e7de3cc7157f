//! The real program with the double as its providers, and a client of its `/ws`.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::WebSocket;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::provider::{CLAUDE_KEY, OPENAI_KEY, Provider};
use crate::support::{Home, Running};

/// Only reached when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A box all of whose stages are the double's.
pub fn home(provider: &Provider) -> Home {
    Home::new()
        .set("STT_PROVIDER", "openai")
        .set("STT_BASE_URL", &provider.openai_url())
        .set("TTS_PROVIDER", "openai")
        .set("TTS_BASE_URL", &provider.openai_url())
        .set("TTS_CACHE_MB", "0")
        .set("LLM_PROVIDER", "anthropic")
        .set("ANTHROPIC_BASE_URL", &provider.anthropic_url())
        .set("OPENAI_API_KEY", OPENAI_KEY)
        .set("CLAUDE_API_KEY", CLAUDE_KEY)
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The data of a call that has to succeed.
pub fn done(house: &Running, path: &str, body: &Value) -> Value {
    let answer = house.post(path, body);
    assert_eq!(
        answer.status,
        200,
        "{path}: {}; log:\n{}",
        answer.body,
        house.log()
    );
    answer.json()["data"].clone()
}

pub fn state(house: &Running) -> String {
    let device = house.get("/api/v1/device").json();
    device["data"]["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// A native client of `/ws`.
pub struct Client(WebSocket<TcpStream>);

impl Client {
    pub fn connect(house: &Running) -> Client {
        let stream =
            TcpStream::connect(house.address("http").expect("plain HTTP")).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let (socket, _) = tungstenite::client("ws://localhost/ws", stream).expect("upgrades");
        let mut client = Client(socket);
        client.send(
            &json!({"type": "hello", "proto": 2, "role": "client", "device_id": "t",
            "caps": {"play": ["pcm16_24000"], "aec": true}}),
        );
        client.turn_until("hello");
        client
    }

    pub fn send(&mut self, value: &Value) {
        self.0
            .send(Message::text(value.to_string()))
            .expect("sends");
    }

    pub fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.0.send(Message::binary(bytes)).expect("sends");
    }

    /// All messages up to the first of this type, the sound as samples beside them.
    pub fn turn_until(&mut self, kind: &str) -> Turn {
        let deadline = Instant::now() + PATIENCE;
        let mut turn = Turn::default();
        loop {
            assert!(
                Instant::now() < deadline,
                "no {kind} among {:?}",
                turn.messages
            );
            match self.0.read().expect("a message within the time") {
                Message::Text(text) => {
                    let value: Value = serde_json::from_str(&text).expect("JSON");
                    let found = value["type"] == kind;
                    turn.messages.push(value);
                    if found {
                        return turn;
                    }
                }
                Message::Binary(bytes) => {
                    let payload = bytes[8..].chunks_exact(2);
                    turn.sound
                        .extend(payload.map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
                }
                _ => {}
            }
        }
    }

    /// A typed question, answered by voice.
    pub fn ask(&mut self, text: &str) -> Turn {
        self.send(&json!({"type": "text", "text": text, "speak": true}));
        self.turn_until("turn_done")
    }
}

#[derive(Default)]
pub struct Turn {
    pub messages: Vec<Value>,
    pub sound: Vec<i16>,
}

impl Turn {
    pub fn all(&self, kind: &str) -> Vec<&Value> {
        self.messages
            .iter()
            .filter(|message| message["type"] == kind)
            .collect()
    }

    pub fn last(&self) -> &Value {
        self.messages.last().expect("a message")
    }

    /// Codes of what went wrong.
    pub fn errors(&self) -> Vec<&str> {
        let errors = self.all("error").into_iter();
        errors.filter_map(|error| error["code"].as_str()).collect()
    }

    pub fn text(&self) -> String {
        let tokens = self.all("token").into_iter();
        tokens.filter_map(|token| token["text"].as_str()).collect()
    }
}
