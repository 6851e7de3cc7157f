//! A spoken turn against its gates, from the last sound of the question to the first of the answer.
//!
//! Prints `name value unit (gate …)` lines. The real program on the paced ALSA card, whose files
//! are clocks: a position in them is a time. The providers are the strict double with fixed
//! delays, taken out again where a row says so; what the double received carries its own time. Its
//! speech is made before the clock runs, and begins with a silence that is none of the box's.
//!
//! Start, size and requests are rows of `box`, search of `recall`, the long run is `make soak`.

#[path = "../tests/support/alsa.rs"]
mod alsa;
#[path = "../tests/support/provider/mod.rs"]
mod provider;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use alsa::{Card, SPEECH, STUDIO};
use provider::{CLAUDE_KEY, Fault, OPENAI_KEY, Provider, Reply, Route, speech};
use serde_json::{Value, json};
use support::{Home, Running, machine};

const TURNS: usize = 20;
const LOCAL_TURNS: usize = 10;
const STOPS: usize = 20;
const ANSWER: [&str; 3] = [
    "This story is about a magpie.",
    "It found a ring.",
    "It kept it.",
];
/// What has to be heard of a voice before it counts as one.
const VOICE: Duration = Duration::from_millis(200);
const STT: Duration = Duration::from_millis(300);
const LLM: Duration = Duration::from_millis(400);
const TTS: Duration = Duration::from_millis(200);
/// The default of END_SILENCE_MS.
const SILENCE: Duration = Duration::from_millis(700);
const BEFORE_SPEECH: Duration = Duration::from_millis(500);
/// A sample of speech, and of an answer against the card's silence.
const LOUD: u16 = 300;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    with_providers(&card);
    spoken_into(&card, folder.path());
    all_local(&card);
    println!("power_on_to_ready_sound needs a board (goal 25 s)");
}

fn with_providers(card: &Card) {
    let provider = Provider::start();
    provider.fail(Route::Transcriptions, Fault::Delay(STT));
    provider.fail(Route::Messages, Fault::Delay(LLM));
    provider.fail(Route::Speech, Fault::Delay(TTS));
    let home = home(card)
        .set("STT_PROVIDER", "openai")
        .set("STT_BASE_URL", &provider.openai_url())
        .set("TTS_PROVIDER", "openai")
        .set("TTS_BASE_URL", &provider.openai_url())
        .set("TTS_FORMAT", "wav")
        .set("TTS_CACHE_MB", "0")
        .set("LLM_PROVIDER", "anthropic")
        .set("ANTHROPIC_BASE_URL", &provider.anthropic_url())
        .set("OPENAI_API_KEY", OPENAI_KEY)
        .set("CLAUDE_API_KEY", CLAUDE_KEY)
        .set("AUTO_MEMORY", "off");
    let box_ = home.serve();
    let idle = idle_cost(&box_);
    let question = Question::say("tell me a story about a magpie");

    let quiet = quiet_start(ANSWER[0]);
    for sentence in ANSWER {
        speech::speak(sentence, "wav");
    }

    let mut rows = Rows::default();
    let mut resident = 0;
    // The first one opens the connections and is not counted.
    for number in 0..=TURNS {
        provider.hears(&format!("tell me story number {number}"));
        provider.replies(Reply::text(&ANSWER.join(" ")));
        let turn = ask(&box_, card, &question);
        resident = resident.max(box_.resident_bytes());
        let stt = newest(&provider, Route::Transcriptions);
        let tts = first_after(&provider, Route::Speech, stt);
        let Some(heard) = first_loud_after(card, tts) else {
            panic!("no answer was heard: {}", turn.told);
        };
        if number == 0 {
            continue;
        }
        let heard = heard.saturating_sub(quiet);
        let ended = turn.speech_ended;
        rows.endpoint
            .push(turn.decided.saturating_sub(ended + SILENCE));
        rows.to_stt.push(stt.saturating_sub(ended + SILENCE));
        rows.to_speaker.push(heard.saturating_sub(tts + TTS));
        rows.whole.push(heard.saturating_sub(ended));
        let taken = SILENCE + STT + LLM + TTS;
        rows.added.push(heard.saturating_sub(ended + taken));
    }
    print(
        "endpoint_beyond_silence_p95",
        &mut rows.endpoint,
        0.95,
        "60 ms",
    );
    print(
        "speech_end_to_stt_request_p95",
        &mut rows.to_stt,
        0.95,
        "80 ms beyond the silence",
    );
    print(
        "tts_byte_to_speaker_p95",
        &mut rows.to_speaker,
        0.95,
        "80 ms",
    );
    print("turn_overhead_p50", &mut rows.added, 0.5, "");
    print("turn_overhead_p95", &mut rows.added, 0.95, "120 ms");
    print("speech_end_to_first_sound_p50", &mut rows.whole, 0.5, "");
    print(
        "speech_end_to_first_sound_p95",
        &mut rows.whole,
        0.95,
        "1800 ms with 300, 400, 200 of providers and 700 of silence",
    );
    let mib = resident as f64 / 1024.0 / 1024.0;
    println!("idle_listening_cpu {idle:.2} % of a core (gate 1)");
    println!("resident_in_a_turn {mib:.2} MiB (gate 32)");
    barge_in(&box_, card);
    provider.assert_content();
}

