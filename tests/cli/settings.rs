//! Wrong values, misspelt names, and what is never shown.

use std::os::unix::fs::PermissionsExt;

use magpie::config::{Kind, SETTINGS};
use serde_json::Value;

use crate::support::{Home, errors, out};

/// Starts the box and expects that it does not.
fn refusal(home: &Home) -> String {
    let done = home.run(&["serve"]);
    assert_eq!(done.status.code(), Some(1), "{}", errors(&done));
    assert_eq!(out(&done), "", "a box that did not start is not ready");
    errors(&done)
}

#[test]
fn a_wrong_value_stops_the_start_with_one_line_that_says_what_is_allowed() {
    for setting in SETTINGS {
        if matches!(setting.kind, Kind::Text | Kind::Path) {
            continue;
        }
        let text = refusal(&Home::new().set(setting.name, "so/ so"));
        assert_eq!(text.lines().count(), 1, "{text}");
        let shown = if setting.secret { "(hidden)" } else { "so/ so" };
        for part in [setting.name, shown, "environment", &setting.kind.allowed()] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }
}

#[test]
fn a_wrong_line_of_the_file_is_named_by_its_number() {
    let home = Home::new();
    home.write(".env", "# mine\nTTS_PROVIDER=festival\n");
    let text = refusal(&home);
    assert!(text.contains(".env line 2"), "{text}");
    assert!(text.contains("flite"), "{text}");
    home.write(".env", "A='open\n");
    assert!(refusal(&home).contains(".env line 1"));
}

#[test]
fn settings_that_cannot_be_together_are_told() {
    let text = refusal(&Home::new().set("TLS_CERT_FILE", "a.pem"));
    assert!(text.contains("TLS_KEY_FILE"), "{text}");
    let text = refusal(&Home::new().set("PORT", "off"));
    assert!(text.contains("HTTPS_PORT"), "{text}");
}

#[test]
fn a_prompt_that_cannot_be_read_stops_the_start() {
    let home = Home::new();
    home.write("prompt.txt", &"x".repeat(100_000));
    let large = home.path("prompt.txt").to_string_lossy().into_owned();
    for path in ["/nowhere/prompt.txt", &large] {
        let text = refusal(&Home::new().set("SYSTEM_PROMPT_FILE", path));
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["SYSTEM_PROMPT_FILE", path, "is allowed"] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }
}

#[test]
fn a_misspelt_name_is_told_with_what_was_meant() {
    let home = Home::new();
    home.write(".env", "LOG_LEVLE=debug\n");
    let done = home.run(&["config"]);
    assert!(done.status.success());
    assert!(
        errors(&done).contains("LOG_LEVLE is no setting; did you mean LOG_LEVEL?"),
        "{}",
        errors(&done)
    );
}

#[test]
fn a_file_that_others_can_read_is_told_and_a_private_one_is_not() {
    let home = Home::new();
    home.write(".env", "VOLUME=50\n");
    let mode = |bits| {
        let permissions = std::fs::Permissions::from_mode(bits);
        std::fs::set_permissions(home.path(".env"), permissions).unwrap();
        errors(&home.run(&["config"]))
    };
    assert!(mode(0o644).contains("chmod 600"));
    assert_eq!(mode(0o600), "");
}

#[test]
fn every_setting_is_shown_with_its_value_and_where_it_came_from() {
    let home = Home::new().set("VOLUME", "33");
    home.write(".env", "VOLUME=1\nRATE_LIMIT=2\nEND_SILENCE_MS=900\n");
    let text = out(&home.run(&["config", "--json"]));
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all.as_array().unwrap().len(), SETTINGS.len());
    let find = |name: &str| {
        let list = all.as_array().unwrap();
        list.iter().find(|one| one["name"] == name).unwrap().clone()
    };
    assert_eq!(find("VOLUME")["value"], "33");
    assert!(
        find("VOLUME")["from"]
            .as_str()
            .unwrap()
            .contains("environment")
    );
    assert_eq!(find("END_SILENCE_MS")["from"], ".env line 3");
    assert_eq!(find("STT_PROVIDER")["from"], "default");
}

#[test]
fn no_output_holds_a_secret() {
    let home = Home::new()
        .set("CLAUDE_API_KEY", "sk-ant-topsecret")
        .set("LOG_LEVEL", "debug");
    home.write(".env", "OPENAI_API_KEY=sk-topsecret\n");
    let running = home.serve();
    let health = running.get("/health");
    let mut said = vec![running.log(), running.ready.clone(), health.body];
    for arguments in [
        &["config"] as &[&str],
        &["config", "--json"],
        &["doctor"],
        &["chat", "hello"],
    ] {
        let done = home.run(arguments);
        said.push(out(&done) + &errors(&done));
    }
    running.stop();
    said.push(home.read("stderr"));
    assert!(!said.concat().contains("topsecret"));
    let token = home.read("data/local.token");
    assert!(token.trim().len() > 20, "the local token is there to leak");
    assert!(!said.concat().contains(token.trim()));
}

#[test]
fn wrong_settings_do_not_stop_what_needs_none() {
    let home = Home::new().set("PORT", "x");
    assert!(home.run(&["man"]).status.success());
    assert!(home.run(&["completions", "bash"]).status.success());
    assert_eq!(home.run(&["config"]).status.code(), Some(1));
}

#[test]
fn the_time_zone_of_the_file_is_that_of_the_answers() {
    let hour = |zone: &str| {
        let home = Home::new();
        home.write(".env", &format!("TZ={zone}\n"));
        let done = home.run(&["chat", "what time is it"]);
        assert!(done.status.success(), "{zone}: {}", errors(&done));
        out(&done)
    };
    // Eight hours apart: never the same time of day, whatever moment this runs at.
    assert_ne!(hour("UTC"), hour("Asia/Shanghai"));
    assert_ne!(hour("UTC"), hour("CST-8"));
}
