//! What was said while no provider could be reached is understood afterwards: all of it, in order,
//! soon after the network is back.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use magpie::audio::wav;
use serde_json::{Value, json};

use crate::provider::{Provider, Route, Seen};
use crate::rig::{home, until};
use crate::support::Running;

const RECORDINGS: usize = 1_000;

/// A tenth of a second that says its number.
fn numbered(number: usize) -> Vec<u8> {
    wav::encode(&vec![number as i16 + 1; 1_600], 16_000)
}

fn number_of(seen: &Seen) -> usize {
    let sound = wav::decode(&seen.file, Duration::from_secs(1)).expect("a WAV");
    sound.samples[0] as usize - 1
}

fn send(house: &Running, number: usize) -> (u16, Value) {
    let answer = house.post(
        "/api/v1/voice",
        &json!({
            "audio": STANDARD.encode(numbered(number)), "mode": "note",
            "client_id": format!("note {number}"),
        }),
    );
    (answer.status, answer.json())
}

fn pending(house: &Running) -> u64 {
    let health = house.get("/health").json();
    health["queue"]["pending"].as_u64().expect("a number")
}

#[test]
fn a_backlog_is_worked_off_in_order_as_soon_as_the_network_is_back() {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    if !routes.lines().any(|line| line.contains("\t00000000\t")) {
        println!("left out: a machine without a default route is offline whatever answers");
        return;
    }
    let provider = Provider::start();
    // An address of this machine that does not look like one of the house.
    let far = provider.openai_url().replace("127.0.0.1", "127.1");
    let home = home(&provider)
        .set("STT_BASE_URL", &far)
        .set("TTS_PROVIDER", "none")
        .set("LLM_PROVIDER", "none")
        .set("AUTO_MEMORY", "off")
        .set("QUEUE_SPACING", "0");
    let house = home.serve();
    provider.refuse();
    for number in 0..RECORDINGS {
        let (status, answer) = send(&house, number);
        assert_eq!(status, 202, "recording {number}: {answer}");
        provider.hears(&format!("note {number}"));
    }
    assert_eq!(pending(&house), RECORDINGS as u64);
    assert_eq!(house.get("/health").json()["network"], "offline");
    let before = provider.requests(Route::Transcriptions).len();
    assert_eq!(before, 0, "nothing got through");

    provider.reopen();
    let began = Instant::now();
    until("the first is understood", || {
        pending(&house) < RECORDINGS as u64
    });
    let first = began.elapsed();
    until("all are understood", || pending(&house) == 0);
    let heard = provider.requests(Route::Transcriptions);
    let order: Vec<usize> = heard.iter().map(number_of).collect();
    let all: Vec<usize> = (0..RECORDINGS).collect();
    assert_eq!(order, all, "each once, the oldest first");
    let (_, again) = send(&house, RECORDINGS / 2);
    assert_eq!(
        again["data"]["text"],
        format!("note {}", RECORDINGS / 2),
        "{again}"
    );
    assert_eq!(house.get("/health").json()["queue"]["failed"], 0);
    // Whether the network is back is asked without a key and without a path of the protocol.
    let complaints = provider.complaints();
    let probes = |told: &String| told.starts_with("HEAD /v1:");
    assert!(complaints.iter().all(probes), "{complaints:?}");
    println!(
        "backlog: {RECORDINGS} recordings, the first {} ms and the last {} ms after the return",
        first.as_millis(),
        began.elapsed().as_millis()
    );
}
