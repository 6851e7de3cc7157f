//! Timers of the whole program over clocks that are set while it runs, power cuts and the end of
//! summer time.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::program::libfaketime;
use super::program::support::{Home, Running, exchange};

/// Reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// A box whose wall clock this test sets; its monotonic time goes on undisturbed.
struct Clocked {
    home: Home,
    time: PathBuf,
}

impl Clocked {
    fn new(shift_s: i64) -> Clocked {
        let home = Home::new().set("FAKETIME_NO_CACHE", "1");
        let time = home.path("time");
        let home = home
            .set("LD_PRELOAD", libfaketime().to_str().unwrap())
            .set("FAKETIME_TIMESTAMP_FILE", time.to_str().unwrap())
            .set("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .set("TZ", "Europe/Berlin");
        let clocked = Clocked { home, time };
        clocked.shift(shift_s);
        clocked
    }

    fn shift(&self, seconds: i64) {
        let whole = self.time.with_extension("new");
        fs::write(&whole, format!("{seconds:+}")).unwrap();
        fs::rename(whole, &self.time).unwrap();
    }
}

fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_second()
}

fn set(running: &Running, body: &Value) -> String {
    let answer = running.post("/api/v1/timers", body);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["data"]["id"].as_str().unwrap().to_owned()
}

fn timer(running: &Running, id: &str) -> Value {
    let list = running.get("/api/v1/timers?limit=200").json();
    let timers = list["data"]["timers"].as_array().unwrap().clone();
    let found = timers.into_iter().find(|timer| timer["id"] == id);
    found.unwrap_or_else(|| panic!("{id} is not listed"))
}

fn until(running: &Running, id: &str, state: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let timer = timer(running, id);
        if timer["state"] == state {
            return timer;
        }
        assert!(Instant::now() < deadline, "never {state}: {timer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const YEARS_56: i64 = 56 * 365 * 86_400;

#[test]
fn a_span_set_in_1970_rings_in_its_time_whatever_the_clock_does_meanwhile() {
    let clocked = Clocked::new(-YEARS_56);
    let running = clocked.home.serve();
    let began = Instant::now();
    let span = set(&running, &json!({"duration": 4}));
    let far = set(&running, &json!({"duration": 3600}));
    let mut jumps = 0;
    for shift in [0, -3_600, 12 * 365 * 86_400, -86_400, 0] {
        clocked.shift(shift);
        jumps += 1;
        std::thread::sleep(Duration::from_millis(300));
        let state = timer(&running, &span)["state"].clone();
        assert!(
            state == "pending" || began.elapsed() > Duration::from_secs(4),
            "{shift}: {state}"
        );
    }
    until(&running, &span, "ringing");
    assert!(began.elapsed() >= Duration::from_secs(4), "too early");
    // The clock's last look may be a second old.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let due = timer(&running, &far)["due_at"].as_str().map(at).unwrap();
        let left = due - now_s();
        if (3_500..=3_600).contains(&left) {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "due in {left} s by the wall clock"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(running.stop().success());
    println!("timers over clock jumps: faults_injected={jumps}");
}

#[test]
fn three_power_cuts_ring_what_was_missed_once_and_keep_what_is_to_come() {
    let clocked = Clocked::new(0);
    let running = clocked.home.serve();
    let missed = set(&running, &json!({"duration": 600, "label": "bread"}));
    let long_ago = set(&running, &json!({"duration": 60}));
    let to_come = set(&running, &json!({"duration": 86_400}));
    running.kill();
    let hour = 3_600;
    clocked.shift(20 * hour / 60);
    let running = clocked.home.serve();
    // 20 minutes off: both are late by more than a minute, and within twelve hours.
    let first = until(&running, &missed, "missed");
    assert!(first["missed_at"].is_string(), "{first}");
    until(&running, &long_ago, "missed");
    let overnight = set(&running, &json!({"duration": 600}));
    running.kill();
    let mut last = Value::Null;
    for round in 0..3 {
        clocked.shift((14 + round) * hour);
        let running = clocked.home.serve();
        until(&running, &overnight, "missed");
        last = until(&running, &missed, "missed");
        let left = timer(&running, &to_come)["remaining"].as_f64().unwrap();
        let expected = 86_400.0 - ((14 + round) * hour) as f64;
        assert!(
            (left - expected).abs() < 60.0,
            "{left} s left, not {expected}"
        );
        running.kill();
    }
    assert_eq!(last["missed_at"], first["missed_at"]);
    assert_eq!(last["updated_at"], first["updated_at"], "touched once only");
    println!("timers over power cuts: faults_injected=5");
}

#[test]
fn every_day_at_seven_stays_at_seven_when_summer_time_ends() {
    let eve = at("2026-10-24T04:00:00Z");
    let clocked = Clocked::new(eve - now_s());
    let running = clocked.home.serve();
    let body = json!({"due_at": "2026-10-24T05:00:00Z", "repeat": "FREQ=DAILY"});
    let id = set(&running, &body);
    clocked.shift(at("2026-10-24T05:00:01Z") - now_s());
    until(&running, &id, "ringing");
    let path = format!("/api/v1/timers/{id}");
    let address = running.address("http").unwrap();
    let done = json!({"state": "done"});
    let stopped = exchange(address, "PATCH", &path, Some(&done)).unwrap();
    assert_eq!(stopped.status, 200, "{stopped:?}");
    let next = until(&running, &id, "pending");
    assert_eq!(
        next["due_at"], "2026-10-25T06:00:00.000Z",
        "07:00 in winter: {next}"
    );
    assert!(running.stop().success());
}
