//! What `magpie.txt` asks for, checked and laid over what the box keeps.
//!
//! An empty line leaves a thing as it is and `default` takes it back, so that a file that was
//! damaged or written anew never makes the box forget its network. A line with a mistake changes
//! nothing. Pure: the caller stores what comes out, and only then wipes the secrets.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::kept::{Kept, Wifi};
use super::lines::{Entry, Lines};
use super::mistake::{Complaint, Mistake};
use super::wipe;
use super::words::Language;
use crate::config::{self, Kind, Setting};

const WIFI_SSID: &str = "WIFI_SSID";
const WIFI_PASSWORD: &str = "WIFI_PASSWORD";
const WIFI_COUNTRY: &str = "WIFI_COUNTRY";
const HOSTNAME: &str = "HOSTNAME";
const TIMEZONE: &str = "TIMEZONE";
const LANGUAGE: &str = "LANGUAGE";
const SSH_KEY: &str = "SSH_KEY";
const SOUND_HAT: &str = "SOUND_HAT";

/// Beside the table of settings.
pub const OWN_NAMES: &[&str] = &[
    WIFI_SSID,
    WIFI_PASSWORD,
    WIFI_COUNTRY,
    HOSTNAME,
    TIMEZONE,
    LANGUAGE,
    SSH_KEY,
    SOUND_HAT,
];

/// Settings that the appliance decides, and what to write in their place.
const FIXED: &[(&str, Option<&str>)] = &[
    ("DATA_DIR", None),
    ("DATABASE_PATH", None),
    // systemd holds them open, and the firewall leads 80 and 443 to them.
    ("PORT", None),
    ("HTTPS_PORT", None),
    ("TZ", Some(TIMEZONE)),
    ("HOSTNAME_LABEL", Some(HOSTNAME)),
];

pub struct Taken {
    pub kept: Kept,
    pub complaints: Vec<Complaint>,
    /// Where secrets stand in the file that `kept` now holds.
    pub secrets: Vec<Range<usize>>,
}

impl Taken {
    pub fn nothing(kept: &Kept) -> Taken {
        Taken {
            kept: kept.clone(),
            complaints: Vec::new(),
            secrets: Vec::new(),
        }
    }
}

pub fn take(before: &Kept, lines: Lines) -> Taken {
    let mut taking = Taking {
        taken: Taken {
            complaints: lines.complaints,
            ..Taken::nothing(before)
        },
        ssid: None,
        password: None,
    };
    let mut ssh_keys = Vec::new();
    let mut settings = Vec::new();
    for (index, entry) in lines.entries.iter().enumerate() {
        let earlier = lines.entries[..index]
            .iter()
            .rfind(|other| other.name == entry.name && !is_empty(other));
        if let Some(earlier) = earlier.filter(|_| entry.name != SSH_KEY && !is_empty(entry)) {
            let (name, earlier) = (entry.name.clone(), earlier.line);
            taking.complain(entry, Mistake::Twice { name, earlier });
        }
        match entry.name.as_str() {
            WIFI_SSID => taking.ssid = told(entry),
            WIFI_PASSWORD => taking.password = told(entry),
            SSH_KEY => ssh_keys.extend(told(entry)),
            _ if OWN_NAMES.contains(&entry.name.as_str()) => {
                if let Some(told) = told(entry) {
                    taking.plain(told);
                }
            }
            _ => settings.push(entry),
        }
    }
    taking.wifi(&lines.entries);
    taking.ssh(&ssh_keys);
    taking.settings(before, &settings);
    taking
        .taken
        .complaints
        .sort_by_key(|complaint| complaint.line);
    taking.taken
}

/// An entry that says something.
#[derive(Clone, Copy)]
enum Told<'a> {
    /// `default`, or one of the words that mean nothing of it.
    Default(&'a Entry),
    Value(&'a Entry),
}

fn is_empty(entry: &Entry) -> bool {
    entry.value.is_empty() && !entry.is_quoted
}

fn told(entry: &Entry) -> Option<Told<'_>> {
    if is_empty(entry) {
        return None;
    }
    let is_default = !entry.is_quoted && entry.value.eq_ignore_ascii_case("default");
    Some(if is_default {
        Told::Default(entry)
    } else {
        Told::Value(entry)
    })
}

struct Taking<'a> {
    taken: Taken,
    ssid: Option<Told<'a>>,
    password: Option<Told<'a>>,
}

