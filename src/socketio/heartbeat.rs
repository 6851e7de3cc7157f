//! One walk over all sessions: pings, late pongs, sessions that never connect or come to an end.

use std::rc::{Rc, Weak};
use std::time::Duration;

use super::session::{Beat, Farewell, Session, Transport};
use super::{DisconnectReason, Endpoint};
use crate::limits;
use crate::server::websocket::Frame;

/// Begins with the first session and ends with the last.
pub(super) fn keep_beating(endpoint: &Rc<Endpoint>) {
    if endpoint.is_beating.replace(true) {
        return;
    }
    let pause = (endpoint.options.ping_interval / 4)
        .clamp(Duration::from_millis(5), Duration::from_secs(1));
    let weak = Rc::downgrade(endpoint);
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(pause).await;
            let Some(endpoint) = weak.upgrade() else {
                return;
            };
            // Taken out, since ending a session may open or end others.
            let mut sessions = endpoint.sessions.take();
            sessions.retain(|session| {
                Weak::upgrade(session).is_some_and(|session| look_at(&endpoint, &session))
            });
            let mut opened = endpoint.sessions.borrow_mut();
            sessions.append(&mut opened);
            *opened = sessions;
            if opened.is_empty() {
                endpoint.is_beating.set(false);
                return;
            }
        }
    });
}

/// Whether the session goes on.
fn look_at(endpoint: &Endpoint, session: &Rc<Session>) -> bool {
    let now = endpoint.clock.mono();
    let polling = match session.transport() {
        Transport::Polling(polling) => Some(polling),
        Transport::WebSocket(_) => None,
    };
    if let Some(polling) = &polling {
        polling.end_late_probe(now);
    }
    if let Some(closed) = polling.and_then(|polling| polling.closed.get()) {
        if now.since(closed) < limits::ENGINE_POLLING_CLOSE_WAIT {
            return true;
        }
        session.forget();
    }
    if !session.is_open() {
        return false;
    }
    session.next_second(now);
    let is_over = |since, limit| now.since(since) >= limit;
    if let Some(since) = session.unconnected.get()
        && is_over(since, endpoint.options.connect_limit)
    {
        session.end(DisconnectReason::Server, Farewell::Abrupt);
        return false;
    }
    match session.beat.get() {
        Beat::Quiet(since) if is_over(since, endpoint.options.ping_interval) => {
            session.beat.set(Beat::Awaited(now));
            session.send(Frame::text("2"));
        }
        // A session that is not read cannot answer.
        Beat::Awaited(since)
            if is_over(since, endpoint.options.ping_timeout) && !session.is_paused() =>
        {
            session.end(DisconnectReason::PingTimeout, Farewell::Abrupt);
            return false;
        }
        Beat::Quiet(_) | Beat::Awaited(_) => {}
    }
    true
}
