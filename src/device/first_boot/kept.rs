//! What the appliance knows of itself, in one file of `/data` that is replaced as a whole: name,
//! Wi-Fi, zone, keys, settings. Everything that the system reads is made from it at each start.
//!
//! It holds secrets: only root reads it, and none of these types can be printed.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use super::root::{Root, write_durably};
use super::words::Language;
use crate::config;
use crate::limits;

const FILE: &str = "data/device/box.json";

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    pub host_name: Option<String>,
    pub time_zone: Option<String>,
    pub language: Option<Language>,
    pub wifi: Option<Wifi>,
    pub country: Option<String>,
    pub sound_hat: Option<String>,
    pub ssh_keys: Vec<String>,
    /// Of the table of settings, by name.
    pub settings: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Wifi {
    pub ssid: String,
    /// `None`: an open network.
    pub password: Option<String>,
}

impl Kept {
    /// Nothing is kept yet, or what is there cannot be read: then it is set aside.
    pub fn load(root: &Root) -> io::Result<Kept> {
        let Some(text) = root.read(FILE, limits::MAGPIE_KEPT_BYTES_MAX)? else {
            return Ok(Kept::default());
        };
        match serde_json::from_slice(&text) {
            Ok(kept) => Ok(kept),
            Err(error) => {
                log::error!(
                    "event=kept_unreadable file=/{FILE} line={} set_aside=box.json.broken",
                    error.line()
                );
                let path = root.path(FILE);
                std::fs::rename(&path, path.with_extension("json.broken"))?;
                Ok(Kept::default())
            }
        }
    }

    /// Durable when it returns.
    pub fn save(&self, root: &Root) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        let path = root.path(FILE);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        write_durably(&path, &text, None)
    }

    pub fn host_name(&self) -> &str {
        self.host_name.as_deref().unwrap_or("magpie")
    }

    /// The settings of the service. One that this version does not know or allow is left out: it
    /// would keep the service from starting.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut all = self.settings.clone();
        all.insert("HOSTNAME_LABEL".into(), self.host_name().to_owned());
        if let Some(zone) = &self.time_zone {
            all.insert("TZ".into(), zone.clone());
        }
        if let Some(language) = self.language {
            all.entry("STT_LANGUAGE".into())
                .or_insert_with(|| language.code().to_owned());
        }
        let is_allowed = |name: &str, value: &str| {
            config::table::find(name).is_some_and(|setting| setting.kind.parse(value).is_some())
        };
        all.into_iter()
            .filter(|(name, value)| is_allowed(name, value))
            .collect()
    }
}
