//! `magpie satellite`: the real program with a card of its own, against a box without any.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::alsa::{self, Card, SPEECH, STUDIO};
use crate::house::{House, PATIENCE, Setup};
use crate::machine;

const QUESTION: &str = "where is the spare key";

struct Satellite {
    child: Child,
    lines: Receiver<String>,
    stdin: ChildStdin,
}

impl Satellite {
    fn start(card: &Card, folder: &Path, url: &str, more: &[&str]) -> Satellite {
        let mut child = machine::program(env!("CARGO_BIN_EXE_magpie"))
            .args(["satellite", "--url", url])
            .args(more)
            .current_dir(folder)
            .env("ALSA_CONFIG_PATH", card.config())
            .env("AUDIO_INPUT", alsa::MICROPHONE)
            .env("AUDIO_OUTPUT", alsa::SPEAKER)
            .env("VOLUME", "100")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("a pipe");
        let stdin = child.stdin.take().expect("a pipe");
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        Satellite {
            child,
            lines,
            stdin,
        }
    }

    fn until(&self, begins: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(deadline - Instant::now()) {
            if line.starts_with(begins) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line begins {begins:?}: {seen:?}");
    }
}

impl Drop for Satellite {
    fn drop(&mut self) {
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let status = self.child.wait().expect("it ends");
        if !std::thread::panicking() {
            assert!(status.success(), "{status}");
        }
    }
}

/// With the silence of a room around it.
fn spoken(text: &str) -> Vec<i16> {
    let silence = vec![0; 16_000];
    let speech = alsa::speak(text, "slt", 16_000);
    [silence.clone(), speech, silence].concat()
}

#[test]
fn a_voice_in_another_room_is_heard_and_answered_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let data = tempfile::tempdir().expect("a folder");
    let house = House::start(Setup::at(data.path()));
    house.done(
        "/api/v1/chat",
        &json!({"message": "remember that the spare key is under the blue flower pot"}),
    );
    let url = format!("ws://{}/ws", house.address);
    let satellite = Satellite::start(&card, folder.path(), &url, &[]);
    satellite.until("magpie satellite connected");
    card.say(&spoken(QUESTION));
    assert_eq!(satellite.until("heard: "), format!("heard: {QUESTION}"));
    assert!(satellite.until("says: ").contains("blue flower pot"));
    let deadline = Instant::now() + PATIENCE;
    let loud = || {
        card.heard()
            .iter()
            .filter(|sample| sample.abs() > 1_000)
            .count()
    };
    while loud() < 4_800 {
        assert!(
            Instant::now() < deadline,
            "the answer never came out of the speaker"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn with_push_a_satellite_listens_when_enter_is_pressed_and_stops_what_rings() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let data = tempfile::tempdir().expect("a folder");
    let house = House::start(Setup::at(data.path()));
    let url = format!("ws://{}/ws", house.address);
    let mut satellite = Satellite::start(&card, folder.path(), &url, &["--push"]);
    satellite.until("magpie satellite connected");
    let (status, timer) = house.post("/api/v1/timers", &json!({"duration": 0.1, "label": "tea"}));
    assert_eq!(status, 201, "{timer}");
    assert_eq!(satellite.until("rings: "), "rings: tea");
    satellite.stdin.write_all(b"\n").expect("a press");
    let deadline = Instant::now() + PATIENCE;
    while house.get("/api/v1/timers?state=done").1["data"]["total"] != 1 {
        assert!(Instant::now() < deadline, "the press stopped nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    card.say(&spoken(QUESTION));
    satellite.stdin.write_all(b"\n").expect("a press");
    assert_eq!(satellite.until("heard: "), format!("heard: {QUESTION}"));
}

#[test]
fn a_box_that_goes_and_comes_back_is_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let data = tempfile::tempdir().expect("a folder");
    let house = House::start(Setup::at(data.path()));
    // A fixed place that outlives the box: the satellite's way goes through it.
    let way = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/ws", way.local_addr().expect("an address"));
    let box_address = house.address;
    std::thread::spawn(move || {
        for client in way.incoming().map_while(Result::ok).take(2) {
            let server = std::net::TcpStream::connect(box_address).expect("the box");
            let first = client.try_clone().expect("a copy");
            let (mut from, mut to) = (client, server.try_clone().expect("a copy"));
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (server, first.try_clone().expect("a copy"));
            let back = std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
            });
            // The first connection breaks off soon.
            std::thread::sleep(Duration::from_millis(300));
            let _ = first.shutdown(std::net::Shutdown::Both);
            let _ = back;
        }
    });
    let satellite = Satellite::start(&card, folder.path(), &url, &["--push"]);
    satellite.until("magpie satellite connected");
    satellite.until("magpie satellite connected");
}
