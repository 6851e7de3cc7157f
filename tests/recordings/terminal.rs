//! `magpie record`, `magpie note` and `magpie jobs`.

use std::fs;

use crate::rig::{come_back, go_away, home, memories, numbered, until};
use crate::support::{errors, out};

#[test]
fn a_file_is_recorded_a_note_is_kept_and_what_waits_is_shown_and_retried() {
    let home = home();
    let running = home.serve();
    fs::write(home.path("memo.wav"), numbered(4)).unwrap();
    let done = home.run(&["record", "memo.wav"]);
    assert_eq!(out(&done).trim(), "number 4", "{}", errors(&done));
    let done = home.run(&["note", "call", "the", "plumber"]);
    assert!(done.status.success(), "{}", errors(&done));
    assert_eq!(memories(&running), ["call the plumber", "number 4"]);
    assert_eq!(out(&home.run(&["jobs"])).trim(), "Nothing waits.");

    go_away(&home);
    fs::write(home.path("later.wav"), numbered(8)).unwrap();
    let said = out(&home.run(&["record", "later.wav"]));
    assert!(said.starts_with("Kept;"), "{said}");
    let listed = out(&home.run(&["jobs"]));
    let id = listed.split(' ').next().unwrap().to_string();
    assert!(id.starts_with("job_") && listed.contains("stt"), "{listed}");
    come_back(&home);
    assert!(home.run(&["jobs", "--retry", &id]).status.success());
    until("it is understood", || {
        memories(&running).contains(&String::from("number 8"))
    });

    assert!(!home.run(&["record", "nothing.wav"]).status.success());
    assert!(errors(&home.run(&["jobs", "--delete", "job_x"])).contains("no job"));
}
