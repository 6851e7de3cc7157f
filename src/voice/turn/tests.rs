//! The turn machine: its table of behaviour, and a simulation that looks for broken promises.

use super::*;

struct Run {
    state: State,
    now: u64,
    last: Vec<Effect>,
}

impl Run {
    fn new() -> Run {
        Run {
            state: State::new(false, false),
            now: 1_000,
            last: Vec::new(),
        }
    }

    fn on(&mut self, event: Event) -> &mut Run {
        let (state, effects) = step(&self.state, event, MonoMillis(self.now));
        self.state = state;
        self.last = effects;
        self
    }

    fn wait(&mut self, ms: u64) -> &mut Run {
        self.now += ms;
        self
    }

    fn is(&self, phase: &str) -> bool {
        assert_eq!(self.state.phase.name(), phase, "after {:?}", self.last);
        true
    }

    fn did(&self, effect: Effect) -> bool {
        assert!(
            self.last.contains(&effect),
            "{effect:?} not in {:?}",
            self.last
        );
        true
    }
}

fn done(turn: Turn, result: TurnResult) -> Effect {
    Effect::Done { turn, result }
}

fn speaking() -> Run {
    let mut run = Run::new();
    run.on(Event::Text)
        .on(Event::Progress(1))
        .on(Event::SoundBegan(1));
    assert!(run.is("speaking"));
    run
}

#[test]
fn a_spoken_turn_goes_through_every_phase_and_ends_once() {
    let mut run = Run::new();
    run.on(Event::Listen).did(Effect::Listen {
        turn: 1,
        ends: Ends::BySilence,
    });
    run.on(Event::SpeechBegan(1));
    let sound = Duration::from_secs(2);
    run.on(Event::Heard { turn: 1, sound })
        .did(Effect::Transcribe {
            turn: 1,
            attempt: 1,
        });
    run.on(Event::Transcribed {
        turn: 1,
        empty: false,
    })
    .did(Effect::Reply(1));
    run.on(Event::SoundBegan(1)).is("speaking");
    run.on(Event::Answered {
        turn: 1,
        asks: true,
    })
    .did(done(1, TurnResult::Answered));
    run.is("idle");
}

#[test]
fn an_interrupt_ends_every_phase_with_one_done() {
    let sound = Duration::from_secs(1);
    let ways: [&[Event]; 4] = [
        &[Event::Listen],
        &[Event::Utterance { sound }],
        &[Event::Text],
        &[Event::Text, Event::SoundBegan(1)],
    ];
    for way in ways {
        let mut run = Run::new();
        for event in way {
            run.on(*event);
        }
        run.on(Event::Interrupt);
        run.did(Effect::Cancel(1));
        run.did(done(1, TurnResult::Interrupted));
        run.is("idle");
        run.on(Event::Interrupt);
        assert!(run.last.is_empty(), "{:?}", run.last);
    }
}

#[test]
fn a_late_result_of_a_cancelled_turn_changes_nothing() {
    let mut run = Run::new();
    run.on(Event::Text).on(Event::Interrupt).on(Event::Text);
    let before = run.state;
    for late in [
        Event::Progress(1),
        Event::SoundBegan(1),
        Event::Answered {
            turn: 1,
            asks: true,
        },
        Event::AnswerFailed(1),
        Event::Transcribed {
            turn: 1,
            empty: true,
        },
        Event::NothingHeard(1),
        Event::ListenFailed(1),
    ] {
        run.on(late);
        assert_eq!(run.state, before, "{late:?}");
        assert!(run.last.is_empty(), "{late:?} gave {:?}", run.last);
    }
}

#[test]
fn a_held_button_listens_until_it_is_released() {
    let mut run = Run::new();
    run.on(Event::Press).did(Effect::Listen {
        turn: 1,
        ends: Ends::ByHand,
    });
    run.on(Event::SpeechBegan(1)).wait(4_000);
    run.on(Event::Tick).is("listening");
    run.on(Event::Release).did(Effect::FinishListening(1));
}

