//! The words of a recording are understood, but not answered yet: the answer comes all the same,
//! once.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::provider::{CLAUDE_KEY, Fault, Provider, Reply, Route};
use crate::rig::{come_back, go_away, home, memories, numbered, queue, raw, send, until};
use crate::support::{Home, Running};

const QUESTION: &str = "why is the sky blue";
const ANSWER: &str = "Because air scatters blue light most.";

fn with_model(provider: &Provider) -> Home {
    let home = home()
        .set("LLM_PROVIDER", "anthropic")
        .set("ANTHROPIC_BASE_URL", &provider.anthropic_url())
        .set("CLAUDE_API_KEY", CLAUDE_KEY)
        .set("AUTO_MEMORY", "off")
        .set("QUEUE_SPACING", "0");
    home.write("words", QUESTION);
    home
}

/// Has everything that waits tried at once.
fn retry(running: &Running<'_>) {
    let listed = running.get("/api/v1/jobs?state=queued").json();
    for job in listed["data"]["jobs"].as_array().expect("a list") {
        let id = job["id"].as_str().expect("an id");
        running.post(&format!("/api/v1/jobs/{id}/retry"), &json!({}));
    }
}

/// What was said in the one conversation.
fn said(running: &Running<'_>) -> Vec<(String, String)> {
    let listed = running.get("/api/v1/conversations").json();
    let listed = listed["data"]["conversations"].as_array().expect("a list");
    assert!(listed.len() <= 1, "{listed:?}");
    let Some(id) = listed.first().and_then(|talk| talk["id"].as_str()) else {
        return Vec::new();
    };
    let talk = running.get(&format!("/api/v1/conversations/{id}")).json();
    let messages = talk["data"]["messages"].as_array().expect("messages");
    let text = |message: &Value, name: &str| message[name].as_str().unwrap_or("").to_string();
    messages
        .iter()
        .map(|message| (text(message, "role"), text(message, "content")))
        .collect()
}

fn check_answered_once(running: &Running<'_>, query: &str) {
    until("it is answered", || {
        let (_, again) = send(running, query, &numbered(1));
        again["data"]["reply"] == ANSWER
    });
    let both = [("user", QUESTION), ("assistant", ANSWER)];
    let both = both.map(|(role, content)| (role.to_string(), content.to_string()));
    assert_eq!(said(running), both);
    until("nothing waits", || queue(running)["pending"] == 0);
}

#[test]
fn a_late_answer_that_a_kill_cuts_off_while_the_model_thinks_comes_after_the_restart() {
    let provider = Provider::start();
    let home = with_model(&provider);
    let running = home.serve();
    go_away(&home);
    let query = "mode=chat&client_id=q";
    assert_eq!(send(&running, query, &numbered(1)).0, 202);
    provider.fail(Route::Messages, Fault::Hang);
    come_back(&home);
    retry(&running);
    until("the model thinks", || {
        !provider.requests(Route::Messages).is_empty()
    });
    running.kill();

    provider.heal(Route::Messages);
    provider.replies(Reply::text(ANSWER));
    let running = home.serve();
    check_answered_once(&running, query);
}

#[test]
fn a_question_that_a_kill_cuts_off_while_the_model_thinks_is_answered_after_the_restart() {
    let provider = Provider::start();
    let home = with_model(&provider);
    let running = home.serve();
    provider.fail(Route::Messages, Fault::Hang);
    let query = "mode=chat&client_id=q";
    let _call = begin(&running, query, &numbered(1));
    until("the model thinks", || {
        !provider.requests(Route::Messages).is_empty()
    });
    running.kill();

    provider.heal(Route::Messages);
    provider.replies(Reply::text(ANSWER));
    let running = home.serve();
    check_answered_once(&running, query);
}

#[test]
fn a_spoken_question_is_answered_late_where_the_model_cannot_be_reached() {
    let provider = Provider::start();
    let home = with_model(&provider);
    let running = home.serve();
    provider.fail(Route::Messages, Fault::Status(503, None));
    let query = "mode=chat&client_id=q";
    let (status, told) = send(&running, query, &numbered(1));
    assert_eq!(
        (status, &told["data"]["code"], &told["data"]["text"]),
        (202, &json!("OFFLINE_QUEUED"), &json!(QUESTION)),
        "{told}"
    );
    assert!(told["data"]["job_id"].is_string(), "{told}");
    assert_eq!(queue(&running)["pending"], 1);
    until("it was tried again in vain", || {
        let listed = running.get("/api/v1/jobs").json();
        listed["data"]["jobs"][0]["last_error"].is_string()
    });
    assert_eq!(queue(&running)["pending"], 1);

    provider.heal(Route::Messages);
    provider.replies(Reply::text(ANSWER));
    retry(&running);
    check_answered_once(&running, query);
}

#[test]
fn a_question_whose_conversation_is_deleted_under_it_is_answered_in_another() {
    let home = home();
    let running = home.serve();
    running.post(
        "/api/v1/chat",
        &json!({"message": "remember that bin day is Tuesday"}),
    );
    let other = running.post("/api/v1/conversations", &json!({})).json();
    let conversation = other["data"]["id"].as_str().unwrap();
    home.write("words", "when is bin day");
    home.write("slow", "3");
    let query = format!("mode=chat&client_id=q&conversation_id={conversation}");
    let _call = begin(&running, &query, &numbered(1));
    until("the recogniser listens", || home.path("calls").exists());
    let talk = format!("/api/v1/conversations/{conversation}");
    assert_eq!(raw(&running, "DELETE", &talk, "", b"").0, 200);
    until("it is answered", || {
        let (_, again) = send(&running, &query, &numbered(1));
        let reply = again["data"]["reply"].as_str().unwrap_or_default();
        reply.contains("Tuesday")
    });
}

/// Sends a recording and does not wait for the answer; hangs up when dropped.
fn begin(running: &Running<'_>, query: &str, sound: &[u8]) -> TcpStream {
    let address = running.address("http").expect("plain HTTP is on");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!(
        "POST /api/v1/voice?{query} HTTP/1.1\r\nhost: localhost\r\ncontent-type: audio/wav\r\n\
         content-length: {}\r\n\r\n",
        sound.len()
    );
    stream.write_all(head.as_bytes()).expect("the head goes");
    stream.write_all(sound).expect("the sound goes");
    stream
}

#[test]
fn the_same_upload_waits_for_one_whose_sender_hung_up() {
    let home = home();
    let running = home.serve();
    home.write("slow", "3");
    let query = "mode=note&client_id=phone";
    let call = begin(&running, query, &numbered(7));
    until("the recogniser listens", || home.path("calls").exists());
    drop(call);
    let (status, again) = send(&running, query, &numbered(7));
    assert_eq!(
        (status, &again["data"]["text"]),
        (200, &json!("number 7")),
        "{again}"
    );
    assert_eq!(memories(&running), ["number 7"]);
}
