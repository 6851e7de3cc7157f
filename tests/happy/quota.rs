//! What an account may store, for how long, and how large one value may be.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::client::Client;
use crate::phone::{call, get, home, send};
use crate::support::{Running, eventually, out};

const BYTES: &str = "application/octet-stream";
const MIB: usize = 1024 * 1024;

fn full() -> (u16, Value) {
    let text = "This account has no room left on this server";
    (507, json!({"error": text}))
}

fn post(client: &Client, session: &str, local_id: &str, bytes: usize) -> (u16, Value) {
    let item = json!({"content": "k".repeat(bytes), "localId": local_id});
    let path = format!("/v3/sessions/{session}/messages");
    client.post(&path, &json!({"messages": [item]}))
}

fn upload(client: &Client, path: &str, blob: &[u8]) -> (u16, Value) {
    let bearer = Some(client.bearer.as_str());
    send(client.running, "PUT", path, bearer, BYTES, blob)
}

fn account(running: &Running) -> Value {
    get(running, "/api/v1/happy").1["data"]["accounts"][0].clone()
}

fn bound(running: &Running, id: &Value, body: &Value) -> u16 {
    let id = id.as_str().expect("an id");
    let path = format!("/api/v1/happy/accounts/{id}/bounds");
    let body = body.to_string();
    let kind = "application/json";
    send(running, "PUT", &path, None, kind, body.as_bytes()).0
}

#[test]
fn an_account_stores_what_the_owner_allows_and_is_told_when_it_is_full() {
    let home = home("open").set("HAPPY_ACCOUNT_MB", "1");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    assert_eq!(post(&client, &session, "a", 700_000).0, 200);
    assert_eq!(post(&client, &session, "b", 700_000), full());
    let told = account(&running);
    assert_eq!(told["bytes_max"], MIB, "{told}");
    assert_eq!(told["keep_days"], 0);
    let used = told["bytes"].as_u64().expect("a number");
    assert!((700_000..710_000).contains(&used), "{told}");

    let id = &told["id"];
    let bounds = |max: Value, days: Value| json!({"max_mb": max, "keep_days": days});
    for wrong in [
        json!({}),
        bounds(json!(0), Value::Null),
        bounds(Value::Null, json!(36_501)),
        bounds(json!(-1), Value::Null),
    ] {
        assert_eq!(bound(&running, id, &wrong), 400, "{wrong}");
    }
    let two = bounds(json!(2), json!(30));
    assert_eq!(bound(&running, &json!("nobody"), &two), 404);
    assert_eq!(bound(&running, id, &two), 200);
    assert_eq!(post(&client, &session, "b", 700_000).0, 200);
    drop(running); // kill -9

    let home = home.set("HAPPY_ACCOUNT_MB", "3");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let told = account(&running);
    assert_eq!(told["bytes_max"], 2 * MIB, "{told}");
    assert_eq!(told["keep_days"], 30);
    let text = out(&home.run(&["happy"]));
    assert!(
        text.contains("1 of 2 MB; sessions not used for 30 days go"),
        "{text}"
    );
    assert_eq!(post(&client, &session, "c", 700_000), full());
    let as_all = bounds(Value::Null, Value::Null);
    assert_eq!(bound(&running, id, &as_all), 200);
    assert_eq!(account(&running)["bytes_max"], 3 * MIB);
    assert_eq!(post(&client, &session, "c", 700_000).0, 200);
    // What is stored stays when the bound comes down, and goes when its session does.
    let one = bounds(json!(1), Value::Null);
    assert_eq!(bound(&running, id, &one), 200);
    let (status, page) = client.get(&format!("/v3/sessions/{session}/messages"));
    assert_eq!(
        (status, page["messages"].as_array().map(Vec::len)),
        (200, Some(3))
    );
    let new = json!({"tag": "u", "metadata": "bQ=="});
    assert_eq!(client.post("/v1/sessions", &new), full());
    assert_eq!(client.delete(&format!("/v1/sessions/{session}")).0, 200);
    assert!(eventually(|| client.post("/v1/sessions", &new).0 == 200));
}

