//! A session by HTTP long polling.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use magpie::socketio::{DisconnectReason, IoOptions};
use serde_json::{Value, json};

use crate::hall::server;
use crate::peer::{Client, Poller, ask, get};
use crate::{PATH, PATIENCE};

#[test]
fn a_session_is_opened_posted_to_and_polled_as_the_original_answers() {
    let (address, _ends) = server(IoOptions::default());
    let opened = get(address, "EIO=4&transport=polling");
    assert_eq!(opened.status, 200);
    assert_eq!(opened.headers["content-type"], "text/plain; charset=UTF-8");
    assert_eq!(opened.headers["cache-control"], "no-store");
    let told: Value = serde_json::from_str(&opened.body[1..]).expect("JSON");
    assert_eq!(told["upgrades"], json!(["websocket"]));
    assert_eq!(told["maxPayload"], 1_000_000);
    let poller = Poller {
        address,
        sid: told["sid"].as_str().expect("an id").to_owned(),
    };
    let joined = poller.post(r#"40{"token":"wrong"}"#);
    joined.is(200, "ok");
    assert_eq!(joined.headers["content-type"], "text/html");
    poller
        .poll()
        .is(200, r#"44{"message":"Invalid authentication token"}"#);
    poller.post("40").is(200, "ok");
    assert!(poller.poll().body.starts_with("40{\"sid\":"));
    poller.post("40/admin,").is(200, "ok");
    poller
        .poll()
        .is(200, r#"44/admin,{"message":"Invalid namespace"}"#);
    poller
        .post("420[\"message-with-ack\",1]\u{1e}421[\"message-with-ack\",\"ä\"]")
        .is(200, "ok");
    poller.poll().is(200, "430[1]\u{1e}431[\"ä\"]");
}

#[test]
fn a_packet_that_is_none_ends_the_session_at_the_next_poll() {
    let (address, ends) = server(IoOptions::default());
    let early = Poller::open(address);
    early.post(r#"42["message"]"#).is(200, "ok");
    early.poll().is(200, "6\u{1e}1");
    for text in ["4x", "42{}", "43[]", "2", "0{}"] {
        let poller = Poller::connected(address);
        poller.post(text).is(200, "ok");
        assert_eq!(
            ends.recv_timeout(PATIENCE),
            Ok(DisconnectReason::TransportClose)
        );
        poller.poll().is(200, "6\u{1e}1");
        let gone = poller.poll();
        assert_eq!(gone.status, 400);
        assert_eq!(
            gone.json(),
            json!({"code": 1, "message": "Session ID unknown"})
        );
    }
}

#[test]
fn a_poll_waits_for_what_comes_and_hears_it_once() {
    let (address, _ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let mut speaker = Client::connected(address);
    for number in 0..3 {
        let waiting = poller.begin_poll();
        speaker.say(&format!(r#"42["shout",{number}]"#));
        waiting
            .answer()
            .is(200, &format!(r#"42["update",{number}]"#));
    }
    for number in 3..6 {
        speaker.say(&format!(r#"42["shout",{number}]"#));
    }
    speaker.say(r#"420["count"]"#);
    speaker.expects("430[2]");
    poller.poll().is(
        200,
        "42[\"update\",3]\u{1e}42[\"update\",4]\u{1e}42[\"update\",5]",
    );
}

#[test]
fn only_a_get_takes_packets_away() {
    let (address, _ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    poller.post(r#"42["message"]"#).is(200, "ok");
    for method in ["HEAD", "PUT", "DELETE"] {
        let answer = ask(address, method, &poller.query(), "", "").answer();
        assert_eq!(answer.status, 400, "{method}");
    }
    poller.poll().is(200, r#"42["message-back"]"#);
}

#[test]
fn the_client_is_asked_and_answers_by_posts() {
    let (address, ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    poller.post(r#"42["ask me",60000]"#).is(200, "ok");
    poller.poll().is(200, r#"420["ask"]"#);
    poller.post(r#"430["yes",2]"#).is(200, "ok");
    poller.poll().is(200, r#"42["asked",["yes",2]]"#);
    poller.post(r#"42["throw out"]"#).is(200, "ok");
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(DisconnectReason::Server));
    poller.poll().is(200, "41");
    poller.poll().is(200, "6\u{1e}1");
    assert_eq!(poller.poll().status, 400);
}

#[test]
fn a_client_that_hangs_up_its_poll_has_left() {
    let (address, ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let waiting = poller.begin_poll();
    // Answered after it came, so that it is a poll by now and not a connection that said nothing.
    for _ in 0..2 {
        poller.post("6").is(200, "ok");
    }
    drop(waiting);
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::TransportClose)
    );
    assert_eq!(poller.poll().status, 400);
}

#[test]
fn a_second_post_beside_one_ends_the_session() {
    let (address, ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let mut slow = TcpStream::connect(address).expect("a connection");
    let head = format!(
        "POST {PATH}?{} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n42",
        poller.query()
    );
    slow.write_all(head.as_bytes()).expect("sent");
    // It may overtake the slow one's head, and is then an ordinary one.
    while poller.post("6").status == 200 {}
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::TransportClose)
    );
    assert_eq!(poller.poll().status, 400);
}

#[test]
fn a_payload_that_is_too_long_is_refused_and_the_session_goes_on() {
    let (address, _ends) = server(IoOptions {
        max_payload: 1_000,
        ..IoOptions::default()
    });
    let poller = Poller::connected(address);
    let long = "x".repeat(1_000);
    let refused = poller.post(&format!(r#"42["message","{long}"]"#));
    refused.is(413, r#"{"code":3,"message":"Bad request"}"#);
    poller.post(r#"42["message"]"#).is(200, "ok");
    poller.poll().is(200, r#"42["message-back"]"#);
    let many = vec!["6"; 257].join("\u{1e}");
    assert_eq!(poller.post(&many).status, 400);
    assert_eq!(poller.poll().status, 400);
}

#[test]
fn only_so_many_sessions_may_poll_and_those_that_never_join_make_room() {
    let (address, _ends) = server(IoOptions {
        connect_limit: Duration::from_secs(5),
        ..IoOptions::default()
    });
    let poller = Poller::connected(address);
    let knock = || get(address, "EIO=4&transport=polling");
    let refused = std::iter::repeat_with(knock).find(|answer| answer.status != 200);
    let refused = refused.expect("a refusal");
    refused.is(503, r#"{"code":3,"message":"Bad request"}"#);
    assert!(refused.headers.contains_key("retry-after"));
    let mut other = Client::connected(address);
    other.say(r#"42["shout",1]"#);
    poller.poll().is(200, r#"42["update",1]"#);
    while knock().status != 200 {
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_poller_that_answers_no_ping_is_gone() {
    let (address, ends) = server(IoOptions {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(400),
        ..IoOptions::default()
    });
    let poller = Poller::connected(address);
    poller.poll().is(200, "2");
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::PingTimeout)
    );
    assert_eq!(poller.poll().status, 400);
}

#[test]
fn a_poller_that_never_joins_is_told_to_go() {
    let (address, _ends) = server(IoOptions {
        connect_limit: Duration::from_millis(200),
        ..IoOptions::default()
    });
    let poller = Poller::open(address);
    poller.poll().is(200, "1");
    assert_eq!(poller.poll().status, 400);
}

#[test]
fn pages_of_every_origin_may_poll_and_post() {
    let (address, _ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let origin = "origin: https://app.example\r\n";
    let asked = format!(
        "{origin}access-control-request-method: POST\r\naccess-control-request-headers: content-type\r\n"
    );
    let preflight = ask(address, "OPTIONS", &poller.query(), &asked, "").answer();
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-origin"], "*");
    assert!(preflight.headers["access-control-allow-methods"].contains("POST"));
    let posted = ask(address, "POST", &poller.query(), origin, r#"42["message"]"#).answer();
    posted.is(200, "ok");
    assert_eq!(posted.headers["access-control-allow-origin"], "*");
    let polled = ask(address, "GET", &poller.query(), origin, "").answer();
    polled.is(200, r#"42["message-back"]"#);
    assert_eq!(polled.headers["access-control-allow-origin"], "*");
    let refused = ask(address, "GET", "EIO=4", origin, "").answer();
    assert_eq!(refused.headers["access-control-allow-origin"], "*");
}

#[test]
fn a_box_that_stops_answers_the_polls_that_wait() {
    let (address, ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let waiting = poller.begin_poll();
    // Answered behind the poll, which is there then.
    poller.post("6").is(200, "ok");
    poller.post(r#"42["stop the box"]"#).is(200, "ok");
    waiting.answer().is(200, "1");
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::TransportClose)
    );
}
