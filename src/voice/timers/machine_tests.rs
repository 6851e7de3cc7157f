//! Rings over steps of the clock, restarts and summer time, under virtual time.

use super::super::repeat::Repeat;
use super::super::timer::{NewTimer, When};
use super::*;

const DAY_MS: i64 = 86_400_000;
const START: UnixMillis = UnixMillis(1_790_000_000_000);

/// Both clocks, and everything that was heard and kept.
struct World {
    desk: Desk,
    wall: i64,
    mono: u64,
    zone: TimeZone,
    stored: std::collections::BTreeMap<String, Timer>,
    /// When (wall), which, and whether as missed.
    rounds: Vec<(i64, String, bool)>,
    tells: usize,
}

impl World {
    fn new() -> World {
        World {
            desk: Desk::default(),
            wall: START.0,
            mono: 0,
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            stored: Default::default(),
            rounds: Vec::new(),
            tells: 0,
        }
    }

    fn now(&self) -> Now {
        Now {
            wall: UnixMillis(self.wall),
            mono: MonoMillis(self.mono),
            zone: self.zone.clone(),
        }
    }

    fn step(&mut self, event: Event) {
        let now = self.now();
        let rang = self.desk.is_ringing();
        let effects = self.desk.step(event, &now);
        let mut told_ringing = None;
        for effect in effects {
            match effect {
                Effect::Save(timer) => {
                    self.stored.insert(timer.id.clone(), timer);
                }
                Effect::Tell(_) => self.tells += 1,
                Effect::Round(timers) => {
                    for timer in timers {
                        let missed = timer.state == TimerState::Missed;
                        self.rounds.push((self.wall, timer.id, missed));
                    }
                }
                Effect::Ringing(rings) => told_ringing = Some(rings),
            }
        }
        let rings = self.desk.is_ringing();
        assert_eq!(told_ringing, (rings != rang).then_some(rings));
    }

    fn add(&mut self, kind: TimerKind, when: When, repeat: Option<Repeat>) -> String {
        let new = NewTimer {
            kind,
            label: String::new(),
            when,
            repeat,
            language: String::from("en"),
        };
        let timer = Timer::new(new, UnixMillis(self.wall), &self.zone);
        let id = timer.id.clone();
        self.step(Event::Set(timer));
        id
    }

    /// Lets time pass, looking whenever the desk asks for it.
    fn pass(&mut self, mut ms: u64) {
        while ms > 0 {
            let now = self.now();
            let wait = match self.desk.deadline(&now) {
                Some(at) => (at.since(now.mono).as_millis() as u64 + 1).min(ms),
                None => ms,
            };
            self.wall += wait as i64;
            self.mono += wait;
            ms -= wait;
            self.step(Event::Look);
        }
    }

    fn clock_steps(&mut self, by_ms: i64) {
        self.wall += by_ms;
    }

    /// Power off for so long; the wall clock then starts at `wall`.
    fn restart(&mut self, wall: i64, seen: Option<i64>) {
        self.desk = Desk::default();
        self.wall = wall;
        self.mono = 0;
        let mut timers: Vec<Timer> = self.stored.values().cloned().collect();
        timers.retain(|timer| timer.state.is_live());
        self.step(Event::Load {
            timers,
            seen: seen.map(UnixMillis),
        });
    }

    fn state(&self, id: &str) -> TimerState {
        self.stored[id].state
    }

