//! One walk over all transports: pings, late pongs, transports that never connect.

use std::rc::Rc;
use std::time::Duration;

use super::socket::{Beat, Phase, Socket, WeakSocket};
use super::{DisconnectReason, Inner};
use crate::server::websocket::Frame;

/// Begins with the first transport and ends with the last.
pub(super) fn keep_beating(io: &Rc<Inner>) {
    if io.is_beating.replace(true) {
        return;
    }
    let pause =
        (io.options.ping_interval / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
    let weak = Rc::downgrade(io);
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(pause).await;
            let Some(io) = weak.upgrade() else { return };
            // Taken out, since ending a socket may open or end others.
            let mut sockets = io.sockets.take();
            sockets.retain(|socket| {
                WeakSocket::upgrade(socket).is_some_and(|socket| look_at(&io, &socket))
            });
            let mut opened = io.sockets.borrow_mut();
            sockets.append(&mut opened);
            *opened = sockets;
            if opened.is_empty() {
                io.is_beating.set(false);
                return;
            }
        }
    });
}

/// Whether the transport goes on.
fn look_at(io: &Inner, socket: &Socket) -> bool {
    let inner = &socket.0;
    let now = io.clock.mono();
    if inner.phase.get() == Phase::Gone {
        return false;
    }
    let is_connected = inner.phase.get() == Phase::Connected;
    if !is_connected && now.since(inner.opened) >= io.options.connect_limit {
        socket.end(DisconnectReason::Server);
        return false;
    }
    match inner.beat.get() {
        Beat::Quiet(since) if now.since(since) >= io.options.ping_interval => {
            inner.beat.set(Beat::Awaited(now));
            socket.send(Frame::text("2"));
        }
        Beat::Awaited(since) if now.since(since) >= io.options.ping_timeout => {
            socket.end(DisconnectReason::PingTimeout);
            return false;
        }
        Beat::Quiet(_) | Beat::Awaited(_) => {}
    }
    true
}
