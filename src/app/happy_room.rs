//! The Happy room's parts, as the settings have them.

use std::rc::Rc;

use super::{StartError, folder_error};
use crate::clock::Clock;
use crate::config::Config;
use crate::happy::push::{PushWay, Topic, expo};
use crate::happy::{Happy, HappyParts, Registration, Seal};
use crate::house::settings;
use crate::ops::Registry;
use crate::outbound::Outbound;
use crate::store::Store;

/// The Happy sync room, where the owner wants it.
pub fn start(
    config: &Config,
    store: &Store,
    clock: &Clock,
    metrics: &Registry,
    outbound: Outbound,
) -> Result<Option<Happy>, StartError> {
    let registration = match config.word("HAPPY_REGISTRATION") {
        "open" => Registration::Open,
        "invite" => Registration::Invite,
        "closed" => Registration::Closed,
        _ => return Ok(None),
    };
    let data_dir = config.data_dir();
    let key = settings::BoxKey::of(&data_dir).map_err(|error| folder_error(&data_dir, error))?;
    Ok(Some(Happy::start(HappyParts {
        seal: Rc::new(key),
        store: store.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        registration,
        data_dir: data_dir.clone(),
        is_limited: config.number("RATE_LIMIT") > 0,
        push: push_way(config)?,
        outbound,
        token_seed: settings::derived_key(&data_dir, "happy tokens")
            .map_err(|error| folder_error(&data_dir, error))?,
    })))
}

fn push_way(config: &Config) -> Result<PushWay, StartError> {
    let url = config.text("HAPPY_PUSH_URL");
    let missing = || StartError::Setting {
        name: "HAPPY_PUSH_URL",
        why: String::from(
            "HAPPY_PUSH=ntfy wants the address of a topic, such as https://ntfy.sh/topic",
        ),
    };
    Ok(match config.word("HAPPY_PUSH") {
        "expo" => PushWay::Expo {
            url: url.unwrap_or(expo::URL).trim_end_matches('/').to_owned(),
        },
        "ntfy" => PushWay::Ntfy(url.and_then(Topic::parse).ok_or_else(missing)?),
        _ => PushWay::Off,
    })
}

impl Seal for settings::BoxKey {
    fn seal(&self, name: &str, text: &str) -> Option<String> {
        settings::BoxKey::seal(self, name, text).ok()
    }

    fn open(&self, name: &str, sealed: &str) -> Option<String> {
        settings::BoxKey::open(self, name, sealed)
    }
}
