//! Accounts that come and go in a room with a real store and folder, also where it ends meanwhile.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::round_trip_tests::{Card, id};
use crate::clock::Clock;
use crate::happy::db::messages::{self, NewMessage};
use crate::happy::db::{accounts, archive, removal};
use crate::happy::presence_tests::NOW;
use crate::happy::push::PushWay;
use crate::happy::{Happy, HappyParts, Registration, Seal};
use crate::ops::Registry;
use crate::outbound::{Outbound, OutboundOptions};
use crate::store::{Connection, Durability, Store, StoreError, StoreOptions};

/// Several transactions of an import.
const MORE_MESSAGES: usize = 3_000;
/// Only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

struct NoSeal;

impl Seal for NoSeal {
    fn seal(&self, _: &str, _: &str) -> Option<String> {
        None
    }
    fn open(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}

async fn room(folder: &Path, account_bytes: i64) -> Happy {
    let (clock, metrics) = (Clock::manual(NOW), Registry::default());
    let store = Store::open(StoreOptions {
        path: folder.join("box.db"),
        clock: clock.clone(),
        metrics: metrics.clone(),
        durability: Durability::Full,
    })
    .expect("a store");
    Happy::start(HappyParts {
        store,
        clock,
        metrics: metrics.clone(),
        registration: Registration::Closed,
        is_limited: true,
        account_bytes,
        keep_days: 0,
        data_dir: folder.into(),
        push: PushWay::Off,
        aloud: None,
        outbound: Outbound::new(OutboundOptions::default(), &metrics).expect("a way out"),
        seal: Rc::new(NoSeal),
    })
    .await
    .expect("a key")
}

/// Everything of the loop ends with it, as in a power cut; the card stays.
fn run<T>(work: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async { work().await })
}

async fn count(happy: &Happy, sql: &'static str) -> i64 {
    let counted = happy.0.store.query(move |db| {
        let count = db.query_row(sql, [], |row| row.get(0))?;
        Ok::<_, StoreError>(count)
    });
    counted.await.expect("a count")
}

const ALL: &str = "SELECT (SELECT count(*) FROM happy_accounts)
    + (SELECT count(*) FROM happy_sessions) + (SELECT count(*) FROM happy_messages)
    + (SELECT count(*) FROM happy_machines) + (SELECT count(*) FROM happy_artifacts)
    + (SELECT count(*) FROM happy_kv) + (SELECT count(*) FROM happy_attachments)";
const MESSAGES: &str = "SELECT count(*) FROM happy_messages";
const COMING: &str = "SELECT count(*) FROM happy_accounts WHERE mark = 'importing'";
const GOING: &str = "SELECT count(*) FROM happy_accounts WHERE mark = 'removing'";

fn has_files(folder: &Path) -> bool {
    let sessions = fs::read_dir(folder.join("files/sessions"));
    sessions.is_ok_and(|mut entries| entries.next().is_some())
}

async fn is_empty_at_last(happy: &Happy, folder: &Path) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if count(happy, ALL).await == 0 && !has_files(folder) {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// The archive of an account, as a file in the folder.
fn archive_in(folder: &Path, more_messages: usize) -> std::path::PathBuf {
    let card = Card::settled();
    let new = (0..more_messages).map(|number| NewMessage {
        id: id(100_000 + number),
        local_id: Some(format!("more {number}")),
        content: "x".repeat(300),
    });
    messages::store(&card.db, &id(1), &id(11), new.collect(), NOW).expect("messages");
    let path = folder.join("archive.zip");
    fs::write(&path, card.export()).expect("written");
    path
}

#[test]
fn an_account_comes_and_goes_with_its_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = archive_in(folder.path(), MORE_MESSAGES);
    run(async || {
        let happy = room(folder.path(), 1 << 30).await;
        let loaded = happy.load(path.clone()).await.expect("taken in");
        assert_eq!(loaded.account, id(1));
        assert!(!loaded.is_name_taken);
        assert_eq!(loaded.counts["message"], 33 + MORE_MESSAGES);
        let known = happy
            .0
            .store
            .read(|db| accounts::of_key(db, &"ab".repeat(32)));
        assert_eq!(known, Ok(Some(id(1))));
        let blob = happy.0.files.attachment(&id(10), "a.enc").path();
        assert_eq!(fs::read(blob).expect("a file"), b"blob");
        let again = happy.load(path).await.err().expect("refused");
        assert_eq!(again.status, 409);
        assert!(again.message.contains("here already"), "{}", again.message);
        assert_eq!(happy.part_with(&id(1)).await, Ok(true));
        assert_eq!(happy.part_with(&id(1)).await, Ok(false));
        let known = happy
            .0
            .store
            .read(|db| accounts::of_key(db, &"ab".repeat(32)));
        assert_eq!(known, Err(StoreError::Busy), "it goes");
        happy.take_apart_account(&id(1)).await.expect("gone");
        assert_eq!(count(&happy, ALL).await, 0);
        assert!(!has_files(folder.path()));
    });
}

