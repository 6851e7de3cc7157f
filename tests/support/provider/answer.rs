//! Answers on their way out, with whatever is to go wrong with them.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::Fault;

/// What a model says.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub text: String,
    /// Tools to call, with their input.
    pub calls: Vec<(String, Value)>,
    /// Before each piece of text.
    pub pause: Duration,
}

impl Reply {
    pub fn text(text: &str) -> Reply {
        Reply {
            text: text.to_owned(),
            ..Reply::default()
        }
    }

    pub fn call(name: &str, input: Value) -> Reply {
        Reply {
            calls: vec![(name.to_owned(), input)],
            ..Reply::default()
        }
    }

    pub fn and_call(mut self, name: &str, input: Value) -> Reply {
        self.calls.push((name.to_owned(), input));
        self
    }

    pub fn pausing(mut self, pause: Duration) -> Reply {
        self.pause = pause;
        self
    }

    /// As models stream: a few characters at a time.
    pub fn pieces(&self) -> Vec<String> {
        let chars: Vec<char> = self.text.chars().collect();
        chars
            .chunks(5)
            .map(|piece| piece.iter().collect())
            .collect()
    }
}

pub struct Out<'a> {
    stream: &'a TcpStream,
    fault: Option<&'a Fault>,
    status: u16,
    /// Bytes that may still be sent.
    left: Option<usize>,
    broken: bool,
}

impl<'a> Out<'a> {
    pub fn new(stream: &'a TcpStream, fault: Option<&'a Fault>) -> Out<'a> {
        let left = match fault {
            Some(Fault::Cut(bytes)) => Some(*bytes),
            _ => None,
        };
        Out {
            stream,
            fault,
            status: 0,
            left,
            broken: false,
        }
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn fault(&self) -> Option<&'a Fault> {
        self.fault
    }

    pub fn document(&mut self, status: u16, headers: &[(&str, String)], body: &Value) -> bool {
        let more: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        self.whole(
            status,
            "application/json",
            &more,
            body.to_string().as_bytes(),
        )
    }

    pub fn bytes(&mut self, status: u16, kind: &str, body: &[u8]) -> bool {
        self.whole(status, kind, "", body)
    }

    fn whole(&mut self, status: u16, kind: &str, more: &str, body: &[u8]) -> bool {
        self.status = status;
        let head = format!(
            "HTTP/1.1 {status} {}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nrequest-id: req_test\r\n{more}\r\n",
            phrase(status),
            body.len()
        );
        self.send(head.as_bytes()) && self.body(body) && !self.broken
    }

    fn body(&mut self, body: &[u8]) -> bool {
        let Some(Fault::Drip(bytes, pause)) = self.fault else {
            return self.send(body);
        };
        body.chunks(*bytes).all(|piece| {
            std::thread::sleep(*pause);
            self.send(piece)
        })
    }

    /// A body whose length nobody knows yet.
    pub fn begin(&mut self, kind: &str) -> bool {
        self.status = 200;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\nrequest-id: req_test\r\n\r\n"
        );
        self.send(head.as_bytes())
    }

    pub fn piece(&mut self, bytes: &[u8]) -> bool {
        let size = match self.fault {
            Some(Fault::Drip(bytes, _)) => *bytes,
            _ => bytes.len().max(1),
        };
        bytes.chunks(size).all(|piece| {
            if let Some(Fault::Drip(_, pause)) = self.fault {
                std::thread::sleep(*pause);
            }
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(piece);
            chunk.extend_from_slice(b"\r\n");
            self.send(&chunk)
        })
    }

    pub fn event(&mut self, name: Option<&str>, data: &Value) -> bool {
        let name = name
            .map(|name| format!("event: {name}\n"))
            .unwrap_or_default();
        self.piece(format!("{name}data: {data}\n\n").as_bytes())
    }

    pub fn end(&mut self) -> bool {
        self.send(b"0\r\n\r\n") && !self.broken
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        let allowed = self.left.map_or(bytes.len(), |left| left.min(bytes.len()));
        if let Some(left) = &mut self.left {
            *left -= allowed;
        }
        let sent = self.stream.write_all(&bytes[..allowed]).is_ok();
        let whole = allowed == bytes.len();
        self.broken |= !sent || !whole;
        sent && whole
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        429 => "Too Many Requests",
        529 => "Overloaded",
        _ => "Whatever",
    }
}
