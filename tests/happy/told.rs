//! What open apps hear of accounts, keys, people and moments of a session.

use serde_json::{Value, json};

use crate::client::Client;
use crate::expo::Expo;
use crate::phone::{claims, home, send};
use crate::socket::Socket;
use crate::support::Running;

fn id(client: &Client) -> String {
    let token = client.bearer.strip_prefix("Bearer ").expect("a token");
    claims(token)["sub"].as_str().expect("an id").to_owned()
}

fn name(running: &Running, account: &str, username: &Value) -> u16 {
    let path = format!("/api/v1/happy/accounts/{account}");
    let body = json!({"username": username}).to_string();
    send(
        running,
        "PATCH",
        &path,
        None,
        "application/json",
        body.as_bytes(),
    )
    .0
}

#[test]
fn each_write_is_told_once_with_the_next_number_and_to_nobody_else() {
    let home = home("open");
    let running = home.serve();
    let [anna, ben] = [1, 2].map(|seed| Client::new(&running, seed));
    let session = anna.session("t");
    let mut terminal = Socket::session(&anna, &session);
    let (mut phone, mut bens) = (Socket::user(&anna), Socket::user(&ben));
    let settings = |text: &str, expected: i64| {
        let body = json!({"settings": text, "expectedVersion": expected});
        assert_eq!(anna.post("/v1/account/settings", &body).0, 200);
    };
    settings("c2V0", 0);
    // A version that is none is not told.
    settings("late", 0);
    let batch = |version: i64| {
        let mutation = json!({"key": "k", "value": "dg==", "version": version});
        anna.post("/v1/kv", &json!({"mutations": [mutation]})).0
    };
    assert_eq!((batch(-1), batch(7)), (200, 409));
    assert_eq!(name(&running, &id(&anna), &json!("anna")), 200);
    let mut seq = phone.hears_update();
    assert_eq!(
        seq["body"]["settings"],
        json!({"value": "c2V0", "version": 1})
    );
    assert_eq!(seq["body"]["t"], "update-account");
    let mut last = seq["seq"].as_i64().expect("a number");
    for (t, field, value) in [
        (
            "kv-batch-update",
            "changes",
            json!([{"key": "k", "value": "dg==", "version": 0}]),
        ),
        ("update-account", "username", json!("anna")),
    ] {
        seq = phone.hears_update();
        assert_eq!(
            (&seq["body"]["t"], &seq["body"][field]),
            (&json!(t), &value)
        );
        last += 1;
        assert_eq!(seq["seq"], last);
    }

    // A post in the feed is told to its reader alone.
    let body = json!({"uid": id(&ben)});
    assert_eq!(anna.post("/v1/friends/add", &body).0, 200);
    let post = &bens.hears_update()["body"];
    assert_eq!(post["t"], "new-feed-post");
    assert_eq!(
        post["body"],
        json!({"kind": "friend_request", "uid": id(&anna)})
    );
    assert_eq!(post["repeatKey"], format!("friend_request_{}", id(&anna)));
    phone.hears_nothing();
    bens.hears_nothing();
    terminal.hears_nothing();
}

#[test]
fn people_are_found_by_the_names_that_the_owner_gave() {
    let home = home("open");
    let running = home.serve();
    let [anna, ben, cleo] = [1, 2, 3].map(|seed| Client::new(&running, seed));
    let search = |query: &str| -> Vec<Value> {
        let (status, told) = anna.get(&format!("/v1/user/search?query={query}"));
        assert_eq!(status, 200, "{told}");
        let users = told["users"].as_array().expect("a list").iter();
        users.map(|user| user["username"].clone()).collect()
    };
    assert_eq!(search("b"), Vec::<Value>::new());
    assert_eq!(name(&running, &id(&ben), &json!("Ben-7")), 200);
    assert_eq!(name(&running, &id(&cleo), &json!("beatrix")), 200);
    assert_eq!(search("BE"), ["beatrix", "Ben-7"]);
    assert_eq!(search("ben"), ["Ben-7"]);
    assert_eq!(search("%25"), Vec::<Value>::new());
    assert_eq!(name(&running, &id(&anna), &json!("BEN-7")), 409);
    assert_eq!(name(&running, "none", &json!("dora")), 404);
    for wrong in [json!(""), json!("a b"), json!("x".repeat(40)), json!(5)] {
        assert_eq!(name(&running, &id(&anna), &wrong), 400, "{wrong}");
    }
    assert_eq!(ben.get("/v1/account/profile").1["username"], "Ben-7");
    assert_eq!(name(&running, &id(&ben), &Value::Null), 200);
    assert_eq!(search("b"), ["beatrix"]);
}