#[test]
fn of_an_account_that_is_too_large_nothing_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = archive_in(folder.path(), MORE_MESSAGES);
    run(async || {
        // Its files are what is too much, or the second thousand of its messages.
        for account_bytes in [900_000, 1_000_000] {
            let happy = room(folder.path(), account_bytes).await;
            let refused = happy.load(path.clone()).await.err().expect("refused");
            assert_eq!(refused.status, 507, "{}", refused.message);
            assert_eq!(count(&happy, ALL).await, 0);
            assert!(!has_files(folder.path()));
        }
    });
}

#[test]
fn an_account_whose_session_is_anothers_leaves_that_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = archive_in(folder.path(), 0);
    run(async || {
        let happy = room(folder.path(), 1 << 30).await;
        let there = happy.0.store.write(|db| {
            db.execute_batch(&format!(
                "INSERT INTO happy_accounts (id, public_key, created_at, updated_at)
                 VALUES ('{other}', 'cd', 1, 2);
                 INSERT INTO happy_sessions (id, account_id, tag, metadata, last_active_at,
                     created_at, updated_at)
                 VALUES ('{session}', '{other}', 't', 'theirs', 1, 1, 1);
                 INSERT INTO happy_attachments VALUES ('{session}', 'a.enc', '{other}', 9, 1);",
                other = id(2),
                session = id(10)
            ))?;
            Ok::<_, StoreError>(())
        });
        there.await.expect("another account");
        let place = happy.0.files.attachment(&id(10), "a.enc");
        place.write_here(b"theirs").expect("written");
        let refused = happy.load(path).await.err().expect("refused");
        assert_eq!(refused.status, 409, "{}", refused.message);
        assert_eq!(fs::read(place.path()).expect("a file"), b"theirs");
        assert_eq!(count(&happy, ALL).await, 3);
    });
}

/// Loads until `is_enough`, and ends there with all of the loop. Whether it came to that.
fn cut_off(folder: &Path, path: &Path, is_enough: impl AsyncFn(&Happy) -> bool) -> bool {
    run(async || {
        let happy = room(folder, 1 << 30).await;
        let own = happy.clone();
        let path = path.to_owned();
        let loading = tokio::task::spawn_local(async move { own.load(path).await });
        while !loading.is_finished() {
            if is_enough(&happy).await {
                return true;
            }
        }
        false
    })
}

fn never_was(folder: &Path, path: &Path) {
    run(async || {
        let happy = room(folder, 1 << 30).await;
        assert!(is_empty_at_last(&happy, folder).await);
        happy
            .load(path.to_owned())
            .await
            .expect("it can come again");
        assert_eq!(count(&happy, MESSAGES).await, 33 + MORE_MESSAGES as i64);
        assert_eq!(count(&happy, COMING).await, 0);
    });
}

#[test]
fn an_import_that_ends_among_its_rows_never_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = archive_in(folder.path(), MORE_MESSAGES);
    let met = cut_off(folder.path(), &path, async |happy| {
        count(happy, COMING).await == 1 && count(happy, MESSAGES).await > 0
    });
    assert!(met, "it was done before");
    never_was(folder.path(), &path);
}

#[test]
fn a_removal_that_ends_at_its_mark_goes_on_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = archive_in(folder.path(), MORE_MESSAGES);
    run(async || {
        let happy = room(folder.path(), 1 << 30).await;
        happy.load(path).await.expect("taken in");
        let mark = |db: &Connection| removal::mark(db, &id(1));
        let marked = happy.0.store.write(mark).await.expect("marked");
        assert_eq!(marked, Some(Vec::new()));
        let own = id(1);
        let look = happy.0.store.query(move |db| archive::is_there(db, &own));
        assert!(!look.await.expect("a look"));
        assert_eq!(count(&happy, GOING).await, 1);
    });
    run(async || {
        let happy = room(folder.path(), 1 << 30).await;
        assert!(is_empty_at_last(&happy, folder.path()).await);
    });
}
