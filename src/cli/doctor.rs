//! `magpie doctor`: what is there, what is missing, and what to do about it.
//!
//! Every check is one line with a verdict. It looks, and changes nothing; while the box runs its
//! database is asked through the box.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::client::Client;
use super::{json_flag, print, print_json};
use crate::audio::{Audio, AudioOptions};
use crate::clock::{Clock, UnixMillis};
use crate::config::Config;
use crate::house::backup;
use crate::ops::Registry;
use crate::store::{self, migrate};
use crate::voice::providers::EngineReport;
use crate::voice::providers::Engines;
use crate::voice::providers::chains::World;

/// A clock before this was never set: the program itself is younger.
const CLOCK_MIN: UnixMillis = UnixMillis(1_767_225_600_000);
const DISK_FREE_MIN_BYTES: u64 = 200 * 1024 * 1024;

pub fn definition() -> Command {
    Command::new("doctor")
        .about("Check everything the box needs and say what to do")
        .after_help("Examples:\n  magpie doctor\n  magpie doctor --json\n\nExit code 1 when a check failed; warnings alone give 0.")
        .arg(json_flag())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

struct Check {
    name: &'static str,
    verdict: Verdict,
    /// What was seen and, unless it is good, what to do.
    text: String,
}

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let running = Client::connect_running(config);
    let mut checks = vec![
        check("settings", Verdict::Ok, "all values are allowed".into()),
        data_folder(config),
        disk(config),
        database(config, running.is_some()),
        clock(),
        log_file(config),
        backups(config),
    ];
    match &running {
        Some(client) => checks.push(box_health(client)),
        None => checks.extend(ports(config)),
    }
    checks.extend(sound_and_engines(config));
    let failed = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fail)
        .count();
    if matches.get_flag("json") {
        let list = checks.iter().map(|check| {
            json!({"check": check.name, "verdict": word(check.verdict), "text": check.text})
        });
        print_json(&Value::Array(list.collect()));
    } else {
        for check in &checks {
            print(&format!(
                "{:5} {:10} {}",
                word(check.verdict),
                check.name,
                check.text
            ));
        }
    }
    match failed {
        0 => Ok(()),
        1 => Err(String::from("one check failed")),
        many => Err(format!("{many} checks failed")),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    }
}

fn check(name: &'static str, verdict: Verdict, text: String) -> Check {
    Check {
        name,
        verdict,
        text,
    }
}

fn data_folder(config: &Config) -> Check {
    let path = config.data_dir();
    let shown = path.display();
    if !path.exists() {
        let text = format!("{shown} does not exist yet; the first start makes it");
        return check("data", Verdict::Ok, text);
    }
    let probe = path.join(".doctor");
    if let Err(error) = fs::write(&probe, b"") {
        let text = format!("{shown} cannot be written: {error}; make it writable or set DATA_DIR");
        return check("data", Verdict::Fail, text);
    }
    let _ = fs::remove_file(&probe);
    if is_volatile(&path) {
        let text = format!(
            "{shown} is in memory and gone after a restart; set DATA_DIR to a card or disk"
        );
        return check("data", Verdict::Fail, text);
    }
    check("data", Verdict::Ok, format!("{shown} is writable"))
}

/// Whether a folder lies on a file system that only lives in memory.
fn is_volatile(path: &Path) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    matches!(statfs(path), Some(found) if [TMPFS, RAMFS].contains(&found.f_type))
}

fn disk(config: &Config) -> Check {
    let Some(found) = statfs(&config.data_dir()).or_else(|| statfs(Path::new("."))) else {
        return check(
            "disk",
            Verdict::Warn,
            "the system does not say how much is free".into(),
        );
    };
    let free = found.f_bavail.saturating_mul(found.f_bsize as u64);
    let text = format!("{} MB are free", free / 1_000_000);
    if free < DISK_FREE_MIN_BYTES {
        return check(
            "disk",
            Verdict::Fail,
            format!("{text}; free some, recordings need 200 MB"),
        );
    }
    check("disk", Verdict::Ok, text)
}

fn statfs(path: &Path) -> Option<libc::statfs> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut found = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: a terminated string, and a place that the call fills when it answers 0.
    unsafe { (libc::statfs(path.as_ptr(), found.as_mut_ptr()) == 0).then(|| found.assume_init()) }
}

fn database(config: &Config, in_use: bool) -> Check {
    let path = config.database();
    if !path.exists() {
        let text = format!(
            "{} does not exist yet; the first start makes it",
            path.display()
        );
        return check("database", Verdict::Ok, text);
    }
    if in_use {
        return check(
            "database",
            Verdict::Ok,
            "in use by the running box, which tells below".into(),
        );
    }
    match store::examine(&path) {
        Ok(found) if found.version as usize > migrate::STEPS.len() => check(
            "database",
            Verdict::Fail,
            "written by a newer release; start that one, or set DATABASE_PATH to another file"
                .into(),
        ),
        Ok(found) => check(
            "database",
            Verdict::Ok,
            format!(
                "sound, schema {} of {}",
                found.version,
                migrate::STEPS.len()
            ),
        ),
        Err(error) => check(
            "database",
            Verdict::Fail,
            format!("{error}; the next start keeps it aside and names the newest good backup"),
        ),
    }
}

fn clock() -> Check {
    let now = Clock::system().wall();
    if now < CLOCK_MIN {
        let text = format!(
            "says {}, which is long past; connect the network so that it is set",
            now.rfc3339()
        );
        return check("clock", Verdict::Warn, text);
    }
    check("clock", Verdict::Ok, now.rfc3339())
}

