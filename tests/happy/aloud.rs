//! The box says that Claude waits for somebody, on the card of files.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::alsa::{self, Card, SPEECH, STUDIO};
use crate::client::Client;
use crate::phone::{home, send};
use crate::support::Running;

const PATIENCE: Duration = Duration::from_secs(60);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn state(running: &Running) -> Value {
    running.get("/api/v1/device").json()["data"]["state"].clone()
}

fn event(client: &Client, session: &str, kind: &str) {
    let path = format!("/v1/sessions/{session}/push-event");
    let body = json!({"kind": kind, "title": "Open the pod bay doors", "body": "secret words"});
    assert_eq!(client.post(&path, &body).0, 200);
}

#[test]
fn a_permission_is_asked_for_aloud_without_the_words_of_the_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let home = home("open")
        .set("HAPPY_ALOUD", "en")
        .set("AUDIO_OUTPUT", alsa::SPEAKER)
        .set("VOLUME", "100")
        .set("ALSA_CONFIG_PATH", card.config().to_str().expect("a path"));
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    event(&client, &session, "done");
    event(&client, &session, "permission");
    // One turn may ask many times.
    event(&client, &session, "permission");
    running.wait_for_log("event=happy_aloud said=true");
    let is_loud = |sample: &i16| sample.unsigned_abs() > 300;
    until("the box speaks", || card.heard().iter().any(is_loud));
    until("it has spoken", || state(&running) == "idle");

    let heard = magpie::audio::resample::resample(&card.heard(), 48_000, 16_000);
    let from = heard.iter().position(is_loud).expect("it sounds");
    let wav = magpie::audio::wav::encode(&heard[from.saturating_sub(1_600)..], 16_000);
    let (status, told) = send(
        &running,
        "POST",
        "/api/v1/transcribe",
        None,
        "audio/wav",
        &wav,
    );
    assert_eq!(status, 200, "{told}");
    let text = told["data"]["text"].as_str().expect("a text");
    println!("heard: {text}");
    // The recogniser makes something else of the last word.
    assert!(text.contains("asks for"), "{text}");
    assert!(!text.contains("door") && !text.contains("secret"), "{text}");
    let log = running.log();
    assert_eq!(log.matches("event=happy_aloud").count(), 1, "{log}");
}

#[test]
fn the_box_is_silent_unless_its_owner_wants_to_hear_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let home = home("open")
        .set("AUDIO_OUTPUT", alsa::SPEAKER)
        .set("ALSA_CONFIG_PATH", card.config().to_str().expect("a path"));
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    event(&client, &session, "permission");
    running.wait_for_log("event=happy_push kind=permission");
    assert_eq!(state(&running), "idle");
    assert!(!running.log().contains("happy_aloud"));
    assert!(card.heard().iter().all(|sample| *sample == 0));
}
