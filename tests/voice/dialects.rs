//! The three dialects of `/ws`, interrupts at every stage, and what no dialect knows.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use magpie::audio::wav;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::alsa;
use crate::client::Client;
use crate::house::{House, Setup};

const FACT: &str = "remember that the spare key is under the blue flower pot";
const QUESTION: &str = "where is the spare key";

fn house(data: &Path) -> House {
    House::start(Setup::at(data))
}

fn mute_house(data: &Path) -> House {
    let mut setup = Setup::at(data);
    setup.settings.stt.provider = String::from("none");
    setup.settings.tts.provider = String::from("none");
    House::start(setup)
}

fn spoken_wav(text: &str) -> Vec<u8> {
    wav::encode(&alsa::speak(text, "slt", 16_000), 16_000)
}

fn knows_the_place(text: &Value) {
    let text = text.as_str().expect("text");
    assert!(text.contains("blue flower pot"), "the answer is {text:?}");
}

#[test]
fn whole_messages_are_answered_by_whole_messages() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let mut client = Client::connect(&house);
    client.send(&json!({"type": "ping"}));
    assert!(client.json()["data"].is_string(), "a pong tells the time");
    client.send(&json!({"type": "text", "data": FACT}));
    assert_eq!(client.json()["type"], "text_response");
    client.send(&json!({"type": "audio", "data": STANDARD.encode(spoken_wav(QUESTION))}));
    let heard = client.json();
    println!("heard {}", heard["data"]["text"]);
    assert_eq!(heard["type"], "transcription", "{heard}");
    assert_eq!(heard["data"]["text"], QUESTION);
    knows_the_place(&client.until("text_response")["data"]);
    let spoken = client.until("audio_response");
    assert_eq!(spoken["format"], "wav");
    let bytes = STANDARD
        .decode(spoken["data"].as_str().expect("sound"))
        .expect("base64");
    let sound = wav::decode(&bytes, Duration::from_secs(60)).expect("a WAV");
    assert!(sound.samples.len() > 16_000, "more than a second is said");
}

#[test]
fn questions_sent_at_once_are_answered_one_after_the_other() {
    let data = tempfile::tempdir().expect("a folder");
    let house = mute_house(data.path());
    let mut client = Client::connect(&house);
    for text in [FACT, QUESTION, "what time is it"] {
        client.send(&json!({"type": "text", "data": text}));
    }
    let answers: Vec<Value> = (0..3).map(|_| client.json()).collect();
    assert!(
        answers.iter().all(|a| a["type"] == "text_response"),
        "{answers:?}"
    );
    knows_the_place(&answers[1]["data"]);
}

#[test]
fn sound_in_pieces_is_ended_by_silence_and_answered_aloud() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let mut client = Client::connect(&house);
    client.send(&json!({"type": "text", "text": FACT}));
    assert_eq!(client.until("llm_reply")["type"], "llm_reply");
    client.send(&json!({"type": "interrupt"}));
    let mut samples = alsa::speak(QUESTION, "slt", 16_000);
    samples.extend([0; 32_000]);
    until_idle(&mut client);
    for piece in samples.chunks(320) {
        client.send_bytes(piece.iter().flat_map(|s| s.to_le_bytes()).collect());
    }
    assert_eq!(client.until("stt_final")["text"], QUESTION);
    knows_the_place(&client.until("llm_reply")["text"]);
    let sound = loop {
        if let Message::Binary(bytes) = client.next() {
            break bytes;
        }
    };
    assert!(sound.starts_with(b"RIFF"), "sound comes as WAV");
    until_idle(&mut client);
}

fn until_idle(client: &mut Client) {
    while client.until("state")["status"] != "idle" {}
}

fn hello(client: &mut Client) -> Value {
    client.send(
        &json!({"type": "hello", "proto": 2, "role": "client", "caps": {"play": ["pcm16_24000"]}}),
    );
    client.until("hello")
}

fn frames(stream: u16, samples: &[i16]) -> Vec<Vec<u8>> {
    let [low, high] = stream.to_le_bytes();
    samples
        .chunks(320)
        .enumerate()
        .map(|(seq, chunk)| {
            let mut frame = vec![1, 0, low, high];
            frame.extend((seq as u32).to_le_bytes());
            frame.extend(chunk.iter().flat_map(|s| s.to_le_bytes()));
            frame
        })
        .collect()
}