#[derive(Default)]
struct Rows {
    endpoint: Vec<Duration>,
    to_stt: Vec<Duration>,
    to_speaker: Vec<Duration>,
    added: Vec<Duration>,
    whole: Vec<Duration>,
}

/// pocketsphinx understands, a memory answers, flite speaks.
fn all_local(card: &Card) {
    let home = home(card)
        .set("STT_PROVIDER", "pocketsphinx")
        .set("TTS_PROVIDER", "flite");
    let box_ = home.serve();
    box_.post(
        "/api/v1/memories",
        &json!({"content": "the spare key is under the blue flower pot"}),
    );
    let mib = box_.resident_bytes() as f64 / 1024.0 / 1024.0;
    println!("resident_voice_idle {mib:.2} MiB (gate 20)");
    let question = Question::say("where is the spare key");
    let mut whole = Vec::new();
    for _ in 0..LOCAL_TURNS {
        let turn = ask(&box_, card, &question);
        // The end of listening is told by a small tone; the answer comes after it.
        let endpoint = turn.told["timing_ms"]["endpoint"].as_u64().expect("a time");
        let stt = turn.told["timing_ms"]["stt"].as_u64().expect("a time");
        let understood = turn.speech_ended + Duration::from_millis(endpoint + stt);
        let heard = first_loud_after(card, understood).expect("an answer");
        whole.push(heard.saturating_sub(turn.speech_ended));
    }
    print("local_speech_end_to_first_sound_p50", &mut whole, 0.5, "");
    print(
        "local_speech_end_to_first_sound_p95",
        &mut whole,
        0.95,
        "2000 ms",
    );
}

/// From a tap on stop to the last sound at the speaker.
fn barge_in(box_: &Running<'_>, card: &Card) {
    let mut silences = Vec::new();
    for _ in 0..STOPS {
        let from = begin_to_speak(box_, card);
        let tapped = alsa::monotonic();
        box_.post("/api/v1/device/stop", &json!({}));
        wait_for("the box is idle", || state(box_) == "idle");
        silences.push(last_sound(card, from).saturating_sub(tapped));
    }
    print("tap_to_silence_p95", &mut silences, 0.95, "150 ms");
}

/// From the first sound of a voice to the last one of the answer that it interrupts. The tone of
/// listening is a silent one here.
fn spoken_into(card: &Card, folder: &Path) {
    let tones = folder.join("tones");
    std::fs::create_dir(&tones).expect("a folder");
    for tone in ["listen.wav", "done.wav", "error.wav"] {
        let silence = speech::encode(&[0; 320], SPEECH.rate_hz, "wav");
        std::fs::write(tones.join(tone), silence).expect("a tone");
    }
    let home = home(card)
        .set("STT_PROVIDER", "pocketsphinx")
        .set("TTS_PROVIDER", "flite")
        .set("EARCON_DIR", &tones.display().to_string())
        .set("AUDIO_AEC", "on");
    let box_ = home.serve();
    let spoken = alsa::speak("where is the spare key", "slt", SPEECH.rate_hz);
    let first = spoken.iter().position(|s| s.unsigned_abs() > LOUD);
    let spoken = &spoken[first.expect("flite speaks")..];
    let mut silences = Vec::new();
    for _ in 0..STOPS {
        card.say(&[]);
        let from = begin_to_speak(&box_, card);
        // The ear has to be open and settled.
        std::thread::sleep(Duration::from_secs(1));
        let said = alsa::monotonic();
        card.say(spoken);
        wait_for("the box listens", || state(&box_) == "listening");
        silences.push(last_sound(card, from).saturating_sub(said + VOICE));
        box_.post("/api/v1/device/stop", &json!({}));
        wait_for("the box is idle", || state(&box_) == "idle");
    }
    card.say(&[]);
    let gate = "150 ms beyond 200 of voice";
    print("voice_to_silence_p50", &mut silences, 0.5, "");
    print("voice_to_silence_p95", &mut silences, 0.95, gate);
}

/// The speaker's frame from which on a long answer is heard.
fn begin_to_speak(box_: &Running<'_>, card: &Card) -> usize {
    let text = "one two three four five six seven eight nine ten. ".repeat(4);
    let from = card.heard().len();
    box_.post("/api/v1/device/say", &json!({"text": text}));
    wait_for("the answer is heard", || {
        let heard = card.heard_from(from);
        heard.iter().any(|sample| sample.unsigned_abs() > 10 * LOUD)
    });
    from
}

