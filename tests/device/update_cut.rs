//! Updates that are cut off, and cards that fail: what runs and what starts next stay as they are,
//! and the next update works. Each test prints how many faults it made, and fails when none.

use crate::machine::{Cut, Machine, Offer, Release, autoboot, points, run_cut};
use crate::support::{errors, out};

/// The changes that an update without a fault makes.
fn changes_of(release: &Release) -> String {
    let machine = Machine::new();
    let offer = machine.offer(&release.bundle());
    let (changes, done) = run_cut(&machine, Cut { at: 0, how: "kill" }, &[offer.path()]);
    assert!(done.status.success(), "{}", errors(&done));
    assert!(machine.holds_in_b(release));
    assert!(changes.len() > 15, "only {changes}");
    changes
}

/// After a fault: nothing that matters has changed, and an update without one works.
fn is_as_before_and_can_be_updated(
    machine: &mut Machine,
    offer: &Offer,
    before: &[Vec<u8>],
    what: &str,
) {
    assert!(machine.untouchable('A') == before, "{what}");
    assert_eq!(machine.start(), (1, 'A'), "{what}");
    machine.run_well(&["--settle"]);
    assert_eq!(machine.said(), "spare key", "{what}");
    machine.run_well(&[offer.path()]);
    assert!(machine.holds_in_b(&Release::new(2)), "{what}");
    assert!(machine.untouchable('A') == before, "{what}");
    assert_eq!(machine.restart_as_asked(), (2, 'B'), "{what}");
}

#[test]
fn an_update_that_is_killed_at_any_change_leaves_the_box_as_it_was() {
    let release = Release::new(2);
    let all = changes_of(&release);
    let cuts = points(&all);
    for &at in &cuts {
        let mut machine = Machine::new();
        let (offer, before) = (machine.offer(&release.bundle()), machine.untouchable('A'));
        let (changes, done) = run_cut(&machine, Cut { at, how: "kill" }, &[offer.path()]);
        assert_eq!(done.status.code(), None, "killed at {at}: {}", out(&done));
        assert_eq!(changes.len(), at);
        is_as_before_and_can_be_updated(&mut machine, &offer, &before, &format!("killed at {at}"));
    }
    println!("killed at {} of {} changes", cuts.len(), all.len());
    assert!(cuts.len() > 15, "only {cuts:?}");
}

#[test]
fn an_update_whose_card_fails_at_any_change_says_so_and_leaves_the_box_as_it_was() {
    let release = Release::new(2);
    let cuts = points(&changes_of(&release));
    let mut failed = 0;
    for &at in &cuts {
        let errno = if at % 2 == 0 { libc::ENOSPC } else { libc::EIO };
        let mut machine = Machine::new();
        let (offer, before) = (machine.offer(&release.bundle()), machine.untouchable('A'));
        let how = errno.to_string();
        let (_, done) = run_cut(&machine, Cut { at, how: &how }, &[offer.path()]);
        // What fails while it cleans up after itself need not end an update.
        if done.status.success() {
            assert!(machine.holds_in_b(&release), "{at}");
            assert!(machine.untouchable('A') == before, "{at}");
            assert!(machine.path("data/device/trial.json").exists(), "{at}");
            continue;
        }
        failed += 1;
        let why = std::io::Error::from_raw_os_error(errno).to_string();
        let said = errors(&done);
        assert!(
            said.contains(&why) || said.contains("copy of the database"),
            "at {at}: {said}"
        );
        is_as_before_and_can_be_updated(&mut machine, &offer, &before, &format!("failed at {at}"));
    }
    println!("{failed} of {} failures ended the update", cuts.len());
    assert!(failed > 10, "only {failed}");
}

#[test]
fn what_the_card_loses_is_noticed_when_it_is_read_back() {
    let release = Release::new(2);
    let mut noticed = 0;
    for at in 1..=count_of_card_writes(&release) {
        let mut machine = Machine::new();
        let (offer, before) = (machine.offer(&release.bundle()), machine.untouchable('A'));
        let (_, done) = run_cut(&machine, Cut { at, how: "lose" }, &[offer.path()]);
        assert_eq!(done.status.code(), Some(1), "at {at}");
        let said = errors(&done);
        assert!(
            said.contains("does not keep what was written"),
            "at {at}: {said}"
        );
        noticed += 1;
        assert!(!machine.path("data/device/trial.json").exists());
        is_as_before_and_can_be_updated(&mut machine, &offer, &before, &format!("lost at {at}"));
    }
    println!("{noticed} lost writes noticed");
}

/// The writes before the first sync are those of the two partitions.
fn count_of_card_writes(release: &Release) -> usize {
    let machine = Machine::new();
    let offer = machine.offer(&release.bundle());
    let (changes, _) = run_cut(&machine, Cut { at: 0, how: "kill" }, &[offer.path()]);
    let writes = changes.chars().take_while(|kind| *kind == 'w').count();
    assert!(writes >= 4, "{changes}");
    writes
}

#[test]
fn a_new_version_that_is_killed_while_it_decides_decides_again() {
    let ready = || {
        let mut machine = Machine::new();
        let offer = machine.offer(&Release::new(2).bundle());
        machine.run_well(&[offer.path()]);
        assert_eq!(machine.restart_as_asked(), (2, 'B'));
        machine
    };
    let confirm = ["--confirm", "--healthy-seconds", "0"];
    let machine = ready();
    let serving = machine.home.serve();
    let (changes, done) = run_cut(&machine, Cut { at: 0, how: "kill" }, &confirm);
    assert!(done.status.success(), "{}", errors(&done));
    drop(serving);
    let cuts = points(&changes);
    assert!(cuts.len() > 8, "{changes}");
    let (mut old, mut new) = (0, 0);
    for &at in &cuts {
        let mut machine = ready();
        let serving = machine.home.serve();
        let (_, done) = run_cut(&machine, Cut { at, how: "kill" }, &confirm);
        assert_eq!(done.status.code(), None, "killed at {at}");
        drop(serving);
        // The power goes: what autoboot.txt says now decides, and it says one of two things.
        let slot = machine.start();
        machine.run_well(&["--settle"]);
        let status = machine.status();
        assert!(!machine.path("data/device/trial.json").exists(), "{at}");
        match slot {
            (1, 'A') => {
                old += 1;
                assert_eq!(machine.autoboot(), autoboot(2));
                assert_eq!(status["last"]["result"], "rolled_back", "{at}");
            }
            (2, 'B') => {
                new += 1;
                assert_eq!(machine.autoboot(), autoboot(3));
                assert_eq!(status["last"]["result"], "updated", "{at}");
            }
            other => panic!("{at}: {other:?}"),
        }
        assert_eq!(machine.said(), "spare key");
    }
    println!(
        "killed at {} changes: {old} times the old version, {new} times the new one",
        cuts.len()
    );
    assert!(old > 0 && new > 0);
}
