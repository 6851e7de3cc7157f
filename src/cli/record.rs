//! `magpie record`, `magpie note` and `magpie jobs`: spoken and typed notes, and what waits.

use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::client::Client;
use super::{json_flag, print, print_json, words};
use crate::config::Config;
use crate::limits::MEMO_MAX;

pub fn definitions() -> [Command; 3] {
    [
        Command::new("record")
            .about("Record a spoken note, or hand in a sound file")
            .long_about(
                "With FILE: sends the sound to the box, which keeps it, writes it down, and stores \
                 the text as a note. Without: the running box records from its own microphone for \
                 --seconds, or until Enter is pressed. What cannot be understood now is kept and \
                 written down later; `magpie jobs` shows it.",
            )
            .after_help(
                "Examples:\n  magpie record memo.wav\n  magpie record meeting.mp3 --mode note\n  \
                 magpie record --seconds 30\n  magpie record",
            )
            .arg(Arg::new("file").value_name("FILE").help("Sound to hand in; not given: record at the box"))
            .arg(
                Arg::new("seconds")
                    .long("seconds")
                    .value_name("SECONDS")
                    .value_parser(value_parser!(u64).range(1..=MEMO_MAX.as_secs()))
                    .conflicts_with("file")
                    .help("How long to record at the box"),
            )
            .arg(
                Arg::new("mode")
                    .long("mode")
                    .value_parser(["note", "chat", "auto"])
                    .default_value("note")
                    .help("note: keep the words; chat: answer them; auto: by length"),
            )
            .arg(json_flag()),
        Command::new("note")
            .about("Keep a typed note, word for word")
            .after_help("Examples:\n  magpie note call the plumber on Monday\n  magpie note 周一打电话给水管工")
            .arg(
                Arg::new("text")
                    .num_args(1..)
                    .required(true)
                    .help("The note; quotes are not needed"),
            )
            .arg(json_flag()),
        Command::new("jobs")
            .about("Show what waits for a network or a model; retry or delete it")
            .after_help(
                "Examples:\n  magpie jobs\n  magpie jobs --retry job_0123456789abcdef\n  \
                 magpie jobs --delete job_0123456789abcdef",
            )
            .arg(
                Arg::new("retry")
                    .long("retry")
                    .value_name("ID")
                    .conflicts_with("delete")
                    .help("Try this job now"),
            )
            .arg(
                Arg::new("delete")
                    .long("delete")
                    .value_name("ID")
                    .action(ArgAction::Set)
                    .help("Give this job up; the sound of its recording goes by age"),
            )
            .arg(json_flag()),
    ]
}

pub fn record(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let Some(file) = matches.get_one::<String>("file") else {
        return record_at_the_box(config, matches);
    };
    let client = Client::connect(config)?;
    // The parser above gives it a default.
    let mode = matches
        .get_one::<String>("mode")
        .map_or("note", String::as_str);
    let turn = client.send_file(&format!("/api/v1/voice?mode={mode}"), Path::new(file))?;
    if matches.get_flag("json") {
        print_json(&turn);
        return Ok(());
    }
    if let Some(job) = turn["job_id"].as_str() {
        match turn["text"].as_str() {
            Some(text) => print(&format!("{text}\nKept; it is answered later as {job}.")),
            None => print(&format!("Kept; it is written down later as {job}.")),
        }
        return Ok(());
    }
    print(turn["text"].as_str().unwrap_or_default());
    if turn["intent"] == "chat" {
        print(turn["reply"].as_str().unwrap_or_default());
    }
    Ok(())
}

fn record_at_the_box(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let client = Client::connect_running(config).ok_or_else(|| {
        String::from("no box runs here; start it with `magpie serve`, or name a sound file")
    })?;
    let turn = client.post("/api/v1/device/listen", &json!({"mode": "note"}))?;
    match matches.get_one::<u64>("seconds") {
        Some(seconds) => {
            eprintln!("Recording for {seconds} s.");
            std::thread::sleep(Duration::from_secs(*seconds));
        }
        None => {
            eprintln!("Recording. Press Enter to end.");
            let _ = std::io::stdin().read_line(&mut String::new());
        }
    }
    client.post("/api/v1/device/stop", &json!({}))?;
    match matches.get_flag("json") {
        true => print_json(&turn),
        false => print("Recorded; the box writes it down. `magpie jobs` shows what waits."),
    }
    Ok(())
}

pub fn note(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let client = Client::connect(config)?;
    let body = json!({ "content": words(matches, "text"), "source": "manual" });
    let memory = client.post("/api/v1/memories", &body)?;
    match matches.get_flag("json") {
        true => print_json(&memory),
        false => print(&format!(
            "Noted as {}.",
            memory["id"].as_str().unwrap_or("?")
        )),
    }
    Ok(())
}

pub fn jobs(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let client = Client::connect(config)?;
    if let Some(id) = matches.get_one::<String>("retry") {
        client.post(&format!("/api/v1/jobs/{id}/retry"), &json!({}))?;
        print(&format!("{id} is tried now."));
        return Ok(());
    }
    if let Some(id) = matches.get_one::<String>("delete") {
        client.delete(&format!("/api/v1/jobs/{id}"))?;
        print(&format!("{id} is given up."));
        return Ok(());
    }
    let list = client.get("/api/v1/jobs?limit=200")?;
    if matches.get_flag("json") {
        print_json(&list);
        return Ok(());
    }
    let jobs = list["jobs"].as_array().map_or(&[][..], Vec::as_slice);
    let open = jobs.iter().filter(|job| job["state"] != "done");
    let mut any = false;
    for job in open {
        any = true;
        print(&line_of(job));
    }
    if !any {
        print("Nothing waits.");
    }
    Ok(())
}

fn line_of(job: &Value) -> String {
    let text = |field: &str| job[field].as_str().unwrap_or_default();
    let mut line = format!(
        "{}  {:8}  {:8}  {}",
        text("id"),
        text("kind"),
        text("state"),
        text("created_at")
    );
    if let Some(error) = job["last_error"].as_str() {
        line.push_str(&format!("  {} tries, the last: {error}", job["attempts"]));
    }
    line
}
