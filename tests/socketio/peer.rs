//! Clients that speak by hand: one over a WebSocket, one by single requests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::{PATH, PATIENCE};

pub struct Client(pub WebSocket<TcpStream>);

impl Client {
    /// Opened, and its open packet read.
    pub fn open(address: SocketAddr) -> (Client, Value) {
        let mut client = Client::upgraded(address, "EIO=4&transport=websocket").expect("101");
        let open = client.hear().expect("an open packet");
        let told = serde_json::from_str(open.strip_prefix('0').expect("type 0")).expect("JSON");
        (client, told)
    }

    pub fn connected(address: SocketAddr) -> Client {
        let (mut client, _) = Client::open(address);
        client.say("40");
        assert!(client.hear().expect("an answer").starts_with("40{\"sid\":"));
        client
    }

    /// The status when the server answers anything but an upgrade.
    pub fn upgraded(address: SocketAddr, query: &str) -> Result<Client, u16> {
        let tcp = TcpStream::connect(address).expect("a connection");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a limit");
        tcp.set_nodelay(true).expect("a socket");
        let url = format!("ws://localhost:{}{PATH}?{query}", address.port());
        match tungstenite::client(url, tcp) {
            Ok((socket, _)) => Ok(Client(socket)),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                Err(answer.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("sent");
    }

    pub fn say_bytes(&mut self, bytes: &[u8]) {
        self.0.send(Message::binary(bytes.to_vec())).expect("sent");
    }

    fn read(&mut self) -> Option<Message> {
        loop {
            match self.0.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => return Some(message),
                Ok(Message::Close(_)) => return None,
                Ok(_) => {}
                Err(tungstenite::Error::ConnectionClosed) => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next text; `None` when the server closed.
    pub fn hear(&mut self) -> Option<String> {
        let message = self.read()?;
        assert!(message.is_text(), "a text was awaited, not {message:?}");
        Some(message.into_text().expect("a text").to_string())
    }

    /// As [`Client::hear`], but pings are answered and not told.
    pub fn hear_event(&mut self) -> Option<String> {
        loop {
            match self.hear()?.as_str() {
                "2" => self.say("3"),
                text => return Some(text.to_owned()),
            }
        }
    }

    #[track_caller]
    pub fn expects(&mut self, text: &str) {
        assert_eq!(self.hear().as_deref(), Some(text));
    }

    #[track_caller]
    pub fn expects_event(&mut self, text: &str) {
        assert_eq!(self.hear_event().as_deref(), Some(text));
    }

    #[track_caller]
    pub fn expects_bytes(&mut self, bytes: &[u8]) {
        let message = self.read().expect("still open");
        assert_eq!(message, Message::binary(bytes.to_vec()));
    }

    #[track_caller]
    pub fn is_closed(&mut self) {
        assert_eq!(self.hear(), None);
    }

    /// Pings that were on their way are read over.
    pub fn is_closed_at_last(&mut self) {
        while self.read().is_some() {}
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    #[track_caller]
    pub fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, body));
    }
}

/// One request on its way.
pub struct Asking(TcpStream);

pub fn ask(address: SocketAddr, method: &str, query: &str, headers: &str, body: &str) -> Asking {
    let mut tcp = TcpStream::connect(address).expect("a connection");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let length = body.len();
    let request = format!(
        "{method} {PATH}?{query} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    tcp.write_all(request.as_bytes()).expect("sent");
    Asking(tcp)
}

impl Asking {
    pub fn answer(self) -> Answer {
        let mut reader = BufReader::new(self.0);
        let mut line = String::new();
        reader.read_line(&mut line).expect("a status");
        let status = line.split(' ').nth(1).expect("a status");
        let status = status.parse().expect("a number");
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a head");
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let mut body = String::new();
        reader.read_to_string(&mut body).expect("a body");
        Answer {
            status,
            headers,
            body,
        }
    }
}

pub fn get(address: SocketAddr, query: &str) -> Answer {
    ask(address, "GET", query, "", "").answer()
}

/// A client that polls.
pub struct Poller {
    pub address: SocketAddr,
    pub sid: String,
}

impl Poller {
    pub fn open(address: SocketAddr) -> Poller {
        let opened = get(address, "EIO=4&transport=polling");
        let told: Value = serde_json::from_str(&opened.body[1..]).expect("JSON");
        let sid = told["sid"].as_str().expect("an id").to_owned();
        Poller { address, sid }
    }

    pub fn connected(address: SocketAddr) -> Poller {
        let poller = Poller::open(address);
        poller.post("40").is(200, "ok");
        let told = poller.poll();
        assert!(told.body.starts_with("40{\"sid\":"), "{told:?}");
        poller
    }

    pub fn query(&self) -> String {
        format!("EIO=4&transport=polling&sid={}", self.sid)
    }

    pub fn websocket(&self) -> Client {
        let query = format!("EIO=4&transport=websocket&sid={}", self.sid);
        Client::upgraded(self.address, &query).expect("101")
    }

    pub fn begin_poll(&self) -> Asking {
        ask(self.address, "GET", &self.query(), "", "")
    }

    pub fn poll(&self) -> Answer {
        self.begin_poll().answer()
    }

    pub fn post(&self, body: &str) -> Answer {
        let kind = "content-type: text/plain;charset=UTF-8\r\n";
        ask(self.address, "POST", &self.query(), kind, body).answer()
    }
}
