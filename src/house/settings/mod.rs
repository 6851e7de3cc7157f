//! The settings while the box runs: what is in force, what the page has chosen, what waits.
//!
//! Owns the stored values and the key that seals the secret ones. Promises that a change is
//! validated by the one table, committed before it counts, and given to the rooms at once where
//! that is possible. Never: shows a secret, overrules the environment, or fails a start.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;

use serde_json::Value;

use crate::clock::Clock;
use crate::config::{Config, Origin, Setting, Stored};
use crate::limits::SETTING_CHARS_MAX;
use crate::server::HttpError;
use crate::store::{Connection, Store, StoreError};

pub(super) mod api;
mod db;
mod seal;

pub use seal::{BoxKey, KEY_FILE};

/// Clones share the settings.
#[derive(Clone)]
pub struct Settings(Rc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    /// `None`: the key's file cannot be used, and no secret can be stored.
    key: Option<BoxKey>,
    /// From the environment and `.env` alone.
    base: RefCell<Config>,
    stored: RefCell<Stored>,
    in_force: RefCell<Config>,
    /// What the rooms were started with, for what only a restart changes.
    at_start: Config,
    take: RefCell<Option<Take>>,
    test: RefCell<Option<StageTest>>,
    is_changing: Cell<bool>,
}

/// Gives changed settings to the rooms.
pub type Take = Rc<dyn Fn(&Config)>;

/// Tries the provider of a stage (`stt`, `llm`, `tts`, `embed`) with the settings in force, and
/// tells what came of it.
pub type StageTest = Rc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<Value, HttpError>>>>>;

/// Why nothing was changed.
#[derive(Debug)]
pub enum ChangeError {
    Unknown {
        name: String,
        meant: Option<&'static str>,
    },
    NotAllowed {
        setting: &'static Setting,
    },
    TooLong {
        setting: &'static Setting,
    },
    /// The value stands where it wins over the page.
    Fixed {
        setting: &'static Setting,
        origin: Origin,
    },
    OnlyAtTheBox {
        setting: &'static Setting,
        why: &'static str,
    },
    /// With the others it makes no sense.
    Clash(String),
    NoKey,
    Underway,
    Store(StoreError),
}

/// Of the one change that is under way, until dropped.
struct Turn<'a>(&'a Settings);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.0.is_changing.set(false);
    }
}

impl Settings {
    /// Reads what is stored under the settings of the environment and `.env`.
    pub async fn load(
        base: &Config,
        store: Store,
        clock: Clock,
        data_dir: &Path,
    ) -> Result<Settings, StoreError> {
        let rows = store.query(db::load).await?;
        let key = BoxKey::of(data_dir)
            .inspect_err(|error| log::error!("event=no_box_key error=\"{error}\""))
            .ok();
        let stored = opened(rows, key.as_ref());
        let config = overlaid(base, &stored);
        Ok(Settings(Rc::new(Inner {
            store,
            clock,
            key,
            base: RefCell::new(base.clone()),
            stored: RefCell::new(stored),
            at_start: config.clone(),
            in_force: RefCell::new(config),
            take: RefCell::default(),
            test: RefCell::default(),
            is_changing: Cell::new(false),
        })))
    }

    pub fn config(&self) -> Config {
        self.0.in_force.borrow().clone()
    }

    /// Who is given changed settings, and who tries a provider; told once by the wiring.
    pub fn hand_to(&self, take: Take, test: Option<StageTest>) {
        *self.0.take.borrow_mut() = Some(take);
        *self.0.test.borrow_mut() = test;
    }

    /// The environment or `.env` may have changed (SIGHUP).
    pub fn rebase(&self, base: &Config) {
        *self.0.base.borrow_mut() = base.clone();
        self.come_into_force();
    }

    /// All or nothing: `None` takes the page's value away, which leaves the default.
    pub async fn change(&self, asked: Vec<(String, Option<String>)>) -> Result<(), ChangeError> {
        let mut changes: Vec<(&'static Setting, Option<String>)> = Vec::new();
        for (name, text) in asked {
            let setting = self.check(&name, text.as_deref())?;
            changes.push((setting, text));
        }
        if self.0.is_changing.replace(true) {
            return Err(ChangeError::Underway);
        }
        let settings = self.clone();
        // What is stored comes into force, even when whoever asked goes away meanwhile.
        let changing = tokio::task::spawn_local(async move {
            let turn = Turn(&settings);
            settings.commit(changes).await?;
            drop(turn);
            settings.come_into_force();
            Ok(())
        });
        let ended = |_| Err(ChangeError::Store(StoreError::Panicked));
        changing.await.unwrap_or_else(ended)
    }

    /// Settings whose new value waits for a restart.
    pub fn waiting(&self) -> Vec<&'static str> {
        let in_force = self.0.in_force.borrow();
        let changed = self.0.at_start.changed(&in_force);
        changed
            .filter(|setting| !setting.reloads)
            .map(|setting| setting.name)
            .collect()
    }

