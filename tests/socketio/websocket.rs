//! A session that begins by a WebSocket, as every published Happy client opens it.

use std::time::Duration;

use magpie::socketio::{DisconnectReason, IoOptions};
use serde_json::json;

use crate::PATIENCE;
use crate::hall::server;
use crate::peer::{Client, ask};

#[test]
fn a_handshake_tells_the_limits_and_refuses_what_it_does_not_speak() {
    let (address, _ends) = server(IoOptions::default());
    let (_client, told) = Client::open(address);
    assert!(
        told["sid"].as_str().is_some_and(|sid| sid.len() == 20),
        "{told}"
    );
    assert_eq!(told["upgrades"], json!([]));
    assert_eq!(told["pingInterval"], 15_000);
    assert_eq!(told["pingTimeout"], 45_000);
    assert_eq!(told["maxPayload"], 1_000_000);
    for (method, query, code, message) in [
        ("GET", "EIO=4&transport=carrier", 0, "Transport unknown"),
        ("GET", "EIO=4", 0, "Transport unknown"),
        (
            "GET",
            "EIO=4&transport=websocket&sid=x",
            1,
            "Session ID unknown",
        ),
        (
            "POST",
            "EIO=4&transport=websocket",
            2,
            "Bad handshake method",
        ),
        ("PUT", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("GET", "EIO=4&transport=websocket", 3, "Bad request"),
        (
            "GET",
            "EIO=3&transport=polling",
            5,
            "Unsupported protocol version",
        ),
        (
            "GET",
            "transport=polling",
            5,
            "Unsupported protocol version",
        ),
    ] {
        let answer = ask(address, method, query, "", "").answer();
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(
            answer.json(),
            json!({"code": code, "message": message}),
            "{query}"
        );
    }
}

#[test]
fn a_refused_client_hears_why_and_may_try_again() {
    let (address, _ends) = server(IoOptions::default());
    let (mut client, _) = Client::open(address);
    client.say(r#"40{"token":"wrong"}"#);
    client.expects(r#"44{"message":"Invalid authentication token"}"#);
    client.say("40/admin,");
    client.expects(r#"44/admin,{"message":"Invalid namespace"}"#);
    client.say(r#"40{"token":"right"}"#);
    assert!(client.hear().expect("an answer").starts_with("40{\"sid\":"));
}

#[test]
fn what_the_protocol_does_not_allow_closes_the_transport() {
    let (address, ends) = server(IoOptions::default());
    for text in [r#"42["message"]"#, "41", "4", "4x", "x", "", "1", "430[]"] {
        let (mut client, _) = Client::open(address);
        client.say(text);
        client.is_closed();
    }
    for text in [
        "42",
        "42{}",
        "42[]",
        "42[1]",
        "40",
        "43[]",
        "4abc",
        r#"4511-["message"]"#,
    ] {
        let mut client = Client::connected(address);
        client.say(text);
        client.is_closed();
        assert_eq!(
            ends.recv_timeout(PATIENCE),
            Ok(DisconnectReason::TransportClose),
            "{text}"
        );
    }
    let mut client = Client::connected(address);
    client.say_bytes(&[1, 2, 3]);
    client.is_closed();
}

#[test]
fn events_and_acknowledgements_go_both_ways() {
    let (address, ends) = server(IoOptions::default());
    let mut client = Client::connected(address);
    client.say(r#"42["message",1,"2",{"3":[true]}]"#);
    client.expects(r#"42["message-back",1,"2",{"3":[true]}]"#);
    client.say(r#"42456["message-with-ack",1,{"a":null}]"#);
    client.expects(r#"43456[1,{"a":null}]"#);
    client.say(r#"42["ask me",20000]"#);
    client.expects(r#"420["ask"]"#);
    client.say(r#"430["yes",2]"#);
    client.expects(r#"42["asked",["yes",2]]"#);
    client.say(r#"42["ask me",1]"#);
    client.expects(r#"421["ask"]"#);
    client.expects(r#"42["asked","timed out"]"#);
    client.say("431[]");
    client.say("41");
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(DisconnectReason::Client));
    // Who has left may come again by the same session.
    client.say("40");
    assert!(client.hear().expect("an answer").starts_with("40{\"sid\":"));
}

#[test]
fn a_broadcast_reaches_each_member_once_and_in_order() {
    let (address, ends) = server(IoOptions::default());
    let mut speaker = Client::connected(address);
    let mut leaver = Client::connected(address);
    // More than one slice.
    let mut hearers: Vec<Client> = (0..70).map(|_| Client::connected(address)).collect();
    leaver.say(r#"42["leave"]"#);
    leaver.say(r#"420["count"]"#);
    leaver.expects("430[71]");
    for number in 0..3 {
        speaker.say(&format!(r#"42["shout",{number}]"#));
    }
    for hearer in &mut hearers {
        for number in 0..3 {
            hearer.expects(&format!(r#"42["update",{number}]"#));
        }
    }
    for outside in [&mut speaker, &mut leaver] {
        outside.say(r#"42["message"]"#);
        outside.expects(r#"42["message-back"]"#);
    }
    leaver.say(r#"42["throw out"]"#);
    for gone in hearers.iter_mut().chain([&mut speaker]) {
        gone.expects("41");
        gone.is_closed();
        assert_eq!(ends.recv_timeout(PATIENCE), Ok(DisconnectReason::Server));
    }
    leaver.say(r#"421["count"]"#);
    leaver.expects("431[0]");
}

#[test]
fn a_client_that_answers_pings_stays_and_a_silent_one_goes() {
    let (address, ends) = server(IoOptions {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_secs(2),
        ..IoOptions::default()
    });
    let mut client = Client::connected(address);
    for _ in 0..3 {
        client.expects("2");
        client.say("3");
    }
    client.say(r#"42["message"]"#);
    while client.hear().expect("still open") != r#"42["message-back"]"# {}
    while client.hear().is_some() {}
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::PingTimeout)
    );
}

#[test]
fn a_transport_that_never_connects_is_closed() {
    let (address, _ends) = server(IoOptions {
        connect_limit: Duration::from_millis(200),
        ..IoOptions::default()
    });
    let (mut client, _) = Client::open(address);
    client.is_closed();
}

#[test]
fn who_does_not_read_is_cut_off_and_the_others_hear_everything() {
    let (address, ends) = server(IoOptions::default());
    let mut speaker = Client::connected(address);
    let _deaf = Client::connected(address);
    let mut hearer = Client::connected(address);
    let long = "x".repeat(200_000);
    for number in 0..20 {
        speaker.say(&format!(r#"42["shout","{number} {long}"]"#));
        hearer.expects(&format!(r#"42["update","{number} {long}"]"#));
    }
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::TransportClose)
    );
    hearer.say(r#"420["count"]"#);
    hearer.expects("430[2]");
}

#[test]
fn a_handler_that_panics_loses_its_socket_alone_and_is_told_of_the_end() {
    let (address, ends) = server(IoOptions::default());
    let mut client = Client::connected(address);
    let mut other = Client::connected(address);
    client.say(r#"42["panic"]"#);
    client.is_closed();
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::TransportClose)
    );
    other.say(r#"420["count"]"#);
    other.expects("430[1]");
}

#[test]
fn a_box_that_stops_closes_its_sockets() {
    let (address, ends) = server(IoOptions::default());
    let mut client = Client::connected(address);
    client.say(r#"42["stop the box"]"#);
    client.is_closed();
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::TransportClose)
    );
}
