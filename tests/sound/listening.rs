//! Where the box thinks an utterance begins and ends, by real voices, real noise and a television.

use std::time::Duration;

use magpie::audio::level::rms_dbfs;
use magpie::audio::{
    EndCause, EndpointEvent, EndpointOptions, Endpointer, FRAME_SAMPLES, SPEECH_RATE_HZ, Vad,
};

use crate::alsa;

const VOICES: [&str; 4] = ["slt", "rms", "awb", "kal16"];
const END_SILENCE_MS: i64 = 700;
/// Silence before the speaker begins.
const LEAD_MS: usize = 1_000;

#[derive(Debug)]
struct Heard {
    starts: usize,
    /// When the last start was noticed and from when on its sound was kept.
    start_ms: i64,
    kept_from_ms: i64,
    end_ms: i64,
    last: Option<EndpointEvent>,
}

/// Feeds a whole recording frame by frame, as the microphone would.
fn listen(samples: &[i16]) -> Heard {
    let mut vad = Vad::new();
    let mut endpointer = Endpointer::new(EndpointOptions::default());
    let mut heard = Heard {
        starts: 0,
        start_ms: 0,
        kept_from_ms: 0,
        end_ms: 0,
        last: None,
    };
    for (at, frame) in samples.as_chunks::<FRAME_SAMPLES>().0.iter().enumerate() {
        let Some(event) = endpointer.push(frame, vad.score(frame)) else {
            continue;
        };
        let now_ms = (at as i64 + 1) * 16;
        if let EndpointEvent::SpeechStart { preroll } = &event {
            heard.starts += 1;
            heard.start_ms = now_ms;
            heard.kept_from_ms = now_ms - preroll.len() as i64 / 16;
        }
        heard.end_ms = now_ms;
        heard.last = Some(event);
    }
    heard
}

impl Heard {
    fn cause(&self) -> Option<EndCause> {
        match self.last {
            Some(EndpointEvent::SpeechEnd { cause, .. }) => Some(cause),
            _ => None,
        }
    }
}

/// An utterance with silence before and after, and where in it the voice begins and ends.
struct Scene {
    samples: Vec<i16>,
    begin_ms: i64,
    end_ms: i64,
}

fn scene(text: &str, voice: &str, after_ms: usize) -> Scene {
    let speech = alsa::speak(text, voice, SPEECH_RATE_HZ);
    let loud = |sample: &i16| sample.abs() > 300;
    let first = speech.iter().position(loud).expect("flite says something");
    let last = speech.iter().rposition(loud).expect("flite says something");
    let lead = LEAD_MS * 16;
    Scene {
        begin_ms: ((lead + first) / 16) as i64,
        end_ms: ((lead + last) / 16) as i64,
        samples: [vec![0; lead], speech, vec![0; after_ms * 16]].concat(),
    }
}

/// White noise of a level, the same at each run.
fn noise(count: usize, dbfs: f32) -> Vec<i16> {
    let mut state: u64 = 0x2545_F491_4F6C_DD1D;
    let amplitude = 32_768.0 * 10f32.powf(dbfs / 20.0) * 3f32.sqrt();
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / 8_388_608.0 - 1.0) * amplitude
        })
        .map(|sample| sample as i16)
        .collect()
}

fn mix(over: &[i16], under: &[i16]) -> Vec<i16> {
    over.iter()
        .zip(under)
        .map(|(a, b)| a.saturating_add(*b))
        .collect()
}

/// Brings a sound to a level.
fn at_level(samples: &[i16], dbfs: f32) -> Vec<i16> {
    let factor = 10f32.powf((dbfs - rms_dbfs(samples)) / 20.0);
    samples
        .iter()
        .map(|sample| (f32::from(*sample) * factor).clamp(-32_768.0, 32_767.0) as i16)
        .collect()
}

const SENTENCES: [&str; 3] = [
    "What is the wifi password of the guest room?",
    "Remember that the spare key is under the blue flower pot, behind the house.",
    "Stop.",
];

#[test]
fn speech_in_a_quiet_room_is_kept_whole_and_ended_by_silence() {
    let mut beyond_ms = Vec::new();
    for voice in VOICES {
        for text in SENTENCES {
            let scene = scene(text, voice, 2_000);
            let sound = mix(&scene.samples, &noise(scene.samples.len(), -65.0));
            let heard = listen(&sound);
            let told = format!(
                "{voice} {text:?}: {heard:?}, speech {}..{}",
                scene.begin_ms, scene.end_ms
            );
            assert_eq!(heard.starts, 1, "{told}");
            assert_eq!(heard.cause(), Some(EndCause::Silence), "{told}");
            assert!(
                heard.kept_from_ms <= scene.begin_ms,
                "its beginning is cut: {told}"
            );
            assert!(heard.end_ms > scene.end_ms, "its end is cut: {told}");
            beyond_ms.push(heard.end_ms - scene.end_ms - END_SILENCE_MS);
        }
    }
    beyond_ms.sort_unstable();
    println!("sound: end beyond the silence setting ms={beyond_ms:?}");
    // A soft last consonant is under what this test calls loud, and a long sentence that falls at
    // its end may end 200 ms sooner.
    assert!(
        beyond_ms.iter().all(|ms| (-210..=60).contains(ms)),
        "{beyond_ms:?}"
    );
}