impl Taking<'_> {
    fn complain(&mut self, entry: &Entry, mistake: Mistake) {
        let line = entry.line;
        self.taken.complaints.push(Complaint { line, mistake });
    }

    /// Host name, zone, language, country, sound board.
    fn plain(&mut self, told: Told) {
        let (entry, value) = match told {
            Told::Default(entry) => (entry, None),
            Told::Value(entry) => (entry, Some(entry.value.as_str())),
        };
        let name = entry.name.clone();
        let not_allowed = |kind: Kind| Mistake::NotAllowed {
            name: name.clone(),
            allowed: kind.allowed(),
        };
        let kept = &mut self.taken.kept;
        let wrong = match (entry.name.as_str(), value) {
            (HOSTNAME, None) => set(&mut kept.host_name, None),
            (HOSTNAME, Some(text)) => {
                let text = text.to_ascii_lowercase();
                let label = text.strip_suffix(".local").unwrap_or(&text);
                match Kind::HostLabel.parse(label) {
                    Some(_) => set(&mut kept.host_name, Some(label.to_owned())),
                    None => Some(not_allowed(Kind::HostLabel)),
                }
            }
            (TIMEZONE, None) => set(&mut kept.time_zone, None),
            (TIMEZONE, Some(text)) => match zone(text) {
                Some(zone) => set(&mut kept.time_zone, Some(zone)),
                None => Some(not_allowed(Kind::TimeZone)),
            },
            (LANGUAGE, None) => set(&mut kept.language, None),
            (LANGUAGE, Some(text)) => match Language::parse(text) {
                Some(language) => set(&mut kept.language, Some(language)),
                None => Some(not_allowed(Kind::OneOf(&["en", "zh"]))),
            },
            (WIFI_COUNTRY, None) => set(&mut kept.country, None),
            (WIFI_COUNTRY, Some(text)) => {
                let is_code = text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic());
                match is_code {
                    true => set(&mut kept.country, Some(text.to_ascii_uppercase())),
                    false => Some(Mistake::Country),
                }
            }
            (_, None) => set(&mut kept.sound_hat, None),
            (_, Some(_)) if is_off(entry) => set(&mut kept.sound_hat, None),
            (_, Some(text)) => match is_overlay(text) {
                true => set(&mut kept.sound_hat, Some(text.to_owned())),
                false => Some(Mistake::SoundHat),
            },
        };
        if let Some(mistake) = wrong {
            self.complain(entry, mistake);
        }
    }

    fn wifi(&mut self, entries: &[Entry]) {
        let stored = self.taken.kept.wifi.clone();
        let ssid = match self.ssid {
            Some(Told::Default(_)) => return self.taken.kept.wifi = None,
            Some(Told::Value(entry)) if is_off(entry) => return self.taken.kept.wifi = None,
            Some(Told::Value(entry)) => Some(entry),
            None => None,
        };
        if let Some(entry) = ssid.filter(|entry| entry.value.len() > 32 || entry.value.is_empty()) {
            return self.complain(entry, Mistake::WifiName);
        }
        let is_stored = |name: &str| stored.as_ref().is_some_and(|wifi| wifi.ssid == name);
        let is_torn = |entry: &Entry| {
            let password = stored.as_ref().and_then(|wifi| wifi.password.as_deref());
            password.is_some_and(|password| wipe::is_torn(entry, password))
        };
        let name = ssid
            .map(|entry| entry.value.clone())
            .or_else(|| stored.as_ref().map(|wifi| wifi.ssid.clone()));
        match (self.password, name) {
            (Some(Told::Value(entry)), _) if wipe::is_mark(entry) => {
                if let Some(ssid) = ssid.filter(|ssid| !is_stored(&ssid.value)) {
                    self.complain(ssid, Mistake::WifiPasswordMissing);
                }
            }
            (Some(Told::Value(entry)), _) if is_torn(entry) => {
                self.secret(entries, WIFI_PASSWORD);
            }
            (Some(Told::Value(entry)), _) if !is_wifi_password(&entry.value) => {
                self.complain(entry, Mistake::WifiPassword);
            }
            (Some(Told::Value(entry)), None) => self.complain(entry, Mistake::WifiNameMissing),
            (Some(Told::Value(entry)), Some(ssid)) => {
                let password = Some(entry.value.clone());
                self.taken.kept.wifi = Some(Wifi { ssid, password });
                self.secret(entries, WIFI_PASSWORD);
            }
            (Some(Told::Default(_)), Some(ssid)) => {
                let password = None;
                self.taken.kept.wifi = Some(Wifi { ssid, password });
            }
            (None, Some(ssid)) if !is_stored(&ssid) => {
                let password = None;
                self.taken.kept.wifi = Some(Wifi { ssid, password });
            }
            (None, _) | (Some(Told::Default(_)), None) => {}
        }
    }

    /// Several lines are several keys; all of them together replace the present ones.
    fn ssh(&mut self, lines: &[Told]) {
        let mut keys = Vec::new();
        for told in lines {
            match told {
                Told::Default(_) => {}
                Told::Value(entry) if is_off(entry) => {}
                Told::Value(entry) if entry.value.starts_with("-----BEGIN") => {
                    self.complain(entry, Mistake::PrivateSshKey);
                }
                Told::Value(entry) if !is_ssh_key(&entry.value) => {
                    self.complain(entry, Mistake::SshKey);
                }
                Told::Value(entry) => keys.push(entry.value.clone()),
            }
        }
        let all_wrong = keys.is_empty()
            && lines
                .iter()
                .any(|told| matches!(told, Told::Value(entry) if !is_off(entry)));
        if !lines.is_empty() && !all_wrong {
            self.taken.kept.ssh_keys = keys;
        }
    }

    fn settings(&mut self, before: &Kept, entries: &[&Entry]) {
        let mut secrets = Vec::new();
        for entry in entries {
            match self.setting(entry) {
                Ok(Some(setting)) if setting.secret => secrets.push(*entry),
                Ok(_) => {}
                Err(mistake) => self.complain(entry, mistake),
            }
        }
        let together = config::resolve(None, &self.taken.kept.environment());
        if let (Err(error), Some(last)) = (together, entries.last()) {
            self.taken.kept.settings = before.settings.clone();
            let why = error.to_string();
            return self.complain(last, Mistake::Clash { why });
        }
        // A name that stands twice is a secret twice.
        let places = entries
            .iter()
            .filter(|entry| !wipe::is_mark(entry) && !is_empty(entry))
            .filter(|entry| secrets.iter().any(|secret| secret.name == entry.name))
            .map(|entry| entry.place.clone());
        self.taken.secrets.extend(places);
    }

    /// The setting when it holds a new value now.
    fn setting(&mut self, entry: &Entry) -> Result<Option<&'static Setting>, Mistake> {
        let name = entry.name.clone();
        let Some(setting) = config::table::find(&name) else {
            let meant = meant(&name);
            return Err(Mistake::Unknown { name, meant });
        };
        if let Some((_, instead)) = FIXED.iter().find(|(fixed, _)| *fixed == setting.name) {
            let instead = *instead;
            return Err(Mistake::NotHere { name, instead });
        }
        let settings = &mut self.taken.kept.settings;
        match told(entry) {
            None => Ok(None),
            Some(Told::Default(_)) => {
                settings.remove(setting.name);
                Ok(None)
            }
            Some(Told::Value(entry)) if setting.secret && wipe::is_mark(entry) => Ok(None),
            Some(Told::Value(entry))
                if setting.secret
                    && settings
                        .get(setting.name)
                        .is_some_and(|kept| wipe::is_torn(entry, kept)) =>
            {
                Ok(Some(setting))
            }
            Some(Told::Value(entry)) if setting.kind.parse(&entry.value).is_none() => {
                let allowed = setting.kind.allowed();
                Err(Mistake::NotAllowed { name, allowed })
            }
            Some(Told::Value(entry)) => {
                settings.insert(setting.name.to_owned(), entry.value.clone());
                Ok(Some(setting))
            }
        }
    }

    fn secret(&mut self, entries: &[Entry], name: &str) {
        let places = entries
            .iter()
            .filter(|entry| entry.name == name && !is_empty(entry) && !wipe::is_mark(entry))
            .map(|entry| entry.place.clone());
        self.taken.secrets.extend(places);
    }
}

