//! Thousands of bad clients at once: normal requests are answered meanwhile, and memory
//! returns. Each test runs in a process of its own, so that its memory is its own.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use magpie::server::ServerLimits;
use magpie::server::connection::Phase;

use crate::house::{Client, House, impatient};
use crate::machine;

/// Set in the child process that does the work of a test.
const CHILD: &str = "MAGPIE_CROWD_TEST";

/// Runs `test` alone in a child process, under `limits` of the shell.
fn alone(test: &str, limits: &str, work: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return work();
    }
    let program = machine::this_program();
    let output = Command::new("sh")
        .args(["-c", &format!("{limits} exec \"$@\""), "sh"])
        .arg(program.get_program())
        .args(program.get_args())
        .args(["--exact", &format!("crowds::{test}"), "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the test failed in its process");
    assert!(text.contains("1 passed"), "nothing ran: {text}");
}

fn rss_kib() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    text.lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .expect("a size")
}

/// Two thousand clients that each send `start` and no more, with normal requests among them.
fn crowd(start: &str, which: Phase, at_most: usize) {
    let house = House::with(|options| {
        options.limits = ServerLimits {
            head: Duration::from_secs(3),
            body_gap: Duration::from_secs(3),
            ..impatient()
        };
    });
    assert_eq!(house.get("/health").status, 200);
    let before = rss_kib();
    let mut crowd: Vec<TcpStream> = Vec::new();
    let mut answered = 0;
    let mut peak = 0;
    for number in 0..2_000 {
        let mut client = Client::to(house.http);
        client.send(start);
        crowd.push(client.tcp);
        if number % 50 == 0 {
            assert_eq!(house.get("/health").status, 200, "beside {number}");
            answered += 1;
            peak = peak.max(rss_kib());
        }
    }
    let waiting = house.ask(move |server| async move { server.table().phase(which) });
    assert!((at_most / 2..=at_most).contains(&waiting), "{waiting}");
    house.ask(|server| async move {
        while server.table().open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    drop(crowd);
    assert_eq!(house.get("/health").status, 200);
    // SAFETY: takes an integer; what the server's own policy does within half a minute.
    unsafe { libc::malloc_trim(0) };
    let after = rss_kib();
    println!(
        "2000 clients: {waiting} waiting at the end, {answered} normal requests answered, resident kB before {before} peak {peak} after {after}"
    );
    assert!(peak < before + 32 * 1024, "{before} {peak}");
    assert!(after < before + 4 * 1024, "{before} {after}");
}

#[test]
fn two_thousand_half_open_heads_hold_nothing() {
    alone("two_thousand_half_open_heads_hold_nothing", "", || {
        crowd("GET /health HTTP/1.1\r\nHost: loc", Phase::Head, 256);
    });
}

#[test]
fn two_thousand_half_sent_bodies_hold_nothing() {
    alone("two_thousand_half_sent_bodies_hold_nothing", "", || {
        crowd(
            "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nhalf",
            Phase::Body,
            192,
        );
    });
}

#[test]
fn three_hundred_event_readers_that_stop_reading_hold_nothing() {
    alone(
        "three_hundred_event_readers_that_stop_reading_hold_nothing",
        "",
        || {
            let house = House::with(|options| {
                options.limits = ServerLimits {
                    write_stall: Duration::from_secs(2),
                    ..impatient()
                };
            });
            let before = rss_kib();
            let mut readers: Vec<TcpStream> = Vec::new();
            for _ in 0..300 {
                let mut client = Client::to(house.http);
                client.send("GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n");
                readers.push(client.tcp);
            }
            house.ask(|server| async move {
                while server.table().phase(Phase::Streaming) < 300 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
            let kernel = kernel_tcp_kib();
            let peak = rss_kib();
            for _ in 0..20 {
                assert_eq!(house.get("/health").status, 200);
            }
            house.ask(|server| async move {
                while server.table().open() > 0 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
            // SAFETY: takes an integer; what the server's own policy does within half a minute.
            unsafe { libc::malloc_trim(0) };
            let after = rss_kib();
            println!(
                "300 readers: resident kB before {before} peak {peak} after {after}, kernel TCP kB {kernel}"
            );
            assert!(peak < before + 48 * 1024, "{before} {peak}");
            assert!(after < before + 6 * 1024, "{before} {after}");
        },
    );
}

/// What the kernel's TCP holds, of this machine.
fn kernel_tcp_kib() -> usize {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("TCP:"))
        .and_then(|line| line.split_whitespace().last()?.parse::<usize>().ok())
        .unwrap_or(0)
        * 4
}

#[test]
fn without_descriptors_the_door_says_so_and_opens_again() {
    alone(
        "without_descriptors_the_door_says_so_and_opens_again",
        "ulimit -S -n 64;",
        || {
            let house = House::with(|options| {
                options.limits = ServerLimits {
                    idle: Duration::from_secs(60),
                    idle_crowded: Duration::from_secs(60),
                    head: Duration::from_secs(60),
                    ..impatient()
                };
            });
            // Clients in other processes, so that only the server runs out.
            let script = format!(
                "import socket,time,sys\ns=[socket.create_connection(('127.0.0.1',{})) for _ in range(200)]\nprint('open',flush=True)\nsys.stdin.read()",
                house.http.port()
            );
            let mut clients = Command::new("sh")
                .args(["-c", "ulimit -S -n 1024; exec python3 -c \"$0\"", &script])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("python3");
            let mut line = String::new();
            let mut told = std::io::BufReader::new(clients.stdout.take().expect("a pipe"));
            std::io::BufRead::read_line(&mut told, &mut line).expect("a line");
            assert_eq!(line, "open\n");
            // The loop still turns, and does not spin on accept.
            let before = cpu_ticks();
            house.ask(|_| async { tokio::time::sleep(Duration::from_millis(500)).await });
            let spent = cpu_ticks() - before;
            println!("clock ticks spent in half a second without descriptors: {spent}");
            assert!(spent < 25, "{spent}");
            drop(clients.stdin.take());
            clients.wait().expect("python3 ends");
            house.ask(|server| async move {
                while server.table().open() > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
            assert_eq!(house.get("/health").status, 200);
        },
    );
}

/// User and system time of this process, in hundredths of a second.
fn cpu_ticks() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap_or(0) + fields[12].parse::<u64>().unwrap_or(0)
}
