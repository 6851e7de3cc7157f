//! A household's day in short: conversations with the box while the network comes and goes and
//! the microphone is pulled out, and nothing may grow or be lost.
//!
//! `SOAK_MINUTES` is how long, with a conversation a minute; without it, a dozen conversations one
//! after the other. The real program, real ALSA, and the strict double in the providers' place.

#[path = "../support/alsa.rs"]
mod alsa;
#[path = "../support/provider/mod.rs"]
mod provider;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use alsa::{Card, SPEECH, STUDIO};
use provider::{CLAUDE_KEY, OPENAI_KEY, Provider, Reply};
use serde_json::{Value, json};
use support::{Home, Running, machine};

const SHORT_CONVERSATIONS: usize = 12;
/// Of [`ROUND`] conversations this one finds no network…
const NETWORK_LOST: [usize; 2] = [2, 3];
/// …this one loses it in the middle…
const NETWORK_CUT: usize = 5;
/// …and in this one the microphone is pulled out.
const UNPLUGGED: usize = 7;
const ROUND: usize = 9;
/// Conversations whose readings, with and without a network, are what the last one is held to.
const WARM_UP: usize = 3;
const TURN_MAX: Duration = Duration::from_secs(60);
const DRAIN_MAX: Duration = Duration::from_secs(600);
/// Resident memory may differ between two readings by what a trim has not given back yet.
const RESIDENT_SLACK: u64 = 4 * 1024 * 1024;

#[test]
fn nothing_grows_and_nothing_is_lost_while_network_and_microphone_come_and_go() {
    let minutes = std::env::var("SOAK_MINUTES").ok();
    let minutes: Option<usize> = minutes.map(|text| text.parse().expect("whole minutes"));
    let conversations = minutes.unwrap_or(SHORT_CONVERSATIONS);
    let pace = minutes.map_or(Duration::ZERO, |_| Duration::from_secs(60));

    let sound = tempfile::tempdir().expect("a folder");
    let card = Card::new(sound.path(), SPEECH, STUDIO);
    let provider = Provider::start();
    let home = Home::new()
        .set("AUDIO_INPUT", alsa::MICROPHONE)
        .set("AUDIO_OUTPUT", alsa::SPEAKER)
        .set("ALSA_CONFIG_PATH", &card.config().display().to_string())
        .set("STT_PROVIDER", "openai")
        .set("STT_BASE_URL", &provider.openai_url())
        .set("TTS_PROVIDER", "openai,flite")
        .set("TTS_BASE_URL", &provider.openai_url())
        .set("LLM_PROVIDER", "anthropic")
        .set("ANTHROPIC_BASE_URL", &provider.anthropic_url())
        .set("OPENAI_API_KEY", OPENAI_KEY)
        .set("CLAUDE_API_KEY", CLAUDE_KEY)
        .set("AUTO_MEMORY", "off");
    let box_ = home.serve();
    let question = alsa::speak("tell me a story about a magpie", "slt", 16_000);

    let mut tally = Tally::default();
    let mut before = None;
    for number in 0..conversations {
        let began = Instant::now();
        let part = number % ROUND;
        provider.hears(&format!("tell me story number {number}"));
        provider.replies(Reply::text(&format!(
            "Story {number}. A magpie found a ring. It kept it."
        )));
        if NETWORK_LOST.contains(&part) {
            provider.refuse();
        }
        let turn = converse(&box_, &card, &question, || match part {
            NETWORK_CUT => provider.refuse(),
            UNPLUGGED => card.unplug(),
            _ => {}
        });
        tally.add(&turn);
        let kinds = (turn["result"].as_str(), turn["errors"][0]["code"].as_str());
        let reading = Reading::of(&box_);
        println!("conversation {number}: {kinds:?} {reading}");
        if NETWORK_LOST.contains(&part) || part == NETWORK_CUT {
            std::thread::sleep(pace / 4);
            provider.reopen();
        }
        card.plug_in();
        if number < WARM_UP {
            before = Some(before.map_or(reading, |before: Reading| before.most(reading)));
        }
        std::thread::sleep(pace.saturating_sub(began.elapsed()));
    }

    wait_until_all_is_done(&box_);
    let after = settled(&box_, before.as_ref().expect("it warmed up"));
    let before = before.expect("it warmed up");
    println!("after {conversations} conversations: {tally:?}\nbefore {before}\nafter  {after}");
    assert!(
        tally.answered > 0 && tally.kept > 0 && tally.unheard > 0,
        "{tally:?}"
    );
    assert_eq!(
        questions(&box_),
        tally.answered + tally.kept,
        "what was said and what is stored: {tally:?}"
    );
    assert!(
        after.resident <= before.resident + RESIDENT_SLACK,
        "memory grew"
    );
    assert!(after.descriptors <= before.descriptors, "descriptors grew");
    assert!(after.threads <= before.threads, "threads grew");
    provider.assert_content();
    assert!(box_.stop().success());
}