/// No mistake.
fn set<T>(place: &mut T, value: T) -> Option<Mistake> {
    *place = value;
    None
}

fn is_off(entry: &Entry) -> bool {
    let is_word = |word: &&str| entry.value.eq_ignore_ascii_case(word);
    !entry.is_quoted && ["off", "none"].iter().any(is_word)
}

/// As the zone's file is called: people write `asia/shanghai`, and that is no file.
fn zone(text: &str) -> Option<String> {
    let zone = jiff::tz::TimeZone::get(text).ok()?;
    let name = zone.iana_name()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
    name.bytes().all(is_plain).then(|| name.to_owned())
}

pub fn is_wifi_password(text: &str) -> bool {
    let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_phrase = (8..=63).contains(&text.len()) && text.bytes().all(|b| (32..127).contains(&b));
    is_hash || is_phrase
}

/// `NAME` or `NAME,parameter=value`, as after `dtoverlay=`.
fn is_overlay(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_,=.".contains(&byte);
    text.len() <= 100
        && text.bytes().all(is_letter)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Type, base64 that names the same type, and perhaps a comment.
fn is_ssh_key(line: &str) -> bool {
    const KINDS: &[&str] = &[
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    ];
    let mut words = line.split_ascii_whitespace();
    let (Some(kind), Some(body)) = (words.next(), words.next()) else {
        return false;
    };
    let Ok(body) = STANDARD.decode(body) else {
        return false;
    };
    let Some((length, rest)) = body.split_first_chunk::<4>() else {
        return false;
    };
    let length = u32::from_be_bytes(*length) as usize;
    KINDS.contains(&kind)
        && rest.len() > length
        && rest.starts_with(kind.as_bytes())
        && length == kind.len()
}

fn meant(name: &str) -> Option<&'static str> {
    let own = OWN_NAMES
        .iter()
        .copied()
        .find(|own| config::distance(name, own) <= 2);
    own.or_else(|| config::suggestion(name, 3))
}
