//! Timers, alarms and reminders: kept in the store, rung on the box and told to every client.
//!
//! Owns everything that will ring. Promises that what was acknowledged rings once its time has
//! come, over restarts, steps of the clock and changes of summer time, and that it can be stopped
//! by a word, a touch, a button or a call. [`machine`] decides; this file keeps and tells.

mod check;
mod machine;
mod repeat;
pub mod said;
pub mod spoken;
mod timer;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::{Notify, oneshot};

pub use machine::{CLOCK_SET_AFTER, is_set};
pub use repeat::{Days, Repeat};
pub use timer::{NewTimer, Timer, TimerKind, TimerState, When, later, zoned};

use super::db;
use super::error::VoiceError;
use super::memory::Page;
use crate::bus::Bus;
use crate::clock::{Clock, MonoMillis, UnixMillis};
use crate::limits::{SNOOZE_MAX, TIMER_SEEN_INTERVAL, TIMERS_LIVE_MAX};
use crate::store::Store;
use check::{check_repeat, check_when, checked_label};
use machine::{Desk, Effect, Event, Now};

/// Bus topic; each event is one timer as the API shows it.
pub const TOPIC: &str = "timers";
const SEEN_KEY: &str = "timers.seen";
/// After a failed write the next try waits so long.
const SAVE_RETRY: Duration = Duration::from_secs(5);

pub type Task<'a, T> = Pin<Box<dyn Future<Output = Result<T, VoiceError>> + 'a>>;

/// What others, such as the tools of a language model, may do with timers.
pub trait Timekeeper {
    /// Durable when it resolves.
    fn add(&self, new: NewTimer) -> Task<'_, Timer>;
    /// All that may still ring, soonest first.
    fn live(&self) -> Vec<Timer>;
    /// Durable when it resolves; the timer as it is then.
    fn cancel<'a>(&'a self, id: &'a str) -> Task<'a, Timer>;
    /// Rings again after `wait`.
    fn snooze<'a>(&'a self, id: &'a str, wait: Duration) -> Task<'a, Timer>;
    /// Where the box is.
    fn zone(&self) -> TimeZone;
    /// Reads RFC 3339, or a local time without a zone like `2026-01-02T07:00`.
    fn parse_time(&self, text: &str) -> Option<UnixMillis> {
        let local = || {
            let time: jiff::civil::DateTime = text.parse().ok()?;
            let zoned = time.to_zoned(self.zone()).ok()?;
            Some(UnixMillis(zoned.timestamp().as_millisecond()))
        };
        UnixMillis::parse_rfc3339(text).or_else(local)
    }
}

/// What makes a ring heard and seen on the box.
pub trait Bell {
    /// One round: the sound, then the words.
    fn round(&self, timers: &[Timer]);
    fn ringing(&self, rings: bool);
}

/// What may be changed of a timer; `None` leaves it.
#[derive(Debug, Default)]
pub struct TimerPatch {
    pub label: Option<String>,
    pub when: Option<When>,
    /// `Some(None)` takes the rule away.
    pub repeat: Option<Option<Repeat>>,
}

/// Clones share one desk. Lives on the loop.
#[derive(Clone)]
pub struct Timers(Rc<Shared>);

struct Shared {
    store: Store,
    bus: Bus,
    clock: Clock,
    zone: TimeZone,
    desk: RefCell<Desk>,
    /// Something was set: the next look may be due sooner.
    changed: Notify,
    unsaved: RefCell<Unsaved>,
    save: Notify,
    bell: OnceCell<Rc<dyn Bell>>,
    asked: spoken::Asked,
    seen: Cell<Option<MonoMillis>>,
    /// The writer is at work.
    saves: Cell<bool>,
}

/// What waits for the next commit: each timer once, as it is now.
#[derive(Default)]
struct Unsaved {
    timers: BTreeMap<String, Timer>,
    /// To be told after the commit.
    told: Vec<Timer>,
    waiters: Vec<oneshot::Sender<Result<(), VoiceError>>>,
}

impl Timers {
    /// What came due meanwhile rings after [`Timers::ring_on`].
    pub fn new(store: Store, bus: Bus, clock: Clock) -> Timers {
        Timers(Rc::new(Shared {
            store,
            bus,
            clock,
            zone: TimeZone::system(),
            desk: RefCell::default(),
            changed: Notify::new(),
            unsaved: RefCell::default(),
            save: Notify::new(),
            bell: OnceCell::new(),
            asked: spoken::Asked::default(),
            seen: Cell::new(None),
            saves: Cell::new(false),
        }))
    }

