//! Once a second: every connection against its limit, heartbeats, housekeeping.
//!
//! One walk replaces a timer in each connection.

use std::rc::Rc;
use std::time::Duration;

use super::connection::{Connection, Phase};
use super::table::Table;
use super::{Shared, socket};

/// Said to whoever began a request and did not finish its head.
const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 112\r\n\r\n{\"success\":false,\"error\":{\"code\":\"REQUEST_TIMEOUT\",\"message\":\"The request did not arrive in time, send again.\"}}";

pub(super) async fn run(shared: Rc<Shared>) {
    let mut turn: u64 = 0;
    loop {
        tokio::time::sleep(shared.table.limits.sweep).await;
        turn += 1;
        sweep(&shared.table);
        beat_streams(&shared.table);
        shared.table.forget_addresses();
        super::websocket::sweep(shared.clock.mono());
        shared.trimmer.borrow_mut().turn(
            &shared.clock,
            shared.table.take_peak(),
            shared.table.open(),
        );
        if turn.is_multiple_of(60) {
            shared.refresh_addresses();
        }
    }
}

/// Closes what is over its limit.
fn sweep(table: &Table) {
    let crowded = table.http() > table.limits.http_connections / 2;
    for connection in table.listed() {
        sweep_one(table, &connection, crowded);
    }
}

fn sweep_one(table: &Table, connection: &Rc<Connection>, crowded: bool) {
    let limits = &table.limits;
    let now = table.now();
    let stalled = |since| now.since(since) >= limits.write_stall;
    if connection.blocked_since.get().is_some_and(stalled) {
        table.reset(connection);
        return;
    }
    let since_phase = now.since(connection.since.get());
    let since_progress = now.since(connection.progress.get());
    let over = match connection.phase() {
        Phase::Handshake => since_phase >= limits.tls_handshake,
        Phase::Fresh => since_phase >= limits.head,
        Phase::Head => since_phase >= limits.head,
        Phase::Idle if crowded => since_phase >= limits.idle_crowded,
        Phase::Idle => since_phase >= limits.idle,
        // The reader of the body answers 408 by itself; this is for a handler that reads none.
        Phase::Body => since_progress >= limits.body_gap + limits.body_gap,
        // A handler's time is the room's affair; writes were looked at above.
        Phase::Handling | Phase::Writing | Phase::Streaming | Phase::Upgraded | Phase::Closing => {
            false
        }
    };
    if !over {
        return;
    }
    if connection.phase() == Phase::Head && !connection.peer.tls {
        socket::send_now(connection.fd(), TIMED_OUT);
    }
    table.close(connection);
}

fn beat_streams(table: &Table) {
    let now = table.now();
    let interval: Duration = table.limits.heartbeat;
    table
        .streams
        .borrow_mut()
        .retain(|stream| stream.heartbeat(now, interval));
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_canned_answer_states_its_true_length() {
        let text = std::str::from_utf8(super::TIMED_OUT).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
        let _: serde_json::Value = serde_json::from_str(body).expect("JSON");
    }
}
