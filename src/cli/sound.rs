//! `magpie listen`, `magpie say` and `magpie devices`: the box's own microphone and speaker.

use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use super::client::Client;
use super::{json_flag, print, print_json, words};
use crate::audio::{Audio, AudioOptions};
use crate::config::Config;
use crate::ops::Registry;

pub fn definitions() -> [Command; 4] {
    [
        Command::new("listen")
            .about("Listen once, answer aloud")
            .long_about(
                "Opens the box's microphone until somebody has spoken and fallen silent, answers \
                 aloud, and prints what was understood and said.",
            )
            .after_help("Examples:\n  magpie listen\n  magpie listen --json")
            .arg(json_flag()),
        Command::new("say")
            .about("Speak a text aloud on the box")
            .after_help("Examples:\n  magpie say Dinner is ready\n  magpie say 吃饭了")
            .arg(
                Arg::new("text")
                    .num_args(1..)
                    .required(true)
                    .help("What to say; quotes are not needed"),
            )
            .arg(json_flag()),
        Command::new("test-audio")
            .about("Play a tone on the box and tell whether its microphone hears it")
            .after_help("Examples:\n  magpie test-audio\n  magpie test-audio --json")
            .arg(json_flag()),
        Command::new("devices")
            .about("List the sound cards that AUDIO_INPUT and AUDIO_OUTPUT take")
            .after_help("Examples:\n  magpie devices\n  AUDIO_INPUT=plughw:1,0 magpie doctor")
            .arg(json_flag()),
    ]
}

pub fn listen(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let client = Client::connect(config)?;
    let json = matches.get_flag("json");
    if !json {
        eprintln!("Listening. Speak, then be silent for a moment.");
    }
    let turn = client.post("/api/v1/device/listen", &json!({ "wait": true }))?;
    if json {
        print_json(&turn);
        return Ok(());
    }
    let said = |field: &str| turn[field].as_str().filter(|text| !text.is_empty());
    let answer = turn["answer"]["content"].as_str();
    match (said("text"), answer) {
        (Some(heard), answer) => {
            print(&format!("You:    {heard}"));
            print(&format!("Magpie: {}", answer.unwrap_or("")));
            Ok(())
        }
        (None, _) => Err(String::from(
            "nothing was heard; speak a little louder, or look at `magpie doctor`",
        )),
    }
}

pub fn say(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let client = Client::connect(config)?;
    let body = json!({ "text": words(matches, "text"), "wait": true });
    let turn = client.post("/api/v1/device/say", &body)?;
    if matches.get_flag("json") {
        print_json(&turn);
    }
    match turn["errors"][0]["message"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(()),
    }
}

pub fn test_audio(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let client = Client::connect(config)?;
    let found = client.post("/api/v1/device/beep", &json!({}))?;
    if matches.get_flag("json") {
        print_json(&found);
        return Ok(());
    }
    let error = |side: &str| found[side]["error"].as_str().map(str::to_owned);
    if let Some(error) = error("speaker") {
        return Err(format!("speaker: {error}"));
    }
    print("speaker: the tone was played");
    if let Some(error) = error("microphone") {
        return Err(format!("microphone: {error}"));
    }
    let level = |name: &str| found["microphone"][name].as_f64().unwrap_or(f64::NAN);
    print(&format!(
        "microphone: {:.1} dBFS before the tone, {:.1} dBFS during it",
        level("quiet_dbfs"),
        level("tone_dbfs")
    ));
    match found["heard"] == true {
        true => {
            print("both work");
            Ok(())
        }
        false => Err(String::from(
            "the microphone does not hear the speaker; turn both up, or look at `magpie devices`",
        )),
    }
}

pub fn devices(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the event loop could not be started: {error}"))?;
    let found = tokio::task::LocalSet::new().block_on(&runtime, async {
        let audio = Audio::start(
            AudioOptions {
                input: String::from("off"),
                output: String::from("off"),
                period: std::time::Duration::from_millis(config.number("AUDIO_PERIOD_MS")),
                volume: 0,
            },
            &Registry::default(),
        );
        audio.devices().await
    });
    if matches.get_flag("json") {
        let list: Vec<_> = found
            .iter()
            .map(|device| {
                json!({
                    "name": device.name,
                    "description": device.description,
                    "kind": device.kind,
                    "input": device.input,
                    "output": device.output,
                })
            })
            .collect();
        print_json(&json!(list));
        return Ok(());
    }
    if found.is_empty() {
        return Err(String::from(
            "there is no sound card; plug one in, or set AUDIO_INPUT=off and AUDIO_OUTPUT=off",
        ));
    }
    for device in found {
        let way = match (device.input, device.output) {
            (true, true) => "in/out",
            (true, false) => "in",
            _ => "out",
        };
        print(&format!(
            "{way:7} {:24} {}",
            device.name, device.description
        ));
    }
    Ok(())
}
