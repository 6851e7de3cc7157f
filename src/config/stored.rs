//! Values that a person chose on the page or over the API: below the environment and `.env`,
//! above the table.
//!
//! A stored value never stops a start: one that is not allowed any more, or that clashes with
//! the rest, is left out and told. What could lock a person out of the page, or make the box
//! run a program, is not taken from there at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Config, Held, Kind, Origin, Setting, WrongValue, shown};

/// By name of the setting.
pub type Stored = BTreeMap<String, String>;

/// Of the network and of who may call: whoever errs here has to be able to repair it at the box.
const ONLY_AT_THE_BOX: &[&str] = &[
    "PORT",
    "HTTPS_PORT",
    "HOST",
    "OPS_LISTEN",
    "TRUST_PROXY",
    "VOICE_AUTH",
];

impl Setting {
    /// Why this one is changed in the environment or in `.env` alone; `None`: the page may.
    pub fn only_at_the_box(&self) -> Option<&'static str> {
        if matches!(self.kind, Kind::Path) {
            return Some("it names a file of the box");
        }
        if self.name.ends_with("_COMMAND") {
            return Some("it names a program that the box runs");
        }
        ONLY_AT_THE_BOX
            .contains(&self.name)
            .then_some("a wrong value could lock everybody out")
    }
}

impl Config {
    /// These settings with what is stored under them, and what a person should be told.
    pub fn with_stored(&self, stored: &Stored) -> (Config, Vec<String>) {
        let mut warnings = Vec::new();
        let mut all = (*self.0).clone();
        for held in &mut all {
            let Some(text) = stored.get(held.setting.name) else {
                continue;
            };
            if held.origin != Origin::Default || held.setting.only_at_the_box().is_some() {
                continue;
            }
            match take(held, text) {
                Ok(()) => {}
                Err(wrong) => warnings.push(wrong.to_string()),
            }
        }
        let config = Config(Arc::new(all));
        match config.check_together() {
            Ok(()) => (config, warnings),
            Err(clash) => {
                warnings.push(format!("what was set on the page is left out: {clash}"));
                (self.clone(), warnings)
            }
        }
    }
}

fn take(held: &mut Held, text: &str) -> Result<(), WrongValue> {
    let value = held.setting.kind.parse(text);
    if value.is_none() || text.is_empty() {
        return Err(WrongValue {
            setting: held.setting,
            shown: shown(held.setting, text),
            origin: Origin::Page,
        });
    }
    held.value = value;
    held.text = text.to_owned();
    held.origin = Origin::Page;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve;

    fn stored(pairs: &[(&str, &str)]) -> Stored {
        let pairs = pairs.iter();
        pairs.map(|(a, b)| (a.to_string(), b.to_string())).collect()
    }

    #[test]
    fn the_environment_and_the_file_win_over_what_is_stored() {
        let environment = [(String::from("VOLUME"), String::from("7"))];
        let base = resolve(Some(b"RATE_LIMIT=8"), &environment).unwrap().config;
        let (config, warnings) = base.with_stored(&stored(&[
            ("VOLUME", "1"),
            ("RATE_LIMIT", "2"),
            ("END_SILENCE_MS", "900"),
        ]));
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(config.number("VOLUME"), 7);
        assert_eq!(config.number("RATE_LIMIT"), 8);
        assert_eq!(config.number("END_SILENCE_MS"), 900);
        let held = config.all().iter();
        let by_page: Vec<&str> = held
            .filter(|held| held.origin == Origin::Page)
            .map(|held| held.setting.name)
            .collect();
        assert_eq!(by_page, ["END_SILENCE_MS"]);
    }

    #[test]
    fn a_stored_value_that_is_not_allowed_any_more_is_told_and_left_out() {
        let base = resolve(None, &[]).unwrap().config;
        let (config, warnings) = base.with_stored(&stored(&[
            ("VOLUME", "loud"),
            ("PORT", "1"),
            ("TTS_COMMAND", "rm -r /"),
            ("GONE", "x"),
        ]));
        assert_eq!(config.number("VOLUME"), 80);
        assert_eq!(config.port("PORT"), Some(8080));
        assert_eq!(config.text("TTS_COMMAND"), None);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("VOLUME=loud is not allowed (set on the page)"));
    }
}