    fn check(&self, name: &str, text: Option<&str>) -> Result<&'static Setting, ChangeError> {
        let setting = crate::config::table::find(name).ok_or_else(|| ChangeError::Unknown {
            name: name.to_owned(),
            meant: crate::config::suggestion(name, 3),
        })?;
        if let Some(why) = setting.only_at_the_box() {
            return Err(ChangeError::OnlyAtTheBox { setting, why });
        }
        let base = self.0.base.borrow();
        let held = base
            .all()
            .iter()
            .find(|held| held.setting.name == setting.name);
        if let Some(held) = held.filter(|held| held.origin != Origin::Default) {
            let origin = held.origin.clone();
            return Err(ChangeError::Fixed { setting, origin });
        }
        let Some(text) = text else {
            return Ok(setting);
        };
        if text.chars().count() > SETTING_CHARS_MAX {
            return Err(ChangeError::TooLong { setting });
        }
        let is_plain = !text.is_empty() && !text.chars().any(char::is_control);
        if !is_plain || setting.kind.parse(text).is_none() {
            return Err(ChangeError::NotAllowed { setting });
        }
        Ok(setting)
    }

    async fn commit(
        &self,
        changes: Vec<(&'static Setting, Option<String>)>,
    ) -> Result<(), ChangeError> {
        let mut stored = self.0.stored.borrow().clone();
        let mut rows = Vec::new();
        for (setting, text) in changes {
            let row = match &text {
                Some(text) if setting.secret => Some(self.sealed(setting.name, text)?),
                text => text.clone(),
            };
            rows.push((setting.name, row));
            match text {
                Some(text) => stored.insert(setting.name.to_owned(), text),
                None => stored.remove(setting.name),
            };
        }
        let (_, warnings) = self.0.base.borrow().with_stored(&stored);
        if let Some(clash) = warnings.into_iter().next() {
            return Err(ChangeError::Clash(clash));
        }
        let now = self.0.clock.wall();
        let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
        log::info!("event=settings_stored names={}", names.join(","));
        self.0
            .store
            .write(move |connection| db::store(connection, &rows, now))
            .await
            .map_err(ChangeError::Store)?;
        *self.0.stored.borrow_mut() = stored;
        Ok(())
    }

    fn sealed(&self, name: &str, text: &str) -> Result<String, ChangeError> {
        let key = self.0.key.as_ref().ok_or(ChangeError::NoKey)?;
        key.seal(name, text).map_err(|_| ChangeError::NoKey)
    }

    fn come_into_force(&self) {
        let config = overlaid(&self.0.base.borrow(), &self.0.stored.borrow());
        *self.0.in_force.borrow_mut() = config.clone();
        let take = self.0.take.borrow().clone();
        if let Some(take) = take {
            take(&config);
        }
    }
}

/// The rows of [`overlay`], read from the database of a box that does not run.
pub fn peek(connection: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    db::load(connection)
}

/// Settings with what [`peek`] read.
pub fn overlay(base: &Config, rows: Vec<(String, String)>, data_dir: &Path) -> Config {
    let key = BoxKey::of_existing(data_dir);
    base.with_stored(&opened(rows, key.as_ref())).0
}

/// Texts of the rows, secrets opened; one that does not open is left out and told.
fn opened(rows: Vec<(String, String)>, key: Option<&BoxKey>) -> Stored {
    let mut stored = Stored::new();
    for (name, text) in rows {
        let Some(setting) = crate::config::table::find(&name) else {
            continue;
        };
        let text = match setting.secret {
            true => key.and_then(|key| key.open(&name, &text)),
            false => Some(text),
        };
        match text {
            Some(text) => {
                stored.insert(name, text);
            }
            None => log::warn!("event=secret_not_opened name={name} hint=\"set it again\""),
        }
    }
    stored
}

fn overlaid(base: &Config, stored: &Stored) -> Config {
    let (config, warnings) = base.with_stored(stored);
    for warning in warnings {
        log::warn!("event=stored_setting_left_out why=\"{warning}\"");
    }
    config
}