    /// Begins to watch the time, and rings on `bell`.
    pub fn ring_on(&self, bell: Rc<dyn Bell>) {
        if self.0.bell.set(bell).is_ok() {
            tokio::task::spawn_local(self.clone().watch());
        }
    }

    /// Stops whatever rings; whether anything did.
    pub fn silence(&self) -> bool {
        let rings = self.0.desk.borrow().is_ringing();
        if rings {
            self.apply(Event::Silence);
        }
        rings
    }

    /// A finished one is removed, a live one cancelled.
    pub async fn delete(&self, id: &str) -> Result<(), VoiceError> {
        let live = self.0.desk.borrow().get(id).is_some();
        if live {
            self.cancel(id).await?;
            return Ok(());
        }
        let id = id.to_string();
        match self
            .0
            .store
            .write(move |connection| db::timers::delete(connection, &id))
            .await?
        {
            true => Ok(()),
            false => Err(unknown()),
        }
    }

    pub async fn patch(&self, id: &str, patch: TimerPatch) -> Result<Timer, VoiceError> {
        let mut timer = self.find(id)?;
        if let Some(label) = patch.label {
            timer.label = checked_label(label)?;
        }
        let now = self.now();
        if let Some(when) = patch.when {
            check_when(when, now.wall)?;
            timer.duration = match when {
                When::After(wait) => Some(wait),
                When::At(_) => None,
            };
            let rule = match patch.repeat {
                Some(rule) => rule,
                None => timer.repeat,
            };
            check_repeat(when, rule)?;
            let due_at = match when {
                When::After(wait) => later(now.wall, wait),
                When::At(at) => at,
            };
            timer.repeat_from(due_at, rule, &now.zone);
            timer.state = TimerState::Pending;
        } else if let Some(rule) = patch.repeat {
            check_repeat(When::At(timer.due_at), rule)?;
            timer.repeat_from(timer.due_at, rule, &now.zone);
        }
        if timer.state.is_live() {
            self.check_room(id)?;
        }
        self.set(timer.clone()).await?;
        Ok(timer)
    }

    /// Acknowledges one that rings.
    pub async fn stop(&self, id: &str) -> Result<Timer, VoiceError> {
        let mut timer = self.find(id)?;
        if timer.state != TimerState::Ringing {
            return Ok(timer);
        }
        timer.state = TimerState::Done;
        let now = self.now();
        if let Some(next) = timer.next_after(now.wall.max(timer.due_at), &now.zone) {
            timer.due_at = next;
            timer.duration = None;
            timer.state = TimerState::Pending;
        }
        self.set(timer.clone()).await?;
        Ok(timer)
    }

    pub async fn list(
        &self,
        state: Option<TimerState>,
        page: Page,
    ) -> Result<(Vec<Timer>, usize), VoiceError> {
        self.0
            .store
            .query(move |connection| db::timers::list(connection, state, page))
            .await
    }

    /// A live one as the desk has it, else what the store holds.
    pub fn find(&self, id: &str) -> Result<Timer, VoiceError> {
        if let Some(timer) = self.0.desk.borrow().get(id) {
            return Ok(timer.clone());
        }
        self.0
            .store
            .read(|connection| db::timers::get(connection, id))?
            .ok_or_else(unknown)
    }

    pub fn is_ringing(&self) -> bool {
        self.0.desk.borrow().is_ringing()
    }

