//! One archive of an account: out of one box, into another, and nothing of a bad one.

use std::fs;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use magpie::store::{Connection, Store};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde_json::{Value, json};

use crate::client::Client;
use crate::parcel::{Parcel, import};
use crate::phone::{Phone, call, claims, get, home, send};
use crate::socket::Socket;
use crate::support::{Home, Running, errors, out};

const BYTES: &str = "application/octet-stream";
const ARTIFACT: &str = "0b0f0a3e-1111-4222-8333-444455556666";
/// The data key of a session, which no box ever has.
const DATA_KEY: [u8; 32] = [42; 32];
/// More than one transaction of an import takes.
const MESSAGES: usize = 1_100;

/// As clients seal: a version, a nonce, AES-256-GCM.
fn seal(text: &str, number: u32) -> String {
    let mut nonce = [0; NONCE_LEN];
    nonce[..4].copy_from_slice(&number.to_le_bytes());
    let mut sealed = text.as_bytes().to_vec();
    let unique = Nonce::assume_unique_for_key(nonce);
    key()
        .seal_in_place_append_tag(unique, Aad::empty(), &mut sealed)
        .expect("sealed");
    STANDARD.encode([&[0][..], &nonce, &sealed].concat())
}

fn unseal(text: &str) -> String {
    let bytes = STANDARD.decode(text).expect("base64");
    let (head, sealed) = bytes.split_at(1 + NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(&head[1..]).expect("a nonce");
    let mut sealed = sealed.to_vec();
    let plain = key()
        .open_in_place(nonce, Aad::empty(), &mut sealed)
        .expect("the same key");
    String::from_utf8(plain.to_vec()).expect("a text")
}

fn key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &DATA_KEY).expect("a key"))
}

pub fn database(home: &Home) -> Connection {
    Store::read_only(&home.path("data/voice-memory.db")).expect("a database")
}

/// Rows of all tables that accounts have rows in.
pub fn rows(home: &Home) -> i64 {
    let tables = [
        "accounts",
        "sessions",
        "messages",
        "machines",
        "access_keys",
        "artifacts",
        "kv",
        "usage",
        "feed",
        "push_tokens",
        "vendor_tokens",
        "relations",
        "attachments",
        "devices",
        "pairings",
    ];
    let counts = tables.map(|table| format!("(SELECT count(*) FROM happy_{table})"));
    let sql = format!("SELECT {}", counts.join(" + "));
    database(home)
        .query_row(&sql, [], |row| row.get(0))
        .expect("a count")
}

