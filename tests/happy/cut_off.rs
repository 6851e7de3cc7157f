//! Power cuts in the midst of an account's coming and going: kill -9 where the rows show that it is
//! half done.

use std::time::{Duration, Instant};

use magpie::store::Connection;
use serde_json::json;

use crate::archive::{database, has_files, rows};
use crate::client::Client;
use crate::parcel::{Parcel, id, import};
use crate::phone::{Phone, call, home};
use crate::support::{Home, Running, eventually};

/// Some forty transactions, so that a kill meets one of them.
const MESSAGES: usize = 20_000;
const FILES: usize = 400;
/// Only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(120);

fn large() -> Parcel {
    let mut parcel = Parcel::new(1)
        .with_session(100, MESSAGES)
        .with_session(101, 5);
    for number in 0..FILES {
        parcel = parcel.with_attachment(101, &format!("{number}.enc"), &[number as u8; 5_000]);
    }
    parcel
}

fn count(db: &Connection, sql: &str) -> usize {
    let found = db.query_row(sql, [], |row| row.get::<_, i64>(0));
    usize::try_from(found.expect("a count")).expect("not below none")
}

/// Begins what `start` does, kills the box once `is_half_done`, and tells whether it was.
fn kill_in_the_midst(
    home: &Home,
    running: Running,
    start: impl FnOnce(&Running) + Send,
    is_half_done: impl Fn(&Connection) -> bool,
) -> bool {
    let db = database(home);
    let was = std::thread::scope(|threads| {
        let running = &running;
        let worker = threads.spawn(move || {
            // The answer does not come.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| start(running)));
        });
        let began = Instant::now();
        let mut was = false;
        while !was && !worker.is_finished() && began.elapsed() < PATIENCE {
            was = is_half_done(&db);
        }
        running.signal(libc::SIGKILL);
        was
    });
    drop(running);
    was
}

const IMPORTING: &str = "SELECT count(*) FROM happy_accounts WHERE mark = 'importing'";
const MESSAGES_THERE: &str = "SELECT count(*) FROM happy_messages";

fn nothing_is_left_and_it_can_come_again(home: &Home, archive: &[u8]) {
    let running = home.serve();
    assert_ne!(Phone::new(1).sign_in(&running).0, 200, "it never was here");
    assert!(eventually(|| rows(home) == 0), "{} rows", rows(home));
    assert!(eventually(|| !has_files(home)));
    let (status, told) = import(&running, archive);
    assert_eq!(status, 200, "{told}");
    let client = Client::new(&running, 1);
    let last = format!(
        "/v3/sessions/{}/messages?after_seq={}",
        id(100),
        MESSAGES - 1
    );
    assert_eq!(client.get(&last).1["messages"][0]["seq"], json!(MESSAGES));
    let path = format!("/v1/sessions/{}/attachments/{}.enc", id(101), FILES - 1);
    assert_eq!(client.bytes(&path), (200, vec![(FILES - 1) as u8; 5_000]));
}

#[test]
fn an_import_that_is_cut_off_among_its_rows_never_was() {
    let home = home("closed");
    let archive = large().zip();
    let met = kill_in_the_midst(
        &home,
        home.serve(),
        |running| drop(import(running, &archive)),
        |db| count(db, IMPORTING) == 1 && count(db, MESSAGES_THERE) > 0,
    );
    assert!(met, "the kill came too late");
    assert!(rows(&home) > 1);
    nothing_is_left_and_it_can_come_again(&home, &archive);
}

#[test]
fn an_import_that_is_cut_off_among_its_files_never_was() {
    let home = home("closed");
    let archive = large().zip();
    let met = kill_in_the_midst(
        &home,
        home.serve(),
        |running| drop(import(running, &archive)),
        |db| has_files(&home) && count(db, IMPORTING) == 1,
    );
    assert!(met, "the kill came too late");
    assert!(has_files(&home));
    nothing_is_left_and_it_can_come_again(&home, &archive);
}

#[test]
fn a_removal_that_is_cut_off_goes_on_at_the_start() {
    let home = home("closed");
    let running = home.serve();
    let parcel = large();
    let (status, told) = import(&running, &parcel.zip());
    assert_eq!(status, 200, "{told}");
    let other = Parcel::new(2).with_session(200, 3);
    let other = other.with_attachment(200, "kept.enc", b"kept");
    assert_eq!(import(&running, &other.zip()).0, 200);
    let bearer = Client::new(&running, 1).bearer;
    let path = format!("/api/v1/happy/accounts/{}", parcel.account());
    let met = kill_in_the_midst(
        &home,
        running,
        |running| drop(call(running, "DELETE", &path, None)),
        |db| (1..MESSAGES).contains(&count(db, MESSAGES_THERE)),
    );
    assert!(met, "the kill came too late");
    assert!(count(&database(&home), MESSAGES_THERE) > 3, "some are left");
    let running = home.serve();
    assert_eq!(call(&running, "GET", "/v1/sessions", Some(&bearer)).0, 401);
    let kept = "SELECT count(*) FROM happy_sessions";
    assert!(eventually(|| count(&database(&home), kept) == 1));
    assert!(
        eventually(|| rows(&home) == 6),
        "account, session, 3 messages, file"
    );
    assert!(!home.path("data/files/sessions").join(id(101)).exists());
    let client = Client::new(&running, 2);
    let path = format!("/v1/sessions/{}/attachments/kept.enc", id(200));
    assert_eq!(client.bytes(&path), (200, b"kept".to_vec()));
    assert_eq!(import(&running, &parcel.zip()).0, 200, "it can come again");
}
