//! Sessions that were not used for as long as the owner keeps them: they go as if their account
//! had deleted them, some each hour.
//!
//! Their age is told by a wall clock that may be wrong by years, so it has to be believed first.
//! It is when it went along with the monotonic clock for an hour, and is not far from where it was
//! believed last; after a long time off, or a jump into one, a week of going along is wanted.

use std::cell::Cell;
use std::rc::Rc;

use super::Happy;
use super::db::bounds;
use crate::clock::{Clock, MonoMillis, UnixMillis};
use crate::limits;
use crate::store::StoreError;

pub struct Retention {
    /// For accounts of which the owner says nothing else; 0: for ever.
    keep_days: u32,
    steady: Cell<Steady>,
}

impl Retention {
    pub fn new(keep_days: u32, clock: &Clock) -> Retention {
        Retention {
            keep_days,
            steady: Cell::new(Steady::from_now(clock)),
        }
    }

    pub fn keep_days(&self) -> u32 {
        self.keep_days
    }
}

/// A moment since which the wall clock has gone along with the monotonic one.
#[derive(Clone, Copy)]
struct Steady {
    wall: UnixMillis,
    mono: MonoMillis,
}

impl Steady {
    fn from_now(clock: &Clock) -> Steady {
        Steady {
            wall: clock.wall(),
            mono: clock.mono(),
        }
    }

    /// Wall time by the monotonic clock, which does not jump between a look and what follows it.
    fn time_at(&self, mono: MonoMillis) -> UnixMillis {
        UnixMillis(self.wall.0 + mono.since(self.mono).as_millis() as i64)
    }

    fn holds(&self, clock: &Clock) -> bool {
        let apart = clock.wall().0.abs_diff(self.time_at(clock.mono()).0);
        u128::from(apart) <= limits::HAPPY_CLOCK_APART_MAX.as_millis()
    }

    /// Whether it has held for long enough, where the clock was last believed at `believed`.
    fn is_believed(&self, now: MonoMillis, believed: UnixMillis) -> bool {
        let gap = u128::from(self.time_at(now).0.abs_diff(believed.0));
        let wanted = match gap <= limits::HAPPY_CLOCK_GAP_MAX.as_millis() {
            true => limits::HAPPY_CLOCK_STEADY,
            false => limits::HAPPY_CLOCK_STEADY_AFTER_GAP,
        };
        now.since(self.mono) >= wanted
    }
}

impl Happy {
    /// Looks every hour. Ends with the room.
    pub(super) fn watch_retention(&self) {
        let room = Rc::downgrade(&self.0);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(limits::HAPPY_KEEP_LOOK).await;
                for _ in 0..limits::HAPPY_KEEP_TURNS {
                    let Some(happy) = room.upgrade().map(Happy) else {
                        return;
                    };
                    match happy.delete_some_idle().await {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(error) => {
                            log::warn!("event=happy_retention_waits error=\"{error}\"");
                            break;
                        }
                    }
                    drop(happy);
                    tokio::time::sleep(limits::HAPPY_KEEP_PAUSE).await;
                }
            }
        });
    }

    /// Whether there may be more.
    pub(super) async fn delete_some_idle(&self) -> Result<bool, StoreError> {
        let keep_days = self.0.retention.keep_days;
        let Some(now) = self.believed_time().await? else {
            return Ok(false);
        };
        // Heartbeats that were not written yet count.
        self.write_presence().await;
        let limit = limits::HAPPY_KEEP_DELETED_AT_ONCE;
        let found = self
            .0
            .store
            .query(move |db| bounds::idle(db, keep_days, now, limit))
            .await?;
        let (may_be_more, mut gone) = (found.len() == limit, 0);
        for idle in found {
            gone += usize::from(self.delete_idle_session(idle).await?);
        }
        if gone > 0 {
            log::info!("event=happy_sessions_kept_no_longer count={gone}");
        }
        Ok(may_be_more)
    }

    /// The time, where the clock is believed and anything is to go by it.
    async fn believed_time(&self) -> Result<Option<UnixMillis>, StoreError> {
        let (clock, retention) = (&self.0.clock, &self.0.retention);
        if !retention.steady.get().holds(clock) {
            log::warn!("event=happy_clock_jumped meaning=\"sessions are kept for longer\"");
            retention.steady.set(Steady::from_now(clock));
            return Ok(None);
        }
        let keep_days = retention.keep_days;
        let read = self
            .0
            .store
            .query(move |db| match bounds::any_end(db, keep_days)? {
                true => bounds::clock_at(db),
                false => Ok(None),
            });
        let Some(last) = read.await? else {
            return Ok(None);
        };
        let (steady, mono) = (retention.steady.get(), clock.mono());
        if !steady.is_believed(mono, last) {
            return Ok(None);
        }
        let now = steady.time_at(mono);
        let noted = self.0.store.write(move |db| bounds::believe_clock(db, now));
        noted.await?;
        Ok(Some(now))
    }
}
