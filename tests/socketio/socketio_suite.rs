//! The cases of the public suite for Socket.IO 5 beyond those of Engine.IO, under its own
//! headings, expressed anew.

use std::net::SocketAddr;
use std::time::Duration;

use magpie::socketio::IoOptions;
use serde_json::Value;

use crate::hall::suite_server_of;
use crate::peer::Client;

/// Joined to `/`, and `auth` heard.
fn joined(address: SocketAddr) -> Client {
    let (mut client, _) = Client::open(address);
    join(&mut client, "40", "40", r#"42["auth",{}]"#);
    client
}

fn join(client: &mut Client, packet: &str, answer: &str, auth: &str) {
    client.say(packet);
    let told = client.hear_event().expect("an answer");
    let handshake: Value =
        serde_json::from_str(told.strip_prefix(answer).expect("accepted")).expect("JSON");
    let fields = handshake.as_object().expect("an object");
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["sid"]);
    assert!(fields["sid"].is_string());
    client.expects_event(auth);
}

/// Pings as the suite's, but waits for a slow machine's pongs.
fn server() -> SocketAddr {
    suite_server_of(IoOptions {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_secs(30),
        ..IoOptions::default()
    })
}

mod connect {
    use super::*;

    #[test]
    fn the_main_namespace_is_joined() {
        joined(server());
    }

    #[test]
    fn the_main_namespace_is_joined_with_a_payload() {
        let (mut client, _) = Client::open(server());
        join(
            &mut client,
            r#"40{"token":"123"}"#,
            "40",
            r#"42["auth",{"token":"123"}]"#,
        );
    }

    #[test]
    fn a_custom_namespace_is_joined() {
        let (mut client, _) = Client::open(server());
        join(
            &mut client,
            "40/custom,",
            "40/custom,",
            r#"42/custom,["auth",{}]"#,
        );
    }

    #[test]
    fn a_custom_namespace_is_joined_with_a_payload() {
        let (mut client, _) = Client::open(server());
        join(
            &mut client,
            r#"40/custom,{"token":"abc"}"#,
            "40/custom,",
            r#"42/custom,["auth",{"token":"abc"}]"#,
        );
    }

    #[test]
    fn an_unknown_namespace_is_refused() {
        let (mut client, _) = Client::open(server());
        client.say("40/random");
        client.expects_event(r#"44/random,{"message":"Invalid namespace"}"#);
    }

    #[test]
    fn an_invalid_handshake_is_refused() {
        let (mut client, _) = Client::open(server());
        client.say("4abc");
        client.is_closed_at_last();
    }

    #[test]
    fn a_client_that_never_joins_is_closed() {
        let address = suite_server_of(IoOptions {
            connect_limit: Duration::from_millis(500),
            ..IoOptions::default()
        });
        let (mut client, _) = Client::open(address);
        client.is_closed();
    }
}

mod disconnect {
    use super::*;

    #[test]
    fn the_main_namespace_is_left_and_the_session_goes_on() {
        let mut client = joined(server());
        client.say("41");
        client.expects("2");
    }

    #[test]
    fn a_custom_namespace_is_joined_and_left_beside_the_main_one() {
        let mut client = joined(server());
        join(
            &mut client,
            "40/custom",
            "40/custom,",
            r#"42/custom,["auth",{}]"#,
        );
        client.say("41/custom");
        client.say(r#"42["message","message to main namespace"]"#);
        client.expects_event(r#"42["message-back","message to main namespace"]"#);
    }
}

mod message {
    use super::*;

    const TWO_PLACES: &str = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;

    fn two_parts(say: &str, answer: &str) {
        let mut client = joined(suite_server_of(IoOptions::default()));
        client.say(say);
        client.say_bytes(&[1, 2, 3]);
        client.say_bytes(&[4, 5, 6]);
        client.expects(answer);
        client.expects_bytes(&[1, 2, 3]);
        client.expects_bytes(&[4, 5, 6]);
    }

    #[test]
    fn a_text_packet_is_sent() {
        let mut client = joined(server());
        client.say(r#"42["message",1,"2",{"3":[true]}]"#);
        client.expects_event(r#"42["message-back",1,"2",{"3":[true]}]"#);
    }

    #[test]
    fn a_packet_with_binary_attachments_is_sent() {
        two_parts(
            &format!(r#"452-["message",{TWO_PLACES}]"#),
            &format!(r#"452-["message-back",{TWO_PLACES}]"#),
        );
    }

    #[test]
    fn a_text_packet_is_acknowledged() {
        let mut client = joined(server());
        client.say(r#"42456["message-with-ack",1,"2",{"3":[false]}]"#);
        client.expects_event(r#"43456[1,"2",{"3":[false]}]"#);
    }

    #[test]
    fn a_packet_with_binary_attachments_is_acknowledged() {
        two_parts(
            &format!(r#"452-789["message-with-ack",{TWO_PLACES}]"#),
            &format!("462-789[{TWO_PLACES}]"),
        );
    }

    #[test]
    fn an_unknown_packet_type_closes_the_connection() {
        let mut client = joined(server());
        client.say("4abc");
        client.is_closed_at_last();
    }

    #[test]
    fn an_invalid_payload_closes_the_connection() {
        let mut client = joined(server());
        client.say("42{}");
        client.is_closed_at_last();
    }

    #[test]
    fn an_invalid_ack_id_closes_the_connection() {
        let mut client = joined(server());
        client.say(r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#);
        client.is_closed_at_last();
    }
}

/// Beyond the suite: both namespaces of one session are served at once, each with its own id.
#[test]
fn two_namespaces_share_a_session() {
    let mut client = joined(server());
    join(
        &mut client,
        "40/custom,",
        "40/custom,",
        r#"42/custom,["auth",{}]"#,
    );
    client.say(r#"42/custom,7["message-with-ack","there"]"#);
    client.say(r#"427["message-with-ack","here"]"#);
    client.expects_event(r#"43/custom,7["there"]"#);
    client.expects_event(r#"437["here"]"#);
    client.say("41");
    client.say(r#"42/custom,["message"]"#);
    client.expects_event(r#"42/custom,["message-back"]"#);
    client.say(r#"42["message"]"#);
    client.is_closed_at_last();
}
