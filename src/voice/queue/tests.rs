//! The queue under virtual time: the real statements and the real lane, against a network that
//! comes and goes, work that can never succeed, and power cuts. `QUEUE_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::limits::JOB_SPACING;
use crate::store::Connection;

const HOUR: Duration = Duration::from_secs(3_600);

/// SplitMix64: the same on every machine for a printed seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Good,
    /// Fails for now, whatever the network does.
    Poisoned,
    Refused,
}

/// One lane's life, told what it may do at which time.
struct World {
    connection: Connection,
    lane: Lane,
    random: Random,
    now: UnixMillis,
    /// Times at which the network changes; it is up before the first.
    changes: Vec<i64>,
    natures: Vec<Nature>,
    arrivals: Vec<i64>,
    done: Vec<usize>,
    /// Good jobs that a younger one overtook.
    slipped: BTreeSet<usize>,
    tries: u64,
    last_try: Option<i64>,
    after_failure: bool,
}

fn pace() -> Pace {
    Pace {
        wait_in_all: HOUR * 12,
        ..Pace::of_days(30)
    }
}

fn empty() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for step in [
        include_str!("../../store/sql/0002_voice.sql"),
        include_str!("../../store/sql/0004_recordings.sql"),
    ] {
        connection.execute_batch(step).unwrap();
    }
    connection
}

fn new_job(subject: &str) -> NewJob {
    NewJob {
        kind: JobKind::Stt,
        subject: subject.to_string(),
        recording_id: None,
        payload: json!({}),
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random(seed);
        let begin = 1_767_322_999_678;
        let mut at = begin;
        let mut changes = Vec::new();
        for _ in 0..random.below(4) * 2 {
            at += random.below(5 * 3_600_000) as i64;
            changes.push(at);
        }
        let count = 1 + random.below(40) as usize;
        let mut arrivals: Vec<i64> = (0..count)
            .map(|_| begin + random.below((at - begin) as u64 + 1) as i64)
            .collect();
        arrivals.sort_unstable();
        let natures = (0..count)
            .map(|_| match random.below(12) {
                0 => Nature::Poisoned,
                1 => Nature::Refused,
                _ => Nature::Good,
            })
            .collect();
        World {
            connection: empty(),
            lane: Lane::new(pace(), false),
            random,
            now: UnixMillis(begin),
            changes,
            natures,
            arrivals,
            done: Vec::new(),
            slipped: BTreeSet::new(),
            tries: 0,
            last_try: None,
            after_failure: false,
        }
    }

    fn is_up(&self) -> bool {
        let passed = self.changes.iter().filter(|at| **at <= self.now.0);
        passed.count() % 2 == 0
    }

    /// Lets the time go on; what arrives meanwhile is stored.
    fn pass(&mut self, time: Duration) {
        let until = self.now.0 + time.as_millis() as i64;
        while let Some(at) = self.arrivals.get(self.stored()).copied()
            && at <= until
        {
            let subject = self.stored().to_string();
            db::jobs::insert(&self.connection, &new_job(&subject), UnixMillis(at)).unwrap();
        }
        self.now = UnixMillis(until);
    }

    fn stored(&self) -> usize {
        let count = "SELECT count(*) FROM jobs";
        self.connection
            .query_row(count, [], |row| row.get::<_, i64>(0))
            .unwrap() as usize
    }

    fn cut_power(&mut self) {
        let left = db::jobs::requeue(&self.connection, JobKind::Stt, self.now).unwrap();
        self.lane = Lane::new(pace(), left > 0);
        self.last_try = None;
        self.after_failure = false;
    }

    /// As `run_lane`, once around.
    fn turn(&mut self) {
        let after = self.lane.looks_after();
        let next = db::jobs::next(&self.connection, JobKind::Stt, after, self.now).unwrap();
        let Some(job) = next else {
            let pause = self.lane.nothing_left().unwrap_or(JOB_POLL * 20);
            return self.pass(pause);
        };
        assert!(db::jobs::begin(&self.connection, &job.id, self.now).unwrap());
        self.check_rate();
        let number: usize = job.subject.parse().unwrap();
        let took = Duration::from_millis(self.random.below(3_000));
        self.pass(took);
        let outcome = match (self.is_up(), self.natures[number]) {
            (false, _) => later("no route"),
            (true, Nature::Poisoned) => later("500"),
            (true, Nature::Refused) => Outcome::Failed(String::from("415")),
            (true, Nature::Good) => Outcome::Done,
        };
        if self.random.below(40) == 0 {
            return self.cut_power();
        }
        if outcome == Outcome::Done {
            self.note_order(number);
            self.done.push(number);
        }
        self.after_failure = matches!(outcome, Outcome::Later { .. });
        let random = self.random.unit();
        let settled = self.lane.settle(&job, outcome, random);
        db::jobs::settle(&self.connection, &job, &settled, self.now).unwrap();
        self.last_try = Some(self.now.0);
        self.pass(settled.pause);
    }

    fn check_rate(&mut self) {
        self.tries += 1;
        let since = self.last_try.map(|at| self.now.0 - at);
        if let Some(since) = since
            && self.after_failure
        {
            assert!(since >= 4_000, "tried again {since} ms after a failure");
        }
    }

    fn note_order(&mut self, number: usize) {
        for older in 0..number {
            if self.natures[older] != Nature::Good || self.done.contains(&older) {
                continue;
            }
            let aside: bool = self
                .connection
                .query_row(
                    "SELECT is_aside FROM jobs WHERE subject = ?1",
                    [older.to_string()],
                    |row| row.get(0),
                )
                .unwrap();
            let head_of_this_scout = self.lane.looks_after() > 0;
            assert!(
                aside || head_of_this_scout,
                "{number} overtook {older}, which did not wait by itself"
            );
            self.slipped.insert(older);
        }
    }

    fn states(&self) -> BTreeMap<String, i64> {
        let mut statement = self
            .connection
            .prepare("SELECT state, count(*) FROM jobs GROUP BY state")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn check_end(&self) {
        let of = |nature| self.natures.iter().filter(|n| **n == nature).count() as i64;
        let states = self.states();
        let count = |state: &str| states.get(state).copied().unwrap_or(0);
        assert_eq!(count("done"), of(Nature::Good), "{states:?}");
        assert_eq!(count("failed"), of(Nature::Refused) + of(Nature::Poisoned));
        for (state, counted) in &states {
            let total = db::jobs::total(&self.connection, state).unwrap();
            assert_eq!(total as i64, *counted, "the sum of {state} has drifted");
        }
        let mut once = self.done.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), self.done.len(), "work was done twice");
        let returns = self.changes.len() / 2;
        assert!(
            self.slipped.len() <= returns,
            "{:?} were overtaken, the network came back {returns} times",
            self.slipped
        );
    }
}

