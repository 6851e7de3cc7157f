//! The commands, with a running box and without one.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Home, errors, out};

#[test]
fn remember_recall_and_chat_work_without_a_running_box() {
    let home = Home::new();
    let done = home.run(&[
        "remember", "the", "spare", "key", "is", "under", "the", "pot",
    ]);
    assert!(done.status.success(), "{}", errors(&done));
    let found = out(&home.run(&["recall", "key"]));
    assert!(found.contains("the spare key is under the pot"), "{found}");
    let answer = out(&home.run(&["chat", "where is the spare key"]));
    assert!(answer.contains("under the pot"), "{answer}");
    assert!(
        !home.path("data/server.json").exists(),
        "a box that has ended must not be looked for"
    );
}

#[test]
fn the_same_commands_speak_to_the_running_box() {
    let home = Home::new();
    let running = home.serve();
    let done = home.run(&["remember", "备用钥匙在花盆下面"]);
    assert!(done.status.success(), "{}", errors(&done));
    let seen = running.get("/api/v1/memories").json();
    assert_eq!(seen["data"]["total"], 1, "{seen}");
    let text = out(&home.run(&["recall", "--json", "钥匙"]));
    let found: Value = serde_json::from_str(&text).unwrap();
    assert!(found.to_string().contains("花盆"), "{found}");
    assert!(home.run(&["--healthcheck"]).status.success());
    assert!(running.stop().success());
}

#[test]
fn what_was_remembered_outlives_a_killed_box() {
    let home = Home::new();
    let running = home.serve();
    assert!(
        home.run(&["remember", "bin day is Tuesday"])
            .status
            .success()
    );
    running.kill();
    let found = home.run(&["recall", "Tuesday"]);
    assert!(out(&found).contains("bin day"), "{}", errors(&found));
    let running = home.serve();
    assert!(out(&home.run(&["recall", "bin"])).contains("Tuesday"));
    assert!(running.stop().success());
}

#[test]
fn the_healthcheck_fails_when_no_box_runs() {
    let done = Home::new().run(&["--healthcheck"]);
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(errors(&done).lines().count(), 1);
}

#[test]
fn the_doctor_tells_what_is_wrong_and_fails() {
    let home = Home::new();
    let text = out(&home.run(&["doctor", "--json"]));
    let checks: Value = serde_json::from_str(&text).unwrap();
    let named = |name: &str| {
        let list = checks.as_array().unwrap();
        list.iter().any(|check| check["check"] == name)
    };
    for name in ["data", "disk", "database", "clock", "log", "port", "sound"] {
        assert!(named(name), "no check {name} in {text}");
    }
    std::fs::create_dir_all(home.path("data")).unwrap();
    home.write("data/voice-memory.db", &"rubbish ".repeat(2_000));
    let done = home.run(&["doctor"]);
    assert_eq!(done.status.code(), Some(1));
    let line = out(&done);
    let line = line.lines().find(|line| line.contains("database")).unwrap();
    assert!(line.starts_with("FAIL"), "{line}");
}

#[test]
fn the_database_is_brought_up_to_date_once() {
    let home = Home::new();
    let first = home.run(&["--migrate"]);
    assert!(first.status.success(), "{}", errors(&first));
    assert!(out(&first).contains("voice-memory.db"));
    assert!(out(&home.run(&["--migrate"])).contains("up to date"));
}

#[test]
fn several_questions_come_line_by_line() {
    let home = Home::new();
    home.write("questions", "hello\n\n你好\n");
    let done = home
        .command(&["chat"])
        .stdin(Stdio::from(
            std::fs::File::open(home.path("questions")).unwrap(),
        ))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", errors(&done));
    assert_eq!(out(&done).lines().count(), 2, "{}", out(&done));
}

#[test]
fn a_reader_that_goes_away_ends_a_command_without_a_fuss() {
    let home = Home::new();
    let mut child = home
        .command(&["config", "--table"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert_eq!(said, "");
}
