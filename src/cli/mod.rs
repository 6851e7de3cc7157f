//! The command line: one file a command, all declared in [`definition`], from which help, man
//! page and completions are made.
//!
//! Exit codes: 0 done, 1 not done (the reason is one line on standard error), 2 wrong usage.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use crate::config::{self, Config};
use crate::ops::log as logs;

mod archive;
mod backup;
mod chat;
mod client;
mod doctor;
mod first_boot;
mod happy;
mod memories;
mod papers;
mod record;
mod satellite;
mod serve;
mod settings;
mod sound;
mod token;
mod transfer;
mod update;
mod upkeep;

pub fn main() -> ExitCode {
    end_quietly_on_a_closed_pipe();
    let matches = definition().get_matches();
    let done = run(&matches);
    logs::flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("magpie: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(matches: &ArgMatches) -> Result<(), String> {
    // What needs no settings must work where they are wrong.
    match matches.subcommand() {
        Some(("completions", matches)) => return papers::completions(matches, definition()),
        Some(("man", _)) => return papers::man(&definition()),
        Some(("first-boot", matches)) if first_boot::is_start(matches) => {
            return first_boot::start(matches);
        }
        _ => {}
    }
    let config = load()?;
    if matches.get_flag("migrate") {
        return upkeep::migrate(&config);
    }
    if matches.get_flag("healthcheck") {
        return upkeep::healthcheck(&config);
    }
    match matches.subcommand() {
        Some(("serve", _)) => serve::run(config),
        Some(("chat", matches)) => chat::run(&config, matches),
        Some(("listen", matches)) => sound::listen(&config, matches),
        Some(("say", matches)) => sound::say(&config, matches),
        Some(("satellite", matches)) => satellite::run(&config, matches),
        Some(("test-audio", matches)) => sound::test_audio(&config, matches),
        Some(("devices", matches)) => sound::devices(&config, matches),
        Some(("remember", matches)) => memories::remember(&config, matches),
        Some(("record", matches)) => record::record(&config, matches),
        Some(("note", matches)) => record::note(&config, matches),
        Some(("jobs", matches)) => record::jobs(&config, matches),
        Some(("recall", matches)) => memories::recall(&config, matches),
        Some(("export", matches)) => archive::export(&config, matches),
        Some(("import", matches)) => archive::import(&config, matches),
        Some(("backup", matches)) => backup::make(&config, matches),
        Some(("restore", matches)) => backup::take_back(&config, matches),
        Some(("rollback", _)) => backup::roll_back(&config),
        Some(("update", matches)) => update::run(&config, matches),
        Some(("token", matches)) => token::run(&config, matches),
        Some(("happy", matches)) => happy::run(&config, matches),
        Some(("doctor", matches)) => doctor::run(&config, matches),
        Some(("first-boot", matches)) => first_boot::run(&config, matches),
        Some(("pair", matches)) => upkeep::pair(&config, matches),
        Some(("config", matches)) => settings::run(&config, matches),
        _ => {
            let _ = definition().print_help();
            Ok(())
        }
    }
}

/// Everything the command line understands.
pub fn definition() -> Command {
    Command::new("magpie")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A household's private AI box: it listens, remembers and answers")
        .long_about(
            "A household's private AI box: it listens, remembers and answers.\n\n\
             Settings come from .env in the working directory and from the environment; \
             `magpie config` shows them. The commands talk to the running box, or start one of \
             their own for as long as they need it.",
        )
        .after_help(
            "Examples:\n  magpie serve\n  magpie remember \"the spare key is under the flower pot\"\n  \
             magpie chat \"where is the spare key\"\n  magpie doctor\n\n\
             Exit codes: 0 done, 1 not done, 2 wrong usage.",
        )
        .disable_help_subcommand(true)
        .arg(
            Arg::new("migrate")
                .long("migrate")
                .action(ArgAction::SetTrue)
                .help("Bring the database up to date and exit"),
        )
        .arg(
            Arg::new("healthcheck")
                .long("healthcheck")
                .action(ArgAction::SetTrue)
                .help("Ask the running box how it is; exit 0 when it is well (for containers)"),
        )
        .subcommand(serve::definition())
        .subcommand(chat::definition())
        .subcommands(sound::definitions())
        .subcommand(satellite::definition())
        .subcommands(memories::definitions())
        .subcommands(record::definitions())
        .subcommands(archive::definitions())
        .subcommands(backup::definitions())
        .subcommand(update::definition())
        .subcommand(token::definition())
        .subcommand(happy::definition())
        .subcommand(doctor::definition())
        .subcommand(first_boot::definition())
        .subcommand(upkeep::pair_definition())
        .subcommand(settings::definition())
        .subcommands(papers::definitions())
}

/// `--json`, which most commands have.
fn json_flag() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print JSON, for programs")
}

/// Words of a sentence, given with or without quotes.
fn words(matches: &ArgMatches, name: &str) -> String {
    let parts = matches.get_many::<String>(name).into_iter().flatten();
    parts.map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn load() -> Result<Config, String> {
    let loaded = config::load(Path::new(".")).map_err(|error| error.to_string())?;
    for warning in &loaded.warnings {
        eprintln!("magpie: {warning}");
    }
    if let Some(zone) = loaded.config.text("TZ") {
        // SAFETY: no other thread runs yet that could read the environment meanwhile.
        unsafe { std::env::set_var("TZ", zone) };
    }
    Ok(loaded.config)
}

/// Prints a line; a reader that has gone ends the command without a fuss.
fn print(line: &str) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

fn print_json(value: &Value) {
    print(&format!("{value:#}"));
}

/// Rust ignores SIGPIPE; a command whose reader has gone should end like any other.
fn end_quietly_on_a_closed_pipe() {
    // SAFETY: restores the default action of a signal before any thread runs.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
