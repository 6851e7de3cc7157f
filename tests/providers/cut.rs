//! Answers that end at any byte: an error or the part that came, never a hang and never a whole.

use std::rc::Rc;
use std::time::Duration;

use magpie::audio::decode::SoundFormat;
use magpie::clock::Clock;
use magpie::ops::Registry;
use magpie::outbound::{Outbound, OutboundOptions};
use magpie::voice::providers::openai::{OpenAiStt, OpenAiTts, Way};
use magpie::voice::providers::{EngineError, Sound, Stt, SttOptions, Tts};

use crate::provider::{Fault, OPENAI_KEY, Provider, Route};

fn on_loop(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, work);
}

fn way(provider: &Provider) -> Way {
    Way {
        outbound: Outbound::new(OutboundOptions::default(), &Registry::default())
            .expect("a way out"),
        clock: Clock::system(),
        base_url: provider.openai_url(),
        key: Some(OPENAI_KEY.to_owned()),
    }
}

#[test]
fn a_transcript_cut_at_every_byte_is_no_transcript() {
    let provider = Provider::start();
    on_loop(async {
        let stt = OpenAiStt {
            way: way(&provider),
            model: String::from("whisper-1"),
        };
        let (sound, options) = (Sound::new(vec![0; 3_200]), SttOptions::default());
        let mut cut = 0;
        loop {
            provider.fail_once(Route::Transcriptions, Fault::Cut(cut));
            provider.hears("the spare key is under the blue flower pot");
            match stt.transcribe(&sound, &options).await {
                Ok(transcript) => {
                    assert_eq!(
                        transcript.text,
                        "the spare key is under the blue flower pot"
                    );
                    assert_eq!(transcript.segments.len(), 1);
                    break;
                }
                Err(EngineError::Broken(_)) => {}
                Err(other) => panic!("cut at {cut}: {other:?}"),
            }
            cut += 1;
        }
        println!("a transcript of {cut} bytes, cut at each of them");
        assert!(cut > 400);
    });
    provider.assert_content();
}

#[test]
fn speech_cut_anywhere_is_the_part_that_came_and_an_error() {
    let provider = Provider::start();
    on_loop(async {
        for format in [
            SoundFormat::Mp3,
            SoundFormat::Wav,
            SoundFormat::Flac,
            SoundFormat::Pcm,
        ] {
            let tts: Rc<dyn Tts> = Rc::new(OpenAiTts {
                way: way(&provider),
                model: String::from("tts-1"),
                voice: String::from("nova"),
                format,
            });
            let longest = Duration::from_secs(60);
            let said = tts.synthesize("Good morning.", None).await.expect("speaks");
            let whole = said.collect(longest).await.expect("all of it");
            assert!(whole.duration() > Duration::from_millis(500), "{format:?}");
            let mut cuts = 0;
            let mut some = 0;
            // The head by every byte, the sound in strides that meet no frame's length.
            let places = (0..300).chain((300..20_000).step_by(997));
            for cut in places {
                provider.fail_once(Route::Speech, Fault::Cut(cut));
                let mut came = 0;
                let ended = match tts.synthesize("Good morning.", None).await {
                    Err(error) => Err(error),
                    Ok(mut stream) => loop {
                        match stream.next().await {
                            Ok(Some(piece)) => came += piece.samples.len(),
                            Ok(None) => break Ok(()),
                            Err(error) => break Err(error),
                        }
                    },
                };
                match ended {
                    Err(EngineError::Broken(_)) => {
                        cuts += 1;
                        some += usize::from(came > 0);
                    }
                    Ok(()) => {
                        assert!(
                            came >= whole.samples.len() * 9 / 10,
                            "{format:?} {cut}: {came}"
                        );
                    }
                    other => panic!("{format:?} cut at {cut}: {other:?}"),
                }
                assert!(came <= whole.samples.len(), "{format:?} {cut}");
            }
            println!("{format:?}: {cuts} cuts, {some} of them after sound had come");
            // A kept connection that ends within the head is asked once more on a new one.
            assert!(cuts > 120, "{format:?}");
        }
    });
    provider.assert_content();
}

#[test]
fn speech_that_drips_is_heard_from_its_first_piece_on() {
    let provider = Provider::start();
    provider.fail(Route::Speech, Fault::Drip(512, Duration::from_millis(20)));
    on_loop(async {
        for format in [SoundFormat::Mp3, SoundFormat::Wav] {
            let tts = OpenAiTts {
                way: way(&provider),
                model: String::from("tts-1"),
                voice: String::from("nova"),
                format,
            };
            let began = std::time::Instant::now();
            let mut stream = tts
                .synthesize("Good morning to all of you.", None)
                .await
                .expect("speaks");
            let first = began.elapsed();
            let mut pieces = 0;
            while stream.next().await.expect("speaks on").is_some() {
                pieces += 1;
            }
            println!(
                "{format:?}: first sound after {} ms of {} ms, {pieces} pieces",
                first.as_millis(),
                began.elapsed().as_millis()
            );
            assert!(pieces > 3, "{format:?} came in {pieces} pieces");
            assert!(first < began.elapsed() / 2, "{format:?}");
        }
    });
}
