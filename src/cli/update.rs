//! `magpie update`: what runs as root on a box of Magpie's own image.

use std::fs;
use std::io::BufRead;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::client::Client;
use super::{json_flag, print, print_json};
use crate::app::{self, Addresses, SERVER_FILE};
use crate::clock::Clock;
use crate::config::{Config, Origin};
use crate::device::keys::Keys;
use crate::device::machine::Machine;
use crate::device::slots::Running;
use crate::device::trial::{self, Ended, Keeper, Outcome, Patience, Settled};
use crate::device::update::Updater;
use crate::device::{autoboot, durable, source};
use crate::house::backup::restore;
use crate::house::health::UPDATE_FILE;
use crate::ops::Registry;
use crate::store::{self, backup, migrate};

/// The folder of the one copy of the database from before an update.
const KEPT: &str = "before-update";

pub fn definition() -> Command {
    let hidden =
        |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help).hide(true);
    let step = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("update")
        .about("Put a new version on a box that runs from Magpie's own image")
        .long_about(
            "Put a new version on a box that runs from Magpie's own image. It is checked (signature, \
             version, board), written to the slot that does not run, read back, and then tried: the \
             box restarts into it. If the box is healthy there for a minute it stays; otherwise, \
             and whenever the power goes before that, the next start is the old version again, with \
             the database that it knows. Run it as root.",
        )
        .after_help(
            "Examples:\n  magpie update /media/stick/magpie-0.2.0-rpi-arm64.update\n  \
             magpie update https://example.org/magpie-0.2.0-rpi-arm64.update\n  magpie update --status",
        )
        .arg(
            Arg::new("from")
                .value_name("FILE|URL")
                .required_unless_present_any(["status", "confirm", "settle"])
                .help("The update"),
        )
        .arg(step("check", "Read and check all of it, write nothing"))
        .arg(step("status", "Show which slot runs and how the last update ended").conflicts_with("from"))
        .arg(step("confirm", "In a new version on trial: wait for its health, then keep it or go back").conflicts_with("from"))
        .arg(step("settle", "At the start of the box: finish what an update left to do").conflicts_with("from"))
        .arg(step("allow-older", "Take a version that is not newer as well"))
        .arg(step("no-reboot", "Leave the restart to somebody else"))
        .arg(
            Arg::new("keys")
                .long("keys")
                .value_parser(value_parser!(PathBuf))
                .help("Another folder of keys to trust, to rescue a box whose keys are lost"),
        )
        .arg(hidden("root", "A folder that stands for the machine").value_parser(value_parser!(PathBuf)))
        .arg(hidden("healthy-seconds", "How long a trial must be healthy").value_parser(value_parser!(u64)))
        .arg(hidden("total-seconds", "How long a trial may take").value_parser(value_parser!(u64)))
        .arg(json_flag())
}

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let machine = match matches.get_one::<PathBuf>("root") {
        Some(root) => Machine::below(root),
        None => Machine::real(),
    };
    let config = &of_the_service(config, &machine);
    if matches.get_flag("status") {
        return status(&machine, matches);
    }
    let clock = Clock::system();
    let keeper = Copies {
        database: config.database(),
        data_dir: config.data_dir(),
        clock: clock.clone(),
    };
    if matches.get_flag("check") {
        return update(config, &machine, &keeper, matches);
    }
    // SAFETY: asks for a number and touches no memory.
    if machine.is_real() && unsafe { libc::geteuid() } != 0 {
        return Err(String::from("only root may do this: sudo magpie update …"));
    }
    if matches.get_flag("settle") {
        return say(trial::settle(&machine, &keeper, &clock)?, matches);
    }
    if matches.get_flag("confirm") {
        let mut look = || process_that_is_well(config);
        let settled = trial::confirm(&machine, &keeper, &clock, patience(matches), &mut look)?;
        return say(settled, matches);
    }
    update(config, &machine, &keeper, matches)
}

/// Root's shell does not know where the service keeps its data.
fn of_the_service(config: &Config, machine: &Machine) -> Config {
    let data_dir = config
        .all()
        .iter()
        .find(|held| held.setting.name == "DATA_DIR");
    let is_told = data_dir.is_some_and(|held| held.origin != Origin::Default);
    match machine.data_dir().to_str() {
        Some(folder) if !is_told && Path::new(folder).is_dir() => config.with("DATA_DIR", folder),
        _ => config.clone(),
    }
}

