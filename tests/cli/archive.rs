//! Export and import by the command line, through the running box and without one.

use std::fs;

use serde_json::json;

use crate::support::{Home, errors, eventually, out};

fn fill(home: &Home) {
    for text in ["the spare key is under the pot", "备用钥匙在花盆下面"] {
        assert!(home.run(&["remember", text]).status.success());
    }
    assert!(home.run(&["chat", "hello"]).status.success());
}

#[test]
fn what_one_box_exports_another_imports_once() {
    let (one, two) = (Home::new(), Home::new());
    fill(&one);
    let running = one.serve();
    for format in ["jsonl", "zip"] {
        let name = format!("all.{format}");
        let done = one.run(&["export", "--format", format, &name]);
        assert!(done.status.success(), "{}", errors(&done));
        fs::copy(one.path(&name), two.path(&name)).unwrap();
    }
    drop(running);

    let running = two.serve();
    let dry = out(&two.run(&["import", "--dry-run", "all.zip"]));
    assert!(
        dry.contains("memory: 2 new") && dry.contains("dry run"),
        "{dry}"
    );
    assert!(!out(&two.run(&["recall", "key"])).contains("pot"));
    let done = two.run(&["import", "all.zip"]);
    assert!(out(&done).contains("message: 2 new"), "{}", out(&done));
    assert!(out(&two.run(&["recall", "key"])).contains("under the pot"));
    assert!(out(&two.run(&["recall", "钥匙"])).contains("花盆"));
    let again = out(&two.run(&["import", "all.jsonl"]));
    assert!(again.contains("memory: 0 new, 2 there already"), "{again}");
    assert!(again.contains("Nothing was new"), "{again}");
    assert!(running.stop().success());
    let readable = out(&two.run(&["export", "--format", "md", "-"]));
    assert!(readable.contains("**You**: hello"), "{readable}");
}

#[test]
fn a_timer_that_an_import_brings_counts_at_once() {
    let home = Home::new();
    let running = home.serve();
    let line = json!({
        "type": "timer", "id": "tmr_0000000000000001", "kind": "reminder", "label": "water",
        "state": "pending", "due_at": "2024-02-01T07:00:00Z",
        "created_at": "2024-01-31T20:00:00Z", "updated_at": "2024-01-31T20:00:00Z",
    });
    home.write("timers", &format!("{line}\n"));
    let done = home.run(&["import", "timers"]);
    assert!(
        out(&done).contains("timer: 1 new"),
        "{}{}",
        out(&done),
        errors(&done)
    );
    // It came due long ago: missed, which only what watches the time finds out.
    let listed = || running.get("/api/v1/timers").json()["data"]["timers"][0].clone();
    assert!(eventually(|| listed()["state"] == "missed"), "{}", listed());
    assert_eq!(listed()["label"], "water");
}

#[test]
fn a_file_that_is_none_is_refused_with_its_line_and_nothing_is_kept() {
    let home = Home::new();
    let running = home.serve();
    home.write("bad", "{\"type\":\"tag\",\"id\":\"tag_0000000000000001\",\"name\":\"a\",\"color\":\"x\"}\nnonsense\n");
    let done = home.run(&["import", "bad"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(errors(&done).contains("line 2"), "{}", errors(&done));
    assert_eq!(running.get("/api/v1/tags").json()["data"]["total"], 0);
    assert!(fs::read_dir(home.path("data/tmp")).map_or(0, Iterator::count) <= 1);
    assert_eq!(home.run(&["import", "missing"]).status.code(), Some(1));
}
