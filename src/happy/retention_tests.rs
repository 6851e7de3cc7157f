//! Retention against a real store, by a clock of the test.

use std::time::Duration;

use super::db::sessions::{self, NewSession};
use super::db::{bounds, presence};
use super::presence::Kind;
use super::presence_tests::{House, NOW};
use crate::clock::UnixMillis;
use crate::limits;
use crate::store::StoreError;

const DAY: Duration = Duration::from_secs(86_400);

impl House {
    /// Whose session `s` was left at [`NOW`], when the clock was believed.
    async fn left(keep_days: u32) -> House {
        let house = House::keeping(keep_days).await;
        let left = house.happy.0.store.write(|db| {
            bounds::believe_clock(db, NOW)?;
            sessions::archive(db, "a", "s", NOW)
        });
        assert!(left.await.expect("archived"));
        house
    }

    async fn looks(&self) -> bool {
        self.happy.delete_some_idle().await.expect("a look")
    }

    fn has(&self, id: &str) -> bool {
        let found = self
            .happy
            .0
            .store
            .read(|db| presence::get(db, Kind::Session, "a", id));
        found.expect("read").is_some()
    }

    async fn rows(&self) -> i64 {
        let counted = self.happy.0.store.query(|db| {
            let sql = "SELECT count(*) FROM happy_sessions";
            Ok::<_, StoreError>(db.query_row(sql, [], |row| row.get(0))?)
        });
        counted.await.expect("a count")
    }
}

async fn on_loop(test: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_session_goes_when_it_was_not_used_for_its_days_and_is_told_of_as_deleted() {
    on_loop(async {
        let house = House::left(30).await;
        house.clock.advance(30 * DAY);
        assert!(!house.looks().await);
        assert!(house.has("s"));
        house.clock.advance(Duration::from_secs(1));
        house.looks().await;
        assert!(!house.has("s"));
        house.happy.take_apart_deleted().await.expect("taken apart");
        assert_eq!(house.rows().await, 0);
        // Its late heartbeats do not count.
        assert!(!house.happy.alive(Kind::Session, &"a".into(), "s", NOW.0));
    })
    .await;
}

#[tokio::test]
async fn nothing_goes_where_the_owner_keeps_all_nor_what_is_active() {
    on_loop(async {
        let house = House::left(0).await;
        house.clock.advance(4_000 * DAY);
        house.looks().await;
        assert!(house.has("s"));
        // A heartbeat that is not written yet is one.
        let house = House::left(30).await;
        house.clock.advance(40 * DAY);
        let now = house.clock.wall().0;
        assert!(house.happy.alive(Kind::Session, &"a".into(), "s", now));
        house.looks().await;
        assert!(house.has("s"));
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_jumps_deletes_nothing() {
    on_loop(async {
        let house = House::left(30).await;
        house.clock.advance(DAY);
        house.looks().await;
        let real = house.clock.wall();
        let years = 10 * 365 * DAY.as_millis() as i64;
        house.clock.set_wall(UnixMillis(real.0 + years));
        for _ in 0..6 * 24 {
            house.looks().await;
            house.clock.advance(limits::HAPPY_KEEP_LOOK);
        }
        assert!(house.has("s"), "six days in a future");
        house
            .clock
            .set_wall(UnixMillis(real.0 + 7 * DAY.as_millis() as i64));
        house.looks().await;
        house.clock.advance(limits::HAPPY_KEEP_LOOK);
        house.looks().await;
        assert!(house.has("s"), "back in its time");
        // Into the past, and for good.
        house.clock.set_wall(UnixMillis(0));
        for _ in 0..24 {
            house.looks().await;
            house.clock.advance(limits::HAPPY_KEEP_LOOK);
        }
        assert!(house.has("s"), "in 1970");
        // Set right, and the days come by honestly.
        house
            .clock
            .set_wall(UnixMillis(real.0 + 8 * DAY.as_millis() as i64));
        house.looks().await;
        for _ in 0..23 * 24 {
            house.clock.advance(limits::HAPPY_KEEP_LOOK);
            house.looks().await;
        }
        assert!(!house.has("s"));
    })
    .await;
}

#[tokio::test]
async fn after_a_long_time_off_nothing_goes_for_a_week() {
    on_loop(async {
        let house = House::left(30).await;
        // As if the box had been off: the process begins with a clock far ahead of the last one.
        let ahead = NOW.0 + 90 * DAY.as_millis() as i64;
        house.clock.set_wall(UnixMillis(ahead));
        house.looks().await;
        for _ in 0..7 * 24 - 1 {
            house.clock.advance(limits::HAPPY_KEEP_LOOK);
            house.looks().await;
            assert!(house.has("s"));
        }
        house.clock.advance(limits::HAPPY_KEEP_LOOK);
        house.looks().await;
        assert!(!house.has("s"));
    })
    .await;
}

#[tokio::test]
async fn many_go_a_few_at_a_time() {
    on_loop(async {
        let house = House::left(1).await;
        let made = house.happy.0.store.write(|db| {
            for number in 0..limits::HAPPY_KEEP_DELETED_AT_ONCE + 3 {
                let new = NewSession {
                    id: format!("n{number}"),
                    tag: number.to_string(),
                    metadata: "m".into(),
                    data_encryption_key: None,
                };
                sessions::of_tag(db, "a", &new, NOW).expect("a session");
                sessions::archive(db, "a", &new.id, NOW)?;
            }
            Ok::<_, StoreError>(())
        });
        made.await.expect("made");
        house.clock.advance(2 * DAY);
        assert!(house.looks().await, "there is more");
        house.happy.take_apart_deleted().await.expect("taken apart");
        assert_eq!(house.rows().await, 4);
        assert!(!house.looks().await);
        house.happy.take_apart_deleted().await.expect("taken apart");
        assert_eq!(house.rows().await, 0);
    })
    .await;
}
