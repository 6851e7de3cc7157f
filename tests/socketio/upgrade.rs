//! A session that moves from long polling to a WebSocket.

use magpie::socketio::{DisconnectReason, IoOptions};

use crate::PATIENCE;
use crate::hall::server;
use crate::peer::{Client, Poller};

#[test]
fn a_waiting_poll_ends_and_the_session_goes_on_by_the_websocket() {
    let (address, ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let waiting = poller.begin_poll();
    let mut wire = poller.websocket();
    wire.say("2probe");
    wire.expects("3probe");
    waiting.answer().is(200, "6");
    // Between the probe and the upgrade the session still polls.
    poller.post(r#"42["message","by post"]"#).is(200, "ok");
    poller.poll().is(200, r#"42["message-back","by post"]"#);
    poller.poll().is(200, "6");
    wire.say("5");
    wire.say(r#"420["message-with-ack","by socket"]"#);
    wire.expects(r#"430["by socket"]"#);
    let refused = poller.poll();
    refused.is(400, r#"{"code":3,"message":"Bad request"}"#);
    assert_eq!(poller.post("6").status, 400);
    wire.say("1");
    wire.is_closed();
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::TransportClose)
    );
    let gone = poller.poll();
    gone.is(400, r#"{"code":1,"message":"Session ID unknown"}"#);
}

#[test]
fn nothing_is_lost_or_doubled_on_the_way() {
    const COUNT: usize = 400;
    let (address, _ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let speaking = std::thread::spawn(move || {
        let mut speaker = Client::connected(address);
        for number in 0..COUNT {
            speaker.say(&format!(r#"42["shout",{number}]"#));
            speaker.say(r#"420["count"]"#);
            speaker.expects_event("430[2]");
        }
    });
    let mut heard: Vec<String> = Vec::new();
    let mut hear = |payload: &str| {
        let events = payload.split('\u{1e}').filter(|packet| *packet != "6");
        heard.extend(events.map(str::to_owned));
        heard.len()
    };
    while hear(&poller.poll().body) < 20 {}
    let mut wire = poller.websocket();
    wire.say("2probe");
    wire.expects("3probe");
    // A client lets its last poll end before it moves.
    hear(&poller.poll().body);
    wire.say("5");
    while hear(&wire.hear_event().expect("still open")) < COUNT {}
    speaking.join().expect("the speaker");
    for (number, event) in heard.iter().enumerate() {
        assert_eq!(*event, format!(r#"42["update",{number}]"#));
    }
}

#[test]
fn what_nobody_fetched_is_sent_first_by_the_websocket() {
    let (address, _ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let mut wire = poller.websocket();
    wire.say("2probe");
    wire.expects("3probe");
    poller.post(r#"42["message",1]"#).is(200, "ok");
    poller
        .post("451-[\"message\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID")
        .is(200, "ok");
    wire.say("5");
    wire.say(r#"42["message",2]"#);
    wire.expects(r#"42["message-back",1]"#);
    wire.expects(r#"451-["message-back",{"_placeholder":true,"num":0}]"#);
    wire.expects_bytes(&[1, 2, 3]);
    wire.expects(r#"42["message-back",2]"#);
}

#[test]
fn a_poll_that_waits_while_the_session_moves_is_answered() {
    let (address, _ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let waiting = poller.begin_poll();
    let mut wire = poller.websocket();
    wire.say("2probe");
    wire.say("5");
    wire.expects("3probe");
    waiting.answer().is(200, "6");
    wire.say(r#"42["message"]"#);
    wire.expects(r#"42["message-back"]"#);
}

#[test]
fn a_websocket_that_is_not_made_the_transport_leaves_the_session_alone() {
    let (address, ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    for wrong in ["5", "2", "4hello", "2probe!", "3probe"] {
        let mut wire = poller.websocket();
        wire.say(wrong);
        wire.is_closed();
    }
    let mut first = poller.websocket();
    first.say("2probe");
    first.expects("3probe");
    let mut second = poller.websocket();
    second.is_closed();
    first.0.close(None).expect("sent");
    first.is_closed();
    poller.post(r#"42["message"]"#).is(200, "ok");
    poller.poll().is(200, r#"42["message-back"]"#);
    let mut third = poller.websocket();
    third.say("2probe");
    third.expects("3probe");
    third.say("5");
    third.say(r#"42["message"]"#);
    third.expects(r#"42["message-back"]"#);
    let mut fourth = poller.websocket();
    fourth.is_closed();
    assert!(ends.try_recv().is_err());
}

#[test]
fn a_websocket_that_dallies_is_closed_and_the_session_polls_on() {
    let (address, _ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let mut wire = poller.websocket();
    wire.say("2probe");
    wire.expects("3probe");
    wire.is_closed();
    let waiting = poller.begin_poll();
    poller.post(r#"42["message"]"#).is(200, "ok");
    waiting.answer().is(200, r#"42["message-back"]"#);
}

#[test]
fn a_session_that_is_ended_on_the_way_says_so_over_there() {
    let (address, ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let mut other = Client::connected(address);
    let mut wire = poller.websocket();
    wire.say("2probe");
    wire.expects("3probe");
    poller.poll().is(200, "6");
    other.say(r#"42["throw out"]"#);
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(DisconnectReason::Server));
    wire.say("5");
    wire.expects("41");
    wire.is_closed();
    let gone = poller.poll();
    gone.is(400, r#"{"code":1,"message":"Session ID unknown"}"#);
}

#[test]
fn a_session_that_ends_takes_its_probe_along() {
    let (address, _ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let mut wire = poller.websocket();
    wire.say("2probe");
    wire.expects("3probe");
    poller.post("1").is(200, "ok");
    wire.is_closed();
    assert_eq!(
        Client::upgraded(address, "EIO=4&transport=websocket&sid=x").err(),
        Some(400)
    );
}
