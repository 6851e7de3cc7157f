//! A card that stumbles, vanishes, is taken or is no card at all.

use std::time::{Duration, Instant};

use magpie::audio::resample::resample;
use magpie::audio::{AudioError, Earcon, earcon};
use magpie::ops::Registry;

use crate::alsa::{self, SPEECH, STUDIO};
use crate::rig::{listen, on_the_loop, play_all, rig, start, until};
use crate::signal::find;

alone!(xruns, an_xrun_is_counted_and_the_sound_goes_on);
fn xruns() {
    let rig = rig(SPEECH, STUDIO);
    let text = "One, two, three, four, five.";
    let speech = alsa::speak(text, "rms", 16_000);
    on_the_loop(async {
        let mut capture = rig.audio.capture().await.expect("open the microphone");
        listen(&mut capture, 0.3).await;
        rig.card.stall_microphone();
        listen(&mut capture, 0.5).await;
        assert_eq!(rig.audio.status().xruns, 1);
        rig.card.say(&speech);
        let heard = listen(&mut capture, speech.len() as f64 / 16_000.0 + 0.5).await;
        let (likeness, _) = find(&speech, &heard);
        assert!(likeness >= 0.99, "correlation {likeness} after an overrun");
        drop(capture);

        let playback = rig.audio.play().expect("a sound may be played");
        let write = async {
            playback.write(&speech, 16_000).await?;
            playback.finished().await
        };
        let disturb = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            rig.card.stall_speaker();
        };
        let (written, ()) = tokio::join!(write, disturb);
        written.expect("the sound survives an underrun");
        assert_eq!(rig.audio.status().xruns, 2);
        let wanted = resample(&speech, 16_000, 48_000);
        let (likeness, _) = find(&wanted[wanted.len() / 2..], &rig.card.heard());
        assert!(likeness >= 0.99, "correlation {likeness} after an underrun");
        let text = rig.metrics.render();
        for side in ["input", "output"] {
            let line = format!("voice_audio_xruns_total{{stream=\"{side}\"}} 1\n");
            assert!(text.contains(&line), "{text}");
        }
        let status = rig.audio.status();
        assert_eq!((status.input_error, status.output_error), (None, None));
    });
}

alone!(
    unplugged,
    an_unplugged_microphone_is_told_once_and_heard_again_when_it_is_back
);
fn unplugged() {
    let rig = rig(STUDIO, STUDIO);
    let speech = alsa::speak("I am back again.", "slt", 48_000);
    on_the_loop(async {
        let mut capture = rig.audio.capture().await.expect("open the microphone");
        listen(&mut capture, 0.3).await;
        let began = Instant::now();
        rig.card.unplug();
        let error = loop {
            if let Err(error) = capture.frame().await {
                break error;
            }
        };
        let told_ms = began.elapsed().as_millis();
        assert!(
            matches!(&error, AudioError::Unavailable(text) if text.contains("unplugged")),
            "{error}"
        );
        let status = until(&rig.audio, |status| status.input_error.is_some()).await;
        assert_eq!(status.input_error, Some(error.to_string()));

        // Several tries to open it fail meanwhile, and none of them is told again.
        let early = tokio::time::timeout(Duration::from_millis(400), capture.frame()).await;
        assert!(early.is_err(), "an unplugged microphone gave {early:?}");
        rig.card.say(&speech);
        let began = Instant::now();
        rig.card.plug_in();
        let mut heard = capture.frame().await.expect("it is back").to_vec();
        let back_ms = began.elapsed().as_millis();
        println!("sound: unplug told_ms={told_ms} replug back_ms={back_ms} retry_ms=100");
        heard.extend(listen(&mut capture, speech.len() as f64 / 48_000.0 + 0.3).await);
        let (likeness, _) = find(&resample(&speech, 48_000, 16_000), &heard);
        assert!(likeness >= 0.99, "correlation {likeness}");
        assert_eq!(rig.audio.status().input_error, None);
    });
}

