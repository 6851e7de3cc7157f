//! Button, switch, lamp and event command of a box whose lines are pipes: no chip is here, so the
//! kernel's events are written into a pipe, and what the lamp is told is kept.

use std::fs;
use std::io::Write as _;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use magpie::voice::hardware::gpio::{EVENT_FALLING, EVENT_RISING, Input, LineEvent, Output};
use magpie::voice::hardware::{Lamp, Panel};
use serde_json::{Value, json};

use crate::client::Client;
use crate::house::{House, PATIENCE, Setup};

/// The far end of a line.
struct Contact(fs::File);

impl Contact {
    fn new() -> (Contact, OwnedFd) {
        let mut ends = [0; 2];
        // SAFETY: pipe fills two integers; both descriptors are new and owned once each.
        let (near, far) = unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            (
                OwnedFd::from_raw_fd(ends[0]),
                fs::File::from_raw_fd(ends[1]),
            )
        };
        (Contact(far), near)
    }

    fn is(&mut self, active: bool) {
        let event = LineEvent {
            id: if active { EVENT_RISING } else { EVENT_FALLING },
            ..LineEvent::default()
        };
        // SAFETY: the event is plain integers without gaps.
        let bytes = unsafe {
            std::slice::from_raw_parts(
                std::ptr::from_ref(&event).cast::<u8>(),
                size_of::<LineEvent>(),
            )
        };
        self.0.write_all(bytes).expect("the box reads");
    }
}

#[derive(Clone, Default)]
struct Light(Arc<Mutex<Vec<u64>>>);

impl Output for Light {
    fn set(&self, bits: u64) {
        let mut seen = self.0.lock().expect("a lamp");
        if seen.last() != Some(&bits) {
            seen.push(bits);
        }
    }
}

impl Light {
    fn until(&self, bits: u64) {
        until("the lamp shows it", || {
            self.0.lock().expect("a lamp").last() == Some(&bits)
        });
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const RED: u64 = 1;

fn silent(data: &Path) -> Setup {
    let mut setup = Setup::at(data);
    setup.settings.stt.provider = String::from("none");
    setup.settings.tts.provider = String::from("none");
    setup
}

fn device(house: &House) -> Value {
    house.get("/api/v1/device").1["data"].clone()
}

#[test]
fn the_switch_mutes_wins_over_the_page_and_shows_red() {
    let data = tempfile::tempdir().expect("a folder");
    let (mut switch, near) = Contact::new();
    let light = Light::default();
    let lamp = light.clone();
    let mut setup = silent(data.path());
    setup.panel = Some(Box::new(move || Panel {
        mute_switch: Some(Input::of(near).expect("a line")),
        lamp: Some(Lamp {
            lines: Box::new(lamp),
            colours: [RED, 2, 4],
        }),
        ..Panel::default()
    }));
    let house = House::start(setup);
    assert_eq!(device(&house)["muted"], false);
    switch.is(true);
    light.until(RED);
    assert_eq!(device(&house)["muted"], true);
    let (status, answer) = house.post("/api/v1/device/mute", &json!({"muted": false}));
    assert_eq!(
        (status, answer["error"]["code"].as_str()),
        (409, Some("MUTED")),
        "{answer}"
    );
    assert_eq!(device(&house)["muted"], true);
    drop(house);

    // The switch still says off: so does the box, before anybody has asked it.
    let house = House::start(silent(data.path()));
    assert_eq!(device(&house)["muted"], true);
    drop(house);
    drop(switch);
}

#[test]
fn the_button_opens_a_turn_and_stops_a_ring() {
    let data = tempfile::tempdir().expect("a folder");
    let (mut button, near) = Contact::new();
    let mut setup = silent(data.path());
    setup.panel = Some(Box::new(move || Panel {
        button: Some(Input::of(near).expect("a line")),
        ..Panel::default()
    }));
    let house = House::start(setup);
    let mut phone = Client::connect(&house);
    phone.send(&json!({"type": "hello", "proto": 2}));
    phone.send(&json!({"type": "subscribe", "events": ["device"]}));
    phone.rest();
    button.is(true);
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "error") {
        let notice = phone.until("notice");
        if notice["event"] == "state" {
            states.push(
                notice["data"]["state"]
                    .as_str()
                    .expect("a state")
                    .to_string(),
            );
        }
    }
    assert!(
        states.contains(&String::from("listening")),
        "a press listens: {states:?}"
    );
    button.is(false);

    house.post("/api/v1/timers", &json!({"duration": 0.1}));
    until("it rings", || device(&house)["ringing"] == true);
    button.is(true);
    button.is(false);
    until("it is stopped", || {
        house.get("/api/v1/timers?state=done").1["data"]["total"] == 1
    });
    assert_eq!(device(&house)["ringing"], false);
}

#[test]
fn the_event_command_is_told_in_order_and_without_a_shell() {
    let data = tempfile::tempdir().expect("a folder");
    let told = data.path().join("told");
    let script = data.path().join("tell.sh");
    fs::write(
        &script,
        format!(
            "#!/bin/sh\nread line\necho \"$line\" >> {}\n",
            told.display()
        ),
    )
    .expect("a script");
    let mut setup = silent(data.path());
    setup.settings.hardware.event_command = Some(format!("/bin/sh {}", script.display()));
    let house = House::start(setup);
    house.post(
        "/api/v1/timers",
        &json!({"duration": 0.1, "label": "tea; rm -rf $HOME"}),
    );
    let states = || -> Vec<String> {
        fs::read_to_string(&told)
            .unwrap_or_default()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["topic"] == "timers")
            .map(|event| {
                assert_eq!(event["data"]["label"], "tea; rm -rf $HOME");
                event["data"]["state"]
                    .as_str()
                    .expect("a state")
                    .to_string()
            })
            .collect()
    };
    until("both are told", || states().len() >= 2);
    assert_eq!(states()[..2], ["pending", "ringing"]);
    drop(house);
}
