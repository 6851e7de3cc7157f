//! Clients that stop half-way: each meets its limit, and nobody else notices.

use std::time::Duration;

use crate::house::{House, impatient};

fn house() -> House {
    House::with(|options| options.limits = impatient())
}

#[test]
fn a_silent_connection_is_closed_without_a_word() {
    let house = house();
    assert!(house.connect().is_closed());
}

#[test]
fn a_half_sent_head_is_answered_408_and_closed() {
    let house = house();
    let mut client = house.connect();
    client.send("GET /health HTTP/1.1\r\nHost: loc");
    let answer = client.answer();
    assert_eq!(answer.status, 408);
    assert!(answer.text().contains("REQUEST_TIMEOUT"));
    assert!(client.is_closed());
}

#[test]
fn a_dribbled_head_does_not_win_time_with_each_byte() {
    let house = house();
    let mut client = house.connect();
    client.tcp.set_nodelay(true).expect("an option");
    for byte in "GET /health HTTP/1.1\r\nX: "
        .bytes()
        .chain(std::iter::repeat_n(b'y', 2_000))
    {
        use std::io::Write;
        if client.tcp.write_all(&[byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("a head of {} bytes was waited for", 2_000);
}

#[test]
fn a_half_sent_body_is_answered_408_and_closed() {
    let house = house();
    for path in ["/echo", "/count"] {
        let mut client = house.connect();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf"
        ));
        let answer = client.answer();
        assert_eq!(answer.status, 408, "{path}");
        assert!(client.is_closed(), "{path}");
    }
}

#[test]
fn an_idle_connection_is_kept_for_its_time_and_no_longer() {
    let house = house();
    let mut client = house.connect();
    for _ in 0..3 {
        assert_eq!(
            client
                .ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .status,
            200
        );
    }
    assert!(client.is_closed());
}

#[test]
fn a_reader_that_stops_is_reset() {
    let house = house();
    let mut client = house.connect();
    client.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    house.ask(|server| async move {
        while server.table().open() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        while server.table().open() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let text = house.metrics.render();
    assert!(text.contains("magpie_connections_swept_total 1"), "{text}");
}

#[test]
fn a_quiet_stream_hears_a_heartbeat_and_a_client_that_leaves_is_noticed() {
    let house = house();
    let mut client = house.connect();
    client.send("GET /quiet HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.head_only();
    assert!(head.contains("text/event-stream"), "{head}");
    for _ in 0..3 {
        assert_eq!(client.chunk().as_deref(), Some(&b":\n\n"[..]));
    }
    drop(client);
    house.ask(|server| async move {
        while server.table().open() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
}
