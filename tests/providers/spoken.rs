//! Streamed answers out of the real ALSA path, and what interrupts them.

use std::time::Duration;

use magpie::audio::resample::resample;
use magpie::audio::wav;
use serde_json::{Value, json};

use crate::alsa::{self, Card, SPEECH, STUDIO};
use crate::gpio::Chip;
use crate::provider::{Provider, Reply, Route, speech};
use crate::rig::{Client, done, home, state, until};
use crate::signal;
use crate::support::{Home, Running};

const QUESTION: &str = "please tell me about the colours of a garden";
const ANSWER: &str = "The roses by the door are red this year. Behind them the tulips are yellow. \
                      The grass is green as ever.";

fn with_card(provider: &Provider, card: &Card) -> Home {
    home(provider)
        .set("ALSA_CONFIG_PATH", &card.config().display().to_string())
        .set("AUDIO_INPUT", alsa::MICROPHONE)
        .set("AUDIO_OUTPUT", alsa::SPEAKER)
        .set("VOLUME", "100")
}

/// Has the box listen to a spoken question, and gives the turn as it ended.
fn speak_to(house: &Running, card: &Card) -> Value {
    std::thread::scope(|scope| {
        let turn = scope.spawn(|| done(house, "/api/v1/device/listen", &json!({"wait": true})));
        until("the box listens", || state(house) == "listening");
        let mut sound = vec![0; 8_000];
        sound.extend(alsa::speak(QUESTION, "slt", 16_000));
        card.say(&sound);
        turn.join().expect("the turn ends")
    })
}

/// What the double said, at 16 kHz.
fn expected(sentence: &Value) -> Vec<i16> {
    let text = sentence["input"].as_str().expect("text");
    let pcm = speech::speak(text, "pcm");
    let samples: Vec<i16> = pcm
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let loud = |sample: &i16| sample.unsigned_abs() > 200;
    let from = samples.iter().position(loud).unwrap_or(0);
    let to = samples.iter().rposition(loud).unwrap_or(samples.len());
    resample(&samples[from..to], speech::RATE_HZ, 16_000)
}

#[test]
fn a_streamed_answer_comes_out_of_the_speaker_in_order_as_wav_mp3_and_flac() {
    for format in ["wav", "mp3", "flac"] {
        let folder = tempfile::tempdir().expect("a folder");
        let card = Card::new(folder.path(), SPEECH, STUDIO);
        let provider = Provider::start();
        provider.hears(QUESTION);
        provider.replies(Reply::text(ANSWER).pausing(Duration::from_millis(10)));
        provider.pace_speech(2_000, Duration::from_millis(2));
        let home = with_card(&provider, &card).set("TTS_FORMAT", format);
        let house = home.serve();
        let turn = speak_to(&house, &card);
        assert_eq!(turn["result"], "answered", "{format}: {turn}");
        assert_eq!(turn["text"], QUESTION);
        assert_eq!(turn["answer"]["content"], ANSWER);
        assert_eq!(turn["errors"], json!([]), "{turn}");
        provider.assert_content();

        let sound = &provider.requests(Route::Transcriptions)[0];
        assert_eq!(sound.file_type, "audio/wav");
        let asked: Vec<Value> = provider
            .requests(Route::Speech)
            .into_iter()
            .map(|seen| seen.json)
            .collect();
        assert!(asked.len() >= 2, "{asked:?}");
        assert!(provider.most_in_flight(Route::Speech) <= 2);
        let heard = resample(&card.heard(), 48_000, 16_000);
        let mut end = 0;
        for sentence in &asked {
            assert_eq!(sentence["response_format"], format);
            let part = expected(sentence);
            let (likeness, at) = signal::find(&part, &heard);
            println!(
                "{format}: {} at {} ms, {} ms after the one before, correlation {likeness:.4}",
                sentence["input"],
                at / 16,
                (at as i64 - end as i64) / 16
            );
            assert!(likeness >= 0.95, "{format} {sentence}: {likeness}");
            assert!(at >= end, "{format}: {sentence} came too early");
            end = at + part.len() - 160;
        }
        println!("{format}: timing {}", turn["timing_ms"]);
    }
}

