//! Sockets and credentials as systemd hands them over; the test stands in for systemd, and holds the
//! sockets open while the box restarts.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{Home, errors, eventually, exchange, out};

/// First of those that systemd passes.
const FIRST: i32 = 3;

/// The box with these sockets as its descriptors 3, 4 and so on.
fn activated(home: &Home, sockets: &[&TcpListener]) -> Command {
    let plain = home.command(&[]);
    let mut command = Command::new("sh");
    // The number of the process that the box will be is known only inside it.
    command
        .args(["-c", "LISTEN_PID=$$ exec \"$0\" serve"])
        .arg(plain.get_program())
        .current_dir(home.folder.path())
        .env_clear()
        .envs(
            plain
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("LISTEN_FDS", sockets.len().to_string());
    // Copies above all numbers that are to be filled.
    let copies: Vec<i32> = sockets
        .iter()
        .map(|socket| unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 100) })
        .collect();
    assert!(copies.iter().all(|copy| *copy >= 100));
    // SAFETY: dup2 alone is called between fork and exec.
    unsafe {
        command.pre_exec(move || {
            for (index, copy) in copies.iter().enumerate() {
                if libc::dup2(*copy, FIRST + index as i32) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    command
}

fn socket() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

#[test]
fn no_call_is_refused_or_cut_off_while_the_box_restarts() {
    const RESTARTS: usize = 4;
    let (socket, address) = socket();
    let home = Home::new().set("PORT", &address.port().to_string());
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failed = thread::scope(|scope| {
        let caller = || {
            let mut failed = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                match exchange(address, "GET", "/health", None) {
                    Ok(answer) if answer.status == 200 => {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(answer) => failed.push(format!("{answer:?}")),
                    Err(error) => failed.push(error.to_string()),
                }
            }
            failed
        };
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(caller)).collect();
        for _ in 0..=RESTARTS {
            let running = home.serve_by(activated(&home, &[&socket]));
            assert_eq!(running.address("http"), Some(address));
            let before = answered.load(Ordering::Relaxed);
            assert!(eventually(|| answered.load(Ordering::Relaxed) > before + 20));
            assert!(running.stop().success());
            // Long enough that somebody calls while nobody is at home.
            thread::sleep(Duration::from_millis(200));
        }
        let running = home.serve_by(activated(&home, &[&socket]));
        is_over.store(true, Ordering::Relaxed);
        let failed: Vec<String> = callers
            .into_iter()
            .flat_map(|one| one.join().unwrap())
            .collect();
        drop(running);
        failed
    });
    let answered = answered.load(Ordering::Relaxed);
    println!(
        "{answered} calls answered over {RESTARTS} restarts, {} failed",
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn each_port_takes_the_socket_of_its_number_whatever_their_order() {
    let ((one, http), (two, https), (other, _)) = (socket(), socket(), socket());
    let home = Home::new()
        .set("PORT", &http.port().to_string())
        .set("HTTPS_PORT", &https.port().to_string());
    let running = home.serve_by(activated(&home, &[&other, &two, &one]));
    assert_eq!(running.address("http"), Some(http));
    assert_eq!(running.address("https"), Some(https));
    running.wait_for_log("event=passed_socket_not_used");
    assert_eq!(running.get("/health").status, 200);
}

#[test]
fn a_socket_that_takes_more_calls_than_host_allows_is_refused() {
    let socket = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
    let port = socket.local_addr().unwrap().port().to_string();
    let home = Home::new().set("PORT", &port);
    let done = activated(&home, &[&socket]).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(
        errors(&done).contains("systemctl edit magpie.socket"),
        "{}",
        errors(&done)
    );
}

#[test]
fn a_credential_is_a_setting_and_is_never_shown() {
    let home = Home::new();
    fs::create_dir(home.path("credentials")).unwrap();
    home.write("credentials/OPENAI_API_KEY", "sk-of-the-test\n");
    home.write("credentials/RATE_LIMIT", "77\n");
    let shown = home
        .command(&["config"])
        .env("CREDENTIALS_DIRECTORY", home.path("credentials"))
        .env_remove("RATE_LIMIT")
        .output()
        .unwrap();
    let text = out(&shown);
    assert!(shown.status.success(), "{}", errors(&shown));
    let line = |name: &str| {
        text.lines()
            .find(|line| line.contains(name))
            .unwrap_or_default()
    };
    assert!(line("RATE_LIMIT").contains("77"), "{text}");
    assert!(line("OPENAI_API_KEY").contains("credential"), "{text}");
    assert!(!text.contains("sk-of-the-test"), "{text}");
}
