//! Heartbeats against a real store, by a clock of the test.

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use super::db::sessions::{self, NewSession};
use super::db::{accounts, presence};
use super::presence::{Kind, heard_at};
use super::push::PushWay;
use super::{Happy, HappyParts, Registration, Seal};
use crate::clock::{Clock, UnixMillis};
use crate::ops::Registry;
use crate::outbound::{Outbound, OutboundOptions};
use crate::store::{Durability, Store, StoreError, StoreOptions};

pub(super) const NOW: UnixMillis = UnixMillis(1_795_205_421_573);

struct NoSeal;

impl Seal for NoSeal {
    fn seal(&self, _: &str, _: &str) -> Option<String> {
        None
    }
    fn open(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}

pub(super) struct House {
    pub(super) happy: Happy,
    pub(super) clock: Clock,
    metrics: Registry,
    account: Rc<str>,
    _folder: tempfile::TempDir,
}

impl House {
    /// With the session `s` of the account `a`.
    pub(super) async fn new() -> House {
        House::keeping(0).await
    }

    /// Sessions that are not used for so many days go.
    pub(super) async fn keeping(keep_days: u32) -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let (clock, metrics) = (Clock::manual(NOW), Registry::default());
        let store = Store::open(StoreOptions {
            path: folder.path().join("db"),
            clock: clock.clone(),
            metrics: metrics.clone(),
            durability: Durability::Full,
        })
        .expect("a store");
        store
            .write(|db| {
                accounts::make(db, "a", "00", NOW)?;
                let new = NewSession {
                    id: "s".into(),
                    tag: "s".into(),
                    metadata: "m".into(),
                    data_encryption_key: None,
                };
                sessions::of_tag(db, "a", &new, NOW).expect("a session");
                Ok::<_, StoreError>(())
            })
            .await
            .expect("written");
        let happy = Happy::start(HappyParts {
            store,
            clock: clock.clone(),
            metrics: metrics.clone(),
            registration: Registration::Open,
            is_limited: true,
            account_bytes: 1024 * 1024,
            keep_days,
            data_dir: folder.path().into(),
            push: PushWay::Off,
            aloud: None,
            outbound: Outbound::new(OutboundOptions::default(), &metrics).expect("a way out"),
            seal: Rc::new(NoSeal),
        })
        .await
        .expect("a key");
        House {
            happy,
            clock,
            metrics,
            account: "a".into(),
            _folder: folder,
        }
    }

    fn alive(&self) -> bool {
        let now = self.clock.wall().0;
        let counts = self.happy.alive(Kind::Session, &self.account, "s", now);
        if counts {
            self.happy.session_activity("a", "s", true, now, false);
        }
        counts
    }

    /// Whether its row is active, and since when it was not heard of.
    fn row(&self) -> (bool, i64) {
        let found = self
            .happy
            .0
            .store
            .read(|db| presence::get(db, Kind::Session, "a", "s"));
        found.expect("read").expect("a session")
    }

    /// Jobs that the store has run.
    fn written(&self) -> f64 {
        let text = self.metrics.render();
        let jobs = text
            .lines()
            .filter(|line| line.starts_with("store_jobs_total"));
        jobs.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

pub(super) fn run(test: impl AsyncFn(House)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async { test(House::new().await).await });
}

#[test]
fn a_million_heartbeats_write_nothing_and_half_a_minute_of_them_one_row_once() {
    run(async |house| {
        let before = house.written();
        for _ in 0..1_000_000 {
            assert!(house.alive());
        }
        house.happy.write_presence().await;
        assert_eq!(house.written(), before);
        assert_eq!(house.row(), (true, NOW.0));

        house.clock.advance(Duration::from_secs(31));
        for _ in 0..1_000 {
            assert!(house.alive());
        }
        house.happy.write_presence().await;
        house.happy.write_presence().await;
        assert_eq!(house.written(), before + 1.0);
        assert_eq!(house.row(), (true, NOW.0 + 31_000));
    });
}

#[test]
fn what_was_silent_for_ten_minutes_is_there_no_more_until_it_is_heard_again() {
    run(async |house| {
        house.clock.advance(Duration::from_secs(599));
        house.happy.end_silent().await;
        assert_eq!(house.row(), (true, NOW.0));
        house.clock.advance(Duration::from_secs(1));
        house.happy.end_silent().await;
        assert_eq!(house.row(), (false, NOW.0));
        let before = house.written();
        house.happy.end_silent().await;
        assert_eq!(house.written(), before, "no write where nobody fell silent");
        assert!(house.alive());
        house.happy.write_presence().await;
        assert_eq!(house.row(), (true, NOW.0 + 600_000));
    });
}

#[test]
fn a_session_that_stopped_is_not_woken_by_late_heartbeats() {
    run(async |house| {
        house.clock.advance(Duration::from_secs(31));
        assert!(house.alive());
        house.happy.session_stops("s");
        assert!(!house.alive());
        house.happy.write_presence().await;
        assert_eq!(
            house.row(),
            (true, NOW.0),
            "what was about to be written is not"
        );
        house.happy.session_resumes("s");
        assert!(house.alive());
        house.happy.session_stops("s");
        house.clock.advance(Duration::from_secs(60));
        assert!(house.alive());
    });
}

#[test]
fn nobody_is_kept_alive_by_another_account() {
    run(async |house| {
        let stranger: Rc<str> = "b".into();
        assert!(house.alive());
        let now = house.clock.wall().0;
        assert!(!house.happy.alive(Kind::Session, &stranger, "s", now));
        assert!(!house.happy.alive(Kind::Machine, &house.account, "s", now));
        assert!(house.alive());
    });
}

#[test]
fn a_heartbeat_is_not_of_the_future_and_not_of_long_ago() {
    assert_eq!(heard_at(&json!(NOW.0 - 5), NOW), Some(NOW.0 - 5));
    assert_eq!(heard_at(&json!(9e15), NOW), Some(NOW.0));
    assert_eq!(heard_at(&json!(u64::MAX), NOW), Some(NOW.0));
    assert_eq!(
        heard_at(&json!(NOW.0 - 600_000), NOW),
        Some(NOW.0 - 600_000)
    );
    for wrong in [
        json!(NOW.0 - 600_001),
        json!(-1e300),
        json!("now"),
        json!(null),
    ] {
        assert_eq!(heard_at(&wrong, NOW), None, "{wrong}");
    }
}
