//! Backups, the way back while the box runs, tokens: by the real program.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Home, errors, eventually, out};

/// The backup that was made last.
fn newest(home: &Home) -> PathBuf {
    let entries = fs::read_dir(home.path("data/backups")).unwrap();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "zip"))
        .collect();
    found.sort();
    found.pop().expect("a backup")
}

fn exported(home: &Home) -> Vec<String> {
    let text = out(&home.run(&["export", "-"]));
    text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_running_box_is_taken_back_to_its_backup_and_comes_up_again_by_itself() {
    let home = Home::new();
    let running = home.serve();
    assert!(home.run(&["remember", "the first thing"]).status.success());
    fs::create_dir_all(home.path("data/recordings")).unwrap();
    fs::write(home.path("data/recordings/one.wav"), b"RIFF one").unwrap();
    let before = exported(&home);
    let done = home.run(&["backup", "copy.zip"]);
    assert!(done.status.success(), "{}", errors(&done));
    assert!(out(&done).contains("2 files"), "{}", out(&done));
    assert_eq!(
        fs::read(home.path("copy.zip")).unwrap(),
        fs::read(newest(&home)).unwrap()
    );

    assert!(home.run(&["remember", "a second thing"]).status.success());
    fs::write(home.path("data/recordings/two.wav"), b"RIFF two").unwrap();
    let done = home.run(&["restore", "copy.zip"]);
    assert!(
        done.status.success(),
        "{}\n{}",
        errors(&done),
        running.log()
    );
    assert_eq!(exported(&home), before, "the restored box is the source");
    assert_eq!(
        fs::read(home.path("data/recordings/one.wav")).unwrap(),
        b"RIFF one"
    );
    assert!(!home.path("data/recordings/two.wav").exists());
    let told: Value = serde_json::from_str(&home.read("data/restored.json")).unwrap();
    let aside = format!("data/before-restore-{}", told["stamp"].as_str().unwrap());
    assert_eq!(
        home.read(&format!("{aside}/recordings/two.wav")),
        "RIFF two"
    );
    assert!(home.path(&format!("{aside}/voice-memory.db")).exists());
    assert!(home.run(&["--healthcheck"]).status.success());
    assert!(running.stop().success());
}

#[test]
fn a_backup_whose_caller_hangs_up_comes_to_its_end_and_bars_no_other() {
    let home = Home::new();
    let running = home.serve();
    fs::create_dir_all(home.path("data/recordings")).unwrap();
    let sound: Vec<u8> = (0..6_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    fs::write(home.path("data/recordings/long.wav"), sound).unwrap();
    fs::create_dir_all(home.path("data/backups")).unwrap();
    let cut_off = "20260101T020000Z.copy";
    home.write(&format!("data/backups/{cut_off}"), "of a power cut");
    let names = || -> Vec<String> {
        let entries = fs::read_dir(home.path("data/backups")).unwrap().flatten();
        entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    };

    let mut hasty = TcpStream::connect(running.address("http").unwrap()).unwrap();
    hasty
        .write_all(b"POST /api/v1/backup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    assert!(eventually(|| names()
        .iter()
        .any(|name| name.ends_with(".part"))));
    drop(hasty);
    running.wait_for_log("event=backup_made");
    let next = running.post("/api/v1/backup", &json!({}));
    assert_eq!(next.status, 201, "{:?}", next.json());
    assert!(
        names().iter().all(|name| name.ends_with(".zip")),
        "{:?}",
        names()
    );
}

#[test]
fn a_damaged_backup_changes_nothing_and_says_so() {
    let home = Home::new();
    assert!(home.run(&["remember", "stays"]).status.success());
    assert!(home.run(&["backup"]).status.success());
    let mut bytes = fs::read(newest(&home)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(home.path("bad.zip"), bytes).unwrap();
    for name in ["bad.zip", ".env.example"] {
        home.write(".env.example", "no backup");
        let done = home.run(&["restore", name]);
        assert_eq!(done.status.code(), Some(1), "{name}");
        assert!(
            errors(&done).contains("nothing was changed"),
            "{}",
            errors(&done)
        );
    }
    assert!(out(&home.run(&["recall", "stays"])).contains("stays"));
}

#[test]
fn a_box_that_does_not_run_is_restored_too_and_secrets_need_its_key() {
    let (one, two) = (Home::new(), Home::new());
    assert!(one.run(&["remember", "moved house"]).status.success());
    assert!(one.run(&["backup"]).status.success());
    let zip = fs::read(newest(&one)).unwrap();
    for secret in ["box.key", "ca-key", "local.token"] {
        assert!(!String::from_utf8_lossy(&zip).contains(secret), "{secret}");
    }
    fs::write(two.path("moved.zip"), zip).unwrap();
    assert!(two.run(&["remember", "was here before"]).status.success());
    let done = two.run(&["restore", "moved.zip"]);
    assert!(done.status.success(), "{}", errors(&done));
    assert!(out(&two.run(&["recall", "moved"])).contains("moved house"));
    assert_eq!(two.run(&["recall", "before"]).status.code(), Some(1));
}

#[test]
fn a_rollback_takes_the_copy_of_before_an_update() {
    let home = Home::new();
    assert_eq!(home.run(&["rollback"]).status.code(), Some(1));
    assert!(home.run(&["remember", "of old"]).status.success());
    fs::create_dir_all(home.path("data/backups")).unwrap();
    let copy = home.path("data/backups/before-0009-20260101.db");
    fs::copy(home.path("data/voice-memory.db"), copy).unwrap();
    assert!(home.run(&["remember", "of late"]).status.success());
    let done = home.run(&["rollback"]);
    assert!(done.status.success(), "{}", errors(&done));
    assert!(out(&home.run(&["recall", "old"])).contains("of old"));
    assert_eq!(home.run(&["recall", "late"]).status.code(), Some(1));
    let running = home.serve();
    assert!(errors(&home.run(&["rollback"])).contains("stop it first"));
    drop(running);
}

#[test]
fn a_token_is_made_listed_used_and_revoked() {
    let home = Home::new().set("VOICE_AUTH", "strict");
    let running = home.serve();
    let token = out(&home.run(&["token", "make", "display"]))
        .trim()
        .to_owned();
    assert!(token.starts_with("mgp_"), "{token}");
    let list = out(&home.run(&["token", "list", "--json"]));
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["name"], "display");
    assert!(!list.to_string().contains(&token), "a token is shown once");
    let call = || {
        let url = format!("http://{}/api/v1/tags", running.address("http").unwrap());
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .build(),
        );
        let bearer = format!("Bearer {token}");
        agent
            .get(url)
            .header("authorization", bearer)
            .call()
            .unwrap()
            .status()
    };
    assert_eq!(call(), 200);
    let done = home.run(&["token", "revoke", list[0]["id"].as_str().unwrap()]);
    assert!(done.status.success(), "{}", errors(&done));
    assert_eq!(call(), 401);
    assert!(out(&home.run(&["token", "list"])).contains("No device"));
}

