//! Power cuts, full and failing cards, killed processes: an acknowledged write survives them all.
//!
//! Each test prints its seed and how many faults it injected, and fails when it injected none.
//! `FAULT_SEED` repeats a run.

mod driver;
mod happy;
#[path = "../happy/phone.rs"]
#[allow(dead_code, reason = "only some of it is needed here")]
mod phone;
mod preload;
mod program;
mod recordings;
mod replay;
mod rig;
mod timers;

use std::fs;
use std::time::Duration;

use driver::{DATABASE, Orders, on_loop};
use magpie::store::{Connection, Durability, OpenError, backup, migrate};
use program::support::{self, machine};
use replay::{Card, Change, Fate, Random};
use rig::{Rig, seed};
use tempfile::TempDir;

/// Not a test: the process that the tests start, watch and kill.
#[test]
#[ignore = "started by the other tests as a process of its own"]
fn driver_process() {
    if let Ok(words) = std::env::var(rig::ORDERS) {
        driver::run(Orders::from_words(&words));
    }
}

#[test]
fn every_acknowledged_memory_survives_a_power_cut_at_any_moment() {
    let cuts = 330;
    let lost = cut_power(Durability::Full, cuts);
    assert_eq!(lost, Losses::default(), "of {cuts} cuts");
}

#[test]
fn the_power_test_notices_when_the_durability_is_lowered() {
    let normal = cut_power(Durability::Normal, 120);
    assert!(normal.acknowledged > 0, "NORMAL passed: the test is blind");
    let off = cut_power(Durability::Off, 120);
    assert!(
        off.acknowledged + off.broken > 0,
        "OFF passed: the test is blind"
    );
}

/// States after a cut in which a promise was broken.
#[derive(Debug, Default, PartialEq, Eq)]
struct Losses {
    /// An acknowledged memory was gone.
    acknowledged: usize,
    /// The store did not open, or its check or its search index failed.
    broken: usize,
}

fn cut_power(durability: Durability, cuts: usize) -> Losses {
    let mut random = Random::new(seed());
    let rig = Rig::new();
    let done = rig.run(&Orders {
        folder: rig.folder(),
        durability,
        memories: 420,
        clients: 6,
        seed: 1,
        pause_each: 60,
        content_bytes: 1_500,
    });
    assert_eq!(done.number("acked"), 420, "{done:?}");
    let changes = replay::read_log(&rig.log());
    let first_ack = changes
        .iter()
        .position(|change| matches!(change, Change::Synced { .. }))
        .expect("nothing was synced");
    let checkpoints = count_writes_to_the_database_after(&changes, first_ack);
    let mut losses = Losses::default();
    let mut faults = 0;
    let mut acknowledged = 0;
    for round in 0..cuts {
        let at = first_ack + random.below((changes.len() - first_ack) as u64) as usize;
        let fate = [Fate::Mixed, Fate::Dropped, Fate::Mixed, Fate::Kept][round % 4];
        let card = replay::cut(&changes[..at], fate, &mut random);
        faults += card.faults;
        acknowledged += card.acks.lines().count();
        match examine(&rig, &card) {
            Ok(0) => {}
            Ok(_) => losses.acknowledged += 1,
            Err(_) if durability != Durability::Full => losses.broken += 1,
            Err(why) => panic!(
                "cut {round} at change {at} ({fate:?}), seed {}: {why}",
                seed()
            ),
        }
    }
    println!(
        "power cut: synchronous={durability:?} seed={} cuts={cuts} changes={} faults_injected={faults} \
         acknowledgements_checked={acknowledged} checkpoint_writes={checkpoints} states_with_loss={} states_broken={}",
        seed(),
        changes.len(),
        losses.acknowledged,
        losses.broken,
    );
    assert!(faults > 0, "no fault was injected");
    assert!(checkpoints > 0, "no checkpoint ran");
    losses
}

fn count_writes_to_the_database_after(changes: &[Change], at: usize) -> usize {
    let mut database = Vec::new();
    let mut count = 0;
    for (index, change) in changes.iter().enumerate() {
        match change {
            Change::Open { file, path } if path.ends_with(DATABASE) => database.push(*file),
            Change::Write { file, .. } if index > at && database.contains(file) => count += 1,
            _ => {}
        }
    }
    count
}

/// Opens what is left with the real store; how many acknowledged memories are gone.
fn examine(rig: &Rig, card: &Card) -> Result<usize, String> {
    let folder = TempDir::new().unwrap();
    card.write_to(&rig.folder(), folder.path());
    examine_folder(folder.path(), &card.acks)
}