#[test]
fn a_tap_silences_the_answer_and_ends_what_it_costs() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let provider = Provider::start();
    let home = with_card(&provider, &card).set("TTS_FORMAT", "wav");
    let house = home.serve();
    check_silenced("tap", &house, &card, &provider, || {
        done(&house, "/api/v1/device/stop", &json!({}));
    });
}

#[test]
fn a_press_of_the_button_silences_the_answer_and_the_next_one_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let chip = Chip::new(folder.path());
    let provider = Provider::start();
    let home = chip.wire(with_card(&provider, &card).set("TTS_FORMAT", "wav"));
    let house = home.serve();
    let mut button = chip.button();
    check_silenced("button", &house, &card, &provider, || {
        button.set(true);
        std::thread::sleep(Duration::from_millis(60));
        button.set(false);
    });
    until("it is idle", || state(&house) == "idle");
    until("the lamp is dark", || chip.lamp() == Some(0));

    button.set(true);
    until("the box listens", || state(&house) == "listening");
    until("the lamp shines", || chip.lamp() == Some(1));
    provider.hears("what comes next");
    provider.replies(Reply::text("Nothing more."));
    let mut sound = vec![0; 4_000];
    sound.extend(alsa::speak(QUESTION, "slt", 16_000));
    let samples = sound.len() as u64;
    let from = card.heard().len() as u64;
    card.say(&sound);
    until("it is said", || {
        card.heard().len() as u64 > from + samples * 3 + 24_000
    });
    button.set(false);
    until("it is asked", || {
        provider.requests(Route::Transcriptions).len() == 2
    });
    until("it is answered", || state(&house) == "idle");
    provider.assert_content();
}

#[test]
fn the_switch_on_the_box_mutes_the_program_and_unmutes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = Card::new(folder.path(), SPEECH, STUDIO);
    let chip = Chip::new(folder.path());
    let provider = Provider::start();
    let home = chip.wire(with_card(&provider, &card));
    let mut switch = chip.switch();
    switch.set(true);
    let house = home.serve();
    let muted = || house.get("/api/v1/device").json()["data"]["muted"].clone();
    until("it starts muted", || muted() == true);
    let listen = house.post("/api/v1/device/listen", &json!({}));
    assert_eq!(listen.status, 409, "{}", listen.body);
    switch.set(false);
    until("it hears again", || muted() == false);
    done(&house, "/api/v1/device/listen", &json!({}));
    until("the box listens", || state(&house) == "listening");
}

