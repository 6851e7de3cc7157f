//! The settings: each declared once in [`table`], from which validation, `.env.example`, help
//! and the README's table come.
//!
//! A value is taken from the environment, else from a credential of systemd ([`credentials`]),
//! else from `.env` in the working directory, else from what was set on the page ([`stored`]), else from the table. All are checked before anything starts; a wrong one is told with its name, its
//! value, what is allowed and where it came from. Secrets are never shown.

use std::fmt;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::limits::ENV_FILE_BYTES_MAX;

mod credentials;
pub mod document;
pub mod dotenv;
pub mod kind;
mod nearest;
mod stored;
pub mod table;

pub use dotenv::EnvFileError;
pub use kind::{Kind, Value};
pub use nearest::distance;
pub use stored::Stored;
pub use table::{SETTINGS, Setting};

/// Validated settings; cheap to clone, may go to another thread.
#[derive(Clone, Debug)]
pub struct Config(Arc<Vec<Held>>);

/// One setting as it is in force; in the order of the table.
#[derive(Clone, Debug)]
pub struct Held {
    pub setting: &'static Setting,
    /// As written; empty when not set.
    text: String,
    value: Option<Value>,
    pub origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// Chosen on the page or over the API.
    Page,
    /// A line of `.env`, from 1.
    File {
        line: usize,
    },
    /// A file that systemd handed over.
    Credential,
    /// The variable, which may be an alias.
    Environment {
        name: String,
    },
}

/// A value that is not allowed.
#[derive(Clone, Debug)]
pub struct WrongValue {
    pub setting: &'static Setting,
    /// Already masked when secret.
    pub shown: String,
    pub origin: Origin,
}

/// Why there are no settings. Each line of the text is one mistake.
#[derive(Clone, Debug)]
pub enum ConfigError {
    File(EnvFileError),
    /// `.env` is there and cannot be read.
    Unreadable(String),
    /// A credential is there and is no value.
    Credential {
        name: &'static str,
        why: String,
    },
    Wrong(Vec<WrongValue>),
    /// Two settings that do not fit each other.
    Clash(&'static str),
}

/// Settings, and what a person should be told about them.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
}

/// What is written outside of the box's own database.
#[derive(Default)]
pub struct Sources<'a> {
    pub environment: &'a [(String, String)],
    pub credentials: &'a [(String, String)],
    /// The content of `.env`.
    pub file: Option<&'a [u8]>,
}

/// Reads `.env` of `folder`, the credentials and this process's environment.
pub fn load(folder: &Path) -> Result<Loaded, ConfigError> {
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            Some((name, value.to_string_lossy().into_owned()))
        })
        .collect();
    let path = folder.join(".env");
    let unreadable = |error: io::Error| ConfigError::Unreadable(error.to_string());
    let file = read_bounded(&path).map_err(unreadable)?;
    let credentials = match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(folder) => credentials::read(Path::new(&folder))?,
        None => Vec::new(),
    };
    let mut loaded = resolve_all(&Sources {
        environment: &environment,
        credentials: &credentials,
        file: file.as_deref(),
    })?;
    if file.is_some() && others_can_read(&path) {
        loaded.warnings.push(String::from(
            ".env can be read by other users of this machine; run: chmod 600 .env",
        ));
    }
    Ok(loaded)
}

/// Pure: what a file and an environment give.
pub fn resolve(
    file: Option<&[u8]>,
    environment: &[(String, String)],
) -> Result<Loaded, ConfigError> {
    resolve_all(&Sources {
        environment,
        file,
        ..Sources::default()
    })
}

/// Pure: what all sources give.
pub fn resolve_all(sources: &Sources) -> Result<Loaded, ConfigError> {
    let entries = sources.file.map_or(Ok(Vec::new()), dotenv::parse);
    let entries = entries.map_err(ConfigError::File)?;
    let warnings = doubts(&entries, sources.environment);
    let mut held = Vec::new();
    let mut wrong = Vec::new();
    for setting in SETTINGS {
        let (text, origin) = written(setting, &entries, sources);
        let value = setting.kind.parse(&text);
        if value.is_none() && !text.is_empty() {
            wrong.push(WrongValue {
                setting,
                shown: shown(setting, &text),
                origin: origin.clone(),
            });
        }
        held.push(Held {
            setting,
            value: value.filter(|_| !text.is_empty()),
            text,
            origin,
        });
    }
    if !wrong.is_empty() {
        return Err(ConfigError::Wrong(wrong));
    }
    let config = Config(Arc::new(held));
    config.check_together()?;
    Ok(Loaded { config, warnings })
}