#[test]
fn a_tap_starts_a_hands_free_turn_and_a_second_ends_it() {
    let mut run = Run::new();
    run.on(Event::Press).wait(100);
    run.on(Event::Release).did(Effect::EndBySilence(1));
    run.on(Event::SpeechBegan(1)).wait(2_000);
    run.on(Event::Press).did(Effect::FinishListening(1));
}

#[test]
fn two_quick_taps_repeat_the_last_answer() {
    let mut run = Run::new();
    run.on(Event::Press).wait(100).on(Event::Release).wait(150);
    run.on(Event::Press).did(Effect::Repeat(2));
    run.did(done(1, TurnResult::Interrupted));
    run.wait(80).on(Event::Release).is("thinking");
}

#[test]
fn a_tap_while_speaking_only_stops() {
    let mut run = speaking();
    run.on(Event::Press).did(Effect::Cancel(1));
    run.wait(120).on(Event::Release).is("idle");
}

#[test]
fn a_press_while_speaking_that_is_held_is_the_next_question() {
    let mut run = speaking();
    run.on(Event::Press).did(done(1, TurnResult::Interrupted));
    run.wait(900)
        .on(Event::Release)
        .did(Effect::FinishListening(2));
}

#[test]
fn three_silent_seconds_on_the_button_switch_the_microphone_off_and_on() {
    let mut run = Run::new();
    run.on(Event::Press).wait(3_000);
    run.on(Event::Tick).did(Effect::KeepMuted(true));
    run.did(done(1, TurnResult::Interrupted));
    run.on(Event::Release).is("idle");
    run.on(Event::Listen).did(Effect::RefuseMuted);
    run.on(Event::Press).did(Effect::RefuseMuted);
    run.wait(3_000)
        .on(Event::Tick)
        .did(Effect::KeepMuted(false));
}

#[test]
fn a_question_of_ours_opens_the_microphone_only_where_that_is_set() {
    let mut run = speaking();
    run.state.follow_up = true;
    run.on(Event::Answered {
        turn: 1,
        asks: true,
    })
    .did(Effect::Listen {
        turn: 2,
        ends: Ends::FollowUp,
    });
    run.wait(5_000)
        .on(Event::Tick)
        .did(done(2, TurnResult::NothingHeard));
}

#[test]
fn speech_that_fails_once_is_tried_again_and_then_told() {
    let mut run = Run::new();
    let sound = Duration::from_secs(1);
    run.on(Event::Utterance { sound });
    let failed = Event::TranscribeFailed {
        turn: 1,
        retry: true,
    };
    run.on(failed).did(Effect::Transcribe {
        turn: 1,
        attempt: 2,
    });
    run.on(failed).did(done(1, TurnResult::Failed));
    run.is("error");
    run.wait(3_000).on(Event::Tick).is("idle");
}

#[test]
fn speaking_into_the_answer_stops_it_and_is_listened_to() {
    let mut run = speaking();
    run.on(Event::BargeIn).did(Effect::Cancel(1));
    run.did(done(1, TurnResult::Interrupted));
    run.is("listening");
}

/// Small, seeded, good enough to wander about (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }
}

/// What a driver would have running.
#[derive(Default)]
struct World {
    open: Option<Turn>,
    done: Vec<Turn>,
    /// The stage at work and its turn.
    running: Option<(Turn, &'static str)>,
    /// Reports that a cancelled stage had already sent.
    late: Vec<Event>,
    counts: std::collections::BTreeMap<&'static str, u64>,
}

impl World {
    fn open(&mut self, turn: Turn, stage: &'static str) {
        assert_eq!(self.running, None, "{stage} started beside another stage");
        assert!(!self.done.contains(&turn), "{stage} of a turn that is over");
        assert!(self.open.is_none_or(|open| open == turn), "two turns open");
        self.open = Some(turn);
        self.running = Some((turn, stage));
        *self.counts.entry(stage).or_default() += 1;
    }

