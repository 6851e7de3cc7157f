//! `magpie token`: tokens for programs and devices that cannot pair by a code.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use super::client::Client;
use super::{json_flag, print, print_json};
use crate::config::Config;

pub fn definition() -> Command {
    Command::new("token")
        .about("Make, list and revoke the tokens of devices and programs")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(
            "Examples:\n  magpie token make \"kitchen display\"\n  magpie token list\n  \
             magpie token revoke dev_0123456789abcdef",
        )
        .subcommand(
            Command::new("make")
                .about("Make a token; it is shown once")
                .after_help("Examples:\n  magpie token make backup-script --admin")
                .arg(Arg::new("name").required(true).help("What it is for"))
                .arg(
                    Arg::new("admin")
                        .long("admin")
                        .action(ArgAction::SetTrue)
                        .help("It may also manage devices, settings and backups"),
                )
                .arg(json_flag()),
        )
        .subcommand(
            Command::new("list")
                .about("Show the devices and programs that may call")
                .after_help("Examples:\n  magpie token list --json")
                .arg(json_flag()),
        )
        .subcommand(
            Command::new("revoke")
                .about("End a token; its sockets close at once")
                .after_help("Examples:\n  magpie token revoke dev_0123456789abcdef")
                .arg(
                    Arg::new("id")
                        .required(true)
                        .help("The id that `magpie token list` shows"),
                ),
        )
}

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let client = Client::connect(config)?;
    match matches.subcommand() {
        Some(("make", matches)) => make(&client, matches),
        Some(("list", matches)) => list(&client, matches),
        Some(("revoke", matches)) => {
            // The parser above wants it.
            let id = matches.get_one::<String>("id").cloned().unwrap_or_default();
            client.delete(&format!("/api/v1/devices/{id}"))?;
            print(&format!("{id} may not call any more."));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn make(client: &Client, matches: &ArgMatches) -> Result<(), String> {
    let name = matches
        .get_one::<String>("name")
        .cloned()
        .unwrap_or_default();
    let body = json!({ "name": name, "admin": matches.get_flag("admin") });
    let made = client.post("/api/v1/devices", &body)?;
    if matches.get_flag("json") {
        print_json(&made);
        return Ok(());
    }
    print(made["token"].as_str().unwrap_or_default());
    Ok(())
}

fn list(client: &Client, matches: &ArgMatches) -> Result<(), String> {
    let told = client.get("/api/v1/devices")?;
    if matches.get_flag("json") {
        print_json(&told["devices"]);
        return Ok(());
    }
    let devices = told["devices"].as_array().map_or(&[][..], Vec::as_slice);
    for device in devices {
        let text = |field: &str| device[field].as_str().unwrap_or("-").to_owned();
        let seen = text("last_seen_at");
        print(&format!(
            "{}  {:5}  {}  {}",
            text("id"),
            if device["admin"] == Value::Bool(true) {
                "admin"
            } else {
                ""
            },
            seen.get(..10).unwrap_or("never     "),
            text("name")
        ));
    }
    if devices.is_empty() {
        print("No device or program has a token yet.");
    }
    Ok(())
}
