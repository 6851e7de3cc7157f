//! The same promises held by the whole program over HTTP: killed under load, and with a clock
//! that jumps by years.

#[path = "../support/mod.rs"]
pub mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use support::{Home, exchange};

use super::replay::Random;
use super::rig::seed;

#[test]
fn forty_kills_of_the_whole_program_lose_nothing_it_acknowledged() {
    let mut random = Random::new(seed());
    let home = Home::new();
    let rounds = 40;
    let acknowledged: Mutex<Vec<(String, String)>> = Mutex::default();
    let mut killed_under_load = 0;
    for round in 0..rounds {
        let running = home.serve();
        let address = running.address("http").expect("plain HTTP");
        let before = acknowledged.lock().unwrap().len();
        let pause = Duration::from_micros(2_000 + random.below(30_000));
        std::thread::scope(|scope| {
            for client in 0..4 {
                let acknowledged = &acknowledged;
                scope.spawn(move || {
                    for number in 0.. {
                        let content = format!("item {round}x{client}x{number} 在架子上");
                        let memory = json!({ "content": content });
                        let kept = exchange(address, "POST", "/api/v1/memories", Some(&memory));
                        match kept {
                            Ok(answer) if answer.status < 300 => {
                                let id = answer.json()["data"]["id"].as_str().unwrap().to_owned();
                                acknowledged.lock().unwrap().push((id, content));
                            }
                            _ => return,
                        }
                        let asked = json!({ "message": "where is the item" });
                        if exchange(address, "POST", "/api/v1/chat", Some(&asked)).is_err() {
                            return;
                        }
                    }
                });
            }
            while acknowledged.lock().unwrap().len() == before {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(pause);
            running.kill();
        });
        killed_under_load += usize::from(acknowledged.lock().unwrap().len() > before);
    }
    let running = home.serve();
    let kept = acknowledged.into_inner().unwrap();
    for (id, content) in &kept {
        let answer = running.get(&format!("/api/v1/memories/{id}"));
        assert_eq!(answer.status, 200, "{id} is gone, seed {}", seed());
        assert_eq!(answer.json()["data"]["content"], content.as_str());
    }
    let (_, last) = kept.last().unwrap();
    let word = last.split(' ').nth(1).unwrap();
    let found = running.get(&format!("/api/v1/memories/search?q={word}"));
    assert!(
        found.body.contains(last.as_str()),
        "search misses {last}: {}",
        found.body
    );
    assert!(running.stop().success());
    let doctor = home.run(&["doctor", "--json"]);
    let checks = support::out(&doctor);
    assert!(checks.contains("\"sound, schema"), "{checks}");
    println!(
        "kill -9 of the program: seed={} rounds={rounds} faults_injected={killed_under_load} acknowledged={}",
        seed(),
        kept.len()
    );
    assert_eq!(killed_under_load, rounds as usize);
}

#[test]
fn a_clock_that_jumps_by_years_loses_nothing_and_stops_nobody() {
    let home = Home::new().set("FAKETIME_NO_CACHE", "1");
    let time = home.path("time");
    fs::write(&time, "-56y").unwrap();
    let home = home
        .set("LD_PRELOAD", libfaketime().to_str().unwrap())
        .set("FAKETIME_TIMESTAMP_FILE", time.to_str().unwrap())
        .set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let running = home.serve();
    let mut kept = Vec::new();
    let jumps = ["-56y", "+0", "-50y", "+12y", "-1s", "+0"];
    for (number, jump) in jumps.iter().enumerate() {
        fs::write(&time, jump).unwrap();
        let health = running.get("/health");
        assert_eq!(health.status, 200, "{jump}");
        let content = json!({ "content": format!("note number {number}") });
        let memory = running.post("/api/v1/memories", &content);
        assert!(memory.status < 300, "{jump}: {memory:?}");
        kept.push(memory.json()["data"]["id"].as_str().unwrap().to_owned());
        let asked = json!({ "message": "what time is it" });
        assert_eq!(running.post("/api/v1/chat", &asked).status, 200, "{jump}");
        println!("clock {jump}: {}", health.json()["timestamp"]);
    }
    let years: Vec<String> = (0..jumps.len())
        .map(|_| running.get("/health").json()["timestamp"].to_string())
        .collect();
    assert!(
        years.iter().all(|year| year.starts_with("\"20")),
        "{years:?}"
    );
    let list = running.get("/api/v1/memories?limit=50");
    for id in &kept {
        assert!(list.body.contains(id.as_str()), "{id} is not listed");
        assert_eq!(running.get(&format!("/api/v1/memories/{id}")).status, 200);
    }
    assert!(running.stop().success());
    println!("clock jumps: faults_injected={}", jumps.len());
}

pub fn libfaketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten();
    folders
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists())
        .expect("the package libfaketime is needed")
}
