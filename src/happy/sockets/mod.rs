//! `/v1/updates`: the sockets of phones, sessions and machines.
//!
//! A socket shows its token once, is put into the rooms of its account and scope, and may then
//! send any event about whatever the account owns. Events that write are taken one after another
//! for each socket, in the order in which they came, and are acknowledged after the commit. While
//! too many wait the socket is not read.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use serde_json::{Value, json};

use super::db::WriteError;
use super::db::versioned::{self, Field, Swap};
use super::devices::room_of;
use super::updates::{Recipients, Turn, machine_of, session_of, users_of};
use super::{Happy, Room};
use crate::limits;
use crate::ops::{Gauge, Registry};
use crate::server::Router;
use crate::socketio::{
    Ack, Arguments, ConnectRefused, Connecting, DisconnectReason, Handler, Io, IoOptions,
    Namespace, Socket, SocketId,
};
use crate::store::{Connection, StoreError};

mod artifacts;
mod machine;
mod rpc;
mod session;

pub use rpc::Workers;

const PATH: &str = "/v1/updates/";

pub fn serve(happy: &Happy, metrics: &Registry) {
    let options = IoOptions {
        max_payload: limits::HAPPY_FRAME_BYTES_MAX,
        queue_bytes_max: limits::HAPPY_QUEUE_BYTES_MAX,
        queue_messages_max: limits::HAPPY_QUEUE_EVENTS_MAX,
        ..IoOptions::default()
    };
    let door = Rc::new(Door {
        room: Rc::downgrade(&happy.0),
        open: ["user", "session", "machine"].map(|scope| {
            let help = "Happy clients that are connected.";
            metrics.gauge("happy_sockets", help, &[("scope", scope)])
        }),
    });
    let io = Io::new(options, happy.0.clock.clone(), metrics, door);
    happy.0.hub.serve(io);
}

pub fn routes(router: &mut Router, happy: &Happy) {
    if let Some(io) = happy.0.hub.io() {
        io.routes(router, PATH);
    }
}

/// What a socket stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    /// `is_named`: said so itself, which a phone does that wants no push while it is looked at.
    User {
        is_named: bool,
    },
    Session(String),
    Machine(String),
}

struct Door {
    room: Weak<Room>,
    open: [Gauge; 3],
}

impl Namespace for Door {
    fn connect(&self, socket: &Socket, auth: Value) -> Connecting {
        let entered = match self.room.upgrade().map(Happy) {
            Some(happy) => self.enter(happy, socket, &auth),
            None => Err("The server is stopping"),
        };
        let entered = entered
            .map(|client| Box::new(client) as Box<dyn Handler>)
            .map_err(|message| ConnectRefused {
                message: message.to_owned(),
            });
        Box::pin(std::future::ready(entered))
    }
}

impl Door {
    fn enter(&self, happy: Happy, socket: &Socket, auth: &Value) -> Result<Client, &'static str> {
        let token = &auth["token"];
        if is_nothing(token) {
            return Err("Missing authentication token");
        }
        let scope = scope(auth)?;
        let known = token.as_str().map(|token| happy.known(token));
        let known = known.transpose().unwrap_or_else(|error| {
            log::error!("event=happy_store_failed error=\"{error}\"");
            // Clients that are refused stay away; those whose connection ends come back.
            socket.disconnect();
            None
        });
        let known = known.flatten().ok_or("Invalid authentication token")?;
        let account: Rc<str> = known.account.into();
        happy.note_heard(&known.device, None);
        socket.join(room_of(&known.device));
        let gauge = match &scope {
            Scope::User { .. } => {
                socket.join(users_of(&account));
                0
            }
            Scope::Session(id) => {
                socket.join(session_of(&account, id));
                1
            }
            Scope::Machine(id) => {
                socket.join(machine_of(&account, id));
                2
            }
        };
        let open = self.open[gauge].clone();
        open.add(1);
        let client = Client {
            happy,
            account,
            scope,
            open,
            weight: 0,
            writing: Rc::default(),
            calls: Rc::default(),
        };
        client.machine_activity(true);
        if let Some(state) = auth["appState"].as_str().filter(|state| !state.is_empty()) {
            client.app_state(socket, state);
        }
        Ok(client)
    }
}

