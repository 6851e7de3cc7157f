//! Sound in and out of a card that behaves.

use std::time::{Duration, Instant};

use magpie::audio::resample::resample;
use magpie::audio::{
    AudioError, Earcon, EndCause, EndpointEvent, EndpointOptions, Endpointer, Playback,
    SPEECH_RATE_HZ, Vad, earcon,
};

use crate::alsa::{self, CD, Format, SPEECH, STUDIO};
use crate::rig::{listen, on_the_loop, play_all, rig, until_heard, wake_mean_us};
use crate::signal::{find, sweep};

alone!(
    captures_at_48,
    what_is_said_arrives_unchanged_from_a_card_of_48_khz
);
fn captures_at_48() {
    captures(STUDIO, "slt");
}

alone!(
    captures_at_44,
    what_is_said_arrives_unchanged_from_a_stereo_card_of_44_khz
);
fn captures_at_44() {
    captures(CD, "awb");
}

alone!(
    captures_at_16,
    what_is_said_arrives_unchanged_from_a_card_of_16_khz
);
fn captures_at_16() {
    captures(SPEECH, "kal16");
}

fn captures(format: Format, voice: &str) {
    let rig = rig(format, STUDIO);
    let rate_hz = format.rate_hz;
    let text = "What is the wifi password?";
    let speech = alsa::speak(text, voice, rate_hz);
    let sent = [sweep(rate_hz, 6_000.0, 0.5), speech].concat();
    on_the_loop(async {
        rig.card.say(&sent);
        let began = Instant::now();
        let mut capture = rig.audio.capture().await.expect("open the microphone");
        let open_ms = began.elapsed().as_millis();
        let began = Instant::now();
        let heard = listen(&mut capture, sent.len() as f64 / f64::from(rate_hz) + 0.2).await;
        let pace = heard.len() as f64 / 16_000.0 / began.elapsed().as_secs_f64();
        let (likeness, _) = find(&resample(&sent, rate_hz, SPEECH_RATE_HZ), &heard);
        println!(
            "sound: capture rate_hz={rate_hz} correlation={likeness:.5} pace={pace:.3} open_ms={open_ms} wake_mean_us={:.0}",
            wake_mean_us(&rig.metrics)
        );
        assert!(likeness >= 0.99, "correlation {likeness}");
        assert_eq!(rig.audio.status().xruns, 0);
    });
}