/// Ends a long answer in the middle: the speaker falls silent, what was heard is kept, and no
/// more is asked of the providers.
fn check_silenced(
    how: &str,
    house: &Running,
    card: &Card,
    provider: &Provider,
    stop: impl FnOnce(),
) {
    provider.hears(QUESTION);
    let long = "This is one of many sentences that nobody will hear. ".repeat(20);
    provider.replies(Reply::text(long.trim()).pausing(Duration::from_millis(5)));
    let turn = std::thread::scope(|scope| {
        let turn = scope.spawn(|| speak_to(house, card));
        until("the box speaks", || state(house) == "speaking");
        let from = card.heard().len();
        until("it is heard", || card.heard().len() > from + 24_000);
        let stopped = alsa::monotonic();
        stop();
        let turn = turn.join().expect("the turn ends");
        // Well past the limit, so that all that would still come has come.
        std::thread::sleep(Duration::from_millis(400));
        let heard = card.heard();
        let last = heard
            .iter()
            .rposition(|s| s.unsigned_abs() > 30)
            .expect("it spoke");
        let silent = card.speaker_time_of(last as u64).saturating_sub(stopped);
        println!("{how} to silence: {} ms", silent.as_millis());
        turn
    });
    assert_eq!(turn["result"], "interrupted", "{turn}");
    let asked = provider.requests(Route::Speech).len();
    assert!(
        asked <= 4,
        "{asked} sentences were made though one or two were heard"
    );
    provider.assert_content();
    until("the heard part is kept", || {
        let list = house.get("/api/v1/conversations").json();
        let id = list["data"]["conversations"][0]["id"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let messages = house.get(&format!("/api/v1/conversations/{id}")).json();
        let messages = messages["data"]["messages"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        messages.iter().any(|message| {
            message["interrupted"] == true
                && message["spoken_chars"]
                    .as_u64()
                    .is_some_and(|chars| chars > 0 && chars < 400)
        })
    });
}

#[test]
fn an_interrupt_over_the_socket_ends_the_sound_of_its_turn_once() {
    let provider = Provider::start();
    provider.replies(Reply::text(
        &"A long story goes on and on for ever. ".repeat(20),
    ));
    let home = home(&provider).set("TTS_FORMAT", "pcm");
    let house = home.serve();
    let mut client = Client::connect(&house);
    client.send(&json!({"type": "text", "text": QUESTION, "speak": true}));
    client.turn_until("audio_begin");
    client.send(&json!({"type": "interrupt", "reason": "user"}));
    let sent = std::time::Instant::now();
    let ended = client.turn_until("turn_done");
    println!("interrupt to its end: {} ms", sent.elapsed().as_millis());
    assert_eq!(ended.last()["interrupted"], true);
    // Whatever the turn still had comes before this answer, and nothing does.
    std::thread::sleep(Duration::from_millis(300));
    client.send(&json!({"type": "ping"}));
    let after = client.turn_until("pong");
    assert!(after.sound.is_empty(), "sound after the end of its turn");
    assert!(after.all("turn_done").is_empty(), "{:?}", after.messages);
    provider.assert_content();
}

#[test]
fn whoever_speaks_into_an_answer_is_heard_in_its_place() {
    let provider = Provider::start();
    provider.replies(Reply::text(
        &"A long story goes on and on for ever. ".repeat(20),
    ));
    let home = home(&provider).set("TTS_FORMAT", "pcm");
    let house = home.serve();
    let mut client = Client::connect(&house);
    client.send(&json!({"type": "audio_start", "stream": 1, "format": "s16le", "rate": 16_000, "endpoint": "client"}));
    provider.hears("tell me a story about a fox");
    let mut sequence = 0;
    let mut frames = |client: &mut Client, samples: &[i16], last: bool| {
        let chunks: Vec<&[i16]> = samples.chunks(320).collect();
        for (at, chunk) in chunks.iter().enumerate() {
            let ends = last && at + 1 == chunks.len();
            let mut frame = vec![1, u8::from(ends), 1, 0];
            frame.extend(u32::to_le_bytes(sequence));
            frame.extend(chunk.iter().flat_map(|sample| sample.to_le_bytes()));
            sequence += 1;
            client.send_bytes(frame);
        }
    };
    let question = alsa::speak(QUESTION, "slt", 16_000);
    frames(&mut client, &question, false);
    client.send(&json!({"type": "audio_end", "stream": 1}));
    client.turn_until("audio_begin");

    client.send(&json!({"type": "audio_start", "stream": 1, "format": "s16le", "rate": 16_000, "endpoint": "server"}));
    let interrupted = client.turn_until("turn_done");
    assert_eq!(interrupted.last()["interrupted"], true);
    provider.hears("what is the name of the fox");
    provider.replies(Reply::text("His name is Reynard."));
    sequence = 0;
    let mut frames = |client: &mut Client, samples: &[i16]| {
        for chunk in samples.chunks_exact(320) {
            let mut frame = vec![1, 0, 1, 0];
            frame.extend(u32::to_le_bytes(sequence));
            frame.extend(chunk.iter().flat_map(|sample| sample.to_le_bytes()));
            sequence += 1;
            client.send_bytes(frame);
        }
    };
    let mut sound = question.clone();
    sound.extend(vec![0; 24_000]);
    frames(&mut client, &sound);
    let turn = client.turn_until("turn_done");
    assert_eq!(turn.text(), "His name is Reynard.", "{:?}", turn.messages);
    assert!(!turn.sound.is_empty());
    provider.assert_content();
    assert!(wav::encode(&question, 16_000).len() > 32_000);
}