    pub fn remaining(&self, id: &str) -> Option<Duration> {
        let now = self.now();
        self.0.desk.borrow().remaining(id, &now)
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn now(&self) -> Now {
        Now {
            wall: self.0.clock.wall(),
            mono: self.0.clock.mono(),
            zone: self.0.zone.clone(),
        }
    }

    fn check_room(&self, id: &str) -> Result<(), VoiceError> {
        let desk = self.0.desk.borrow();
        if desk.get(id).is_none() && desk.len() >= TIMERS_LIVE_MAX {
            return Err(VoiceError::Conflict(format!(
                "{TIMERS_LIVE_MAX} timers are set already; cancel one first"
            )));
        }
        Ok(())
    }

    /// Takes effect at once, and resolves when it is durable.
    async fn set(&self, timer: Timer) -> Result<(), VoiceError> {
        self.apply(Event::Set(timer));
        self.saved().await
    }

    async fn saved(&self) -> Result<(), VoiceError> {
        let (sender, saved) = oneshot::channel();
        self.0.unsaved.borrow_mut().waiters.push(sender);
        self.save_soon();
        saved
            .await
            .unwrap_or(Err(VoiceError::Store(crate::store::StoreError::Closed)))
    }

    fn apply(&self, event: Event) {
        let now = self.now();
        let effects = self.0.desk.borrow_mut().step(event, &now);
        let mut missed = Vec::new();
        for effect in effects {
            match effect {
                Effect::Save(timer) => {
                    let mut unsaved = self.0.unsaved.borrow_mut();
                    unsaved.timers.insert(timer.id.clone(), timer);
                    drop(unsaved);
                    self.save_soon();
                }
                // A ring is heard at once; whatever else is told once it is kept.
                Effect::Tell(timer) if timer.state == TimerState::Ringing => {
                    self.0.bus.publish(TOPIC, "timer", timer.json(now.wall));
                }
                Effect::Tell(timer) => {
                    self.0.unsaved.borrow_mut().told.push(timer);
                    self.save_soon();
                }
                Effect::Ringing(rings) => {
                    if let Some(bell) = self.0.bell.get() {
                        bell.ringing(rings);
                    }
                }
                Effect::Round(timers) => {
                    let is_missed = |timer: &Timer| timer.state == TimerState::Missed;
                    let (late, due) = timers.into_iter().partition(is_missed);
                    missed = late;
                    self.sound(due);
                }
            }
        }
        self.sound_once(missed);
        self.0.changed.notify_one();
    }

    fn sound(&self, timers: Vec<Timer>) {
        if let Some(bell) = self.0.bell.get()
            && !timers.is_empty()
        {
            bell.round(&timers);
        }
    }

    /// A missed one must not ring again after the next power cut: first it is kept, then rung.
    fn sound_once(&self, timers: Vec<Timer>) {
        if timers.is_empty() {
            return;
        }
        for timer in &timers {
            let wall = self.0.clock.wall();
            self.0.bus.publish(TOPIC, "timer", timer.json(wall));
        }
        let this = self.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = this.saved().await {
                log::warn!("event=missed_timer_not_kept error=\"{error}\"");
            }
            this.sound(timers);
        });
    }

    /// Looks whenever something is due, and each second whether the clock was set.
    async fn watch(self) {
        self.load().await;
        loop {
            let now = self.now();
            let deadline = self.0.desk.borrow().deadline(&now);
            let wait = async {
                match deadline {
                    // The clock counts whole milliseconds; one more makes sure that it has moved on.
                    Some(at) => {
                        let wait = at.since(now.mono) + Duration::from_millis(1);
                        tokio::time::sleep(wait).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.0.changed.notified() => {}
                () = wait => {
                    self.look();
                }
            }
        }
    }

    fn look(&self) {
        let before = self.0.clock.mono();
        let due = self
            .0
            .seen
            .get()
            .is_none_or(|seen| before.since(seen) >= TIMER_SEEN_INTERVAL);
        if due {
            self.0.seen.set(Some(before));
            let wall = self.0.clock.wall();
            self.0.store.relaxed(move |connection| {
                let text = wall.0.to_string();
                db::settings::note(connection, SEEN_KEY, &text, wall)
            });
        }
        self.apply(Event::Look);
    }

    async fn load(&self) {
        loop {
            let read = self.0.store.query(|connection| {
                let seen = db::settings::get(connection, SEEN_KEY)?;
                Ok::<_, VoiceError>((db::timers::live(connection)?, seen))
            });
            match read.await {
                Ok((timers, seen)) => {
                    let seen = seen.and_then(|text| text.parse().ok()).map(UnixMillis);
                    return self.apply(Event::Load { timers, seen });
                }
                Err(VoiceError::Store(crate::store::StoreError::Closed)) => return,
                Err(error) => {
                    log::error!("event=timers_not_read retry_s=5 error=\"{error}\"");
                    tokio::time::sleep(SAVE_RETRY).await;
                }
            }
        }
    }

    /// Takes up what came into the store past the desk; whether all of it had room.
    pub async fn take_in(&self) -> Result<bool, VoiceError> {
        let kept = self.0.store.query(db::timers::live);
        for Timer { id, .. } in kept.await? {
            // Each is looked at again, since it may have been cancelled meanwhile.
            let is_here = self.0.unsaved.borrow().timers.contains_key(&id);
            let timer = self.find(&id).ok().filter(|timer| timer.state.is_live());
            let Some(timer) = timer.filter(|_| !is_here && self.0.desk.borrow().get(&id).is_none())
            else {
                continue;
            };
            if self.check_room(&id).is_err() {
                return Ok(false);
            }
            let shown = timer.json(self.0.clock.wall());
            self.0.bus.publish(TOPIC, "timer", shown);
            self.apply(Event::Load {
                timers: vec![timer],
                seen: None,
            });
            tokio::task::yield_now().await;
        }
        Ok(true)
    }

    fn save_soon(&self) {
        if !self.0.saves.replace(true) {
            tokio::task::spawn_local(self.clone().keep_saving());
        }
        self.0.save.notify_one();
    }

    /// The one writer, so that an older state never overwrites a newer one.
    async fn keep_saving(self) {
        loop {
            self.0.save.notified().await;
            let Unsaved {
                timers,
                told,
                waiters,
            } = std::mem::take(&mut *self.0.unsaved.borrow_mut());
            let result = self.write(timers.values().cloned().collect()).await;
            if let Err(error) = &result {
                log::warn!("event=timers_not_kept retry_s=5 error=\"{error}\"");
                self.keep_for_later(timers);
            }
            let wall = self.0.clock.wall();
            for timer in told {
                self.0.bus.publish(TOPIC, "timer", timer.json(wall));
            }
            for waiter in waiters {
                let _ = waiter.send(result.clone());
            }
        }
    }

    async fn write(&self, batch: Vec<Timer>) -> Result<(), VoiceError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.0
            .store
            .write(move |connection| {
                batch
                    .iter()
                    .try_for_each(|timer| db::timers::save(connection, timer))
            })
            .await
    }

    /// What could not be written is tried again, unless it is another by then.
    fn keep_for_later(&self, timers: BTreeMap<String, Timer>) {
        let mut unsaved = self.0.unsaved.borrow_mut();
        for (id, timer) in timers {
            unsaved.timers.entry(id).or_insert(timer);
        }
        let this = self.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(SAVE_RETRY).await;
            this.0.save.notify_one();
        });
    }
}