    fn apply(&mut self, effects: &[Effect], state: &State) {
        for effect in effects {
            match *effect {
                Effect::Listen { turn, .. } => {
                    assert!(!state.muted, "listens while muted");
                    self.open(turn, "listen");
                }
                Effect::Transcribe { turn, .. } => self.open(turn, "transcribe"),
                Effect::Reply(turn) | Effect::Repeat(turn) | Effect::Say(turn) => {
                    self.open(turn, "reply");
                }
                Effect::Cancel(turn) => {
                    if let Some((of, stage)) = self.running.take() {
                        assert_eq!(of, turn, "cancels another turn");
                        self.late.push(report(turn, stage, 0));
                        self.late.push(report(turn, stage, 1));
                    }
                }
                Effect::Done { turn, .. } => {
                    assert_eq!(self.running, None, "a stage outlives its turn");
                    assert!(!self.done.contains(&turn), "turn {turn} ended twice");
                    assert!(
                        self.open.is_none_or(|open| open == turn),
                        "a stranger ended"
                    );
                    self.done.push(turn);
                    self.open = None;
                }
                _ => {}
            }
        }
        assert_eq!(self.open, state.turn(), "machine and world disagree");
    }

    /// A stage's next report; `None` from a stage that goes on after it.
    fn report(&mut self, dice: &mut Dice) -> Option<Event> {
        let (turn, stage) = self.running?;
        let event = report(turn, stage, dice.roll(5));
        let ends = !matches!(
            event,
            Event::SpeechBegan(_) | Event::Progress(_) | Event::SoundBegan(_)
        );
        if ends {
            self.running = None;
        }
        Some(event)
    }
}

fn report(turn: Turn, stage: &str, which: u64) -> Event {
    let sound = Duration::from_secs(1);
    match (stage, which) {
        ("listen", 0) => Event::Heard { turn, sound },
        ("listen", 1) => Event::NothingHeard(turn),
        ("listen", 2) => Event::ListenFailed(turn),
        ("listen", _) => Event::SpeechBegan(turn),
        ("transcribe", 0) => Event::TranscribeFailed { turn, retry: true },
        ("transcribe", 1) => Event::Transcribed { turn, empty: true },
        ("transcribe", _) => Event::Transcribed { turn, empty: false },
        (_, 0) => Event::Answered { turn, asks: true },
        (_, 1) => Event::AnswerFailed(turn),
        (_, 2) => Event::Progress(turn),
        (_, _) => Event::SoundBegan(turn),
    }
}

fn from_outside(dice: &mut Dice) -> Event {
    match dice.roll(14) {
        0 | 1 => Event::Listen,
        2 => Event::ListenHeld,
        3 => Event::EndListening,
        4 => Event::Press,
        5 => Event::Release,
        6 => Event::Text,
        7 => Event::Utterance {
            sound: Duration::from_millis(dice.roll(5_000)),
        },
        8 => Event::Interrupt,
        9 => Event::BargeIn,
        10 => Event::Mute(dice.roll(3) == 0),
        11 => Event::Repeat,
        12 => Event::Say,
        _ => Event::Offline(dice.roll(2) == 0),
    }
}

fn limit(phase: &Phase) -> Duration {
    match phase {
        Phase::Idle => Duration::MAX,
        Phase::Listening { .. } => LISTEN_MAX * 2 + LISTEN_FINISH_MAX,
        Phase::Transcribing { sound, .. } => (TRANSCRIBE_MAX + *sound + TRANSCRIBE_GRACE) * 2,
        Phase::Thinking { .. } => ANSWER_MAX,
        Phase::Speaking { .. } => SPEAK_MAX,
        Phase::Error { .. } => ERROR_SHOWN,
    }
}

fn simulate(seed: u64, steps: u32) -> World {
    let mut dice = Dice(seed | 1);
    let mut world = World::default();
    let mut state = State::new(false, dice.roll(2) == 0);
    let mut now = MonoMillis(0);
    let mut entered = now;
    for _ in 0..steps {
        let event = match dice.roll(10) {
            0..=2 => from_outside(&mut dice),
            3..=6 => match world.report(&mut dice) {
                Some(event) => event,
                None => continue,
            },
            7 if !world.late.is_empty() => {
                let at = dice.roll(world.late.len() as u64) as usize;
                world.late.swap_remove(at)
            }
            _ => {
                let rest = state
                    .deadline()
                    .map_or(1_000, |at| at.0.saturating_sub(now.0));
                now.0 += if dice.roll(3) == 0 {
                    rest
                } else {
                    dice.roll(rest + 1)
                };
                Event::Tick
            }
        };
        let (next, effects) = step(&state, event, now);
        if (next.phase.name(), next.turn()) != (state.phase.name(), state.turn()) {
            entered = now;
        }
        state = next;
        world.apply(&effects, &state);
        world.late.truncate(32);
        assert!(
            now.since(entered) <= limit(&state.phase),
            "{:?} lasts {:?}",
            state.phase,
            now.since(entered)
        );
        assert!(
            state.turn().is_none() || world.running.is_some(),
            "a turn nobody works on"
        );
        assert!(
            !(state.muted && matches!(state.phase, Phase::Listening { .. })),
            "muted and listening"
        );
    }
    world
}

#[test]
fn a_million_random_events_break_no_promise() {
    let seed = std::env::var("TURN_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(1, |since| since.as_nanos() as u64)
        });
    println!("seed {seed} (set TURN_SEED to replay)");
    let mut turns = 0;
    for round in 0..200 {
        let world = simulate(seed.wrapping_add(round * 0x9E37_79B9), 5_000);
        turns += world.done.len();
        for stage in ["listen", "transcribe", "reply"] {
            assert!(world.counts[stage] > 10, "seed {seed}: {stage} hardly ran");
        }
    }
    println!("{turns} turns simulated");
}

