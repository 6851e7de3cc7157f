//! Readers that stop, commands that take long, and an independent peer.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use magpie::clock::Clock;
use magpie::limits;
use magpie::ops::Registry;
use magpie::server::websocket::{self, Command, Endpoint, Frame, Message, Socket, UpgradeOptions};
use magpie::server::{
    Access, Caller, Gatekeeper, Method, RequestHead, Role, Router, Server, ServerOptions,
};

use super::{Anybody, masked, next, open, server};

const READERS: usize = 300;
const MESSAGES: usize = 60;
const MESSAGE_BYTES: usize = 60_000;

struct Listener;

impl Endpoint for Listener {
    fn message(&mut self, _: &Socket, _: Message<'_>) {}
    fn closed(&mut self, _: u16) {}
}

#[test]
fn three_hundred_readers_that_stop_are_closed_and_others_get_everything() {
    let (ask, asked) = mpsc::channel::<()>();
    let (told, hear) = mpsc::channel();
    std::thread::spawn(move || {
        on_loop(async move {
            let sockets: Rc<RefCell<Vec<Socket>>> = Rc::default();
            let known = sockets.clone();
            let mut router = Router::default();
            router.route(Method::GET, "/ws", Access::Public, move |request| {
                let known = known.clone();
                async move {
                    websocket::upgrade(request, UpgradeOptions::default(), move |socket| {
                        known.borrow_mut().push(socket.clone());
                        Listener
                    })
                }
            });
            let _server = start(router, &told);
            while asked.try_recv().is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let frame = Frame::binary(&[&[1; MESSAGE_BYTES]]);
            for _ in 0..MESSAGES {
                let all = sockets.borrow().clone();
                websocket::broadcast(frame.clone(), all).await;
                // The healthy ones read at their own pace.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            std::future::pending::<()>().await;
        });
    });
    let address = hear.recv().unwrap();
    let stopped: Vec<TcpStream> = (0..READERS).map(|_| open(address, b"")).collect();
    let healthy = open(address, b"");
    let before = resident_kib();
    ask.send(()).unwrap();
    let reader = std::thread::spawn(move || {
        let mut healthy = healthy;
        for _ in 0..MESSAGES {
            assert_eq!(next(&mut healthy).1.len(), MESSAGE_BYTES);
        }
    });
    let (mut peak, mut kernel) = (0, 0);
    while !reader.is_finished() {
        peak = peak.max(resident_kib());
        kernel = kernel.max(kernel_tcp_kib());
        std::thread::sleep(Duration::from_millis(5));
    }
    reader.join().expect("the healthy reader missed a message");
    println!(
        "300 stopped readers: resident kB before {before} peak {peak}, kernel TCP kB {kernel}"
    );
    // Without the small buffers the kernel held a gigabyte, without the queue's bound we did.
    assert!(peak - before < 120 * 1024, "{before} kB grew to {peak} kB");
    assert!(kernel < 300 * 1024, "{kernel} kB in the kernel");
    for mut tcp in stopped {
        let mut rest = Vec::new();
        let _ = tcp.set_read_timeout(Some(Duration::from_secs(20)));
        let _ = tcp.read_to_end(&mut rest);
        assert!(
            rest.len() < MESSAGES * MESSAGE_BYTES,
            "it was never too slow"
        );
    }
}

/// Keeps every command open until it is told to end them.
#[derive(Default)]
struct Busy(Vec<Command>);

impl Endpoint for Busy {
    fn message(&mut self, socket: &Socket, message: Message<'_>) {
        match message {
            Message::Text("how many") => socket.send(Frame::text(&self.0.len().to_string())),
            _ => {
                self.0.push(socket.begin_command());
                if self.0.len() == limits::WS_COMMANDS_MAX {
                    let full = std::mem::take(&mut self.0);
                    let socket = socket.clone();
                    tokio::task::spawn_local(async move {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        socket.send(Frame::text(&full.len().to_string()));
                        drop(full);
                    });
                }
            }
        }
    }
    fn closed(&mut self, _: u16) {}
}

#[test]
fn a_socket_is_not_read_while_its_commands_are_under_way_and_loses_none() {
    let (told, hear) = mpsc::channel();
    std::thread::spawn(move || {
        on_loop(async move {
            let mut router = Router::default();
            router.route(Method::GET, "/ws", Access::Public, |request| async {
                websocket::upgrade(request, UpgradeOptions::default(), |_| Busy::default())
            });
            let _server = start(router, &told);
            std::future::pending::<()>().await;
        });
    });
    let mut tcp = open(hear.recv().unwrap(), b"");
    // Three times the bound and two more, all in one write.
    let count = limits::WS_COMMANDS_MAX * 3 + 2;
    let mut bytes: Vec<u8> = (0..count).flat_map(|_| masked(0x82, b"x")).collect();
    bytes.extend(masked(0x81, b"how many"));
    tcp.write_all(&bytes).unwrap();
    let full = limits::WS_COMMANDS_MAX.to_string();
    for _ in 0..3 {
        assert_eq!(next(&mut tcp).1, full.as_bytes());
    }
    assert_eq!(next(&mut tcp).1, b"2");
}

/// Everybody is the same device.
struct OneDevice;

impl Gatekeeper for OneDevice {
    fn identify(&self, _: &RequestHead) -> Caller {
        Caller {
            role: Role::Device,
            device: Some(Rc::from("dev_0123456789abcdef")),
        }
    }
}

/// Revokes the device that its text names.
struct Revoker;

impl Endpoint for Revoker {
    fn message(&mut self, _: &Socket, message: Message<'_>) {
        if let Message::Text(device) = message {
            websocket::close_owned(device);
        }
    }
    fn closed(&mut self, _: u16) {}
}

#[test]
fn the_sockets_of_a_revoked_device_are_closed_and_no_others() {
    let (told, hear) = mpsc::channel();
    std::thread::spawn(move || {
        on_loop(async move {
            let mut router = Router::default();
            router.route(Method::GET, "/ws", Access::Member, |request| async {
                websocket::upgrade(request, UpgradeOptions::default(), |_| Revoker)
            });
            let _server = start_for(OneDevice, router, &told);
            std::future::pending::<()>().await;
        });
    });
    let address = hear.recv().unwrap();
    let (mut first, mut second) = (open(address, b""), open(address, b""));
    first
        .write_all(&masked(0x81, b"dev_fedcba9876543210"))
        .unwrap();
    first.write_all(&masked(0x89, b"still here")).unwrap();
    assert_eq!(next(&mut first), (0x8a, b"still here".to_vec()));
    first
        .write_all(&masked(0x81, b"dev_0123456789abcdef"))
        .unwrap();
    for tcp in [&mut first, &mut second] {
        let (kind, payload) = next(tcp);
        assert_eq!((kind, &payload[..2]), (0x88, &1008u16.to_be_bytes()[..]));
    }
}

#[test]
fn an_independent_client_gets_its_messages_back() {
    use tokio_tungstenite::tungstenite::{self, Message};
    let address = server();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |bound: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % bound
    };
    let (mut client, _) = tungstenite::connect(format!("ws://{address}/ws")).unwrap();
    let began = Instant::now();
    for _ in 0..300 {
        let length = random(3_000) as usize;
        let message = if random(2) == 0 {
            Message::text("语".repeat(length))
        } else {
            Message::binary((0..length).map(|_| random(256) as u8).collect::<Vec<_>>())
        };
        client.send(message.clone()).unwrap();
        assert_eq!(client.read().unwrap(), message);
    }
    client.close(None).unwrap();
    while client.read().is_ok() {}
    assert!(began.elapsed() < Duration::from_secs(60));
}

fn on_loop(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work);
}

fn start(router: Router, told: &mpsc::Sender<std::net::SocketAddr>) -> Server {
    start_for(Anybody, router, told)
}

fn start_for(
    gatekeeper: impl Gatekeeper + 'static,
    router: Router,
    told: &mpsc::Sender<std::net::SocketAddr>,
) -> Server {
    let mut options = ServerOptions::new(Clock::system(), Registry::default());
    options.http = Some(([127, 0, 0, 1], 0).into());
    let server = Server::bind(options, router, Rc::new(gatekeeper)).unwrap();
    server.start();
    told.send(server.http_address().unwrap()).unwrap();
    server
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What the kernel holds for TCP on this machine.
fn kernel_tcp_kib() -> usize {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let pages = line
        .split_whitespace()
        .skip_while(|word| *word != "mem")
        .nth(1);
    pages.unwrap().parse::<usize>().unwrap() * 4
}