/// How the conversations ended.
#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    /// Heard while the providers could not be reached.
    kept: usize,
    /// The microphone was gone.
    unheard: usize,
}

impl Tally {
    fn add(&mut self, turn: &Value) {
        let code = turn["errors"][0]["code"].as_str().unwrap_or_default();
        match (turn["result"].as_str(), code) {
            (_, "AUDIO_DEVICE") => self.unheard += 1,
            (Some("answered"), _) if turn["answer"].is_object() => self.answered += 1,
            (Some("kept" | "queued" | "answered"), _) => self.kept += 1,
            other => panic!("a conversation ended as {other:?}: {turn}"),
        }
    }
}

#[derive(Clone, Copy)]
struct Reading {
    resident: u64,
    descriptors: usize,
    threads: usize,
}

impl Reading {
    fn of(box_: &Running<'_>) -> Reading {
        Reading {
            resident: box_.resident_bytes(),
            descriptors: box_.descriptors(),
            threads: box_.threads(),
        }
    }

    fn most(self, other: Reading) -> Reading {
        Reading {
            resident: self.resident.max(other.resident),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
        }
    }

    fn is_within(&self, limit: &Reading) -> bool {
        self.resident <= limit.resident + RESIDENT_SLACK
            && self.descriptors <= limit.descriptors
            && self.threads <= limit.threads
    }
}

impl std::fmt::Display for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = self.resident as f64 / 1024.0 / 1024.0;
        let (descriptors, threads) = (self.descriptors, self.threads);
        write!(
            f,
            "resident {mib:.2} MiB, descriptors {descriptors}, threads {threads}"
        )
    }
}

/// One question, said into the microphone; `in_the_middle` happens while it is said.
fn converse(
    box_: &Running<'_>,
    card: &Card,
    question: &[i16],
    in_the_middle: impl FnOnce(),
) -> Value {
    wait_for(TURN_MAX, "the box is idle with its card", || {
        let device = box_.get("/api/v1/device").json()["data"].clone();
        device["state"] == "idle" && device["audio"]["input_error"].is_null()
    });
    std::thread::scope(|scope| {
        let turn = scope.spawn(|| box_.post("/api/v1/device/listen", &json!({"wait": true})));
        wait_for(TURN_MAX, "the box listens", || {
            box_.get("/api/v1/device").json()["data"]["state"] == "listening"
        });
        let mut sound = vec![0; 8_000];
        sound.extend_from_slice(question);
        card.say(&sound);
        std::thread::sleep(Duration::from_millis(800));
        in_the_middle();
        turn.join().expect("the turn ends").json()["data"].clone()
    })
}

fn wait_until_all_is_done(box_: &Running<'_>) {
    wait_for(DRAIN_MAX, "the queue is empty", || {
        let queue = box_.get("/health").json()["queue"].clone();
        assert_eq!(queue["failed"], 0, "{queue}");
        queue["pending"] == 0
    });
}

/// Idle workers and connections end by themselves; this is when they have.
fn settled(box_: &Running<'_>, limit: &Reading) -> Reading {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let reading = Reading::of(box_);
        if reading.is_within(limit) || Instant::now() > deadline {
            return reading;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Questions of the person that the box has stored.
fn questions(box_: &Running<'_>) -> usize {
    let list = box_.get("/api/v1/conversations?limit=200").json();
    let conversations = list["data"]["conversations"]
        .as_array()
        .expect("a list")
        .clone();
    let messages = conversations.iter().flat_map(|conversation| {
        let id = conversation["id"].as_str().expect("an id");
        let whole = box_
            .get(&format!("/api/v1/conversations/{id}?limit=200"))
            .json();
        whole["data"]["messages"]
            .as_array()
            .expect("messages")
            .clone()
    });
    messages.filter(|message| message["role"] == "user").count()
}

fn wait_for(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