#[test]
fn a_native_turn_tells_every_step_and_sends_sound_as_frames() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let mut client = Client::connect(&house);
    let hello = hello(&mut client);
    assert_eq!(hello["settings"]["stt"], true, "{hello}");
    client.send(&json!({"type": "text", "text": FACT, "speak": false}));
    assert!(client.until("memory_saved")["id"].is_string());
    assert_eq!(client.until("turn_done")["interrupted"], false);

    client.send(&json!({"type": "audio_start", "stream": 7, "format": "s16le", "rate": 16000}));
    let mut samples = alsa::speak(QUESTION, "slt", 16_000);
    samples.extend([0; 24_000]);
    for frame in frames(7, &samples) {
        client.send_bytes(frame);
    }
    assert_eq!(client.until("speech_start")["stream"], 7);
    assert_eq!(client.until("speech_end")["cause"], "silence");
    assert_eq!(client.until("transcript")["text"], QUESTION);
    let sentence = client.until("sentence");
    assert_eq!(sentence["index"], 0);
    let begin = client.until("audio_begin");
    let (mut count, mut seq) = (0, 0);
    let done = loop {
        match client.next() {
            Message::Binary(frame) => {
                assert_eq!(frame[0], 2, "speaker frames are of kind 2");
                assert_eq!(
                    u32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]]),
                    seq
                );
                seq += 1;
                count += (frame.len() - 8) / 2;
            }
            Message::Text(text) => {
                let value: Value = serde_json::from_str(&text).expect("JSON");
                if value["type"] == "turn_done" {
                    break value;
                }
            }
            other => panic!("{other:?}"),
        }
    };
    let rate = begin["rate"].as_u64().expect("a rate") as usize;
    println!(
        "{} ms of sound in {seq} frames, timing {}",
        count * 1000 / rate,
        done["timing_ms"]
    );
    assert!(count > rate, "more than a second is said");
    for stage in [
        "endpoint",
        "stt",
        "llm_first",
        "tts_first",
        "first_audio",
        "total",
    ] {
        assert!(
            done["timing_ms"][stage].is_u64(),
            "{stage} is missing in {done}"
        );
    }
    assert!(
        house
            .metrics
            .render()
            .contains("voice_stage_seconds_count{stage=\"stt\"} 1")
    );
}

#[test]
fn a_client_that_ends_its_sound_itself_is_not_cut_by_silence() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let mut client = Client::connect(&house);
    hello(&mut client);
    client.send(&json!({"type": "audio_start", "stream": 1, "format": "s16le", "endpoint": "client", "speak": false}));
    let mut samples = alsa::speak("where is", "slt", 16_000);
    samples.extend([0; 20_000]);
    samples.extend(alsa::speak("the spare key", "slt", 16_000));
    for frame in frames(1, &samples) {
        client.send_bytes(frame);
    }
    client.send(&json!({"type": "audio_end", "stream": 1}));
    assert_eq!(client.until("speech_end")["cause"], "client");
    let text = client.until("transcript")["text"].to_string();
    assert!(text.contains("key"), "both halves are heard: {text}");
    assert_eq!(client.until("turn_done")["interrupted"], false);
}

/// Interrupts in every stage: one `turn_done`, and no sound of that turn after it.
#[test]
fn an_interrupt_ends_any_stage_once_and_silences_it() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let mut client = Client::connect(&house);
    hello(&mut client);
    client.send(&json!({"type": "text", "text": "remember that the garden gate has to be locked with the long iron key every evening before it gets dark outside", "speak": false}));
    client.until("turn_done");
    let question = alsa::speak(QUESTION, "slt", 16_000);
    let mut worst = Duration::ZERO;
    for (round, stage) in [
        "listening",
        "transcribing",
        "thinking",
        "audio_begin",
        "token",
    ]
    .into_iter()
    .cycle()
    .take(15)
    .enumerate()
    {
        if stage == "listening" || stage == "transcribing" {
            let stream = round as u16;
            client.send(&json!({"type": "audio_start", "stream": stream, "format": "s16le", "endpoint": "client"}));
            for frame in frames(stream, &question) {
                client.send_bytes(frame);
            }
            if stage == "transcribing" {
                client.send(&json!({"type": "audio_end", "stream": stream}));
            }
            while client.until("state")["state"] != stage {}
        } else {
            client.send(&json!({"type": "text", "text": "what do you know about the garden gate", "speak": true}));
            match stage {
                "thinking" => while client.until("state")["state"] != stage {},
                other => drop(client.until(other)),
            }
        }
        let asked = Instant::now();
        client.send(&json!({"type": "interrupt", "reason": "user"}));
        let done = loop {
            let value = client.until("turn_done");
            if value["interrupted"] == true || value["result"] == "answered" {
                break value;
            }
        };
        worst = worst.max(asked.elapsed());
        // A short answer may have been complete before the interrupt came.
        if stage != "thinking" && stage != "token" {
            assert_eq!(done["interrupted"], true, "while {stage}: {done}");
        }
        std::thread::sleep(Duration::from_millis(60));
        let late: Vec<Message> = client
            .rest()
            .into_iter()
            .filter(|message| match message {
                Message::Binary(_) => true,
                Message::Text(text) => text.contains("turn_done"),
                _ => false,
            })
            .collect();
        assert!(
            late.is_empty(),
            "after the interrupt while {stage}: {late:?}"
        );
    }
    println!(
        "interrupt to turn_done, worst of 15: {} ms",
        worst.as_millis()
    );
}

