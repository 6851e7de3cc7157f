//! Expo's push service and a server of ntfy, by the letter of their documents: what they would not
//! take is answered 400 and remembered as a complaint.

#![allow(dead_code)] // Each test target uses its own part of this.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};

/// A phone of this beginning has lost the app, and Expo knows it.
pub const GONE: &str = "ExponentPushToken[gone";
/// Expo learns it only when it has tried.
pub const GONE_LATER: &str = "ExponentPushToken[later";
/// Expo takes no message for it.
pub const FULL: &str = "ExponentPushToken[full";

#[derive(Clone)]
pub struct Expo {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Messages that were taken.
    messages: Vec<Value>,
    complaints: Vec<String>,
    /// Tickets given, each with its phone.
    tickets: Vec<(String, String)>,
    /// Answers this in place of its own, once.
    next: Option<Next>,
}

#[derive(Clone, Copy)]
pub enum Next {
    Status(u16),
    /// Good JSON that is no answer of Expo.
    Nonsense,
    /// Ends the connection without an answer.
    HangUp,
}

impl Expo {
    pub fn start() -> Expo {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let expo = Expo {
            address: listener.local_addr().expect("an address"),
            state: Arc::default(),
        };
        let served = expo.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                std::thread::spawn(move || served.serve(&stream));
            }
        });
        expo
    }

    pub fn url(&self) -> String {
        format!("http://{}/--/api/v2/push", self.address)
    }

    pub fn messages(&self) -> Vec<Value> {
        self.state.lock().expect("no panic").messages.clone()
    }

    pub fn next(&self, next: Next) {
        self.state.lock().expect("no panic").next = Some(next);
    }

    /// What was sent that Expo would not take.
    pub fn complaints(&self) -> Vec<String> {
        self.state.lock().expect("no panic").complaints.clone()
    }

    fn serve(&self, stream: &TcpStream) {
        let wait = Some(Duration::from_secs(60));
        stream.set_read_timeout(wait).expect("a limit");
        let mut reader = BufReader::new(stream);
        while let Some((line, headers, body)) = read(&mut reader) {
            let mut state = self.state.lock().expect("no panic");
            let (status, answer) = match state.next.take() {
                Some(Next::HangUp) => return,
                Some(Next::Status(status)) => (status, json!({"errors": []})),
                Some(Next::Nonsense) => (200, json!({"data": {"status": "ok"}})),
                None => state.answer(&line, &headers, &body).unwrap_or_else(|why| {
                    state.complaints.push(format!("{line}: {why}"));
                    (
                        400,
                        json!({"errors": [{"code": "VALIDATION_ERROR", "message": why}]}),
                    )
                }),
            };
            drop(state);
            let text = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                text.len()
            );
            let mut out = stream;
            if out.write_all((head + &text).as_bytes()).is_err() {
                return;
            }
        }
    }
}

impl State {
    fn answer(&mut self, line: &str, headers: &str, body: &[u8]) -> Result<(u16, Value), String> {
        if !headers.contains("content-type: application/json") {
            return Err(String::from("the body has to be JSON"));
        }
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        match line {
            "POST /--/api/v2/push/send" => self.send(&body),
            "POST /--/api/v2/push/getReceipts" => self.receipts(&body),
            "POST /" => self.publish(&body),
            _ => Err(String::from("there is no such call")),
        }
    }

    fn send(&mut self, body: &Value) -> Result<(u16, Value), String> {
        let messages = body.as_array().ok_or("no list of messages")?;
        if !(1..=100).contains(&messages.len()) {
            return Err(format!("{} messages; send 1 to 100", messages.len()));
        }
        let mut tickets = Vec::new();
        for message in messages {
            let to = checked(message)?;
            tickets.push(if to.starts_with(GONE) {
                let text = format!("{to:?} is not a registered push notification recipient");
                json!({"status": "error", "message": text, "details": {"error": "DeviceNotRegistered"}})
            } else if to.starts_with(FULL) {
                json!({"status": "error", "message": "x", "details": {"error": "MessageRateExceeded"}})
            } else {
                let id = format!("ticket-{}", self.tickets.len());
                self.tickets.push((id.clone(), to));
                self.messages.push(message.clone());
                json!({"status": "ok", "id": id})
            });
        }
        Ok((200, json!({"data": tickets})))
    }

    fn receipts(&mut self, body: &Value) -> Result<(u16, Value), String> {
        let ids = body["ids"].as_array().ok_or("no list of ids")?;
        if !(1..=1000).contains(&ids.len()) {
            return Err(format!("{} ids; send 1 to 1000", ids.len()));
        }
        let mut receipts = Map::new();
        for id in ids {
            let id = id.as_str().ok_or("an id is no text")?;
            let known = self.tickets.iter().find(|(ticket, _)| ticket == id);
            let Some((_, token)) = known else { continue };
            let receipt = match token.starts_with(GONE_LATER) {
                true => {
                    json!({"status": "error", "message": "gone", "details": {"error": "DeviceNotRegistered"}})
                }
                false => json!({"status": "ok"}),
            };
            receipts.insert(id.to_owned(), receipt);
        }
        Ok((200, json!({"data": receipts})))
    }

    /// Of ntfy.
    fn publish(&mut self, body: &Value) -> Result<(u16, Value), String> {
        let fields = body.as_object().ok_or("no object")?;
        for (name, value) in fields {
            let is_good = match name.as_str() {
                "topic" | "title" | "message" => value.is_string(),
                "priority" => value
                    .as_u64()
                    .is_some_and(|priority| (1..=5).contains(&priority)),
                _ => false,
            };
            if !is_good {
                return Err(format!("{name} is not as documented"));
            }
        }
        if body["topic"].as_str().is_none_or(str::is_empty) {
            return Err(String::from("no topic"));
        }
        self.messages.push(body.clone());
        Ok((
            200,
            json!({"id": "x", "time": 1, "event": "message", "topic": body["topic"]}),
        ))
    }
}

/// The phone of a message that Expo takes.
fn checked(message: &Value) -> Result<String, String> {
    let fields = message.as_object().ok_or("a message is no object")?;
    for (name, value) in fields {
        let is_good = match name.as_str() {
            "to" | "title" | "body" | "channelId" => value.is_string(),
            "sound" => value == "default",
            "data" => value.is_object(),
            _ => false,
        };
        if !is_good {
            return Err(format!("{name} is not as documented"));
        }
    }
    if message.to_string().len() > 4096 {
        return Err(String::from("a message is larger than 4096 bytes"));
    }
    let to = message["to"].as_str().ok_or("no recipient")?;
    match to
        .strip_prefix("ExponentPushToken[")
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(_) => Ok(to.to_owned()),
        None => Err(format!("{to:?} is no push token")),
    }
}

/// The first line without its version, the headers in lower case, the body.
fn read(reader: &mut BufReader<&TcpStream>) -> Option<(String, String, Vec<u8>)> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let call = line.trim_end().rsplit_once(' ')?.0.to_owned();
    let (mut headers, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        headers.push_str(&line);
        headers.push('\n');
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((call, headers, body))
}