fn examine_folder(folder: &std::path::Path, acks: &str) -> Result<usize, String> {
    on_loop(async {
        let store = driver::open(folder, Durability::Full).map_err(|error| error.to_string())?;
        let memories = driver::memories(&store);
        let verdict: Result<String, magpie::store::StoreError> =
            store.read(|db| Ok(db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?));
        if verdict.as_deref() != Ok("ok") {
            return Err(format!("integrity_check said {verdict:?}"));
        }
        let index = memories
            .check_index()
            .await
            .map_err(|error| format!("{error:?}"))?;
        if !index.agrees() {
            return Err(format!("search and table differ: {index:?}"));
        }
        let mut gone = 0;
        for line in acks.lines() {
            let (id, content) = line.split_once(' ').unwrap();
            let found = memories
                .json(id, "", "")
                .is_ok_and(|json| String::from_utf8_lossy(&json).contains(content));
            gone += usize::from(!found);
        }
        store.close().await.map_err(|error| error.to_string())?;
        Ok(gone)
    })
}

#[test]
fn forty_kills_under_load_lose_nothing_acknowledged() {
    let mut random = Random::new(seed());
    let rig = Rig::new();
    let mut killed_with_acks = 0;
    let rounds = 40;
    for round in 0..rounds {
        let mut process = rig.start(
            &Orders {
                folder: rig.folder(),
                durability: Durability::Full,
                memories: 0,
                clients: 8,
                seed: round,
                pause_each: 0,
                content_bytes: 200,
            },
            &[],
        );
        let before = rig.acks().len();
        rig.wait_for_acks_beyond(before);
        std::thread::sleep(Duration::from_micros(random.below(40_000)));
        process.kill();
        let acks = rig.acks();
        killed_with_acks += usize::from(acks.len() > before);
        // The last line may have been cut by the kill: it then acknowledges nothing.
        let whole = &acks[..acks.rfind('\n').map_or(0, |at| at + 1)];
        assert_eq!(
            examine_folder(&rig.folder(), whole),
            Ok(0),
            "round {round}, seed {}",
            seed()
        );
    }
    println!(
        "kill -9: seed={} rounds={rounds} faults_injected={killed_with_acks} acknowledged={}",
        seed(),
        rig.acks().lines().count()
    );
    assert_eq!(killed_with_acks, rounds as usize);
}

#[test]
fn a_failing_write_or_sync_at_any_position_loses_nothing_acknowledged() {
    let mut injected = 0;
    let mut refused = 0;
    let mut unrecovered = Vec::new();
    for (error, kind) in [(libc::EIO, 'w'), (libc::EIO, 's'), (libc::ENOSPC, 'w')] {
        for position in 1.. {
            let rig = Rig::new();
            let orders = Orders {
                folder: rig.folder(),
                durability: Durability::Full,
                memories: 12,
                clients: 2,
                seed: 1,
                pause_each: 3,
                content_bytes: 100,
            };
            let fail = format!("{position}:{error}:{kind}");
            let done = rig.run_with(&orders, &[("RECORDER_FAIL", &fail)]);
            let hit = replay::read_log(&rig.log())
                .iter()
                .any(|change| matches!(change, Change::Failed));
            if !hit {
                break;
            }
            injected += 1;
            refused += done.number("refused");
            if done.number("refused") == 0 && done.number("last_ok") == 0 {
                unrecovered.push(fail.clone());
            }
            // A refused start must leave a folder in which the next start succeeds.
            assert_eq!(
                examine_folder(&rig.folder(), &rig.acks()),
                Ok(0),
                "fault {fail}: {done:?}"
            );
        }
    }
    println!("failing I/O: faults_injected={injected} starts_refused={refused}");
    assert!(injected > 50, "{injected}");
    assert!(
        unrecovered.len() * 10 < injected,
        "writes did not come back after {unrecovered:?}"
    );
}

#[test]
fn a_full_card_refuses_clearly_and_writes_again_when_there_is_space() {
    let words = rig::on_small_card("on_the_small_card");
    println!("card full: {words}");
}

