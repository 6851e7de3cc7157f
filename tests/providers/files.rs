//! Sound files that pass through the box: those a server makes, and those it is to understand.

use std::net::TcpStream;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use magpie::audio::decode::SoundFormat;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::provider::{Provider, Reply, Route, speech};
use crate::rig::{PATIENCE, done, home};
use crate::support::Running;

const TEXT: &str = "Good morning. The kettle is on.";

/// As the double speaks it: in one piece.
fn made(text: &str, format: &str) -> Vec<u8> {
    speech::speak(text, format)
}

fn sound_of(data: &Value) -> Vec<u8> {
    let text = data["audio"].as_str().expect("sound");
    STANDARD.decode(text).expect("base64")
}

#[test]
fn a_servers_file_is_passed_on_byte_for_byte_in_every_format_with_its_length() {
    let provider = Provider::start();
    let home = home(&provider);
    let house = home.serve();
    for format in ["mp3", "opus", "flac", "wav", "pcm"] {
        let body =
            json!({"text": TEXT, "voice": "echo", "model": "tts-1-hd", "response_format": format});
        let data = done(&house, "/api/v1/synthesize", &body);
        assert_eq!(data["format"], format, "{data}");
        assert!(
            sound_of(&data) == made(TEXT, format),
            "{format} was changed on its way"
        );
        let seconds = data["duration"].as_f64().expect("seconds");
        let real = made(TEXT, "pcm").len() as f64 / 48_000.0;
        assert!(
            (seconds - real).abs() < 0.2,
            "{format}: {seconds} of {real}"
        );
        let asked = provider.requests(Route::Speech);
        let asked = &asked.last().expect("asked").json;
        assert_eq!(
            *asked,
            json!({"model": "tts-1-hd", "voice": "echo", "input": TEXT, "response_format": format})
        );
    }
    let data = done(&house, "/api/v1/synthesize", &json!({"text": TEXT}));
    assert_eq!(data["format"], "mp3", "as OpenAI's own default");
    let asked = provider.requests(Route::Speech);
    assert_eq!(asked.last().expect("asked").json["voice"], "nova");
    provider.assert_content();
}

#[test]
fn sound_that_is_asked_for_by_itself_comes_as_the_server_sends_it() {
    let text = "The kettle is on the stove.";
    let provider = Provider::start();
    let home = home(&provider);
    let house = home.serve();
    let url = format!(
        "http://{}/api/v1/synthesize",
        house.address("http").expect("an address")
    );
    let answer = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "-D",
            "/dev/stderr",
        ])
        .args([
            "-H",
            "Content-Type: application/json",
            "-H",
            "Accept: audio/*",
            "--data",
        ])
        .arg(json!({"text": text, "response_format": "opus"}).to_string())
        .arg(url)
        .output()
        .expect("curl");
    let head = String::from_utf8_lossy(&answer.stderr).to_ascii_lowercase();
    assert!(head.contains("content-type: audio/ogg"), "{head}");
    assert!(
        !head.contains("content-length"),
        "it is sent while it comes: {head}"
    );
    assert!(answer.stdout == made(text, "opus"), "changed on its way");
}

#[test]
fn a_voice_that_nobody_has_is_told_and_another_server_that_fails_is_stood_in_for() {
    let provider = Provider::start();
    let home = home(&provider).set("TTS_PROVIDER", "openai,flite");
    let house = home.serve();
    let body = json!({"text": TEXT, "voice": "nobody"});
    let refused = house.post("/api/v1/synthesize", &body);
    assert_eq!(refused.status, 500, "{}", refused.body);
    assert!(refused.body.contains("nobody"), "{}", refused.body);
    assert_eq!(refused.json()["error"]["code"], "TTS_ERROR");
    provider.refuse();
    let data = done(&house, "/api/v1/synthesize", &json!({"text": TEXT}));
    assert_eq!(data["format"], "wav", "flite speaks");
    assert_eq!(SoundFormat::sniff(&sound_of(&data)), Some(SoundFormat::Wav));
}

#[test]
fn a_server_that_is_alone_and_gone_is_told() {
    let provider = Provider::start();
    let home = home(&provider);
    let house = home.serve();
    provider.refuse();
    let body = json!({"text": TEXT, "response_format": "mp3"});
    let answer = house.post("/api/v1/synthesize", &body);
    assert_ne!(answer.status, 200, "nothing speaks: {}", answer.body);
}

#[test]
fn compressed_sound_reaches_the_server_as_it_was_sent() {
    let provider = Provider::start();
    let home = home(&provider);
    let house = home.serve();
    for (format, extension) in [("mp3", "mp3"), ("opus", "ogg"), ("flac", "flac")] {
        provider.hears("the kettle is on");
        let sent = made("Tell me when it boils.", format);
        let body = json!({"audio": STANDARD.encode(&sent)});
        let data = done(&house, "/api/v1/transcribe", &body);
        assert_eq!(data["text"], "the kettle is on");
        let heard = provider.requests(Route::Transcriptions);
        let heard = heard.last().expect("asked");
        assert!(heard.file == sent, "{format} was changed on its way");
        assert!(heard.file_name.ends_with(extension), "{}", heard.file_name);
    }
    provider.assert_content();
}

fn document(house: &Running) -> tungstenite::WebSocket<TcpStream> {
    let stream = TcpStream::connect(house.address("http").expect("plain HTTP")).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (socket, _) = tungstenite::client("ws://localhost/ws", stream).expect("upgrades");
    socket
}

fn until(socket: &mut tungstenite::WebSocket<TcpStream>, kind: &str) -> Value {
    loop {
        if let Message::Text(text) = socket.read().expect("a message within the time") {
            let value: Value = serde_json::from_str(&text).expect("JSON");
            assert_ne!(value["type"], "error", "{value}");
            if value["type"] == kind {
                return value;
            }
        }
    }
}

#[test]
fn the_document_dialect_passes_sound_on_as_it_came_and_answers_in_mp3() {
    let provider = Provider::start();
    let home = home(&provider);
    let house = home.serve();
    let mut socket = document(&house);
    provider.hears("tell me of the kettle");
    provider.replies(Reply::text(
        "The kettle is on the stove. It will boil in a minute.",
    ));
    let sent = made("Tell me of the kettle.", "opus");
    let message = json!({"type": "audio", "data": STANDARD.encode(&sent)});
    socket
        .send(Message::text(message.to_string()))
        .expect("sends");
    assert_eq!(
        until(&mut socket, "transcription")["data"]["text"],
        "tell me of the kettle"
    );
    let spoken = until(&mut socket, "audio_response");
    assert_eq!(spoken["format"], Value::Null, "MP3 is the rule");
    let bytes = STANDARD
        .decode(spoken["data"].as_str().expect("sound"))
        .expect("base64");
    let sentences: Vec<Vec<u8>> = provider
        .requests(Route::Speech)
        .iter()
        .map(|asked| made(asked.json["input"].as_str().expect("text"), "mp3"))
        .collect();
    assert!(sentences.len() >= 2, "one request for each sentence");
    assert!(
        bytes == sentences.concat(),
        "the sentences' files in their order"
    );
    assert!(speech::length_of(&bytes, "mp3").expect("MP3") > 2.0);
    let heard = provider.requests(Route::Transcriptions);
    assert!(heard.last().expect("asked").file == sent, "as it was sent");
    provider.assert_content();
}