fn update(
    config: &Config,
    machine: &Machine,
    keeper: &Copies,
    matches: &ArgMatches,
) -> Result<(), String> {
    let trusted = matches.get_one::<PathBuf>("keys").cloned();
    let updater = Updater {
        machine,
        keys: &Keys::read(&trusted.unwrap_or_else(|| machine.keys()))?,
        keeper,
        clock: &keeper.clock,
        allow_older: matches.get_flag("allow-older"),
        no_restart: matches.get_flag("no-reboot"),
    };
    // The parser above wants it.
    let from = matches
        .get_one::<String>("from")
        .cloned()
        .unwrap_or_default();
    if !source::is_url(&from) {
        return take(&updater, source::file(Path::new(&from))?, matches);
    }
    let outbound =
        app::outbound(config, &Registry::default()).map_err(|error| error.to_string())?;
    take(&updater, source::url(&from, &outbound)?, matches)
}

fn take(updater: &Updater, from: impl BufRead, matches: &ArgMatches) -> Result<(), String> {
    if matches.get_flag("check") {
        let manifest = updater.check(from)?;
        print(&format!(
            "Version {} for {}: whole, and signed by a key that this box trusts.",
            manifest.version,
            manifest.boards.join(", ")
        ));
        return Ok(());
    }
    let is_json = matches.get_flag("json");
    let written = updater.run(from, &mut |line| {
        if !is_json {
            print(line);
        }
    })?;
    if is_json {
        print_json(&json!({
            "version": written.version.to_string(),
            "slot": written.slot,
        }));
    }
    Ok(())
}

fn status(machine: &Machine, matches: &ArgMatches) -> Result<(), String> {
    let running = Running::find(machine)?.slot;
    let good = autoboot::good(machine)?;
    let (trial, last) = (trial::trial(machine)?, trial::outcome(machine)?);
    if matches.get_flag("json") {
        print_json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "slot": running,
            "good_slot": good,
            "trial": trial,
            "last": last,
        }));
        return Ok(());
    }
    print(&format!(
        "Version {} runs in slot {running}; slot {good} is the good one.",
        env!("CARGO_PKG_VERSION")
    ));
    match (trial, last) {
        (Some(trial), _) if running == trial.to => {
            print(&format!("Version {} is being tried.", trial.version));
        }
        (Some(trial), _) => print(&format!("Version {} waits to be tried.", trial.version)),
        (None, Some(last)) => print(&last.told()),
        (None, None) => print("It was never updated."),
    }
    Ok(())
}

fn say(settled: Settled, matches: &ArgMatches) -> Result<(), String> {
    if matches.get_flag("json") {
        print_json(&match &settled {
            Settled::Nothing => Value::Null,
            Settled::Trying(trial) => json!({ "trial": trial }),
            Settled::Ended(outcome) => json!({ "last": outcome }),
        });
        return Ok(());
    }
    match settled {
        Settled::Nothing => print("No update is under way."),
        Settled::Trying(trial) => match &trial.why {
            Some(why) => return Err(format!("version {} goes: {why}", trial.version)),
            None => print(&format!("Version {} is being tried.", trial.version)),
        },
        Settled::Ended(outcome) => {
            log_outcome(&outcome);
            print(&outcome.told());
        }
    }
    Ok(())
}

/// For the journal, beside the sentence for people.
fn log_outcome(outcome: &Outcome) {
    if outcome.result == Ended::RolledBack {
        log::warn!(
            "event=update_rolled_back why=\"{}\"",
            outcome.why.as_deref().unwrap_or_default()
        );
    }
}

fn patience(matches: &ArgMatches) -> Patience {
    let usual = Patience::default();
    let seconds = |name: &str, usual: Duration| {
        matches
            .get_one::<u64>(name)
            .map_or(usual, |seconds| Duration::from_secs(*seconds))
    };
    Patience {
        healthy: seconds("healthy-seconds", usual.healthy),
        total: seconds("total-seconds", usual.total),
        ..usual
    }
}

