//! The double itself: it is only worth something while it refuses what is wrong.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::provider::{CLAUDE_KEY, Fault, OPENAI_KEY, Provider, Reply, Route, speech};

fn exchange(provider: &Provider, head: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(provider.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let head = format!(
        "{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn status(answer: &[u8]) -> u16 {
    String::from_utf8_lossy(&answer[9..12])
        .parse()
        .expect("a status")
}

fn say(provider: &Provider, body: &Value) -> Vec<u8> {
    let head = format!(
        "POST /v1/audio/speech HTTP/1.1\r\nauthorization: Bearer {OPENAI_KEY}\r\ncontent-type: application/json"
    );
    exchange(provider, &head, body.to_string().as_bytes()).expect("an answer")
}

fn ask(provider: &Provider, body: &Value) -> Vec<u8> {
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nx-api-key: {CLAUDE_KEY}\r\nanthropic-version: 2023-06-01\r\ncontent-type: application/json"
    );
    exchange(provider, &head, body.to_string().as_bytes()).expect("an answer")
}

fn hear(provider: &Provider, parts: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, more, body) in parts {
        form.extend(
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n").bytes(),
        );
        form.extend_from_slice(body);
        form.extend(b"\r\n");
    }
    form.extend(b"--b--\r\n");
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nauthorization: Bearer {OPENAI_KEY}\r\ncontent-type: multipart/form-data; boundary=b"
    );
    exchange(provider, &head, &form).expect("an answer")
}

#[test]
fn speech_is_real_sound_in_the_format_that_was_asked_for() {
    let provider = Provider::start();
    for (format, extension) in [
        ("wav", "wav"),
        ("mp3", "mp3"),
        ("flac", "flac"),
        ("opus", "ogg"),
    ] {
        let body = json!({"model": "tts-1", "voice": "nova", "input": "Good morning.", "response_format": format});
        let answer = say(&provider, &body);
        assert_eq!(status(&answer), 200, "{format}");
        if format != "wav" {
            let length = speech::length_of(&speech::speak("Good morning.", format), extension);
            let length = length.expect("it is what it says");
            assert!((0.5..3.0).contains(&length), "{format}: {length} s");
        }
    }
    provider.assert_content();
}

#[test]
fn wrong_requests_for_speech_are_refused_and_remembered() {
    let provider = Provider::start();
    let right =
        json!({"model": "tts-1", "voice": "nova", "input": "Hello.", "response_format": "wav"});
    let changes = [
        json!({"model": "tts-9"}),
        json!({"voice": "slt"}),
        json!({"input": ""}),
        json!({"response_format": "aiff"}),
        json!({"speed": 9}),
        json!({"volume": 1}),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut body = right.clone();
        for (name, value) in change.as_object().expect("an object") {
            body[name] = value.clone();
        }
        assert_eq!(status(&say(&provider, &body)), 400, "{change}");
        assert_eq!(provider.complaints().len(), index + 1, "{change}");
    }
}

#[test]
fn a_form_for_hearing_is_checked_part_by_part() {
    let provider = Provider::start();
    provider.hears("good morning");
    let pcm = vec![0; 32_000];
    let flac = speech::encode(&pcm, 16_000, "flac");
    let file = "; filename=\"a.flac\"\r\nContent-Type: audio/flac";
    let right: Vec<(&str, &str, &[u8])> = vec![
        ("file", file, &flac),
        ("model", "", b"whisper-1"),
        ("response_format", "", b"verbose_json"),
    ];
    let answer = hear(&provider, &right);
    assert!(
        String::from_utf8_lossy(&answer).contains("good morning"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    provider.assert_content();
    let wav = "; filename=\"a.wav\"\r\nContent-Type: audio/wav";
    for (what, part) in [
        ("a FLAC that is called WAV", ("file", wav, &flac[..])),
        ("half a FLAC's head", ("file", file, &flac[..20])),
        ("no such model", ("model", "", &b"whisper-9"[..])),
        ("a language in words", ("language", "", b"English")),
        ("a field that nobody knows", ("mood", "", b"gay")),
        ("a temperature of two", ("temperature", "", b"2")),
    ] {
        let mut parts = right.clone();
        parts.retain(|(name, ..)| *name != part.0);
        parts.push(part);
        assert_eq!(status(&hear(&provider, &parts)), 400, "{what}");
    }
}

#[test]
fn a_conversation_that_anthropic_would_refuse_is_refused() {
    let provider = Provider::start();
    let user = |text: &str| json!({"role": "user", "content": text});
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "time", "input": {}}]});
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "noon"}]});
    let body = |messages: Value| json!({"model": "m", "max_tokens": 9, "stream": true, "messages": messages});
    provider.replies(Reply::text("It is noon.").and_call("time", json!({"zone": "UTC"})));
    let answer = ask(&provider, &body(json!([user("when?"), call, result])));
    let text = String::from_utf8_lossy(&answer);
    for part in [
        "event: message_start",
        "It is",
        "input_json_delta",
        "\"stop_reason\":\"tool_use\"",
        "message_stop",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    provider.assert_content();
    for messages in [
        json!([]),
        json!([user("a"), user("b")]),
        json!([user("when?"), call]),
        json!([user("when?"), call, user("so?")]),
        json!([result]),
        json!([user("")]),
    ] {
        let answer = ask(&provider, &body(messages.clone()));
        assert_eq!(status(&answer), 400, "{messages}");
        assert!(String::from_utf8_lossy(&answer).contains("\"type\":\"error\""));
    }
}

#[test]
fn it_fails_as_it_is_told_and_not_a_second_time() {
    let provider = Provider::start();
    let body =
        json!({"model": "tts-1", "voice": "nova", "input": "Hello.", "response_format": "pcm"});
    provider.fail_once(Route::Speech, Fault::Status(429, Some(7)));
    provider.fail_once(Route::Speech, Fault::Cut(100));
    let limited = String::from_utf8_lossy(&say(&provider, &body)).into_owned();
    assert!(
        limited.contains("429") && limited.contains("retry-after: 7"),
        "{limited}"
    );
    assert_eq!(say(&provider, &body).len(), 100);
    let whole = say(&provider, &body);
    assert!(whole.ends_with(b"0\r\n\r\n") && whole.len() > 10_000);
    provider.refuse();
    assert!(TcpStream::connect(provider.address).is_err());
    provider.reopen();
    assert_eq!(status(&say(&provider, &body)), 200);
    assert_eq!(provider.requests(Route::Speech).len(), 4);
}
