//! `/api/v1/transcribe` and `/api/v1/synthesize`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use magpie::audio::decode::SoundFormat;
use magpie::audio::wav;
use serde_json::json;

use crate::caller::{QUESTION, base, converted, curl, home, json, spoken};

#[test]
fn sound_of_every_format_is_understood_in_every_way_it_can_be_sent() {
    let home = home();
    let running = home.serve();
    let url = format!("{}/api/v1/transcribe", base(&running));
    let source = spoken(home.folder.path(), QUESTION);
    for (name, kind) in [
        ("a.wav", "audio/wav"),
        ("a.mp3", "audio/mpeg"),
        ("a.flac", "audio/flac"),
        ("a.ogg", "audio/ogg"),
        ("a.opus", "audio/ogg;codecs=opus"),
    ] {
        let file = converted(&source, name);
        let raw = format!("@{}", file.display());
        let (status, answer) = json(&[
            "-H",
            &format!("Content-Type: {kind}"),
            "--data-binary",
            &raw,
            &format!("{url}?language=en"),
        ]);
        println!("{name}: {answer}");
        assert_eq!(status, 200, "{name}: {answer}");
        assert_eq!(answer["data"]["text"], QUESTION, "{name}");
        assert_eq!(answer["data"]["provider"], "pocketsphinx");
        let seconds = answer["data"]["duration"].as_f64().expect("seconds");
        assert!((0.8..4.0).contains(&seconds), "{name}: {seconds} s");
    }
    let file = converted(&source, "b.mp3");
    let form = format!(
        "audio=@{};type=audio/wav;filename=wrong.wav",
        file.display()
    );
    let (status, answer) = json(&["-F", &form, "-F", "language=en", "-F", "prompt=keys", &url]);
    assert_eq!(
        (status, &answer["data"]["text"]),
        (200, &json!(QUESTION)),
        "{answer}"
    );
    let text = STANDARD.encode(std::fs::read(&file).expect("a file"));
    let body = home.path("body.json");
    std::fs::write(
        &body,
        json!({"audio": text, "language": "en", "prompt": null}).to_string(),
    )
    .expect("a file");
    let (status, answer) = json(&[
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        &format!("@{}", body.display()),
        &url,
    ]);
    assert_eq!(
        (status, &answer["data"]["text"]),
        (200, &json!(QUESTION)),
        "{answer}"
    );
}

#[test]
fn what_is_no_sound_or_too_much_is_refused_with_what_to_do() {
    let home = home().set("MAX_UPLOAD_SIZE", "1MB");
    let running = home.serve();
    let url = format!("{}/api/v1/transcribe", base(&running));
    let refused = |status: u16, code: &str, word: &str, arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.push(&url);
        let (got, answer) = json(&all);
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(
            (got, answer["error"]["code"].as_str().unwrap_or_default()),
            (status, code),
            "{arguments:?}: {answer}"
        );
        assert!(message.contains(word), "{arguments:?}: {message}");
    };
    let mp3 = ["-H", "Content-Type: audio/mpeg"];
    let raw = |bytes: &'static str| [mp3[0], mp3[1], "--data-binary", bytes];
    refused(
        415,
        "UNSUPPORTED_AUDIO",
        "MP3",
        &raw("this is a text and no sound"),
    );
    refused(415, "UNSUPPORTED_AUDIO", "AIFF", &raw("FORM0000AIFFCOMM"));
    refused(
        415,
        "UNSUPPORTED_AUDIO",
        "cut short",
        &raw("fLaC and then nothing more of it"),
    );
    refused(
        415,
        "UNSUPPORTED_AUDIO",
        "text/plain",
        &["-H", "Content-Type: text/plain", "--data", "x"],
    );
    let as_json = ["-H", "Content-Type: application/json", "--data"];
    refused(
        400,
        "INVALID_REQUEST",
        "base64",
        &[&as_json[..], &[r#"{"audio":"no!"}"#]].concat(),
    );
    refused(
        400,
        "INVALID_REQUEST",
        "audio",
        &[&as_json[..], &[r#"{"audio":7}"#]].concat(),
    );
    refused(
        400,
        "INVALID_REQUEST",
        "audio",
        &[&as_json[..], &["{}"]].concat(),
    );
    refused(400, "INVALID_REQUEST", "audio", &["-F", "language=en"]);
    refused(
        400,
        "INVALID_REQUEST",
        "breaks off",
        &[
            "-H",
            "Content-Type: multipart/form-data; boundary=b",
            "--data-binary",
            "--b\r\nContent-Disposition: form-data; name=\"audio\"\r\n\r\nRIFF",
        ],
    );
    refused(
        400,
        "INVALID_REQUEST",
        "boundary",
        &[
            "-H",
            "Content-Type: multipart/form-data",
            "--data-binary",
            "--b--",
        ],
    );
    let large = home.path("large.wav");
    std::fs::write(&large, vec![0; 1_300_000]).expect("a file");
    refused(
        413,
        "PAYLOAD_TOO_LARGE",
        "",
        &["-F", &format!("audio=@{}", large.display())],
    );
    // Refused by what is announced: nothing of it is sent.
    let mut stream =
        TcpStream::connect(running.address("http").expect("an address")).expect("connects");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a limit");
    stream
        .write_all(b"POST /api/v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/wav\r\nContent-Length: 1048577\r\nConnection: close\r\n\r\n")
        .expect("sends");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn text_becomes_sound_in_json_or_by_itself() {
    let home = home();
    let running = home.serve();
    let url = format!("{}/api/v1/synthesize", base(&running));
    let ask = |body: &str| json(&["-H", "Content-Type: application/json", "--data", body, &url]);
    // As the document shows it; a local voice makes no MP3 and says so.
    let (status, answer) = ask(
        r#"{"text":"Hello there. I am here.","voice":"nova","model":"tts-1","response_format":"mp3"}"#,
    );
    assert_eq!(
        (status, &answer["data"]["format"]),
        (200, &json!("wav")),
        "{answer}"
    );
    let bytes = STANDARD
        .decode(answer["data"]["audio"].as_str().expect("sound"))
        .expect("base64");
    let sound = wav::decode(&bytes, Duration::from_secs(60)).expect("a WAV");
    let seconds = answer["data"]["duration"].as_f64().expect("seconds");
    assert!((sound.duration().as_secs_f64() - seconds).abs() < 0.01 && seconds > 1.0);
    let (status, answer) = ask(r#"{"text":"Hello there.","response_format":"pcm"}"#);
    assert_eq!(
        (status, &answer["data"]["format"]),
        (200, &json!("pcm")),
        "{answer}"
    );
    let (status, answer) = ask(r#"{"text":"Hello there.","response_format":"midi"}"#);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (400, &json!("INVALID_REQUEST")),
        "{answer}"
    );
    let (status, bytes) = curl(&[
        "-H",
        "Content-Type: application/json",
        "-H",
        "Accept: audio/*",
        "--data",
        r#"{"text":"Hello there. I am here."}"#,
        &url,
    ]);
    assert_eq!(
        (status, SoundFormat::sniff(&bytes)),
        (200, Some(SoundFormat::Wav))
    );
    assert!(
        wav::decode(&bytes, Duration::from_secs(60))
            .expect("a WAV")
            .samples
            .len()
            > 10_000
    );
}