fn scope(auth: &Value) -> Result<Scope, &'static str> {
    let id = |name: &str| {
        let id = auth[name].as_str().filter(|id| !id.is_empty());
        id.map(str::to_owned)
    };
    Ok(match auth["clientType"].as_str() {
        Some("session-scoped") => {
            Scope::Session(id("sessionId").ok_or("Session ID required for session-scoped clients")?)
        }
        Some("machine-scoped") => {
            Scope::Machine(id("machineId").ok_or("Machine ID required for machine-scoped clients")?)
        }
        name => Scope::User {
            is_named: name == Some("user-scoped"),
        },
    })
}

/// As clients mean it: not there, empty, zero.
pub fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// About how much memory a value takes.
fn weight(value: &Value) -> usize {
    let more = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| name.len() + weight(value))
            .sum(),
    };
    size_of::<Value>() + more
}

/// A name that an event has to carry.
fn name<'a>(event: &'a Value, field: &str) -> Option<&'a str> {
    event[field].as_str().filter(|name| !name.is_empty())
}

/// One accepted socket.
struct Client {
    happy: Happy,
    account: Rc<str>,
    scope: Scope,
    open: Gauge,
    /// Of the event that is being taken.
    weight: usize,
    /// Held by the event that writes; the others stand in line.
    writing: Rc<tokio::sync::Mutex<()>>,
    /// Calls of this socket that wait for an answer.
    calls: Rc<Cell<usize>>,
}

impl Handler for Client {
    fn event(&mut self, socket: &Socket, name: &str, values: Vec<Value>, ack: Option<Ack>) {
        let args = Arguments {
            values,
            attachments: Vec::new(),
        };
        self.binary_event(socket, name, args, ack);
    }

    /// Binary parts are handed on by calls; nothing that is stored has any.
    fn binary_event(&mut self, socket: &Socket, name: &str, mut args: Arguments, ack: Option<Ack>) {
        let event = match args.values.is_empty() {
            true => Value::Null,
            false => args.values.swap_remove(0),
        };
        let parts: usize = args.attachments.iter().map(|part| part.len()).sum();
        self.weight = weight(&event) + parts;
        match name {
            "ping" => answer(ack, json!({})),
            "session-alive" => self.session_alive(&event),
            "machine-alive" => self.machine_alive(&event),
            "app-state" => {
                self.app_state(socket, event["state"].as_str().unwrap_or_default());
            }
            "message" => self.message(socket, event),
            "update-metadata" => self.update_metadata(socket, event, ack),
            "update-state" => self.update_state(socket, event, ack),
            "usage-report" => self.usage_report(socket, event, ack),
            "session-end" => self.session_end(socket, &event),
            "machine-update-metadata" => self.machine_metadata(socket, event, ack),
            "machine-update-state" => self.machine_state(socket, event, ack),
            "artifact-read" => self.artifact_read(socket, event, ack),
            "artifact-create" => self.artifact_create(socket, event, ack),
            "artifact-update" => self.artifact_update(socket, event, ack),
            "artifact-delete" => self.artifact_delete(socket, event, ack),
            "access-key-get" => self.access_key(socket, &event, ack),
            "rpc-register" => self.register(socket, &event),
            "rpc-unregister" => self.unregister(socket, &event),
            "rpc-call" => self.call(socket, event, args.attachments, ack),
            // Whoever is newer than this box gets no answer, as from the original server.
            _ => {}
        }
    }

    fn disconnected(&mut self, socket: &Socket, _: DisconnectReason) {
        self.open.add(-1);
        let room = &self.happy.0;
        room.watchers.forget(&self.account, socket.id());
        room.workers.forget(&self.account, socket.id());
        self.machine_activity(false);
    }
}

impl Client {
    fn app_state(&self, socket: &Socket, state: &str) {
        // Only a client that says it is a person's counts: its screen is what a push would light.
        if self.scope == (Scope::User { is_named: true }) {
            let is_active = state == "active";
            let watchers = &self.happy.0.watchers;
            watchers.tell(&self.account, socket.id(), is_active);
        }
    }