impl Timekeeper for Timers {
    fn add(&self, new: NewTimer) -> Task<'_, Timer> {
        Box::pin(async move {
            let now = self.now();
            check_when(new.when, now.wall)?;
            check_repeat(new.when, new.repeat)?;
            let new = NewTimer {
                label: checked_label(new.label)?,
                ..new
            };
            let timer = Timer::new(new, now.wall, &now.zone);
            self.check_room(&timer.id)?;
            if let Err(error) = self.set(timer.clone()).await {
                self.0.unsaved.borrow_mut().timers.remove(&timer.id);
                self.apply(Event::Drop(timer.id));
                return Err(error);
            }
            Ok(timer)
        })
    }

    fn live(&self) -> Vec<Timer> {
        self.0.desk.borrow().timers()
    }

    fn cancel<'a>(&'a self, id: &'a str) -> Task<'a, Timer> {
        Box::pin(async move {
            let mut timer = self.find(id)?;
            if timer.state.is_live() {
                timer.state = TimerState::Cancelled;
                self.set(timer.clone()).await?;
            }
            Ok(timer)
        })
    }

    fn snooze<'a>(&'a self, id: &'a str, wait: Duration) -> Task<'a, Timer> {
        Box::pin(async move {
            if wait.is_zero() || wait > SNOOZE_MAX {
                return Err(VoiceError::Invalid(format!(
                    "`duration` must be more than 0 and at most {} seconds.",
                    SNOOZE_MAX.as_secs()
                )));
            }
            let mut timer = self.find(id)?;
            if matches!(timer.state, TimerState::Cancelled) {
                return Err(VoiceError::Conflict(String::from(
                    "this timer was cancelled; set a new one",
                )));
            }
            self.check_room(id)?;
            timer.state = TimerState::Pending;
            timer.due_at = later(self.now().wall, wait);
            timer.duration = Some(wait);
            timer.snoozes = timer.snoozes.saturating_add(1);
            self.set(timer.clone()).await?;
            Ok(timer)
        })
    }

    fn zone(&self) -> TimeZone {
        self.0.zone.clone()
    }
}

fn unknown() -> VoiceError {
    VoiceError::NotFound(String::from("timer of this id"))
}