#[test]
fn speech_over_steady_noise_is_ended() {
    for voice in VOICES {
        let scene = scene(SENTENCES[0], voice, 4_000);
        let level = rms_dbfs(&scene.samples[LEAD_MS * 16..scene.end_ms as usize * 16]);
        for ratio_db in [20.0, 10.0] {
            let sound = mix(
                &scene.samples,
                &noise(scene.samples.len(), level - ratio_db),
            );
            let heard = listen(&sound);
            let told = format!(
                "{voice} at {ratio_db} dB: {heard:?}, speech {}..{}",
                scene.begin_ms, scene.end_ms
            );
            println!("sound: noise {told}");
            assert!(heard.cause().is_some(), "{told}");
            assert!(heard.end_ms > scene.end_ms - 100, "its end is cut: {told}");
            assert!(
                heard.end_ms <= scene.end_ms + END_SILENCE_MS + 800,
                "{told}"
            );
        }
    }
}

#[test]
fn a_television_in_the_background_does_not_hold_the_end_off() {
    // Somebody else who talks on and on without a pause, as the news do.
    let news = alsa::speak(
        "the minister of transport said on monday that the new railway line along the coast will be \
         opened in the spring of next year after a long delay caused by heavy rain and storms and that \
         all of the stations are now ready while the old line remains in use for freight until winter",
        "rms",
        SPEECH_RATE_HZ,
    );
    for voice in ["slt", "awb", "kal16"] {
        let scene = scene(SENTENCES[0], voice, 8_000);
        let level = rms_dbfs(&scene.samples[LEAD_MS * 16..scene.end_ms as usize * 16]);
        let bed: Vec<i16> = at_level(&news, level - 20.0)
            .into_iter()
            .cycle()
            .take(scene.samples.len())
            .collect();
        // The television alone must not be what started: begin where the speaker does.
        let begin = (scene.begin_ms as usize - 100) * 16;
        let sound = mix(&scene.samples, &bed);
        let heard = listen(&sound[begin..]);
        let end_ms = heard.end_ms + begin as i64 / 16;
        let told = format!(
            "{voice}: {heard:?}, speech ended at {}, told at {end_ms}",
            scene.end_ms
        );
        println!("sound: television {told}");
        assert!(heard.cause().is_some(), "{told}");
        assert!(end_ms > scene.end_ms - 100, "its end is cut: {told}");
        assert!(end_ms <= scene.end_ms + END_SILENCE_MS + 600, "{told}");
    }
}

#[test]
fn listening_to_noise_alone_ends_with_nobody_spoke() {
    for dbfs in [-96.0, -60.0, -40.0, -25.0] {
        let heard = listen(&noise(10 * 16_000, dbfs));
        assert_eq!(heard.last, Some(EndpointEvent::NoSpeech), "{dbfs} dBFS");
        assert_eq!(heard.end_ms, 8_000, "{dbfs} dBFS");
    }
}

#[test]
fn a_knock_and_a_clap_are_not_speech() {
    let mut sound = noise(10 * 16_000, -60.0);
    for begin in [16_000, 40_000, 41_000] {
        for (at, sample) in sound[begin..begin + 1_600].iter_mut().enumerate() {
            let swing = (at as f32 * 0.4).sin() * 25_000.0 * (-(at as f32) / 200.0).exp();
            *sample = sample.saturating_add(swing as i16);
        }
    }
    let heard = listen(&sound);
    assert_eq!(heard.last, Some(EndpointEvent::NoSpeech), "{heard:?}");
}

#[test]
fn a_minute_of_talk_is_cut_at_the_longest_utterance() {
    let speech = alsa::speak("and on and on it goes and on and on", "slt", SPEECH_RATE_HZ);
    let endless: Vec<i16> = speech
        .into_iter()
        .filter(|sample| *sample != 0)
        .cycle()
        .take(70 * 16_000)
        .collect();
    let heard = listen(&endless);
    assert_eq!(heard.cause(), Some(EndCause::Max), "{heard:?}");
    let length = Duration::from_millis((heard.end_ms - heard.start_ms) as u64);
    assert!(length.as_secs().abs_diff(60) <= 1, "{length:?}");
}
