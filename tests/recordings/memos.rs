//! Memos of an hour: streamed to the card, understood in pieces, through kills at any time.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use magpie::audio::wav;

use crate::rig::{home, memories, queue, raw, send, until};
use crate::support::Home;

const RATE: usize = 16_000;

/// Sound whose minutes tell their number, with a second of silence before each.
fn minutes(count: i16) -> Vec<u8> {
    let mut samples = Vec::with_capacity(count as usize * 60 * RATE);
    for minute in 0..count {
        samples.extend(std::iter::repeat_n(0_i16, RATE));
        samples.extend(std::iter::repeat_n(1_001 + minute, 59 * RATE));
    }
    wav::encode(&samples, 16_000)
}

/// The same as FLAC.
pub fn packed(home: &Home, count: i16) -> Vec<u8> {
    fs::write(home.path("memo.wav"), minutes(count)).unwrap();
    let packed = Command::new("sox")
        .args(["memo.wav", "memo.flac"])
        .current_dir(home.path(""))
        .status()
        .expect("run sox (apt install sox)");
    assert!(packed.success());
    fs::read(home.path("memo.flac")).unwrap()
}

fn numbers(text: &str) -> Vec<u32> {
    let words = text.split_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn an_hour_is_understood_in_pieces_in_order_through_kills_between_and_in_them() {
    let home = home().set("MAX_UPLOAD_SIZE", "200MB");
    home.write("slow", "0.4");
    let running = home.serve();
    let sound = minutes(60);
    let (status, answer) = send(&running, "mode=note&client_id=hour", &sound);
    assert_eq!(status, 202, "{answer}");
    drop(sound);
    let calls = || home.read("calls").lines().count();
    let mut kills = 0;
    let mut running = running;
    for wanted in [1, 3] {
        until("a piece is under way", || calls() >= wanted);
        running.kill();
        kills += 1;
        running = home.serve();
    }
    until("the memo is stored", || !memories(&running).is_empty());
    let text = memories(&running).remove(0);
    let heard = numbers(&text);
    println!(
        "an hour: faults_injected={kills} calls={} pieces={} text={text:?}",
        calls(),
        heard.len()
    );
    assert_eq!(heard.first(), Some(&1), "{text}");
    assert!(
        heard.is_sorted() && (6..=8).contains(&heard.len()),
        "{text}"
    );
    // Each piece begins where the one before ended: eight to ten minutes on.
    assert!(
        heard
            .windows(2)
            .all(|pair| (8..=10).contains(&(pair[1] - pair[0]))),
        "{text}"
    );
    assert!(
        calls() <= heard.len() + kills,
        "done pieces were understood again"
    );
    until("nothing waits", || queue(&running)["pending"] == 0);
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing_and_comes_whole_the_next_time() {
    let home = home();
    let running = home.serve();
    let sound = crate::rig::numbered(9);
    let address = running.address("http").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /api/v1/voice?mode=note&client_id=x HTTP/1.1\r\nhost: localhost\r\n\
         content-type: audio/wav\r\ncontent-length: {}\r\n\r\n",
        sound.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&sound[..20_000]).unwrap();
    let parts = || fs::read_dir(home.path("data/recordings")).map_or(0, Iterator::count);
    until("it is written as it comes", || parts() == 1);
    running.kill();
    drop(stream);
    let running = home.serve();
    until("the half is gone", || parts() == 0);
    let (status, answer) = send(&running, "mode=note&client_id=x", &sound);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(memories(&running), ["number 9"]);
}

#[test]
fn a_long_memo_that_is_compressed_is_understood_in_pieces_through_a_kill() {
    let home = home();
    home.write("slow", "0.4");
    let sound = packed(&home, 25);
    let running = home.serve();
    let (status, answer) = send(&running, "mode=note&client_id=packed", &sound);
    assert_eq!(status, 202, "{answer}");
    let calls = || home.read("calls").lines().count();
    until("a piece is under way", || calls() >= 2);
    running.kill();
    let running = home.serve();
    until("the memo is stored", || !memories(&running).is_empty());
    let heard = numbers(&memories(&running).remove(0));
    println!("25 minutes of FLAC ({} bytes): {heard:?}", sound.len());
    assert_eq!(heard.first(), Some(&1));
    assert!(heard.is_sorted() && heard.len() == 3, "{heard:?}");
    assert!(calls() <= heard.len() + 1, "{}", calls());
    until("nothing waits", || queue(&running)["pending"] == 0);
    let id = answer["data"]["recording_id"].as_str().unwrap();
    let (_, _, kept) = raw(&running, "GET", &format!("/api/v1/audio/{id}"), "", b"");
    assert_eq!(kept, sound, "the sound is kept as it came");
    let files = fs::read_dir(home.path("data/recordings")).unwrap().count();
    assert_eq!(files, 1, "nothing is left of the work");
}
