//! `magpie config`: every setting, its value, and where it came from.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::client::Client;
use super::{json_flag, print, print_json};
use crate::app;
use crate::config::{Config, Origin, Stored, document};

pub fn definition() -> Command {
    Command::new("config")
        .about("Show the settings in force and where each came from")
        .long_about(
            "Show the settings in force and where each came from: the environment, a line of \
             .env, the page, or the default. Secrets are never shown.",
        )
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
    let config = &in_force(config);
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

/// What the page has chosen is the running box's to tell.
fn in_force(config: &Config) -> Config {
    let Some(client) = Client::connect_running(config) else {
        return app::with_stored(config);
    };
    let Ok(told) = client.get("/api/v1/settings") else {
        return config.clone();
    };
    let list = told["settings"].as_array().map_or(&[][..], Vec::as_slice);
    let chosen = list.iter().filter(|one| one["origin"] == "page");
    let stored: Stored = chosen
        .filter_map(|one| {
            let text = |field: &str| one[field].as_str().map(str::to_owned);
            Some((text("name")?, text("value")?))
        })
        .collect();
    config.with_stored(&stored).0
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Default => String::from("default"),
        Origin::Page => String::from("page"),
        Origin::File { line } => format!(".env line {line}"),
        Origin::Credential => String::from("credential"),
        Origin::Environment { name } => format!("environment ({name})"),
    }
}
