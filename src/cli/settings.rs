//! `magpie config`: every setting, its value, and where it came from.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::{json_flag, print, print_json};
use crate::config::{Config, Origin, document};

pub fn definition() -> Command {
    Command::new("config")
        .about("Show the settings in force and where each came from")
        .after_help("Examples:\n  magpie config\n  magpie config --example > .env")
        .arg(
            Arg::new("example")
                .long("example")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["table", "json"])
                .help("Print .env.example: every setting with its meaning"),
        )
        .arg(
            Arg::new("table")
                .long("table")
                .action(ArgAction::SetTrue)
                .conflicts_with("json")
                .help("Print the settings as the README's table"),
        )
        .arg(json_flag())
}

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    if matches.get_flag("example") {
        print(document::example().trim_end());
        return Ok(());
    }
    if matches.get_flag("table") {
        print(document::table().trim_end());
        return Ok(());
    }
    if matches.get_flag("json") {
        let all = config.all().iter().map(|held| {
            json!({
                "name": held.setting.name,
                "value": held.shown(),
                "from": origin(&held.origin),
            })
        });
        print_json(&all.collect());
        return Ok(());
    }
    let mut group = "";
    for held in config.all() {
        if held.setting.group != group {
            group = held.setting.group;
            print(&format!("\n{group}"));
        }
        print(&format!(
            "  {:20} {:28} {}",
            held.setting.name,
            held.shown(),
            origin(&held.origin)
        ));
    }
    Ok(())
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Default => String::from("default"),
        Origin::File { line } => format!(".env line {line}"),
        Origin::Environment { name } => format!("environment ({name})"),
    }
}
