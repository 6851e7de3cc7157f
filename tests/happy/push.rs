//! Pushes to phones, by a strict stand-in for Expo and ntfy.

use serde_json::{Value, json};

use crate::expo::{Expo, FULL, GONE, Next};
use crate::phone::{Phone, call, home, post};
use crate::support::{Home, Running};

struct Terminal<'a> {
    running: &'a Running<'a>,
    bearer: String,
    session: String,
}

impl<'a> Terminal<'a> {
    fn new(running: &'a Running<'a>, phones: &[&str]) -> Terminal<'a> {
        let bearer = format!("Bearer {}", Phone::new(1).token(running));
        for token in phones {
            let body = json!({"token": token});
            let (status, _) = post(running, "/v1/push-tokens", Some(&bearer), &body);
            assert_eq!(status, 200);
        }
        let asked = json!({"tag": "t", "metadata": "bQ=="});
        let (_, told) = post(running, "/v1/sessions", Some(&bearer), &asked);
        let session = told["session"]["id"].as_str().expect("an id").to_owned();
        Terminal {
            running,
            bearer,
            session,
        }
    }

    fn event(&self) -> Value {
        let path = format!("/v1/sessions/{}/push-event", self.session);
        let body = json!({"kind": "permission", "title": "Claude asks", "body": "May I?",
            "data": {"tool": "Bash", "kind": "overridden", "sessionId": "own"}});
        let (status, told) = post(self.running, &path, Some(&self.bearer), &body);
        assert_eq!((status, &told["success"]), (200, &json!(true)), "{told}");
        told
    }

    fn phones(&self) -> Vec<String> {
        let (_, told) = call(self.running, "GET", "/v1/push-tokens", Some(&self.bearer));
        let tokens = told["tokens"].as_array().expect("a list").iter();
        tokens
            .map(|token| token["token"].as_str().expect("a text").to_owned())
            .collect()
    }
}

fn expo_home(expo: &Expo) -> Home {
    home("open")
        .set("HAPPY_PUSH", "expo")
        .set("HAPPY_PUSH_URL", &expo.url())
}

fn phone(name: &str) -> String {
    format!("ExponentPushToken[{name}]")
}

#[test]
fn nothing_leaves_the_box_unless_the_owner_wants_it() {
    let expo = Expo::start();
    let home = home("open").set("HAPPY_PUSH_URL", &expo.url());
    let running = home.serve();
    let terminal = Terminal::new(&running, &[&phone("a")]);
    let told = terminal.event();
    assert_eq!(told["result"], "failed");
    assert_eq!(told["reason"], "Push is off on this server");
    assert!(expo.messages().is_empty() && expo.complaints().is_empty());
}

#[test]
fn every_phone_is_told_once_and_one_without_the_app_is_forgotten() {
    let expo = Expo::start();
    let home = expo_home(&expo);
    let running = home.serve();
    let gone = format!("{GONE}]");
    let terminal = Terminal::new(&running, &[]);
    assert_eq!(
        terminal.event(),
        json!({"success": true, "result": "no_tokens"})
    );
    let terminal = Terminal::new(&running, &[&phone("a"), &gone, &phone("b")]);
    let told = terminal.event();
    let partial = json!({"success": true, "result": "partial", "tokens": 3, "delivered": 2,
        "reason": "DeviceNotRegistered"});
    assert_eq!(told, partial);
    assert_eq!(terminal.phones(), [phone("b"), phone("a")]);
    assert_eq!(
        terminal.event(),
        json!({"success": true, "result": "sent", "tokens": 2})
    );
    assert_eq!(expo.complaints(), Vec::<String>::new());
    let messages = expo.messages();
    assert_eq!(messages.len(), 4);
    let session = &terminal.session;
    let expected = json!({"to": phone("b"), "title": "Claude asks", "body": "May I?",
        "sound": "default", "channelId": "messages",
        "data": {"tool": "Bash", "kind": "permission", "sessionId": "own"}});
    assert_eq!(
        messages[0], expected,
        "the session {session} is the terminal's to name"
    );
    running.wait_for_log("event=happy_push kind=permission result=sent");
    let log = running.log();
    for secret in ["ExponentPushToken", "May I?", "Claude asks"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_service_that_cannot_is_told_to_the_terminal_and_no_phone_is_forgotten() {
    let expo = Expo::start();
    let home = expo_home(&expo);
    let running = home.serve();
    let full = format!("{FULL}]");
    let terminal = Terminal::new(&running, &[&full]);
    let failed = |reason: &str| json!({"success": true, "result": "failed", "reason": reason});
    assert_eq!(terminal.event(), failed("MessageRateExceeded"));
    for (next, reason) in [
        (Next::Status(500), "HTTP 500"),
        (Next::Status(429), "HTTP 429"),
        (Next::Nonsense, "Not the answer of such a service"),
        (Next::HangUp, "Network error"),
    ] {
        expo.next(next);
        assert_eq!(terminal.event(), failed(reason));
    }
    assert_eq!(terminal.phones(), [full]);
    assert_eq!(expo.complaints(), Vec::<String>::new());
}

#[test]
fn a_topic_of_ntfy_is_told_without_any_phone() {
    let ntfy = Expo::start();
    let home = home("open").set("HAPPY_PUSH", "ntfy").set(
        "HAPPY_PUSH_URL",
        &format!("http://{}/my-topic", ntfy.address),
    );
    let running = home.serve();
    let terminal = Terminal::new(&running, &[]);
    assert_eq!(
        terminal.event(),
        json!({"success": true, "result": "sent", "tokens": 1})
    );
    let message = json!({"topic": "my-topic", "title": "Claude asks", "message": "May I?",
        "priority": 4});
    assert_eq!(ntfy.messages(), [message]);
    assert_eq!(ntfy.complaints(), Vec::<String>::new());
    assert!(!running.log().contains("my-topic"));
}

#[test]
fn ntfy_without_a_topic_is_told_at_the_start() {
    let home = home("open").set("HAPPY_PUSH", "ntfy");
    let output = home.run(&["serve"]);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("HAPPY_PUSH_URL") && told.contains("ntfy.sh/topic"),
        "{told}"
    );
}
