//! Calls from one client of an account to another: a worker registers a method by name, and the
//! first registered one that is still there is asked.
//!
//! Whoever calls while the worker is away is kept waiting for a while: a worker that lost its
//! connection, or whose server was started anew, comes back within seconds.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Client, answer, name};
use crate::limits;
use crate::socketio::{Ack, AckError, Arguments, Socket, SocketId};

type Methods = BTreeMap<String, Vec<Socket>>;

/// Who answers which method, by account.
#[derive(Default)]
pub struct Workers {
    accounts: RefCell<BTreeMap<Rc<str>, Methods>>,
    /// What calls hold that wait for a worker, by account.
    waiting: RefCell<BTreeMap<Rc<str>, usize>>,
    /// Somebody registered.
    came: Notify,
}

impl Workers {
    /// Whether it may: one socket holds a bounded number of methods.
    fn register(&self, account: &Rc<str>, method: &str, socket: &Socket) -> bool {
        let mut accounts = self.accounts.borrow_mut();
        let methods = accounts.entry(account.clone()).or_default();
        let held = |workers: &&Vec<Socket>| workers.iter().any(|worker| worker.id() == socket.id());
        if methods.get(method).as_ref().is_some_and(held) {
            return true;
        }
        if method.len() > limits::HAPPY_METHOD_BYTES_MAX
            || methods.values().filter(held).count() >= limits::HAPPY_METHODS_MAX
        {
            return false;
        }
        methods
            .entry(method.to_owned())
            .or_default()
            .push(socket.clone());
        self.came.notify_waiters();
        true
    }

    fn unregister(&self, account: &Rc<str>, method: &str, socket: &SocketId) {
        self.retain(account, |name, worker| {
            name != method || worker.id() != socket
        });
    }

    /// All that the socket registered.
    pub fn forget(&self, account: &Rc<str>, socket: &SocketId) {
        self.retain(account, |_, worker| worker.id() != socket);
    }

    fn retain(&self, account: &Rc<str>, stays: impl Fn(&str, &Socket) -> bool) {
        let mut accounts = self.accounts.borrow_mut();
        let Some(methods) = accounts.get_mut(account) else {
            return;
        };
        methods.retain(|name, workers| {
            workers.retain(|worker| stays(name, worker));
            !workers.is_empty()
        });
        if methods.is_empty() {
            accounts.remove(account);
        }
    }

    fn first(&self, account: &Rc<str>, method: &str) -> Option<Socket> {
        let accounts = self.accounts.borrow();
        let mut workers = accounts.get(account)?.get(method)?.iter();
        workers.find(|worker| worker.is_connected()).cloned()
    }

    /// The worker that comes soon.
    async fn coming(&self, account: &Rc<str>, method: &str) -> Option<Socket> {
        let coming = async {
            loop {
                let came = self.came.notified();
                if let Some(worker) = self.first(account, method) {
                    return worker;
                }
                came.await;
            }
        };
        let found = tokio::time::timeout(limits::HAPPY_WORKER_GRACE, coming);
        found.await.ok()
    }

    /// Whether a call of this weight may wait; it is [`Workers::waited`] after that.
    fn waits(&self, account: &Rc<str>, weight: usize) -> bool {
        let mut all = self.waiting.borrow_mut();
        let held = all.get(account).copied().unwrap_or(0) + weight;
        let may = held <= limits::HAPPY_WAITING_CALLS_BYTES_MAX;
        if may {
            all.insert(account.clone(), held);
        }
        may
    }

    fn waited(&self, account: &Rc<str>, weight: usize) {
        let mut all = self.waiting.borrow_mut();
        if let Some(held) = all.get_mut(account) {
            *held = held.saturating_sub(weight);
            if *held == 0 {
                all.remove(account);
            }
        }
    }
}

impl Client {
    pub(super) fn register(&self, socket: &Socket, event: &Value) {
        let Some(method) = name(event, "method") else {
            return refuse(socket, "register", "Invalid method name");
        };
        match self.happy.0.workers.register(&self.account, method, socket) {
            true => socket.emit("rpc-registered", &[json!({"method": method})]),
            false => refuse(socket, "register", "Too many methods, or too long a name"),
        }
    }

    pub(super) fn unregister(&self, socket: &Socket, event: &Value) {
        let Some(method) = name(event, "method") else {
            return refuse(socket, "unregister", "Invalid method name");
        };
        let workers = &self.happy.0.workers;
        workers.unregister(&self.account, method, socket.id());
        socket.emit("rpc-unregistered", &[json!({"method": method})]);
    }

    pub(super) fn call(&self, socket: &Socket, event: Value, parts: Vec<Bytes>, ack: Option<Ack>) {
        let Some(method) = name(&event, "method").map(str::to_owned) else {
            return answer(ack, failed("Invalid parameters: method is required"));
        };
        let workers = &self.happy.0.workers;
        let there = workers.first(&self.account, &method);
        let weight = self.weight;
        if self.calls.get() >= limits::HAPPY_CALLS_MAX
            || there.is_none() && !workers.waits(&self.account, weight)
        {
            return answer(ack, failed("Too many calls wait for an answer"));
        }
        let waiting = Waiting::new(&self.calls);
        let (happy, account, caller) = (
            self.happy.clone(),
            self.account.clone(),
            socket.id().clone(),
        );
        tokio::task::spawn_local(async move {
            let _waiting = waiting;
            let workers = &happy.0.workers;
            let worker = match there {
                Some(worker) => Some(worker),
                None => {
                    let came = workers.coming(&account, &method).await;
                    workers.waited(&account, weight);
                    came
                }
            };
            let told = match worker {
                None => failed("RPC method not available"),
                Some(worker) if *worker.id() == caller => {
                    failed("Cannot call RPC on the same socket")
                }
                Some(worker) => match ask(&worker, &method, event, parts).await {
                    Ok(told) => {
                        if let Some(ack) = ack {
                            ack.send_binary(&told);
                        }
                        return;
                    }
                    Err(told) => told,
                },
            };
            answer(ack, told);
        });
    }
}

/// What the caller is told, with the binary parts of the result; the error is told without any.
async fn ask(
    worker: &Socket,
    method: &str,
    mut event: Value,
    parts: Vec<Bytes>,
) -> Result<Arguments, Value> {
    let mut request = json!({"method": method});
    if let Some(params) = event.get_mut("params") {
        request["params"] = params.take();
    }
    drop(event);
    let request = Arguments::of(request, &parts);
    drop(parts);
    let asking = worker.emit_binary_with_ack("rpc-request", &request, limits::HAPPY_CALL_WAIT);
    drop(request);
    match asking.await {
        Ok(mut answer) => {
            let mut told = json!({"ok": true});
            if !answer.values.is_empty() {
                told["result"] = answer.values.swap_remove(0);
            }
            Ok(Arguments::of(told, &answer.attachments))
        }
        Err(AckError::TimedOut) => Err(failed("operation has timed out")),
        Err(AckError::Disconnected) => Err(failed("RPC target disconnected")),
        Err(AckError::TooMany) => Err(failed("Too many calls wait for an answer")),
    }
}

fn failed(error: &str) -> Value {
    json!({"ok": false, "error": error})
}

fn refuse(socket: &Socket, what: &str, error: &str) {
    socket.emit("rpc-error", &[json!({"type": what, "error": error})]);
}

/// One call that is counted while it waits.
struct Waiting(Rc<Cell<usize>>);

impl Waiting {
    fn new(calls: &Rc<Cell<usize>>) -> Waiting {
        calls.set(calls.get() + 1);
        Waiting(calls.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
