//! The cases of the public suite for Engine.IO 4, under its own headings, expressed anew.
//!
//! That suite asks for a server that echoes messages; ours speaks Socket.IO, so the cases that
//! send a message send an event.

use std::time::Duration;

use magpie::socketio::IoOptions;
use serde_json::{Value, json};

use crate::hall::{server, suite_server, suite_server_of};
use crate::peer::{Client, Poller, ask, get};

/// Pings seldom enough for a test to be slow.
fn patient_server() -> std::net::SocketAddr {
    suite_server_of(IoOptions::default())
}

/// Joined, and `auth` heard.
fn joined(address: std::net::SocketAddr) -> Poller {
    let poller = Poller::open(address);
    poller.post("40").is(200, "ok");
    let told = poller.poll().body;
    assert!(told.ends_with("\u{1e}42[\"auth\",{}]"), "{told}");
    poller
}

fn opened(text: &str, upgrades: &Value) {
    let told: Value = serde_json::from_str(text.strip_prefix('0').expect("type 0")).expect("JSON");
    let mut keys: Vec<&String> = told.as_object().expect("an object").keys().collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "maxPayload",
            "pingInterval",
            "pingTimeout",
            "sid",
            "upgrades"
        ]
    );
    assert!(told["sid"].is_string());
    assert_eq!(told["upgrades"], *upgrades);
    assert_eq!(told["pingInterval"], 300);
    assert_eq!(told["pingTimeout"], 200);
    assert_eq!(told["maxPayload"], 1_000_000);
}

mod handshake {
    use super::*;

    #[test]
    fn polling_opens_a_session() {
        let answer = get(suite_server(), "EIO=4&transport=polling");
        assert_eq!(answer.status, 200);
        opened(&answer.body, &json!(["websocket"]));
    }

    #[test]
    fn polling_fails_with_an_invalid_eio() {
        let address = suite_server();
        for query in ["transport=polling", "EIO=abc&transport=polling"] {
            assert_eq!(get(address, query).status, 400, "{query}");
        }
    }

    #[test]
    fn polling_fails_with_an_invalid_transport() {
        let address = suite_server();
        for query in ["EIO=4", "EIO=4&transport=abc"] {
            assert_eq!(get(address, query).status, 400, "{query}");
        }
    }

    #[test]
    fn polling_fails_with_an_invalid_method() {
        let address = suite_server();
        for method in ["POST", "PUT"] {
            let answer = ask(address, method, "EIO=4&transport=polling", "", "").answer();
            assert_eq!(answer.status, 400, "{method}");
        }
    }

    #[test]
    fn websocket_opens_a_session() {
        let mut client =
            Client::upgraded(suite_server(), "EIO=4&transport=websocket").expect("101");
        opened(&client.hear().expect("a packet"), &json!([]));
    }

    #[test]
    fn websocket_fails_with_an_invalid_eio() {
        let address = suite_server();
        for query in ["transport=websocket", "EIO=abc&transport=websocket"] {
            assert_eq!(Client::upgraded(address, query).err(), Some(400), "{query}");
        }
    }

    #[test]
    fn websocket_fails_with_an_invalid_transport() {
        let address = suite_server();
        for query in ["EIO=4", "EIO=4&transport=abc"] {
            assert_eq!(Client::upgraded(address, query).err(), Some(400), "{query}");
        }
    }
}

mod message {
    use super::*;

