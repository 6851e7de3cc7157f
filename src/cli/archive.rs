//! `magpie export` and `magpie import`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::Value;

use super::client::Client;
use super::{json_flag, print, print_json};
use crate::config::Config;

pub fn definitions() -> [Command; 2] {
    [
        Command::new("export")
            .about("Write everything that is remembered into one file")
            .long_about(
                "Write conversations, memories, tags and timers into one file that can be read \
                 without this program: lines of JSON, Markdown for people, or a zip of both. \
                 Lines and zip can be imported again, without loss. Secrets, settings and \
                 devices are not in it; `magpie backup` keeps those.",
            )
            .after_help(
                "Examples:\n  magpie export\n  magpie export --format zip --audio mine.zip\n  \
                 magpie export --format md - | less",
            )
            .arg(
                Arg::new("file")
                    .value_parser(value_parser!(PathBuf))
                    .help("Where to; - for standard output; left out: magpie-DATE in this folder"),
            )
            .arg(
                Arg::new("format")
                    .long("format")
                    .value_parser(["jsonl", "md", "zip"])
                    .default_value("jsonl")
                    .help("Lines of JSON, Markdown, or a zip"),
            )
            .arg(
                Arg::new("audio")
                    .long("audio")
                    .action(ArgAction::SetTrue)
                    .help("With the kept recordings; wants --format zip"),
            ),
        Command::new("import")
            .about("Add what a file of `magpie export` holds, or an older database")
            .long_about(
                "Add what a file holds: one of `magpie export` (jsonl or zip), or the database of \
                 the product's first server (tables sessions and knowledge). Every line is checked \
                 before the first is stored. What is there already stays as it is, so the same \
                 file can be imported twice.",
            )
            .after_help(
                "Examples:\n  magpie import --dry-run magpie-2026-11-25.jsonl\n  \
                 magpie import mine.zip\n  magpie import ~/old/voice-memory.db",
            )
            .arg(
                Arg::new("file")
                    .required(true)
                    .value_parser(value_parser!(PathBuf))
                    .help("The file"),
            )
            .arg(
                Arg::new("dry-run")
                    .long("dry-run")
                    .action(ArgAction::SetTrue)
                    .help("Only tell what would change"),
            )
            .arg(json_flag()),
    ]
}

pub fn export(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let format = matches
        .get_one::<String>("format")
        .map_or("jsonl", String::as_str);
    let audio = matches.get_flag("audio");
    let path = format!("/api/v1/export?format={format}&audio={}", u8::from(audio));
    let client = Client::connect(config)?;
    let target = match matches.get_one::<PathBuf>("file") {
        Some(file) if file == Path::new("-") => {
            client.download(&path, &mut std::io::stdout().lock())?;
            return Ok(());
        }
        Some(file) => file.clone(),
        None => {
            let now = crate::clock::Clock::system().wall().rfc3339();
            PathBuf::from(format!(
                "magpie-{}.{format}",
                now.get(..10).unwrap_or("export")
            ))
        }
    };
    let bytes = save(&target, |file| client.download(&path, file))?;
    print(&format!("{}: {bytes} bytes.", target.display()));
    Ok(())
}

/// Under another name until it is whole, for the person's own eyes alone.
pub fn save(
    target: &Path,
    write: impl FnOnce(&mut File) -> Result<u64, String>,
) -> Result<u64, String> {
    let told = |error: std::io::Error| format!("{} cannot be written: {error}", target.display());
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let partial = target.with_file_name(name);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&partial)
        .map_err(told)?;
    let written = write(&mut file).and_then(|bytes| {
        file.sync_all().map_err(told)?;
        fs::rename(&partial, target).map_err(told)?;
        Ok(bytes)
    });
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written
}

pub fn import(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    // The parser above wants it.
    let path = matches
        .get_one::<PathBuf>("file")
        .cloned()
        .unwrap_or_default();
    let mut file =
        File::open(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let dry_run = matches.get_flag("dry-run");
    let client = Client::connect(config)?;
    let told = client.upload(
        &format!("/api/v1/import?dry_run={}", u8::from(dry_run)),
        &mut file,
    )?;
    if matches.get_flag("json") {
        print_json(&told);
        return Ok(());
    }
    for (kind, counts) in told["rows"].as_object().into_iter().flatten() {
        let count = |name: &str| counts[name].as_u64().unwrap_or(0);
        print(&format!(
            "{kind}: {} new, {} there already, {} different here and kept",
            count("new"),
            count("same"),
            count("kept")
        ));
    }
    if let Some(sounds) = told["sounds"].as_u64().filter(|count| *count > 0) {
        print(&format!("sounds: {sounds} new"));
    }
    print(match (dry_run, &told["changed"]) {
        (true, _) => "Nothing was changed: this was a dry run.",
        (false, Value::Bool(true)) => "Imported.",
        _ => "Nothing was new.",
    });
    Ok(())
}
