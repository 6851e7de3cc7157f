//! Sessions, messages and machines over REST.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::Client;
use crate::phone::{get, home, post, post_text};

fn seqs(told: &Value) -> Vec<i64> {
    let messages = told["messages"].as_array().expect("messages");
    messages
        .iter()
        .map(|message| message["seq"].as_i64().expect("a number"))
        .collect()
}

#[test]
fn a_tag_is_one_session_and_what_was_stored_first_stays() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let key = STANDARD.encode([3; 40]);
    let asked =
        json!({"tag": "t", "metadata": " bQ==\n", "agentState": "x", "dataEncryptionKey": key});
    let (status, told) = client.post("/v1/sessions", &asked);
    assert_eq!(status, 200, "{told}");
    let session = told["session"].clone();
    for (field, value) in [
        ("seq", json!(0)),
        ("metadata", json!(" bQ==\n")),
        ("metadataVersion", json!(0)),
        ("agentState", json!(null)),
        ("agentStateVersion", json!(0)),
        ("dataEncryptionKey", json!(key)),
        ("active", json!(true)),
        ("lastMessage", json!(null)),
    ] {
        assert_eq!(session[field], value, "{field}");
    }
    assert!(session.get("tag").is_none(), "{session}");
    let again = json!({"tag": "t", "metadata": "other"});
    assert_eq!(client.post("/v1/sessions", &again).1["session"], session);
    let listed = client.get("/v1/sessions").1;
    assert_eq!(listed, json!({"sessions": [session]}));

    let stranger = Client::new(&running, 2);
    assert_eq!(stranger.get("/v1/sessions").1, json!({"sessions": []}));
    assert_ne!(json!(stranger.session("t")), session["id"]);
    let path = format!("/v1/sessions/{}", session["id"].as_str().expect("an id"));
    let archive = format!("{path}/archive");
    let not_found = (404, json!({"error": "Session not found"}));
    assert_eq!(stranger.post(&archive, &json!({})), not_found);
    assert_eq!(stranger.delete(&path).0, 404);

    assert_eq!(
        client.get("/v2/sessions/active").1["sessions"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(
        client.post(&archive, &json!({})),
        (200, json!({"success": true}))
    );
    assert_eq!(client.get("/v2/sessions/active").1, json!({"sessions": []}));
    assert_eq!(client.delete(&path), (200, json!({"success": true})));
    let gone = json!({"error": "Session not found or not owned by user"});
    assert_eq!(client.delete(&path), (404, gone));
}

#[test]
fn pages_of_sessions_meet_without_a_gap() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let mut made: Vec<String> = (0..5).map(|n| client.session(&n.to_string())).collect();
    made.sort();
    made.reverse();
    let (mut found, mut path) = (Vec::new(), String::from("/v2/sessions?limit=2"));
    loop {
        let (status, told) = client.get(&path);
        assert_eq!(status, 200, "{told}");
        for session in told["sessions"].as_array().expect("sessions") {
            assert!(session.get("lastMessage").is_none());
            found.push(session["id"].as_str().expect("an id").to_owned());
        }
        let Some(next) = told["nextCursor"].as_str() else {
            assert_eq!(told["hasNext"], false);
            break;
        };
        path = format!("/v2/sessions?limit=2&cursor={next}");
    }
    assert_eq!(found, made);
    let wrong = (400, json!({"error": "Invalid cursor format"}));
    assert_eq!(client.get("/v2/sessions?cursor=x"), wrong);
    for query in ["limit=0", "limit=201", "limit=x", "changedSince=0"] {
        assert_eq!(
            client.get(&format!("/v2/sessions?{query}")).0,
            400,
            "{query}"
        );
    }
}

#[test]
fn messages_are_numbered_without_a_gap_each_local_id_once_also_after_kill() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let path = format!("/v3/sessions/{session}/messages");
    let item = |name: &str| json!({"content": format!("c-{name}"), "localId": name});
    let (status, told) = client.post(
        &path,
        &json!({"messages": [item("a"), item("b"), item("a")]}),
    );
    assert_eq!((status, seqs(&told)), (200, vec![1, 2]), "{told}");
    assert!(told["messages"][0].get("content").is_none());
    let (_, told) = client.post(
        &path,
        &json!({"messages": [item("c"), item("b"), item("d")]}),
    );
    assert_eq!(seqs(&told), [2, 3, 4]);
    assert_eq!(told["messages"][1]["localId"], "c");
    drop(running); // kill -9

    let running = home.serve();
    let client = Client::new(&running, 1);
    let (_, told) = client.post(&path, &json!({"messages": [item("d"), item("e")]}));
    assert_eq!(seqs(&told), [4, 5]);
    for (query, expected, more) in [
        ("", vec![1, 2, 3, 4, 5], false),
        ("?after_seq=3", vec![4, 5], false),
        ("?after_seq=1&limit=2", vec![2, 3], true),
        ("?before_seq=9007199254740991&limit=2", vec![5, 4], true),
        ("?before_seq=3", vec![2, 1], false),
    ] {
        let (_, told) = client.get(&format!("{path}{query}"));
        assert_eq!(seqs(&told), expected, "{query}");
        assert_eq!(told["hasMore"], more, "{query}");
    }
    let (_, told) = client.get(&format!("/v1/sessions/{session}/messages"));
    assert_eq!(seqs(&told), [5, 4, 3, 2, 1]);
    assert_eq!(
        told["messages"][4]["content"],
        json!({"t": "encrypted", "c": "c-a"})
    );
    assert_eq!(client.get("/v1/sessions").1["sessions"][0]["seq"], 5);

    for query in [
        "?after_seq=1&before_seq=2",
        "?limit=501",
        "?after_seq=-1",
        "?before_seq=0",
    ] {
        assert_eq!(client.get(&format!("{path}{query}")).0, 400, "{query}");
    }
    let many: Vec<Value> = (0..101).map(|n| item(&n.to_string())).collect();
    let nameless = json!([{"content": "x", "localId": ""}]);
    for wrong in [json!([]), json!(many), nameless] {
        assert_eq!(client.post(&path, &json!({"messages": wrong})).0, 400);
    }
    let stranger = Client::new(&running, 2);
    let not_found = (404, json!({"error": "Session not found"}));
    assert_eq!(stranger.get(&path), not_found);
    assert_eq!(
        stranger.post(&path, &json!({"messages": [item("z")]})),
        not_found
    );
    let nobody = post(&running, &path, None, &json!({"messages": [item("z")]}));
    assert_eq!(
        nobody,
        (401, json!({"error": "Missing authorization header"}))
    );
}

