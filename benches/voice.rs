//! What the box adds to a spoken turn, the engines' own time taken out.
//!
//! Prints `name value unit` lines. Budget: 100 ms. The engines are programs that take a fixed time;
//! what they take alone is measured in the same run and subtracted. A client speaks the native
//! dialect of `/ws`; the time runs from its last frame to the first frame of the answer's sound.

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/voice/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/voice/house.rs"]
mod house;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use client::Client;
use house::{House, Setup};
use magpie::audio::wav;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

const ROUNDS: usize = 40;

fn main() {
    let folder = tempfile::tempdir().expect("a folder for the run");
    let engines = Engines::make(folder.path());
    let mut setup = Setup::at(folder.path());
    setup.settings.stt.command = Some(engines.stt.display().to_string());
    setup.settings.tts.command = Some(engines.tts.display().to_string());
    let house = House::start(setup);
    let mut client = Client::connect(&house);
    client.send(&json!({"type": "hello", "proto": 2, "caps": {"play": ["pcm16_16000"]}}));
    client.until("hello");

    let (mut added, mut whole) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let alone = run_alone(&engines.stt) + run_alone(&engines.tts);
        let turn = one_turn(&mut client, round as u16);
        whole.push(turn);
        added.push(turn.saturating_sub(alone));
    }
    print("voice_turn_first_sound_p50", &mut whole, 0.50);
    print("voice_turn_added_p50", &mut added, 0.50);
    print("voice_turn_added_p95", &mut added, 0.95);
    println!("voice_turn_added_budget 100 ms");
}

/// From the end of speech to the first sound of the answer.
fn one_turn(client: &mut Client, stream: u16) -> Duration {
    client.send(
        &json!({"type": "audio_start", "stream": stream, "format": "s16le", "endpoint": "client"}),
    );
    let [low, high] = stream.to_le_bytes();
    for seq in 0..100_u32 {
        let mut frame = vec![1, 0, low, high];
        frame.extend(seq.to_le_bytes());
        frame.extend([0; 640]);
        client.send_bytes(frame);
    }
    client.rest();
    let ended = Instant::now();
    client.send(&json!({"type": "audio_end", "stream": stream}));
    let first = loop {
        if let Message::Binary(_) = client.next() {
            break ended.elapsed();
        }
    };
    client.until("turn_done");
    first
}

/// Programs of fixed delay: 100 ms to understand, 50 ms to speak.
struct Engines {
    stt: PathBuf,
    tts: PathBuf,
}

impl Engines {
    fn make(folder: &Path) -> Engines {
        let sound = folder.join("answer.wav");
        fs::write(&sound, wav::encode(&[1_000; 3_200], 16_000)).expect("write the sound");
        Engines {
            stt: script(
                folder,
                "stt",
                "cat > /dev/null; sleep 0.1; echo what time is it",
            ),
            tts: script(
                folder,
                "tts",
                &format!("cat > /dev/null; sleep 0.05; cat {}", sound.display()),
            ),
        }
    }
}

fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("write a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it a program");
    path
}

fn run_alone(program: &Path) -> Duration {
    let began = Instant::now();
    let done = Command::new(program)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    assert!(done.status.success());
    began.elapsed()
}

fn print(name: &str, times: &mut [Duration], share: f64) {
    times.sort();
    let at = ((times.len() - 1) as f64 * share).round() as usize;
    println!("{name} {:.1} ms", times[at].as_secs_f64() * 1000.0);
}
