//! The whole program on the card of files: speaking into an answer, a microphone that is really
//! closed, a timer that is really heard, and two devices that hear one voice.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::alsa::{self, Card, SPEECH, STUDIO};
use crate::client::Client;
use crate::house::Door;
use crate::spoken::{Served, last_recording, serve, speak_to, state, until};

const QUESTION: &str = "where is the spare key";
const LONG: &str = "one two three four five six seven eight nine ten. ";

fn card(folder: &Path) -> Card {
    Card::new(folder, SPEECH, STUDIO)
}

/// Whether the program has the card's microphone open, by its descriptors.
fn microphone_is_open(house: &Served) -> bool {
    let folder = format!("/proc/{}/fd", house.pid());
    let descriptors = std::fs::read_dir(folder).expect("descriptors");
    descriptors
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .any(|path| path.to_string_lossy().contains("microphone.raw"))
}

fn say_long(house: &Door) {
    house.done("/api/v1/device/say", &json!({"text": LONG.repeat(6)}));
    until("the box speaks", || state(house) == "speaking");
}

fn barge_ins(house: &Served) -> f64 {
    let text = house.metrics();
    let line = text
        .lines()
        .find(|line| line.starts_with("voice_bargein_total"))
        .expect("the metric");
    let count = line.split(' ').nth(1).expect("a count");
    count.parse().expect("a number")
}

#[test]
fn who_speaks_into_an_answer_ends_it_and_is_understood_from_the_first_word() {
    let (folder, data) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let card = card(folder.path());
    let house = serve(data.path(), &card, &[("AUDIO_AEC", "on")]);
    say_long(&house);
    until("the microphone is open", || microphone_is_open(&house));
    let mut sound = vec![0; 16_000];
    sound.extend(alsa::speak(QUESTION, "slt", 16_000));
    let began = alsa::monotonic() + Duration::from_secs(1);
    card.say(&sound);
    until("the box listens", || state(&house) == "listening");
    let turn = std::thread::scope(|scope| {
        let turn = scope.spawn(|| house.done("/api/v1/device/listen", &json!({"wait": true})));
        until("the question was heard", || state(&house) != "listening");
        // The card plays its file again at each open, into the next answer too.
        card.say(&[]);
        turn.join().expect("the turn ends")
    });
    assert_eq!(turn["text"], QUESTION, "{turn}");
    assert_eq!(turn["result"], "answered", "{turn}");
    assert_eq!(barge_ins(&house), 1.0);
    let (_, stats) = house.get("/api/v1/debug/stats");
    let results: Vec<&str> = stats["data"]["turns"]
        .as_array()
        .expect("turns")
        .iter()
        .filter_map(|turn| turn["result"].as_str())
        .collect();
    assert!(results.contains(&"interrupted"), "{stats}");
    // The answer had stopped when the question was over: between the two the speaker had nothing.
    let heard = card.heard();
    let to = card.speaker_frame_at(began + Duration::from_secs(2)) as usize;
    let from = card.speaker_frame_at(began) as usize;
    let spoken = heard[from.min(heard.len())..to.min(heard.len())]
        .iter()
        .rposition(|sample| sample.unsigned_abs() > 30);
    println!(
        "from the first sample of the question to the answer's last sound: {:?} ms (the tone of listening included)",
        spoken.map(|at| at / 48)
    );
}

#[test]
fn without_echo_cancelling_the_microphone_stays_closed_while_the_box_speaks() {
    let (folder, data) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let card = card(folder.path());
    let house = serve(data.path(), &card, &[]);
    card.say(&alsa::speak(QUESTION, "slt", 16_000));
    say_long(&house);
    let before = card.heard().len();
    until("two more seconds are spoken", || {
        card.heard().len() > before + 96_000
    });
    assert!(!microphone_is_open(&house));
    assert_eq!(state(&house), "speaking");
    house.done("/api/v1/device/stop", &json!({}));
}

#[test]
fn muting_closes_the_microphone_itself_and_the_lock_outlives_the_program() {
    let (folder, data) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let card = card(folder.path());
    let house = serve(data.path(), &card, &[]);
    assert!(!microphone_is_open(&house), "nobody asked for it yet");
    house.done("/api/v1/device/listen", &json!({}));
    until("the microphone is open", || microphone_is_open(&house));
    house.done("/api/v1/device/mute", &json!({"muted": true}));
    until("the microphone is closed", || !microphone_is_open(&house));
    drop(house);
    let house = serve(data.path(), &card, &[]);
    let mut phone = Client::connect(&house);
    let (status, answer) = house.post("/api/v1/device/listen", &json!({}));
    assert_eq!(
        (status, answer["error"]["code"].as_str()),
        (409, Some("MUTED")),
        "{answer}"
    );
    phone.send(&json!({"type": "hello", "proto": 2}));
    phone.until("hello");
    assert!(!microphone_is_open(&house));
    house.done("/api/v1/device/mute", &json!({"muted": false}));
    let turn = speak_to(&house, &card, &alsa::speak(QUESTION, "slt", 16_000));
    assert_eq!(turn["text"], QUESTION, "{turn}");
}