#[test]
fn a_backup_is_copied_to_another_disk_and_that_copy_restores_all_of_it() {
    let share = tempfile::tempdir_in("/dev/shm").unwrap();
    let home = Home::new().set("BACKUP_COPY_DIR", share.path().to_str().unwrap());
    let running = home.serve();
    assert!(home.run(&["remember", "the first thing"]).status.success());
    fs::create_dir_all(home.path("data/recordings")).unwrap();
    fs::write(home.path("data/recordings/one.wav"), b"RIFF one").unwrap();
    let before = exported(&home);
    let done = home.run(&["backup"]);
    assert!(done.status.success(), "{}", errors(&done));
    let copy = share.path().join(newest(&home).file_name().unwrap());
    assert_eq!(fs::read(&copy).unwrap(), fs::read(newest(&home)).unwrap());
    let doctor = out(&home.run(&["doctor"]));
    assert!(doctor.contains("and copied"), "{doctor}");
    assert!(running.stop().success());

    let other = Home::new();
    let done = other.run(&["restore", copy.to_str().unwrap()]);
    assert!(done.status.success(), "{}", errors(&done));
    assert_eq!(exported(&other), before, "the restored box is the source");
    assert_eq!(
        fs::read(other.path("data/recordings/one.wav")).unwrap(),
        b"RIFF one"
    );
}

#[test]
fn a_share_that_is_not_mounted_is_told_and_the_backup_counts_all_the_same() {
    let home = Home::new();
    fs::create_dir(home.path("share")).unwrap();
    let home = home.set("BACKUP_COPY_DIR", "share");
    let _running = home.serve();
    let done = home.run(&["backup", "--due"]);
    assert_eq!(done.status.code(), Some(1), "{}", out(&done));
    assert!(errors(&done).contains("mounted"), "{}", errors(&done));
    assert!(newest(&home).exists());
    let doctor = out(&home.run(&["doctor"]));
    assert!(doctor.contains("mount the share"), "{doctor}");
    // A timer beside the box makes no second one.
    let done = home.run(&["backup", "--due"]);
    assert!(done.status.success(), "{}", errors(&done));
    assert!(out(&done).contains("will do"), "{}", out(&done));
}
