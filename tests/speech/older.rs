//! The first server's documented examples, played against this one: its HTTP interface by curl, and
//! both older dialects of `/ws`.

use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use magpie::audio::decode::SoundFormat;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::caller::{QUESTION, base, converted, curl, home, json, spoken};

#[test]
fn the_scripts_of_the_first_server_run() {
    let home = home();
    let running = home.serve();
    let api = base(&running);
    let url = |path: &str| format!("{api}{path}");
    let as_json = "Content-Type: application/json";

    // A conversation is begun, and gets a name.
    let (status, answer) = json(&[
        "-X",
        "POST",
        &url("/api/chat"),
        "-H",
        as_json,
        "-d",
        r#"{"message":"你好，我是测试用户","session_id":""}"#,
    ]);
    assert_eq!(
        (status, &answer["success"]),
        (200, &json!(true)),
        "{answer}"
    );
    let session = answer["session_id"]
        .as_str()
        .expect("a session")
        .to_string();
    assert!(
        answer["reply"]
            .as_str()
            .is_some_and(|reply| !reply.is_empty()),
        "{answer}"
    );
    let (_, answer) = json(&[
        "-X",
        "POST",
        &url("/api/chat"),
        "-H",
        as_json,
        "-d",
        &format!(r#"{{"message":"今天天气怎么样","session_id":"{session}"}}"#),
    ]);
    assert_eq!(answer["session_id"], session.as_str(), "{answer}");

    // Knowledge that belongs to it, as text.
    let (status, answer) = json(&[
        "-X",
        "POST",
        &url("/api/knowledge/record"),
        "-F",
        &format!("text=测试保存知识功能，应该关联到会话{session}"),
        "-F",
        &format!("session_id={session}"),
        "-F",
        "auto_organize=true",
    ]);
    assert_eq!(
        (status, &answer["success"]),
        (200, &json!(true)),
        "{answer}"
    );
    let id = answer["knowledge"]["id"]
        .as_str()
        .expect("an id")
        .to_string();
    let (_, answer) = json(&[&url("/api/knowledge/list")]);
    let kept = &answer["knowledges"][0];
    assert_eq!(
        (&kept["id"], &kept["session_id"]),
        (&json!(id), &json!(session)),
        "{answer}"
    );
    for field in [
        "content",
        "summary",
        "category",
        "source",
        "audio_url",
        "created_at",
        "updated_at",
    ] {
        assert!(kept[field].is_string(), "{field}: {kept}");
    }
    assert!(
        kept["key_points"].is_array() && kept["tags"].is_array() && kept["metadata"].is_object()
    );
    let (_, answer) = json(&[
        "-X",
        "POST",
        &url("/api/knowledge/search"),
        "-H",
        as_json,
        "-d",
        r#"{"query":"知识功能"}"#,
    ]);
    assert_eq!(answer["knowledges"][0]["id"], id.as_str(), "{answer}");
    let (_, answer) = json(&[&url("/api/knowledge/list?category=nothing")]);
    assert_eq!(answer["knowledges"], json!([]), "{answer}");

    // The conversation with its messages, in the list, and gone.
    let (_, answer) = json(&[&url(&format!("/api/sessions/get?session_id={session}"))]);
    let messages = answer["session"]["messages"].as_array().expect("messages");
    assert_eq!(
        (messages.len(), &messages[0]["role"]),
        (4, &json!("user")),
        "{answer}"
    );
    let (_, answer) = json(&[&url("/api/sessions")]);
    assert_eq!(answer["count"], 1, "{answer}");
    assert_eq!(
        answer["sessions"][0]["messages"].as_array().map(Vec::len),
        Some(4),
        "{answer}"
    );
    let (_, answer) = json(&[
        "-X",
        "DELETE",
        &url(&format!("/api/sessions?session_id={session}")),
    ]);
    assert_eq!(answer, json!({"success": true}));
    let (status, answer) = json(&[&url(&format!("/api/sessions/get?session_id={session}"))]);
    assert_eq!(
        (status, &answer["success"]),
        (404, &json!(false)),
        "{answer}"
    );
    assert!(answer["error"].is_string(), "{answer}");
    let (status, answer) = json(&[&url("/api/sessions/get")]);
    assert_eq!(
        (status, answer["error"].is_string()),
        (400, true),
        "{answer}"
    );

    // A name that a client made up is a session as well.
    let made_up = "session_test_1735";
    let (_, answer) = json(&[
        "-X",
        "POST",
        &url("/api/knowledge/record"),
        "-F",
        "text=这是测试知识",
        "-F",
        &format!("session_id={made_up}"),
    ]);
    assert_eq!(answer["success"], true, "{answer}");
    let (status, _) = json(&[&url(&format!("/api/sessions/get?session_id={made_up}"))]);
    assert_eq!(status, 200);
}

#[test]
fn speech_goes_both_ways_as_the_first_server_had_it() {
    let home = home();
    let running = home.serve();
    let api = base(&running);
    let url = |path: &str| format!("{api}{path}");
    let source = spoken(home.folder.path(), QUESTION);

    let (status, answer) = json(&[
        "-X",
        "POST",
        &url("/api/stt"),
        "-F",
        &format!("audio=@{}", source.display()),
        "-F",
        "format=wav",
    ]);
    assert_eq!(
        (status, answer),
        (200, json!({"success": true, "result": [QUESTION]}))
    );
    let (status, answer) = json(&["-X", "POST", &url("/api/stt"), "-F", "format=wav"]);
    assert_eq!(
        (status, &answer["success"]),
        (400, &json!(false)),
        "{answer}"
    );

    let opus = converted(&source, "note.opus");
    let (_, answer) = json(&[
        "-X",
        "POST",
        &url("/api/knowledge/record"),
        "-F",
        &format!("audio=@{}", opus.display()),
    ]);
    assert_eq!(answer["knowledge"]["content"], QUESTION, "{answer}");
    assert_eq!(answer["knowledge"]["source"], "voice", "{answer}");

    let spoken = url("/api/tts?text=Good%20morning&session_id=s1&per=0&spd=5&pit=5&vol=5");
    let (status, answer) = json(&[&spoken]);
    assert_eq!(
        (status, &answer["session_id"]),
        (200, &json!("s1")),
        "{answer}"
    );
    let path = answer["audio_url"].as_str().expect("a path");
    assert!(path.starts_with("/api/audio/"), "{path}");
    let (status, sound) = curl(&[&url(path)]);
    assert_eq!(
        (status, SoundFormat::sniff(&sound)),
        (200, Some(SoundFormat::Wav))
    );
    let (_, again) = json(&[&spoken]);
    assert_eq!(again["audio_url"], path, "what was made once is there");
    let (status, answer) = json(&[&url("/api/tts")]);
    assert_eq!(
        (status, answer["error"].is_string()),
        (400, true),
        "{answer}"
    );
    let (status, answer) = json(&[&url("/api/audio/../../etc/passwd"), "--path-as-is"]);
    assert!(matches!(status, 400 | 404), "{status} {answer}");
}

#[test]
fn the_document_dialect_takes_and_gives_what_its_document_says() {
    let home = home();
    let running = home.serve();
    let mut socket = connect(&running, "/ws");
    let source = spoken(home.folder.path(), QUESTION);
    send(&mut socket, &json!({"type": "ping"}));
    let pong = next(&mut socket);
    assert_eq!(pong["type"], "pong");
    assert!(
        pong["data"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{pong}"
    );
    send(&mut socket, &json!({"type": "text", "data": "你好"}));
    let answer = next(&mut socket);
    assert_eq!(answer["type"], "text_response", "{answer}");
    assert!(answer["data"].is_string(), "{answer}");
    for name in ["a.wav", "a.mp3", "a.opus", "a.flac"] {
        let bytes = std::fs::read(converted(&source, name)).expect("a file");
        send(
            &mut socket,
            &json!({"type": "audio", "data": STANDARD.encode(bytes)}),
        );
        assert_eq!(
            next(&mut socket),
            json!({"type": "transcription", "data": {"text": QUESTION}}),
            "{name}"
        );
        assert_eq!(next(&mut socket)["type"], "text_response");
        let spoken = next(&mut socket);
        assert_eq!(
            (&spoken["type"], &spoken["format"]),
            (&json!("audio_response"), &json!("wav"))
        );
    }
    send(
        &mut socket,
        &json!({"type": "audio", "data": STANDARD.encode(b"this is no sound at all")}),
    );
    let error = next(&mut socket);
    assert_eq!(error["type"], "error", "{error}");
    assert!(error["data"].is_string(), "{error}");
    send(&mut socket, &json!({"type": "nonsense"}));
    assert_eq!(next(&mut socket)["type"], "error");
}

#[test]
fn the_stream_dialect_keeps_its_session() {
    let home = home();
    let running = home.serve();
    let mut socket = connect(&running, "/ws?session_id=sess_1735");
    send(
        &mut socket,
        &json!({"type": "config", "data": {"sample_rate": 16000}}),
    );
    send(
        &mut socket,
        &json!({"type": "text", "text": "remember that the bin day is Tuesday"}),
    );
    let reply = until(&mut socket, "llm_reply");
    assert!(reply["text"].is_string(), "{reply}");
    let source = spoken(home.folder.path(), QUESTION);
    for name in ["b.wav", "b.opus"] {
        let bytes = std::fs::read(converted(&source, name)).expect("a file");
        socket.send(Message::binary(bytes)).expect("sends");
        assert_eq!(until(&mut socket, "stt_final")["text"], QUESTION, "{name}");
        until(&mut socket, "llm_reply");
    }
    socket.send(Message::text("interrupt")).expect("sends");
    let api = base(&running);
    let (status, answer) = json(&[&format!("{api}/api/sessions/get?session_id=sess_1735")]);
    let messages = answer["session"]["messages"].as_array().expect("messages");
    assert_eq!(status, 200);
    assert!(messages.len() >= 4, "{answer}");
    assert_eq!(
        messages[0]["content"],
        "remember that the bin day is Tuesday"
    );
}

pub type Socket = WebSocket<TcpStream>;

pub fn connect(running: &crate::support::Running<'_>, path: &str) -> Socket {
    let stream =
        TcpStream::connect(running.address("http").expect("an address")).expect("connects");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a limit");
    let (socket, _) =
        tungstenite::client(format!("ws://localhost{path}"), stream).expect("upgrades");
    socket
}

pub fn send(socket: &mut Socket, value: &Value) {
    socket
        .send(Message::text(value.to_string()))
        .expect("sends");
}

/// The next message of text.
pub fn next(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = socket.read().expect("a message in time") {
            return serde_json::from_str(&text).expect("JSON");
        }
    }
}

pub fn until(socket: &mut Socket, kind: &str) -> Value {
    for _ in 0..200 {
        let message = next(socket);
        assert_ne!(message["type"], "error", "{message}");
        if message["type"] == kind {
            return message;
        }
    }
    panic!("no {kind} came");
}
