//! What Happy's clients were told is stored is there after every kill and every power cut, and each
//! local id once, however often it was sent.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use magpie::store::{Durability, StoreError};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::driver::{self, DATABASE, on_loop};
use super::phone::{self, Phone};
use super::preload::recorder_library;
use super::program::support::Running;
use super::replay::{self, Change, Fate, Random};
use super::rig::seed;

const ROUNDS: u64 = 40;
const PATIENCE: Duration = Duration::from_secs(20);
/// Until clients are at work; only reached when something is broken.
const LOAD_MAX: Duration = Duration::from_secs(120);
const CONTENT_BYTES: usize = 900;

/// What a client sends as `local_id`; told by the id, so that a mix-up shows.
fn content(local_id: &str) -> String {
    let mut text = format!("sealed {local_id} ");
    while text.len() < CONTENT_BYTES {
        text.push_str("0123456789abcdef");
    }
    text
}

/// A call that may break off, as calls do when the box is killed.
fn call(
    address: SocketAddr,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}

fn session(address: SocketAddr, token: &str, tag: &str) -> String {
    let asked = json!({"tag": tag, "metadata": "bQ=="}).to_string();
    let told = call(address, token, "POST", "/v1/sessions", &asked).expect("an answer");
    told.1["session"]["id"].as_str().expect("an id").to_owned()
}

/// Sends until the box is gone; what was acknowledged, and the last that was not.
fn send_over_http(
    address: SocketAddr,
    token: &str,
    session: &str,
    unsure: Option<String>,
    name: &str,
    acknowledged: &dyn Fn(String),
) -> Option<String> {
    let path = format!("/v3/sessions/{session}/messages");
    let fresh = (0..).map(|number| format!("{name}-{number}"));
    for local_id in unsure.into_iter().chain(fresh) {
        let message = json!({"localId": local_id, "content": content(&local_id)});
        let asked = json!({"messages": [message]}).to_string();
        match call(address, token, "POST", &path, &asked) {
            Some((200, _)) => acknowledged(local_id),
            _ => return Some(local_id),
        }
    }
    None
}

/// A socket of one account that is in its user scope.
fn socket(address: SocketAddr, token: &str) -> Option<WebSocket<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let url = format!("ws://{address}/v1/updates/?EIO=4&transport=websocket");
    let (mut socket, _) = tungstenite::client(url, stream).ok()?;
    let auth = json!({"token": token, "clientType": "user-scoped"});
    socket.send(Message::text(format!("40{auth}"))).ok()?;
    loop {
        let packet = socket.read().ok()?.into_text().ok()?;
        if packet.starts_with("40") {
            return Some(socket);
        }
    }
}

/// An older client's way: no acknowledgement, so what another socket is told counts as one.
fn send_over_socket(
    address: SocketAddr,
    token: &str,
    session: &str,
    unsure: Option<String>,
    name: &str,
    acknowledged: &dyn Fn(String),
) -> Option<String> {
    let sockets = socket(address, token).zip(socket(address, token));
    let Some((mut sender, mut witness)) = sockets else {
        return unsure;
    };
    let again = unsure.map(|local_id| (local_id, false));
    let fresh = (0..).map(|number| (format!("{name}-{number}"), true));
    for (local_id, is_fresh) in again.into_iter().chain(fresh) {
        let event = json!(["message", {
            "sid": session, "localId": local_id, "message": content(&local_id),
        }]);
        if sender.send(Message::text(format!("42{event}"))).is_err() {
            return Some(local_id);
        }
        // One that is sent again may have been told before, so nobody waits for it.
        if is_fresh && !hears_of(&mut witness, &local_id) {
            return Some(local_id);
        }
        if is_fresh {
            acknowledged(local_id);
        }
    }
    None
}

/// Whether the update of a message comes before the connection's end.
fn hears_of(witness: &mut WebSocket<TcpStream>, local_id: &str) -> bool {
    while let Ok(packet) = witness.read() {
        let packet = packet.into_text().unwrap_or_default();
        if packet.as_str() == "2" {
            let _ = witness.send(Message::text("3"));
        }
        let Some(event) = packet.strip_prefix("42") else {
            continue;
        };
        let event: Value = serde_json::from_str(event).expect("an event");
        if event[1]["body"]["message"]["localId"] == local_id {
            return true;
        }
    }
    false
}

