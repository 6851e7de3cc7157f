//! `magpie happy`: what to enter in Happy's clients, who was let in, and who may come.

use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};

use super::client::Client;
use super::{json_flag, print, print_json};
use crate::config::Config;
use crate::house::qr;

pub fn definition() -> Command {
    Command::new("happy")
        .about("Connect Happy clients, and see and end what is connected")
        .long_about(
            "Shows the address to enter in the Happy app and command line, and who was let in.\n\n\
             The room is off until HAPPY_REGISTRATION says otherwise.",
        )
        .after_help(
            "Examples:\n  magpie happy\n  magpie happy invite\n  \
             magpie happy revoke 7d444840-9dc0-11d1-b245-5ffdce74fad2",
        )
        .arg(json_flag())
        .args_conflicts_with_subcommands(true)
        .subcommand(
            Command::new("invite")
                .about("Let the next unknown key become an account (HAPPY_REGISTRATION=invite)")
                .after_help("Examples:\n  magpie happy invite"),
        )
        .subcommand(
            Command::new("revoke")
                .about("Take a device's token back; its sockets end at once")
                .after_help("Examples:\n  magpie happy revoke 7d444840-9dc0-11d1-b245-5ffdce74fad2")
                .arg(
                    Arg::new("id")
                        .required(true)
                        .help("The id that `magpie happy` shows"),
                ),
        )
}

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    if crate::app::with_stored(config).word("HAPPY_REGISTRATION") == "off" {
        return Err(String::from(
            "Happy sync is off; set HAPPY_REGISTRATION to open, invite or closed and start the box again",
        ));
    }
    let client = Client::connect(config)?;
    match matches.subcommand() {
        Some(("invite", _)) => {
            let made = client.post("/api/v1/happy/invites", &json!({}))?;
            let minutes = made["valid_for_s"].as_u64().unwrap_or_default() / 60;
            print(&format!(
                "The next unknown key that signs in within {minutes} minutes becomes an account."
            ));
            Ok(())
        }
        Some(("revoke", matches)) => {
            // The parser above wants it.
            let id = matches.get_one::<String>("id").cloned().unwrap_or_default();
            client.delete(&format!("/api/v1/happy/devices/{id}"))?;
            print(&format!("{id} may not call any more."));
            Ok(())
        }
        _ => show(&client, matches),
    }
}

fn show(client: &Client, matches: &ArgMatches) -> Result<(), String> {
    let told = client.get("/api/v1/happy")?;
    let urls = client.get("/api/v1/addresses")?["urls"].clone();
    if matches.get_flag("json") {
        print_json(&json!({ "urls": urls, "happy": told }));
        return Ok(());
    }
    let url = urls[0].as_str().unwrap_or_default();
    print(&format!(
        "In the app: Settings, Custom server URL (or scan this to copy it)\n\n{}\n  {url}\n\n\
         On the computer, for the command line:\n\n  export HAPPY_SERVER_URL={url}\n",
        qr::terminal(url).unwrap_or_default()
    ));
    let others: Vec<&str> = list(&urls)
        .iter()
        .skip(1)
        .filter_map(Value::as_str)
        .collect();
    if !others.is_empty() {
        print(&format!(
            "The box answers to {} as well.\n",
            others.join(", ")
        ));
    }
    let registration = told["registration"].as_str().unwrap_or_default();
    print(&format!("New accounts: {registration}"));
    for account in list(&told["accounts"]) {
        print(&line_of(account));
        for device in list(&account["devices"]) {
            let text = |field: &str| device[field].as_str().unwrap_or("-").to_owned();
            let seen = match device["connected"] == true {
                true => String::from("connected now   "),
                false => text("last_seen_at").get(..16).unwrap_or("never").to_owned(),
            };
            print(&format!(
                "  {}  {:8}  {seen}  by {}  {}",
                text("id"),
                text("kind"),
                text("host"),
                text("agent")
            ));
        }
    }
    Ok(())
}

fn line_of(account: &Value) -> String {
    let number = |field: &str| account[field].as_u64().unwrap_or_default();
    let name = account["username"].as_str().or(account["id"].as_str());
    format!(
        "{}: {} sessions, {} machines, {} of {} MB{}",
        name.unwrap_or("-"),
        number("sessions"),
        number("machines"),
        number("bytes") >> 20,
        number("bytes_max") >> 20,
        match number("keep_days") {
            0 => String::new(),
            days => format!("; sessions not used for {days} days go"),
        }
    )
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}