#[test]
fn an_interrupted_answer_keeps_only_what_was_heard() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let mut client = Client::connect(&house);
    hello(&mut client);
    client.send(&json!({"type": "text", "text": FACT, "speak": false}));
    client.until("turn_done");
    client.send(&json!({"type": "text", "text": QUESTION, "speak": true}));
    let turn = client.until("audio_begin")["turn"].clone();
    for _ in 0..5 {
        while !matches!(client.next(), Message::Binary(_)) {}
    }
    client.send(&json!({"type": "played", "turn": turn, "sentence": 0, "ms": 400}));
    client.send(&json!({"type": "interrupt"}));
    let id = client.until("turn_done")["message_id"]
        .as_str()
        .expect("an id")
        .to_string();
    let (_, list) = house.get("/api/v1/conversations");
    let conversation = list["data"]["conversations"][0]["id"]
        .as_str()
        .expect("one")
        .to_string();
    let deadline = Instant::now() + crate::house::PATIENCE;
    let message = loop {
        let (_, whole) = house.get(&format!("/api/v1/conversations/{conversation}"));
        let messages = whole["data"]["messages"]
            .as_array()
            .expect("messages")
            .clone();
        let found = messages
            .into_iter()
            .find(|message| message["id"] == id.as_str());
        let found = found.expect("the answer is kept");
        if found["interrupted"] == true {
            break found;
        }
        assert!(Instant::now() < deadline, "never marked: {found}");
        std::thread::yield_now();
    };
    let spoken = message["spoken_chars"].as_u64().expect("a count");
    let whole = message["content"].as_str().expect("text").chars().count() as u64;
    println!("400 ms are {spoken} of {whole} characters");
    assert!(spoken > 0 && spoken < whole / 2, "{spoken} of {whole}");
}

#[test]
fn a_listening_client_that_lost_its_socket_goes_on_where_it_was() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let mut client = Client::connect(&house);
    let session = hello(&mut client)["session"].clone();
    client.send(&json!({"type": "audio_start", "stream": 1, "format": "s16le", "endpoint": "client", "speak": false}));
    let all = frames(1, &alsa::speak(QUESTION, "slt", 16_000));
    let (first, second) = all.split_at(all.len() / 2);
    for frame in first {
        client.send_bytes(frame.clone());
    }
    client.rest();
    drop(client);
    let mut client = Client::connect(&house);
    // The loss is noticed by the loop in its own time.
    let deadline = Instant::now() + crate::house::PATIENCE;
    loop {
        client.send(
            &json!({"type": "hello", "proto": 2, "resume": {"session": session, "last_seq": 0}}),
        );
        let answer = client.until("hello");
        if answer["resumed"] == true {
            assert_eq!(answer["state"], "listening");
            break;
        }
        assert!(Instant::now() < deadline, "never resumed: {answer}");
    }
    for frame in second {
        client.send_bytes(frame.clone());
    }
    client.send(&json!({"type": "audio_end", "stream": 1}));
    assert_eq!(client.until("transcript")["text"], QUESTION);
}

#[test]
fn what_a_client_that_never_came_back_had_said_becomes_a_note() {
    let data = tempfile::tempdir().expect("a folder");
    let mut setup = Setup::at(data.path());
    setup.settings.resume_within = Duration::from_millis(200);
    let house = House::start(setup);
    let mut client = Client::connect(&house);
    let session = hello(&mut client)["session"].clone();
    client.send(&json!({"type": "audio_start", "stream": 1, "format": "s16le", "endpoint": "client", "speak": false}));
    for frame in frames(1, &alsa::speak(FACT, "slt", 16_000)) {
        client.send_bytes(frame);
    }
    client.rest();
    drop(client);
    let deadline = Instant::now() + 3 * crate::house::PATIENCE;
    let note = loop {
        let (_, list) = house.get("/api/v1/memories");
        if let Some(note) = list["data"]["memories"].get(0) {
            break note.clone();
        }
        assert!(Instant::now() < deadline, "no note came of it: {list}");
        std::thread::sleep(Duration::from_millis(20));
    };
    println!("kept as a note: {note}");
    assert!(
        note["content"].as_str().expect("text").contains("flower"),
        "{note}"
    );
    let mut late = Client::connect(&house);
    late.send(&json!({"type": "hello", "proto": 2, "resume": {"session": session, "last_seq": 0}}));
    assert_eq!(late.until("hello")["resumed"], false);
}