#[test]
fn a_machine_keeps_its_id_and_belongs_to_one_account() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let asked = json!({"id": "m-1", "metadata": "bQ==", "daemonState": "ZA=="});
    let (status, told) = client.post("/v1/machines", &asked);
    assert_eq!(status, 200, "{told}");
    let machine = &told["machine"];
    assert_eq!(machine["metadataVersion"], 1);
    assert_eq!(machine["daemonStateVersion"], 1);
    assert_eq!(machine["active"], false);
    assert!(machine.get("seq").is_none());
    let bare = json!({"id": "m-2", "metadata": "bQ=="});
    let second = client.post("/v1/machines", &bare).1["machine"].clone();
    assert_eq!(second["daemonStateVersion"], 0);
    assert_eq!(second["daemonState"], Value::Null);
    let changed = json!({"id": "m-1", "metadata": "other"});
    assert_eq!(&client.post("/v1/machines", &changed).1["machine"], machine);
    let null = json!({"id": "m-3", "metadata": "x", "daemonState": null});
    assert_eq!(client.post("/v1/machines", &null).0, 400);
    assert_eq!(
        client.get("/v1/machines").1.as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(client.get("/v1/machines/m-1").1["machine"]["seq"], 0);

    let stranger = Client::new(&running, 2);
    assert_eq!(stranger.post("/v1/machines", &asked).0, 409);
    let not_found = (404, json!({"error": "Machine not found"}));
    assert_eq!(stranger.get("/v1/machines/m-1"), not_found);
    assert_eq!(stranger.delete("/v1/machines/m-1"), not_found);
    assert_eq!(
        client.delete("/v1/machines/m-1"),
        (200, json!({"success": true}))
    );
    assert_eq!(client.get("/v1/machines/m-1"), not_found);
}

#[test]
fn ciphertext_is_kept_up_to_the_largest_body_and_refused_beyond_it() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let path = format!("/v3/sessions/{session}/messages");
    let content = "k".repeat(12 * 1024 * 1024);
    let item = json!({"content": content, "localId": "large"});
    let (status, told) = client.post(&path, &json!({"messages": [item]}));
    assert_eq!((status, seqs(&told)), (200, vec![1]));
    // One byte over the limit is declared, and refused before it is sent.
    let address = running.address("http").expect("a plain listener");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        client.bearer,
        16 * 1024 * 1024 + 1
    );
    stream.write_all(head.as_bytes()).expect("a head");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"statusCode\":413"), "{answer}");
    drop(running); // kill -9

    let running = home.serve();
    let client = Client::new(&running, 1);
    let (_, told) = client.get(&path);
    assert_eq!(seqs(&told), [1]);
    assert_eq!(told["messages"][0]["content"]["c"], json!(content));
}

#[test]
fn a_large_body_of_a_stranger_is_refused_before_it_is_sent() {
    let home = home("open");
    let running = home.serve();
    let address = running.address("http").expect("a plain listener");
    for bearer in ["", "authorization: Bearer nobody\r\n"] {
        let mut stream = TcpStream::connect(address).expect("a connection");
        let head = format!(
            "POST /v1/sessions HTTP/1.1\r\nhost: localhost\r\n{bearer}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            1024 * 1024 + 1
        );
        stream.write_all(head.as_bytes()).expect("a head");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
}

#[test]
fn an_address_that_calls_without_a_token_again_and_again_is_told_to_wait() {
    let home = home("open");
    let running = home.serve();
    let statuses: Vec<u16> = (0..400).map(|_| get(&running, "/v1/sessions").0).collect();
    assert_eq!(statuses[0], 401);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn a_call_without_a_token_counts_also_where_its_body_is_none() {
    let home = home("open");
    let running = home.serve();
    let broken = |token: Option<&str>| {
        let kind = "application/json";
        post_text(&running, "/v1/sessions", token, kind, "{").0
    };
    let own = Client::new(&running, 1).bearer;
    let statuses: Vec<u16> = (0..400).map(|_| broken(None)).collect();
    assert_eq!(statuses[0], 400);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(broken(Some(&own)), 400);
}

#[test]
fn pages_of_large_messages_are_cut_and_meet() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let path = format!("/v3/sessions/{session}/messages");
    for name in ["a", "b", "c"] {
        let item = json!({"content": name.repeat(7 * 1024 * 1024), "localId": name});
        assert_eq!(client.post(&path, &json!({"messages": [item]})).0, 200);
    }
    let (_, first) = client.get(&path);
    assert_eq!(
        (seqs(&first), &first["hasMore"]),
        (vec![1, 2], &json!(true))
    );
    let (_, rest) = client.get(&format!("{path}?after_seq=2"));
    assert_eq!((seqs(&rest), &rest["hasMore"]), (vec![3], &json!(false)));
}
