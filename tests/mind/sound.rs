//! A chat's answer as sound: to be fetched by whoever asked, or at the box while it is written.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::provider::{Fault, OPENAI_KEY, Reply, Route};
use crate::rig::{Kind, Rig, stored, stream_of};
use crate::support::{Running, eventually};

const WORDS: &str = "Whales are the largest animals of the sea. They breathe air as we do. \
    They sing to each other over hundreds of miles.";

fn ask(message: &str, speak: &str, stream: bool) -> Value {
    json!({ "message": message, "speak": speak, "stream": stream })
}

/// Status, headers and body of a GET.
fn fetch(running: &Running<'_>, url: &str, header: &str) -> (u16, String, Vec<u8>) {
    let address = running.address("http").expect("plain HTTP is on");
    let mut tcp = TcpStream::connect(address).expect("connects");
    let request =
        format!("GET {url} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{header}\r\n");
    tcp.write_all(request.as_bytes()).expect("sends");
    let mut bytes = Vec::new();
    tcp.read_to_end(&mut bytes).expect("an answer");
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
    let end = end.expect("a head");
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head[9..12].parse().expect("a status");
    (status, head, bytes.split_off(end + 4))
}

/// The length of the WAV at `url`.
fn sound_at(running: &Running<'_>, url: &Value) -> usize {
    let url = url.as_str().expect("an address");
    let (status, head, sound) = fetch(running, url, "");
    assert_eq!(status, 200, "{head}");
    assert!(head.contains("content-type: audio/wav"), "{head}");
    assert!(sound.starts_with(b"RIFF") && sound.len() > 8_000, "{url}");
    let (status, head, part) = fetch(running, url, "range: bytes=0-3\r\n");
    assert_eq!((status, &part[..]), (206, &b"RIFF"[..]), "{head}");
    sound.len()
}

fn names(running: &Running<'_>, conversation: &Value) -> Vec<Value> {
    stored(running, conversation.as_str().expect("an id"))
}

#[test]
fn every_sentence_and_the_whole_answer_can_be_fetched_as_sound() {
    let rig = Rig::new(Kind::Anthropic).set("TTS_PROVIDER", "flite");
    let running = rig.home.serve();
    let slow = Reply::text(WORDS).pausing(Duration::from_millis(150));
    rig.provider.replies(slow);
    let events = stream_of(&running, &ask("Tell me of whales", "return", true)).all();
    let first = events.iter().position(|(name, _)| name == "sentence");
    let last = events.iter().rposition(|(name, _)| name == "token");
    assert!(first < last, "sound waits for the last word");
    let sentences: Vec<&Value> = events
        .iter()
        .filter(|(name, _)| name == "sentence")
        .map(|(_, data)| data)
        .collect();
    assert!(sentences.len() >= 3, "{sentences:?}");
    let lengths: usize = sentences
        .iter()
        .map(|sentence| sound_at(&running, &sentence["audio_url"]))
        .sum();
    let done = &events.last().unwrap().1;
    assert_eq!(done["notice"], Value::Null, "{done}");
    let whole = sound_at(&running, &done["audio_url"]);
    let headers = 44 * (sentences.len() - 1);
    assert_eq!(whole, lengths - headers, "the sentences in one");
    let messages = names(&running, &done["conversation_id"]);
    assert_eq!(messages[1]["audio_url"], done["audio_url"]);

    // Kept with the message over a restart; a sentence's own was for the moment.
    let url = done["audio_url"].as_str().unwrap().to_owned();
    let fleeting = sentences[0]["audio_url"].as_str().unwrap().to_owned();
    let conversation = done["conversation_id"].clone();
    assert!(running.stop().success());
    let running = rig.home.serve();
    assert_eq!(sound_at(&running, &json!(url)), whole);
    assert_eq!(fetch(&running, &fleeting, "").0, 404);
    let memories = running.get("/api/v1/memories").json();
    assert_eq!(memories["data"]["total"], 0, "the box took down itself");
    assert_eq!(names(&running, &conversation).len(), 2);
}

#[test]
fn sound_that_nobody_wants_kept_can_be_fetched_all_the_same() {
    let rig = Rig::new(Kind::Anthropic)
        .set("TTS_PROVIDER", "flite")
        .set("AUDIO_KEEP_DAYS", "0");
    let running = rig.home.serve();
    rig.provider.replies(Reply::text(WORDS));
    let answer = running.post("/api/v1/chat", &ask("Tell me of whales", "return", false));
    let answer = answer.json()["data"].clone();
    sound_at(&running, &answer["audio_url"]);
    let messages = names(&running, &answer["conversation_id"]);
    assert_eq!(messages[1]["content"], WORDS);
    assert_eq!(messages[1]["audio_url"], Value::Null);
}

#[test]
fn a_voice_that_fails_leaves_the_text_and_says_so() {
    let rig = with_far_voice();
    let running = rig.home.serve();
    rig.provider.fail(Route::Speech, Fault::Status(500, None));
    for stream in [false, true] {
        rig.provider.replies(Reply::text(WORDS));
        let body = ask("Tell me of whales", "return", stream);
        let answer = match stream {
            true => stream_of(&running, &body).until("done"),
            false => running.post("/api/v1/chat", &body).json()["data"].clone(),
        };
        assert_eq!(answer["content"], WORDS);
        assert_eq!(answer["audio_url"], Value::Null, "{answer}");
        assert_eq!(answer["notice"]["code"], "TTS_ERROR", "{answer}");
    }
}

#[test]
fn the_box_speaks_while_the_answer_is_still_written() {
    let rig = with_far_voice();
    let running = rig.home.serve();
    let endless = format!("{WORDS} ").repeat(10);
    rig.provider
        .replies(Reply::text(&endless).pausing(Duration::from_millis(150)));
    let mut stream = stream_of(&running, &ask("Tell me of whales", "device", true));
    stream.until("sentence");
    assert!(eventually(|| !rig
        .provider
        .requests(Route::Speech)
        .is_empty()));
    let written = rig.provider.requests(Route::Messages)[0].status;
    assert_eq!(written, 0, "it was silent until all was written");
    drop(stream);
    let given_up = eventually(|| rig.provider.requests(Route::Messages)[0].status != 0);
    assert!(given_up, "the provider still speaks to nobody");
}

fn with_far_voice() -> Rig {
    let rig = Rig::new(Kind::Anthropic).set("TTS_PROVIDER", "openai");
    let url = rig.provider.openai_url();
    rig.set("TTS_BASE_URL", &url)
        .set("OPENAI_API_KEY", OPENAI_KEY)
        .set("TTS_CACHE_MB", "0")
}
