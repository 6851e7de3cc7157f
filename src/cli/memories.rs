//! `magpie remember` and `magpie recall`.

use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;

use super::client::Client;
use super::{json_flag, print, print_json, words};
use crate::config::Config;
use crate::limits::PAGE_ROWS_MAX;

pub fn definitions() -> [Command; 2] {
    [
        Command::new("remember")
            .about("Keep something, word for word")
            .after_help("Examples:\n  magpie remember \"the spare key is under the flower pot\"\n  magpie remember 备用钥匙在花盆下面")
            .arg(
                Arg::new("text")
                    .num_args(1..)
                    .required(true)
                    .help("What to keep; quotes are not needed"),
            )
            .arg(json_flag()),
        Command::new("recall")
            .about("Search what is remembered")
            .after_help("Examples:\n  magpie recall key\n  magpie recall 钥匙 --limit 3\n  magpie recall --json \"flower pot\"")
            .arg(
                Arg::new("query")
                    .num_args(1..)
                    .required(true)
                    .help("Words to look for, English or Chinese"),
            )
            .arg(
                Arg::new("limit")
                    .long("limit")
                    .value_name("COUNT")
                    .value_parser(value_parser!(u64).range(1..=PAGE_ROWS_MAX as u64))
                    .default_value("10")
                    .help("How many at most"),
            )
            .arg(json_flag()),
    ]
}

pub fn remember(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let client = Client::connect(config)?;
    let body = json!({ "content": words(matches, "text") });
    let memory = client.post("/api/v1/memories", &body)?;
    if matches.get_flag("json") {
        print_json(&memory);
    } else {
        print(&format!(
            "Remembered as {}.",
            memory["id"].as_str().unwrap_or("?")
        ));
    }
    Ok(())
}

pub fn recall(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let client = Client::connect(config)?;
    // The parser above gives it a default.
    let limit = matches.get_one::<u64>("limit").copied().unwrap_or(10);
    let query = percent_encoded(&words(matches, "query"));
    let found = client.get(&format!("/api/v1/memories/search?q={query}&limit={limit}"))?;
    if matches.get_flag("json") {
        print_json(&found);
        return Ok(());
    }
    let results = found["results"].as_array().map_or(&[][..], Vec::as_slice);
    if results.is_empty() {
        return Err(String::from("nothing that fits is remembered"));
    }
    for result in results {
        let day = result["created_at"].as_str().unwrap_or_default();
        print(&format!(
            "{}  {}",
            day.get(..10).unwrap_or(day),
            result["content"].as_str().unwrap_or_default()
        ));
    }
    Ok(())
}

/// All but unreserved characters (RFC 3986 section 2.3).
fn percent_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
