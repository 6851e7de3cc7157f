//! Settings chosen over the API: validated, below the environment, secret ones sealed.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Answer, Home, Running, errors, exchange, out};

const PATH: &str = "/api/v1/settings";

fn patch(running: &Running, body: Value) -> Answer {
    let address = running.address("http").unwrap();
    exchange(address, "PATCH", PATH, Some(&body)).unwrap()
}

fn setting(running: &Running, name: &str) -> Value {
    let all = running.get(PATH).json();
    let list = all["data"]["settings"].as_array().unwrap();
    list.iter().find(|one| one["name"] == name).unwrap().clone()
}

#[test]
fn a_value_set_over_the_api_is_in_force_and_outlives_a_restart() {
    let home = Home::new();
    let running = home.serve();
    let before = setting(&running, "VOLUME");
    assert_eq!(before["value"], "80");
    assert_eq!(before["origin"], "default");
    assert_eq!(before["effect"], "at_once");
    assert_eq!(
        (before["min"].as_u64(), before["max"].as_u64()),
        (Some(0), Some(100))
    );

    let answer = patch(&running, json!({"VOLUME": 35, "CONVERSATION_IDLE": "20m"}));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let now = setting(&running, "VOLUME");
    assert_eq!(
        (&now["value"], &now["origin"]),
        (&json!("35"), &json!("page"))
    );
    let shown = out(&home.run(&["config", "--json"]));
    assert!(shown.contains("\"page\""), "{shown}");
    assert!(running.stop().success());

    let shown = out(&home.run(&["config"]));
    let line = shown.lines().find(|line| line.contains("VOLUME")).unwrap();
    assert!(line.contains("35") && line.contains("page"), "{line}");
    let running = home.serve();
    assert_eq!(setting(&running, "VOLUME")["value"], "35");
    assert_eq!(
        setting(&running, "CONVERSATION_IDLE")["waits_for_restart"],
        false
    );
    assert_eq!(patch(&running, json!({"VOLUME": null})).status, 200);
    assert_eq!(setting(&running, "VOLUME")["origin"], "default");
}

#[test]
fn what_only_a_restart_changes_says_so() {
    let running_home = Home::new();
    let running = running_home.serve();
    let answer = patch(&running, json!({"AUDIO_PERIOD_MS": 40})).json();
    assert_eq!(answer["data"]["restart_needed"], json!(["AUDIO_PERIOD_MS"]));
    let shown = setting(&running, "AUDIO_PERIOD_MS");
    assert_eq!(shown["effect"], "restart");
    assert_eq!(shown["waits_for_restart"], true);
    patch(&running, json!({"AUDIO_PERIOD_MS": 20}));
    assert_eq!(
        setting(&running, "AUDIO_PERIOD_MS")["waits_for_restart"],
        false
    );
}

#[test]
fn the_environment_and_the_file_win_and_the_answer_says_where() {
    let home = Home::new().set("VOLUME", "33");
    home.write(".env", "\nEND_SILENCE_MS=900\n");
    let running = home.serve();
    for (body, place) in [
        (json!({"VOLUME": 1}), "environment variable VOLUME"),
        (json!({"END_SILENCE_MS": 500}), ".env line 2"),
        (
            json!({"TTS_VOICE": "slt", "VOLUME": 1}),
            "environment variable VOLUME",
        ),
    ] {
        let answer = patch(&running, body);
        assert_eq!(answer.status, 409, "{}", answer.body);
        assert!(answer.body.contains(place), "{}", answer.body);
    }
    assert_eq!(setting(&running, "TTS_VOICE")["value"], Value::Null);
    assert_eq!(setting(&running, "VOLUME")["editable"], false);
    assert_eq!(setting(&running, "VOLUME")["origin"], "environment");
    assert_eq!(setting(&running, "END_SILENCE_MS")["origin"], "file");
}

#[test]
fn what_is_not_allowed_changes_nothing_and_is_told_by_name() {
    let home = Home::new();
    let running = home.serve();
    for (body, status, part) in [
        (json!({"VOLUME": 101}), 400, "whole number from 0 to 100"),
        (json!({"VOLUME": [1]}), 400, "`VOLUME`"),
        (json!({"VOLUME": "a\nb"}), 400, "`VOLUME`"),
        (json!({"VOLUM": 1}), 400, "did you mean VOLUME"),
        (json!({"TTS_VOICE": "x".repeat(5_000)}), 400, "characters"),
        (json!({"TTS_COMMAND": "reboot"}), 403, "a program"),
        (json!({"DATA_DIR": "/tmp"}), 403, "a file"),
        (json!({"VOICE_AUTH": "off"}), 403, "lock everybody out"),
        (json!({}), 400, "Nothing to change"),
        (json!([1]), 400, "not as expected"),
        (json!({"RATE_LIMIT": "x", "VOLUME": 5}), 4, ""),
    ] {
        let answer = patch(&running, body.clone());
        if status == 4 {
            assert!(answer.status >= 400, "{}", answer.body);
            continue;
        }
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert!(answer.body.contains(part), "{body}: {}", answer.body);
    }
    assert_eq!(setting(&running, "VOLUME")["origin"], "default");
}

#[test]
fn a_secret_is_kept_sealed_and_never_told() {
    let home = Home::new().set("LOG_LEVEL", "debug");
    let running = home.serve();
    let Some(name) = ["OPENAI_API_KEY", "CLAUDE_API_KEY"]
        .into_iter()
        .find(|name| setting(&running, name)["editable"] == true)
    else {
        return assert_eq!(setting(&running, "OPENAI_API_KEY")["value"], "unset");
    };
    assert_eq!(setting(&running, name)["value"], "unset");
    let answer = patch(&running, json!({name: "sk-topsecret-0123456789"}));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(setting(&running, name)["value"], "set");
    let mut said = vec![answer.body, running.get(PATH).body, running.log()];
    said.push(out(&home.run(&["config"])));
    assert!(running.stop().success());
    said.push(home.read("stderr"));
    said.push(out(&home.run(&["config"])));
    for entry in fs::read_dir(home.path("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            said.push(String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned());
        }
    }
    assert!(!said.concat().contains("topsecret"));

    let running = home.serve();
    assert_eq!(setting(&running, name)["value"], "set");
    assert!(running.stop().success());
    fs::remove_file(home.path("data/box.key")).unwrap();
    let running = home.serve();
    assert_eq!(
        setting(&running, name)["value"],
        "unset",
        "no key, no secret"
    );
    running.wait_for_log("secret_not_opened");
}

#[test]
fn only_an_admin_changes_settings() {
    let home = Home::new().set("VOICE_AUTH", "strict");
    let running = home.serve();
    assert_eq!(patch(&running, json!({"VOLUME": 1})).status, 401);
    assert_eq!(running.get(PATH).status, 401);
    assert!(errors(&home.run(&["config"])).is_empty());
}
