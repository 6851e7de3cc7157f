//! A server with routes for tests, and a client that speaks bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use magpie::clock::Clock;
use magpie::ops::Registry;
use magpie::server::files::{Asset, Folder};
use magpie::server::{
    Access, Caller, EventStream, Gatekeeper, HeaderMap, HeaderValue, HttpError, Method,
    RequestHead, Response, Role, Router, Server, ServerLimits, ServerOptions, StatusCode,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Patience of a test's client; only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct House {
    pub http: SocketAddr,
    pub https: Option<SocketAddr>,
    pub metrics: Registry,
    /// Holds what `/files/` serves, and whatever else a test keeps on disk.
    pub folder: tempfile::TempDir,
    orders: tokio::sync::mpsc::UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

type Order = Box<dyn FnOnce(Server) -> std::pin::Pin<Box<dyn Future<Output = ()>>> + Send>;

/// `owner` and `device` tokens; everybody else is nobody.
struct Tokens;

impl Gatekeeper for Tokens {
    fn identify(&self, head: &RequestHead) -> Caller {
        let role = match head.header("authorization") {
            Some("Bearer owner") => Role::Owner,
            Some("Bearer device") => Role::Device,
            _ => Role::Nobody,
        };
        Caller { role, device: None }
    }
}

impl House {
    pub fn start() -> House {
        House::with(|_| {})
    }

    /// `change` sees the options before the server is bound.
    pub fn with(change: impl FnOnce(&mut ServerOptions) + Send + 'static) -> House {
        let (told, hear) = mpsc::channel();
        let (orders, mut ordered) = tokio::sync::mpsc::unbounded_channel::<Order>();
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_owned();
        let metrics = Registry::default();
        let registry = metrics.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let mut options = ServerOptions::new(Clock::system(), registry);
                options.http = Some(([127, 0, 0, 1], 0).into());
                change(&mut options);
                let server =
                    Server::bind(options, routes(root), Rc::new(Tokens)).expect("a free port");
                server.start();
                told.send((server.http_address(), server.https_address()))
                    .expect("the test waits");
                while let Some(order) = ordered.recv().await {
                    tokio::task::spawn_local(order(server.clone()));
                }
            });
        });
        let (http, https) = hear.recv().expect("the server has started");
        House {
            http: http.expect("a plain listener"),
            https,
            metrics,
            folder,
            orders,
            thread: Some(thread),
        }
    }

    /// Runs `work` on the server's loop and waits for what it gives.
    pub fn ask<T, F>(&self, work: impl FnOnce(Server) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (told, hear) = mpsc::channel();
        let order: Order = Box::new(move |server| {
            let work = work(server);
            Box::pin(async move {
                let _ = told.send(work.await);
            })
        });
        assert!(self.orders.send(order).is_ok(), "the server still runs");
        hear.recv_timeout(PATIENCE).expect("an answer of the loop")
    }

    pub fn connect(&self) -> Client {
        Client::to(self.http)
    }

    /// One request on a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        self.connect()
            .ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let (closed, _) = tokio::sync::mpsc::unbounded_channel();
        drop(std::mem::replace(&mut self.orders, closed));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub struct Client {
    pub tcp: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Lower-case head without the status line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Client {
    pub fn to(address: SocketAddr) -> Client {
        let tcp = TcpStream::connect(address).expect("the server listens");
        tcp.set_read_timeout(Some(PATIENCE)).expect("an option");
        tcp.set_write_timeout(Some(PATIENCE)).expect("an option");
        Client {
            tcp,
            read: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tcp
            .write_all(bytes.as_ref())
            .expect("the server reads");
    }

    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// The next answer, by its Content-Length, chunks, or none for HEAD-like ones.
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET").expect("an answer")
    }

    pub fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end;
            }
            if !self.fill() {
                return None;
            }
        };
        let head = String::from_utf8(self.read[..end].to_vec())
            .expect("an ASCII head")
            .to_ascii_lowercase();
        self.read.drain(..end + 4);
        let (first, head) = head.split_once("\r\n").unwrap_or((&head, ""));
        let status: u16 = first[9..12].parse().expect("a status");
        let mut answer = Answer {
            status,
            head: head.to_owned(),
            body: Vec::new(),
        };
        let bodiless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        if bodiless {
            return Some(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body.extend(chunk);
            }
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().expect("a length");
            while self.read.len() < length {
                assert!(self.fill(), "the body ends early");
            }
            answer.body = self.read.drain(..length).collect();
        } else {
            while self.fill() {}
            answer.body = std::mem::take(&mut self.read);
        }
        Some(answer)
    }

    /// The next chunk of a chunked answer; `None` at its end.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = loop {
            if let Some(line) = find(&self.read, b"\r\n") {
                break line;
            }
            if !self.fill() {
                return None;
            }
        };
        let size = std::str::from_utf8(&self.read[..line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size in hex");
        while self.read.len() < line + 2 + size + 2 {
            if !self.fill() {
                return None;
            }
        }
        let chunk = self.read[line + 2..line + 2 + size].to_vec();
        self.read.drain(..line + 2 + size + 2);
        (size > 0).then_some(chunk)
    }

    /// Reads a head and leaves the body where it is.
    pub fn head_only(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                return String::from_utf8_lossy(&head).to_ascii_lowercase();
            }
            assert!(self.fill(), "the server closes early");
        }
    }

    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.fill(), "the server closes early");
        }
        self.read.drain(..count).collect()
    }

    /// Whether the server closes, without another byte before.
    pub fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill()
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.tcp.read(&mut buffer) {
            Ok(0) => false,
            Ok(read) => {
                self.read.extend_from_slice(&buffer[..read]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("the server says nothing: {error}"),
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[derive(serde::Deserialize)]
struct Said {
    message: String,
}

fn routes(root: PathBuf) -> Router {
    let mut router = Router::default();
    let public = Access::Public;
    router
        .route(Method::GET, "/health", public, |_| async {
            Ok(Response::json(
                StatusCode::OK,
                &json!({"status": "healthy"}),
            ))
        })
        .uncounted();
    router.route(Method::POST, "/say", public, |mut request| async move {
        let said: Said = request.json().await?;
        Ok(Response::json(
            StatusCode::OK,
            &json!({"heard": said.message}),
        ))
    });
    router.route(Method::POST, "/echo", public, |mut request| async move {
        let body = request.body(1 << 20).await?;
        Ok(Response::bytes(
            StatusCode::OK,
            "application/octet-stream",
            body,
        ))
    });
    router.route(Method::POST, "/count", public, |mut request| async move {
        let mut total = 0;
        while let Some(chunk) = request.body_chunk(8 << 20).await? {
            total += chunk.len();
        }
        Ok(Response::text(StatusCode::OK, total.to_string()))
    });
    router.route(Method::GET, "/items/{id}", public, |request| async move {
        let query = request.query("q").unwrap_or_default();
        Ok(Response::text(
            StatusCode::OK,
            format!("{} {query}", request.param("id")),
        ))
    });
    router.route(Method::GET, "/mine", Access::Member, |_| async {
        Ok(Response::text(StatusCode::OK, "mine"))
    });
    router.route(Method::GET, "/admin", Access::Admin, |_| async {
        Ok(Response::text(StatusCode::OK, "admin"))
    });
    router.route(Method::GET, "/page", public, |_| async {
        Ok(Response::html(StatusCode::OK, "<p>words </p>".repeat(400)))
    });
    router.route(Method::GET, "/panic", public, |_| async {
        if true {
            panic!("on purpose");
        }
        Err(HttpError::invalid("never"))
    });
    router.route(Method::GET, "/large", public, |_| async {
        Ok(Response::bytes(
            StatusCode::OK,
            "application/octet-stream",
            vec![7; 64 << 20],
        ))
    });
    router.route(Method::GET, "/count-to-three", public, |_| async {
        let (sender, stream) = EventStream::new();
        for number in 1..=3 {
            let _ = sender.send("number", &json!({"number": number}));
        }
        Ok(Response::events(stream))
    });
    router.route(Method::GET, "/flood", public, |_| async {
        let (sender, stream) = EventStream::new();
        tokio::task::spawn_local(async move {
            let data = json!({"text": "x".repeat(16 * 1024)});
            while sender.ready().await.is_ok() && sender.send("flood", &data).is_ok() {}
        });
        Ok(Response::events(stream))
    });
    router.route(Method::GET, "/quiet", public, |_| async {
        let (sender, stream) = EventStream::new();
        tokio::task::spawn_local(async move { sender.gone().await });
        Ok(Response::events(stream.endless()))
    });
    let folder = Rc::new(Folder::new(root));
    router.route(Method::GET, "/files/{path...}", public, move |request| {
        let folder = folder.clone();
        async move { folder.respond(&request.head, request.param("path")).await }
    });
    let asset = Rc::new(Asset::new("text/css; charset=utf-8", STYLE.as_bytes()));
    router.route(Method::GET, "/style.css", public, move |request| {
        let asset = asset.clone();
        async move { Ok(asset.respond(&request.head)) }
    });
    router.route(Method::GET, "/upgrade", public, |_| async {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", HeaderValue::from_static("echo"));
        headers.insert("connection", HeaderValue::from_static("upgrade"));
        Ok(Response::upgrade(headers, |upgraded| async move {
            let (mut stream, leftover, _slot) = upgraded.into_parts();
            if stream.write_all(&leftover).await.is_err() {
                return;
            }
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        }))
    });
    router
}

/// Long enough to be worth packing.
pub const STYLE: &str = include_str!("house.rs");

/// Limits so short that a test need not wait for them.
pub fn impatient() -> ServerLimits {
    ServerLimits {
        sweep: Duration::from_millis(20),
        head: Duration::from_millis(300),
        tls_handshake: Duration::from_millis(300),
        idle: Duration::from_millis(600),
        idle_crowded: Duration::from_millis(300),
        body_gap: Duration::from_millis(300),
        write_stall: Duration::from_millis(500),
        heartbeat: Duration::from_millis(100),
        shutdown_streams: Duration::from_millis(500),
        ..ServerLimits::default()
    }
}

/// What a second server on `taken` is told.
pub fn bind_error(taken: SocketAddr) -> String {
    let mut options = ServerOptions::new(Clock::system(), Registry::default());
    options.http = Some(taken);
    match Server::bind(options, Router::default(), Rc::new(Tokens)) {
        Ok(_) => panic!("the port was free"),
        Err(error) => error.to_string(),
    }
}
