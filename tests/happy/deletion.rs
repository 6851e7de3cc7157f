//! Long sessions that are deleted: gone at once, and in the end without a trace, whatever happens.

use std::fs;

use rusqlite::Connection;
use serde_json::json;

use crate::client::Client;
use crate::phone::{home, send};
use crate::support::{Home, eventually};

const MIB: usize = 1024 * 1024;
/// What a session leaves where it is half deleted.
const FAMILIES: [&str; 4] = [
    "happy_sessions",
    "happy_messages",
    "happy_attachments",
    "happy_access_keys",
];

fn rows(home: &Home) -> [i64; 4] {
    let path = home.path("data").join("voice-memory.db");
    let db = Connection::open(path);
    let db = db.expect("the database");
    FAMILIES.map(|family| {
        db.query_row(&format!("SELECT count(*) FROM {family}"), [], |row| {
            row.get(0)
        })
        .expect("a count")
    })
}

/// A session with so many MiB of messages, a file and a key.
fn long_session(client: &Client, tag: &str, mib: usize) -> String {
    let session = client.session(tag);
    let path = format!("/v3/sessions/{session}/messages");
    for number in 0..mib.div_ceil(8) {
        let message = |part: usize| {
            let content = "k".repeat(MIB);
            json!({"content": content, "localId": format!("{number}-{part}")})
        };
        let messages: Vec<_> = (0..8).map(message).collect();
        assert_eq!(client.post(&path, &json!({"messages": messages})).0, 200);
    }
    let file = format!("/v1/sessions/{session}/attachments/a.enc");
    let kind = "application/octet-stream";
    let bearer = Some(client.bearer.as_str());
    let sent = send(client.running, "PUT", &file, bearer, kind, &[7; 1000]);
    assert_eq!(sent.0, 200);
    let machine = json!({"id": "m", "metadata": "m"});
    assert_eq!(client.post("/v1/machines", &machine).0, 200);
    let key = format!("/v1/access-keys/{session}/m");
    assert_eq!(client.post(&key, &json!({"data": "ZA=="})).0, 200);
    session
}

#[test]
fn a_deletion_that_kill_interrupts_is_ended_after_the_next_start() {
    let home = home("open");
    let kept = {
        let running = home.serve();
        Client::new(&running, 1).session("kept")
    };
    let mut was_caught = false;
    for attempt in 0..5 {
        let running = home.serve();
        let client = Client::new(&running, 1);
        let session = long_session(&client, "long", 64);
        let path = format!("/v1/sessions/{session}");
        assert_eq!(client.delete(&path), (200, json!({"success": true})));
        running.kill();
        let [sessions, messages, ..] = rows(&home);
        was_caught = sessions == 2 && messages > 0;

        let running = home.serve();
        let client = Client::new(&running, 1);
        assert_eq!(client.delete(&path).0, 404);
        for read in ["messages", "attachments/a.enc"] {
            assert_eq!(client.get(&format!("{path}/{read}")).0, 404, "{read}");
        }
        assert_eq!(client.get(&format!("/v1/access-keys/{session}/m")).0, 404);
        let (_, told) = client.get("/v1/sessions");
        let listed = told["sessions"].as_array().expect("sessions");
        assert_eq!((listed.len(), &listed[0]["id"]), (1, &json!(kept)));
        let folder = home.path("data").join("files/sessions").join(&session);
        assert!(eventually(|| rows(&home) == [1, 0, 0, 0]));
        assert!(!folder.exists());
        if was_caught {
            break;
        }
        println!("attempt {attempt} was not caught in the midst");
    }
    assert!(was_caught, "the kill always came after the end");
    let left = fs::read_dir(home.path("data").join("files/sessions")).expect("a folder");
    assert_eq!(left.count(), 0);
}

#[test]
fn the_tag_of_a_deleted_session_is_free_at_once_and_its_room_soon() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = long_session(&client, "tag", 24);
    assert_eq!(client.delete(&format!("/v1/sessions/{session}")).0, 200);
    let next = client.session("tag");
    assert_ne!(next, session);
    let file = format!("/v1/sessions/{session}/attachments/b.enc");
    let bearer = Some(client.bearer.as_str());
    let sent = send(
        &running,
        "PUT",
        &file,
        bearer,
        "application/octet-stream",
        b"x",
    );
    assert_eq!(sent, (404, json!({"error": "Session not found"})));
    assert!(eventually(|| rows(&home) == [1, 0, 0, 0]));
    let folder = home.path("data").join("files/sessions").join(&session);
    assert!(!folder.exists());
    let weight = |id: &str| {
        let path = home.path("data").join("voice-memory.db");
        let db = Connection::open(path).expect("the database");
        let sql = "SELECT a.bytes - (SELECT sum(octet_length(id) + octet_length(metadata))
                   FROM happy_machines) FROM happy_accounts a JOIN happy_sessions s
                   ON s.account_id = a.id WHERE s.id = ?1";
        db.query_row(sql, [id], |row| row.get::<_, i64>(0))
            .expect("a weight")
    };
    // The tag and the metadata of the one that is there.
    assert_eq!(weight(&next), 3 + 4);
}