    #[test]
    fn polling_carries_a_payload_of_one_text_packet() {
        let poller = joined(patient_server());
        poller.post(r#"42["message","hello"]"#).is(200, "ok");
        poller.poll().is(200, r#"42["message-back","hello"]"#);
    }

    #[test]
    fn polling_carries_a_payload_of_several_text_packets() {
        let poller = joined(patient_server());
        poller
            .post("42[\"message\",1]\u{1e}42[\"message\",2]\u{1e}42[\"message\",3]")
            .is(200, "ok");
        poller.poll().is(
            200,
            "42[\"message-back\",1]\u{1e}42[\"message-back\",2]\u{1e}42[\"message-back\",3]",
        );
    }

    #[test]
    fn polling_carries_a_payload_of_text_and_binary_packets() {
        let poller = joined(patient_server());
        let place = r#"{"_placeholder":true,"num":0}"#;
        poller
            .post(&format!("451-[\"message\",{place}]\u{1e}bAQIDBA=="))
            .is(200, "ok");
        poller.poll().is(
            200,
            &format!("451-[\"message-back\",{place}]\u{1e}bAQIDBA=="),
        );
    }

    #[test]
    fn polling_closes_the_session_upon_an_invalid_packet() {
        let poller = Poller::open(patient_server());
        assert_eq!(poller.post("abc").status, 400);
        assert_eq!(poller.poll().status, 400);
    }

    #[test]
    fn polling_closes_the_session_upon_a_second_poll_at_once() {
        let poller = Poller::open(patient_server());
        let polls = [poller.begin_poll(), poller.begin_poll()];
        let mut answers = polls.map(|poll| {
            let answer = poll.answer();
            (answer.status, answer.body)
        });
        // Which of the two the server saw first is not ours to say.
        answers.sort();
        assert_eq!(answers[0], (200, "1".to_owned()));
        assert_eq!(answers[1].0, 400);
        assert_eq!(poller.poll().status, 400);
    }

    #[test]
    fn websocket_carries_a_text_packet() {
        let (mut client, _) = Client::open(patient_server());
        client.say("40");
        assert!(client.hear().expect("open").starts_with("40"));
        client.expects(r#"42["auth",{}]"#);
        client.say(r#"42["message","hello"]"#);
        client.expects(r#"42["message-back","hello"]"#);
    }

    #[test]
    fn websocket_carries_a_binary_packet() {
        let mut client = Client::connected(server(IoOptions::default()).0);
        client.say(r#"451-["message",{"_placeholder":true,"num":0}]"#);
        client.say_bytes(&[1, 2, 3, 4]);
        client.expects(r#"451-["message-back",{"_placeholder":true,"num":0}]"#);
        client.expects_bytes(&[1, 2, 3, 4]);
    }

    #[test]
    fn websocket_closes_the_session_upon_an_invalid_packet() {
        let (mut client, _) = Client::open(patient_server());
        client.say("abc");
        client.is_closed();
    }
}

mod heartbeat {
    use super::*;

    /// As the suite's, but for the patience with a slow machine.
    fn pinging_server() -> std::net::SocketAddr {
        suite_server_of(IoOptions {
            ping_interval: Duration::from_millis(300),
            ping_timeout: Duration::from_secs(30),
            ..IoOptions::default()
        })
    }

    #[test]
    fn polling_sends_pings_and_takes_pongs() {
        let poller = Poller::open(pinging_server());
        for _ in 0..3 {
            poller.poll().is(200, "2");
            poller.post("3").is(200, "ok");
        }
    }

    #[test]
    fn polling_closes_the_session_upon_ping_timeout() {
        let poller = Poller::open(suite_server());
        // A poll that waits when the time is over learns of it, a later one finds nothing.
        let told: Vec<String> = std::iter::repeat_with(|| poller.poll())
            .take_while(|answer| answer.status == 200)
            .map(|answer| answer.body)
            .collect();
        assert!(
            ["2", "2 1", "1", ""].contains(&told.join(" ").as_str()),
            "{told:?}"
        );
    }

    #[test]
    fn websocket_sends_pings_and_takes_pongs() {
        let (mut client, _) = Client::open(pinging_server());
        for _ in 0..3 {
            client.expects("2");
            client.say("3");
        }
    }

    #[test]
    fn websocket_closes_the_session_upon_ping_timeout() {
        let (mut client, _) = Client::open(suite_server());
        client.is_closed_at_last();
    }
}

mod close {
    use super::*;

    #[test]
    fn polling_closes_the_session_by_a_packet() {
        let poller = Poller::open(patient_server());
        let waiting = poller.begin_poll();
        // The poll has to be there first; a post of nothing is answered behind it.
        poller.post("6").is(200, "ok");
        poller.post("1").is(200, "ok");
        let last = waiting.answer();
        assert!(last.body == "6" || last.status == 400, "{last:?}");
        assert_eq!(poller.poll().status, 400);
    }

    #[test]
    fn websocket_closes_the_session_by_a_packet() {
        let (mut client, _) = Client::open(patient_server());
        client.say("1");
        client.is_closed();
    }
}

mod upgrade {
    use super::*;

    #[test]
    fn a_session_upgrades_from_polling_to_websocket() {
        let poller = joined(patient_server());
        let mut wire = poller.websocket();
        wire.say("2probe");
        wire.expects("3probe");
        poller.poll().is(200, "6");
        wire.say("5");
        wire.say(r#"42["message","hello"]"#);
        wire.expects(r#"42["message-back","hello"]"#);
    }

    #[test]
    fn requests_with_the_same_sid_are_ignored_after_an_upgrade() {
        let poller = joined(patient_server());
        let mut wire = poller.websocket();
        wire.say("2probe");
        wire.say("5");
        wire.expects("3probe");
        wire.say(r#"42["message","first"]"#);
        wire.expects(r#"42["message-back","first"]"#);
        assert_eq!(poller.poll().status, 400);
        wire.say(r#"42["message","hello"]"#);
        wire.expects(r#"42["message-back","hello"]"#);
    }

    #[test]
    fn a_websocket_with_the_same_sid_is_ignored_after_an_upgrade() {
        let poller = joined(patient_server());
        let mut wire = poller.websocket();
        wire.say("2probe");
        wire.say("5");
        wire.expects("3probe");
        let mut second = poller.websocket();
        second.is_closed();
        wire.say(r#"42["message","hello"]"#);
        wire.expects(r#"42["message-back","hello"]"#);
    }
}