pub fn has_files(home: &Home) -> bool {
    let folder = home.path("data/files/sessions");
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

fn account_of(client: &Client) -> String {
    let token = client.bearer.strip_prefix("Bearer ").expect("a token");
    claims(token)["sub"].as_str().expect("an id").to_owned()
}

fn upload(client: &Client, path: &str, blob: &[u8]) {
    let sent = send(
        client.running,
        "PUT",
        path,
        Some(&client.bearer),
        BYTES,
        blob,
    );
    assert_eq!(sent, (200, json!({"ok": true})));
}

/// An account with something of everything; the session's id.
fn settle(client: &Client) -> String {
    let asked = json!({"tag": "t", "metadata": seal("{\"path\":\"/src\"}", 0),
        "dataEncryptionKey": STANDARD.encode([1; 100])});
    let (status, made) = client.post("/v1/sessions", &asked);
    assert_eq!(status, 200, "{made}");
    let session = made["session"]["id"].as_str().expect("an id").to_owned();
    client.session("quiet");
    let numbers: Vec<usize> = (1..=MESSAGES).collect();
    for hundred in numbers.chunks(100) {
        let messages = hundred.iter().map(|number| {
            let text = seal(&format!("message {number}"), *number as u32);
            json!({"localId": format!("l{number}"), "content": text})
        });
        let body = json!({"messages": messages.collect::<Vec<_>>()});
        let path = format!("/v3/sessions/{session}/messages");
        assert_eq!(client.post(&path, &body).0, 200);
    }
    let machine = json!({"id": "m-1", "metadata": "bWV0YQ==", "daemonState": "c3RhdGU="});
    assert_eq!(client.post("/v1/machines", &machine).0, 200);
    let access_key = format!("/v1/access-keys/{session}/m-1");
    assert_eq!(client.post(&access_key, &json!({"data": "ZA=="})).0, 200);
    let artifact = json!({"id": ARTIFACT, "header": "aA==", "body": "Yg==",
        "dataEncryptionKey": "AAECAw=="});
    assert_eq!(client.post("/v1/artifacts", &artifact).0, 200);
    let change = json!({"body": "YjI=", "expectedBodyVersion": 1});
    assert_eq!(
        client.post(&format!("/v1/artifacts/{ARTIFACT}"), &change).0,
        200
    );
    let mutate = |key: &str, value: Value, version: i64| {
        let mutation = json!({"key": key, "value": value, "version": version});
        let made = client.post("/v1/kv", &json!({"mutations": [mutation]}));
        assert_eq!(made.0, 200, "{}", made.1);
    };
    mutate("b", json!("dg=="), -1);
    mutate("a", json!("\u{0}\"漢\u{1f426}"), -1);
    mutate("gone", json!("x"), -1);
    mutate("gone", Value::Null, 0);
    let settings = json!({"settings": "c2V0", "expectedVersion": 0});
    assert_eq!(client.post("/v1/account/settings", &settings).0, 200);
    let token = json!({"token": "ExponentPushToken[phone]"});
    assert_eq!(client.post("/v1/push-tokens", &token).0, 200);
    let vendor = json!({"token": "vendor-secret"});
    assert_eq!(client.post("/v1/connect/openai/register", &vendor).0, 200);
    let mut terminal = Socket::session(client, &session);
    let state = json!({"sid": session, "agentState": "c3RhdGU=", "expectedVersion": 0});
    assert_eq!(terminal.ask("update-state", &state)["result"], "success");
    let report = json!({"key": "claude", "sessionId": session,
        "tokens": {"total": 7, "input": 7}, "cost": {"total": 0.5}});
    assert_eq!(terminal.ask("usage-report", &report)["success"], true);
    upload(
        client,
        &format!("/v1/sessions/{session}/attachments/a.enc"),
        &[7; 300_000],
    );
    upload(
        client,
        &format!("/v1/sessions/{session}/attachments/empty.enc"),
        b"",
    );
    session
}

/// All that the account's clients can read.
fn sight(client: &Client, session: &str) -> Vec<(String, Value)> {
    let mut seen = Vec::new();
    let mut look = |path: String| {
        let (status, told) = client.get(&path);
        assert_eq!(status, 200, "{path}: {told}");
        seen.push((path, told));
    };
    for after in (0..MESSAGES + 100).step_by(400) {
        look(format!(
            "/v3/sessions/{session}/messages?after_seq={after}&limit=400"
        ));
    }
    for path in [
        "/v1/sessions",
        "/v2/sessions",
        "/v1/machines",
        "/v1/machines/m-1",
        "/v1/artifacts",
        "/v1/kv",
        "/v1/account/settings",
        "/v1/push-tokens",
        "/v1/feed",
    ] {
        look(path.to_owned());
    }
    look(format!("/v1/sessions/{session}/messages"));
    look(format!("/v1/access-keys/{session}/m-1"));
    look(format!("/v1/artifacts/{ARTIFACT}"));
    let (status, used) = client.post("/v1/usage/query", &json!({"sessionId": session}));
    assert_eq!(status, 200);
    seen.push((String::from("usage"), used));
    for name in ["a.enc", "empty.enc"] {
        let path = format!("/v1/sessions/{session}/attachments/{name}");
        let (status, blob) = client.bytes(&path);
        assert_eq!(status, 200);
        seen.push((path, json!(blob)));
    }
    let (_, mut profile) = client.get("/v1/account/profile");
    for own in ["timestamp", "connectedServices"] {
        profile[own] = Value::Null;
    }
    seen.push((String::from("profile"), profile));
    seen
}

#[test]
fn an_account_goes_to_another_box_where_its_clients_notice_nothing() {
    let (first, second) = (home("open"), home("closed"));
    let running = first.serve();
    let client = Client::new(&running, 1);
    let session = settle(&client);
    let account = account_of(&client);
    let other = Client::new(&running, 2);
    let asked = other.post("/v1/friends/add", &json!({"uid": account}));
    assert_eq!(asked.0, 200);
    let path = format!("/api/v1/happy/accounts/{account}");
    let name = json!({"username": "anna"}).to_string();
    let named = send(
        &running,
        "PATCH",
        &path,
        None,
        "application/json",
        name.as_bytes(),
    );
    assert_eq!(named.0, 200);
    let mut socket = Socket::user(&client);
    let kv = json!({"mutations": [{"key": "last", "value": "bA==", "version": -1}]});
    assert_eq!(client.post("/v1/kv", &kv).0, 200);
    let last = socket.hears_update()["seq"].as_i64().expect("a number");
    let before = sight(&client, &session);
    let exported = first.run(&["happy", "export", "Anna", "anna.zip"]);
    assert!(exported.status.success(), "{}", errors(&exported));
    assert_eq!(sight(&client, &session), before, "it stays where it was");
    assert!(running.stop().success());

    fs::copy(first.path("anna.zip"), second.path("anna.zip")).expect("a copy");
    let archive = fs::File::open(second.path("anna.zip")).expect("an archive");
    let mut archive = zip::ZipArchive::new(archive).expect("a zip for any program");
    let mut lines = String::new();
    let mut rows = archive.by_name("rows.jsonl").expect("rows");
    rows.read_to_string(&mut lines).expect("text");
    assert!(lines.contains("ExponentPushToken[phone]"));
    for secret in ["vendor", "sealed", "device", "relation"] {
        assert!(!lines.contains(secret), "{secret}");
    }
    let running = second.serve();
    assert_eq!(Phone::new(1).sign_in(&running).0, 403, "nobody yet");
    let told = out(&second.run(&["happy", "import", "anna.zip"]));
    assert!(
        told.contains("2 sessions, 1100 messages, 2 attachments"),
        "{told}"
    );
    let client = Client::new(&running, 1);
    assert_eq!(account_of(&client), account);
    let after = sight(&client, &session);
    for ((path, was), (_, is)) in before.iter().zip(&after) {
        assert_eq!(is, was, "{path}");
    }
    assert_eq!(after.len(), before.len());
    let path = format!(
        "/v3/sessions/{session}/messages?after_seq={}&limit=1",
        MESSAGES - 1
    );
    let (_, page) = client.get(&path);
    let newest = page["messages"][0]["content"]["c"]
        .as_str()
        .expect("a text");
    assert_eq!(unseal(newest), format!("message {MESSAGES}"));
    let (_, tokens) = client.get("/v1/connect/tokens");
    assert_eq!(tokens, json!({"tokens": []}), "sealed by the other box");

    // Numbers go on, and what was sent already is known.
    let mut socket = Socket::user(&client);
    let path = format!("/v3/sessions/{session}/messages");
    let again = json!({"messages": [{"localId": format!("l{MESSAGES}"), "content": "x"}]});
    let (_, told) = client.post(&path, &again);
    assert_eq!(told["messages"][0]["seq"], json!(MESSAGES));
    let new = json!({"messages": [{"localId": "new", "content": "bmV3"}]});
    let (_, told) = client.post(&path, &new);
    assert_eq!(told["messages"][0]["seq"], json!(MESSAGES + 1));
    assert_eq!(socket.hears_update()["seq"], json!(last + 1));
    let gone = json!({"mutations": [{"key": "gone", "value": "y", "version": 1}]});
    assert_eq!(client.post("/v1/kv", &gone).1["results"][0]["version"], 2);

    let again = second.run(&["happy", "import", "anna.zip"]);
    assert!(
        errors(&again).contains("here already"),
        "{}",
        errors(&again)
    );
    let (_, told) = get(&running, "/api/v1/happy");
    assert_eq!(told["data"]["accounts"][0]["username"], "anna");
    assert_eq!(told["data"]["accounts"].as_array().map(Vec::len), Some(1));
    // Sums are as they would be had all of it been stored here.
    let bytes = |home: &Home| -> (i64, i64, i64) {
        let sql = "SELECT a.kv_keys, a.kv_bytes, s.bytes FROM happy_accounts a
             JOIN happy_sessions s ON s.account_id = a.id WHERE a.id = ?1 AND s.tag = 'quiet'";
        let read = |row: &magpie::store::Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        database(home)
            .query_row(sql, [&account], read)
            .expect("sums")
    };
    let (first_sums, second_sums) = (bytes(&first), bytes(&second));
    assert_eq!(first_sums.0, second_sums.0);
    assert_eq!(second_sums.2, 0);
}

#[test]
fn what_an_account_weighs_is_the_same_on_the_box_that_takes_it_in() {
    let (first, second) = (home("open"), home("closed"));
    let running = first.serve();
    let client = Client::new(&running, 1);
    settle(&client);
    let account = account_of(&client);
    assert!(
        first
            .run(&["happy", "export", &account, "a.zip"])
            .status
            .success()
    );
    let weight = |home: &Home| -> i64 {
        let sql = "SELECT bytes FROM happy_accounts";
        database(home)
            .query_row(sql, [], |row| row.get(0))
            .expect("a sum")
    };
    let sent = weight(&first);
    let archive = fs::read(first.path("a.zip")).expect("an archive");
    let running = second.serve();
    assert_eq!(import(&running, &archive).0, 200);
    assert_eq!(weight(&second), sent);
    let removed = second.run(&["happy", "remove", &account, "--yes"]);
    assert!(removed.status.success(), "{}", errors(&removed));
    assert_eq!(rows(&second), 0);
    assert!(!has_files(&second));
}

#[test]
fn what_is_written_while_it_is_exported_is_in_the_archive_whole_or_not_at_all() {
    let (first, second) = (home("open"), home("closed"));
    let running = first.serve();
    let client = Client::new(&running, 1);
    let session = settle(&client);
    let account = account_of(&client);
    let is_done = AtomicBool::new(false);
    let archives: Vec<Vec<u8>> = std::thread::scope(|threads| {
        threads.spawn(|| {
            let path = format!("/v3/sessions/{session}/messages");
            for number in 0.. {
                let file = format!("/v1/sessions/{session}/attachments/{number}.enc");
                upload(&client, &file, &[number as u8; 2_000]);
                let texts = [0, 1, 2]
                    .map(|part| json!({"localId": format!("w{number}-{part}"), "content": "c"}));
                assert_eq!(client.post(&path, &json!({"messages": texts})).0, 200);
                if is_done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let made = (0..3).map(|number| {
            let name = format!("{number}.zip");
            let exported = first.run(&["happy", "export", &account, &name]);
            assert!(exported.status.success(), "{}", errors(&exported));
            fs::read(first.path(&name)).expect("an archive")
        });
        let made = made.collect();
        is_done.store(true, Ordering::Relaxed);
        made
    });
    let running = second.serve();
    for archive in archives {
        let (status, told) = import(&running, &archive);
        assert_eq!(status, 200, "{told}");
        let count = |kind: &str| told["data"]["counts"][kind].as_u64().expect("a count");
        assert_eq!((count("message") - MESSAGES as u64) % 3, 0, "{told}");
        let sql = "SELECT s.seq - count(m.id) FROM happy_sessions s
             JOIN happy_messages m ON m.session_id = s.id WHERE s.id = ?1";
        let missing: i64 = database(&second)
            .query_row(sql, [&session], |row| row.get(0))
            .expect("a count");
        assert_eq!(missing, 0);
        let client = Client::new(&running, 1);
        for number in 0..count("attachment") - 2 {
            let path = format!("/v1/sessions/{session}/attachments/{number}.enc");
            assert_eq!(client.bytes(&path), (200, vec![number as u8; 2_000]));
        }
        let path = format!("/api/v1/happy/accounts/{account}");
        assert_eq!(call(&running, "DELETE", &path, None).0, 200);
    }
}

#[test]
fn a_removed_account_is_gone_with_its_tokens_sockets_and_files() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = settle(&client);
    let (account, other) = (account_of(&client), Client::new(&running, 2));
    let theirs = other.session("theirs");
    upload(
        &other,
        &format!("/v1/sessions/{theirs}/attachments/kept.enc"),
        b"kept",
    );
    assert_eq!(
        client
            .post("/v1/friends/add", &json!({"uid": account_of(&other)}))
            .0,
        200
    );
    assert_eq!(
        other.post("/v1/friends/add", &json!({"uid": account})).0,
        200
    );
    let mut sockets = [Socket::user(&client), Socket::session(&client, &session)];
    let path = format!("/api/v1/happy/accounts/{account}");
    let (status, told) = call(&running, "DELETE", &path, None);
    assert_eq!(
        (status, &told["data"]["pending"]),
        (200, &json!(false)),
        "{told}"
    );
    assert_eq!(call(&running, "DELETE", &path, None).0, 404);
    assert_eq!(
        call(&running, "GET", &format!("{path}/export"), None).0,
        404
    );
    for socket in &mut sockets {
        socket.reads_to_its_end();
    }
    assert_eq!(
        client.get("/v1/sessions"),
        (401, json!({"error": "Invalid token"}))
    );
    assert!(!home.path("data/files/sessions").join(&session).exists());
    assert_eq!(other.get("/v1/friends"), (200, json!({"friends": []})));
    assert_eq!(other.get(&format!("/v1/user/{account}")).0, 404);
    let kept = format!("/v1/sessions/{theirs}/attachments/kept.enc");
    assert_eq!(other.bytes(&kept), (200, b"kept".to_vec()));
    let (_, told) = get(&running, "/api/v1/happy");
    assert_eq!(told["data"]["accounts"].as_array().map(Vec::len), Some(1));
    // The same key is somebody new.
    let client = Client::new(&running, 1);
    assert_ne!(account_of(&client), account);
    assert_eq!(client.get("/v1/sessions"), (200, json!({"sessions": []})));
    assert_eq!(client.get("/v1/kv").1["items"], json!([]));
    assert_eq!(
        client
            .post("/v1/machines", &json!({"id": "m-1", "metadata": "m"}))
            .0,
        200
    );
}

#[test]
fn a_name_that_is_taken_stays_with_whom_it_is() {
    let home = home("open");
    let running = home.serve();
    let other = Client::new(&running, 2);
    let path = format!("/api/v1/happy/accounts/{}", account_of(&other));
    let name = json!({"username": "anna"}).to_string();
    let named = send(
        &running,
        "PATCH",
        &path,
        None,
        "application/json",
        name.as_bytes(),
    );
    assert_eq!(named.0, 200);
    let mut parcel = Parcel::new(1);
    parcel.rows[0]["username"] = json!("Anna");
    let (status, told) = import(&running, &parcel.zip());
    assert_eq!(
        (status, &told["data"]["username_taken"]),
        (200, &json!(true))
    );
    let client = Client::new(&running, 1);
    assert_eq!(client.get("/v1/account/profile").1["username"], Value::Null);
}

/// A box of its own for whoever asks before the room is on.
#[test]
fn the_command_line_says_what_is_wrong() {
    let home = home("open");
    let running: Running = home.serve();
    let refused = |arguments: &[&str]| errors(&home.run(arguments));
    assert!(refused(&["happy", "export", "nobody", "x.zip"]).contains("no account nobody"));
    assert!(!home.path("x.zip").exists());
    assert!(refused(&["happy", "import", "x.zip"]).contains("cannot be read"));
    fs::write(home.path("x.zip"), b"x").expect("written");
    assert!(refused(&["happy", "import", "x.zip"]).contains("no whole zip"));
    Phone::new(1).token(&running);
    let (_, told) = get(&running, "/api/v1/happy");
    let id = told["data"]["accounts"][0]["id"].as_str().expect("an id");
    assert!(
        refused(&["happy", "remove", id]).contains("--yes"),
        "nobody is there to be asked"
    );
}