    /// Of a machine's own socket, which came or goes.
    fn machine_activity(&self, active: bool) {
        if let Scope::Machine(id) = &self.scope {
            let now = self.happy.0.clock.wall().0;
            let body =
                json!({"type": "machine-activity", "id": id, "active": active, "activeAt": now});
            self.happy
                .ephemeral(&self.account, body, Recipients::UserScoped);
        }
    }

    /// Runs what writes, after all that this socket sent before. A large event counts for several.
    fn in_order(&self, socket: &Socket, work: impl Future<Output = ()> + 'static) {
        let count = 1 + self.weight / limits::HAPPY_EVENT_BYTES_COUNTED;
        let count = count.min(limits::WS_COMMANDS_MAX);
        let held: Vec<_> = (0..count).map(|_| socket.hold()).collect();
        let writing = self.writing.clone();
        tokio::task::spawn_local(async move {
            let _turn = writing.lock().await;
            work.await;
            drop(held);
        });
    }
}

fn answer(ack: Option<Ack>, value: Value) {
    if let Some(ack) = ack {
        ack.send(&[value]);
    }
}

impl Happy {
    /// Whether a phone of the account is being looked at, so that it needs no push.
    pub fn is_watched(&self, account: &str) -> bool {
        self.0.watchers.any(account)
    }

    /// A durable write of an event, tried again while the store is busy: clients take no other
    /// answer than that it is done.
    pub(super) async fn write_event<T: Send + 'static>(
        &self,
        bytes: usize,
        job: impl Fn(&Connection) -> Result<T, WriteError> + Send + Sync + 'static,
    ) -> Result<T, WriteError> {
        let (_, done) = self.write_event_in_turn(bytes, job).await?;
        Ok(done)
    }

    /// As [`Happy::write_event`], of what is told with a number.
    async fn write_event_in_turn<T: Send + 'static>(
        &self,
        bytes: usize,
        job: impl Fn(&Connection) -> Result<T, WriteError> + Send + Sync + 'static,
    ) -> Result<(Turn, T), WriteError> {
        let job = Arc::new(job);
        for _ in 0..limits::HAPPY_WRITE_ATTEMPTS {
            let job = job.clone();
            let turn = self.turn();
            match self.0.store.write_sized(bytes, move |db| job(db)).await {
                Err(WriteError::Store(StoreError::Busy)) => {
                    drop(turn);
                    tokio::time::sleep(limits::HAPPY_WRITE_PAUSE).await;
                }
                other => {
                    if let Err(error) = &other {
                        log::error!("event=happy_event_not_stored error=\"{error:?}\"");
                    }
                    return other.map(|done| (turn, done));
                }
            }
        }
        Err(StoreError::Busy.into())
    }
}

impl Happy {
    /// Compares and sets in one transaction, with the update's number.
    async fn swap(
        &self,
        field: Field,
        account: &str,
        id: &str,
        value: Option<&str>,
        expected: i64,
    ) -> Result<(Turn, Swap), WriteError> {
        let now = self.0.clock.wall();
        let (account, id) = (account.to_owned(), id.to_owned());
        let value = value.map(str::to_owned);
        let bytes = value.as_ref().map_or(0, String::len);
        let job = move |db: &Connection| {
            versioned::swap(db, field, &account, &id, value.as_deref(), expected, now)
        };
        self.write_event_in_turn(bytes, job).await
    }
}

/// Phones that are being looked at, by account.
#[derive(Default)]
pub struct Watchers(RefCell<BTreeMap<Rc<str>, BTreeSet<SocketId>>>);

impl Watchers {
    fn any(&self, account: &str) -> bool {
        self.0.borrow().contains_key(account)
    }

    fn tell(&self, account: &Rc<str>, socket: &SocketId, is_active: bool) {
        if !is_active {
            return self.forget(account, socket);
        }
        let mut all = self.0.borrow_mut();
        all.entry(account.clone())
            .or_default()
            .insert(socket.clone());
    }

    fn forget(&self, account: &Rc<str>, socket: &SocketId) {
        let mut all = self.0.borrow_mut();
        let Some(sockets) = all.get_mut(account) else {
            return;
        };
        sockets.remove(socket);
        if sockets.is_empty() {
            all.remove(account);
        }
    }
}
