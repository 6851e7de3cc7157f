//! The rooms that the tests talk to, and the server around them.

use std::cell::{OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use magpie::clock::Clock;
use magpie::ops::Registry;
use magpie::server::{Caller, Gatekeeper, RequestHead, Role, Router, Server, ServerOptions};
use magpie::socketio::{
    Ack, AckError, Arguments, ConnectRefused, Connecting, DisconnectReason, Handler, Io, IoOptions,
    Namespace, Room, Socket,
};
use serde_json::{Value, json};

use crate::PATH;

struct Anybody;

impl Gatekeeper for Anybody {
    fn identify(&self, _: &RequestHead) -> Caller {
        Caller {
            role: Role::Nobody,
            device: None,
        }
    }
}

/// The room of the tests; the handle comes once there is one.
struct Hall {
    io: Rc<OnceCell<Io>>,
    ends: Sender<DisconnectReason>,
    stop: Rc<tokio::sync::Notify>,
    /// Answers that are owed to anybody.
    kept: Rc<RefCell<Vec<Ack>>>,
}

impl Namespace for Hall {
    fn connect(&self, socket: &Socket, auth: Value) -> Connecting {
        let (io, ends, socket) = (self.io.clone(), self.ends.clone(), socket.clone());
        let (stop, kept) = (self.stop.clone(), self.kept.clone());
        Box::pin(async move {
            tokio::task::yield_now().await;
            if auth["token"] == "wrong" {
                return Err(ConnectRefused {
                    message: "Invalid authentication token".into(),
                });
            }
            socket.join(Rc::from("all"));
            socket.join(Rc::from("also"));
            Ok(Box::new(Guest {
                io,
                ends,
                stop,
                kept,
            }) as Box<dyn Handler>)
        })
    }
}

struct Guest {
    io: Rc<OnceCell<Io>>,
    ends: Sender<DisconnectReason>,
    stop: Rc<tokio::sync::Notify>,
    kept: Rc<RefCell<Vec<Ack>>>,
}

impl Handler for Guest {
    fn event(&mut self, socket: &Socket, name: &str, args: Vec<Value>, ack: Option<Ack>) {
        let io = self.io.get().expect("set before the server starts");
        let rooms: [Room; 2] = [Rc::from("all"), Rc::from("also")];
        match (name, ack) {
            ("message", None) => socket.emit("message-back", &args),
            ("message-with-ack", Some(ack)) => ack.send(&args),
            ("shout", None) => io.to(&rooms).except(socket.id()).emit("update", &args[0]),
            ("leave", None) => rooms.iter().for_each(|room| socket.leave(room)),
            ("count", Some(ack)) => ack.send(&[json!(io.sockets_in(&rooms[0]).len())]),
            ("keep", Some(ack)) => self.kept.borrow_mut().push(ack),
            ("count the kept", Some(ack)) => ack.send(&[json!(self.kept.borrow().len())]),
            ("answer the kept", None) => self.kept.take().into_iter().for_each(|ack| ack.send(&[])),
            ("panic", None) => panic!("asked for by the test"),
            ("stop the box", None) => {
                let stop = self.stop.clone();
                stop.notify_one();
            }
            ("throw out", None) => io.disconnect_all(&rooms[0]),
            ("ask me", None) => {
                let limit = Duration::from_millis(args[0].as_u64().expect("milliseconds"));
                let (asking, socket) = (socket.emit_with_ack("ask", &[], limit), socket.clone());
                tokio::task::spawn_local(async move {
                    let told = match asking.await {
                        Ok(answer) => json!(answer),
                        Err(AckError::TimedOut) => json!("timed out"),
                        Err(other) => json!(format!("{other:?}")),
                    };
                    socket.emit("asked", &[told]);
                });
            }
            (other, _) => panic!("no such event: {other}"),
        }
    }

    fn binary_event(&mut self, socket: &Socket, name: &str, args: Arguments, ack: Option<Ack>) {
        match (name, ack) {
            ("message", None) => socket.emit_binary("message-back", &args),
            ("message-with-ack", Some(ack)) => ack.send_binary(&args),
            ("ask me", None) => {
                let limit = crate::PATIENCE;
                let asking = socket.emit_binary_with_ack("ask", &args, limit);
                let socket = socket.clone();
                tokio::task::spawn_local(async move {
                    let answer = asking.await.expect("an answer");
                    socket.emit_binary("asked", &answer);
                });
            }
            // Whoever knows no binary sees the places of its parts.
            (_, ack) => self.event(socket, name, args.values, ack),
        }
    }

    fn disconnected(&mut self, _: &Socket, reason: DisconnectReason) {
        let _ = self.ends.send(reason);
    }
}

/// Starts a server that lives as long as the test's process.
pub fn server(options: IoOptions) -> (SocketAddr, Receiver<DisconnectReason>) {
    let (ends, ended) = mpsc::channel();
    let address = serve(move |clock, metrics, stop| {
        let handle = Rc::new(OnceCell::new());
        let hall = Rc::new(Hall {
            io: handle.clone(),
            ends: ends.clone(),
            stop,
            kept: Rc::default(),
        });
        let io = Io::new(options, clock, metrics, hall);
        assert!(handle.set(io.clone()).is_ok());
        io
    });
    (address, ended)
}

/// The server that the public suites of both protocols ask for.
pub fn suite_server() -> SocketAddr {
    let options = IoOptions {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_limit: Duration::from_secs(30),
        ..IoOptions::default()
    };
    suite_server_of(options)
}

pub fn suite_server_of(options: IoOptions) -> SocketAddr {
    serve(move |clock, metrics, _| {
        let io = Io::new(options, clock, metrics, Rc::new(Echo));
        io.namespace("/custom", Rc::new(Echo));
        io
    })
}

/// A box that was told to stop starts again at its address.
fn serve(
    build: impl Fn(Clock, &Registry, Rc<tokio::sync::Notify>) -> Io + Send + 'static,
) -> SocketAddr {
    let (told, hear) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async move {
            let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
            loop {
                let (clock, metrics) = (Clock::system(), Registry::default());
                let stop = Rc::new(tokio::sync::Notify::new());
                let io = build(clock.clone(), &metrics, stop.clone());
                let mut router = Router::default();
                io.routes(&mut router, PATH);
                let mut options = ServerOptions::new(clock, metrics);
                options.http = Some(address);
                let Ok(server) = Server::bind(options, router, Rc::new(Anybody)) else {
                    // Somebody's connection has the port for a moment.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                server.start();
                address = server.http_address().expect("a plain listener");
                let _ = told.send(address);
                stop.notified().await;
                io.end_polling();
                server.shutdown().await;
            }
        });
    });
    hear.recv().expect("a server")
}

/// Tells what a client showed, and says everything back.
struct Echo;

struct Echoing(Value);

impl Namespace for Echo {
    fn connect(&self, _: &Socket, auth: Value) -> Connecting {
        Box::pin(std::future::ready(Ok(
            Box::new(Echoing(auth)) as Box<dyn Handler>
        )))
    }
}

impl Handler for Echoing {
    fn connected(&mut self, socket: &Socket) {
        socket.emit("auth", std::slice::from_ref(&self.0));
    }

    fn event(&mut self, socket: &Socket, name: &str, values: Vec<Value>, ack: Option<Ack>) {
        let args = Arguments {
            values,
            attachments: Vec::new(),
        };
        self.binary_event(socket, name, args, ack);
    }

    fn binary_event(&mut self, socket: &Socket, name: &str, args: Arguments, ack: Option<Ack>) {
        match (name, ack) {
            ("message", None) => socket.emit_binary("message-back", &args),
            ("message-with-ack", Some(ack)) => ack.send_binary(&args),
            (other, _) => panic!("no such event: {other}"),
        }
    }

    fn disconnected(&mut self, _: &Socket, _: DisconnectReason) {}
}
