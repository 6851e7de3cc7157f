//! Every call that the document shows, made against a box with a few rows in it.

use magpie::store::Connection;
use serde_json::Value;

use crate::support::{Home, Running};
use crate::validator::faults;

const NOW: i64 = 1_790_000_000_000;

/// A box with rows of known ids: 1 to be read, 2 to be changed, 3 to be removed.
pub fn home() -> Home {
    let home = Home::new()
        .set("RATE_LIMIT", "0")
        .set("DATABASE_PATH", "data/box.db");
    assert!(home.run(&["--migrate"]).status.success());
    let db = Connection::open(home.path("data/box.db")).unwrap();
    for n in 1..=3 {
        let sql = format!(
            "INSERT INTO conversations (id, summary, message_count, created_at, updated_at)
             VALUES ('conv_000000000000000{n}', 'Keys {n}', 1, {NOW}, {NOW});
             INSERT INTO messages (id, conversation_id, role, content, timestamp)
             VALUES ('msg_000000000000000{n}', 'conv_000000000000000{n}', 'user', 'where is the spare key', {NOW});
             INSERT INTO memories (id, content, source, title, created_at, updated_at)
             VALUES ('mem_000000000000000{n}', 'the spare key is in the shed {n}', 'manual', 'key', {NOW}, {NOW});
             INSERT INTO memory_index (rowid, title, tags, summary, content)
             SELECT seq, title, '', '', content FROM memories WHERE id = 'mem_000000000000000{n}';
             INSERT INTO message_index (rowid, content)
             SELECT seq, content FROM messages WHERE id = 'msg_000000000000000{n}';
             INSERT INTO tags (id, name) VALUES ('tag_000000000000000{n}', 'tag{n}');
             INSERT INTO timers (id, kind, label, state, due_at, duration_ms, created_at, updated_at)
             VALUES ('tmr_000000000000000{n}', 'timer', 'tea', 'pending', 32503680000000, 60000, {NOW}, {NOW});
             INSERT INTO jobs (id, kind, subject, state, next_at, last_error, payload, created_at, updated_at)
             VALUES ('job_000000000000000{n}', 'organize', 'mem_000000000000000{n}', 'failed', {NOW}, 'no model', '{{}}', {NOW}, {NOW});
             INSERT INTO memory_tags VALUES ('mem_000000000000000{n}', 'tag_000000000000000{n}');"
        );
        db.execute_batch(&sql).unwrap();
    }
    let device = format!(
        "INSERT INTO people (id, name, role, created_at) VALUES ('per_0000000000000001', '', 'member', {NOW});
         INSERT INTO devices (id, person_id, name, token_hash, created_at)
         VALUES ('dev_0000000000000001', 'per_0000000000000001', 'Phone', randomblob(32), {NOW});"
    );
    db.execute_batch(&device).unwrap();
    home
}

pub fn document(running: &Running) -> Value {
    running.get("/api/openapi.json").json()
}

/// Method, path as the document has it, operation.
pub fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all
}

/// The same box with all rooms open.
fn open_home() -> Home {
    home().set("HAPPY_REGISTRATION", "open")
}

#[test]
fn every_route_has_a_document_and_every_document_a_route() {
    let home = open_home();
    let running = home.serve();
    let document = document(&running);
    let bare: Vec<String> = operations(&document)
        .into_iter()
        .filter(|(_, _, operation)| operation["x-undocumented"] == true)
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    assert!(bare.is_empty(), "write a Doc for each of {bare:#?}");
    assert_eq!(document["x-without-route"], Value::Null);
    let text = document.to_string();
    if let Some(at) = text.find("x-mistake") {
        panic!(
            "a shape is written wrongly: {}",
            &text[at..text.len().min(at + 300)]
        );
    }
    for (method, path, operation) in operations(&document) {
        let shown = operation["x-examples"].as_array().map_or(0, Vec::len);
        let is_page = operation["responses"]["200"]["content"]
            .get("*/*")
            .is_some();
        assert!(shown > 0 || is_page, "{method} {path} shows no call");
        assert!(
            operation["responses"].get("0").is_none(),
            "{method} {path} has an error code that ERRORS does not know"
        );
    }
}

#[test]
fn every_call_of_the_document_is_answered_as_it_promises() {
    let home = open_home();
    let running = home.serve();
    let document = document(&running);
    let base = format!("http://{}", running.address("http").unwrap());
    let mut wrong = Vec::new();
    let mut calls = 0;
    let mut all = operations(&document);
    // What removes comes last, so that the others still find their rows.
    all.sort_by_key(|(method, ..)| method == "DELETE");
    for (method, path, operation) in all {
        for example in operation["x-examples"].as_array().into_iter().flatten() {
            calls += 1;
            let call = example["call"].as_str().unwrap();
            if let Err(why) = run(&document, &base, &method, &operation, example) {
                wrong.push(format!("{method} {call} (of {path}): {why}"));
            }
        }
    }
    assert!(calls > 40, "only {calls} calls");
    assert!(
        wrong.is_empty(),
        "{} of {calls}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(running.stop().success());
}

fn run(
    document: &Value,
    base: &str,
    method: &str,
    operation: &Value,
    example: &Value,
) -> Result<(), String> {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(std::time::Duration::from_secs(60)))
            .allow_non_standard_methods(true)
            .build(),
    );
    let call = example["call"].as_str().unwrap();
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{base}{call}"));
    let answer = match &example["body"] {
        Value::Null => agent.run(request.body(()).unwrap()),
        body => agent.run(
            request
                .header("content-type", "application/json")
                .body(body.to_string())
                .unwrap(),
        ),
    };
    let mut answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let content_type = answer.headers().get("content-type");
    let content_type = content_type
        .map_or("", |value| value.to_str().unwrap())
        .to_owned();
    let body = answer
        .body_mut()
        .read_to_vec()
        .map_err(|error| error.to_string())?;
    let shown = String::from_utf8_lossy(&body[..body.len().min(400)]).into_owned();
    if status != example["status"] {
        return Err(format!("{status}, not {}: {shown}", example["status"]));
    }
    let Some(response) = operation["responses"].get(status.to_string()) else {
        return Err(format!("the status {status} is not documented: {shown}"));
    };
    // Nothing to be read comes with either.
    if [302, 426].contains(&status) {
        return Ok(());
    }
    let Some((_, content)) = response["content"].as_object().and_then(|contents| {
        contents
            .iter()
            .find(|(known, _)| content_type.starts_with(*known))
    }) else {
        return Err(format!("{content_type:?} is not documented: {shown}"));
    };
    if content_type.split(';').next() != Some("application/json") {
        return Ok(());
    }
    let value: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let faults = faults(document, &content["schema"], &value);
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    let code = value["error"]["code"].as_str();
    if let Some(code) = code
        && !response["description"].as_str().unwrap().contains(code)
    {
        return Err(format!("the code {code} is not documented for {status}"));
    }
    Ok(())
}

#[test]
fn the_document_is_the_one_in_the_repository() {
    let home = home();
    let running = home.serve();
    let served = running.get("/api/openapi.json").body;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/openapi.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &served).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let line = kept.lines().zip(served.lines()).position(|(a, b)| a != b);
    assert!(
        kept == served,
        "the interface has changed at line {line:?} of tests/golden/openapi.json; if it is meant: \
         UPDATE_GOLDEN=1 cargo test --test contract the_document_is, then commit the file"
    );
}
