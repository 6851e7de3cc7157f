//! What an idle WebSocket costs, and how long a broadcast takes. Prints `name value unit`.
//!
//! Server and clients are processes of their own, so that resident memory is the server's alone.
//! The peer is tokio-tungstenite with a read buffer of 4 kB, in the same run.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use magpie::clock::Clock;
use magpie::ops::Registry;
use magpie::server::tls::Tls;
use magpie::server::websocket::{self, Endpoint, Frame, Message, Socket, UpgradeOptions};
use magpie::server::{
    Access, Caller, Gatekeeper, Method, RequestHead, Role, Router, Server, ServerOptions,
};
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt;
use tokio::task::LocalSet;

const ROLE: &str = "MAGPIE_BENCH_ROLE";
const PAYLOAD_BYTES: usize = 200;

fn main() {
    raise_descriptors();
    match std::env::var(ROLE).as_deref() {
        Ok("plain") => return on_loop(serve(false)),
        Ok("tls") => return on_loop(serve(true)),
        Ok("peer") => return on_loop(serve_peer()),
        _ => {}
    }
    let ours = plain("plain", "websocket");
    let peer = plain("peer", "peer_tokio_tungstenite");
    println!("ratio_idle_bytes_to_peer {:.3} x", ours.0 / peer.0);
    println!("ratio_broadcast_to_peer {:.3} x", ours.1 / peer.1);
    tls();
}

/// Bytes a socket at the larger count, and the time of a broadcast to 10,000.
fn plain(role: &str, name: &str) -> (f64, f64) {
    let mut server = ServerProcess::start(role);
    let before = server.resident_kib();
    let mut clients: Vec<TcpStream> = Vec::new();
    let mut bytes = 0.0;
    let mut last_ms = 0.0;
    for count in [1_000, 10_000, 15_000] {
        while clients.len() < count {
            let mut tcp = TcpStream::connect(server.address).unwrap();
            handshake(&mut tcp);
            clients.push(tcp);
        }
        bytes = (server.resident_kib() - before) * 1024.0 / count as f64;
        let budget = if role == "plain" {
            " (budget 1500)"
        } else {
            ""
        };
        println!("{name}_idle_bytes_at_{count} {bytes:.0} B{budget}");
        if count == 10_000 {
            // The first fills caches on both sides.
            server.broadcast(&mut clients);
            let (last, loop_ms) = server.broadcast(&mut clients);
            last_ms = last;
            println!("{name}_broadcast_10000_last_delivery {last:.1} ms");
            println!("{name}_broadcast_10000_loop {loop_ms:.1} ms");
        }
    }
    drop(clients);
    (bytes, last_ms)
}

fn tls() {
    let mut server = ServerProcess::start("tls");
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from(hex(&server.authority)))
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let before = server.resident_kib();
    let mut clients = Vec::new();
    // The box itself takes no more than 5,000 over TLS.
    for count in [1_000, 4_000] {
        while clients.len() < count {
            let name = ServerName::try_from("localhost").unwrap();
            let session = rustls::ClientConnection::new(config.clone(), name).unwrap();
            let tcp = TcpStream::connect(server.address).unwrap();
            let mut tls = rustls::StreamOwned::new(session, tcp);
            handshake(&mut tls);
            clients.push(tls);
        }
        let bytes = (server.resident_kib() - before) * 1024.0 / count as f64;
        println!("websocket_tls_idle_bytes_at_{count} {bytes:.0} B (budget 12000)");
    }
    drop(clients);
}

fn handshake(stream: &mut (impl Read + Write)) {
    stream
        .write_all(
            b"GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n",
        )
        .unwrap();
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{head:?}");
}

struct ServerProcess {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    address: SocketAddr,
    /// DER in hex; empty without TLS.
    authority: String,
}

impl ServerProcess {
    fn start(role: &str) -> ServerProcess {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let (address, authority) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        ServerProcess {
            child,
            orders,
            answers,
            address: address.parse().unwrap(),
            authority: authority.to_owned(),
        }
    }

