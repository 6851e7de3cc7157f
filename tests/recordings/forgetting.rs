//! A memory that is forgotten takes its transcript along, and its sound unless that is to be kept.

use serde_json::Value;

use crate::rig::{home, numbered, raw, send};

#[test]
fn a_deleted_memory_takes_its_sound_along_unless_it_is_to_be_kept() {
    let home = home();
    let running = home.serve();
    let again = |number: i16| {
        let query = format!("mode=note&client_id=phone-{number}");
        send(&running, &query, &numbered(number))
    };
    let note = |number: i16| -> (String, String) {
        let (status, answer) = again(number);
        assert_eq!(status, 200, "{answer}");
        let text = |name: &str| answer["data"][name].as_str().unwrap().to_string();
        (text("memory_id"), text("recording_id"))
    };
    let sound = |recording: &str| {
        let path = format!("/api/v1/audio/{recording}");
        raw(&running, "GET", &path, "", b"").0
    };
    let (kept, kept_sound) = note(11);
    let (gone, gone_sound) = note(12);
    let (forgotten, forgotten_sound) = note(13);
    let shown = running.get(&format!("/api/v1/memories/{gone}")).json();
    let url = format!("/api/v1/audio/{gone_sound}");
    assert_eq!(shown["data"]["audio_url"], url.as_str());

    let delete = |path: String| raw(&running, "DELETE", &path, "", b"").0;
    assert_eq!(delete(format!("/api/v1/memories/{kept}?keep_audio=1")), 200);
    assert_eq!(delete(format!("/api/v1/memories/{gone}")), 200);
    let body = serde_json::json!({ "q": "number 13" });
    let answer = running.post("/api/v1/memories/forget", &body).json();
    assert_eq!(answer["data"]["count"], 1, "{answer}");

    assert_eq!(sound(&kept_sound), 200);
    assert_eq!(sound(&gone_sound), 404);
    assert_eq!(sound(&forgotten_sound), 404);
    // The transcript as well; the same upload again does not bring it back.
    for number in [11, 12, 13] {
        let (status, answer) = again(number);
        assert_eq!(status, 200, "{answer}");
        assert!(answer["data"]["text"].is_null(), "{answer}");
        assert!(answer["data"]["memory_id"].is_null(), "{answer}");
    }
    for id in [&kept, &gone, &forgotten] {
        let left = running.get(&format!("/api/v1/memories/{id}"));
        assert_eq!(left.status, 404, "{id}");
    }
    let left: Value = running.get("/api/v1/memories/search?q=number").json();
    assert_eq!(left["data"]["total"], 0, "{left}");
}
