//! Cut short, called by a wrong name, with bits turned over: sound or a clear error, in bounded time.

use magpie::audio::decode::{DecodeError, SoundFormat, speech_of};

use crate::material::{HOUR, likeness, material, stream};

#[test]
fn a_file_cut_anywhere_gives_its_beginning_or_a_clear_error() {
    let material = material();
    for sample in &material.samples {
        let (mut heard, mut refused, mut last) = (0, 0, String::new());
        let all = sample.bytes.len();
        let cuts = (0..40).chain((1..12).map(|part| all * part / 12));
        for cut in cuts {
            match speech_of(&sample.bytes[..cut], None, HOUR) {
                Ok(speech) => {
                    heard += 1;
                    assert!(
                        speech.len() <= material.source.len() * 12 / 10,
                        "{}",
                        sample.name
                    );
                }
                Err(error) => {
                    refused += 1;
                    clear(sample.name, &error);
                    last = error.to_string();
                }
            }
            if cut % 7 == 0
                && let Err(error) = stream(&sample.bytes[..cut], 4_096, None, HOUR)
            {
                clear(sample.name, &error);
            }
        }
        println!(
            "{}: {heard} cuts gave sound, {refused} an error, the last: {last}",
            sample.name
        );
        assert!(refused > 0, "{}: a header alone is no sound", sample.name);
        // Without its table an MP4 is no sound at all.
        if sample.name != "m4a table last" {
            assert!(
                heard > 0,
                "{}: half a recording is worth hearing",
                sample.name
            );
        }
    }
}

#[test]
fn half_a_browser_recording_is_its_first_half() {
    let material = material();
    for name in ["webm opus", "ogg opus speech", "m4a fragmented"] {
        let bytes = &material.get(name).bytes;
        let speech = speech_of(&bytes[..bytes.len() / 2], None, HOUR).expect(name);
        let alike = likeness(&material.source, &speech);
        assert!(
            speech.len() > material.source.len() / 4,
            "{name}: {}",
            speech.len()
        );
        assert!(alike > 0.9, "{name}: correlation {alike:.4}");
    }
}

#[test]
fn a_wrong_name_does_not_matter() {
    let material = material();
    for sample in &material.samples {
        let right = speech_of(&sample.bytes, Some(sample.format), HOUR).expect(sample.name);
        for claimed in [SoundFormat::Wav, SoundFormat::Mp3, SoundFormat::WebM] {
            let named = speech_of(&sample.bytes, Some(claimed), HOUR).expect(sample.name);
            assert!(named == right, "{} called {claimed}", sample.name);
        }
    }
}

#[test]
fn turned_over_bits_never_hang_or_panic() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for sample in &material().samples {
        let mut refused = 0;
        for round in 0..12 {
            let mut bytes = sample.bytes.clone();
            let reach = if round % 2 == 0 {
                bytes.len().min(600)
            } else {
                bytes.len()
            };
            for _ in 0..1 + random() % 12 {
                let at = random() as usize % reach;
                bytes[at] ^= 1 << (random() % 8);
            }
            match speech_of(&bytes, Some(sample.format), HOUR) {
                Ok(_) => {}
                Err(error) => {
                    refused += 1;
                    clear(sample.name, &error);
                }
            }
        }
        println!("{}: {refused} of 12 damaged files refused", sample.name);
    }
}

#[test]
fn a_dropped_decoder_ends_its_thread_and_many_can_follow() {
    let sample = material().get("mp3 stereo 44.1 kHz");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        for _ in 0..60 {
            let mut decoder = magpie::audio::decode::Decoder::new(None, HOUR);
            loop {
                match decoder.push(sample.bytes[..sample.bytes.len() / 2].to_vec()) {
                    // Threads of those before may need a moment to see that they were dropped.
                    Err(DecodeError::Busy) => {
                        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                        decoder = magpie::audio::decode::Decoder::new(None, HOUR);
                    }
                    other => break other.expect("taken"),
                }
            }
            let piece = decoder.next().await.expect("decoded");
            assert!(piece.is_some());
        }
    });
}

fn clear(name: &str, error: &DecodeError) {
    let text = error.to_string();
    assert!(
        text.len() > 15 && !text.contains("panicked"),
        "{name}: {text}"
    );
    assert!(
        !matches!(error, DecodeError::TooMuchWork { .. }),
        "{name}: {text}"
    );
}
