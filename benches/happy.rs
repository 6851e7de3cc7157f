//! Happy sync against its gates: memory, live sockets, messages stored and told, lists. Prints
//! `name value unit`.
//!
//! Beside it the original server in the same run, where `HAPPY_UPSTREAM` names the folder in which
//! `tests/happy/compare/upstream` has built it (and `node` is 22 or newer). Servers run on one core
//! and the load on the other, where there are two.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

const SESSIONS: usize = 1_000;
const MESSAGES: usize = 100;
const WRITERS: usize = 16;
const LISTENERS: usize = 4;
const EMITS: usize = 1_000;
const STORING: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(120);
const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    raise_descriptors();
    let ours = measure("happy", Server::ours(), &[1_000, 15_000]);
    let Some(folder) = std::env::var_os("HAPPY_UPSTREAM") else {
        println!("upstream not measured: HAPPY_UPSTREAM names no folder");
        return;
    };
    let upstream = Server::upstream(Path::new(&folder));
    let theirs = measure("upstream", upstream, &[1_000]);
    for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        println!("ratio_{name}_to_upstream {:.3} x", ours / theirs);
    }
}

/// What can be compared.
type Rows = Vec<(&'static str, f64)>;

fn measure(who: &str, server: Server, sockets: &[usize]) -> Rows {
    let account = Account::sign_in(&server);
    for _ in 0..20 {
        account.get("/v1/sessions");
    }
    let mut rows = Rows::new();
    let mut row = |name: &'static str, value: f64, unit: &str, gate: &str| {
        println!("{who}_{name} {value:.2} {unit}{gate}");
        rows.push((name, value));
    };
    row("resident_idle", server.resident_mib(), "MiB", "");

    let began = Instant::now();
    let sessions = fill(&account);
    let stored = (SESSIONS * MESSAGES) as f64 / began.elapsed().as_secs_f64();
    row("messages_in_batches_of_100", stored, "1/s", "");
    row(
        "resident_with_100000_messages",
        server.resident_mib(),
        "MiB",
        "",
    );
    row(
        "list_of_150_sessions_p50",
        median_ms(|| drop(account.get("/v1/sessions"))),
        "ms",
        "",
    );
    row(
        "list_of_1000_sessions_p50",
        median_ms(|| walk(&account)),
        "ms",
        "",
    );

    let (stored, told) = store_and_tell(&server, &account, &sessions);
    row("messages_stored_durably", stored, "1/s", "");
    row("messages_told", told, "1/s", "");
    let (p50, p99) = emit_to_receipt(&server, &account, &sessions[0]);
    row("emit_to_receipt_p50", p50, "ms", "");
    row("emit_to_receipt_p99", p99, "ms", "");

    let before = server.resident_mib();
    let mut open: Vec<TcpStream> = Vec::new();
    for count in sockets {
        while open.len() < *count {
            open.push(idle_socket(&server, &account));
        }
        let bytes = (server.resident_mib() - before) * MIB / *count as f64;
        let name = match count {
            1_000 => "socket_bytes_at_1000",
            _ => "socket_bytes_at_15000",
        };
        row(name, bytes, "B", " (gate 2000)");
    }
    rows
}

/// Their ids.
fn fill(account: &Account) -> Vec<String> {
    (0..SESSIONS)
        .map(|number| {
            let tag = format!("tag-{number}");
            let asked = json!({"tag": tag, "metadata": "m".repeat(400)});
            let made = account.post("/v1/sessions", &asked);
            let id = made["session"]["id"].as_str().expect("an id").to_owned();
            let messages: Vec<Value> = (0..MESSAGES)
                .map(|n| message(&format!("{tag}-{n}")))
                .collect();
            let path = format!("/v3/sessions/{id}/messages");
            account.post(&path, &json!({ "messages": messages }));
            id
        })
        .collect()
}

fn message(local_id: &str) -> Value {
    json!({"localId": local_id, "content": "c".repeat(600)})
}

