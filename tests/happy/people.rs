//! Settings, keys and values, people, tokens of vendors.

use serde_json::{Value, json};

use crate::phone::{Phone, call, claims, home, post};
use crate::support::Running;

struct Client<'a> {
    running: &'a Running<'a>,
    bearer: String,
    id: String,
}

impl<'a> Client<'a> {
    fn new(running: &'a Running<'a>, seed: u8) -> Client<'a> {
        let token = Phone::new(seed).token(running);
        let id = claims(&token)["sub"].as_str().expect("an id").to_owned();
        let bearer = format!("Bearer {token}");
        Client {
            running,
            bearer,
            id,
        }
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        post(self.running, path, Some(&self.bearer), body)
    }

    fn get(&self, path: &str) -> Value {
        let (status, told) = call(self.running, "GET", path, Some(&self.bearer));
        assert_eq!(status, 200, "{path}: {told}");
        told
    }

    fn try_get(&self, path: &str) -> (u16, Value) {
        call(self.running, "GET", path, Some(&self.bearer))
    }

    fn delete(&self, path: &str) -> (u16, Value) {
        call(self.running, "DELETE", path, Some(&self.bearer))
    }

    fn mutate(&self, mutations: &[(&str, Option<&str>, i64)]) -> (u16, Value) {
        let mutations: Vec<Value> = mutations
            .iter()
            .map(|(key, value, version)| json!({"key": key, "value": value, "version": version}))
            .collect();
        self.post("/v1/kv", &json!({"mutations": mutations}))
    }

    /// Adds or removes; the status that is told.
    fn friend(&self, step: &str, other: &Client) -> Value {
        let path = format!("/v1/friends/{step}");
        let (status, told) = self.post(&path, &json!({"uid": other.id}));
        assert_eq!(status, 200, "{told}");
        assert_eq!(told["user"]["id"], json!(other.id), "{told}");
        told["user"]["status"].clone()
    }

    fn friends(&self) -> Vec<(String, String)> {
        let told = self.get("/v1/friends");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let friends = told["friends"].as_array().expect("a list").iter();
        friends
            .map(|friend| (text(&friend["id"]), text(&friend["status"])))
            .collect()
    }

    fn feed(&self, query: &str) -> Vec<(String, String)> {
        let told = self.get(&format!("/v1/feed{query}"));
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let items = told["items"].as_array().expect("a list").iter();
        items
            .map(|item| (text(&item["body"]["kind"]), text(&item["cursor"])))
            .collect()
    }
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

#[test]
fn of_two_who_change_the_settings_one_is_told_what_is_there() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let change = |settings: Value, expected: i64| {
        let body = json!({"settings": settings, "expectedVersion": expected});
        client.post("/v1/account/settings", &body)
    };
    let done = |version: i64| (200, json!({"success": true, "version": version}));
    let text = json!(" c2V0\n");
    assert_eq!(change(text.clone(), 0), done(1));
    for wrong in [0, 2, 9] {
        let (status, told) = change(json!("late"), wrong);
        assert_eq!(status, 200);
        let mismatch = json!({"success": false, "error": "version-mismatch",
            "currentVersion": 1, "currentSettings": text});
        assert_eq!(told, mismatch, "{wrong}");
    }
    drop(running); // kill -9

    let running = home.serve();
    let client = Client::new(&running, 1);
    let kept = json!({"settings": text, "settingsVersion": 1});
    assert_eq!(client.get("/v1/account/settings"), kept);
    let body = json!({"settings": null, "expectedVersion": 1});
    assert_eq!(client.post("/v1/account/settings", &body), done(2));
    let stranger = Client::new(&running, 2);
    let none = json!({"settings": null, "settingsVersion": 0});
    assert_eq!(stranger.get("/v1/account/settings"), none);
}