/// The process of the running box, if it says that it is well and is of this version.
fn process_that_is_well(config: &Config) -> Result<u32, String> {
    let client = Client::connect_running(config).ok_or("it does not answer")?;
    let health = client.get("/health")?;
    match health["status"].as_str() {
        Some("healthy" | "degraded") => {}
        Some(other) => return Err(format!("it says that it is {other}")),
        None => return Err(String::from("it does not say how it is")),
    }
    if health["version"] != env!("CARGO_PKG_VERSION") {
        return Err(String::from("another version answers"));
    }
    let text = fs::read(config.data_dir().join(SERVER_FILE)).map_err(|error| error.to_string())?;
    let addresses: Addresses = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    Ok(addresses.pid)
}

/// Copies of the database, made and put back in the name of whoever owns the data folder: root
/// follows no link that the service could have put there, and the service can open what it finds.
struct Copies {
    database: PathBuf,
    data_dir: PathBuf,
    clock: Clock,
}

impl Copies {
    fn kept(&self) -> PathBuf {
        self.data_dir.join(KEPT).join("database.db")
    }

    /// The newer one of what the update kept and what the new version kept before it changed the
    /// form: only that one has what was said in between.
    fn best(&self) -> Option<PathBuf> {
        let newest = |folder: &Path| {
            let path = backup::newest_good(folder)?;
            let changed = fs::metadata(&path).and_then(|meta| meta.modified()).ok()?;
            Some((changed, path))
        };
        let kept = self.data_dir.join(KEPT);
        let found = [newest(&kept), newest(&backup::folder(&self.database))];
        found.into_iter().flatten().max().map(|(_, path)| path)
    }
}

impl Keeper for Copies {
    fn keep(&self) -> Result<(), String> {
        if !self.database.exists() {
            return Ok(());
        }
        as_owner_of(&self.data_dir, || {
            backup::keep(&self.database, &self.kept())
        })?
        .map_err(|error| format!("no copy of the database could be kept: {error}"))
    }

    fn put_back(&self) -> Result<bool, String> {
        if !self.database.exists() {
            return Ok(false);
        }
        let known = migrate::STEPS.len();
        as_owner_of(&self.data_dir, || {
            match store::examine(&self.database) {
                Ok(found) if found.version as usize <= known => return Ok(false),
                Ok(_) => {}
                Err(why) => log::error!("event=database_unreadable error=\"{why}\""),
            }
            let copy = self.best().ok_or(
                "the new version has changed the database, and there is no copy of before that this one can read",
            )?;
            let told =
                |error: std::io::Error| format!("{} cannot be taken: {error}", copy.display());
            let now = self.clock.wall();
            restore::stage_database(&copy, &self.database, &self.data_dir, now).map_err(told)?;
            restore::apply(&self.database, &self.data_dir).map_err(told)?;
            Ok(true)
        })?
    }

    fn forget(&self) -> Result<(), String> {
        as_owner_of(&self.data_dir, || {
            let _ = fs::remove_file(self.kept());
            let _ = fs::remove_dir(self.data_dir.join(KEPT));
        })
    }

    fn tell(&self, outcome: &Outcome) -> Result<(), String> {
        if !self.data_dir.exists() {
            return Ok(());
        }
        let path = self.data_dir.join(UPDATE_FILE);
        let text = serde_json::to_vec(outcome).map_err(|error| error.to_string())?;
        as_owner_of(&self.data_dir, || durable::write(&path, &text))?
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }
}

/// Does something as the user and group a folder belongs to, when this is root.
fn as_owner_of<T>(folder: &Path, work: impl FnOnce() -> T) -> Result<T, String> {
    // SAFETY: asks for a number and touches no memory.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(work());
    }
    let told = |error: std::io::Error| format!("{} cannot be used: {error}", folder.display());
    let owner = match fs::metadata(folder) {
        Ok(owner) => owner,
        // Nothing is there that could belong to anybody.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(work()),
        Err(error) => return Err(told(error)),
    };
    if owner.uid() == 0 {
        return Ok(work());
    }
    become_user(owner.uid(), owner.gid()).map_err(told)?;
    let done = work();
    become_user(0, 0).map_err(told)?;
    Ok(done)
}

/// The effective ones only, so that root can be root again.
fn become_user(user: u32, group: u32) -> std::io::Result<()> {
    let done = |failed: libc::c_int| match failed {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    if user == 0 {
        // SAFETY: takes a number.
        done(unsafe { libc::seteuid(0) })?;
    }
    // SAFETY: takes a number.
    done(unsafe { libc::setegid(group) })?;
    if user != 0 {
        // SAFETY: takes a number.
        done(unsafe { libc::seteuid(user) })?;
    }
    Ok(())
}
