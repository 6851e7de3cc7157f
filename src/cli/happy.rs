//! `magpie happy`: what to enter in Happy's clients, who was let in, and who may come.

use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::client::Client;
use super::{archive, json_flag, print, print_json};
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
             magpie happy revoke 7d444840-9dc0-11d1-b245-5ffdce74fad2\n  \
             magpie happy export anna anna.zip\n  magpie happy import anna.zip",
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
        .subcommand(
            Command::new("export")
                .about("Write an account whole into one archive, for import on another box")
                .long_about(
                    "Write an account with its sessions, messages, machines, artifacts, keys and \
                     values, settings and attachments into one archive. On the box that imports it \
                     the same clients sign in with the same key and find everything. Who was let \
                     in, tokens of vendors and friends stay here.",
                )
                .after_help("Examples:\n  magpie happy export anna anna.zip")
                .arg(account_arg())
                .arg(file_arg("Where to")),
        )
        .subcommand(
            Command::new("import")
                .about("Take in the archive of an account, whole or not at all")
                .after_help("Examples:\n  magpie happy import anna.zip")
                .arg(file_arg("An archive of `magpie happy export`"))
                .arg(json_flag()),
        )
        .subcommand(
            Command::new("remove")
                .about("Remove an account with all that it stores; its clients are out at once")
                .after_help("Examples:\n  magpie happy remove anna --yes")
                .arg(account_arg())
                .arg(
                    Arg::new("yes")
                        .long("yes")
                        .action(ArgAction::SetTrue)
                        .help("Without asking"),
                ),
        )
}

fn account_arg() -> Arg {
    Arg::new("account")
        .required(true)
        .help("The account's name or id that `magpie happy` shows")
}

fn file_arg(help: &'static str) -> Arg {
    Arg::new("file")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help(help)
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
        Some(("export", matches)) => export(&client, matches),
        Some(("import", matches)) => import(&client, matches),
        Some(("remove", matches)) => remove(&client, matches),
        _ => show(&client, matches),
    }
}

fn export(client: &Client, matches: &ArgMatches) -> Result<(), String> {
    let account = account_of(client, matches)?;
    let target = file_of(matches);
    let path = format!("/api/v1/happy/accounts/{account}/export");
    let bytes = archive::save(&target, |file| client.download(&path, file))?;
    print(&format!("{}: {bytes} bytes.", target.display()));
    Ok(())
}

fn import(client: &Client, matches: &ArgMatches) -> Result<(), String> {
    let path = file_of(matches);
    let mut file =
        File::open(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let told = client.upload("/api/v1/happy/import", &mut file)?;
    if matches.get_flag("json") {
        print_json(&told);
        return Ok(());
    }
    let count = |kind: &str| told["counts"][kind].as_u64().unwrap_or_default();
    print(&format!(
        "{}: {} sessions, {} messages, {} attachments.",
        told["account"].as_str().unwrap_or("-"),
        count("session"),
        count("message"),
        count("attachment")
    ));
    if told["username_taken"] == true {
        print("Another account has its name here, so it has none.");
    }
    Ok(())
}

fn remove(client: &Client, matches: &ArgMatches) -> Result<(), String> {
    let account = account_of(client, matches)?;
    if !matches.get_flag("yes") && !agrees(&account)? {
        return Err(String::from("Nothing was removed."));
    }
    let told = client.delete(&format!("/api/v1/happy/accounts/{account}"))?;
    print(&match told["pending"] == true {
        true => format!("{account} is gone for everybody; the last of it still leaves the card."),
        false => format!("{account} is gone."),
    });
    Ok(())
}

/// There is no way back, so a person is asked; whoever is none says `--yes`.
fn agrees(account: &str) -> Result<bool, String> {
    if !std::io::stdin().is_terminal() {
        return Err(String::from(
            "nobody is here to be asked; say --yes if it is to go for good",
        ));
    }
    eprint!("Remove {account} with everything that it stores, for good? [y/N] ");
    let mut word = String::new();
    let read = std::io::stdin().read_line(&mut word);
    read.map_err(|error| format!("the answer cannot be read: {error}"))?;
    Ok(matches!(word.trim(), "y" | "Y" | "yes"))
}

/// Of the account with this name or id.
fn account_of(client: &Client, matches: &ArgMatches) -> Result<String, String> {
    let told = client.get("/api/v1/happy")?;
    // The parser above wants it.
    let wanted = matches
        .get_one::<String>("account")
        .cloned()
        .unwrap_or_default();
    let has_name = |account: &&Value| {
        let name = account["username"].as_str().unwrap_or_default();
        account["id"] == wanted.as_str() || (!name.is_empty() && name.eq_ignore_ascii_case(&wanted))
    };
    let found = list(&told["accounts"]).iter().find(has_name);
    let id = found.and_then(|account| account["id"].as_str());
    id.map(str::to_owned)
        .ok_or_else(|| format!("there is no account {wanted}; `magpie happy` lists them"))
}

fn file_of(matches: &ArgMatches) -> PathBuf {
    // The parser above wants it.
    let file = matches.get_one::<PathBuf>("file");
    file.cloned().unwrap_or_default()
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
    let id = account["id"].as_str().unwrap_or("-");
    let name = match account["username"].as_str() {
        Some(name) => format!("{name} ({id})"),
        None => id.to_owned(),
    };
    format!(
        "{name}: {} sessions, {} machines, {} of {} MB{}",
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