impl Config {
    /// All settings in the order of the table.
    pub fn all(&self) -> &[Held] {
        &self.0
    }

    /// Settings that differ in `newer`.
    pub fn changed<'a>(&'a self, newer: &'a Config) -> impl Iterator<Item = &'static Setting> {
        let pairs = self.0.iter().zip(newer.0.iter());
        pairs
            .filter(|(old, new)| old.value != new.value)
            .map(|(old, _)| old.setting)
    }

    /// The same settings with one of them at another value, which the program chose itself.
    /// Panics when `text` is not allowed there, which is a mistake of the program.
    pub fn with(&self, name: &str, text: &str) -> Config {
        let mut all = (*self.0).clone();
        for held in all.iter_mut().filter(|held| held.setting.name == name) {
            held.value = held.setting.kind.parse(text);
            assert!(held.value.is_some(), "{name} cannot be {text}");
            held.text = text.to_owned();
        }
        Config(Arc::new(all))
    }

    // What follows panics when the table has no such name or another kind under it: a mistake
    // of the program that every start would show, since all of them are read at the start.

    /// `None` when not set.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            other => unreachable!("{name} is {other:?}"),
        }
    }

    /// Of a setting that has a default.
    pub fn word(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    pub fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            None => Vec::new(),
            Some(Value::List(parts)) => parts.clone(),
            Some(other) => unreachable!("{name} is {other:?}"),
        }
    }

    /// Sizes in bytes, whole numbers.
    pub fn number(&self, name: &str) -> u64 {
        match self.value(name) {
            Some(Value::Number(number)) => *number,
            other => unreachable!("{name} is {other:?}"),
        }
    }

    pub fn duration(&self, name: &str) -> Duration {
        match self.value(name) {
            Some(Value::Duration(time)) => *time,
            other => unreachable!("{name} is {other:?}"),
        }
    }

    /// `None`: off.
    pub fn port(&self, name: &str) -> Option<u16> {
        match self.value(name) {
            Some(Value::Port(port)) => *port,
            other => unreachable!("{name} is {other:?}"),
        }
    }

    pub fn address(&self, name: &str) -> IpAddr {
        match self.value(name) {
            Some(Value::Address(address)) => *address,
            other => unreachable!("{name} is {other:?}"),
        }
    }

    /// `None`: off.
    pub fn listen(&self, name: &str) -> Option<SocketAddr> {
        match self.value(name) {
            Some(Value::Listen(address)) => *address,
            other => unreachable!("{name} is {other:?}"),
        }
    }

    pub fn data_dir(&self) -> PathBuf {
        PathBuf::from(self.word("DATA_DIR"))
    }

    /// `DATABASE_PATH`, by default in the data folder.
    pub fn database(&self) -> PathBuf {
        self.path("DATABASE_PATH")
            .unwrap_or_else(|| self.data_dir().join("voice-memory.db"))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let held = self.0.iter().find(|held| held.setting.name == name);
        let Some(held) = held else {
            unreachable!("no setting is called {name}");
        };
        held.value.as_ref()
    }

    fn check_together(&self) -> Result<(), ConfigError> {
        if self.text("TLS_CERT_FILE").is_some() != self.text("TLS_KEY_FILE").is_some() {
            return Err(ConfigError::Clash(
                "TLS_CERT_FILE and TLS_KEY_FILE belong together: set both or none",
            ));
        }
        if self.port("PORT").is_none() && self.port("HTTPS_PORT").is_none() {
            return Err(ConfigError::Clash(
                "PORT and HTTPS_PORT are both off: nobody could reach the box; open one of them",
            ));
        }
        let same = self
            .port("PORT")
            .filter(|port| *port != 0)
            .is_some_and(|port| self.port("HTTPS_PORT") == Some(port));
        if same {
            return Err(ConfigError::Clash(
                "PORT and HTTPS_PORT are the same: give HTTPS_PORT another one",
            ));
        }
        Ok(())
    }
}