    fn resident_kib(&mut self) -> f64 {
        // A moment for what the last handshakes leave behind.
        std::thread::sleep(Duration::from_millis(1_500));
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Until the last of the clients has its frame, and the time the server's loop was at it.
    fn broadcast(&mut self, clients: &mut [TcpStream]) -> (f64, f64) {
        let began = Instant::now();
        self.orders.write_all(b"broadcast\n").unwrap();
        let mut frame = [0; PAYLOAD_BYTES + 4];
        for client in clients {
            client.read_exact(&mut frame).unwrap();
        }
        let last = began.elapsed().as_secs_f64() * 1_000.0;
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        (last, line.trim().parse().unwrap())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Idle;

impl Endpoint for Idle {
    fn message(&mut self, _: &Socket, _: Message<'_>) {}
    fn closed(&mut self, _: u16) {}
}

struct Anybody;

impl Gatekeeper for Anybody {
    fn identify(&self, _: &RequestHead) -> Caller {
        Caller {
            role: Role::Owner,
            device: None,
        }
    }
}

async fn serve(with_tls: bool) {
    let sockets: Rc<RefCell<Vec<Socket>>> = Rc::default();
    let mut router = Router::default();
    let known = sockets.clone();
    router.route(Method::GET, "/ws", Access::Public, move |request| {
        let known = known.clone();
        async move {
            websocket::upgrade(request, UpgradeOptions::default(), move |socket| {
                known.borrow_mut().push(socket.clone());
                Idle
            })
        }
    });
    let mut options = ServerOptions::new(Clock::system(), Registry::default());
    let folder = TempDir::new().unwrap();
    let mut authority = String::new();
    let loopback = ([127, 0, 0, 1], 0).into();
    if with_tls {
        let now = options.clock.wall();
        let tls = Tls::own(folder.path(), "magpie", &[], now).unwrap();
        let der = tls.authority_der().unwrap();
        authority = der.iter().map(|byte| format!("{byte:02x}")).collect();
        options.tls = Some(tls);
        options.https = Some(loopback);
    } else {
        options.http = Some(loopback);
    }
    let server = Server::bind(options, router, Rc::new(Anybody)).unwrap();
    server.start();
    let address = server.http_address().or(server.https_address()).unwrap();
    println!("{address} {authority}");
    let frame = Frame::binary(&[&[7; PAYLOAD_BYTES]]);
    each_order(async || {
        let sockets = sockets.borrow().clone();
        websocket::broadcast(frame.clone(), sockets).await;
    })
    .await;
}

async fn serve_peer() {
    use peer::{Sinks, accept};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let sinks = Sinks::default();
    let known = sinks.clone();
    tokio::task::spawn_local(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(accept(tcp, known.clone()));
        }
    });
    each_order(async || sinks.send_to_all(vec![7; PAYLOAD_BYTES]).await).await;
}

/// The peer as one would write it with the library.
mod peer {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use futures_util::SinkExt;
    use tokio::net::TcpStream;
    use tokio::sync::{Notify, mpsc};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

    #[derive(Clone, Default)]
    pub struct Sinks {
        queues: Rc<RefCell<Vec<mpsc::UnboundedSender<Message>>>>,
        left: Rc<Cell<usize>>,
        done: Rc<Notify>,
    }

    impl Sinks {
        pub async fn send_to_all(&self, payload: Vec<u8>) {
            let message = Message::Binary(payload.into());
            self.left.set(self.queues.borrow().len());
            for queue in self.queues.borrow().iter() {
                let _ = queue.send(message.clone());
            }
            self.done.notified().await;
        }
    }

    pub async fn accept(tcp: TcpStream, sinks: Sinks) {
        tcp.set_nodelay(true).unwrap();
        let config = WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0);
        let accepted = tokio_tungstenite::accept_async_with_config(tcp, Some(config)).await;
        let mut socket: WebSocketStream<TcpStream> = accepted.unwrap();
        let (queue, mut waiting) = mpsc::unbounded_channel();
        sinks.queues.borrow_mut().push(queue);
        while let Some(message) = waiting.recv().await {
            socket.send(message).await.unwrap();
            sinks.left.set(sinks.left.get() - 1);
            if sinks.left.get() == 0 {
                sinks.done.notify_one();
            }
        }
    }
}

/// Does `work` for each line of standard input and prints how long it took, in ms.
async fn each_order(work: impl AsyncFn()) {
    let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut &writer);
        std::process::exit(0);
    });
    reader.set_nonblocking(true).unwrap();
    let reader = tokio::net::UnixStream::from_std(reader).unwrap();
    let mut lines = tokio::io::BufReader::new(reader).lines();
    while let Ok(Some(_)) = lines.next_line().await {
        let began = Instant::now();
        work().await;
        println!("{:.3}", began.elapsed().as_secs_f64() * 1_000.0);
    }
}

fn on_loop(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, work);
}

fn raise_descriptors() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls take one live value.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