fn last_sound(card: &Card, from: usize) -> Duration {
    // What is still on its way to the speaker has come after this.
    std::thread::sleep(Duration::from_millis(400));
    let heard = card.heard_from(from);
    let last = heard.iter().rposition(|sample| sample.unsigned_abs() > 30);
    card.speaker_time_of((from + last.expect("it spoke")) as u64)
}

/// How long the double's speech is before it is loud.
fn quiet_start(text: &str) -> Duration {
    let bytes = speech::speak(text, "pcm");
    let mut samples = bytes
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    let loud = samples.position(|sample| sample.unsigned_abs() > LOUD);
    Duration::from_secs_f64(loud.expect("flite speaks") as f64 / f64::from(speech::RATE_HZ))
}

/// Listening to silence until the box gives up, in per cent of a core.
fn idle_cost(box_: &Running<'_>) -> f64 {
    let began = Instant::now();
    let before = processor_time(box_);
    for _ in 0..2 {
        box_.post("/api/v1/device/listen", &json!({"wait": true}));
    }
    let used = processor_time(box_) - before;
    100.0 * used.as_secs_f64() / began.elapsed().as_secs_f64()
}

fn processor_time(box_: &Running<'_>) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", box_.pid())).expect("it runs");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks: u64 =
        fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks");
    // SAFETY: asks for a constant of the system.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    Duration::from_secs_f64(ticks as f64 / per_second)
}

struct Question {
    samples: Vec<i16>,
    /// From the first sample to the last loud one.
    speech: Duration,
}

impl Question {
    fn say(text: &str) -> Question {
        let spoken = alsa::speak(text, "slt", SPEECH.rate_hz);
        let silence = BEFORE_SPEECH.as_millis() as usize * SPEECH.rate_hz as usize / 1000;
        let mut samples = vec![0; silence];
        samples.extend_from_slice(&spoken);
        let last = samples
            .iter()
            .rposition(|sample| sample.unsigned_abs() > LOUD);
        let last = last.expect("flite speaks");
        Question {
            speech: Duration::from_secs_f64(last as f64 / f64::from(SPEECH.rate_hz)),
            samples,
        }
    }
}

struct Turn {
    /// On the card's clock, early by at most the card's period.
    speech_ended: Duration,
    /// When the box listened no longer, late by at most a look at its state.
    decided: Duration,
    told: Value,
}

fn ask(box_: &Running<'_>, card: &Card, question: &Question) -> Turn {
    wait_for("the box is idle", || state(box_) == "idle");
    std::thread::scope(|scope| {
        let turn = scope.spawn(|| box_.post("/api/v1/device/listen", &json!({"wait": true})));
        wait_for("the box listens", || state(box_) == "listening");
        let said = alsa::monotonic();
        card.say(&question.samples);
        wait_for("the box has heard the end", || state(box_) != "listening");
        let decided = alsa::monotonic();
        let told = turn.join().expect("the turn ends").json()["data"].clone();
        assert_eq!(told["result"], "answered", "{told}");
        Turn {
            speech_ended: said + question.speech,
            decided,
            told,
        }
    })
}

/// When the newest request of a route had come whole, on the card's clock.
fn newest(provider: &Provider, route: Route) -> Duration {
    let seen = provider.requests(route);
    on_card_clock(seen.last().expect("a request").at)
}

fn first_after(provider: &Provider, route: Route, after: Duration) -> Duration {
    let seen = provider.requests(route);
    let times = seen.iter().map(|request| on_card_clock(request.at));
    times.filter(|at| *at > after).min().expect("a request")
}

fn on_card_clock(at: Instant) -> Duration {
    alsa::monotonic().saturating_sub(at.elapsed())
}

fn first_loud_after(card: &Card, time: Duration) -> Option<Duration> {
    let from = card.speaker_frame_at(time) as usize;
    let loud = card
        .heard_from(from)
        .iter()
        .position(|sample| sample.unsigned_abs() > LOUD)?;
    Some(card.speaker_time_of((from + loud) as u64))
}

fn home(card: &Card) -> Home {
    Home::new()
        .set("AUDIO_INPUT", alsa::MICROPHONE)
        .set("AUDIO_OUTPUT", alsa::SPEAKER)
        .set("ALSA_CONFIG_PATH", &card.config().display().to_string())
        .set("VOLUME", "100")
}

fn state(box_: &Running<'_>) -> String {
    let device = box_.get("/api/v1/device").json();
    device["data"]["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn print(name: &str, times: &mut [Duration], share: f64, gate: &str) {
    times.sort();
    let at = ((times.len() - 1) as f64 * share).round() as usize;
    let value = times[at].as_secs_f64() * 1000.0;
    if gate.is_empty() {
        println!("{name} {value:.1} ms");
    } else {
        println!("{name} {value:.1} ms (gate {gate})");
    }
}