impl Held {
    /// Whether there is a value at all.
    pub fn is_set(&self) -> bool {
        self.value.is_some()
    }

    /// As written; of a secret nothing.
    pub fn written(&self) -> Option<&str> {
        (self.is_set() && !self.setting.secret).then_some(self.text.as_str())
    }

    /// For people: the value, masked when secret, empty when not set.
    pub fn shown(&self) -> String {
        shown(self.setting, &self.text)
    }
}

/// The text of a setting and where it stands; the first of [`Sources`] that has it, then the table.
fn written(
    setting: &'static Setting,
    entries: &[dotenv::Entry],
    sources: &Sources,
) -> (String, Origin) {
    let named = |among: &[(String, String)], name: &str| {
        let found = among.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    };
    for name in setting.names() {
        if let Some(value) = named(sources.environment, name) {
            let name = name.to_owned();
            return (value, Origin::Environment { name });
        }
    }
    for name in setting.names() {
        if let Some(value) = named(sources.credentials, name) {
            return (value, Origin::Credential);
        }
    }
    for name in setting.names() {
        let found = entries.iter().rfind(|entry| entry.name == name);
        if let Some(entry) = found.filter(|entry| !entry.value.is_empty()) {
            return (entry.value.clone(), Origin::File { line: entry.line });
        }
    }
    (setting.default.to_owned(), Origin::Default)
}

/// Names that look like a slip, names written twice, and settings of a later release.
fn doubts(entries: &[dotenv::Entry], environment: &[(String, String)]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let (name, line) = (&entry.name, entry.line);
        if table::find(name).is_none() {
            warnings.push(match suggestion(name, 3) {
                Some(meant) => {
                    format!(".env line {line}: {name} is no setting; did you mean {meant}?")
                }
                None => format!(".env line {line}: {name} is no setting of Magpie; it is ignored"),
            });
        }
        if entries[..index].iter().any(|earlier| earlier.name == *name) {
            warnings.push(format!(
                ".env line {line}: {name} was set before; this line wins"
            ));
        }
    }
    for (name, _) in environment {
        // The environment is full of other programs' names: only a single slip counts.
        if table::find(name).is_none()
            && name.len() >= 6
            && let Some(meant) = suggestion(name, 1)
        {
            warnings.push(format!(
                "environment: {name} is no setting; did you mean {meant}?"
            ));
        }
    }
    warnings
}

/// The setting that somebody probably meant.
pub fn suggestion(name: &str, changes_max: usize) -> Option<&'static str> {
    let names = SETTINGS.iter().flat_map(Setting::names);
    nearest::nearest(&name.to_ascii_uppercase(), names)
        .filter(|known| distance(&name.to_ascii_uppercase(), known) <= changes_max)
}

fn shown(setting: &Setting, text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    if setting.secret {
        return String::from("(hidden)");
    }
    let mut shown: String = text
        .chars()
        .take(100)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().count() > 100 {
        shown.push('…');
    }
    shown
}

fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(ENV_FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// A file of another user that this process may read by its group was meant for it alone, as
/// the Debian package lays its own.
fn others_can_read(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    // SAFETY: both only ask for a number.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    std::fs::metadata(path).is_ok_and(|facts| {
        let is_handed_over = facts.uid() != user && facts.gid() == group;
        let others = if is_handed_over { 0o004 } else { 0o044 };
        facts.mode() & others != 0
    })
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Page => f.write_str("set on the page"),
            Origin::File { line } => write!(f, ".env line {line}"),
            Origin::Credential => f.write_str("credential of systemd"),
            Origin::Environment { name } => write!(f, "environment variable {name}"),
        }
    }
}

impl fmt::Display for WrongValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}={} is not allowed ({}); allowed: {}",
            self.setting.name,
            self.shown,
            self.origin,
            self.setting.kind.allowed()
        )
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::File(error) => error.fmt(f),
            ConfigError::Unreadable(error) => write!(
                f,
                ".env cannot be read: {error}; make it a readable file, or remove it"
            ),
            ConfigError::Credential { name, why } => {
                write!(f, "the credential {name} cannot be taken: {why}")
            }
            ConfigError::Wrong(all) => {
                let lines: Vec<String> = all.iter().map(WrongValue::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            ConfigError::Clash(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
