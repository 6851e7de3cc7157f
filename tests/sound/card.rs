use std::time::{Duration, Instant};

use magpie::audio::{Audio, AudioError, AudioOptions, Capture, FRAME_SAMPLES, resample};
use magpie::ops::Registry;

use crate::alsa::{self, CD, Card, Format, SPEECH, STUDIO};
use crate::signal::{find, sweep};

const RETRY: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(100)];

/// Runs `test` in a process of its own: a card is chosen by the environment, which a process has once.
macro_rules! alone {
    ($test:ident, $sentence:ident) => {
        #[test]
        fn $sentence() {
            crate::card::in_own_process(stringify!($sentence), $test);
        }
    };
}

fn in_own_process(name: &str, test: fn()) {
    const MARK: &str = "MAGPIE_SOUND_TEST";
    if std::env::var_os(MARK).is_some() {
        return test();
    }
    let program = std::env::current_exe().expect("the test program has a path");
    let output = std::process::Command::new(program)
        .args([
            "--exact",
            &format!("card::{name}"),
            "--nocapture",
            "--test-threads=1",
        ])
        .env(MARK, "1")
        .output()
        .expect("start the test again");
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines().filter(|line| line.starts_with("sound:")) {
        println!("{line}");
    }
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

struct Rig {
    card: Card,
    audio: Audio,
    metrics: Registry,
    _folder: tempfile::TempDir,
}

fn rig(microphone: Format, speaker: Format) -> Rig {
    let folder = tempfile::tempdir().expect("make a folder for the card");
    let card = Card::new(folder.path(), microphone, speaker);
    card.use_in_this_process();
    let metrics = Registry::default();
    let audio = start(alsa::MICROPHONE, alsa::SPEAKER, &metrics);
    Rig {
        card,
        audio,
        metrics,
        _folder: folder,
    }
}

fn start(input: &str, output: &str, metrics: &Registry) -> Audio {
    let options = AudioOptions {
        input: input.to_string(),
        output: output.to_string(),
        period: Duration::from_millis(20),
        volume: 100,
    };
    Audio::start_with_retries(options, metrics, &RETRY)
}

fn on_the_loop<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("build a runtime")
        .block_on(async {
            tokio::time::timeout(Duration::from_secs(60), work)
                .await
                .expect("the test ends within a minute")
        })
}

/// Reads from the microphone for `seconds` of its own time.
async fn listen(capture: &mut Capture, seconds: f64) -> Vec<i16> {
    let frames = (seconds * 16_000.0 / FRAME_SAMPLES as f64).ceil() as usize;
    let mut heard = Vec::new();
    for _ in 0..frames {
        heard.extend(capture.frame().await.expect("the microphone gives a frame"));
    }
    heard
}

alone!(
    captures,
    what_is_said_arrives_as_it_was_said_at_any_rate_of_the_card
);
fn captures() {
    // One process has one card; the others follow in the next test's processes.
    let rig = rig(STUDIO, STUDIO);
    let sent = [
        sweep(48_000, 6_000.0, 1.0),
        alsa::speak(
            "What is the wifi password of the guest room?",
            "slt",
            48_000,
        ),
    ]
    .concat();
    on_the_loop(async {
        rig.card.say(&sent);
        let began = Instant::now();
        let mut capture = rig.audio.capture().await.expect("open the microphone");
        let opened = began.elapsed();
        let seconds = sent.len() as f64 / 48_000.0;
        let heard = listen(&mut capture, seconds + 0.2).await;
        let pace = (heard.len() as f64 / 16_000.0) / began.elapsed().as_secs_f64();
        let (likeness, at) = find(&resample::resample(&sent, 48_000, 16_000), &heard);
        println!("sound: capture correlation={likeness:.5} at={at} pace={pace:.3} open={opened:?}");
        assert!(likeness >= 0.99, "correlation {likeness}");
        assert_eq!(rig.audio.status().xruns, 0);
    });
}

alone!(plays, what_is_played_reaches_the_speaker_unchanged);
fn plays() {
    let rig = rig(SPEECH, STUDIO);
    let sent = alsa::speak("The wifi password is written on the box.", "rms", 16_000);
    on_the_loop(async {
        let playback = rig.audio.play().expect("a sound may be played");
        let began = Instant::now();
        playback.write(&sent, 16_000).await.expect("write");
        playback.finished().await.expect("finish");
        let took = began.elapsed();
        let wanted = resample::resample(&sent, 16_000, 48_000);
        let heard = rig.card.heard();
        let (likeness, at) = find(&wanted, &heard);
        println!("sound: playback correlation={likeness:.5} at={at} took={took:?}");
        assert!(likeness >= 0.99, "correlation {likeness}");
        let played = playback.played().as_secs_f64() * 48_000.0;
        assert!(
            (played - wanted.len() as f64).abs() <= 1.0,
            "{played} of {}",
            wanted.len()
        );
    });
}