#[test]
fn usage_is_told_to_phones_and_counted_once_for_each_key_of_an_own_session() {
    let home = home("open");
    let running = home.serve();
    let [anna, ben] = [1, 2].map(|seed| Client::new(&running, seed));
    let session = anna.session("t");
    let mut terminal = Socket::session(&anna, &session);
    let mut phone = Socket::user(&anna);
    let mut report = |key: &str, total: i64| {
        let report = json!({"key": key, "sessionId": session,
            "tokens": {"total": total, "words": "none"}, "cost": {"total": 0.25}});
        let answer = terminal.ask("usage-report", &report);
        assert_eq!(answer["success"], true, "{answer}");
        let told = phone.hears_ephemeral();
        assert_eq!(
            (&told["type"], &told["id"]),
            (&json!("usage"), &json!(session))
        );
        assert_eq!(told["tokens"], report["tokens"]);
        answer["reportId"].clone()
    };
    let first = report("a", 10);
    assert_eq!(report("a", 20), first);
    report("b", 5);
    let (_, told) = anna.post("/v1/usage/query", &json!({"sessionId": session}));
    assert_eq!(told["totalReports"], 2);
    assert_eq!(told["usage"][0]["tokens"], json!({"total": 25}));
    assert_eq!(told["usage"][0]["cost"], json!({"total": 0.5}));

    let mut other = Socket::user(&ben);
    let foreign =
        json!({"key": "a", "sessionId": session, "tokens": {"total": 1}, "cost": {"total": 1}});
    let refused = json!({"success": false, "error": "Session not found"});
    assert_eq!(other.ask("usage-report", &foreign), refused);
    let long = json!({"key": "x".repeat(20_000), "sessionId": session, "tokens": {"total": 1}, "cost": {"total": 1}});
    let failed = json!({"success": false, "error": "Failed to save usage report"});
    assert_eq!(terminal.ask("usage-report", &long), failed);
    assert_eq!(
        ben.post("/v1/usage/query", &json!({"sessionId": session}))
            .0,
        404
    );
    assert_eq!(anna.delete(&format!("/v1/sessions/{session}")).0, 200);
    assert_eq!(
        anna.post("/v1/usage/query", &json!({})).1["totalReports"],
        0
    );
}

#[test]
fn no_push_goes_out_while_a_phone_is_looked_at() {
    let expo = Expo::start();
    let home = home("open")
        .set("HAPPY_PUSH", "expo")
        .set("HAPPY_PUSH_URL", &expo.url());
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let token = json!({"token": "ExponentPushToken[a]"});
    assert_eq!(client.post("/v1/push-tokens", &token).0, 200);
    let event = || {
        let path = format!("/v1/sessions/{session}/push-event");
        let body = json!({"kind": "done", "title": "t", "body": "b"});
        client.post(&path, &body).1
    };
    let token = client.bearer.strip_prefix("Bearer ").expect("a token");
    let auth = json!({"token": token, "clientType": "user-scoped", "appState": "active"});
    let mut phone = Socket::open(&running, &auth).expect("let in");
    let suppressed = json!({"success": true, "result": "suppressed", "reason": "active-ui-client"});
    assert_eq!(event(), suppressed);
    assert_eq!(phone.hears_ephemeral()["type"], "session-event");
    assert!(expo.messages().is_empty());
    phone.emit("app-state", &json!({"state": "background"}));
    // Answered after what was sent before it.
    phone.ask("ping", &Value::Null);
    assert_eq!(event()["result"], "sent");
    assert_eq!(expo.messages().len(), 1);
    assert_eq!(expo.complaints(), Vec::<String>::new());
}
