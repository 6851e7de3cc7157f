//! Clients that send too much, read nothing, or come and go.

use magpie::socketio::{DisconnectReason, IoOptions};

use crate::PATIENCE;
use crate::hall::server;
use crate::peer::{Client, Poller};

#[test]
fn a_flood_of_events_waits_and_all_of_it_is_answered_in_order() {
    const COUNT: usize = 1_200;
    let (address, _ends) = server(IoOptions::default());
    let mut flood = Client::connected(address);
    let mut other = Client::connected(address);
    for number in 0..COUNT {
        flood.say(&format!(r#"42{number}["message-with-ack",{number}]"#));
    }
    other.say(r#"420["count"]"#);
    other.expects("430[2]");
    for number in 0..COUNT {
        flood.expects(&format!("43{number}[{number}]"));
    }
}

#[test]
fn a_flood_by_posts_waits_as_well() {
    let (address, _ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let mut answered = 0;
    for batch in 0..6 {
        let events: Vec<String> = (0..200)
            .map(|number| format!(r#"42{}["message-with-ack"]"#, batch * 200 + number))
            .collect();
        poller.post(&events.join("\u{1e}")).is(200, "ok");
        for packet in poller.poll().body.split('\u{1e}') {
            assert_eq!(packet, format!("43{answered}[]"));
            answered += 1;
        }
    }
    assert_eq!(answered, 1_200);
}

#[test]
fn who_is_owed_many_answers_is_not_read_before_it_has_some() {
    let (address, _ends) = server(IoOptions::default());
    let mut client = Client::connected(address);
    let mut other = Client::connected(address);
    for number in 0..300 {
        client.say(&format!(r#"42{number}["keep"]"#));
    }
    client.say(r#"42["message"]"#);
    let mut kept = String::new();
    while kept != "430[257]" {
        other.say(r#"420["count the kept"]"#);
        kept = other.hear_event().expect("an answer");
    }
    other.say(r#"42["answer the kept"]"#);
    for number in 0..257 {
        client.expects(&format!("43{number}[]"));
    }
    client.expects(r#"42["message-back"]"#);
    other.say(r#"420["count the kept"]"#);
    other.expects("430[43]");
}

#[test]
fn a_stranger_may_send_little_until_it_is_let_in() {
    let (address, _ends) = server(IoOptions::default());
    let long = format!(r#"40{{"token":"{}"}}"#, "x".repeat(20_000));
    let (mut stranger, _) = Client::open(address);
    stranger.say(&long);
    stranger.is_closed();
    let poller = Poller::open(address);
    assert_eq!(poller.post(&long).status, 413);
    poller.post("40").is(200, "ok");
    assert!(poller.poll().body.starts_with("40"));
    let event = format!(r#"42["message","{}"]"#, "x".repeat(900_000));
    poller.post(&event).is(200, "ok");
    assert_eq!(poller.poll().body.len(), event.len() + "-back".len());
    let mut wire = poller.websocket();
    wire.say("2probe");
    wire.expects("3probe");
    wire.say("5");
    wire.say(&event);
    let back = wire.hear_event().expect("still open");
    assert_eq!(back.len(), event.len() + "-back".len());
}

#[test]
fn who_is_refused_again_and_again_is_sent_away() {
    let (address, _ends) = server(IoOptions::default());
    let (mut client, _) = Client::open(address);
    for _ in 0..8 {
        client.say(r#"40{"token":"wrong"}"#);
        client.expects(r#"44{"message":"Invalid authentication token"}"#);
        client.say("40/admin,");
        client.expects(r#"44/admin,{"message":"Invalid namespace"}"#);
    }
    client.say(r#"40{"token":"wrong"}"#);
    client.is_closed();
}

#[test]
fn a_poller_that_fetches_nothing_is_cut_off() {
    let (address, ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let mut speaker = Client::connected(address);
    let long = "x".repeat(200_000);
    for number in 0..10 {
        speaker.say(&format!(r#"42["shout","{number} {long}"]"#));
    }
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::TransportClose)
    );
    assert_eq!(poller.poll().status, 400);
    speaker.say(r#"420["count"]"#);
    speaker.expects("430[1]");
}

#[test]
fn a_handler_that_panics_costs_a_poller_its_session_alone() {
    let (address, ends) = server(IoOptions::default());
    let poller = Poller::connected(address);
    let other = Poller::connected(address);
    poller.post(r#"42["panic"]"#).is(200, "ok");
    assert_eq!(
        ends.recv_timeout(PATIENCE),
        Ok(DisconnectReason::TransportClose)
    );
    assert_eq!(poller.poll().status, 400);
    other.post(r#"420["count"]"#).is(200, "ok");
    other.poll().is(200, "430[1]");
}

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    const EACH: usize = 30;
    let (address, ends) = server(IoOptions::default());
    let coming: Vec<_> = (0..6)
        .map(|number| {
            std::thread::spawn(move || {
                for _ in 0..EACH {
                    match number % 3 {
                        0 => drop(Client::connected(address)),
                        1 => drop(Poller::connected(address).begin_poll()),
                        _ => {
                            let poller = Poller::connected(address);
                            let mut wire = poller.websocket();
                            wire.say("2probe");
                            wire.say("5");
                            wire.expects("3probe");
                            wire.say(r#"420["message-with-ack"]"#);
                            wire.expects("430[]");
                        }
                    }
                }
            })
        })
        .collect();
    for thread in coming {
        thread.join().expect("a client");
    }
    for _ in 0..6 * EACH {
        assert_eq!(
            ends.recv_timeout(PATIENCE),
            Ok(DisconnectReason::TransportClose)
        );
    }
    let mut last = Client::connected(address);
    last.say(r#"420["count"]"#);
    last.expects("430[1]");
    assert!(ends.try_recv().is_err());
}
