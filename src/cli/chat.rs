//! `magpie chat`: typed conversation, one question or many.

use std::io::{BufRead, IsTerminal, Write};

use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};

use super::client::Client;
use super::{json_flag, print, print_json, words};
use crate::config::Config;

pub fn definition() -> Command {
    Command::new("chat")
        .about("Ask the box in writing")
        .long_about(
            "Ask the box in writing. Without a text it asks for one line after the other, until \
             the end of the input or an empty line.",
        )
        .after_help(
            "Examples:\n  magpie chat where is the spare key\n  magpie chat 你好\n  magpie chat --json \"what time is it\"",
        )
        .arg(Arg::new("text").num_args(0..).help("The question; quotes are not needed"))
        .arg(json_flag())
}

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let client = Client::connect(config)?;
    let json = matches.get_flag("json");
    let text = words(matches, "text");
    if !text.is_empty() {
        let answer = ask(&client, &text, None)?;
        show(&answer, json);
        return Ok(());
    }
    let mut conversation = None;
    let stdin = std::io::stdin();
    let for_person = stdin.is_terminal();
    loop {
        if for_person {
            print_prompt();
        }
        let mut line = String::new();
        let read = stdin
            .lock()
            .read_line(&mut line)
            .map_err(|error| format!("the input cannot be read: {error}"))?;
        let line = line.trim();
        if read == 0 || (line.is_empty() && for_person) {
            return Ok(());
        }
        if line.is_empty() {
            continue;
        }
        let answer = ask(&client, line, conversation.as_deref())?;
        conversation = answer["conversation_id"].as_str().map(str::to_owned);
        show(&answer, json);
    }
}

fn ask(client: &Client, text: &str, conversation: Option<&str>) -> Result<Value, String> {
    let mut body = json!({ "message": text });
    if let Some(conversation) = conversation {
        body["conversation_id"] = json!(conversation);
    }
    client.post("/api/v1/chat", &body)
}

fn show(answer: &Value, json: bool) {
    if json {
        print_json(answer);
    } else {
        print(answer["content"].as_str().unwrap_or_default());
    }
}

fn print_prompt() {
    let mut out = std::io::stdout();
    let _ = write!(out, "> ").and_then(|()| out.flush());
}
