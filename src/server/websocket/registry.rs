//! All sockets of the loop: pings, time limits and the end of all, without a timer in each.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::{Frame, Shared, State};
use crate::clock::MonoMillis;
use crate::limits;
use crate::server::socket;

thread_local! {
    static SOCKETS: RefCell<Vec<Weak<Shared>>> = const { RefCell::new(Vec::new()) };
    static NOW_S: Cell<u32> = const { Cell::new(0) };
}

/// The second of the last sweep: fine enough for limits of many seconds.
pub(super) fn now_s() -> u32 {
    NOW_S.get()
}

pub(super) fn register(shared: &Rc<Shared>) {
    SOCKETS.with_borrow_mut(|sockets| sockets.push(Rc::downgrade(shared)));
}

/// Once a second from the door's sweeper: pings, silence, close waits, stalled writes.
pub(in crate::server) fn sweep(now: MonoMillis) {
    let now_s = u32::try_from(now.0 / 1_000).unwrap_or(u32::MAX);
    NOW_S.set(now_s);
    // Taken out while sockets are looked at, since what they do may open or end others.
    let mut sockets = SOCKETS.take();
    sockets.retain(|socket| match socket.upgrade() {
        Some(shared) => {
            look_at(&shared, now_s);
            true
        }
        None => false,
    });
    SOCKETS.with_borrow_mut(|opened_meanwhile| {
        sockets.append(opened_meanwhile);
        sockets.shrink_to(sockets.len() * 2);
        *opened_meanwhile = sockets;
    });
}

/// The door is closing: every socket is told 1012.
pub(in crate::server) fn close_all() {
    close_where(1012, "restarting; connect again", |_| true);
}

/// Ends every socket that a device has opened, as when it may no longer use the box.
pub fn close_owned(device: &str) {
    close_where(1008, "this device was revoked", |shared| {
        shared.owner.as_deref() == Some(device)
    });
}

fn close_where(code: u16, reason: &str, is_meant: impl Fn(&Shared) -> bool) {
    let all = SOCKETS.with_borrow(|sockets| sockets.clone());
    for socket in all.iter().filter_map(Weak::upgrade) {
        if is_meant(&socket) {
            socket.close(code, reason);
        }
    }
}

fn look_at(shared: &Rc<Shared>, now_s: u32) {
    let over =
        |since_s: u32, limit: Duration| u64::from(now_s.saturating_sub(since_s)) >= limit.as_secs();
    let stalled = !shared.queue.borrow().is_empty()
        && over(shared.progress_s.get(), limits::WRITE_STALL_TIMEOUT);
    match shared.state.get() {
        State::Dead => {}
        State::Closing { since_s } if over(since_s, limits::WS_CLOSE_WAIT) => kill(shared),
        State::Closing { .. } => {}
        State::Closed if over(shared.progress_s.get(), limits::WS_CLOSE_WAIT) => kill(shared),
        State::Closed => {}
        State::Open if stalled || over(shared.heard_s.get(), limits::WS_PONG_TIMEOUT) => {
            shared.close_code.set(1006);
            kill(shared);
        }
        State::Open => {
            let quiet = over(shared.heard_s.get(), limits::WS_PING_INTERVAL);
            if quiet && over(shared.pinged_s.get(), limits::WS_PING_INTERVAL) {
                shared.pinged_s.set(now_s);
                shared.push(Frame::ping());
            }
        }
    }
}

/// Ends a socket whose peer does nothing any more; the kernel's buffers go at once.
fn kill(shared: &Rc<Shared>) {
    shared.state.set(State::Dead);
    socket::reset_on_close(shared.fd.get());
    shared.wake();
}