fn log_file(config: &Config) -> Check {
    let Some(path) = config.path("LOG_FILE") else {
        return check("log", Verdict::Ok, "goes to standard error".into());
    };
    let opened = fs::OpenOptions::new().append(true).open(&path);
    match opened {
        Ok(_) => check("log", Verdict::Ok, path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => check(
            "log",
            Verdict::Ok,
            format!("{} is made by the first start", path.display()),
        ),
        Err(error) => check(
            "log",
            Verdict::Fail,
            format!(
                "{} cannot be written: {error}; set LOG_FILE to another",
                path.display()
            ),
        ),
    }
}

fn backups(config: &Config) -> Check {
    let folder = backup::folder(config);
    let Some(newest) = backup::file::list(&folder).pop() else {
        let text = format!(
            "none in {} yet; `magpie backup` makes one",
            folder.display()
        );
        return check("backups", Verdict::Ok, text);
    };
    let text = format!("the newest is of {}", newest.made_at.rfc3339());
    let Some(elsewhere) = config.path("BACKUP_COPY_DIR") else {
        return check("backups", Verdict::Ok, text);
    };
    let copies = backup::file::list(&elsewhere);
    if copies.iter().any(|copy| copy.name == newest.name) {
        return check("backups", Verdict::Ok, format!("{text}, and copied"));
    }
    let text = format!(
        "{text}, and not in {}; mount the share, then run `magpie backup`",
        elsewhere.display()
    );
    check("backups", Verdict::Warn, text)
}

fn ports(config: &Config) -> Vec<Check> {
    let host = config.address("HOST");
    let wanted = [
        ("PORT", config.port("PORT").map(|port| (host, port).into())),
        (
            "HTTPS_PORT",
            config.port("HTTPS_PORT").map(|port| (host, port).into()),
        ),
        ("OPS_LISTEN", config.listen("OPS_LISTEN")),
    ];
    let mut checks = Vec::new();
    for (name, address) in wanted {
        let Some(address) = address else { continue };
        checks.push(match TcpListener::bind(address) {
            Ok(_) => check("port", Verdict::Ok, format!("{name}: {address} is free")),
            Err(error) => check(
                "port",
                Verdict::Fail,
                format!(
                    "{name}: {address} cannot be used: {error}; stop what uses it or set {name}"
                ),
            ),
        });
    }
    checks
}

fn box_health(client: &Client) -> Check {
    match client.get("/health") {
        Ok(health) => {
            let status = health["status"].as_str().unwrap_or("silent about it");
            let text = format!("runs at {} and says that it is {status}", client.address());
            let verdict = match status {
                "healthy" => Verdict::Ok,
                "degraded" => Verdict::Warn,
                _ => Verdict::Fail,
            };
            check("box", verdict, text)
        }
        Err(error) => check("box", Verdict::Fail, error),
    }
}

fn sound_and_engines(config: &Config) -> Vec<Check> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return vec![check(
            "sound",
            Verdict::Fail,
            "no event loop could be started".into(),
        )];
    };
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut checks = vec![sound_cards(config).await];
        let settings = crate::app::voice_settings(config);
        let reports = match crate::app::outbound(config, &Registry::default()) {
            Ok(outbound) => {
                Engines::choose(&settings, &World::of(&outbound))
                    .report()
                    .await
            }
            Err(error) => {
                checks.push(check("network", Verdict::Fail, error.to_string()));
                return checks;
            }
        };
        checks.extend(reports.iter().map(engine));
        checks
    })
}

async fn sound_cards(config: &Config) -> Check {
    let (input, output) = (config.word("AUDIO_INPUT"), config.word("AUDIO_OUTPUT"));
    if input == "off" && output == "off" {
        return check("sound", Verdict::Ok, "off, as set".into());
    }
    let audio = Audio::start(
        AudioOptions {
            input: String::from("off"),
            output: String::from("off"),
            period: std::time::Duration::from_millis(20),
            volume: 0,
        },
        &Registry::default(),
    );
    let found = audio.devices().await;
    let has = |name: &str, input: bool| {
        name == "off"
            || found.iter().any(|device| {
                (device.name == name || name == "default")
                    && if input { device.input } else { device.output }
            })
    };
    let mut missing = Vec::new();
    if !has(input, true) {
        missing.push(format!("no microphone is called {input} (AUDIO_INPUT)"));
    }
    if !has(output, false) {
        missing.push(format!("no speaker is called {output} (AUDIO_OUTPUT)"));
    }
    if missing.is_empty() {
        return check(
            "sound",
            Verdict::Ok,
            format!("microphone {input}, speaker {output}"),
        );
    }
    missing.push(String::from(
        "`magpie devices` lists what is there; off is allowed",
    ));
    check("sound", Verdict::Warn, missing.join("; "))
}

fn engine(report: &EngineReport) -> Check {
    let name = if report.stage == "stt" {
        "hearing"
    } else {
        "speaking"
    };
    let found: Vec<String> = report
        .found
        .iter()
        .map(|engine| match &engine.version {
            Some(version) => format!("{} {version}", engine.name),
            None => engine.name.to_owned(),
        })
        .collect();
    match (&report.used, &report.problem) {
        (Some(used), _) => check(
            name,
            Verdict::Ok,
            format!("{used} is used; installed: {}", found.join(", ")),
        ),
        (None, problem) => check(
            name,
            Verdict::Warn,
            problem
                .clone()
                .unwrap_or_else(|| String::from("no engine is installed")),
        ),
    }
}
