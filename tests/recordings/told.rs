//! Speech that is kept for later is told to whoever spoke, and its late words come as a notice.

use serde_json::json;

use crate::alsa::{self, Card, SPEECH, STUDIO};
use crate::live::{say_over, with_card};
use crate::provider::{OPENAI_KEY, Provider, Route};
use crate::rig::{memories, queue, until};
use crate::signal;
use crate::socket::{Client, done, state};
use crate::support::{Home, Running};

const FACT: &str = "remember that bin day is Tuesday";

/// A box that only the double understands, and that speaks by itself.
fn home(provider: &Provider) -> Home {
    Home::new()
        .set("STT_PROVIDER", "openai")
        .set("STT_BASE_URL", &provider.openai_url())
        .set("OPENAI_API_KEY", OPENAI_KEY)
        .set("LLM_PROVIDER", "none")
        .set("TTS_PROVIDER", "flite")
        .set("TTS_VOICE", "slt")
}

/// Has the one waiting job done at once.
fn retry(running: &Running<'_>) {
    let listed = running.get("/api/v1/jobs").json();
    let jobs = listed["data"]["jobs"].as_array().expect("a list").clone();
    assert_eq!(jobs.len(), 1, "{listed}");
    let id = jobs[0]["id"].as_str().expect("an id");
    done(running, &format!("/api/v1/jobs/{id}/retry"), &json!({}));
}

fn check_once(running: &Running<'_>, provider: &Provider) {
    until("it is remembered", || !memories(running).is_empty());
    until("nothing waits", || queue(running)["pending"] == 0);
    assert_eq!(memories(running).len(), 1);
    assert_eq!(provider.requests(Route::Transcriptions).len(), 1);
    provider.assert_content();
}

#[test]
fn a_client_of_the_socket_is_told_that_its_speech_waits_and_later_what_it_was() {
    let provider = Provider::start();
    provider.hears(FACT);
    let home = home(&provider);
    let running = home.serve();
    provider.refuse();
    let mut client = Client::connect(&running);
    client.send(&json!({"type": "subscribe", "events": ["jobs"]}));
    say_over(&mut client, "chat", &alsa::speak(FACT, "slt", 16_000));
    let turn = client.turn_until("notice");
    let told = turn
        .messages
        .iter()
        .find(|message| message["job_id"].is_string());
    assert!(told.is_some(), "{:?}", turn.messages);
    assert_eq!(queue(&running)["pending"], 1);

    provider.reopen();
    retry(&running);
    let mut notices = Vec::new();
    while notices.last().is_none_or(|event| event != "late_answer") {
        let notice = client.turn_until("notice");
        let notice = notice.last();
        assert_eq!(notice["source"], "jobs", "{notice}");
        notices.push(notice["event"].as_str().expect("an event").to_string());
    }
    let count = |name: &str| notices.iter().filter(|event| *event == name).count();
    assert_eq!((count("transcribed"), count("late_answer")), (1, 1));
    check_once(&running, &provider);
}

#[test]
fn somebody_at_the_box_hears_that_the_speech_waits_and_it_is_understood_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let provider = Provider::start();
    provider.hears(FACT);
    let home = with_card(home(&provider), &card);
    let running = home.serve();
    provider.refuse();
    let turn = std::thread::scope(|scope| {
        let turn = scope.spawn(|| done(&running, "/api/v1/device/listen", &json!({"wait": true})));
        until("the box listens", || state(&running) == "listening");
        let mut sound = vec![0; 8_000];
        sound.extend(alsa::speak(FACT, "slt", 16_000));
        card.say(&sound);
        turn.join().expect("the turn ends")
    });
    println!("told: {turn}");
    let heard = magpie::audio::resample::resample(&card.heard(), 48_000, 16_000);
    let words = alsa::speak("Saved; it will be handled later.", "slt", 16_000);
    let loud = heard.iter().filter(|sample| sample.abs() > 500).count();
    let (likeness, _) = signal::find(&words[2_000..8_000], &heard);
    println!(
        "the speaker had {} ms, {loud} loud samples, {likeness:.3}",
        heard.len() / 16
    );
    assert!(loud > 4_000, "words were spoken");
    assert_eq!(queue(&running)["pending"], 1);

    provider.reopen();
    retry(&running);
    check_once(&running, &provider);
}