/// Runs inside a mount namespace on a card of its own; see [`rig::on_small_card`].
#[test]
#[ignore = "started by the tests of the full and the read-only card"]
fn on_the_small_card() {
    let Ok(folder) = std::env::var(rig::SMALL_CARD) else {
        return;
    };
    let folder = std::path::PathBuf::from(folder);
    let ballast = folder.join("ballast");
    on_loop(async {
        let store = driver::open(&folder, Durability::Full).unwrap();
        let memories = driver::memories(&store);
        let create = |text: &str| {
            memories.create(magpie::voice::memory::NewMemory::plain(
                format!("{text} {}", "x".repeat(2_000)),
                magpie::voice::memory::Source::Manual,
                magpie::clock::UnixMillis(0),
            ))
        };
        let mut kept = vec![create("before").await.unwrap().id];
        // Whatever still fits is taken away in ever smaller pieces.
        let mut filled = Vec::new();
        for size in [1 << 20, 1 << 16, 1 << 12, 1] {
            loop {
                filled.resize(filled.len() + size, 1);
                if fs::write(&ballast, &filled).is_err() {
                    filled.truncate(filled.len() - size);
                    break;
                }
            }
        }
        fs::write(&ballast, &filled).ok();
        let mut refused = 0;
        for n in 0..50 {
            match create(&format!("full {n}")).await {
                Ok(saved) => kept.push(saved.id),
                Err(error) => {
                    assert!(format!("{error:?}").contains("Full"), "{error:?}");
                    refused += 1;
                }
            }
        }
        for id in &kept {
            assert!(
                memories.json(id, "", "").is_ok(),
                "a read failed on the full card"
            );
        }
        fs::remove_file(&ballast).unwrap();
        kept.push(
            create("space again")
                .await
                .expect("writes did not come back")
                .id,
        );
        for id in &kept {
            assert!(memories.json(id, "", "").is_ok());
        }
        assert!(memories.check_index().await.unwrap().agrees());
        store.close().await.unwrap();
        println!("SMALLCARD faults_injected={refused} kept={}", kept.len());
        assert!(refused > 0, "the card never got full");
    });
}

#[test]
fn a_slow_card_never_stalls_the_loop() {
    let rig = Rig::new();
    let orders = Orders {
        folder: rig.folder(),
        durability: Durability::Full,
        memories: 600,
        clients: 64,
        seed: 1,
        pause_each: 0,
        content_bytes: 200,
    };
    let done = rig.run_with(&orders, &[("RECORDER_SLEEP", "50:50")]);
    let slow_syncs = replay::read_log(&rig.log())
        .iter()
        .filter(|change| matches!(change, Change::Synced { .. }))
        .count();
    println!(
        "slow card: fsync=50ms faults_injected={slow_syncs} acked={} worst_stall_of_the_loop_ms={}",
        done.number("acked"),
        done.number("late_ms")
    );
    assert_eq!(done.number("acked"), 600);
    assert!(slow_syncs > 5);
}

#[test]
fn a_log_cut_at_any_length_opens_with_what_was_checkpointed() {
    let rig = Rig::new();
    let orders = Orders {
        folder: rig.folder(),
        durability: Durability::Full,
        memories: 0,
        clients: 4,
        seed: 1,
        pause_each: 0,
        content_bytes: 300,
    };
    let mut process = rig.start(&orders, &[]);
    while rig.acks().lines().count() < 60 {
        std::thread::sleep(Duration::from_millis(5));
    }
    process.kill();
    let wal = fs::read(rig.folder().join(format!("{DATABASE}-wal"))).unwrap();
    let database = fs::read(rig.folder().join(DATABASE)).unwrap();
    let mut cuts = 0;
    for length in (0..wal.len()).step_by(wal.len() / 60 + 1) {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(DATABASE), &database).unwrap();
        fs::write(
            folder.path().join(format!("{DATABASE}-wal")),
            &wal[..length],
        )
        .unwrap();
        // What was in the log's lost part is gone, but nothing else may be wrong.
        assert!(
            examine_folder(folder.path(), "").is_ok(),
            "log cut to {length} bytes"
        );
        cuts += 1;
    }
    println!("torn log: faults_injected={cuts}");
    assert!(cuts > 40);
}