#[test]
fn a_file_that_is_refused_leaves_the_one_before_alone() {
    let home = home("open").set("HAPPY_ACCOUNT_MB", "1");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let path = format!("/v1/sessions/{session}/attachments/a.enc");
    let first = vec![1; 600_000];
    assert_eq!(upload(&client, &path, &first).0, 200);
    assert_eq!(upload(&client, &path, &vec![2; 1_100_000]), full());
    assert_eq!(client.bytes(&path), (200, first));
    // Only the difference needs room.
    let second = vec![3; 700_000];
    assert_eq!(upload(&client, &path, &second).0, 200);
    assert_eq!(client.bytes(&path), (200, second.clone()));
    let other = format!("/v1/sessions/{session}/attachments/b.enc");
    assert_eq!(upload(&client, &other, &vec![4; 600_000]), full());

    // The room goes between the look before the file is written and the row: as many at once as
    // are taken, of which one has a place.
    std::thread::scope(|scope| {
        let uploads: Vec<_> = (0..4)
            .map(|number| {
                let (client, session) = (&client, &session);
                scope.spawn(move || {
                    let path = format!("/v1/sessions/{session}/attachments/{number}.enc");
                    (path.clone(), upload(client, &path, &vec![5; 250_000]).0)
                })
            })
            .collect();
        let done = uploads
            .into_iter()
            .map(|upload| upload.join().expect("an answer"));
        let (kept, refused): (Vec<_>, Vec<_>) = done.partition(|(_, status)| *status == 200);
        assert_eq!((kept.len(), refused.len()), (1, 3));
        for (path, status) in &refused {
            assert_eq!(*status, 507);
            assert_eq!(client.get(path).0, 404);
        }
    });
    assert_eq!(client.bytes(&path), (200, second));
    let folder = home.path("data").join("files/sessions").join(&session);
    let left = std::fs::read_dir(folder.join("attachments")).expect("a folder");
    assert_eq!(left.count(), 2, "no half files");
}

#[test]
fn one_value_is_no_larger_by_post_than_it_comes_over_a_socket() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let (fits, over) = ("k".repeat(2 * MIB), "k".repeat(2 * MIB + 1));
    let (name, long_name) = ("n".repeat(64 * 1024), "n".repeat(64 * 1024 + 1));
    let sealed = "QUFB".repeat(16 * 1024 + 1);
    let session = |tag: &str, metadata: &str| json!({"tag": tag, "metadata": metadata});
    let machine = |id: &str, state: &str| json!({"id": id, "metadata": "m", "daemonState": state});
    let artifact = |header: &str| {
        let id = "0b0f0a3e-1111-4222-8333-444455556666";
        json!({"id": id, "header": header, "body": "", "dataEncryptionKey": ""})
    };
    let mut sealed_too_long = session("s", "m");
    sealed_too_long["dataEncryptionKey"] = json!(sealed);
    for (path, body) in [
        ("/v1/sessions", session("t", &over)),
        ("/v1/sessions", session(&long_name, "m")),
        ("/v1/sessions", sealed_too_long),
        ("/v1/machines", machine("m", &over)),
        ("/v1/machines", machine(&long_name, "s")),
        ("/v1/artifacts", artifact(&"QUFB".repeat(MIB))),
    ] {
        let (status, told) = client.post(path, &body);
        assert_eq!(
            (status, &told["statusCode"]),
            (413, &json!(413)),
            "{path}: {told}"
        );
    }
    for (path, body) in [
        ("/v1/sessions", session(&name, &fits)),
        ("/v1/machines", machine("m", &fits)),
        ("/v1/artifacts", artifact("QUFB")),
    ] {
        assert_eq!(client.post(path, &body).0, 200, "{path}");
    }
    let header = json!({"header": "QUFB".repeat(MIB), "expectedHeaderVersion": 1});
    let path = "/v1/artifacts/0b0f0a3e-1111-4222-8333-444455556666";
    assert_eq!(client.post(path, &header).0, 413);
    // To a stranger the token is what is wrong; a body that nobody reads has to fit on its way.
    let stranger = send(
        &running,
        "POST",
        "/v1/sessions",
        None,
        "application/json",
        session(&long_name, "m").to_string().as_bytes(),
    );
    assert_eq!(stranger.0, 401);
}

#[test]
fn a_box_that_starts_with_a_clock_far_ahead_deletes_no_session() {
    let home = home("open").set("HAPPY_KEEP_DAYS", "1");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    assert_eq!(post(&client, &session, "a", 10).0, 200);
    let archived = format!("/v1/sessions/{session}/archive");
    assert_eq!(client.post(&archived, &json!({})).0, 200);
    running.kill();
    // As a box finds it whose clock is ten years ahead.
    let db = Connection::open(home.path("data").join("voice-memory.db")).expect("the database");
    let years = 10_i64 * 365 * 86_400_000;
    db.execute(
        "UPDATE happy_sessions SET updated_at = updated_at - ?1, last_active_at = last_active_at - ?1",
        [years],
    )
    .expect("aged");
    db.execute("UPDATE happy_devices SET seen_at = seen_at - ?1", [years])
        .expect("aged");
    drop(db);
    let running = home.serve();
    let client = Client::new(&running, 1);
    let told = account(&running);
    assert_eq!(
        (&told["keep_days"], &told["sessions"]),
        (&json!(1), &json!(1))
    );
    let (_, listed) = client.get("/v1/sessions");
    assert_eq!(listed["sessions"][0]["id"], json!(session));
    let (_, page) = call(
        &running,
        "GET",
        &format!("/v3/sessions/{session}/messages"),
        Some(&client.bearer),
    );
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(1));
}
