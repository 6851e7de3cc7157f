//! A box with a model, and a reader of event streams.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::provider::{CLAUDE_KEY, OPENAI_KEY, Provider, Route};
use crate::support::{Home, Running};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Anthropic,
    OpenAi,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Anthropic => "anthropic",
            Kind::OpenAi => "openai",
        }
    }

    pub fn route(self) -> Route {
        match self {
            Kind::Anthropic => Route::Messages,
            Kind::OpenAi => Route::Chat,
        }
    }
}

pub struct Rig {
    pub provider: Provider,
    pub home: Home,
    kind: Kind,
}

impl Rig {
    pub fn new(kind: Kind) -> Rig {
        let provider = Provider::start();
        let home = Home::new()
            .set("LLM_PROVIDER", kind.name())
            .set("AUTO_MEMORY", "off")
            .set("STT_PROVIDER", "none")
            .set("TTS_PROVIDER", "none");
        let home = match kind {
            Kind::Anthropic => home
                .set("CLAUDE_API_KEY", CLAUDE_KEY)
                .set("ANTHROPIC_BASE_URL", &provider.anthropic_url()),
            Kind::OpenAi => home
                .set("OPENAI_API_KEY", OPENAI_KEY)
                .set("LLM_BASE_URL", &provider.openai_url()),
        };
        Rig {
            provider,
            home,
            kind,
        }
    }

    /// The same with one more setting.
    pub fn set(mut self, name: &'static str, value: &str) -> Rig {
        self.home = self.home.set(name, value);
        self
    }

    /// Bodies of the requests so far.
    pub fn asked(&self) -> Vec<Value> {
        let requests = self.provider.requests(self.kind.route());
        requests.into_iter().map(|seen| seen.json).collect()
    }

    /// What tools gave back, in the last request.
    pub fn tool_results(&self) -> Vec<String> {
        let asked = self.asked();
        let messages = asked.last().expect("a request")["messages"].clone();
        let mut results = Vec::new();
        for message in messages.as_array().expect("messages") {
            if message["role"] == "tool" {
                results.push(message["content"].as_str().unwrap_or_default().to_owned());
            }
            for block in message["content"].as_array().into_iter().flatten() {
                if block["type"] == "tool_result" {
                    results.push(block["content"].as_str().unwrap_or_default().to_owned());
                }
            }
        }
        results
    }
}

pub fn chat(running: &Running<'_>, message: &str) -> Value {
    let answer = running.post("/api/v1/chat", &json!({ "message": message }));
    assert_eq!(answer.status, 200, "{message}: {answer:?}");
    answer.json()["data"].clone()
}

pub fn content(answer: &Value) -> &str {
    answer["content"].as_str().expect("a content")
}

/// Messages of a conversation.
pub fn stored(running: &Running<'_>, conversation: &str) -> Vec<Value> {
    let answer = running.get(&format!("/api/v1/conversations/{conversation}"));
    let json = answer.json();
    json["data"]["messages"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// An answer that is read as it comes.
pub struct Stream {
    reader: BufReader<TcpStream>,
}

pub type Event = (String, Value);

pub fn stream(running: &Running<'_>, message: &str) -> Stream {
    stream_of(running, &json!({ "message": message, "stream": true }))
}

pub fn stream_of(running: &Running<'_>, body: &Value) -> Stream {
    let address = running.address("http").expect("plain HTTP is on");
    let mut tcp = TcpStream::connect(address).expect("connects");
    tcp.set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    let body = body.to_string();
    let request = format!(
        "POST /api/v1/chat HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tcp.write_all(request.as_bytes()).expect("sends");
    Stream {
        reader: BufReader::new(tcp),
    }
}

impl Stream {
    /// The next event; sizes of chunks and comments are passed over.
    pub fn next(&mut self) -> Option<Event> {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).expect("bytes in time") == 0 {
                return None;
            }
            let line = line.trim_end();
            if let Some(event) = line.strip_prefix("event:") {
                name = event.trim().to_owned();
            } else if let Some(data) = line.strip_prefix("data:") {
                return Some((name, serde_json::from_str(data.trim()).expect("JSON")));
            }
        }
    }

    pub fn until(&mut self, wanted: &str) -> Value {
        while let Some((name, data)) = self.next() {
            if name == wanted {
                return data;
            }
        }
        panic!("the stream ended before {wanted}");
    }

    pub fn all(mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

pub fn tokens(events: &[Event]) -> String {
    let tokens = events.iter().filter(|(name, _)| name == "token");
    tokens
        .filter_map(|(_, data)| data["text"].as_str())
        .collect()
}