#[test]
fn a_batch_of_keys_is_made_whole_or_not_at_all() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let (status, told) = client.mutate(&[("a/1", Some("MQ=="), -1), ("a%2", Some("Mg=="), -1)]);
    assert_eq!(status, 200, "{told}");
    let versions = json!([{"key": "a/1", "version": 0}, {"key": "a%2", "version": 0}]);
    assert_eq!(told, json!({"success": true, "results": versions}));

    // One is right, one is new, two are wrong.
    let (status, told) = client.mutate(&[
        ("a/1", Some("bmV3"), 0),
        ("b", Some("bmV3"), -1),
        ("a%2", Some("bmV3"), 3),
        ("never", None, 0),
    ]);
    let error = |key: &str, version: i64, value: Value| json!({"key": key, "error": "version-mismatch", "version": version, "value": value});
    let errors = [
        error("a%2", 0, json!("Mg==")),
        error("never", -1, Value::Null),
    ];
    assert_eq!(
        (status, told),
        (409, json!({"success": false, "errors": errors}))
    );
    let entry = |key: &str, value: &str, version: i64| json!({"key": key, "value": value, "version": version});
    assert_eq!(client.get("/v1/kv/a%2F1"), entry("a/1", "MQ==", 0));
    let gone = (404, json!({"error": "Key not found"}));
    assert_eq!(client.try_get("/v1/kv/b"), gone);

    assert_eq!(
        client
            .mutate(&[("a/1", Some("MQ=="), 0), ("a/1", Some("Mg=="), 0)])
            .0,
        400
    );
    assert_eq!(
        client
            .mutate(&[("twin", Some("MQ=="), -1), ("twin", Some("Mg=="), -1)])
            .0,
        400
    );
    assert_eq!(client.mutate(&[("a/1", None, 0)]).0, 200);
    assert_eq!(client.try_get("/v1/kv/a%2F1"), gone);
    // A deleted key goes on from its version.
    assert_eq!(client.mutate(&[("a/1", Some("Mw=="), -1)]).0, 409);
    assert_eq!(client.mutate(&[("a/1", Some("Mw=="), 1)]).0, 200);
    drop(running); // kill -9

    let running = home.serve();
    let client = Client::new(&running, 1);
    let all = json!({"items": [entry("a%2", "Mg==", 0), entry("a/1", "Mw==", 2)]});
    assert_eq!(client.get("/v1/kv"), all);
    let literal = json!({"items": [entry("a%2", "Mg==", 0)]});
    assert_eq!(client.get("/v1/kv?prefix=a%25"), literal);
    assert_eq!(client.get("/v1/kv?prefix=A"), json!({"items": []}));
    let body = json!({"keys": ["a/1", "a/1", "none"]});
    let values = json!({"values": [entry("a/1", "Mw==", 2)]});
    assert_eq!(client.post("/v1/kv/bulk", &body), (200, values));

    let stranger = Client::new(&running, 2);
    assert_eq!(stranger.get("/v1/kv"), json!({"items": []}));
    assert_eq!(stranger.try_get("/v1/kv/a%2F1"), gone);
    let none = json!({"values": []});
    assert_eq!(stranger.post("/v1/kv/bulk", &body), (200, none));
    // The same key of another account is another key.
    assert_eq!(stranger.mutate(&[("a/1", Some("eA=="), -1)]).0, 200);
    assert_eq!(client.get("/v1/kv/a%2F1"), entry("a/1", "Mw==", 2));
}

#[test]
fn an_account_that_is_full_may_still_delete() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let large = "x".repeat(9 * 1024 * 1024);
    assert_eq!(client.mutate(&[("one", Some(&large), -1)]).0, 200);
    let full = "This account has no room left on this server";
    let (status, told) = client.mutate(&[("two", Some(&large), -1), ("three", Some("x"), -1)]);
    assert_eq!((status, told), (507, json!({"error": full})));
    assert_eq!(client.try_get("/v1/kv/three").0, 404);
    assert_eq!(client.mutate(&[("one", None, 0)]).0, 200);
    assert_eq!(client.mutate(&[("two", Some(&large), -1)]).0, 200);
}