#[test]
fn a_hole_in_the_sound_is_filled_or_ends_the_stream_and_what_came_is_answered() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let mut client = Client::connect(&house);
    hello(&mut client);
    let question = alsa::speak(QUESTION, "slt", 16_000);
    client.send(&json!({"type": "audio_start", "stream": 1, "format": "s16le", "endpoint": "client", "speak": false}));
    for (at, frame) in frames(1, &question).into_iter().enumerate() {
        if at != 3 {
            client.send_bytes(frame);
        }
    }
    client.send(&json!({"type": "audio_end", "stream": 1}));
    assert!(
        client.until("transcript")["text"]
            .as_str()
            .expect("text")
            .contains("key")
    );
    client.until("turn_done");
    client.send(&json!({"type": "audio_start", "stream": 2, "format": "s16le", "endpoint": "client", "speak": false}));
    let mut later = frames(2, &question);
    let mut lost = later.last().expect("a frame").clone();
    lost[4..8].copy_from_slice(&100_000u32.to_le_bytes());
    later.push(lost);
    for frame in later {
        client.send_bytes(frame);
    }
    let error = client.until("error");
    assert!(
        error["message"].as_str().expect("text").starts_with("seq:"),
        "{error}"
    );
    // What came before the hole is answered.
    let heard = client.until("transcript")["text"].to_string();
    assert!(heard.contains("key"), "{heard}");
    assert_eq!(client.until("turn_done")["interrupted"], false);
}

#[test]
fn garbage_is_answered_in_the_dialect_and_harms_nobody() {
    let data = tempfile::tempdir().expect("a folder");
    let house = mute_house(data.path());
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let garbage: Vec<String> = [
        "",
        "x",
        "{}",
        "[]",
        "null",
        "{\"type\":7}",
        "{\"type\":\"text\"}",
        "{\"type\":\"text\",\"data\":7}",
        "{\"type\":\"audio\",\"data\":\"***\"}",
        "{\"type\":\"audio\",\"data\":\"\"}",
        "\u{0}",
        "{\"type\":\"config\",\"data\":{\"sample_rate\":1}}",
    ]
    .iter()
    .map(|text| text.to_string())
    .chain([deep])
    .collect();
    for first in [
        "{\"type\":\"text\",\"data\":\"what time is it\"}",
        "{\"type\":\"text\",\"text\":\"what time is it\"}",
        "{\"type\":\"hello\",\"proto\":2}",
    ] {
        let mut client = Client::connect(&house);
        client.send_text(first);
        client.rest();
        for text in &garbage {
            client.send_text(text);
            let error = client.until("error");
            let told = ["data", "error", "message"]
                .iter()
                .any(|key| error[key].is_string());
            assert!(told, "{error} for {text:.40}");
        }
        for bytes in [
            vec![],
            vec![1],
            vec![1; 9],
            vec![255; 100],
            b"RIFFxxxx".to_vec(),
        ] {
            client.send_bytes(bytes);
        }
        client.rest();
    }
    let mut client = Client::connect(&house);
    for text in &garbage[..6] {
        client.send_text(text);
        client.until("error");
    }
    client.send(&json!({"type": "text", "data": "what time is it"}));
    assert_eq!(client.until("text_response")["type"], "text_response");
}

#[test]
fn without_speech_engines_text_works_and_sound_says_what_to_install() {
    let data = tempfile::tempdir().expect("a folder");
    let house = mute_house(data.path());
    let mut client = Client::connect(&house);
    client
        .send(&json!({"type": "audio", "data": STANDARD.encode(wav::encode(&[0; 8_000], 16_000))}));
    let error = client.until("error");
    assert_eq!(error["code"], "STT_ERROR");
    assert!(
        error["data"]
            .as_str()
            .expect("text")
            .contains("STT_PROVIDER"),
        "{error}"
    );
    client.send(&json!({"type": "text", "data": FACT}));
    client.until("text_response");
}

#[test]
fn every_turn_counts_against_the_limit() {
    let data = tempfile::tempdir().expect("a folder");
    let mut setup = Setup::at(data.path());
    setup.rate_per_minute = 3;
    let house = House::start(setup);
    let mut client = Client::connect(&house);
    for _ in 0..3 {
        client.send(&json!({"type": "text", "data": "what time is it"}));
        assert_eq!(client.json()["type"], "text_response");
    }
    client.send(&json!({"type": "text", "data": "what time is it"}));
    let error = client.json();
    assert_eq!(error["type"], "error", "{error}");
    assert!(
        error["data"]
            .as_str()
            .expect("text")
            .contains("calls a minute"),
        "{error}"
    );
}
