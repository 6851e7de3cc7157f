//! The Happy room's parts, as the settings have them.

use std::rc::Rc;

use super::{StartError, folder_error};
use crate::clock::Clock;
use crate::config::Config;
use crate::happy::push::{Aloud, Kind, PushWay, Topic, expo};
use crate::happy::{Happy, HappyParts, Registration, Seal};
use crate::house::settings;
use crate::ops::Registry;
use crate::outbound::Outbound;
use crate::store::Store;
use crate::voice::device::{Device, WeakDevice};

/// The Happy sync room, where the owner wants it.
pub async fn start(
    config: &Config,
    store: &Store,
    clock: &Clock,
    metrics: &Registry,
    outbound: Outbound,
    device: &Device,
) -> Result<Option<Happy>, StartError> {
    let registration = match config.word("HAPPY_REGISTRATION") {
        "open" => Registration::Open,
        "invite" => Registration::Invite,
        "closed" => Registration::Closed,
        _ => return Ok(None),
    };
    let data_dir = config.data_dir();
    let key = settings::BoxKey::of(&data_dir).map_err(|error| folder_error(&data_dir, error))?;
    let parts = HappyParts {
        seal: Rc::new(key),
        store: store.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        registration,
        data_dir: data_dir.clone(),
        is_limited: config.number("RATE_LIMIT") > 0,
        account_bytes: config.number("HAPPY_ACCOUNT_MB") as i64 * 1024 * 1024,
        keep_days: config.number("HAPPY_KEEP_DAYS") as u32,
        push: push_way(config)?,
        aloud: aloud(config, device),
        outbound,
    };
    let happy = Happy::start(parts).await.map_err(StartError::Happy)?;
    Ok(Some(happy))
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

fn aloud(config: &Config, device: &Device) -> Option<Rc<dyn Aloud>> {
    let words = match config.word("HAPPY_ALOUD") {
        "en" => Words {
            permission: "Claude asks for a permission.",
            question: "Claude has a question.",
        },
        "zh" => Words {
            permission: "Claude 在等你的许可。",
            question: "Claude 有一个问题。",
        },
        _ => return None,
    };
    let device = device.downgrade();
    Some(Rc::new(Speaker { device, words }))
}

/// Says it with the box's voice when nobody has the word.
struct Speaker {
    device: WeakDevice,
    words: Words,
}

struct Words {
    permission: &'static str,
    question: &'static str,
}

impl Aloud for Speaker {
    fn tell(&self, kind: Kind) {
        let text = match kind {
            Kind::Permission => self.words.permission,
            Kind::Question => self.words.question,
            Kind::Done => return,
        };
        if let Some(device) = self.device.upgrade() {
            let said = device.announce(text).is_some();
            log::info!("event=happy_aloud said={said}");
        }
    }
}

impl Seal for settings::BoxKey {
    fn seal(&self, name: &str, text: &str) -> Option<String> {
        settings::BoxKey::seal(self, name, text).ok()
    }

    fn open(&self, name: &str, sealed: &str) -> Option<String> {
        settings::BoxKey::open(self, name, sealed)
    }
}