#[test]
fn two_people_become_friends_and_part() {
    let home = home("open");
    let running = home.serve();
    let [anna, ben, cleo] = [1, 2, 3].map(|seed| Client::new(&running, seed));
    assert_eq!(anna.friend("remove", &ben), "none");
    assert_eq!(anna.friend("add", &ben), "requested");
    assert_eq!(anna.friend("add", &ben), "requested");
    assert_eq!(anna.friends(), [pair(&ben.id, "requested")]);
    assert_eq!(ben.friends(), [pair(&anna.id, "pending")]);
    assert_eq!(ben.feed(""), [pair("friend_request", "0-1")]);
    assert_eq!(anna.feed(""), []);
    assert_eq!(ben.friend("add", &anna), "friend");
    assert_eq!(anna.friends(), [pair(&ben.id, "friend")]);
    assert_eq!(ben.friends(), [pair(&anna.id, "friend")]);
    assert_eq!(anna.feed(""), [pair("friend_accepted", "0-1")]);
    // He was told of her lately.
    assert_eq!(ben.feed(""), [pair("friend_request", "0-1")]);

    assert_eq!(anna.friend("remove", &ben), "requested");
    assert_eq!(anna.friends(), [pair(&ben.id, "pending")]);
    assert_eq!(ben.friends(), [pair(&anna.id, "requested")]);
    assert_eq!(ben.friend("remove", &anna), "rejected");
    assert_eq!(anna.friend("remove", &ben), "none");
    assert_eq!((anna.friends(), ben.friends()), (vec![], vec![]));

    assert_eq!(cleo.friend("add", &anna), "requested");
    let both = [
        pair("friend_request", "0-2"),
        pair("friend_accepted", "0-1"),
    ];
    assert_eq!(anna.feed(""), both);
    assert_eq!(anna.feed("?limit=1"), both[..1]);
    assert_eq!(anna.feed("?before=0-2"), both[1..]);
    assert_eq!(anna.feed("?after=0-1"), both[..1]);
    assert_eq!(anna.feed("?after=0-2&before=0-2"), both[1..]);
    for cursor in ["nonsense", "0-", "0-x", "1-2", "0-99999999999999999999"] {
        assert_eq!(
            anna.try_get(&format!("/v1/feed?before={cursor}")).0,
            400,
            "{cursor}"
        );
    }

    let nobody = (200, json!({"user": null}));
    assert_eq!(
        anna.post("/v1/friends/add", &json!({"uid": anna.id})),
        nobody
    );
    assert_eq!(
        anna.post("/v1/friends/add", &json!({"uid": "none"})),
        nobody
    );
    assert_eq!(
        anna.post("/v1/friends/remove", &json!({"uid": "none"})),
        nobody
    );
    let unknown = (404, json!({"error": "User not found"}));
    assert_eq!(anna.try_get("/v1/user/none"), unknown);
    assert_eq!(
        anna.get(&format!("/v1/user/{}", cleo.id))["user"]["status"],
        "pending"
    );
}

#[test]
fn a_vendors_token_comes_back_and_does_not_lie_on_the_card() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let secret = "sk-ant-oat01-a-token-that-nobody-may-find-\u{e4}";
    let keep = |vendor: &str, token: &str| {
        let path = format!("/v1/connect/{vendor}/register");
        client.post(&path, &json!({"token": token}))
    };
    let done = (200, json!({"success": true}));
    assert_eq!(keep("anthropic", "first"), done);
    assert_eq!(keep("openai", ""), done);
    assert_eq!(keep("anthropic", secret), done);
    assert_eq!(keep("mistral", secret).0, 400);
    let stranger = Client::new(&running, 2);
    assert_eq!(
        stranger.get("/v1/connect/anthropic/token"),
        json!({"token": null})
    );
    assert_eq!(stranger.delete("/v1/connect/anthropic"), done);
    drop(running); // kill -9

    let needle = &secret.as_bytes()[..30];
    let mut files = 0;
    for entry in std::fs::read_dir(home.path("data")).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("a file");
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "{} holds the token", path.display());
            files += 1;
        }
    }
    assert!(files > 2, "the database and its key");

    let running = home.serve();
    let client = Client::new(&running, 1);
    assert_eq!(
        client.get("/v1/connect/anthropic/token"),
        json!({"token": secret})
    );
    let tokens = json!([
        {"vendor": "anthropic", "token": secret},
        {"vendor": "openai", "token": ""},
    ]);
    assert_eq!(client.get("/v1/connect/tokens"), json!({"tokens": tokens}));
    let profile = client.get("/v1/account/profile");
    assert_eq!(profile["connectedServices"], json!(["anthropic", "openai"]));
    assert_eq!(client.delete("/v1/connect/anthropic"), done);
    assert_eq!(client.delete("/v1/connect/anthropic"), done);
    assert_eq!(
        client.get("/v1/connect/anthropic/token"),
        json!({"token": null})
    );
}