alone!(
    unplugged_speaker,
    an_unplugged_speaker_ends_the_sound_of_the_moment_and_plays_the_next
);
fn unplugged_speaker() {
    let rig = rig(SPEECH, STUDIO);
    let tone = earcon::test_tone(440.0, Duration::from_secs(4));
    on_the_loop(async {
        let unplug = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            rig.card.unplug();
        };
        let (played, ()) = tokio::join!(play_all(&rig.audio, &tone, 48_000), unplug);
        let played = played.map(drop);
        assert!(
            matches!(played, Err(AudioError::Unavailable(_))),
            "{played:?}"
        );
        until(&rig.audio, |status| status.output_error.is_some()).await;
        let away = play_all(&rig.audio, &tone, 48_000).await.map(drop);
        assert!(matches!(away, Err(AudioError::Unavailable(_))), "{away:?}");

        rig.card.plug_in();
        until(&rig.audio, |status| status.output_error.is_none()).await;
        let before = rig.card.heard().len();
        let earcon = Earcon::Done.samples();
        play_all(&rig.audio, &earcon, earcon::EARCON_RATE_HZ)
            .await
            .expect("it plays again");
        let (likeness, _) = find(&earcon, &rig.card.heard()[before..]);
        assert!(likeness >= 0.99, "correlation {likeness}");
    });
}

alone!(
    occupied,
    a_card_that_another_program_has_is_told_as_busy_and_works_when_it_is_free
);
fn occupied() {
    let rig = rig(SPEECH, STUDIO);
    on_the_loop(async {
        rig.card.occupy();
        let error = rig.audio.capture().await.err();
        assert!(
            matches!(&error, Some(AudioError::Busy(text)) if text.contains("in use")),
            "{error:?}"
        );
        rig.card.plug_in();
        // Nobody waits for it, and still the status tells that it works again.
        until(&rig.audio, |status| status.input_error.is_none()).await;
        let mut capture = rig.audio.capture().await.expect("it is free");
        listen(&mut capture, 0.1).await;
        let second = rig.audio.capture().await.err();
        assert!(matches!(second, Some(AudioError::Busy(_))), "{second:?}");
        drop(capture);
        // Cancelled while it opens, at once or a little later, it is not left open.
        for wait_us in [0, 50, 500, 5_000] {
            let wait = Duration::from_micros(wait_us);
            let _ = tokio::time::timeout(wait, rig.audio.capture()).await;
        }
        rig.audio.capture().await.expect("its drop closed it");
    });
}

alone!(
    refuses,
    devices_that_keep_no_time_are_refused_however_they_are_named
);
fn refuses() {
    let _rig = rig(SPEECH, STUDIO);
    on_the_loop(async {
        for (device, kind) in [
            ("timeless_null", "null"),
            ("hidden_null", "null"),
            ("timeless_file", "file"),
        ] {
            let audio = start(device, device, &Registry::default());
            let status = until(&audio, |status| status.output_error.is_some()).await;
            for text in [status.input_error, status.output_error]
                .into_iter()
                .flatten()
            {
                assert!(
                    text.contains(&format!("{kind:?} device")),
                    "{device}: {text}"
                );
                assert!(
                    text.contains("set AUDIO_"),
                    "{device} does not say what to do: {text}"
                );
            }
            let error = audio.capture().await.err();
            assert!(
                matches!(error, Some(AudioError::Refused(_))),
                "{device}: {error:?}"
            );
        }
    });
}

alone!(lists, devices_are_listed_found_by_name_and_missed_by_name);
fn lists() {
    let rig = rig(SPEECH, STUDIO);
    on_the_loop(async {
        let devices = rig.audio.devices().await;
        let named = |name: &str| devices.iter().find(|device| device.name == name);
        let microphone = named(alsa::MICROPHONE).expect("the list has the microphone");
        assert_eq!(microphone.kind, "paced");
        assert_eq!(microphone.description, "Paced test microphone");
        assert_eq!(
            named("default").map(|device| device.kind.as_str()),
            Some("asym")
        );

        let audio = start("default", "default", &Registry::default());
        let mut capture = audio.capture().await.expect("the default microphone");
        listen(&mut capture, 0.1).await;
        let earcon = Earcon::Listen.samples();
        play_all(&audio, &earcon, earcon::EARCON_RATE_HZ)
            .await
            .expect("the default speaker");

        let audio = start("no_such_device", "off", &Registry::default());
        let text = audio.capture().await.err().map(|error| error.to_string());
        let text = text.expect("there is no such device");
        assert!(
            text.contains("no_such_device") && text.contains("magpie devices"),
            "{text}"
        );
        assert_eq!(audio.play().err(), Some(AudioError::Off));
        assert_eq!(audio.status().output_error, None, "off is no error");
    });
}
