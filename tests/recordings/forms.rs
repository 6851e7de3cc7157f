//! `POST /api/v1/voice` as a form of a browser or of curl.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::rig::{home, memories, numbered, raw, until};
use crate::support::{Home, Running};

/// Sends a form as curl makes it; status and answer.
fn curl(home: &Home, running: &Running<'_>, parts: &[&str]) -> (u16, Value) {
    let url = format!(
        "http://{}/api/v1/voice",
        running.address("http").expect("plain HTTP is on")
    );
    let mut command = Command::new("curl");
    command
        .current_dir(home.folder.path())
        .args(["-sS", "-w", "\n%{http_code}", &url]);
    for part in parts {
        command.args(["-F", part]);
    }
    let output = command.output().expect("curl is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (
        status.parse().expect("a status"),
        serde_json::from_str(body).unwrap_or(Value::Null),
    )
}

fn files(home: &Home) -> usize {
    fs::read_dir(home.path("data/recordings")).map_or(0, Iterator::count)
}

#[test]
fn a_form_is_a_turn_wherever_its_sound_stands_and_the_same_again_is_the_same_answer() {
    let home = home();
    let running = home.serve();
    fs::write(home.path("six.wav"), numbered(6)).unwrap();
    let first = curl(
        &home,
        &running,
        &["audio=@six.wav", "mode=note", "client_id=f", "language="],
    );
    assert_eq!(
        (first.0, first.1["data"]["text"].as_str()),
        (200, Some("number 6")),
        "{}",
        first.1
    );
    let again = curl(
        &home,
        &running,
        &["client_id=f", "mode=note", "audio=@six.wav;type=audio/wav"],
    );
    assert_eq!(again, first);
    assert_eq!(memories(&running), ["number 6"]);
    until("the second sound is not kept", || files(&home) == 1);
    let id = first.1["data"]["recording_id"].as_str().unwrap();
    let (_, _, sound) = raw(&running, "GET", &format!("/api/v1/audio/{id}"), "", b"");
    assert_eq!(sound, numbered(6));
}

#[test]
fn a_form_that_is_wrong_is_refused_and_leaves_nothing() {
    let home = home().set("MAX_UPLOAD_SIZE", "100KB");
    let running = home.serve();
    fs::write(home.path("one.wav"), numbered(1)).unwrap();
    fs::write(home.path("large.wav"), vec![0; 400_000]).unwrap();
    fs::write(home.path("empty.wav"), b"").unwrap();
    for (parts, status, code) in [
        (&["mode=note"][..], 400, "INVALID_REQUEST"),
        (&["audio=@empty.wav"], 400, "INVALID_REQUEST"),
        (&["audio=@one.wav", "mode=shout"], 400, "INVALID_REQUEST"),
        (
            &["audio=@one.wav", "audio=@one.wav"],
            400,
            "INVALID_REQUEST",
        ),
        (&["audio=@large.wav"], 413, "PAYLOAD_TOO_LARGE"),
        (
            &["audio=@one.wav", "conversation_id=conv_x"],
            404,
            "NOT_FOUND",
        ),
    ] {
        let (got, answer) = curl(&home, &running, parts);
        assert_eq!(
            (got, answer["error"]["code"].as_str()),
            (status, Some(code)),
            "{parts:?}: {answer}"
        );
    }
    let sound = numbered(1);
    let whole = [
        &b"--x\r\ncontent-disposition: form-data; name=audio; filename=a.wav\r\n\r\n"[..],
        &sound,
        b"\r\n--x--\r\n",
    ]
    .concat();
    let form = "content-type: multipart/form-data; boundary=x\r\n";
    for (head, body) in [
        (form, &whole[..whole.len() - 9]),
        (form, &whole[..30]),
        (form, &b"no form at all"[..]),
        ("content-type: multipart/form-data\r\n", &whole[..]),
    ] {
        let (status, answer) = crate::rig::form(&running, head, body);
        assert_eq!(
            (status, answer["error"]["code"].as_str()),
            (400, Some("INVALID_REQUEST")),
            "{answer}"
        );
        let said = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(said.len() > 10, "{answer}");
    }
    crate::rig::until("nothing is left", || files(&home) == 0);
    assert!(memories(&running).is_empty());
}
