//! `--migrate`, `--healthcheck` and `magpie pair`.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::client::Client;
use super::{json_flag, print, print_json};
use crate::app;
use crate::config::Config;
use crate::house::qr;

pub fn pair_definition() -> Command {
    Command::new("pair")
        .about("Show a code that pairs another device with the running box")
        .long_about(
            "Shows six digits and a QR code. The first device that is paired claims the box; \
             later ones join it. A code is good for three minutes and for one device.",
        )
        .after_help("Examples:\n  magpie pair\n  magpie pair --admin")
        .arg(
            Arg::new("admin")
                .long("admin")
                .action(ArgAction::SetTrue)
                .help("The device may also manage other devices"),
        )
        .arg(json_flag())
}

pub fn pair(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let client = Client::connect_running(config)
        .ok_or("the box does not run; start it with `magpie serve`")?;
    let body = json!({ "admin": matches.get_flag("admin") });
    let code = client.post("/api/v1/devices/code", &body)?;
    if matches.get_flag("json") {
        print_json(&code);
        return Ok(());
    }
    let text = |field: &str| code[field].as_str().unwrap_or_default().to_owned();
    let url = text("url");
    print(&format!("Code: {}\nOpen: {url}\n", text("code")));
    if let Some(picture) = qr::terminal(&url) {
        print(&picture);
    }
    Ok(())
}

pub fn migrate(config: &Config) -> Result<(), String> {
    let path = config.database();
    let done = app::migrate(config).map_err(|error| error.to_string())?;
    if done.is_empty() {
        print(&format!("{} is up to date.", path.display()));
    } else {
        print(&format!("{}: {}.", path.display(), done.join(", ")));
    }
    Ok(())
}

pub fn healthcheck(config: &Config) -> Result<(), String> {
    let client = Client::connect_running(config).ok_or("the box does not answer")?;
    let health = client.get("/health")?;
    match health["status"].as_str() {
        Some("healthy" | "degraded") => Ok(()),
        Some(other) => Err(format!("the box says that it is {other}")),
        None => Err(String::from("the box does not say how it is")),
    }
}
