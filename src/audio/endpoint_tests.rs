//! Utterances as rows of time, loudness and voice score.

use proptest::prelude::*;

use super::*;

const VOICE: f32 = 0.9;
const NOISE: f32 = 0.1;

/// A frame of a square wave, so that its level is exact.
fn frame(amplitude: i16) -> [i16; FRAME_SAMPLES] {
    std::array::from_fn(|at| if at % 8 < 4 { amplitude } else { -amplitude })
}

/// Quiet before time 0 of a test, in which the detector settles.
const SETTLED_MS: u64 = 400;

struct Listener {
    endpointer: Endpointer,
    frames: u64,
    /// Each event with the time after which it came, in milliseconds.
    events: Vec<(u64, EndpointEvent)>,
}

impl Listener {
    fn new(options: EndpointOptions) -> Listener {
        let mut listener = Listener {
            endpointer: Endpointer::new(options),
            frames: 0,
            events: Vec::new(),
        };
        listener.hear(SETTLED_MS, 0, NOISE);
        listener
    }

    fn hear(&mut self, ms: u64, amplitude: i16, score: f32) -> &mut Listener {
        for _ in 0..ms.div_ceil(FRAME_MS) {
            self.frames += 1;
            if let Some(event) = self.endpointer.push(&frame(amplitude), score) {
                self.events.push((self.now_ms(), event));
            }
        }
        self
    }

    fn now_ms(&self) -> u64 {
        (self.frames * FRAME_MS).saturating_sub(SETTLED_MS)
    }

    fn end(&self) -> (u64, EndCause) {
        match self.events.last() {
            Some((at, EndpointEvent::SpeechEnd { cause, .. })) => (*at, *cause),
            other => panic!("no end of speech but {other:?}"),
        }
    }
}

fn listener() -> Listener {
    Listener::new(EndpointOptions::default())
}

#[test]
fn speech_starts_after_four_voiced_frames_and_brings_what_came_before() {
    let mut listener = listener();
    listener.hear(1_008, 50, NOISE).hear(160, 5_000, VOICE);
    let [(at, EndpointEvent::SpeechStart { preroll })] = &listener.events[..] else {
        panic!("{:?}", listener.events);
    };
    assert_eq!(*at, 1_008 + 64);
    let voiced = preroll.iter().filter(|s| s.abs() == 5_000).count();
    assert_eq!(voiced, 4 * FRAME_SAMPLES);
    assert_eq!(
        preroll.len() - voiced,
        19 * FRAME_SAMPLES,
        "300 ms before it"
    );
}

#[test]
fn a_detector_that_settles_starts_nothing_and_loses_nothing() {
    let mut endpointer = Endpointer::new(EndpointOptions::default());
    let mut push = |score| endpointer.push(&frame(4_000), score);
    let starts = (0..20).filter(|_| push(VOICE).is_some()).count();
    assert_eq!(
        starts, 0,
        "loud noise at the very beginning is not speech yet"
    );
    let Some(EndpointEvent::SpeechStart { preroll }) = push(VOICE) else {
        panic!("what still sounds like speech then is speech");
    };
    assert_eq!(preroll.len(), 21 * FRAME_SAMPLES, "all since the beginning");
}

#[test]
fn scattered_voiced_frames_are_no_speech() {
    let mut listener = listener();
    for _ in 0..100 {
        listener.hear(32, 300, VOICE).hear(48, 300, NOISE);
    }
    assert_eq!(
        listener.events,
        [(8_000 - SETTLED_MS, EndpointEvent::NoSpeech)]
    );
}

#[test]
fn silence_ends_an_utterance_after_the_time_that_was_set() {
    for set_ms in [300, 700, 2_000] {
        let mut listener = Listener::new(EndpointOptions {
            end_silence: Duration::from_millis(set_ms),
            ..EndpointOptions::default()
        });
        listener.hear(1_600, 5_000, VOICE).hear(3_000, 50, NOISE);
        let (at, cause) = listener.end();
        assert_eq!(cause, EndCause::Silence);
        assert!(
            (set_ms..set_ms + 32).contains(&(at - 1_600)),
            "{set_ms}: {at}"
        );
    }
}

#[test]
fn a_wrong_setting_is_brought_into_its_limits() {
    let mut listener = Listener::new(EndpointOptions {
        end_silence: Duration::from_millis(1),
        ..EndpointOptions::default()
    });
    listener.hear(1_600, 5_000, VOICE).hear(1_000, 50, NOISE);
    assert!((1_900..1_940).contains(&listener.end().0));
}

#[test]
fn a_pause_for_breath_does_not_end_an_utterance() {
    let mut listener = listener();
    for _ in 0..4 {
        listener.hear(800, 5_000, VOICE).hear(600, 50, NOISE);
    }
    assert_eq!(
        listener.events.len(),
        1,
        "only the start: {:?}",
        listener.events
    );
}

#[test]
fn single_voiced_frames_of_noise_do_not_hold_the_end_off() {
    let mut listener = listener();
    listener.hear(1_600, 5_000, VOICE);
    for _ in 0..20 {
        listener.hear(80, 2_000, NOISE).hear(16, 2_000, VOICE);
    }
    let (at, cause) = listener.end();
    assert_eq!(cause, EndCause::Silence);
    assert!(at <= 1_600 + 750, "{at}");
}