#[test]
fn a_rotten_file_is_kept_aside_and_named_never_overwritten() {
    let rig = Rig::new();
    let done = rig.run(&Orders {
        folder: rig.folder(),
        durability: Durability::Full,
        memories: 40,
        clients: 1,
        seed: 1,
        pause_each: 0,
        content_bytes: 500,
    });
    assert_eq!(done.number("acked"), 40);
    let sound = fs::read(rig.folder().join(DATABASE)).unwrap();
    let mut random = Random::new(seed());
    let (mut noticed, rounds) = (0, 60);
    for _ in 0..rounds {
        let folder = TempDir::new().unwrap();
        let mut rotten = sound.clone();
        let page = random.below((sound.len() / 4096) as u64) as usize * 4096;
        rotten[page..page + 512].fill(0xa5);
        let path = folder.path().join(DATABASE);
        fs::write(&path, &rotten).unwrap();
        on_loop(async {
            match driver::open(folder.path(), Durability::Full) {
                Ok(_) => {}
                Err(OpenError::Corrupt { kept, .. }) => {
                    noticed += 1;
                    assert_eq!(fs::read(kept).unwrap(), rotten, "the evidence was changed");
                    assert!(!path.exists());
                }
                Err(other) => panic!("{other}"),
            }
        });
    }
    println!(
        "rotten card: seed={} faults_injected={rounds} noticed={noticed}",
        seed()
    );
    assert!(noticed > rounds / 2, "{noticed} of {rounds} were noticed");
}

#[test]
fn a_power_cut_in_a_migration_leaves_the_old_or_the_new_never_between() {
    let mut random = Random::new(seed());
    let rig = Rig::new();
    // A file of the first schema, in place before the recorder looks.
    let old = rig.folder().join(DATABASE);
    let mut connection = Connection::open(&old).unwrap();
    migrate::run(
        &mut connection,
        &migrate::STEPS[..1],
        magpie::clock::UnixMillis(0),
    )
    .unwrap();
    drop(connection);
    let before = fs::read(&old).unwrap();
    rig.run(&Orders {
        folder: rig.folder(),
        durability: Durability::Full,
        memories: 1,
        clients: 1,
        seed: 1,
        pause_each: 0,
        content_bytes: 10,
    });
    let changes = replay::read_log(&rig.log());
    // The recorder saw the file opened but not what it held.
    let start: Vec<Change> = {
        let mut start = vec![
            Change::Open {
                file: i32::MAX,
                path: old.clone(),
            },
            Change::Write {
                file: i32::MAX,
                at: 0,
                data: before,
            },
            Change::SyncBegan { file: i32::MAX },
            Change::Synced { file: i32::MAX },
        ];
        start.extend(changes);
        start
    };
    let (mut faults, mut olds) = (0, 0);
    for at in 4..start.len() {
        let fate = [Fate::Mixed, Fate::Dropped, Fate::Kept][at % 3];
        let card = replay::cut(&start[..at], fate, &mut random);
        faults += card.faults;
        let folder = TempDir::new().unwrap();
        card.write_to(&rig.folder(), folder.path());
        let path = folder.path().join(DATABASE);
        let connection = Connection::open(&path).unwrap();
        let version = migrate::version(&connection).unwrap() as usize;
        drop(connection);
        assert!((1..=migrate::STEPS.len()).contains(&version), "{version}");
        olds += usize::from(version == 1);
        assert_eq!(
            examine_folder(folder.path(), &card.acks),
            Ok(0),
            "cut at {at}"
        );
        if version < migrate::STEPS.len() {
            assert!(
                backup::newest_good(&backup::folder(&path)).is_some(),
                "the next start kept no copy"
            );
        }
    }
    println!(
        "migration: seed={} cuts={} faults_injected={faults} old={olds}",
        seed(),
        start.len() - 4
    );
    assert!(faults > 0 && olds > 0);
}

#[test]
fn a_read_only_card_is_told_and_reads_go_on() {
    let words = rig::on_small_card("on_the_read_only_card");
    println!("read-only card: {words}");
}

/// As [`on_the_small_card`], for a card that turns read-only while the store is open.
#[test]
#[ignore = "started by the test of the read-only card"]
fn on_the_read_only_card() {
    let Ok(folder) = std::env::var(rig::SMALL_CARD) else {
        return;
    };
    let folder = std::path::PathBuf::from(folder);
    on_loop(async {
        let store = driver::open(&folder, Durability::Full).unwrap();
        let memories = driver::memories(&store);
        let create = |text: &str| {
            memories.create(magpie::voice::memory::NewMemory::plain(
                text,
                magpie::voice::memory::Source::Manual,
                magpie::clock::UnixMillis(0),
            ))
        };
        let kept = create("before").await.unwrap().id;
        store.close().await.unwrap();
        drop((memories, store));
        rig::remount(&folder, "ro");
        let refused = driver::open(&folder, Durability::Full).err();
        println!("SMALLCARD faults_injected=1 start_said={refused:?}");
        rig::remount(&folder, "rw");
        let store = driver::open(&folder, Durability::Full).unwrap();
        assert!(driver::memories(&store).json(&kept, "", "").is_ok());
        assert!(refused.is_some_and(|error| error.to_string().contains("writable card")));
    });
}
