//! A WebSocket to another box, for a program that has nothing else to wait for: one thread reads
//! and writes, the loop gets messages and gives them.
//!
//! Bounded both ways; a side that does not keep up ends the connection. Dropping the handle ends
//! the thread within [`LOOK`].

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver as Outgoing, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tokio::sync::{mpsc, oneshot};
use tungstenite::client::ClientRequestBuilder;
use tungstenite::protocol::{WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use super::CallError;
use super::tls::client_config;
use crate::limits::{CONNECT_TIMEOUT, THREAD_STACK_BYTES, WS_PONG_TIMEOUT};

/// What waits to be sent is looked at this often.
const LOOK: Duration = Duration::from_millis(10);
/// Messages that wait, each way.
const QUEUE: usize = 512;
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

#[derive(Clone)]
pub struct SocketRequest {
    /// `ws` or `wss`.
    pub url: http::Uri,
    pub token: Option<String>,
    /// PEM certificates trusted beside the public authorities.
    pub extra_authorities: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum SocketMessage {
    Text(String),
    Binary(Vec<u8>),
}

pub struct ClientSocket {
    out: SyncSender<SocketMessage>,
    messages: mpsc::Receiver<SocketMessage>,
}

impl ClientSocket {
    pub async fn connect(request: SocketRequest) -> Result<ClientSocket, CallError> {
        let (told, connected) = oneshot::channel();
        let (out, outgoing) = sync_channel(QUEUE);
        let (incoming, messages) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name(String::from("socket"))
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || match open(&request) {
                Ok(socket) => {
                    if told.send(Ok(())).is_ok() {
                        run(socket, &outgoing, &incoming);
                    }
                }
                Err(error) => {
                    let _ = told.send(Err(error));
                }
            })
            .map_err(|error| CallError::Connect(error.to_string()))?;
        connected
            .await
            .unwrap_or_else(|_| Err(CallError::Connect(String::from("the thread has ended"))))?;
        Ok(ClientSocket { out, messages })
    }

    /// `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<SocketMessage> {
        self.messages.recv().await
    }

    /// `Err` when it has ended or does not keep up.
    pub fn send(&self, message: SocketMessage) -> Result<(), CallError> {
        self.out
            .try_send(message)
            .map_err(|_| CallError::Connect(String::from("the connection has ended")))
    }
}

/// Plain or encrypted; both are blocking with a short limit on reads.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

fn open(request: &SocketRequest) -> Result<WebSocket<Stream>, CallError> {
    let wrong = |what: &str| CallError::Invalid(what.to_string());
    let host = request
        .url
        .host()
        .ok_or_else(|| wrong("the address names no host"))?;
    let secure = match request.url.scheme_str() {
        Some("wss") => true,
        Some("ws") => false,
        _ => return Err(wrong("the address must begin with ws:// or wss://")),
    };
    let bare = host.trim_matches(['[', ']']);
    let port = request
        .url
        .port_u16()
        .unwrap_or(if secure { 443 } else { 80 });
    let tcp = connect(bare, port)?;
    let stream = match secure {
        false => Stream::Plain(tcp),
        true => {
            let config = client_config(&request.extra_authorities)?;
            let name = ServerName::try_from(bare.to_owned())
                .map_err(|_| wrong("the host cannot stand in a certificate"))?;
            let tls = ClientConnection::new(config, name)
                .map_err(|error| CallError::Tls(error.to_string()))?;
            Stream::Tls(Box::new(StreamOwned::new(tls, tcp)))
        }
    };
    let mut builder = ClientRequestBuilder::new(request.url.clone());
    if let Some(token) = &request.token {
        builder = builder.with_header("Authorization", format!("Bearer {token}"));
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let (socket, _) = tungstenite::client::client_with_config(builder, stream, Some(config))
        .map_err(|error| match error {
            tungstenite::HandshakeError::Failure(Error::Http(answer)) => {
                CallError::Invalid(match answer.status().as_u16() {
                    401 | 403 => String::from("the box wants another token; pair this one again"),
                    status => format!("the box answers {status}"),
                })
            }
            tungstenite::HandshakeError::Failure(Error::Io(error))
                if error.kind() == io::ErrorKind::InvalidData =>
            {
                CallError::Tls(error.to_string())
            }
            error => CallError::Connect(error.to_string()),
        })?;
    let tcp = match socket.get_ref() {
        Stream::Plain(tcp) => tcp,
        Stream::Tls(tls) => &tls.sock,
    };
    tcp.set_read_timeout(Some(LOOK))
        .map_err(|error| CallError::Connect(error.to_string()))?;
    Ok(socket)
}

fn connect(host: &str, port: u16) -> Result<TcpStream, CallError> {
    let failed = |error: io::Error| CallError::Connect(error.to_string());
    let addresses = (host, port).to_socket_addrs().map_err(failed)?;
    let mut last = CallError::Connect(String::from("the name has no address"));
    for address in addresses.take(4) {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(failed)?;
                for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
                    set(&stream, Some(CONNECT_TIMEOUT)).map_err(failed)?;
                }
                return Ok(stream);
            }
            Err(error) => last = failed(error),
        }
    }
    Err(last)
}

fn run(
    mut socket: WebSocket<Stream>,
    outgoing: &Outgoing<SocketMessage>,
    incoming: &mpsc::Sender<SocketMessage>,
) {
    let mut heard = Instant::now();
    loop {
        loop {
            let message = match outgoing.try_recv() {
                Ok(SocketMessage::Text(text)) => Message::text(text),
                Ok(SocketMessage::Binary(bytes)) => Message::binary(bytes),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    let _ = socket.close(None);
                    let _ = socket.flush();
                    return;
                }
            };
            if socket.write(message).is_err() {
                return;
            }
        }
        if let Err(error) = socket.flush()
            && !is_pause(&error)
        {
            return;
        }
        let message = match socket.read() {
            Ok(Message::Text(text)) => SocketMessage::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => SocketMessage::Binary(bytes.to_vec()),
            // Pings are answered by the next flush.
            Ok(_) => {
                heard = Instant::now();
                continue;
            }
            Err(error) if is_pause(&error) => {
                // The box pings; one that is silent for so long is gone.
                if heard.elapsed() > WS_PONG_TIMEOUT {
                    return;
                }
                continue;
            }
            Err(_) => return,
        };
        heard = Instant::now();
        if incoming.try_send(message).is_err() {
            return;
        }
    }
}

fn is_pause(error: &Error) -> bool {
    matches!(error, Error::Io(error)
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
}
