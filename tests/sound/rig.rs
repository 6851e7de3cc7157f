//! What the tests with a card share: a process of their own, a card, and its ends.

use std::time::Duration;

use magpie::audio::{
    Audio, AudioError, AudioOptions, AudioStatus, Capture, FRAME_SAMPLES, Playback,
};
use magpie::ops::Registry;

use crate::alsa::{self, Card, Format};
use crate::machine;

const RETRY: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(100)];

/// Runs `test` in a process of its own: a card is chosen by the environment, which a process has once.
macro_rules! alone {
    ($test:ident, $sentence:ident) => {
        #[test]
        fn $sentence() {
            crate::rig::in_own_process(module_path!(), stringify!($sentence), $test);
        }
    };
}

pub fn in_own_process(module: &str, name: &str, test: fn()) {
    let name = format!("{}::{name}", module.trim_start_matches("sound::"));
    const MARK: &str = "MAGPIE_SOUND_TEST";
    if std::env::var_os(MARK).is_some() {
        return test();
    }
    let output = machine::this_program()
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .expect("start the test again");
    let text = String::from_utf8_lossy(&output.stdout);
    for (_, line) in text.lines().filter_map(|line| line.split_once("sound: ")) {
        println!("sound: {line}");
    }
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

pub struct Rig {
    pub card: Card,
    pub audio: Audio,
    pub metrics: Registry,
    _folder: tempfile::TempDir,
}

pub fn rig(microphone: Format, speaker: Format) -> Rig {
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

pub fn start(input: &str, output: &str, metrics: &Registry) -> Audio {
    let options = AudioOptions {
        input: input.to_string(),
        output: output.to_string(),
        period: Duration::from_millis(20),
        volume: 100,
    };
    Audio::start_with_retries(options, metrics, &RETRY)
}

pub fn on_the_loop<F: Future>(work: F) -> F::Output {
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
pub async fn listen(capture: &mut Capture, seconds: f64) -> Vec<i16> {
    let frames = (seconds * 16_000.0 / FRAME_SAMPLES as f64).ceil() as usize;
    let mut heard = Vec::new();
    for _ in 0..frames {
        heard.extend(capture.frame().await.expect("the microphone gives a frame"));
    }
    heard
}

/// Waits, within a limit, for the status to become what `wanted` says.
pub async fn until(audio: &Audio, wanted: impl Fn(&AudioStatus) -> bool) -> AudioStatus {
    let mut watch = audio.watch();
    let mut status = audio.status();
    while !wanted(&status) {
        status = tokio::time::timeout(Duration::from_secs(10), watch.changed())
            .await
            .expect("the status changes");
    }
    status
}

/// Waits until the speaker's file has this many frames.
pub async fn until_heard(card: &Card, frames: usize) -> Vec<i16> {
    loop {
        let heard = card.heard();
        if heard.len() >= frames {
            return heard;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn play_all(
    audio: &Audio,
    samples: &[i16],
    rate_hz: u32,
) -> Result<Playback, AudioError> {
    let playback = audio.play()?;
    playback.write(samples, rate_hz).await?;
    playback.finished().await?;
    Ok(playback)
}

/// Mean time from the card's callback to the task that waited for it.
pub fn wake_mean_us(metrics: &Registry) -> f64 {
    let text = metrics.render();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.rsplit(' ').next());
        number
            .and_then(|number| number.parse::<f64>().ok())
            .expect("the metric is there")
    };
    value("voice_audio_wake_seconds_sum") / value("voice_audio_wake_seconds_count") * 1e6
}
