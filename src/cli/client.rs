//! How a command reaches the box: the running one, or one started in this process for as long as
//! the command needs it. Either way it is HTTP over loopback, so there is one way and one writer.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::app::{Addresses, App, SERVER_FILE, StartError};
use crate::config::Config;

/// A spoken turn may take its time; anything longer is a fault.
const ANSWER_MAX: Duration = Duration::from_secs(300);
const CONNECT_MAX: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A box that answers.
pub struct Client {
    address: SocketAddr,
    token: Option<String>,
    /// The box that was started for this command.
    own: Option<Own>,
}

struct Own {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    pub fn connect(config: &Config) -> Result<Client, String> {
        if let Some(address) = running(config) {
            return Ok(Client {
                address,
                token: token(config),
                own: None,
            });
        }
        let (address, own) = start_own(config)?;
        Ok(Client {
            address,
            token: token(config),
            own: Some(own),
        })
    }

    /// Only if one runs; for commands that ask about the running box.
    pub fn connect_running(config: &Config) -> Option<Client> {
        Some(Client {
            address: running(config)?,
            token: token(config),
            own: None,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn get(&self, path: &str) -> Result<Value, String> {
        self.call("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.call("POST", path, Some(body))
    }

    pub fn delete(&self, path: &str) -> Result<Value, String> {
        self.call("DELETE", path, None)
    }

    /// Sends a file as it is, piece by piece.
    pub fn send_file(&self, path: &str, file: &Path) -> Result<Value, String> {
        let unreadable = |error| format!("{} cannot be read: {error}", file.display());
        let sound = File::open(file).map_err(unreadable)?;
        let length = sound.metadata().map_err(unreadable)?.len();
        let sent = self.exchange_raw("POST", path, "application/octet-stream", length, sound);
        self.data_of(sent)
    }

    /// The `data` of an answer, or its error as a sentence.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        self.data_of(self.exchange(method, path, body))
    }

    fn data_of(&self, answer: std::io::Result<(u16, String)>) -> Result<Value, String> {
        let (status, text) = answer
            .map_err(|error| format!("the box at {} did not answer: {error}", self.address))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|_| format!("the box answered {status} and no JSON"))?;
        if let Some(message) = value["error"]["message"].as_str() {
            return Err(message.to_owned());
        }
        if status >= 400 {
            return Err(format!("the box answered {status}"));
        }
        Ok(match value.get("data") {
            Some(data) => data.clone(),
            None => value,
        })
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> std::io::Result<(u16, String)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let length = body.len() as u64;
        self.exchange_raw(method, path, "application/json", length, body.as_bytes())
    }

    /// A connection on which a request has begun; the empty line after its head is to come.
    pub(super) fn open(
        &self,
        method: &str,
        path: &str,
        length: Option<u64>,
    ) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect_timeout(&self.address, CONNECT_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n",
            self.address.port()
        );
        if let Some(token) = &self.token {
            request.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        if let Some(length) = length {
            request.push_str(&format!(
                "content-type: application/octet-stream\r\ncontent-length: {length}\r\n"
            ));
        }
        stream.write_all(request.as_bytes())?;
        Ok(stream)
    }

    fn exchange_raw(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        length: u64,
        body: impl Read,
    ) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.address, CONNECT_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n",
            self.address.port()
        );
        if let Some(token) = &self.token {
            request.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        if length > 0 {
            request.push_str(&format!(
                "content-type: {content_type}\r\ncontent-length: {length}\r\n"
            ));
        }
        stream.write_all(format!("{request}\r\n").as_bytes())?;
        // A refusal may come before all of it has gone; the answer then says why.
        let _ = std::io::copy(&mut body.take(length), &mut stream);
        read_answer(BufReader::new(stream))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(own) = &mut self.own {
            drop(own.stop.take());
            if let Some(thread) = own.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

/// Status and body of an HTTP/1.1 answer that is not longer than its length says.
fn read_answer(mut from: impl BufRead) -> std::io::Result<(u16, String)> {
    let malformed = || std::io::Error::other("no HTTP answer");
    let mut line = String::new();
    from.by_ref().take(8 * 1024).read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status: u16 = status.ok_or_else(malformed)?;
    let mut length = None;
    loop {
        let mut line = String::new();
        from.by_ref().take(8 * 1024).read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<u64>().ok();
        }
    }
    let mut body = String::new();
    from.take(length.unwrap_or(ANSWER_BYTES_MAX).min(ANSWER_BYTES_MAX))
        .read_to_string(&mut body)?;
    Ok((status, body))
}

/// Where a running box answers on loopback; `None` when none does.
fn running(config: &Config) -> Option<SocketAddr> {
    let text = std::fs::read_to_string(config.data_dir().join(SERVER_FILE)).ok()?;
    let addresses: Addresses = serde_json::from_str(&text).ok()?;
    let mut address = addresses.http?;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    TcpStream::connect_timeout(&address, CONNECT_MAX).ok()?;
    Some(address)
}

fn token(config: &Config) -> Option<String> {
    let text = std::fs::read_to_string(config.data_dir().join("local.token")).ok()?;
    Some(text.trim().to_owned())
}

fn start_own(config: &Config) -> Result<(SocketAddr, Own), String> {
    // Settings hold no thread-bound value, so the house is built on its own thread from a copy.
    let config = config.clone();
    let (stop, stopped) = oneshot::channel();
    let (tell, told) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("loop".into())
        .spawn(move || keep_house(&config, &tell, stopped))
        .map_err(|error| format!("no thread could be started: {error}"))?;
    let address = match told.recv() {
        Ok(Ok(address)) => address,
        Ok(Err(why)) => return Err(why),
        Err(_) => return Err(String::from("the box ended while it started")),
    };
    let own = Own {
        stop: Some(stop),
        thread: Some(thread),
    };
    Ok((address, own))
}

fn keep_house(
    config: &Config,
    tell: &mpsc::Sender<Result<SocketAddr, String>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = tell.send(Err(format!("the event loop could not be started: {error}")));
            return;
        }
    };
    LocalSet::new().block_on(&runtime, async {
        let app = match App::start(config, true).await {
            Ok(app) => app,
            Err(error) => {
                let _ = tell.send(Err(told_start_error(&error)));
                return;
            }
        };
        let address = app.addresses().http;
        let _ = tell.send(address.ok_or_else(|| String::from("the box has no address")));
        // An error says that the sender is gone, which ends the house just as well.
        let _ = stopped.await;
        app.stop().await;
    });
}

fn told_start_error(error: &StartError) -> String {
    match error {
        StartError::Running { pid, .. } => format!(
            "the box runs as process {pid} and does not answer; look at its log, or stop it"
        ),
        other => other.to_string(),
    }
}
