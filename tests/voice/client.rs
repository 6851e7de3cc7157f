//! A WebSocket client by an independent implementation.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::time::Instant;

use serde_json::Value;
use tokio_tungstenite::tungstenite::protocol::WebSocket;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::house::{Door, PATIENCE};

pub struct Client {
    socket: WebSocket<TcpStream>,
    /// Read while something else was looked for.
    passed: VecDeque<Message>,
}

impl Client {
    pub fn connect(house: &Door) -> Client {
        let stream = TcpStream::connect(house.address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let (socket, _) = tungstenite::client("ws://localhost/ws", stream).expect("upgrades");
        Client {
            socket,
            passed: VecDeque::new(),
        }
    }

    pub fn send(&mut self, value: &Value) {
        self.send_text(&value.to_string());
    }

    pub fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("sends");
    }

    pub fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).expect("sends");
    }

    pub fn next(&mut self) -> Message {
        match self.passed.pop_front() {
            Some(message) => message,
            None => self.read(),
        }
    }

    fn read(&mut self) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.socket.read().expect("a message within the time");
            // The server's pings would renew the limit of a single read for ever.
            assert!(Instant::now() < deadline, "only pings came in the time");
            if matches!(
                message,
                Message::Text(_) | Message::Binary(_) | Message::Close(_)
            ) {
                return message;
            }
        }
    }

    pub fn json(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.next() {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    }

    /// The next message of a type; others are passed over.
    pub fn until(&mut self, kind: &str) -> Value {
        let mut seen = Vec::new();
        for _ in 0..5_000 {
            let value = self.json();
            if value["type"] == kind {
                return value;
            }
            seen.push(value["type"].to_string());
        }
        panic!("no {kind} among {seen:?}");
    }

    /// All that comes before the pong of a ping: nothing sent before is missed.
    pub fn rest(&mut self) -> Vec<Message> {
        self.send_text(r#"{"type":"ping"}"#);
        let mut rest = Vec::new();
        loop {
            let message = self.next();
            if let Message::Text(text) = &message
                && text.contains(r#""pong""#)
            {
                return rest;
            }
            rest.push(message);
        }
    }
}
