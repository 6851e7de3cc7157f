//! The box's ear and mouth over HTTP, on a box without a sound card.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use magpie::audio::wav;
use serde_json::json;

use crate::alsa;
use crate::house::{House, Setup};

#[test]
fn a_muted_box_stays_muted_over_a_restart_and_does_not_listen() {
    let data = tempfile::tempdir().expect("a folder");
    let house = House::start(Setup::at(data.path()));
    assert_eq!(
        house.done("/api/v1/device/mute", &json!({"muted": true}))["muted"],
        true
    );
    drop(house);
    let house = House::start(Setup::at(data.path()));
    let (_, device) = house.get("/api/v1/device");
    assert_eq!(device["data"]["muted"], true, "{device}");
    let (status, answer) = house.post("/api/v1/device/listen", &json!({}));
    assert_eq!(
        (status, answer["error"]["code"].as_str()),
        (409, Some("MUTED")),
        "{answer}"
    );
    house.done("/api/v1/device/mute", &json!({"muted": false}));
    drop(house);
    let house = House::start(Setup::at(data.path()));
    assert_eq!(house.get("/api/v1/device").1["data"]["muted"], false);
}

#[test]
fn a_box_without_a_card_says_so_and_ends_the_turn() {
    let data = tempfile::tempdir().expect("a folder");
    let house = House::start(Setup::at(data.path()));
    let turn = house.done("/api/v1/device/listen", &json!({"wait": true}));
    assert_eq!(turn["result"], "failed", "{turn}");
    assert_eq!(turn["errors"][0]["code"], "AUDIO_DEVICE");
    let turn = house.done(
        "/api/v1/device/say",
        &json!({"text": "hello", "wait": true}),
    );
    assert_eq!(turn["errors"][0]["code"], "AUDIO_DEVICE", "{turn}");
    house.done("/api/v1/device/stop", &json!({}));
}

#[test]
fn sound_handed_in_is_transcribed_in_each_form() {
    let data = tempfile::tempdir().expect("a folder");
    let house = House::start(Setup::at(data.path()));
    let bytes = wav::encode(
        &alsa::speak("where is the spare key", "slt", 22_050),
        22_050,
    );
    let (status, raw) = house.request("POST", "/api/v1/transcribe", "audio/wav", &bytes);
    assert_eq!(status, 200, "{raw}");
    assert_eq!(raw["data"]["text"], "where is the spare key");
    assert_eq!(raw["data"]["provider"], "pocketsphinx");
    let encoded = house.done(
        "/api/v1/transcribe",
        &json!({"audio": STANDARD.encode(&bytes)}),
    );
    assert_eq!(encoded["text"], raw["data"]["text"]);
    for (kind, body, status, code) in [
        ("audio/mpeg", &b"ID3"[..], 415, "UNSUPPORTED_AUDIO"),
        ("audio/wav", b"no wav", 415, "UNSUPPORTED_AUDIO"),
        (
            "application/json",
            b"{\"audio\":\"***\"}",
            400,
            "INVALID_REQUEST",
        ),
        ("application/json", b"{}", 400, "INVALID_REQUEST"),
    ] {
        let answer = house.request("POST", "/api/v1/transcribe", kind, body);
        assert_eq!(
            (answer.0, answer.1["error"]["code"].as_str()),
            (status, Some(code)),
            "{kind}"
        );
    }
}

#[test]
fn text_is_made_sound_that_is_understood_again() {
    let data = tempfile::tempdir().expect("a folder");
    let house = House::start(Setup::at(data.path()));
    let said = house.done(
        "/api/v1/synthesize",
        &json!({"text": "The spare key is under the blue flower pot.", "response_format": "mp3"}),
    );
    assert_eq!(said["format"], "wav", "what is sent is said");
    let heard = house.done("/api/v1/transcribe", &json!({"audio": said["audio"]}));
    println!("heard {}", heard["text"]);
    assert!(
        heard["text"]
            .as_str()
            .expect("text")
            .contains("blue flower pot")
    );
    for text in ["", "  ", "😀", &"x".repeat(5_000)] {
        let (status, answer) = house.post("/api/v1/synthesize", &json!({"text": text}));
        assert_eq!(status, 400, "{answer}");
    }
}

#[test]
fn the_last_turns_are_shown() {
    let data = tempfile::tempdir().expect("a folder");
    let house = House::start(Setup::at(data.path()));
    house.done("/api/v1/device/listen", &json!({"wait": true}));
    let (status, stats) = house.get("/api/v1/debug/stats");
    assert_eq!(status, 200);
    assert_eq!(stats["data"]["turns"][0]["result"], "failed", "{stats}");
    assert_eq!(stats["data"]["sessions"], 1, "{stats}");
}

#[test]
fn health_tells_how_the_room_is() {
    let data = tempfile::tempdir().expect("a folder");
    let house = House::start(Setup::at(data.path()));
    let (status, health) = house.get("/health");
    assert_eq!(status, 200);
    for field in ["status", "timestamp", "uptime"] {
        assert!(health[field].is_string(), "{field} in {health}");
    }
    assert!(
        health["memory"]["alloc"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0),
        "{health}"
    );
    assert_eq!(
        health["providers"]["stt"]["name"], "pocketsphinx",
        "{health}"
    );
    assert_eq!(health["db"]["ok"], true);
    assert!(
        health["disk_free"].as_u64().is_some_and(|bytes| bytes > 0),
        "{health}"
    );
}

#[test]
fn the_cards_are_listed_the_volume_set_and_a_beep_tells_what_is_missing() {
    let data = tempfile::tempdir().expect("a folder");
    let house = House::start(Setup::at(data.path()));
    let (status, audio) = house.get("/api/v1/device/audio");
    assert_eq!(status, 200, "{audio}");
    assert_eq!(audio["data"]["chosen"]["input"], "off");
    assert_eq!(audio["data"]["open"], false);
    house.done("/api/v1/device/volume", &json!({"percent": 35}));
    assert_eq!(house.get("/api/v1/device/audio").1["data"]["volume"], 35);
    assert_eq!(
        house
            .post("/api/v1/device/volume", &json!({"percent": 101}))
            .0,
        400
    );
    let beep = house.done("/api/v1/device/beep", &json!({}));
    assert_eq!(
        (&beep["speaker"]["ok"], &beep["heard"]),
        (&json!(false), &json!(false))
    );
    assert!(
        beep["microphone"]["error"]
            .as_str()
            .expect("why")
            .contains("off"),
        "{beep}"
    );
    house.done("/api/v1/device/mute", &json!({"muted": true}));
    let (status, answer) = house.post("/api/v1/device/beep", &json!({}));
    assert_eq!(
        (status, answer["error"]["code"].as_str()),
        (409, Some("MUTED"))
    );
}
