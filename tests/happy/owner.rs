//! What the owner of the box sees and decides.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::Client;
use crate::phone::{Phone, call, claims, get, home, post};
use crate::socket::Socket;
use crate::support::{Home, Running, out};

fn devices(running: &Running) -> Vec<Value> {
    let (status, told) = get(running, "/api/v1/happy");
    assert_eq!(status, 200, "{told}");
    let accounts = told["data"]["accounts"].as_array().expect("accounts");
    let devices = accounts
        .iter()
        .flat_map(|account| account["devices"].as_array().expect("devices").clone());
    devices.collect()
}

#[test]
fn a_device_is_seen_and_taken_back_and_its_sockets_end() {
    let home = home("open");
    let running = home.serve();
    let (lost, kept) = (Client::new(&running, 1), Client::new(&running, 1));
    let (mut socket, mut other) = (Socket::user(&lost), Socket::user(&kept));
    let list = devices(&running);
    assert_eq!(list.len(), 2, "{list:?}");
    let address = running.address("http").expect("an address").to_string();
    for device in &list {
        assert_eq!(device["kind"], "phone");
        assert_eq!(device["connected"], true);
        assert_eq!(device["host"], address.as_str());
    }
    let id = claims(lost.bearer.strip_prefix("Bearer ").expect("a token"))["jti"].clone();
    let path = format!("/api/v1/happy/devices/{}", id.as_str().expect("an id"));
    assert_eq!(call(&running, "DELETE", &path, None).0, 200);
    assert_eq!(call(&running, "DELETE", &path, None).0, 404);
    socket.reads_to_its_end();
    let refused = (401, json!({"error": "Invalid token"}));
    assert_eq!(lost.get("/v1/sessions"), refused);
    let auth = json!({"token": lost.bearer.strip_prefix("Bearer ")});
    let refused = Socket::open(&running, &auth).map(drop);
    assert_eq!(refused, Err("Invalid authentication token".into()));
    other.hears_nothing();
    assert_eq!(kept.get("/v1/sessions").0, 200);
    assert_eq!(devices(&running).len(), 1);
}

#[test]
fn a_terminal_that_was_taken_back_does_not_come_in_by_the_key_it_once_showed() {
    let home = home("open");
    let running = home.serve();
    let phone = Client::new(&running, 1);
    let key = STANDARD.encode([9; 32]);
    let ask = || {
        post(
            &running,
            "/v1/auth/request",
            None,
            &json!({"publicKey": key}),
        )
        .1
    };
    assert_eq!(ask(), json!({"state": "requested"}));
    let answer = json!({"publicKey": key, "response": "c2VhbGVk"});
    assert_eq!(phone.post("/v1/auth/response", &answer).0, 200);
    let device = |told: &Value| {
        assert_eq!(told["state"], "authorized", "{told}");
        claims(told["token"].as_str().expect("a token"))["jti"].clone()
    };
    let (first, again) = (device(&ask()), device(&ask()));
    assert_eq!(first, again, "one device, however often it asks");
    let terminals = devices(&running);
    let terminals = terminals
        .iter()
        .filter(|device| device["kind"] == "terminal");
    assert_eq!(terminals.count(), 1);
    let path = format!("/api/v1/happy/devices/{}", first.as_str().expect("an id"));
    assert_eq!(call(&running, "DELETE", &path, None).0, 200);
    assert_eq!(ask(), json!({"state": "requested"}));
}

#[test]
fn what_a_caller_wrote_is_told_to_others_though_it_hung_up() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let mut phone = Socket::user(&client);
    for number in 0..20 {
        let local_id = format!("l-{number}");
        let body = json!({"messages": [{"localId": local_id, "content": "c"}]}).to_string();
        let head = format!(
            "POST /v3/sessions/{session}/messages HTTP/1.1\r\nhost: localhost\r\n\
             authorization: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            client.bearer,
            body.len()
        );
        let address = running.address("http").expect("a plain listener");
        let mut hasty = TcpStream::connect(address).expect("a connection");
        hasty.write_all((head + &body).as_bytes()).expect("sent");
        hasty.shutdown(Shutdown::Write).expect("shut");
        drop(hasty);
        // As clients do that got no answer. What the box had not read yet is new to it now; what it
        // had stored it tells once, and that nobody heard the answer is no reason not to.
        let again = json!({"messages": [{"localId": local_id, "content": "c"}]});
        let path = format!("/v3/sessions/{session}/messages");
        assert_eq!(client.post(&path, &again).0, 200);
        let told = phone.hears_update();
        assert_eq!(told["body"]["message"]["localId"], local_id.as_str());
    }
    phone.hears_nothing();
}

#[test]
fn tokens_hold_after_a_restart_and_on_a_box_that_was_restored_elsewhere() {
    let first = home("open");
    let running = first.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let bearer = client.bearer.clone();
    assert!(first.run(&["backup", "copy.zip"]).status.success());
    assert!(running.stop().success());

    let running = first.serve();
    let sessions = |running: &Running| call(running, "GET", "/v1/sessions", Some(&bearer));
    assert_eq!(sessions(&running).0, 200);
    assert!(running.stop().success());

    let second = home("open");
    std::fs::copy(first.path("copy.zip"), second.path("copy.zip")).expect("a copy");
    assert!(second.run(&["restore", "copy.zip"]).status.success());
    let running = second.serve();
    let (status, told) = sessions(&running);
    assert_eq!((status, &told["sessions"][0]["id"]), (200, &json!(session)));

    let strange = home("open");
    let running = strange.serve();
    assert_eq!(sessions(&running).0, 401, "a token of another box");
}

#[test]
fn the_command_line_shows_where_to_connect_and_lets_one_in() {
    let home = home("invite");
    let running = home.serve();
    assert_eq!(Phone::new(1).sign_in(&running).0, 403);
    assert!(home.run(&["happy", "invite"]).status.success());
    assert_eq!(Phone::new(1).sign_in(&running).0, 200);
    assert_eq!(Phone::new(2).sign_in(&running).0, 403, "it is used up");
    let shown = out(&home.run(&["happy"]));
    for part in [
        "export HAPPY_SERVER_URL=http://",
        "New accounts: invite",
        "phone",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let told: Value = serde_json::from_str(&out(&home.run(&["happy", "--json"]))).expect("JSON");
    let id = told["happy"]["accounts"][0]["devices"][0]["id"]
        .as_str()
        .expect("an id");
    assert!(home.run(&["happy", "revoke", id]).status.success());
    assert_eq!(devices(&running).len(), 0);
    let off = Home::new();
    let refused = off.run(&["happy"]);
    assert!(crate::support::errors(&refused).contains("HAPPY_REGISTRATION"));
}