/// All sessions, page by page.
fn walk(account: &Account) {
    let mut path = String::from("/v2/sessions?limit=200");
    let mut count = 0;
    loop {
        let page = account.get(&path);
        count += page["sessions"].as_array().expect("sessions").len();
        match page["nextCursor"].as_str() {
            Some(next) => path = format!("/v2/sessions?limit=200&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(count, SESSIONS);
}

/// Messages stored, and updates that sockets received, each second.
fn store_and_tell(server: &Server, account: &Account, sessions: &[String]) -> (f64, f64) {
    let listeners: Vec<_> = (0..LISTENERS)
        .map(|_| user_socket(server, account))
        .collect();
    let (stored, told, is_over) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicBool::new(false),
    );
    std::thread::scope(|scope| {
        for (writer, session) in sessions.iter().enumerate().take(WRITERS) {
            let (stored, is_over, account) = (&stored, &is_over, account.another());
            let path = format!("/v3/sessions/{session}/messages");
            scope.spawn(move || {
                for number in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let new = message(&format!("live-{writer}-{number}"));
                    account.post(&path, &json!({"messages": [new]}));
                    stored.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for mut listener in listeners {
            let (stored, told, is_over) = (&stored, &told, &is_over);
            scope.spawn(move || {
                let mut count = 0;
                loop {
                    if is_over.load(Ordering::Relaxed) && count >= stored.load(Ordering::Relaxed) {
                        return;
                    }
                    if event(&mut listener)[0] == "update" {
                        count += 1;
                        told.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        std::thread::sleep(STORING);
        is_over.store(true, Ordering::Relaxed);
        // One more for whoever waits for an update that is not to come.
        std::thread::sleep(Duration::from_millis(500));
        let last = message("live-last");
        let path = format!("/v3/sessions/{}/messages", sessions[0]);
        account.post(&path, &json!({"messages": [last]}));
    });
    let each = |count: &AtomicUsize| count.load(Ordering::Relaxed) as f64 / STORING.as_secs_f64();
    (each(&stored), each(&told))
}

/// From one socket's `message` to the other's `update`, in milliseconds.
fn emit_to_receipt(server: &Server, account: &Account, session: &str) -> (f64, f64) {
    let (mut sender, mut receiver) = (user_socket(server, account), user_socket(server, account));
    let mut times: Vec<f64> = (0..EMITS)
        .map(|number| {
            let local_id = format!("emit-{number}");
            let sent = json!(["message", {
                "sid": session, "localId": local_id, "message": "c".repeat(600),
            }]);
            let began = Instant::now();
            sender
                .send(Message::text(format!("42{sent}")))
                .expect("sent");
            while event(&mut receiver)[1]["body"]["message"]["localId"] != local_id.as_str() {}
            began.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[EMITS / 2], times[EMITS * 99 / 100])
}

/// The next event; pings are answered on the way.
fn event(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        let packet = socket
            .read()
            .expect("a packet")
            .into_text()
            .unwrap_or_default();
        if packet.as_str() == "2" {
            socket.send(Message::text("3")).expect("sent");
        }
        if let Some(event) = packet.strip_prefix("42") {
            return serde_json::from_str(event).expect("an event");
        }
    }
}

fn user_socket(server: &Server, account: &Account) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(server.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream.set_nodelay(true).expect("no delay");
    let url = format!(
        "ws://{}/v1/updates/?EIO=4&transport=websocket",
        server.address
    );
    let (mut socket, _) = tungstenite::client(url, stream).expect("an upgrade");
    let auth = json!({"token": account.token, "clientType": "user-scoped"});
    socket
        .send(Message::text(format!("40{auth}")))
        .expect("sent");
    while !socket
        .read()
        .expect("a packet")
        .into_text()
        .is_ok_and(|packet| packet.starts_with("40"))
    {}
    socket
}

/// A session's socket that says nothing more, as the phone of somebody who sleeps.
fn idle_socket(server: &Server, account: &Account) -> TcpStream {
    let mut socket = user_socket(server, account);
    socket.flush().expect("sent");
    socket.get_ref().try_clone().expect("a descriptor")
}

fn median_ms(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..21)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Who calls, with a connection of its own that is kept.
struct Account {
    base: String,
    token: String,
    agent: ureq::Agent,
}

impl Account {
    fn sign_in(server: &Server) -> Account {
        let key = Ed25519KeyPair::from_seed_unchecked(&[5; 32]).expect("a seed");
        let challenge = [9; 32];
        let asked = json!({
            "publicKey": STANDARD.encode(key.public_key()),
            "challenge": STANDARD.encode(challenge),
            "signature": STANDARD.encode(key.sign(&challenge)),
        });
        let mut account = Account {
            base: format!("http://{}", server.address),
            token: String::from("none"),
            agent: agent(),
        };
        let told = account.post("/v1/auth", &asked);
        account.token = told["token"].as_str().expect("a token").to_owned();
        account
    }

    fn another(&self) -> Account {
        Account {
            base: self.base.clone(),
            token: self.token.clone(),
            agent: agent(),
        }
    }

    fn get(&self, path: &str) -> Value {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        read(request.call())
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = request
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        read(request.send(body.to_string()))
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE));
    ureq::Agent::new_with_config(config.build())
}

fn read(answer: Result<http::Response<ureq::Body>, ureq::Error>) -> Value {
    let mut answer = answer.expect("an answer");
    let body = answer.body_mut().with_config().limit(64 << 20);
    serde_json::from_str(&body.read_to_string().expect("a body")).expect("JSON")
}

struct Server {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Server {
    fn ours() -> Server {
        let folder = TempDir::new().expect("a folder");
        let mut child = on_one_core(Path::new(env!("CARGO_BIN_EXE_magpie")))
            .arg("serve")
            .current_dir(folder.path())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs([
                ("HOST", "127.0.0.1"),
                ("PORT", "0"),
                ("HTTPS_PORT", "off"),
                ("OPS_LISTEN", "off"),
                ("AUDIO_INPUT", "off"),
                ("AUDIO_OUTPUT", "off"),
                ("RATE_LIMIT", "0"),
                ("HAPPY_REGISTRATION", "open"),
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("http=")?.parse().ok());
        Server {
            child,
            address: address.unwrap_or_else(|| panic!("no address in {line:?}")),
            _folder: folder,
        }
    }

    /// Standalone, with PGlite, on data of its own.
    fn upstream(built: &Path) -> Server {
        let folder = TempDir::new().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let command = |word: &str| {
            let mut command = on_one_core(&PathBuf::from("node"));
            command
                .args(["--import", "tsx", "sources/standalone.ts", word])
                .current_dir(built)
                .envs([
                    ("HOST", "127.0.0.1"),
                    ("DB_PROVIDER", "pglite"),
                    ("METRICS_ENABLED", "false"),
                    ("HANDY_MASTER_SECRET", "of-the-bench"),
                ])
                .env("PORT", port.to_string())
                .env("DATA_DIR", folder.path())
                .env("PGLITE_DIR", folder.path().join("pglite"))
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
        };
        let migrated = command("migrate").status().expect("node 22 is needed");
        assert!(migrated.success(), "upstream did not migrate: {migrated}");
        let child = command("serve").spawn().expect("node starts");
        let server = Server {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            _folder: folder,
        };
        let began = Instant::now();
        while !answers(server.address) {
            assert!(began.elapsed() < PATIENCE, "upstream does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    fn resident_mib(&self) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a line");
        let kib: f64 = line
            .split_whitespace()
            .next()
            .and_then(|number| number.parse().ok())
            .expect("a number");
        kib / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `taskset` becomes the program, so that its process is the one that is measured.
fn on_one_core(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let asked = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut answer = Vec::new();
    stream.write_all(asked).is_ok()
        && stream
            .read_to_end(&mut answer)
            .is_ok_and(|_| !answer.is_empty())
}

fn raise_descriptors() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls are given a whole `rlimit`; servers inherit what is set.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
}