#[test]
fn a_touch_stops_what_rings_and_does_nothing_else() {
    let mut run = Run::new();
    run.on(Event::Ringing(true)).did(Effect::Changed);
    run.on(Event::Press).did(Effect::Silence);
    assert!(!run.state.ringing && run.is("idle"));
    run.wait(50).on(Event::Release);
    assert!(run.is("idle"), "the tap that stopped it opens no turn");
    run.wait(50).on(Event::Press);
    assert!(run.is("listening"), "the next one does");
}

#[test]
fn stop_ends_a_ring_and_its_announcement() {
    let mut run = speaking();
    run.on(Event::Ringing(true));
    run.on(Event::Interrupt).did(Effect::Silence);
    assert!(run.did(done(1, TurnResult::Interrupted)));
    run.on(Event::Interrupt);
    assert!(!run.last.contains(&Effect::Silence), "once");
}

#[test]
fn a_switch_that_says_off_wins_over_button_and_word() {
    let mut run = Run::new();
    run.on(Event::Listen).on(Event::MuteSwitch(true));
    assert!(
        run.state.muted && run.is("idle"),
        "the microphone is closed"
    );
    run.on(Event::Mute(false)).did(Effect::RefuseMuted);
    run.on(Event::Press).wait(3_000).on(Event::Tick);
    assert!(run.state.muted, "holding the button does not help");
    run.on(Event::Release).on(Event::MuteSwitch(false));
    assert!(!run.state.muted);
}

#[test]
fn what_is_kept_for_later_sounds_offline_only_while_the_network_is_away() {
    for (offline, tone) in [(true, Tone::Offline), (false, Tone::Saved)] {
        let mut run = Run::new();
        run.on(Event::Offline(offline)).on(Event::Utterance {
            sound: Duration::from_secs(1),
        });
        run.on(Event::Deferred(1)).did(Effect::Tone(tone));
    }
}

#[test]
fn an_endpoint_that_yields_is_idle_without_a_sound() {
    let mut run = Run::new();
    run.on(Event::Listen).on(Event::Yielded(1));
    run.did(done(1, TurnResult::Interrupted));
    run.is("idle");
    assert!(
        !run.last
            .iter()
            .any(|effect| matches!(effect, Effect::Tone(_)))
    );
    run.on(Event::Yielded(1));
    assert_eq!(run.last, [], "once");
}
