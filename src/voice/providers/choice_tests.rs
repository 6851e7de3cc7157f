//! The choice of engines, and real ones heard and understood.

use super::*;
use crate::audio::SPEECH_RATE_HZ;
use crate::ops::Registry;
use crate::outbound::{Outbound, OutboundOptions};
use crate::voice::providers::chains::World;
use crate::voice::providers::{Sound, Speech, SttOptions};

fn settings(data_dir: &Path, stt: &str, tts: &str) -> VoiceSettings {
    let mut settings = VoiceSettings {
        data_dir: data_dir.to_path_buf(),
        ..VoiceSettings::default()
    };
    settings.stt.provider = stt.to_string();
    settings.tts.provider = tts.to_string();
    settings
}

fn outbound() -> Outbound {
    Outbound::new(OutboundOptions::default(), &Registry::default()).expect("a way out")
}

async fn whole(tts: &Rc<dyn Tts>, text: &str) -> Speech {
    let stream = tts.synthesize(text, None).await.expect("speaks");
    let limit = Duration::from_secs(60);
    stream.collect(limit).await.expect("speaks to the end")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn problem<T>(result: Result<T, EngineError>) -> String {
    match result {
        Ok(_) => panic!("expected a problem"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_provider_that_cannot_be_used_says_what_to_do() {
    let data = tempfile::tempdir().expect("a folder");
    let at = |stt: &str, command: Option<&str>| {
        let mut settings = settings(data.path(), stt, "none");
        settings.stt.command = command.map(String::from);
        problem(Engines::choose(&settings, &World::of(&outbound())).stt)
    };
    assert!(at("none", None).contains("STT_PROVIDER=auto"));
    assert!(at("sphinx", None).contains("pocketsphinx"));
    assert!(at("command", None).contains("STT_COMMAND"));
    assert!(at("command", Some("no-such-engine {wav}")).contains("no-such-engine"));
    assert!(at("command", Some("cat {wave}")).contains("{wave}"));
    assert!(
        at("whisper.cpp", None).contains("install") || at("whisper.cpp", None).contains("model")
    );
}

#[test]
fn flite_is_understood_by_pocketsphinx() {
    let data = tempfile::tempdir().expect("a folder");
    let engines = Engines::choose(
        &settings(data.path(), "pocketsphinx", "flite"),
        &World::of(&outbound()),
    );
    let stt = engines.stt.expect("pocketsphinx is installed");
    let tts = engines.tts.expect("flite is installed");
    let text = "The spare key is under the blue flower pot.";
    let heard = block_on(async {
        let speech = whole(&tts, text).await;
        assert_eq!(speech.rate_hz, SPEECH_RATE_HZ);
        let options = SttOptions {
            language: Some(String::from("en")),
            ..SttOptions::default()
        };
        let sound = Sound::new(speech.samples);
        stt.transcribe(&sound, &options).await.expect("hears")
    });
    println!("said {text:?}, heard {:?}", heard.text);
    assert!(
        heard.text.contains("key is under the blue flower pot"),
        "{heard:?}"
    );
    let left = std::fs::read_dir(data.path().join("tmp"))
        .expect("there")
        .count();
    assert_eq!(left, 0, "scratch folders stay behind");
}

#[test]
fn chinese_is_spoken_by_espeak_though_flite_is_chosen() {
    let data = tempfile::tempdir().expect("a folder");
    let engines = Engines::choose(
        &settings(data.path(), "none", "flite"),
        &World::of(&outbound()),
    );
    let tts = engines.tts.expect("flite is installed");
    let speech = block_on(whole(&tts, "你好，钥匙在花盆下面。"));
    assert_eq!(speech.rate_hz, 22_050, "espeak-ng's own rate");
    assert!(
        speech.duration() > Duration::from_secs(1),
        "{:?}",
        speech.duration()
    );
}

#[test]
fn own_commands_speak_by_pipe() {
    let data = tempfile::tempdir().expect("a folder");
    let mut settings = settings(data.path(), "command", "command");
    settings.stt.command = Some(String::from("wc -c"));
    settings.tts.command = Some(String::from("espeak-ng -v {language} --stdin --stdout"));
    let engines = Engines::choose(&settings, &World::of(&outbound()));
    let heard = block_on(
        engines
            .stt
            .expect("wc is there")
            .transcribe(&Sound::new(vec![0; 1000]), &SttOptions::default()),
    );
    assert_eq!(heard.expect("hears").text, "2044");
    let said = block_on(whole(&engines.tts.expect("there"), "Hello there."));
    assert!(said.duration() > Duration::from_millis(300));
}

#[test]
fn only_so_many_engines_run_and_only_so_many_wait() {
    let data = tempfile::tempdir().expect("a folder");
    let mut settings = settings(data.path(), "command", "none");
    settings.stt.command = Some(String::from("sh -c 'sleep 0.01; echo done'"));
    let stt = Engines::choose(&settings, &World::of(&outbound()))
        .stt
        .expect("sh is there");
    let results = block_on(async {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let calls: Vec<_> = (0..SPEECH_WAITING_MAX + 5)
                    .map(|_| {
                        let stt = Rc::clone(&stt);
                        let sound = Sound::new(vec![0; 16]);
                        tokio::task::spawn_local(async move {
                            stt.transcribe(&sound, &SttOptions::default()).await
                        })
                    })
                    .collect();
                let mut results = Vec::new();
                for call in calls {
                    results.push(call.await.expect("no panic"));
                }
                results
            })
            .await
    });
    let busy = results
        .iter()
        .filter(|r| **r == Err(EngineError::Busy))
        .count();
    assert!((4..=5).contains(&busy), "{busy} were told to come back");
    let fine = results.iter().filter(|r| r.is_ok()).count();
    assert_eq!(fine + busy, results.len(), "{results:?}");
}

#[test]
fn the_report_names_what_is_used() {
    let data = tempfile::tempdir().expect("a folder");
    let engines = Engines::choose(
        &settings(data.path(), "auto", "none"),
        &World::of(&outbound()),
    );
    let [stt, tts] = block_on(engines.report());
    assert_eq!(stt.used.as_deref(), Some("pocketsphinx"));
    assert!(tts.problem.expect("a problem").contains("TTS_PROVIDER"));
    let flite = tts
        .found
        .iter()
        .find(|found| found.name == "flite")
        .expect("found");
    assert!(
        flite.version.as_deref().is_some_and(|v| v.contains("2.")),
        "{flite:?}"
    );
}
