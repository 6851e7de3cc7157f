//! A card that becomes full: new recordings are refused, old ones stay, and room brings it back.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::alsa::{Card, SPEECH, STUDIO};
use crate::live::with_card;
use crate::memos::packed;
use crate::rig::{home, memories, numbered, raw, send, until};
use crate::socket::done;
use crate::support::Running;

/// Five megabytes above the least that has to stay free.
const CARD: &str = "size=205m";

/// A file of the card that only the program sees.
fn inside(running: &Running<'_>, path: PathBuf) -> PathBuf {
    let below = path.strip_prefix("/").expect("a whole path").to_path_buf();
    PathBuf::from(format!("/proc/{}/root", running.pid())).join(below)
}

#[test]
fn a_full_card_refuses_new_recordings_keeps_the_old_and_works_again_with_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let home = with_card(home(), &card);
    fs::create_dir(home.path("data")).unwrap();
    let running = home.serve_on_small_card(CARD, &home.path("data"));
    let (status, answer) = send(&running, "mode=note", &numbered(1));
    assert_eq!(status, 200, "{answer}");
    let first = answer["data"]["recording_id"].as_str().unwrap().to_string();

    let ballast = inside(&running, home.path("data/ballast"));
    fs::write(&ballast, vec![0; 6 << 20]).unwrap();
    let (status, answer) = send(&running, "mode=note", &numbered(2));
    assert_eq!(
        (status, &answer["error"]["code"]),
        (507, &json!("STORAGE_FULL")),
        "{answer}"
    );
    let before = card.heard().len();
    let turn = done(&running, "/api/v1/device/listen", &json!({"wait": true}));
    assert_eq!(turn["result"], "failed", "{turn}");
    assert_eq!(turn["errors"][0]["code"], "STORAGE_FULL", "{turn}");
    until("it is heard at the box", || {
        let heard = card.heard();
        heard[before.min(heard.len())..]
            .iter()
            .any(|sample| sample.abs() > 500)
    });
    let (status, _, sound) = raw(&running, "GET", &format!("/api/v1/audio/{first}"), "", b"");
    assert_eq!((status, sound), (200, numbered(1)), "the old one stays");
    assert_eq!(memories(&running), ["number 1"]);

    fs::remove_file(&ballast).unwrap();
    let (status, answer) = send(&running, "mode=note", &numbered(2));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(memories(&running).len(), 2);
}

#[test]
fn unpacking_a_long_memo_leaves_room_on_the_card() {
    let home = home();
    fs::create_dir(home.path("data")).unwrap();
    let sound = packed(&home, 15);
    let running = home.serve_on_small_card(CARD, &home.path("data"));
    let (status, answer) = send(&running, "mode=note", &sound);
    assert_eq!(status, 202, "{answer}");
    let why = || {
        let listed = running.get("/api/v1/jobs").json();
        listed["data"]["jobs"][0]["last_error"]
            .as_str()
            .map(String::from)
    };
    until("it is tried", || why().is_some());
    let why = why().unwrap_or_default();
    assert!(why.contains("the card has less than 200 MB left"), "{why}");
    let folder = inside(&running, home.path("data/recordings"));
    let left = fs::read_dir(folder).unwrap().count();
    assert_eq!(left, 1, "the recording alone is there");
    assert!(memories(&running).is_empty());
}