#[test]
fn a_long_utterance_that_falls_at_its_end_ends_sooner() {
    let mut falling = listener();
    falling
        .hear(4_500, 8_000, VOICE)
        .hear(256, 2_600, VOICE)
        .hear(2_000, 50, NOISE);
    let (at, _) = falling.end();
    assert!((500..540).contains(&(at - 4_768)), "{at}");

    let mut level = listener();
    level.hear(4_752, 8_000, VOICE).hear(2_000, 50, NOISE);
    let (at, _) = level.end();
    assert!((700..740).contains(&(at - 4_752)), "{at}");
}

#[test]
fn a_television_that_keeps_the_voice_score_up_does_not_keep_the_utterance_open() {
    let mut listener = listener();
    // 8000 to 1000 is 18 dB.
    listener.hear(2_000, 8_000, VOICE).hear(3_000, 1_000, VOICE);
    let (at, cause) = listener.end();
    assert_eq!(cause, EndCause::Energy);
    assert!((700..800).contains(&(at - 2_000)), "{at}");
    let (_, EndpointEvent::SpeechEnd { speech, .. }) = &listener.events[1] else {
        panic!("{:?}", listener.events);
    };
    assert!(speech.as_millis().abs_diff(2_000) < 100, "{speech:?}");
}

#[test]
fn a_voice_that_goes_on_a_little_softer_is_not_cut() {
    let mut listener = listener();
    // 8000 to 3000 is 8.5 dB.
    listener.hear(2_000, 8_000, VOICE).hear(3_000, 3_000, VOICE);
    assert_eq!(listener.events.len(), 1, "{:?}", listener.events);
}

#[test]
fn a_knock_is_a_false_start_and_the_words_after_it_are_heard() {
    let mut listener = listener();
    listener
        .hear(96, 9_000, VOICE)
        .hear(1_000, 50, NOISE)
        .hear(800, 5_000, VOICE)
        .hear(1_000, 50, NOISE);
    let kinds: Vec<bool> = listener
        .events
        .iter()
        .map(|(_, event)| *event == EndpointEvent::FalseStart)
        .collect();
    assert_eq!(kinds, [false, true, false, false], "{:?}", listener.events);
    assert_eq!(listener.end().1, EndCause::Silence);
}

#[test]
fn listening_ends_when_nobody_speaks_even_if_something_knocks_on() {
    let mut listener = listener();
    for _ in 0..10 {
        listener.hear(96, 9_000, VOICE).hear(1_000, 50, NOISE);
    }
    let last = listener.events.last().map(|(_, event)| event.clone());
    assert_eq!(last, Some(EndpointEvent::NoSpeech));
}

#[test]
fn an_utterance_ends_at_its_longest() {
    let mut listener = listener();
    listener.hear(70_000, 5_000, VOICE);
    assert_eq!(listener.end(), (60_000, EndCause::Max));
}

#[test]
fn a_held_button_keeps_all_until_it_is_let_go() {
    let mut listener = Listener::new(EndpointOptions {
        held: true,
        ..EndpointOptions::default()
    });
    listener
        .hear(3_000, 0, NOISE)
        .hear(500, 5_000, VOICE)
        .hear(3_000, 0, NOISE);
    assert_eq!(listener.events.len(), 1);
    let EndpointEvent::SpeechStart { preroll } = &listener.events[0].1 else {
        panic!("{:?}", listener.events);
    };
    assert_eq!(
        preroll.len(),
        FRAME_SAMPLES,
        "the first frame is the first of it"
    );
    let end = listener.endpointer.release();
    assert!(matches!(
        end,
        EndpointEvent::SpeechEnd {
            cause: EndCause::Released,
            ..
        }
    ));
    assert_eq!(listener.endpointer.push(&frame(5_000), VOICE), None);
}

#[test]
fn the_share_of_a_histogram_is_its_percentile() {
    let mut histogram = Histogram::new();
    for level in 0..100 {
        histogram.add(-(level as f32) / 2.0);
    }
    assert!(
        (histogram.share(0.8) - -10.0).abs() <= 1.0,
        "{}",
        histogram.share(0.8)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sound_gives_starts_and_ends_in_turn_and_one_last_word(
        parts in prop::collection::vec((0u64..3_000, 0i16..20_000, 0.0f32..1.0), 1..60),
    ) {
        let mut listener = listener();
        for (ms, amplitude, score) in parts {
            listener.hear(ms, amplitude, score);
        }
        let (mut open, mut over) = (false, false);
        for (_, event) in &listener.events {
            prop_assert!(!over, "{:?} after the last word", event);
            match event {
                EndpointEvent::SpeechStart { preroll } => {
                    prop_assert!(!open && preroll.len() <= 25 * FRAME_SAMPLES);
                    open = true;
                }
                EndpointEvent::FalseStart => {
                    prop_assert!(open);
                    open = false;
                }
                EndpointEvent::SpeechEnd { .. } => {
                    prop_assert!(open);
                    over = true;
                }
                EndpointEvent::NoSpeech => over = true,
            }
        }
    }
}