alone!(
    cuts_out,
    an_utterance_is_cut_whole_out_of_what_the_microphone_hears
);
fn cuts_out() {
    let rig = rig(STUDIO, STUDIO);
    let speech = alsa::speak("Where is the spare key?", "awb", 48_000);
    let room = vec![0; 48_000 / 2];
    on_the_loop(async {
        rig.card.say(&[room.as_slice(), speech.as_slice()].concat());
        let mut capture = rig.audio.capture().await.expect("open the microphone");
        let (mut vad, mut endpointer) = (Vad::new(), Endpointer::new(EndpointOptions::default()));
        let mut utterance = Vec::new();
        let cause = loop {
            let frame = capture.frame().await.expect("a frame");
            let speaking = endpointer.speaking();
            let event = endpointer.push(&frame, vad.score(&frame));
            if speaking {
                utterance.extend(frame);
            }
            match event {
                Some(EndpointEvent::SpeechStart { preroll }) => utterance = preroll,
                Some(EndpointEvent::SpeechEnd { cause, .. }) => break cause,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        };
        let wanted = resample(&speech, 48_000, SPEECH_RATE_HZ);
        let (likeness, at) = find(&wanted, &utterance);
        println!("sound: utterance correlation={likeness:.5} at={at} cause={cause:?}");
        assert!(likeness >= 0.99, "correlation {likeness}");
        assert_eq!(cause, EndCause::Silence);
    });
}

alone!(
    plays_at_48,
    what_is_played_reaches_a_speaker_of_48_khz_unchanged
);
fn plays_at_48() {
    plays(STUDIO, "rms");
}

alone!(
    plays_at_44,
    what_is_played_reaches_a_stereo_speaker_of_44_khz_unchanged
);
fn plays_at_44() {
    plays(CD, "kal");
}

alone!(
    plays_at_16,
    what_is_played_reaches_a_speaker_of_16_khz_unchanged
);
fn plays_at_16() {
    plays(SPEECH, "slt");
}

fn plays(format: Format, voice: &str) {
    let rig = rig(SPEECH, format);
    let speech = alsa::speak("It is written on the box.", voice, 16_000);
    let sent = [sweep(16_000, 6_000.0, 0.5), speech].concat();
    on_the_loop(async {
        let began = alsa::monotonic();
        let playback = play_all(&rig.audio, &sent, 16_000).await.expect("play");
        let took = (alsa::monotonic() - began).as_secs_f64();
        let wanted = resample(&sent, 16_000, format.rate_hz);
        let (likeness, at) = find(&wanted, &rig.card.heard());
        println!(
            "sound: playback rate_hz={} correlation={likeness:.5} pace={:.3} first_sample_ms={:.0}",
            format.rate_hz,
            sent.len() as f64 / 16_000.0 / took,
            (rig.card.speaker_time_of(at as u64).as_secs_f64() - began.as_secs_f64()) * 1e3,
        );
        assert!(likeness >= 0.99, "correlation {likeness}");
        let played = playback.played().as_secs_f64() * f64::from(format.rate_hz);
        let wanted = wanted.len() as f64;
        assert!((played - wanted).abs() <= 1.0, "{played} of {wanted}");
        assert_eq!(rig.audio.status().xruns, 0);
    });
}

alone!(stops, a_stop_silences_the_speaker_within_150_ms);
fn stops() {
    let rig = rig(SPEECH, STUDIO);
    let tone = earcon::test_tone(440.0, Duration::from_secs(5));
    on_the_loop(async {
        let mut worst_ms: f64 = 0.0;
        for _ in 0..4 {
            let playback = rig.audio.play().expect("a sound may be played");
            tokio::select! {
                result = playback.write(&tone, 48_000) => panic!("5 s were written at once: {result:?}"),
                () = tokio::time::sleep(Duration::from_millis(400)) => {}
            }
            let stopped_at = rig.card.speaker_frame_at(alsa::monotonic()) as usize;
            playback.stop();
            let played = playback.played();
            playback.write(&tone, 48_000).await.expect("is thrown away");
            playback.finished().await.expect("is over");
            let heard = until_heard(&rig.card, stopped_at + 48 * 300).await;
            assert!(
                heard[stopped_at - 480..stopped_at]
                    .iter()
                    .any(|sample| *sample != 0),
                "it played until the stop"
            );
            let last = heard.iter().rposition(|sample| *sample != 0).unwrap_or(0);
            worst_ms = worst_ms.max((last as f64 - stopped_at as f64) / 48.0);
            let more = playback.played() - played;
            assert!(
                more <= Duration::from_millis(41),
                "{more:?} were played after the stop"
            );
        }
        println!("sound: stop to silence worst_ms={worst_ms:.1} rounds=4");
        assert!(worst_ms <= 150.0, "{worst_ms} ms");
    });
}

alone!(
    drops,
    a_dropped_sound_falls_silent_and_its_place_is_free_again
);
fn drops() {
    let rig = rig(SPEECH, STUDIO);
    let tone = earcon::test_tone(440.0, Duration::from_millis(500));
    on_the_loop(async {
        for _ in 0..10 {
            let playback = rig.audio.play().expect("a sound may be played");
            playback
                .write(&tone, 48_000)
                .await
                .expect("a place is free");
        }
        let heard = until_heard(&rig.card, rig.card.heard().len() + 9_600).await;
        assert!(heard[heard.len() - 960..].iter().all(|sample| *sample == 0));
        let held: Vec<Playback> = (0..3)
            .map(|_| rig.audio.play().expect("a sound may be played"))
            .collect();
        for playback in &held {
            playback
                .write(&tone, 48_000)
                .await
                .expect("three may play at once");
        }
        let fourth = rig.audio.play().expect("a sound may be played");
        let written = fourth.write(&tone, 48_000).await;
        assert!(matches!(written, Err(AudioError::Busy(_))), "{written:?}");
    });
}

alone!(
    mixes,
    an_earcon_is_heard_together_with_speech_and_the_volume_is_obeyed
);
fn mixes() {
    let rig = rig(SPEECH, STUDIO);
    let speech = alsa::speak("This goes on meanwhile.", "slt", 48_000);
    let earcon = Earcon::Saved.samples();
    on_the_loop(async {
        let both = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            play_all(&rig.audio, &earcon, earcon::EARCON_RATE_HZ).await
        };
        let (spoken, sounded) = tokio::join!(play_all(&rig.audio, &speech, 48_000), both);
        spoken.expect("speech is played");
        sounded.expect("the earcon is played");
        let heard = rig.card.heard();
        let (_, at) = find(&speech, &heard);
        let rest: Vec<i16> = heard[at..at + speech.len()]
            .iter()
            .zip(&speech)
            .map(|(mixed, spoken)| mixed.saturating_sub(*spoken))
            .collect();
        let (likeness, _) = find(&earcon, &rest);
        assert!(likeness >= 0.99, "the earcon's correlation is {likeness}");

        rig.audio.set_volume(50);
        let before = rig.card.heard().len();
        play_all(&rig.audio, &speech, 48_000)
            .await
            .expect("speech is played");
        let quiet = &rig.card.heard()[before..];
        let (likeness, at) = find(&speech, quiet);
        assert!(likeness >= 0.99, "correlation {likeness}");
        let ratio = loudest(&quiet[at..at + speech.len()]) / loudest(&speech);
        assert!(
            (0.24..0.26).contains(&ratio),
            "half the volume is a quarter of the amplitude: {ratio}"
        );
    });
}

