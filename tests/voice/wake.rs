//! The wake phrase on the card of files, spoken by flite and heard by the real pocketsphinx.

use std::path::Path;

use serde_json::json;

use crate::alsa::{self, Card, SPEECH, STUDIO};
use crate::spoken::{Served, serve, state, until};

const PHRASE: &str = "hey magpie";
const QUESTION: &str = "where is the spare key";

fn woken(data: &Path, card: &Card) -> Served {
    serve(data, card, &[("WAKE", "command"), ("WAKE_PHRASE", PHRASE)])
}

/// With silence around it.
fn spoken(text: &str) -> Vec<i16> {
    let mut sound = vec![0; 16_000];
    sound.extend(alsa::speak(text, "slt", 16_000));
    sound.extend([0; 32_000]);
    sound
}

/// The keyword process of the box.
fn spotters(house: &Served) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", house.pid()));
    let children = children.expect("the program's children");
    let ids = children.split_whitespace().filter_map(|id| id.parse().ok());
    ids.filter(|id: &u32| {
        let line = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.contains("-keyphrase")
    })
    .collect()
}

#[test]
fn the_phrase_begins_a_turn_and_other_words_do_not() {
    let (folder, data) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let house = woken(data.path(), &card);
    card.say(&spoken("the weather is nice today"));
    until("a voice reached the process", || {
        !spotters(&house).is_empty()
    });
    assert_eq!(state(&house), "idle", "other words");
    card.say(&spoken(PHRASE));
    until("the box listens", || state(&house) == "listening");
    let turn = std::thread::scope(|scope| {
        let turn = scope.spawn(|| house.done("/api/v1/device/listen", &json!({"wait": true})));
        card.say(&spoken(QUESTION));
        until("the question was heard", || state(&house) != "listening");
        card.say(&[]);
        turn.join().expect("the turn ends")
    });
    assert_eq!(turn["text"], QUESTION, "{turn}");
    assert_eq!(turn["turn"], 1, "other words began none: {turn}");
    assert_eq!(spotters(&house).len(), 1, "one process, kept alive");
}

#[test]
fn the_phrase_ends_an_answer_without_echo_cancelling() {
    let (folder, data) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let house = woken(data.path(), &card);
    let long = "one two three four five six seven eight nine ten. ".repeat(12);
    house.done("/api/v1/device/say", &json!({"text": long}));
    until("the box speaks", || state(&house) == "speaking");
    card.say(&spoken(PHRASE));
    until("the box listens", || state(&house) == "listening");
    card.say(&[]);
    house.done("/api/v1/device/stop", &json!({}));
}

#[test]
fn a_keyword_process_that_dies_is_started_again_and_none_is_left_behind() {
    let (folder, data) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let house = woken(data.path(), &card);
    card.say(&spoken("the weather is nice today").repeat(40));
    until("it runs", || !spotters(&house).is_empty());
    let first = spotters(&house)[0];
    // SAFETY: a signal to a process of the box that this test started.
    unsafe { libc::kill(first as i32, libc::SIGKILL) };
    until("another one runs", || {
        spotters(&house).iter().any(|id| *id != first)
    });
    let last = *spotters(&house).last().expect("it runs");
    house.done("/api/v1/device/mute", &json!({"muted": true}));
    drop(house);
    until("it ended with the box", || {
        !Path::new(&format!("/proc/{last}")).exists()
    });
}
