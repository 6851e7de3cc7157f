//! `POST /api/v1/voice` and `/api/v1/audio/{id}` while everything works.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::rig::{home, memories, numbered, raw, send};

#[test]
fn a_note_is_kept_with_its_sound_and_the_same_upload_again_is_the_same_answer() {
    let home = home();
    let running = home.serve();
    let sound = numbered(7);
    let (status, first) = send(&running, "mode=note&client_id=phone-1", &sound);
    assert_eq!(status, 200, "{first}");
    let data = &first["data"];
    assert_eq!(
        (&data["text"], &data["intent"]),
        (&json!("number 7"), &json!("note"))
    );
    let (status, again) = send(&running, "mode=note&client_id=phone-1", &sound);
    assert_eq!((status, &again), (200, &first));
    assert_eq!(memories(&running), ["number 7"]);
    let memory = running.get(&format!(
        "/api/v1/memories/{}",
        data["memory_id"].as_str().unwrap()
    ));
    assert_eq!(memory.json()["data"]["recording_id"], data["recording_id"]);
    let id = data["recording_id"].as_str().unwrap();

    let path = format!("/api/v1/audio/{id}");
    let (status, head, body) = raw(&running, "GET", &path, "", b"");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: audio/wav"), "{head}");
    assert!(head.contains("etag: "), "{head}");
    assert_eq!(body, sound, "the sound comes back as it was sent");
    let (status, _, part) = raw(&running, "GET", &path, "range: bytes=44-47\r\n", b"");
    assert_eq!((status, &part[..]), (206, &sound[44..48]));

    assert_eq!(raw(&running, "DELETE", &path, "", b"").0, 200);
    assert_eq!(raw(&running, "GET", &path, "", b"").0, 404);
    assert_eq!(memories(&running), ["number 7"], "the text stays");
}

#[test]
fn a_spoken_question_is_answered_in_one_call() {
    let home = home();
    let running = home.serve();
    home.write("words", "remember that bin day is Tuesday");
    let body = json!({"audio": STANDARD.encode(numbered(1)), "mode": "chat"});
    let answer = running.post("/api/v1/voice", &body).json();
    assert_eq!(answer["data"]["intent"], "note", "{answer}");
    home.write("words", "when is bin day");
    let answer = running.post("/api/v1/voice", &body).json();
    let reply = answer["data"]["reply"].as_str().unwrap_or_default();
    assert!(reply.contains("Tuesday"), "{answer}");
    let path = format!(
        "/api/v1/conversations/{}",
        answer["data"]["conversation_id"].as_str().unwrap()
    );
    let conversation = running.get(&path).json();
    let messages = conversation["data"]["messages"].as_array().unwrap();
    let with_sound = messages
        .iter()
        .filter(|message| message["recording_id"] == answer["data"]["recording_id"]);
    assert_eq!(with_sound.count(), 1, "{conversation}");
}

#[test]
fn what_is_no_sound_or_too_large_is_refused_and_leaves_nothing() {
    let home = home().set("MAX_UPLOAD_SIZE", "100KB");
    let running = home.serve();
    for (query, sound, status, code) in [
        (
            "mode=note",
            &b"this is no sound at all"[..],
            415,
            "UNSUPPORTED_AUDIO",
        ),
        ("mode=note", &[0; 200_000][..], 413, "PAYLOAD_TOO_LARGE"),
        ("mode=shout", &[0; 4][..], 400, "INVALID_REQUEST"),
        ("speak=loud", &[0; 4][..], 400, "INVALID_REQUEST"),
        ("recorded_at=now", &[0; 4][..], 400, "INVALID_REQUEST"),
        ("", &[][..], 400, "INVALID_REQUEST"),
        ("conversation_id=conv_x", &numbered(1)[..], 404, "NOT_FOUND"),
    ] {
        let (got, answer) = send(&running, query, sound);
        assert_eq!(
            (got, answer["error"]["code"].as_str()),
            (status, Some(code)),
            "{answer}"
        );
    }
    let left = fs::read_dir(home.path("data/recordings")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "files were left");
    assert!(memories(&running).is_empty());
}

#[test]
fn without_days_to_keep_it_sound_goes_once_it_is_understood() {
    let home = home().set("AUDIO_KEEP_DAYS", "0");
    let running = home.serve();
    let (status, answer) = send(&running, "mode=note", &numbered(3));
    assert_eq!(status, 200, "{answer}");
    let id = answer["data"]["recording_id"].as_str().unwrap();
    crate::rig::until("the sound is gone", || {
        let gone = raw(&running, "GET", &format!("/api/v1/audio/{id}"), "", b"").0 == 404;
        gone && fs::read_dir(home.path("data/recordings")).map_or(0, Iterator::count) == 0
    });
    assert_eq!(memories(&running), ["number 3"]);
}