fn loudest(samples: &[i16]) -> f64 {
    f64::from(samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0))
}

alone!(
    checks,
    the_sound_check_plays_a_tone_and_tells_what_the_microphone_heard
);
fn checks() {
    let rig = rig(SPEECH, STUDIO);
    on_the_loop(async {
        // Quiet for the first part of the check, then a square wave of -20 dBFS.
        let square = (0..48_000).map(|at| if at / 20 % 2 == 0 { 3_277 } else { -3_277 });
        let room: Vec<i16> = std::iter::repeat_n(0, 6_400).chain(square).collect();
        rig.card.say(&room);
        let check = rig.audio.check().await;
        assert_eq!(check.speaker, Ok(()));
        let levels = check.microphone.expect("the microphone works");
        assert!(levels.quiet_dbfs < -90.0, "{levels:?}");
        assert!((-22.0..-19.0).contains(&levels.tone_dbfs), "{levels:?}");
        let tone = earcon::test_tone(440.0, Duration::from_secs(1));
        let (likeness, _) = find(&tone, &rig.card.heard());
        assert!(likeness >= 0.99, "correlation {likeness}");
    });
}

alone!(
    idles,
    an_open_microphone_with_voice_detection_takes_silence_for_silence
);
fn idles() {
    let rig = rig(STUDIO, STUDIO);
    on_the_loop(async {
        let mut capture = rig.audio.capture().await.expect("open the microphone");
        let mut vad = Vad::new();
        let mut highest: f32 = 0.0;
        let (cpu, began) = (cpu_time(), Instant::now());
        for _ in 0..150 {
            let frame = capture.frame().await.expect("a frame");
            highest = highest.max(vad.score(&frame));
        }
        let took = began.elapsed().as_secs_f64();
        println!(
            "sound: idle cpu_percent={:.2} pace={:.3} rss_kb={} wake_mean_us={:.0} build={}",
            (cpu_time() - cpu).as_secs_f64() / took * 100.0,
            150.0 * 0.016 / took,
            resident_kb(),
            wake_mean_us(&rig.metrics),
            if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
        );
        assert!(highest < 0.5, "silence is no speech: {highest}");
    });
}

fn cpu_time() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid place for the time.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