    fn rounds_of(&self, id: &str) -> usize {
        self.rounds.iter().filter(|(_, of, _)| of == id).count()
    }
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

#[test]
fn a_timer_rings_after_its_span_and_stops_by_a_word() {
    let mut world = World::new();
    let id = world.add(TimerKind::Timer, When::After(minutes(10)), None);
    world.pass(599_999);
    assert_eq!(world.rounds_of(&id), 0);
    world.pass(40_000);
    assert_eq!(world.state(&id), TimerState::Ringing);
    assert_eq!(world.rounds_of(&id), 3, "at 0, 15 and 30 s");
    world.step(Event::Silence);
    assert_eq!(world.state(&id), TimerState::Done);
    world.pass(DAY_MS as u64);
    assert_eq!(world.rounds_of(&id), 3);
    assert!(world.desk.len() == 0);
}

#[test]
fn a_ring_that_nobody_stops_ends_and_is_listed_as_missed() {
    let mut world = World::new();
    let alarm = world.add(TimerKind::Alarm, When::After(minutes(1)), None);
    let reminder = world.add(TimerKind::Reminder, When::After(minutes(1)), None);
    world.pass(DAY_MS as u64);
    assert_eq!(world.state(&alarm), TimerState::Missed);
    assert_eq!(world.rounds_of(&alarm), 20, "each 15 s for five minutes");
    assert_eq!(world.state(&reminder), TimerState::Done);
    assert_eq!(world.rounds_of(&reminder), 3);
}

#[test]
fn no_step_of_the_clock_moves_a_span() {
    for step in [
        -DAY_MS,
        -3_600_000,
        -1_000,
        1_000,
        3_600_000,
        12 * 365 * DAY_MS,
    ] {
        let mut world = World::new();
        let id = world.add(TimerKind::Timer, When::After(minutes(10)), None);
        world.pass(300_000);
        world.clock_steps(step);
        world.pass(299_000);
        assert_eq!(world.rounds_of(&id), 0, "step {step}: too early");
        world.pass(1_500);
        assert_eq!(world.rounds_of(&id), 1, "step {step}: too late");
        if step.abs() > 2_000 {
            let due = world.stored[&id].due_at.0;
            assert!(
                (due - world.wall).abs() < 3_000,
                "step {step}: due_at follows"
            );
        }
    }
}

#[test]
fn a_time_of_day_goes_by_the_wall_clock() {
    for (step, ms_left) in [(3_500_000, 100_000), (-600_000, 4_200_000)] {
        let mut world = World::new();
        let due = UnixMillis(world.wall + 3_600_000);
        let id = world.add(TimerKind::Alarm, When::At(due), None);
        world.clock_steps(step);
        world.pass(ms_left - 1_000);
        assert_eq!(world.rounds_of(&id), 0, "step {step}");
        world.pass(2_100);
        assert_eq!(world.rounds_of(&id), 1, "step {step}");
    }
}

#[test]
fn a_board_without_a_clock_rings_spans_in_time_and_alarms_once_it_knows_the_time() {
    let mut world = World::new();
    world.wall = 20_000;
    let early = world.add(TimerKind::Timer, When::After(minutes(2)), None);
    let late = world.add(TimerKind::Timer, When::After(minutes(30)), None);
    let alarm = world.add(
        TimerKind::Alarm,
        When::At(UnixMillis(START.0 + 3_600_000)),
        None,
    );
    world.pass(121_000);
    assert_eq!(world.rounds_of(&early), 1);
    world.step(Event::Silence);
    // The network answers.
    world.wall = START.0;
    world.pass(1_001);
    assert_eq!(
        world.rounds.len(),
        1,
        "nothing else rings: {:?}",
        world.rounds
    );
    let due = world.stored[&late].due_at;
    assert!(is_set(due), "the due time means something now");
    world.pass(28 * 60_000);
    assert_eq!(world.rounds_of(&late), 1);
    world.step(Event::Silence);
    world.pass(32 * 60_000);
    assert_eq!(world.rounds_of(&alarm), 1);
}

#[test]
fn what_came_due_without_power_rings_once_or_is_only_listed() {
    let hour = 3_600_000;
    for (off_ms, rounds, state) in [
        (20 * 60_000, 0, TimerState::Pending),
        (60 * 60_000 + 30_000, 1, TimerState::Ringing),
        (5 * hour, 1, TimerState::Missed),
        (14 * hour, 0, TimerState::Missed),
    ] {
        let mut world = World::new();
        let id = world.add(TimerKind::Timer, When::After(minutes(60)), None);
        world.pass(1_000);
        world.restart(world.wall + off_ms, None);
        assert_eq!(world.rounds_of(&id), rounds, "off for {off_ms} ms");
        assert_eq!(world.state(&id), state, "off for {off_ms} ms");
        if state == TimerState::Missed {
            for _ in 0..3 {
                world.restart(world.wall + 10_000, None);
                world.pass(60_000);
            }
            assert_eq!(world.rounds_of(&id), rounds, "and never again");
            assert!(world.rounds.iter().all(|(_, _, missed)| *missed));
        }
    }
}

#[test]
fn three_reboots_do_not_make_a_span_longer() {
    let mut world = World::new();
    let id = world.add(TimerKind::Timer, When::After(minutes(10)), None);
    for _ in 0..3 {
        world.pass(120_000);
        world.restart(world.wall + 20_000, None);
    }
    // 6 min run, 1 min off.
    world.pass(179_000);
    assert_eq!(world.rounds_of(&id), 0);
    world.pass(2_000);
    assert_eq!(world.rounds_of(&id), 1);
}

#[test]
fn after_a_reboot_without_a_clock_the_rest_of_a_span_is_waited_for() {
    let mut world = World::new();
    let id = world.add(TimerKind::Timer, When::After(minutes(10)), None);
    world.pass(180_000);
    let seen = world.wall;
    world.restart(5_000, Some(seen));
    world.pass(419_000);
    assert_eq!(world.rounds_of(&id), 0);
    world.pass(2_000);
    assert_eq!(world.rounds_of(&id), 1);

    // With the network back before that, the power cut's length is known.
    let mut world = World::new();
    let id = world.add(TimerKind::Timer, When::After(minutes(10)), None);
    world.pass(180_000);
    let seen = world.wall;
    world.restart(5_000, Some(seen));
    world.pass(30_000);
    world.wall = seen + 380_000;
    world.pass(39_000);
    assert_eq!(world.rounds_of(&id), 0);
    world.pass(2_000);
    assert_eq!(world.rounds_of(&id), 1);
}

#[test]
fn a_leap_of_years_is_doubted_before_alarms_count_as_missed() {
    let mut world = World::new();
    let due = UnixMillis(world.wall + 2 * 3_600_000);
    let id = world.add(TimerKind::Alarm, When::At(due), None);
    world.pass(5_000);
    world.clock_steps(12 * 365 * DAY_MS);
    world.pass(120_000);
    assert_eq!(world.state(&id), TimerState::Pending);
    world.clock_steps(-12 * 365 * DAY_MS);
    world.pass(7_600_000);
    assert_eq!(world.rounds_of(&id), 20, "it rang in its time");

    // A leap that stays is believed in the end.
    let mut world = World::new();
    let due = UnixMillis(world.wall + 2 * 3_600_000);
    let id = world.add(TimerKind::Alarm, When::At(due), None);
    world.clock_steps(3 * DAY_MS);
    world.pass(700_000);
    assert_eq!(
        (world.state(&id), world.rounds_of(&id)),
        (TimerState::Missed, 0)
    );
}

#[test]
fn every_day_at_seven_rings_at_seven_over_the_end_of_summer_time_and_a_weekend_off() {
    let mut world = World::new();
    let at = |text: &str| {
        let zoned: jiff::Zoned = text.parse().unwrap();
        zoned.timestamp().as_millisecond()
    };
    world.wall = at("2026-10-24T06:00[Europe/Berlin]");
    let first = UnixMillis(at("2026-10-24T07:00[Europe/Berlin]"));
    let id = world.add(TimerKind::Alarm, When::At(first), Some(Repeat::DAILY));
    let mut heard = Vec::new();
    for _ in 0..3 * 24 {
        world.pass(3_600_000);
        if world.rounds_of(&id) > heard.len() * 20 {
            let (wall, ..) = world.rounds[heard.len() * 20];
            heard.push(zoned_text(wall));
        }
    }
    assert_eq!(
        heard,
        ["2026-10-24T07:00", "2026-10-25T07:00", "2026-10-26T07:00"]
    );
    // Off over two of them: one is told as missed, the next comes in its time.
    world.rounds.clear();
    world.restart(at("2026-10-28T09:00[Europe/Berlin]"), None);
    assert_eq!(world.rounds_of(&id), 0, "more than a day late: only listed");
    assert_eq!(zoned_text(world.stored[&id].due_at.0), "2026-10-29T07:00");
    assert!(world.stored[&id].missed_at.is_some());
}

fn zoned_text(wall: i64) -> String {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let zoned = super::super::timer::zoned(UnixMillis(wall), &zone);
    format!("{}", zoned.strftime("%Y-%m-%dT%H:%M"))
}

#[test]
fn a_small_step_back_does_not_ring_an_alarm_twice() {
    let mut world = World::new();
    let due = UnixMillis(world.wall + 10_000);
    let id = world.add(TimerKind::Alarm, When::At(due), Some(Repeat::DAILY));
    world.pass(10_500);
    world.step(Event::Silence);
    assert_eq!(world.rounds_of(&id), 1);
    world.clock_steps(-3_000);
    world.pass(3_600_000);
    assert_eq!(world.rounds_of(&id), 1);
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Act {
        Pass(u64),
        Step(i64),
        Silence,
        Restart(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (1u64..400_000).prop_map(Act::Pass),
            1 => (-90_000_000i64..90_000_000).prop_map(Act::Step),
            1 => Just(Act::Silence),
            1 => (0u64..3_600_000).prop_map(Act::Restart),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever happens to the clock and the power: nothing is lost, no span rings late by the
        /// monotonic clock while the power is on, and every ring ends.
        #[test]
        fn every_timer_ends_and_is_heard_or_listed_as_missed(
            spans in proptest::collection::vec(1u64..1_800, 1..5),
            acts in proptest::collection::vec(act(), 1..20),
        ) {
            let mut world = World::new();
            let ids: Vec<String> = spans
                .iter()
                .map(|s| world.add(TimerKind::Timer, When::After(Duration::from_secs(*s)), None))
                .collect();
            for act in acts {
                match act {
                    Act::Pass(ms) => world.pass(ms),
                    Act::Step(ms) => world.clock_steps(ms),
                    Act::Silence => world.step(Event::Silence),
                    Act::Restart(ms) => world.restart(world.wall + ms as i64, None),
                }
                prop_assert!(world.desk.len() <= spans.len());
            }
            world.pass(1_800_000 + 400_000);
            prop_assert!(world.desk.len() == 0, "all are over: {:?}", world.desk);
            for id in &ids {
                let state = world.state(id);
                prop_assert!(!state.is_live());
                prop_assert!(world.rounds_of(id) > 0 || state == TimerState::Missed, "{state:?}");
                prop_assert!(world.rounds_of(id) <= 80, "a bound on how often it sounds");
            }
        }

        /// Without restarts a span is exact, however the wall clock jumps.
        #[test]
        fn a_span_is_exact(
            span_s in 1u64..3_600,
            steps in proptest::collection::vec((1u64..200_000, -400_000_000i64..400_000_000), 0..12),
        ) {
            let mut world = World::new();
            let id = world.add(TimerKind::Timer, When::After(Duration::from_secs(span_s)), None);
            let mut rang_at = None;
            for (ms, step) in steps.into_iter().chain([(3_600_000, 0), (3_600_000, 0)]) {
                for _ in 0..ms / 500 + 1 {
                    world.pass(500);
                    if world.rounds_of(&id) > 0 && rang_at.is_none() {
                        rang_at = Some(world.mono);
                    }
                }
                world.clock_steps(step);
            }
            let rang_at = rang_at.expect("it rang");
            prop_assert!((span_s * 1000..=span_s * 1000 + 1_000).contains(&rang_at), "{rang_at}");
        }
    }
}
