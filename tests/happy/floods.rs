//! Too much of everything: events that are never to be written, clients that do not read, and
//! everybody at once after a restart.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Client;
use crate::phone::home;
use crate::socket::Socket;
use crate::support::Running;

/// Only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(180);

/// Bytes that the process had written to the card.
fn written(running: &Running) -> u64 {
    let path = format!("/proc/{}/io", running.pid());
    let told = std::fs::read_to_string(path).expect("it runs");
    let line = told
        .lines()
        .find_map(|line| line.strip_prefix("wchar: "))
        .expect("a line");
    line.parse().expect("a number")
}

#[test]
fn heartbeats_are_told_one_by_one_and_written_seldom() {
    const BEATS: u64 = 3_000;
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let mut phone = Socket::user(&client);
    let mut terminal = Socket::session(&client, &session);
    let database = home.path("data/voice-memory.db-wal");
    let size = || std::fs::metadata(&database).map_or(0, |about| about.len());
    let before = (size(), written(&running));
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .expect("a clock")
        .as_millis() as u64;
    for beat in 0..BEATS {
        let alive = json!({"sid": session, "time": now, "thinking": beat % 2 == 0});
        terminal.emit("session-alive", &alive);
        assert_eq!(phone.hears_ephemeral()["thinking"], beat % 2 == 0, "{beat}");
    }
    // What the phone was told went through the same counter; a page of the log is 4 KiB.
    let told = written(&running) - before.1;
    let logged = size() - before.0;
    assert!(
        logged < 64 * 1024,
        "{logged} bytes of log for {BEATS} heartbeats, {told} in all"
    );
}

#[test]
fn a_client_that_never_reads_is_cut_off_and_the_others_hear_everything() {
    const MESSAGES: usize = 40;
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let mut reader = Socket::user(&client);
    let mut sleeper = Socket::user(&client);
    let path = format!("/v3/sessions/{session}/messages");
    let content = "x".repeat(900_000);
    let before = running.resident_bytes();
    for number in 0..MESSAGES {
        let local_id = number.to_string();
        let message = json!({"localId": local_id, "content": content});
        let (status, told) = client.post(&path, &json!({"messages": [message]}));
        assert_eq!(status, 200, "{told}");
        let heard = reader.hears_update();
        assert_eq!(heard["body"]["message"]["localId"], local_id.as_str());
    }
    let gauge = || {
        let (_, told) = crate::phone::get(&running, "/api/v1/happy");
        told["data"]["accounts"][0]["devices"][0]["connected"].clone()
    };
    assert_eq!(gauge(), true, "the reader is still there");
    // What was sent before the cut is in the kernel's buffers; then comes the end.
    assert!(sleeper.reads_to_its_end() < MESSAGES);
    let grown = running.resident_bytes().saturating_sub(before) >> 20;
    assert!(grown < 64, "{grown} MiB for one that does not read");
    reader.hears_nothing();
}

#[test]
fn five_thousand_clients_come_back_at_once_after_a_restart_and_hear_what_comes() {
    const CLIENTS: usize = 5_000;
    const CALLERS: usize = 8;
    raise_descriptors(CLIENTS as u64 + 500);
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let bearer = client.bearer.clone();
    running.kill();

    let running = home.serve();
    let client = Client {
        running: &running,
        bearer,
    };
    let (let_in, heard) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                let mut sockets: Vec<Socket> = (0..CLIENTS / CALLERS)
                    .map(|_| {
                        let socket = Socket::user(&client);
                        let_in.fetch_add(1, Ordering::Relaxed);
                        socket
                    })
                    .collect();
                for socket in &mut sockets {
                    let update = socket.hears_update();
                    assert_eq!(update["body"]["message"]["localId"], "after");
                    heard.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let deadline = Instant::now() + PATIENCE;
        while let_in.load(Ordering::Relaxed) < CLIENTS {
            let count = let_in.load(Ordering::Relaxed);
            assert!(Instant::now() < deadline, "only {count} were let in");
            std::thread::sleep(Duration::from_millis(20));
        }
        let message = json!({"localId": "after", "content": "c"});
        let path = format!("/v3/sessions/{session}/messages");
        assert_eq!(client.post(&path, &json!({"messages": [message]})).0, 200);
    });
    assert_eq!(heard.load(Ordering::Relaxed), CLIENTS);
    println!(
        "{CLIENTS} sockets: resident {} MiB",
        running.resident_bytes() >> 20
    );
}

fn raise_descriptors(wanted: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls are given a whole `rlimit`.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max.min(wanted.max(limit.rlim_cur));
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
    assert!(
        limit.rlim_cur >= wanted,
        "this machine allows {} files",
        limit.rlim_cur
    );
}