#[test]
fn push_tokens_are_an_accounts_own_and_the_oldest_go_when_there_are_too_many() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let tokens = || -> Vec<String> {
        let told = client.get("/v1/push-tokens");
        let list = told["tokens"].as_array().expect("a list").iter();
        list.map(|token| token["token"].as_str().expect("a text").to_owned())
            .collect()
    };
    let add = |token: &str| {
        assert_eq!(
            client.post("/v1/push-tokens", &json!({"token": token})).0,
            200
        )
    };
    add("one/with a slash");
    add("two");
    add("one/with a slash");
    assert_eq!(tokens(), ["two", "one/with a slash"]);
    let stranger = Client::new(&running, 2);
    assert_eq!(stranger.delete("/v1/push-tokens/two").0, 200);
    assert_eq!(
        client.delete("/v1/push-tokens/one%2Fwith%20a%20slash").0,
        200
    );
    assert_eq!(tokens(), ["two"]);
    for number in 0..100 {
        add(&number.to_string());
    }
    let kept = tokens();
    assert_eq!((kept.len(), kept[0].as_str()), (100, "99"));
    assert!(!kept.contains(&String::from("two")));
}

#[test]
fn bad_input_is_told_before_the_token_is_looked_at() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let event = "/v1/sessions/none/push-event";
    let many = vec!["k"; 101];
    let changes = vec![json!({"key": "k", "value": null, "version": 0}); 101];
    for (path, body) in [
        ("/v1/account/settings", json!({"settings": "s"})),
        ("/v1/account/settings", json!({"expectedVersion": 0})),
        (
            "/v1/account/settings",
            json!({"settings": "s", "expectedVersion": -1}),
        ),
        (
            "/v1/account/settings",
            json!({"settings": "s", "expectedVersion": 0.5}),
        ),
        ("/v1/usage/query", json!({"startTime": 0})),
        ("/v1/usage/query", json!({"groupBy": "week"})),
        ("/v1/push-tokens", json!({"token": 1})),
        ("/v1/kv/bulk", json!({"keys": []})),
        ("/v1/kv/bulk", json!({"keys": many})),
        ("/v1/kv", json!({"mutations": []})),
        ("/v1/kv", json!({"mutations": changes})),
        ("/v1/kv", json!({"mutations": [{"key": "k", "version": 0}]})),
        ("/v1/kv", json!({"mutations": [{"key": "k", "value": "v"}]})),
        (event, json!({"kind": "else", "title": "t", "body": "b"})),
        (event, json!({"kind": "done", "title": "", "body": "b"})),
        (
            event,
            json!({"kind": "done", "title": "t".repeat(201), "body": "b"}),
        ),
        (
            event,
            json!({"kind": "done", "title": "t", "body": "b".repeat(501)}),
        ),
        (
            event,
            json!({"kind": "done", "title": "t", "body": "b", "data": null}),
        ),
        ("/v1/friends/add", json!({"uid": 1})),
        ("/v1/connect/openai/register", json!({})),
        ("/v1/connect/nobody/register", json!({"token": "t"})),
        ("/v1/voice/conversations", json!({})),
        ("/v1/version", json!({"platform": "ios"})),
    ] {
        for token in [None, Some(client.bearer.as_str())] {
            let (status, told) = post(&running, path, token, &body);
            assert_eq!(
                (status, &told["error"]),
                (400, &json!("Error")),
                "{path} {body}"
            );
        }
    }
    for path in [
        "/v1/kv?limit=0",
        "/v1/kv?limit=1001",
        "/v1/feed?limit=201",
        "/v1/user/search",
        "/v1/connect/nobody/token",
        "/v1/connect/github/callback?state=s",
    ] {
        assert_eq!(call(&running, "GET", path, None).0, 400, "{path}");
    }
}
