//! The handshake by HTTP and what comes over a WebSocket.

use std::rc::{Rc, Weak};

use base64::Engine as _;
use serde_json::{Value, json};

use super::socket::{Beat, Phase, Socket, SocketId};
use super::{Ack, DisconnectReason, Handler, Inner, Io, engine, heartbeat, packet};
use crate::server::websocket::{self, Endpoint, Frame, Message, UpgradeOptions};
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode};

impl Io {
    /// `path` with the slash at its end, as clients ask for it.
    pub fn routes(&self, router: &mut Router, path: &'static str) {
        for method in [Method::GET, Method::POST] {
            let io = self.0.clone();
            let handler = move |request| std::future::ready(answer(&io, request));
            router
                .route(method, path, Access::Public, handler)
                .uncounted();
        }
    }
}

fn answer(io: &Rc<Inner>, request: Request) -> Result<Response, HttpError> {
    if request.query("EIO").as_deref() != Some("4") {
        return Ok(refusal(5, "Unsupported protocol version"));
    }
    if request.query("transport").as_deref() != Some("websocket") {
        return Ok(refusal(0, "Transport unknown"));
    }
    if request.query("sid").is_some() {
        return Ok(refusal(1, "Session ID unknown"));
    }
    if request.head.method != Method::GET {
        return Ok(refusal(2, "Bad handshake method"));
    }
    if request.head.header("upgrade").is_none() {
        return Ok(refusal(3, "Bad request"));
    }
    let options = UpgradeOptions {
        message_bytes_max: io.options.max_payload,
        queue_bytes_max: io.options.queue_bytes_max,
        queue_messages_max: io.options.queue_messages_max,
    };
    let (engine_id, id) = (random_id()?, random_id()?);
    let io = io.clone();
    websocket::upgrade(request, options, move |wire| {
        open(&io, &engine_id, id, wire.clone())
    })
}

fn refusal(code: u8, message: &str) -> Response {
    Response::json(
        StatusCode::BAD_REQUEST,
        &json!({"code": code, "message": message}),
    )
}

fn random_id() -> Result<SocketId, HttpError> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes)
        .map_err(|_| HttpError::busy("The box has no random numbers yet; try again.", 1))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD
        .encode(bytes)
        .into())
}

fn open(io: &Rc<Inner>, engine_id: &str, id: SocketId, wire: websocket::Socket) -> Transport {
    let socket = Socket::new(Rc::downgrade(io), id, wire, io.clock.mono());
    let told = json!({
        "sid": engine_id,
        "upgrades": [],
        "pingInterval": io.options.ping_interval.as_millis() as u64,
        "pingTimeout": io.options.ping_timeout.as_millis() as u64,
        "maxPayload": io.options.max_payload,
    });
    socket.send(Frame::text(&format!("0{told}")));
    io.open.add(1);
    io.sockets.borrow_mut().push(socket.downgrade());
    heartbeat::keep_beating(io);
    Transport {
        io: Rc::downgrade(io),
        socket,
    }
}

struct Transport {
    io: Weak<Inner>,
    socket: Socket,
}

impl Endpoint for Transport {
    fn message(&mut self, _: &websocket::Socket, message: Message<'_>) {
        if self.take(message).is_none() {
            self.socket.end(DisconnectReason::TransportClose);
        }
    }

    fn closed(&mut self, _: u16) {
        self.socket.end(DisconnectReason::TransportClose);
        if let Some(io) = self.io.upgrade() {
            io.open.add(-1);
        }
    }
}

impl Transport {
    /// `None` for what the protocol does not allow here.
    fn take(&self, message: Message<'_>) -> Option<()> {
        let io = self.io.upgrade()?;
        let Message::Text(text) = message else {
            return None;
        };
        match engine::Packet::parse(text).ok()? {
            engine::Packet::Message(text) => self.packet(&io, packet::Packet::parse(&text).ok()?),
            engine::Packet::Pong(_) => {
                self.socket.0.beat.set(Beat::Quiet(io.clock.mono()));
                Some(())
            }
            engine::Packet::Noop => Some(()),
            // A close by the client ends the transport as well.
            _ => None,
        }
    }

    fn packet(&self, io: &Rc<Inner>, packet: packet::Packet) -> Option<()> {
        let phase = self.socket.0.phase.get();
        if packet.namespace != "/" {
            if !matches!(packet.body, packet::Body::Connect(_)) {
                return None;
            }
            let refused = packet::Packet {
                body: packet::Body::ConnectError(json!({"message": "Invalid namespace"})),
                ..packet
            };
            self.socket
                .send(Frame::text(&format!("4{}", refused.write())));
            return Some(());
        }
        match packet.body {
            packet::Body::Connect(auth) if phase == Phase::Open => {
                self.connect(io, auth.unwrap_or_else(|| json!({})));
            }
            packet::Body::Disconnect if phase == Phase::Connected => {
                self.socket.end(DisconnectReason::Client);
            }
            packet::Body::Event {
                args,
                attachments: 0,
            } if phase == Phase::Connected => {
                self.event(packet.ack, args);
            }
            packet::Body::Ack {
                args,
                attachments: 0,
            } if phase == Phase::Connected => {
                self.socket.answered(packet.ack?, args);
            }
            _ => return None,
        }
        Some(())
    }

    fn connect(&self, io: &Rc<Inner>, auth: Value) {
        let socket = self.socket.clone();
        socket.0.phase.set(Phase::Connecting);
        let connecting = io.namespace.connect(&socket, auth);
        tokio::task::spawn_local(async move {
            let result = connecting.await;
            let is_there = socket.0.phase.get() == Phase::Connecting;
            match result {
                Ok(handler) => {
                    *socket.0.handler.borrow_mut() = Some(handler);
                    if !is_there {
                        socket.tell_end();
                        return;
                    }
                    socket.0.phase.set(Phase::Connected);
                    let told = json!({"sid": &*socket.0.id});
                    socket.send(Frame::text(&format!("40{told}")));
                }
                Err(refused) if is_there => {
                    socket.leave_all();
                    socket.0.phase.set(Phase::Open);
                    let told = json!({"message": refused.message});
                    socket.send(Frame::text(&format!("44{told}")));
                }
                Err(_) => {}
            }
        });
    }

    fn event(&self, ack: Option<u64>, mut args: Vec<Value>) {
        let Value::String(name) = args.remove(0) else {
            return;
        };
        let socket = &self.socket;
        let ack = ack.map(|id| Ack {
            socket: socket.clone(),
            id,
        });
        let handler = socket.0.handler.borrow_mut().take();
        if let Some(handler) = handler {
            let mut lent = Lent {
                socket,
                handler: Some(handler),
            };
            if let Some(handler) = &mut lent.handler {
                handler.event(socket, &name, args, ack);
            }
        }
        socket.tell_end();
    }
}

/// Goes back to its socket after a call, after a panic too: it is still owed the end.
struct Lent<'a> {
    socket: &'a Socket,
    handler: Option<Box<dyn Handler>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        *self.socket.0.handler.borrow_mut() = self.handler.take();
    }
}
