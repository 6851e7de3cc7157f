//! A box whose recogniser is a shell script, and raw sound over plain sockets.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use magpie::audio::wav;
use serde_json::Value;

use crate::support::{Home, Running};

/// Says what it hears by the file `words`, fails while the file `away` is there, and keeps a list
/// of its calls. `{wav}` is its argument.
const SCRIPT: &str = r#"
[ -e "$PWD/away" ] && { echo "no route to the provider" >&2; exit 1; }
echo "$(stat -c %s "$1")" >> "$PWD/calls"
[ -e "$PWD/slow" ] && sleep "$(cat "$PWD/slow")"
if [ -e "$PWD/words" ]; then cat "$PWD/words"; else
  # The first loud sample of the sound is its number.
  od -An -v -t d2 -w2 -j 44 "$1" | awk '$1 > 1000 { print "number " $1 - 1000; exit }'
fi
"#;

pub fn home() -> Home {
    let home = Home::new();
    home.write("stt.sh", SCRIPT);
    let script = format!("sh {} {{wav}}", home.path("stt.sh").display());
    home.set("STT_PROVIDER", "command")
        .set("STT_COMMAND", &script)
        .set("TTS_PROVIDER", "none")
}

pub fn go_away(home: &Home) {
    home.write("away", "");
}

pub fn come_back(home: &Home) {
    fs::remove_file(home.path("away")).expect("it was away");
}

/// A second of sound that the recogniser takes for this number.
pub fn numbered(number: i16) -> Vec<u8> {
    wav::encode(&vec![1_000 + number; 16_000], 16_000)
}

/// Sends sound as it is; status and answer.
pub fn send(running: &Running<'_>, query: &str, sound: &[u8]) -> (u16, Value) {
    let (status, _, body) = raw(
        running,
        "POST",
        &format!("/api/v1/voice?{query}"),
        "",
        sound,
    );
    let value = serde_json::from_slice(&body);
    (
        status,
        value.unwrap_or_else(|_| panic!("no JSON: {body:?}")),
    )
}

/// Sends bytes that call themselves a form; status and answer.
pub fn form(running: &Running<'_>, content_type: &str, body: &[u8]) -> (u16, Value) {
    let (status, _, body) = exchange(running, "POST /api/v1/voice", content_type, body);
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

pub fn raw(
    running: &Running<'_>,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> (u16, String, Vec<u8>) {
    let headers = format!("content-type: audio/wav\r\n{headers}");
    exchange(running, &format!("{method} {path}"), &headers, body)
}

fn exchange(
    running: &Running<'_>,
    line: &str,
    headers: &str,
    body: &[u8],
) -> (u16, String, Vec<u8>) {
    let address = running.address("http").expect("plain HTTP is on");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(120)))
        .expect("a limit");
    let head = format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the head goes");
    // A refusal may come before all of the body has gone.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let at = at.expect("an answer with a head");
    let head = String::from_utf8_lossy(&answer[..at]).into_owned();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    (status.expect("a status"), head, answer[at + 4..].to_vec())
}

/// Looks again and again, as long as a busy machine may need.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn queue(running: &Running<'_>) -> Value {
    running.get("/health").json()["queue"].clone()
}

pub fn memories(running: &Running<'_>) -> Vec<String> {
    let list = running.get("/api/v1/memories?limit=200").json();
    let list = list["data"]["memories"].as_array().expect("a list").clone();
    list.iter()
        .map(|memory| memory["content"].as_str().unwrap_or_default().to_string())
        .collect()
}
