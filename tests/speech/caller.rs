//! A box to talk to, curl to call it by, and sentences in files.

use std::path::{Path, PathBuf};
use std::process::Command;

use magpie::audio::wav;
use serde_json::Value;

use crate::alsa;
use crate::support::{Home, Running};

pub const QUESTION: &str = "where is the spare key";

pub fn home() -> Home {
    Home::new()
        .set("STT_PROVIDER", "pocketsphinx")
        .set("TTS_PROVIDER", "flite")
}

pub fn base(running: &Running<'_>) -> String {
    format!("http://{}", running.address("http").expect("an address"))
}

/// The answer's status and body.
pub fn curl(arguments: &[&str]) -> (u16, Vec<u8>) {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "-w",
            "\n%{http_code}",
        ])
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("curl: {error}; run tools/setup test"));
    assert!(
        output.status.success(),
        "curl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut body = output.stdout;
    let at = body
        .iter()
        .rposition(|byte| *byte == b'\n')
        .expect("a status");
    let status = String::from_utf8_lossy(&body[at + 1..])
        .parse()
        .expect("a number");
    body.truncate(at);
    (status, body)
}

pub fn json(arguments: &[&str]) -> (u16, Value) {
    let (status, body) = curl(arguments);
    let value = serde_json::from_slice(&body);
    (
        status,
        value.unwrap_or_else(|error| {
            panic!("{arguments:?}: {error}: {}", String::from_utf8_lossy(&body))
        }),
    )
}

/// What flite says, as a WAV in `folder`.
pub fn spoken(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("spoken.wav");
    let samples = alsa::speak(text, "slt", 16_000);
    std::fs::write(&path, wav::encode(&samples, 16_000)).expect("a file");
    path
}

/// The same in another format, which the name's ending says.
pub fn converted(from: &Path, name: &str) -> PathBuf {
    let path = from.with_file_name(name);
    let mut command = if name.ends_with(".opus") {
        let mut command = Command::new("opusenc");
        command
            .args(["--quiet", "--bitrate", "96"])
            .arg(from)
            .arg(&path);
        command
    } else {
        let mut command = Command::new("sox");
        command
            .arg("-V1")
            .arg(from)
            .args(["-r", "44100"])
            .arg(&path);
        command
    };
    let made = command
        .status()
        .expect("sox and opusenc; run tools/setup test");
    assert!(made.success(), "{name}");
    path
}