/// All messages of a session by local id, after checking that their numbers have no gap.
fn stored(running: &Running, token: &str, session: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut after = 0;
    loop {
        let path = format!("/v3/sessions/{session}/messages?after_seq={after}&limit=500");
        let (status, page) = phone::call(running, "GET", &path, Some(&format!("Bearer {token}")));
        assert_eq!(status, 200, "{page}");
        for message in page["messages"].as_array().expect("messages") {
            after += 1;
            assert_eq!(message["seq"], after, "a gap in the numbers");
            let local_id = message["localId"].as_str().expect("a local id").to_owned();
            let content = message["content"]["c"].as_str().expect("text").to_owned();
            assert_eq!(
                found.insert(local_id.clone(), content),
                None,
                "{local_id} twice"
            );
        }
        if page["hasMore"] == false {
            return found;
        }
    }
}

#[test]
fn forty_kills_during_message_traffic_lose_nothing_and_double_nothing() {
    let home = phone::home("open");
    let mut random = Random::new(seed());
    let acknowledged: Mutex<Vec<(usize, String)>> = Mutex::default();
    // One client a session; each sends again what it is not sure of.
    let unsure: [Mutex<Option<String>>; 4] = Default::default();
    let mut killed_under_load = 0;
    for round in 0..ROUNDS {
        let running = home.serve();
        let address = running.address("http").expect("plain HTTP");
        let token = Phone::new(7).token(&running);
        let before = acknowledged.lock().unwrap().len();
        let pause = Duration::from_micros(2_000 + random.below(30_000));
        std::thread::scope(|scope| {
            for (client, unsure) in unsure.iter().enumerate() {
                let (token, acknowledged) = (&token, &acknowledged);
                scope.spawn(move || {
                    let session = session(address, token, &client.to_string());
                    let mut unsure = unsure.lock().unwrap();
                    let name = format!("{round}-{client}");
                    let told = |local_id| acknowledged.lock().unwrap().push((client, local_id));
                    let send = match client % 2 {
                        0 => send_over_http,
                        _ => send_over_socket,
                    };
                    *unsure = send(address, token, &session, unsure.take(), &name, &told);
                });
            }
            // Both ways are under load.
            let busy = || {
                let told = acknowledged.lock().unwrap();
                let ways: HashSet<usize> = told[before..].iter().map(|(n, _)| n % 2).collect();
                ways.len() == 2
            };
            let deadline = Instant::now() + LOAD_MAX;
            while !busy() {
                if Instant::now() > deadline {
                    // Clients end with the box, and the scope with its clients.
                    running.kill();
                    panic!("no load in round {round}");
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(pause);
            running.kill();
        });
        killed_under_load += 1;
    }

    let running = home.serve();
    let address = running.address("http").expect("plain HTTP");
    let token = Phone::new(7).token(&running);
    let acknowledged = acknowledged.into_inner().unwrap();
    let mut total = 0;
    for client in 0..unsure.len() {
        let session = session(address, &token, &client.to_string());
        let found = stored(&running, &token, &session);
        total += found.len();
        for (local_id, text) in &found {
            assert_eq!(*text, content(local_id), "seed {}", seed());
        }
        for (_, local_id) in acknowledged.iter().filter(|(by, _)| *by == client) {
            assert!(
                found.contains_key(local_id),
                "{local_id} is gone, seed {}",
                seed()
            );
        }
    }
    println!(
        "kill -9 during messages: seed={} rounds={ROUNDS} faults_injected={killed_under_load} \
         acknowledged={} stored={total}",
        seed(),
        acknowledged.len()
    );
}

#[test]
fn an_acknowledged_message_survives_a_power_cut_at_any_moment() {
    let home = phone::home("open");
    let data = home.folder.path().canonicalize().unwrap().join("data");
    let outside = TempDir::new().unwrap();
    let log = outside.path().join("log");
    let home = home
        .set("DATA_DIR", data.to_str().unwrap())
        .set("DATABASE_PATH", data.join(DATABASE).to_str().unwrap())
        .set("LD_PRELOAD", recorder_library().to_str().unwrap())
        .set("RECORDER_DIR", data.to_str().unwrap())
        .set("RECORDER_LOG", log.to_str().unwrap());
    let running = home.serve_logging_to(Stdio::null());
    let address = running.address("http").expect("plain HTTP");
    let token = Phone::new(7).token(&running);
    // With the length of the log at its time: what was written until then is what it may rest on.
    let acknowledged: Mutex<Vec<(u64, String)>> = Mutex::default();
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (token, acknowledged, log) = (&token, &acknowledged, &log);
            scope.spawn(move || {
                let session = session(address, token, &client.to_string());
                let told = |local_id| {
                    let at = std::fs::metadata(log).unwrap().len();
                    acknowledged.lock().unwrap().push((at, local_id));
                };
                let name = format!("cut-{client}");
                send_over_http(address, token, &session, None, &name, &told);
            });
        }
        let deadline = Instant::now() + LOAD_MAX;
        while acknowledged.lock().unwrap().len() < 400 {
            if Instant::now() > deadline {
                running.kill();
                panic!("too little load");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        running.kill();
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    let changes = replay::read_log_with_ends(&log);
    let lost = check_cuts(&data, &changes, &acknowledged, 100);
    assert_eq!(lost, Vec::<String>::new(), "seed {}", seed());

    // The same with a card that keeps nothing of a sync: the test must notice.
    let blind: Vec<(Change, u64)> = changes
        .into_iter()
        .filter(|(change, _)| !matches!(change, Change::Synced { .. }))
        .collect();
    let lost = check_cuts(&data, &blind, &acknowledged, 20);
    assert!(!lost.is_empty(), "the test is blind");
}

/// States after a cut in which a promise was broken.
fn check_cuts(
    data: &Path,
    changes: &[(Change, u64)],
    acknowledged: &[(u64, String)],
    cuts: usize,
) -> Vec<String> {
    let mut random = Random::new(seed());
    let first = acknowledged[0].0;
    let begin = changes.iter().take_while(|(_, end)| *end < first).count();
    let plain: Vec<Change> = changes.iter().map(|(change, _)| change.clone()).collect();
    let (mut faults, mut checked, mut lost) = (0, 0, Vec::new());
    for round in 0..cuts {
        let at = begin + random.below((changes.len() - begin) as u64) as usize;
        let fate = [Fate::Mixed, Fate::Dropped, Fate::Mixed, Fate::Kept][round % 4];
        let card = replay::cut(&plain[..at], fate, &mut random);
        faults += card.faults;
        let folder = TempDir::new().unwrap();
        card.write_to(data, folder.path());
        let until = at.checked_sub(1).map_or(0, |last| changes[last].1);
        let promised = acknowledged.iter().filter(|(end, _)| *end <= until);
        let promised: Vec<&str> = promised.map(|(_, local_id)| local_id.as_str()).collect();
        checked += promised.len();
        if let Err(why) = examine(folder.path(), &promised) {
            lost.push(format!("cut {round} at {at} ({fate:?}): {why}"));
        }
    }
    println!(
        "power cut over messages: seed={} cuts={cuts} changes={} faults_injected={faults} \
         acknowledgements_checked={checked} states_with_loss={}",
        seed(),
        changes.len(),
        lost.len()
    );
    assert!(faults > 0, "no fault was injected");
    lost
}

fn examine(folder: &Path, promised: &[&str]) -> Result<(), String> {
    if !folder.join(DATABASE).exists() {
        return Err("the database is gone".into());
    }
    on_loop(async {
        let store = driver::open(folder, Durability::Full).map_err(|error| error.to_string())?;
        type Found = (HashMap<String, String>, i64);
        let read: Result<Found, StoreError> = store.read(|db| {
            let mut rows = db.prepare("SELECT local_id, content FROM happy_messages")?;
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let rows = rows.collect::<Result<_, _>>()?;
            let gaps = db.query_row(
                "SELECT count(*) FROM happy_sessions s WHERE seq <> (SELECT count(*) FROM \
                 happy_messages WHERE session_id = s.id AND seq <= s.seq)",
                [],
                |row| row.get(0),
            )?;
            Ok((rows, gaps))
        });
        let (found, gaps) = read.map_err(|error| error.to_string())?;
        store.close().await.map_err(|error| error.to_string())?;
        if gaps > 0 {
            return Err(format!("{gaps} sessions have a gap"));
        }
        match promised
            .iter()
            .find(|id| found.get(**id) != Some(&content(id)))
        {
            Some(gone) => Err(format!("{gone} is gone")),
            None => Ok(()),
        }
    })
}
