//! The recogniser is away: nothing is lost, everything is told, and all of it is done afterwards.

use std::fs;

use serde_json::json;

use crate::rig::{come_back, go_away, home, memories, numbered, queue, raw, send, until};

#[test]
fn a_recording_in_an_outage_is_kept_over_a_kill_and_understood_afterwards() {
    let home = home();
    let running = home.serve();
    go_away(&home);
    let (status, answer) = send(&running, "mode=note&client_id=a", &numbered(5));
    assert_eq!(
        (status, &answer["data"]["code"]),
        (202, &json!("OFFLINE_QUEUED")),
        "{answer}"
    );
    assert_eq!(queue(&running)["pending"], 1);
    assert!(queue(&running)["bytes"].as_u64().unwrap() > 32_000);
    let id = answer["data"]["recording_id"].as_str().unwrap().to_string();
    let job = answer["data"]["job_id"].as_str().unwrap().to_string();
    running.kill();

    let running = home.serve();
    let (status, again) = send(&running, "mode=note&client_id=a", &numbered(5));
    assert_eq!(
        (status, &again["data"]["job_id"]),
        (202, &json!(job)),
        "{again}"
    );
    let listed = running.get("/api/v1/jobs").json();
    let mine = &listed["data"]["jobs"][0];
    assert_eq!(
        (&mine["id"], &mine["recording_id"]),
        (&json!(job), &json!(id))
    );
    until("it was tried", || {
        let listed = running.get("/api/v1/jobs").json();
        listed["data"]["jobs"][0]["last_error"].as_str().is_some()
    });
    come_back(&home);
    running.post(&format!("/api/v1/jobs/{job}/retry"), &json!({}));
    until("it is understood", || memories(&running) == ["number 5"]);
    until("nothing waits", || {
        queue(&running)["pending"] == 0 && queue(&running)["bytes"] == 0
    });
    let (status, _, sound) = raw(&running, "GET", &format!("/api/v1/audio/{id}"), "", b"");
    assert_eq!((status, sound), (200, numbered(5)));
    let (status, again) = send(&running, "mode=note&client_id=a", &numbered(5));
    assert_eq!(
        (status, &again["data"]["text"]),
        (200, &json!("number 5")),
        "{again}"
    );
    assert_eq!(memories(&running).len(), 1, "stored once");
}

#[test]
fn a_question_in_an_outage_is_answered_late_and_in_its_conversation() {
    let home = home();
    let running = home.serve();
    let first = running.post(
        "/api/v1/chat",
        &json!({"message": "remember that bin day is Tuesday"}),
    );
    let conversation = first.json()["data"]["conversation_id"]
        .as_str()
        .unwrap()
        .to_string();
    home.write("words", "when is bin day");
    go_away(&home);
    let query = format!("mode=chat&client_id=q&conversation_id={conversation}");
    let (status, answer) = send(&running, &query, &numbered(1));
    assert_eq!(status, 202, "{answer}");
    come_back(&home);
    let job = answer["data"]["job_id"].as_str().unwrap();
    running.post(&format!("/api/v1/jobs/{job}/retry"), &json!({}));
    until("it is answered", || {
        let (status, answer) = send(&running, &query, &numbered(1));
        let reply = answer["data"]["reply"].as_str().unwrap_or_default();
        status == 200 && reply.contains("Tuesday")
    });
    let talk = running
        .get(&format!("/api/v1/conversations/{conversation}"))
        .json();
    assert_eq!(
        talk["data"]["messages"].as_array().map(Vec::len),
        Some(4),
        "{talk}"
    );
}

#[test]
fn what_no_recogniser_will_ever_take_is_told_at_once_and_stays_for_a_person() {
    let home = home().set("STT_PROVIDER", "none").set("STT_COMMAND", "");
    let running = home.serve();
    let (status, answer) = send(&running, "mode=note", &numbered(5));
    assert_eq!(
        (status, &answer["error"]["code"]),
        (500, &json!("STT_ERROR")),
        "{answer}"
    );
    until("it is given up", || queue(&running)["failed"] == 1);
    let failed = running.get("/api/v1/jobs?state=failed").json();
    let job = &failed["data"]["jobs"][0];
    assert!(
        job["last_error"]
            .as_str()
            .is_some_and(|why| !why.is_empty()),
        "{failed}"
    );
    assert_eq!(running.get("/health").json()["status"], "degraded");
    let recording = job["recording_id"].as_str().unwrap();
    let (status, _, sound) = raw(
        &running,
        "GET",
        &format!("/api/v1/audio/{recording}"),
        "",
        b"",
    );
    assert_eq!((status, sound), (200, numbered(5)), "the sound is kept");
    running.stop();

    // A recogniser is installed later: a person retries.
    let script = format!("sh {} {{wav}}", home.path("stt.sh").display());
    let home = home
        .set("STT_PROVIDER", "command")
        .set("STT_COMMAND", &script);
    let running = home.serve();
    let path = format!("/api/v1/jobs/{}/retry", job["id"].as_str().unwrap());
    running.post(&path, &json!({}));
    until("it is understood", || memories(&running) == ["number 5"]);
}

#[test]
fn too_much_that_waits_is_refused_and_what_is_there_stays() {
    let home = home().set("QUEUE_MAX_MB", "1");
    let running = home.serve();
    go_away(&home);
    let mut kept = 0;
    let mut refused = None;
    for number in 1..60 {
        let (status, answer) = send(&running, "mode=note", &numbered(number));
        match status {
            202 => kept += 1,
            _ => {
                refused = Some((status, answer));
                break;
            }
        }
    }
    let (status, answer) = refused.expect("a megabyte is full some time");
    assert_eq!(
        (status, &answer["error"]["code"]),
        (507, &json!("STORAGE_FULL")),
        "{answer}"
    );
    assert_eq!(queue(&running)["pending"], kept);
    let files = fs::read_dir(home.path("data/recordings")).unwrap().count();
    assert_eq!(files, kept);
    println!("full queue: kept={kept}");
}

#[test]
fn more_text_than_one_memory_holds_becomes_several_of_the_same_recording() {
    let home = home();
    let running = home.serve();
    go_away(&home);
    let (status, answer) = send(&running, "mode=note", &numbered(5));
    assert_eq!(status, 202, "{answer}");
    let words: String = (0..20_000).map(|number| format!("word{number} ")).collect();
    home.write("words", &words);
    come_back(&home);
    let job = answer["data"]["job_id"].as_str().unwrap();
    running.post(&format!("/api/v1/jobs/{job}/retry"), &json!({}));
    until("it is understood", || !memories(&running).is_empty());
    let mut parts = memories(&running);
    parts.sort_by_key(|part| part.split(' ').next().map(str::len));
    assert_eq!(parts.len(), 3, "{} bytes", words.len());
    assert_eq!(parts.join(" "), words.trim());
    until("nothing failed", || {
        queue(&running)["pending"] == 0 && queue(&running)["failed"] == 0
    });
}
