//! Memos as they are spoken: at the box on the card of files, and over `/ws`.

use std::fs;
use std::time::Duration;

use magpie::audio::wav;
use serde_json::{Value, json};

use crate::alsa::{self, Card, SPEECH, STUDIO};
use crate::rig::{memories, queue, raw, until};
use crate::signal;
use crate::socket::{Client, done, state};
use crate::support::{Home, Running};

const FIRST: &str = "the spare key is under the blue flower pot";
const SECOND: &str = "the red bicycle is in the garage";
const KEY_WORDS: [&str; 6] = ["key", "blue", "flower", "red", "bicycle", "garage"];

/// Two sentences with a pause between them that would end a question.
fn spoken() -> Vec<i16> {
    let mut sound = vec![0; 8_000];
    sound.extend(alsa::speak(FIRST, "slt", 16_000));
    sound.extend(vec![0; 40_000]);
    sound.extend(alsa::speak(SECOND, "slt", 16_000));
    sound
}

pub fn with_card(home: Home, card: &Card) -> Home {
    home.set("ALSA_CONFIG_PATH", &card.config().display().to_string())
        .set("AUDIO_INPUT", alsa::MICROPHONE)
        .set("AUDIO_OUTPUT", alsa::SPEAKER)
        .set("VOLUME", "100")
}

/// Bytes of the one recording.
fn recorded(home: &Home) -> u64 {
    let files = fs::read_dir(home.path("data/recordings"));
    let files = files.into_iter().flatten().flatten();
    files
        .filter_map(|file| file.metadata().ok())
        .map(|about| about.len())
        .max()
        .unwrap_or(0)
}

/// The one memory: a note with all the words, whose recording holds all that was said.
fn check_note(running: &Running<'_>, said: &[i16]) {
    until("the note is kept", || !memories(running).is_empty());
    let list = running.get("/api/v1/memories").json();
    let list = list["data"]["memories"].as_array().expect("a list").clone();
    assert_eq!(list.len(), 1, "{list:?}");
    let text = list[0]["content"].as_str().expect("text");
    let missing: Vec<_> = KEY_WORDS
        .iter()
        .filter(|word| !text.contains(*word))
        .collect();
    assert!(missing.len() <= 1, "{missing:?} are missing in {text:?}");
    assert_eq!(list[0]["source"], "voice");
    let recording = list[0]["recording_id"].as_str().expect("its sound");
    let path = format!("/api/v1/audio/{recording}");
    let (status, _, sound) = raw(running, "GET", &path, "", b"");
    assert_eq!(status, 200);
    let sound = wav::decode(&sound, Duration::from_secs(600)).expect("a WAV");
    let from = said.iter().position(|sample| sample.abs() > 200).unwrap();
    let to = said.iter().rposition(|sample| sample.abs() > 200).unwrap();
    let (likeness, _) = signal::find(&said[from..to], &sound.samples);
    println!("memo: heard {text:?}, correlation {likeness:.4}");
    assert!(likeness >= 0.95, "{likeness}");
    until("nothing waits", || queue(running)["pending"] == 0);
}

fn listens(running: &Running<'_>) {
    until("the box listens", || state(running) == "listening");
}

/// Has the box take a memo of [`spoken`], all of which is on its card when this returns.
fn say_memo(running: &Running<'_>, home: &Home, card: &Card) -> Vec<i16> {
    done(running, "/api/v1/device/listen", &json!({"mode": "note"}));
    listens(running);
    let before = recorded(home);
    let said = spoken();
    card.say(&said);
    until("all of it is recorded", || {
        recorded(home) >= before + said.len() as u64 * 2 + 16_000
    });
    said
}

#[test]
fn a_memo_at_the_box_goes_on_through_pauses_until_it_is_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let home = with_card(Home::new(), &card);
    let running = home.serve();
    let said = say_memo(&running, &home, &card);
    assert_eq!(state(&running), "listening", "a pause is no end");
    done(&running, "/api/v1/device/stop", &json!({}));
    check_note(&running, &said);
}

#[test]
fn a_memo_that_a_kill_cuts_off_is_a_note_after_the_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let home = with_card(Home::new(), &card);
    let running = home.serve();
    let said = say_memo(&running, &home, &card);
    running.kill();
    let running = home.serve();
    check_note(&running, &said);
    assert_eq!(state(&running), "idle");
}

#[test]
fn a_memo_that_is_asked_for_by_voice_begins_after_the_answer() {
    for (words, speaker) in [("take a memo", "flite"), ("开始录音", "espeak-ng")] {
        let folder = tempfile::tempdir().expect("a folder");
        let card = Card::new(folder.path(), SPEECH, STUDIO);
        let home = with_card(crate::rig::home(), &card).set("TTS_PROVIDER", speaker);
        home.write("words", words);
        let running = home.serve();
        done(&running, "/api/v1/device/listen", &json!({}));
        listens(&running);
        let mut asked = vec![0; 8_000];
        asked.extend(alsa::speak("take a memo", "slt", 16_000));
        card.say(&asked);
        until("the answer is spoken", || state(&running) == "speaking");
        home.write("words", "buy bread and milk");
        listens(&running);
        let before = recorded(&home);
        until("some of it is recorded", || {
            recorded(&home) > before + 32_000
        });
        done(&running, "/api/v1/device/stop", &json!({}));
        until("the note is kept", || {
            memories(&running) == ["buy bread and milk"]
        });
    }
}

fn send_sound(client: &mut Client, stream: u16, samples: &[i16]) {
    let [low, high] = stream.to_le_bytes();
    for (seq, chunk) in samples.chunks(1_600).enumerate() {
        let mut frame = vec![1, 0, low, high];
        frame.extend((seq as u32).to_le_bytes());
        frame.extend(chunk.iter().flat_map(|sample| sample.to_le_bytes()));
        client.send_bytes(frame);
    }
}

pub fn audio_start(mode: &str) -> Value {
    json!({"type": "audio_start", "stream": 1, "format": "s16le", "rate": 16_000,
        "endpoint": "client", "mode": mode})
}

/// Speaks a whole utterance of this mode into a socket.
pub fn say_over(client: &mut Client, mode: &str, samples: &[i16]) {
    client.send(&audio_start(mode));
    send_sound(client, 1, samples);
    client.send(&json!({"type": "audio_end", "stream": 1}));
}

#[test]
fn a_memo_over_the_socket_ends_with_audio_end() {
    let home = Home::new();
    let running = home.serve();
    let mut client = Client::connect(&running);
    let said = spoken();
    say_over(&mut client, "note", &said);
    let turn = client.turn_until("turn_done");
    assert_eq!(turn.errors(), [""; 0], "{:?}", turn.messages);
    assert_eq!(turn.all("memory_saved").len(), 1, "{:?}", turn.messages);
    check_note(&running, &said);
}

#[test]
fn a_memo_over_a_socket_that_a_kill_cuts_off_is_a_note_after_the_restart() {
    let home = Home::new();
    let running = home.serve();
    let mut client = Client::connect(&running);
    let said = spoken();
    client.send(&audio_start("note"));
    send_sound(&mut client, 1, &said);
    // What is less than a frame of 16 ms waits for the rest of it.
    until("it is recorded", || {
        recorded(&home) > said.len() as u64 * 2 - 512
    });
    running.kill();
    let running = home.serve();
    check_note(&running, &said);
}
