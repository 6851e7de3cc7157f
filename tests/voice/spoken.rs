//! A spoken conversation through cpal and ALSA on the card of files: flite speaks into the
//! microphone, pocketsphinx understands, flite answers, and the speaker's file is understood again.

use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use magpie::audio::resample::resample;
use magpie::audio::wav;
use serde_json::{Value, json};

use crate::alsa::{self, Card, SPEECH, STUDIO};
use crate::house::{Door, PATIENCE};
use crate::machine;
use crate::signal;

const FACT: &str = "remember that the spare key is under the blue flower pot";
const QUESTION: &str = "where is the spare key";
const KEY_WORDS: [&str; 4] = ["key", "blue", "flower", "pot"];

/// The real program, ended as a supervisor ends it.
pub struct Served {
    door: Door,
    operations: String,
    child: Child,
}

impl Served {
    /// Where it tells how it is.
    pub fn operations(&self) -> &str {
        &self.operations
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Deref for Served {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let status = self.child.wait().expect("the program ends");
        if !std::thread::panicking() {
            assert!(status.success(), "{status}");
        }
    }
}

/// The program on `card`, its operations on a port of their own, with `settings` besides.
pub fn serve(data: &Path, card: &Card, settings: &[(&str, &str)]) -> Served {
    let mut child = machine::program(env!("CARGO_BIN_EXE_magpie"))
        .arg("serve")
        .current_dir(data)
        .env("DATA_DIR", data)
        .env("PORT", "0")
        .env("HTTPS_PORT", "off")
        .env("OPS_LISTEN", "127.0.0.1:0")
        .env("LOG_FILE", "")
        .env("AUDIO_INPUT", alsa::MICROPHONE)
        .env("AUDIO_OUTPUT", alsa::SPEAKER)
        .env("AUDIO_KEEP_DAYS", "1")
        .env("VOLUME", "100")
        .env("RATE_LIMIT", "1000000")
        .env("ALSA_CONFIG_PATH", card.config())
        .envs(settings.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let stdout = child.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let ready = lines
        .find_map(|line| line.strip_prefix("magpie ready ").map(String::from))
        .expect("the program becomes ready");
    let address = |name: &str| {
        let found = ready.split(' ').find_map(|part| part.strip_prefix(name));
        found.expect("an address").to_owned()
    };
    // What it says later must find a reader.
    std::thread::spawn(move || lines.for_each(drop));
    Served {
        door: Door {
            address: address("http=").parse().expect("an address"),
        },
        operations: address("ops="),
        child,
    }
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn state(house: &Door) -> String {
    house.get("/api/v1/device").1["data"]["state"]
        .as_str()
        .unwrap_or_default()
        .to_string()
}

/// Has the box listen to `samples`, and gives the turn as it ended.
pub fn speak_to(house: &Door, card: &Card, samples: &[i16]) -> Value {
    std::thread::scope(|scope| {
        let turn = scope.spawn(|| house.done("/api/v1/device/listen", &json!({"wait": true})));
        until("the box listens", || state(house) == "listening");
        let mut sound = vec![0; 8_000];
        sound.extend_from_slice(samples);
        card.say(&sound);
        turn.join().expect("the turn ends")
    })
}

/// The recogniser mishears the same sentence now and then, by where in it the sound was cut into
/// frames; a person then says it again, twice at most.
fn understood_as(said: &str, house: &Door, card: &Card, samples: &[i16]) -> Value {
    let mut turn = speak_to(house, card, samples);
    for _ in 0..2 {
        let first = |text: &str| text.split(' ').next().map(str::to_owned);
        let heard = turn["text"].as_str().unwrap_or_default().to_owned();
        let is_right = match said == QUESTION {
            true => heard == said,
            // What is remembered begins with the word that asks for it.
            false => first(&heard) == first(said),
        };
        if is_right {
            break;
        }
        println!("said again, since {heard:?} was understood");
        turn = speak_to(house, card, samples);
    }
    turn
}

/// Word error of `heard` against `said`, by edit distance.
fn word_error(said: &str, heard: &str) -> f64 {
    let said: Vec<&str> = said.split_whitespace().collect();
    let heard: Vec<&str> = heard.split_whitespace().collect();
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, word) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in heard.iter().enumerate() {
            let change = diagonal + usize::from(word != other);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[heard.len()] as f64 / said.len() as f64
}

fn transcribe(house: &Door, samples: &[i16]) -> String {
    let bytes = wav::encode(samples, 16_000);
    let (status, answer) = house.request("POST", "/api/v1/transcribe", "audio/wav", &bytes);
    assert_eq!(status, 200, "{answer}");
    answer["data"]["text"].as_str().expect("text").to_string()
}

/// The newest recording of what the transcriber got.
pub fn last_recording(data: &Path) -> Vec<i16> {
    let folder = std::fs::read_dir(data.join("recordings")).expect("recordings are kept");
    let mut files: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    // Names are random; the file's own time tells which came last.
    files.sort_by_key(|path| path.metadata().and_then(|facts| facts.modified()).ok());
    let bytes = std::fs::read(files.last().expect("a recording")).expect("read it");
    wav::decode_speech(&bytes, Duration::from_secs(60)).expect("a WAV")
}

#[test]
fn a_spoken_question_is_answered_aloud_from_a_memory_of_before_the_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);

    let fact = alsa::speak(FACT, "slt", 16_000);
    let first = serve(data.path(), &card, &[]);
    let turn = understood_as(FACT, &first, &card, &fact);
    println!(
        "told {FACT:?}, heard {}, word error {:.0} %",
        turn["text"],
        100.0 * word_error(FACT, turn["text"].as_str().expect("text"))
    );
    assert_eq!(turn["result"], "answered", "{turn}");
    assert!(turn["answer"]["memory_saved"]["id"].is_string(), "{turn}");
    drop(first);

    let house = serve(data.path(), &card, &[]);
    the_question_is_heard_and_answered(&house, &card, data.path());
    an_interrupt_silences_the_speaker(&house, &card);
    an_xrun_and_an_unplugging_are_survived(&house, &card);
}

fn the_question_is_heard_and_answered(house: &Door, card: &Card, data: &Path) {
    let question = alsa::speak(QUESTION, "slt", 16_000);
    let before = card.heard().len();
    let turn = understood_as(QUESTION, house, card, &question);
    assert_eq!(turn["result"], "answered", "{turn}");
    let text = turn["text"].as_str().expect("text");
    println!(
        "asked {QUESTION:?}, heard {text:?}, word error {:.0} %, timing {}",
        100.0 * word_error(QUESTION, text),
        turn["timing_ms"]
    );
    assert_eq!(text, QUESTION);
    let answer = turn["answer"]["content"].as_str().expect("text");
    assert!(answer.contains("blue flower pot"), "{answer}");

    // flite's sentence begins and ends in silence, which the end rule may cut.
    let voiced = trim(&question);
    let (likeness, at) = signal::find(voiced, &last_recording(data));
    println!(
        "correlation of what the transcriber got with the source {likeness:.5} (at sample {at})"
    );
    assert!(likeness >= 0.99, "correlation {likeness}");

    let spoken = resample(&card.heard()[before..], 48_000, 16_000);
    let understood = transcribe(house, last_utterance(&spoken));
    println!("the speaker said {answer:?}, understood again as {understood:?}");
    for word in KEY_WORDS {
        assert!(
            understood.contains(word),
            "{word:?} is missing in {understood:?}"
        );
    }
}

/// What stands behind the last long silence: the answer, after the small tones of a turn.
fn last_utterance(samples: &[i16]) -> &[i16] {
    const LONG: usize = 16_000 * 7 / 10;
    let spoken = trim(samples);
    let mut quiet = 0;
    let mut from = 0;
    for (at, sample) in spoken.iter().enumerate() {
        if sample.unsigned_abs() > 300 {
            if quiet >= LONG {
                from = at.saturating_sub(3_200);
            }
            quiet = 0;
        } else {
            quiet += 1;
        }
    }
    &spoken[from..]
}

fn trim(samples: &[i16]) -> &[i16] {
    let loud = |sample: &i16| sample.unsigned_abs() > 300;
    let from = samples.iter().position(loud).unwrap_or(0);
    let to = samples.iter().rposition(loud).unwrap_or(samples.len());
    &samples[from..to]
}

fn an_interrupt_silences_the_speaker(house: &Door, card: &Card) {
    let text = "one two three four five six seven eight nine ten. ".repeat(4);
    let mut worst = Duration::ZERO;
    for round in 0..3 {
        house.done("/api/v1/device/say", &json!({"text": text}));
        until("the box speaks", || state(house) == "speaking");
        let from = card.heard().len();
        until("the speaker is heard", || {
            card.heard().len() > from + 12_000 + 2_000 * round
        });
        let stopped = alsa::monotonic();
        house.done("/api/v1/device/stop", &json!({}));
        until("the box is idle", || state(house) == "idle");
        // Well past the limit, so that all that would still come has come.
        std::thread::sleep(Duration::from_millis(300));
        let heard = card.heard();
        let last = heard
            .iter()
            .rposition(|s| s.unsigned_abs() > 30)
            .expect("it spoke");
        let silent = card.speaker_time_of(last as u64).saturating_sub(stopped);
        worst = worst.max(silent);
    }
    println!(
        "stop to silence at the speaker, worst of 3: {} ms",
        worst.as_millis()
    );
    assert!(worst <= Duration::from_millis(150), "{worst:?}");
}

fn an_xrun_and_an_unplugging_are_survived(house: &Door, card: &Card) {
    let audio = |house: &Door| house.get("/api/v1/device").1["data"]["audio"].clone();
    let xruns = audio(house)["xruns"].as_u64().expect("a count");
    let question = alsa::speak(QUESTION, "slt", 16_000);
    let turn = std::thread::scope(|scope| {
        let turn = scope.spawn(|| house.done("/api/v1/device/listen", &json!({"wait": true})));
        until("the box listens", || state(house) == "listening");
        card.stall_microphone();
        until("the xrun is counted", || {
            audio(house)["xruns"].as_u64() > Some(xruns)
        });
        let mut sound = vec![0; 8_000];
        sound.extend_from_slice(&question);
        card.say(&sound);
        turn.join().expect("the turn ends")
    });
    assert_eq!(turn["text"], QUESTION, "after an xrun: {turn}");
    until("health tells of the xrun", || {
        house.get("/health").1["audio"]["xruns"].as_u64() > Some(xruns)
    });

    std::thread::scope(|scope| {
        let turn = scope.spawn(|| house.done("/api/v1/device/listen", &json!({"wait": true})));
        until("the box listens", || state(house) == "listening");
        card.unplug();
        let turn = turn.join().expect("the turn ends");
        println!(
            "unplugged while listening: {} {}",
            turn["result"], turn["errors"][0]["message"]
        );
        assert_eq!(turn["result"], "failed", "{turn}");
        assert_eq!(turn["errors"][0]["code"], "AUDIO_DEVICE", "{turn}");
        until("health tells of the lost card", || {
            audio(house)["input_error"].is_string()
                && house.get("/health").1["status"] == "degraded"
        });
    });
    card.plug_in();
    until("the card is back", || audio(house)["input_error"].is_null());
    until("the error is over", || state(house) == "idle");
    let turn = speak_to(house, card, &question);
    assert_eq!(turn["text"], QUESTION, "after the card came back: {turn}");
    assert_eq!(turn["result"], "answered");
}