fn later(why: &str) -> Outcome {
    Outcome::Later {
        why: why.to_string(),
        after: None,
    }
}

#[test]
fn whatever_the_network_does_good_work_is_done_in_order_and_bad_work_is_told() {
    let base = std::env::var("QUEUE_SEED").map_or_else(
        |_| u64::from_ne_bytes(std::array::from_fn(|_| (random() * 256.0) as u8)),
        |seed| seed.parse().expect("QUEUE_SEED is a number"),
    );
    println!("QUEUE_SEED={base}");
    let (mut tries, mut cuts) = (0, 0);
    for round in 0..100 {
        let seed = base.wrapping_add(round);
        let mut world = World::new(seed);
        let end = world.now.0 + 60 * HOUR.as_millis() as i64;
        while world.now.0 < end {
            world.turn();
        }
        cuts += world.changes.len();
        tries += world.tries;
        println!("seed {seed}");
        world.check_end();
    }
    assert!(
        tries > 1_000 && cuts > 100,
        "nothing happened: {tries} {cuts}"
    );
}

#[test]
fn a_thousand_jobs_drain_in_order_after_hours_without_a_network() {
    let mut world = World::new(7);
    world.natures = vec![Nature::Good; 1_000];
    world.arrivals = vec![world.now.0; 1_000];
    // A quarter of a day, and not within the seconds between the head's try and its scout's.
    world.changes = vec![world.now.0, world.now.0 + 21_600_000];
    world.random = Random(7);
    while world.done.len() < 1_000 {
        world.turn();
        assert!(world.tries < 3_000, "it does not drain");
    }
    let returned = world.changes[1];
    assert!(world.done.is_sorted(), "out of order: {:?}", world.slipped);
    let took = Duration::from_millis((world.now.0 - returned) as u64);
    println!("drained in {} s of virtual time", took.as_secs());
    assert!(took >= JOB_SPACING * 999, "faster than one in five seconds");
}

#[test]
fn work_asked_for_again_while_it_runs_is_done_again() {
    let connection = empty();
    let now = UnixMillis(0);
    let id = db::jobs::insert(&connection, &new_job("x"), now).unwrap();
    let job = db::jobs::next(&connection, JobKind::Stt, 0, now)
        .unwrap()
        .unwrap();
    db::jobs::begin(&connection, &id, now).unwrap();
    let again = db::jobs::insert(&connection, &new_job("x"), now).unwrap();
    assert_eq!(again, id, "the same work is one job");
    let mut lane = Lane::new(pace(), false);
    let settled = lane.settle(&job, Outcome::Done, 0.5);
    db::jobs::settle(&connection, &job, &settled, now).unwrap();
    let next = db::jobs::next(&connection, JobKind::Stt, 0, now).unwrap();
    assert_eq!(next.map(|job| job.id), Some(id));
}

#[test]
fn a_time_written_by_a_wrong_clock_keeps_no_job_waiting() {
    let connection = empty();
    let (wrong, right) = (UnixMillis(4_000_000_000_000), UnixMillis(1_767_322_999_678));
    db::jobs::insert(&connection, &new_job("x"), wrong).unwrap();
    let job = db::jobs::next(&connection, JobKind::Stt, 0, wrong)
        .unwrap()
        .unwrap();
    db::jobs::begin(&connection, &job.id, wrong).unwrap();
    let aside = Settled {
        fate: Fate::Again {
            why: String::from("500"),
            wait: JOB_SPACING,
            is_aside: true,
        },
        aside: None,
        pause: JOB_SPACING,
    };
    db::jobs::settle(&connection, &job, &aside, wrong).unwrap();
    let next = |now| db::jobs::next(&connection, JobKind::Stt, 0, now).unwrap();
    assert!(next(wrong).is_none(), "its time has not come");
    assert!(next(right).is_some(), "the clock was set back by decades");
}
