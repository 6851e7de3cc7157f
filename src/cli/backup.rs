//! `magpie backup`, `magpie restore` and `magpie rollback`.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::archive::save;
use super::client::Client;
use super::{json_flag, print, print_json};
use crate::clock::Clock;
use crate::config::Config;
use crate::house::backup::{self, restore};
use crate::store::backup as copies;

/// From the answer of a restore until the box answers again.
const RESTART_MAX: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(200);
/// For a backup that is under way already.
const OTHERS_MAX: Duration = Duration::from_secs(3_600);
const OTHERS_LOOK: Duration = Duration::from_secs(5);
const UNDER_WAY: &str = "under way";

pub fn definitions() -> [Command; 3] {
    [
        Command::new("backup")
            .about("Copy everything the box keeps into one checked file")
            .long_about(
                "Copy the database and the recordings into one zip, while the box runs. It counts \
                 once it was read again and every hash agreed. It lies in BACKUP_DIR; with FILE a \
                 copy is put there as well. Keys are not in it: neither the certificate \
                 authority's nor the one that seals secrets.",
            )
            .after_help("Examples:\n  magpie backup\n  magpie backup /media/stick/magpie.zip")
            .arg(
                Arg::new("file")
                    .value_parser(value_parser!(PathBuf))
                    .help("Where to put a copy as well"),
            )
            .arg(
                Arg::new("due")
                    .long("due")
                    .action(ArgAction::SetTrue)
                    .conflicts_with("file")
                    .help("Only when the last one is over an hour old and something changed (for timers)"),
            )
            .arg(json_flag()),
        Command::new("restore")
            .about("Go back to a backup")
            .long_about(
                "Go back to a backup. The file is verified before anything is replaced; then the \
                 box restarts by itself with it. What was there is kept in a folder \
                 before-restore-TIME of the data folder. A power cut at any moment leaves the old \
                 state or the new one.",
            )
            .after_help("Examples:\n  magpie restore data/backups/magpie-20261125T020000Z.zip")
            .arg(
                Arg::new("file")
                    .required(true)
                    .value_parser(value_parser!(PathBuf))
                    .help("A file of `magpie backup`"),
            )
            .arg(json_flag()),
        Command::new("rollback")
            .about("Go back to the database of before the last update")
            .long_about(
                "Before an update brings the database up to date, a copy of it is kept. This goes \
                 back to the newest copy that this release can read. Stop the box first. What was \
                 there is kept in a folder before-restore-TIME of the data folder.",
            )
            .after_help("Examples:\n  magpie rollback"),
    ]
}

pub fn make(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    if matches.get_flag("due") {
        return make_if_due(config);
    }
    let client = Client::connect(config)?;
    let made = client.post("/api/v1/backup", &json!({}))?;
    let name = made["name"].as_str().unwrap_or_default().to_owned();
    if let Some(target) = matches.get_one::<PathBuf>("file") {
        save(target, |file| {
            client.download(&format!("/api/v1/backup/{name}"), file)
        })?;
    }
    if matches.get_flag("json") {
        print_json(&made);
    } else {
        print(&format!(
            "{name}: {} files, {} bytes, checked.",
            made["files"], made["bytes"]
        ));
    }
    copied_elsewhere(&made)
}

/// For a timer: the box makes one each night itself, so this looks whether there is one.
fn make_if_due(config: &Config) -> Result<(), String> {
    if config.number("BACKUP_KEEP_DAYS") == 0 {
        print("BACKUP_KEEP_DAYS is 0: none are made by themselves.");
        return Ok(());
    }
    let is_wanted = || {
        let (folder, now) = (backup::folder(config), Clock::system().wall());
        backup::is_wanted(&folder, &config.database(), now)
    };
    let deadline = Instant::now() + OTHERS_MAX;
    while is_wanted() {
        let client = Client::connect(config)?;
        match client.post("/api/v1/backup", &json!({})) {
            Ok(made) => {
                print(&format!(
                    "{} made.",
                    made["name"].as_str().unwrap_or("A backup")
                ));
                return copied_elsewhere(&made);
            }
            // The box may be making its own; then that one will do.
            Err(why) if Instant::now() > deadline || !why.contains(UNDER_WAY) => return Err(why),
            Err(_) => std::thread::sleep(OTHERS_LOOK),
        }
    }
    print("The newest backup will do.");
    Ok(())
}

/// A backup that did not reach BACKUP_COPY_DIR counts, and is not all that was asked for.
fn copied_elsewhere(made: &Value) -> Result<(), String> {
    match made["elsewhere"]["state"].as_str() {
        Some("failed") => Err(format!(
            "the backup was made, and not copied to BACKUP_COPY_DIR: {}",
            made["elsewhere"]["why"].as_str().unwrap_or_default()
        )),
        _ => Ok(()),
    }
}

pub fn take_back(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    // The parser above wants it.
    let path = matches
        .get_one::<PathBuf>("file")
        .cloned()
        .unwrap_or_default();
    let mut file =
        File::open(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let runs = Client::connect_running(config).is_some();
    let client = Client::connect(config)?;
    let told = client.upload("/api/v1/restore", &mut file)?;
    drop(client);
    if runs {
        wait_for(config, &told["restore"])?;
    } else {
        // The box of this command has ended; the next start finishes the restore, which is now.
        drop(Client::connect(config)?);
    }
    if matches.get_flag("json") {
        print_json(&told);
    } else {
        print(&format!(
            "Restored to {}. What was there is in {}.",
            told["made_at"].as_str().unwrap_or("?"),
            config
                .data_dir()
                .join(format!(
                    "before-restore-{}",
                    told["restore"].as_str().unwrap_or("")
                ))
                .display()
        ));
    }
    Ok(())
}

fn wait_for(config: &Config, stamp: &Value) -> Result<(), String> {
    let deadline = Instant::now() + RESTART_MAX;
    while Instant::now() < deadline {
        std::thread::sleep(LOOK);
        let Some(client) = Client::connect_running(config) else {
            continue;
        };
        if let Ok(told) = client.get("/api/v1/backup")
            && told["restored"] == *stamp
        {
            return Ok(());
        }
    }
    Err(String::from(
        "the backup is laid ready, and the box did not come back in time; look at its log",
    ))
}

pub fn roll_back(config: &Config) -> Result<(), String> {
    if Client::connect_running(config).is_some() {
        return Err(String::from("the box runs; stop it first"));
    }
    let database = config.database();
    let copy = copies::newest_good(&copies::folder(&database))
        .ok_or("there is no copy of before an update that this release can read")?;
    let (data_dir, now) = (config.data_dir(), Clock::system().wall());
    let told = |error: std::io::Error| format!("{} cannot be taken: {error}", copy.display());
    restore::stage_database(&copy, &database, &data_dir, now).map_err(told)?;
    restore::apply(&database, &data_dir).map_err(told)?;
    print(&format!("The database is that of {}.", copy.display()));
    Ok(())
}