#[test]
fn a_timer_is_heard_as_a_chime_and_then_as_its_words() {
    let (folder, data) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let card = card(folder.path());
    let house = serve(data.path(), &card, &[]);
    let (status, answer) = house.post(
        "/api/v1/timers",
        &json!({"duration": 0.2, "label": "turn off the stove"}),
    );
    assert_eq!(status, 201, "{answer}");
    until("the box tells it", || state(&house) == "speaking");
    until("it has told it", || state(&house) == "idle");
    house.done("/api/v1/device/stop", &json!({}));
    let heard = magpie::audio::resample::resample(&card.heard(), 48_000, 16_000);
    let loud = |sample: &i16| sample.unsigned_abs() > 300;
    let from = heard.iter().position(loud).expect("it sounds");
    // Two notes of 880 Hz and a higher one take 710 ms.
    let chime = &heard[from..from + 2_400];
    let crossings = chime
        .windows(2)
        .filter(|two| two[0] < 0 && two[1] >= 0)
        .count();
    println!("the chime's first 150 ms cross zero {crossings} times (880 Hz: 132)");
    assert!((126..=138).contains(&crossings), "{crossings}");
    let bytes = magpie::audio::wav::encode(&heard[from + 11_500..], 16_000);
    let (status, answer) = house.request("POST", "/api/v1/transcribe", "audio/wav", &bytes);
    println!("after the chime: {}", answer["data"]["text"]);
    assert_eq!(status, 200, "{answer}");
    let text = answer["data"]["text"].as_str().expect("text");
    assert!(
        text.contains("turn off") || text.contains("stove"),
        "{text}"
    );
}

#[test]
fn of_two_devices_that_hear_one_voice_the_louder_answers() {
    let (folder, data) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let card = card(folder.path());
    let house = serve(data.path(), &card, &[]);
    let voice = alsa::speak(QUESTION, "slt", 16_000);
    let quiet: Vec<i16> = voice.iter().map(|sample| sample / 8).collect();
    let mut clients = [0, 1].map(|_| Client::connect(&house));
    for (at, client) in clients.iter_mut().enumerate() {
        client.send(&json!({"type": "hello", "proto": 2, "role": "satellite", "device_id": format!("s{at}")}));
        client.until("hello");
    }
    for client in &mut clients {
        client.send(&json!({"type": "audio_start", "stream": 1, "format": "s16le", "rate": 16000, "speak": false}));
    }
    for client in &mut clients {
        while client.until("state")["state"] != "listening" {}
    }
    let tail = vec![0; 32_000];
    for (a, b) in [&quiet[..], &tail]
        .concat()
        .chunks(320)
        .zip([&voice[..], &tail].concat().chunks(320))
        .enumerate()
        .map(|(seq, (a, b))| (frame(seq, a), frame(seq, b)))
    {
        clients[0].send_bytes(a);
        clients[1].send_bytes(b);
    }
    let [far, near] = &mut clients;
    assert_eq!(near.until("transcript")["text"], QUESTION);
    let notice = far.until("notice");
    assert_eq!(notice["event"], "yielded", "{notice}");
    assert_eq!(far.until("turn_done")["interrupted"], true);
    while far.until("state")["state"] != "idle" {}
}

fn frame(seq: usize, samples: &[i16]) -> Vec<u8> {
    let mut frame = vec![1, 0, 1, 0];
    frame.extend((seq as u32).to_le_bytes());
    frame.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    frame
}

#[test]
fn the_tone_of_listening_is_silence_in_what_is_recorded() {
    let (folder, data) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let card = card(folder.path());
    // What the microphone hears tells by itself when it was: a step each millisecond.
    let steps: Vec<i16> = (0..160_000)
        .map(|at| 2_000 + at / 16)
        .map(|at| at as i16)
        .collect();
    card.say(&steps);
    let house = serve(data.path(), &card, &[]);
    house.done("/api/v1/device/listen", &json!({"mode": "note"}));
    until("the tone was heard", || card.heard().len() > 48_000);
    house.done("/api/v1/device/stop", &json!({}));
    until("the note is whole", || state(&house) == "idle");
    let recorded = last_recording(data.path());
    let silent = recorded.iter().take_while(|sample| **sample == 0).count();
    let later = recorded.iter().skip(silent).filter(|sample| **sample == 0);
    assert_eq!(later.count(), 0, "only the beginning is masked");
    let first = u64::from((recorded[silent] - 2_000).unsigned_abs()) * 16;
    let begins = card.microphone_time_of(first);
    let heard = card.heard();
    let start = heard
        .iter()
        .position(|sample| *sample != 0)
        .expect("a tone");
    let tone = &heard[start..heard.len().min(start + 48 * 200)];
    let last = start + tone.iter().rposition(|sample| *sample != 0).unwrap_or(0);
    let ends = card.speaker_time_of(last as u64);
    println!(
        "{} ms of {} ms are masked; the tone ends {:?} before what is heard, or {:?} behind",
        silent / 16,
        recorded.len() / 16,
        begins.saturating_sub(ends),
        ends.saturating_sub(begins),
    );
    assert!(begins >= ends, "the tone's end is in the recording");
    assert!(silent <= 300 * 16, "and little more: {silent} samples");
}

impl Served {
    fn metrics(&self) -> String {
        let address: SocketAddr = self.operations().parse().expect("an address");
        let mut stream = std::net::TcpStream::connect(address).expect("connects");
        std::io::Write::write_all(
            &mut stream,
            b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        )
        .expect("sends");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stream, &mut text).expect("answers");
        text
    }
}
