//! Versions that do not prove themselves, and what becomes of the database then.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;

use crate::machine::{Cut, Machine, Release, autoboot, points, run_cut};
use crate::support::errors;

/// Release 2 has been written to slot B and started.
fn on_trial() -> Machine {
    let mut machine = Machine::new();
    let offer = machine.offer(&Release::new(2).bundle());
    machine.run_well(&[offer.path()]);
    assert_eq!(machine.restart_as_asked(), (2, 'B'));
    machine.run_well(&["--settle"]);
    machine
}

#[test]
fn a_version_that_does_not_get_healthy_goes_and_the_old_one_says_why() {
    let mut machine = on_trial();
    let given_up = machine.run(&["--confirm", "--total-seconds", "1"]);
    assert_eq!(given_up.status.code(), Some(1));
    assert!(
        errors(&given_up).contains("does not answer"),
        "{}",
        errors(&given_up)
    );
    assert_eq!(machine.autoboot(), autoboot(2));
    assert_eq!(machine.restart_as_asked(), (1, 'A'));
    let told = machine.run_well(&["--settle"]);
    assert!(
        told.contains("Version 0.2.0 was given up for 0.1.0"),
        "{told}"
    );
    let last = &machine.status()["last"];
    assert_eq!(last["result"], "rolled_back");
    assert_eq!(last["database_put_back"], false);
    assert!(
        last["why"].as_str().unwrap().contains("does not answer"),
        "{last}"
    );
    assert_eq!(machine.said(), "spare key");
    assert!(!machine.path("data/magpie/before-update").exists());
    // Nothing is left that a second look would find, and the next update is welcome.
    assert!(machine.run_well(&["--settle"]).contains("No update"));
    let offer = machine.offer(&Release::new(3).bundle());
    machine.run_well(&[offer.path()]);
    assert_eq!(machine.restart_as_asked(), (3, 'B'));
}

#[test]
fn a_power_cut_during_the_trial_ends_in_the_old_version() {
    let mut machine = on_trial();
    assert_eq!(machine.start(), (1, 'A'));
    machine.run_well(&["--settle"]);
    let last = machine.status()["last"].clone();
    assert_eq!(last["result"], "rolled_back");
    assert!(
        last["why"]
            .as_str()
            .unwrap()
            .contains("before it had been healthy"),
        "{last}"
    );
}

#[test]
fn a_database_that_the_new_version_has_changed_is_put_back_for_the_old_one() {
    let mut machine = on_trial();
    machine.say("said to the new version");
    machine.change_form_of_the_database();
    assert_eq!(machine.start(), (1, 'A'));
    let told = machine.home.run(&["serve"]);
    assert_eq!(told.status.code(), Some(1));
    assert!(
        errors(&told).contains("written by a newer release"),
        "{}",
        errors(&told)
    );
    let settled = machine.run_well(&["--settle"]);
    assert!(settled.contains("database is that of before"), "{settled}");
    assert_eq!(machine.said(), "spare key");
    assert_eq!(machine.status()["last"]["database_put_back"], true);
    let aside: Vec<_> = fs::read_dir(machine.path("data/magpie"))
        .unwrap()
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("before-restore-")
        })
        .collect();
    assert_eq!(aside.len(), 1);
    assert!(
        aside[0].path().join("voice-memory.db").exists(),
        "the newer one is kept"
    );
    // The old version starts with it, and tells its own people what happened.
    let serving = machine.home.serve();
    let health = serving.get("/health").json();
    assert_eq!(health["last_update"]["result"], "rolled_back");
    assert_eq!(health["last_update"]["version"], "0.2.0");
}

#[test]
fn a_power_cut_while_the_database_is_put_back_is_made_good_by_the_next_start() {
    let ready = || {
        let mut machine = on_trial();
        machine.change_form_of_the_database();
        assert_eq!(machine.start(), (1, 'A'));
        machine
    };
    let (changes, done) = run_cut(&ready(), Cut { at: 0, how: "kill" }, &["--settle"]);
    assert!(done.status.success(), "{}", errors(&done));
    let cuts = points(&changes);
    assert!(cuts.len() > 8, "{changes}");
    for &at in &cuts {
        let machine = ready();
        let (_, done) = run_cut(&machine, Cut { at, how: "kill" }, &["--settle"]);
        assert_eq!(done.status.code(), None, "killed at {at}");
        machine.run_well(&["--settle"]);
        assert_eq!(machine.said(), "spare key", "killed at {at}");
        assert!(!machine.path("data/device/trial.json").exists());
        assert_eq!(
            machine.status()["last"]["result"],
            "rolled_back",
            "killed at {at}"
        );
    }
    println!("killed at {} of {} changes", cuts.len(), changes.len());
}

#[test]
fn a_note_that_cannot_be_read_is_a_trial_that_failed() {
    let mut machine = on_trial();
    assert_eq!(machine.start(), (1, 'A'));
    fs::write(machine.path("data/device/trial.json"), "\0\0\0\0").unwrap();
    machine.run_well(&["--settle"]);
    assert_eq!(machine.status()["last"]["result"], "rolled_back");
    let offer = machine.offer(&Release::new(2).bundle());
    machine.run_well(&[offer.path()]);
}

/// As on a board: root updates, and the data are the service's own.
#[test]
fn what_root_puts_back_belongs_to_the_service() {
    const SERVICE: u32 = 65534;
    // SAFETY: asks for a number and touches no memory.
    if unsafe { libc::geteuid() } != 0 {
        println!("only root can give a folder away; not tried");
        return;
    }
    let mut machine = Machine::new();
    let data = machine.path("data/magpie");
    let everything = || -> Vec<PathBuf> {
        let inside = fs::read_dir(&data)
            .unwrap()
            .flatten()
            .map(|entry| entry.path());
        inside.chain([data.clone()]).collect()
    };
    for path in everything() {
        chown(path, Some(SERVICE), Some(SERVICE)).unwrap();
    }
    // A service that was taken over would like root to write elsewhere.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o700)).unwrap();
    symlink(elsewhere.path(), data.join("before-update")).unwrap();
    fs::set_permissions(
        machine.home.folder.path(),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let offer = machine.offer(&Release::new(2).bundle());
    let refused = machine.run(&[offer.path()]);
    assert!(
        errors(&refused).contains("copy of the database"),
        "{}",
        errors(&refused)
    );
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    fs::remove_file(data.join("before-update")).unwrap();

    machine.run_well(&[offer.path()]);
    let kept = fs::metadata(data.join("before-update/database.db")).unwrap();
    assert_eq!((kept.uid(), kept.mode() & 0o777), (SERVICE, 0o600));
    assert_eq!(machine.restart_as_asked(), (2, 'B'));
    machine.change_form_of_the_database();
    assert_eq!(machine.start(), (1, 'A'));
    machine.run_well(&["--settle"]);
    assert_eq!(machine.said(), "spare key");
    for path in everything() {
        assert_eq!(
            fs::metadata(&path).unwrap().uid(),
            SERVICE,
            "{}",
            path.display()
        );
    }
    let notes = fs::metadata(machine.path("data/device/update.json")).unwrap();
    assert_eq!(notes.uid(), 0, "root's own notes stay root's");
}
