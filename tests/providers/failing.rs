//! Providers that are down, slow, wrong or at their limit: the person is told, and what another
//! can do is done by it.

use std::time::{Duration, Instant};

use base64::Engine as _;
use magpie::audio::wav;
use serde_json::{Value, json};

use crate::alsa;
use crate::provider::{Fault, Provider, Reply, Route};
use crate::rig::{Client, done, home};

const ANSWER: &str = "The roses are red this year. The tulips are yellow.";

/// Every way in which a provider fails at once.
fn faults() -> Vec<Fault> {
    vec![
        Fault::Status(500, None),
        Fault::Status(529, None),
        Fault::Status(429, Some(1)),
        Fault::Status(408, None),
        Fault::Status(400, None),
        Fault::Cut(0),
        Fault::Cut(60),
        Fault::Garbage,
    ]
}

fn sound() -> Value {
    let samples = alsa::speak("good morning", "slt", 16_000);
    let bytes = wav::encode(&samples, 16_000);
    json!({"audio": base64::engine::general_purpose::STANDARD.encode(bytes)})
}

#[test]
fn a_voice_that_fails_is_told_and_the_answer_is_there_to_read() {
    for fault in faults() {
        let provider = Provider::start();
        provider.fail(Route::Speech, fault.clone());
        provider.replies(Reply::text(ANSWER));
        let home = home(&provider);
        let house = home.serve();
        let turn = Client::connect(&house).ask("how is the garden doing");
        assert_eq!(turn.text(), ANSWER, "{fault:?}");
        assert_eq!(turn.last()["result"], "answered", "{fault:?}");
        assert!(
            turn.errors().contains(&"TTS_ERROR"),
            "{fault:?}: {:?}",
            turn.messages
        );
        assert!(turn.sound.is_empty(), "{fault:?}");
        provider.assert_content();
    }
}

#[test]
fn the_next_voice_speaks_where_one_fails() {
    let provider = Provider::start();
    let home = home(&provider).set("TTS_PROVIDER", "openai,flite");
    let house = home.serve();
    let mut client = Client::connect(&house);
    for fault in faults() {
        provider.fail_once(Route::Speech, fault.clone());
        provider.replies(Reply::text("All is well."));
        let turn = client.ask("how is the garden doing");
        assert_eq!(turn.text(), "All is well.", "{fault:?}");
        assert!(turn.errors().is_empty(), "{fault:?}: {:?}", turn.messages);
        assert!(turn.sound.len() > 4_000, "{fault:?}");
    }
    let health = house.get("/health").json();
    assert_eq!(health["providers"]["tts"]["ok"], true, "{health}");
    assert_eq!(health["providers"]["tts"]["members"][0]["name"], "openai");
    assert!(
        health["providers"]["tts"]["members"][0]["last_error"].is_string(),
        "{health}"
    );
}

#[test]
fn a_voice_that_hangs_is_replaced_after_its_limit() {
    let provider = Provider::start();
    provider.fail(Route::Speech, Fault::Hang);
    provider.replies(Reply::text("All is well."));
    let home = home(&provider).set("TTS_PROVIDER", "openai,flite");
    let house = home.serve();
    let began = Instant::now();
    let turn = Client::connect(&house).ask("how is the garden doing");
    assert!(
        turn.errors().is_empty() && turn.sound.len() > 4_000,
        "{:?}",
        turn.messages
    );
    println!(
        "a voice that hangs costs {} ms",
        began.elapsed().as_millis()
    );
}

#[test]
fn an_ear_that_fails_is_told_by_class_and_replaced_where_another_is() {
    let provider = Provider::start();
    let alone = home(&provider);
    let house = alone.serve();
    for fault in [
        Fault::Status(400, None),
        Fault::Status(500, None),
        Fault::Garbage,
    ] {
        provider.fail_once(Route::Transcriptions, fault.clone());
        let answer = house.post("/api/v1/transcribe", &sound());
        assert_eq!(answer.status, 500, "{fault:?}: {}", answer.body);
        assert_eq!(answer.json()["error"]["code"], "STT_ERROR", "{fault:?}");
        assert!(!answer.body.contains("sk-"), "{}", answer.body);
    }
    provider.hears("good morning");
    let heard = done(&house, "/api/v1/transcribe", &sound());
    assert_eq!(heard["text"], "good morning");
    provider.assert_content();
    drop(house);

    let both = home(&provider).set("STT_PROVIDER", "openai,pocketsphinx");
    let house = both.serve();
    for _ in 0..4 {
        provider.fail_once(Route::Transcriptions, Fault::Status(503, None));
        let heard = done(&house, "/api/v1/transcribe", &sound());
        assert_eq!(heard["provider"], "pocketsphinx", "{heard}");
    }
    let asked = provider.requests(Route::Transcriptions).len() - 4;
    assert_eq!(asked, 3, "after three failures it is left alone");
}

#[test]
fn a_provider_that_is_gone_is_asked_again_when_it_is_back() {
    let provider = Provider::start();
    let home = home(&provider);
    let house = home.serve();
    provider.refuse();
    let answer = house.post("/api/v1/transcribe", &sound());
    assert_eq!(answer.status, 500, "{}", answer.body);
    provider.reopen();
    provider.hears("here I am");
    let heard = done(&house, "/api/v1/transcribe", &sound());
    assert_eq!(heard["text"], "here I am");
}

#[test]
fn a_stage_can_be_tried_and_tells_what_is_wrong() {
    let provider = Provider::start();
    let home = home(&provider);
    let house = home.serve();
    let tried = |stage: &str| done(&house, "/api/v1/settings/test", &json!({"stage": stage}));
    for stage in ["tts", "stt", "llm"] {
        let result = tried(stage);
        assert_eq!(result["ok"], true, "{result}");
        assert!(
            result["latency_ms"].is_u64() && result["provider"].is_string(),
            "{result}"
        );
    }
    provider.fail_once(Route::Speech, Fault::Status(401, None));
    let result = tried("tts");
    assert_eq!(result["ok"], false, "{result}");
    let error = result["error"].as_str().expect("an error");
    assert!(
        error.contains("OPENAI_API_KEY") && !error.contains("sk-"),
        "{error}"
    );
    provider.assert_content();
}

#[test]
fn a_sentence_that_is_said_again_and_again_is_asked_for_twice() {
    let provider = Provider::start();
    let home = home(&provider).set("TTS_CACHE_MB", "8");
    for round in 0..2 {
        let house = home.serve();
        let mut client = Client::connect(&house);
        for _ in 0..3 {
            provider.replies(Reply::text("All is well."));
            let turn = client.ask("how is the garden doing");
            assert!(turn.sound.len() > 4_000, "{:?}", turn.messages);
        }
        assert_eq!(
            provider.requests(Route::Speech).len(),
            2,
            "in round {round}"
        );
    }
    std::thread::sleep(Duration::ZERO);
}
