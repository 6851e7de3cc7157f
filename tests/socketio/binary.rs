//! Binary parts of packets.

use magpie::socketio::{DisconnectReason, IoOptions};

use crate::PATIENCE;
use crate::hall::server;
use crate::peer::{Client, Poller};

const PLACE: &str = r#"{"_placeholder":true,"num":0}"#;

#[test]
fn events_and_answers_carry_parts_both_ways() {
    let (address, _ends) = server(IoOptions::default());
    let mut client = Client::connected(address);
    client.say(&format!(r#"451-["message",{PLACE},"and text"]"#));
    client.say_bytes(&[1, 2, 3]);
    client.expects(&format!(r#"451-["message-back",{PLACE},"and text"]"#));
    client.expects_bytes(&[1, 2, 3]);
    client.say(&format!(r#"451-7["message-with-ack",{{"in":[{PLACE}]}}]"#));
    client.say_bytes(&[]);
    client.expects(&format!(r#"461-7[{{"in":[{PLACE}]}}]"#));
    client.expects_bytes(&[]);
    client.say(&format!(r#"451-["ask me",{PLACE}]"#));
    client.say_bytes(&[9]);
    client.expects(&format!(r#"451-0["ask",{PLACE}]"#));
    client.expects_bytes(&[9]);
    client.say(&format!(r#"461-0["answer",{PLACE}]"#));
    client.say_bytes(&[8, 7]);
    client.expects(&format!(r#"451-["asked","answer",{PLACE}]"#));
    client.expects_bytes(&[8, 7]);
    // A room that knows no binary, and a packet that announces none.
    client.say(&format!(r#"451-8["count",{PLACE}]"#));
    client.say_bytes(&[1]);
    client.expects("438[1]");
    client.say(r#"450-["message"]"#);
    client.expects(r#"42["message-back"]"#);
}

#[test]
fn a_poller_sends_and_hears_parts_as_base64() {
    let (address, _ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let two = r#"{"_placeholder":true,"num":1}"#;
    poller
        .post(&format!(
            "452-3[\"message-with-ack\",{two},{PLACE}]\u{1e}bAQIDBA==\u{1e}bBQ=="
        ))
        .is(200, "ok");
    poller.poll().is(
        200,
        &format!("462-3[{two},{PLACE}]\u{1e}bAQIDBA==\u{1e}bBQ=="),
    );
    // The parts of a packet may come by several posts.
    poller
        .post(&format!(r#"451-["message",{PLACE}]"#))
        .is(200, "ok");
    poller.post("bAQ==").is(200, "ok");
    poller
        .poll()
        .is(200, &format!("451-[\"message-back\",{PLACE}]\u{1e}bAQ=="));
    assert_eq!(poller.post("b***").status, 400);
    assert_eq!(poller.poll().status, 400);
}

#[test]
fn large_parts_arrive_whole() {
    let (address, _ends) = server(IoOptions::default());
    let mut client = Client::connected(address);
    let part: Vec<u8> = (0..450_000_u32).map(|number| number as u8).collect();
    client.say(&format!(
        r#"452-["message",{PLACE},{{"_placeholder":true,"num":1}}]"#
    ));
    client.say_bytes(&part);
    client.say_bytes(&part);
    assert!(client.hear().expect("open").starts_with("452-"));
    client.expects_bytes(&part);
    client.expects_bytes(&part);
}

#[test]
fn parts_that_do_not_fit_their_packet_end_the_session() {
    let (address, ends) = server(IoOptions {
        max_payload: 1_000,
        ..IoOptions::default()
    });
    type Bad = fn(&mut Client);
    let bad: [(&str, Bad); 7] = [
        ("nothing was announced", |client| client.say_bytes(&[1])),
        ("an event in between", |client| {
            client.say(r#"451-["message"]"#);
            client.say(r#"42["message"]"#);
        }),
        ("more than may be announced", |client| {
            client.say(r#"4511-["message"]"#);
        }),
        ("a place without its part", |client| {
            client.say(r#"451-["message",{"_placeholder":true,"num":1}]"#);
            client.say_bytes(&[1]);
        }),
        ("a place that is no number", |client| {
            client.say(r#"451-["message",{"_placeholder":true,"num":"x"}]"#);
            client.say_bytes(&[1]);
        }),
        ("more bytes than a packet may have", |client| {
            client.say(r#"452-["message"]"#);
            client.say_bytes(&[0; 600]);
            client.say_bytes(&[0; 600]);
        }),
        ("one part longer than a message may be", |client| {
            client.say(r#"451-["message"]"#);
            client.say_bytes(&[0; 1_001]);
        }),
    ];
    for (what, send) in bad {
        let mut client = Client::connected(address);
        send(&mut client);
        client.is_closed();
        assert_eq!(
            ends.recv_timeout(PATIENCE),
            Ok(DisconnectReason::TransportClose),
            "{what}"
        );
    }
    let (mut stranger, _) = Client::open(address);
    stranger.say(&format!(r#"451-["message",{PLACE}]"#));
    stranger.is_closed();
}
