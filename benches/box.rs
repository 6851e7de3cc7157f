//! The whole box against its budgets: memory, requests, start, size. Prints `name value unit`, and
//! beside a figure with a budget the budget; the ratio to a peer is measured in the same run.
//!
//! Needs `wrk`. The box runs on one core and the load on the other, where there are two.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const PEER: &str = "MAGPIE_BENCH_PEER";
const MIB: f64 = 1024.0 * 1024.0;
const TURNS: usize = 1_000;

fn main() {
    if std::env::var_os(PEER).is_some() {
        return peer();
    }
    size();
    start();
    let house = House::start();
    memory_and_requests(&house);
}

fn size() {
    let bytes = fs::metadata(env!("CARGO_BIN_EXE_magpie")).unwrap().len();
    print("binary_size", bytes as f64 / MIB, "MiB", "12 for aarch64");
}

fn start() {
    let mut times = Vec::new();
    for _ in 0..11 {
        let began = Instant::now();
        let house = House::start();
        house.get("/health");
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    print("exec_to_first_answer_p50", times[5], "ms", "150 on x86_64");
    print("exec_to_first_answer_max", times[10], "ms", "");
}

fn memory_and_requests(house: &House) {
    for _ in 0..50 {
        house.get("/health");
    }
    print("resident_idle", house.resident_mib(), "MiB", "16");
    let memory = house.post(
        "/api/v1/memories",
        &json!({"content": "the spare key is under the blue flower pot"}),
    );
    let id = memory["data"]["id"].as_str().unwrap().to_owned();
    for turn in 0..TURNS {
        let message = match turn % 4 {
            0 => format!("remember that box {turn} is on shelf {}", turn % 17),
            1 => String::from("where is the spare key"),
            2 => String::from("备用钥匙在哪里"),
            _ => String::from("what time is it"),
        };
        house.post("/api/v1/chat", &json!({ "message": message }));
    }
    print("resident_after_1000_turns", house.resident_mib(), "MiB", "");

    let health = wrk(house.address, "/health");
    let by_id = wrk(house.address, &format!("/api/v1/memories/{id}"));
    let row = Peer::start();
    let peer = wrk(row.address, "/");
    print("requests_health", health, "1/s", "");
    print("requests_memory_by_id", by_id, "1/s", "80000 on one core");
    print("requests_peer_tiny_http_one_row", peer, "1/s", "");
    print("ratio_memory_by_id_to_peer", by_id / peer, "x", "");

    print("resident_under_load", house.resident_mib(), "MiB", "");
    let idle: Vec<TcpStream> = (0..400)
        .map(|_| TcpStream::connect(house.address).unwrap())
        .collect();
    for mut connection in &idle {
        let _ = connection.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n");
    }
    std::thread::sleep(Duration::from_millis(300));
    print(
        "resident_with_400_connections",
        house.resident_mib(),
        "MiB",
        "",
    );
    drop(idle);
    // The allocator is trimmed at most once in 30 s, and looked at each 5 s.
    std::thread::sleep(Duration::from_secs(50));
    print("resident_after_load", house.resident_mib(), "MiB", "16");
}

fn print(name: &str, value: f64, unit: &str, budget: &str) {
    if budget.is_empty() {
        println!("{name} {value:.2} {unit}");
    } else {
        println!("{name} {value:.2} {unit} (budget {budget})");
    }
}

/// Requests a second of 64 connections over 5 s, the median of three runs.
fn wrk(address: SocketAddr, path: &str) -> f64 {
    let mut runs: Vec<f64> = (0..3).map(|_| wrk_once(address, path)).collect();
    runs.sort_by(f64::total_cmp);
    runs[1]
}

fn wrk_once(address: SocketAddr, path: &str) -> f64 {
    let url = format!("http://localhost:{}{path}", address.port());
    let output = Command::new("taskset")
        .args(["-c", "1", "wrk", "-t1", "-c64", "-d5s", &url])
        .output()
        .expect("wrk and taskset are needed");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        !text.contains("Non-2xx"),
        "{url} was refused under load: {text}"
    );
    text.lines()
        .find_map(|line| {
            line.trim()
                .strip_prefix("Requests/sec:")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or_else(|| panic!("wrk said {output:?}"))
}

struct House {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl House {
    fn start() -> House {
        let folder = TempDir::new().unwrap();
        let mut child = Command::new("taskset")
            .args(["-c", "0", env!("CARGO_BIN_EXE_magpie"), "serve"])
            .current_dir(folder.path())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs([
                ("HOST", "127.0.0.1"),
                ("PORT", "0"),
                ("HTTPS_PORT", "0"),
                ("OPS_LISTEN", "127.0.0.1:0"),
                ("AUDIO_INPUT", "off"),
                ("AUDIO_OUTPUT", "off"),
                ("RATE_LIMIT", "0"),
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = read_address(&mut child, "http=");
        House {
            child,
            address,
            _folder: folder,
        }
    }

    fn get(&self, path: &str) -> Value {
        self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        ))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        self.exchange(&format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn exchange(&self, request: &str) -> Value {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{answer}");
        serde_json::from_str(body).unwrap()
    }

    fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1024.0
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_address(child: &mut Child, key: &str) -> SocketAddr {
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(key)?.parse().ok())
        .unwrap_or_else(|| panic!("no address in {line:?}"))
}

/// tiny_http with four threads answers one SQLite row: what one would write first.
struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Peer {
    fn start() -> Peer {
        let mut child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(std::env::current_exe().unwrap())
            .env(PEER, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let address = read_address(&mut child, "http=");
        Peer { child, address }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn peer() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("peer.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE memories (id TEXT PRIMARY KEY, content TEXT);
             INSERT INTO memories VALUES ('mem_1', 'the spare key is under the blue flower pot');",
        )
        .unwrap();
    let server = std::sync::Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
    println!("http={}", server.server_addr());
    for _ in 0..4 {
        let (server, path) = (server.clone(), path.clone());
        std::thread::spawn(move || {
            let database = rusqlite::Connection::open(path).unwrap();
            for request in server.incoming_requests() {
                let mut row = database
                    .prepare_cached("SELECT content FROM memories WHERE id = ?1")
                    .unwrap();
                let content: String = row.query_row(["mem_1"], |row| row.get(0)).unwrap();
                let body = json!({"success": true, "data": {"content": content}}).to_string();
                let _ = request.respond(tiny_http::Response::from_string(body));
            }
        });
    }
    loop {
        std::thread::park();
    }
}
