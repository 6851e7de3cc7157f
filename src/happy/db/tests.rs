//! The statements over a database in memory.

use crate::clock::UnixMillis;
use crate::happy::db::access_keys::Place;
use crate::happy::db::artifacts::NewArtifact;
use crate::happy::db::machines::NewMachine;
use crate::happy::db::messages::NewMessage;
use crate::happy::db::sessions::NewSession;
use crate::happy::db::{
    WriteError, accounts, artifacts, attachments, bounds, deleted, machines, messages, pairings,
    presence, sessions,
};
use crate::limits;
use crate::store::{Connection, migrate};

const NOW: UnixMillis = UnixMillis(1_795_205_421_573);

fn with_account() -> Connection {
    let db = Connection::open_in_memory().expect("a database");
    for step in migrate::STEPS {
        db.execute_batch(step.sql).expect("a step");
    }
    let made = accounts::make(&db, "a", "00", NOW).expect("an account");
    assert_eq!(made.as_deref(), Some("a"));
    db
}

fn stored_bytes(db: &Connection) -> i64 {
    let sql = "SELECT bytes FROM happy_accounts WHERE id = 'a'";
    db.query_row(sql, [], |row| row.get(0)).expect("a sum")
}

fn make(db: &Connection, id: &str) -> Result<Option<i64>, WriteError> {
    let new = NewSession {
        id: id.into(),
        tag: id.into(),
        metadata: "12345".into(),
        data_encryption_key: None,
    };
    sessions::of_tag(db, "a", &new, NOW).map(|(_, seq)| seq)
}

fn delete(db: &Connection, id: &str) {
    assert!(deleted::mark(db, "a", id).expect("marked").is_some());
    while deleted::take_apart(db, id).expect("a piece") {}
}

fn post(db: &Connection, session: &str, local_id: Option<&str>) -> Result<usize, WriteError> {
    let new = NewMessage {
        id: format!("{session}-{local_id:?}"),
        local_id: local_id.map(str::to_owned),
        content: "1234567".into(),
    };
    let stored = messages::store(db, "a", session, vec![new], NOW)?;
    Ok(stored.expect("the session").told.len())
}

#[test]
fn what_an_account_stores_is_summed_whichever_way_it_comes_and_goes() {
    let db = with_account();
    let message = (7 + limits::HAPPY_MESSAGE_OVERHEAD) as i64;
    let session = 1 + 5;
    make(&db, "s").expect("a session");
    make(&db, "s").expect("the same session");
    make(&db, "t").expect("another session");
    assert_eq!(stored_bytes(&db), 2 * session);
    post(&db, "s", Some("l")).expect("a message");
    post(&db, "s", Some("l")).expect("a repeated message");
    post(&db, "t", None).expect("a message without a name");
    assert_eq!(stored_bytes(&db), 2 * session + 1 + 2 * message);
    db.execute(
        "UPDATE happy_sessions SET metadata = 'ää', agent_state = '123' WHERE id = 's'",
        [],
    )
    .expect("a change");
    assert_eq!(stored_bytes(&db), 2 * session - 5 + 4 + 3 + 1 + 2 * message);
    delete(&db, "s");
    assert_eq!(stored_bytes(&db), session + message);
    delete(&db, "t");
    assert_eq!(stored_bytes(&db), 0);
}

#[test]
fn machines_artifacts_keys_and_attachments_weigh_what_they_are_long() {
    let db = with_account();
    make(&db, "s").expect("a session");
    let before = stored_bytes(&db);
    let machine = NewMachine {
        id: "mm".into(),
        metadata: "123".into(),
        daemon_state: Some("1234".into()),
        data_encryption_key: None,
    };
    let made = machines::of_id(&db, "a", &machine, NOW).expect("a machine");
    assert!(matches!(made, machines::OfId::Made(_, [2, 3])));
    assert_eq!(stored_bytes(&db), before + 9);
    let artifact = NewArtifact {
        id: "i".into(),
        header: "12".into(),
        body: "123".into(),
        data_encryption_key: "1234".into(),
    };
    let made = artifacts::of_id(&db, "a", &artifact, NOW).expect("an artifact");
    assert!(matches!(made, artifacts::OfId::Made(_, 4)));
    assert_eq!(stored_bytes(&db), before + 9 + 10);
    let part = artifacts::Part {
        data: "12345".into(),
        expected: 1,
    };
    let changed = artifacts::change(&db, "a", "i", None, Some(&part), NOW).expect("a change");
    assert!(matches!(changed, artifacts::Changed::To { seq: 5, .. }));
    assert_eq!(stored_bytes(&db), before + 9 + 12);
    let place = Place {
        account: "a".into(),
        session: "s".into(),
        machine: "mm".into(),
    };
    place.make(&db, "12", NOW).expect("a key");
    place.change(&db, "123", 1, NOW).expect("a change");
    attachments::put(&db, "a", "s", "f", 50, NOW).expect("a file");
    attachments::put(&db, "a", "s", "f", 40, NOW).expect("another");
    let file = 40 + limits::HAPPY_ATTACHMENT_OVERHEAD as i64;
    assert_eq!(stored_bytes(&db), before + 9 + 12 + 3 + file);
    assert!(artifacts::delete(&db, "a", "i").expect("deleted").is_some());
    assert!(machines::delete(&db, "a", "mm").expect("deleted").is_some());
    assert_eq!(stored_bytes(&db), before + file);
    delete(&db, "s");
    assert_eq!(stored_bytes(&db), 0);
}

#[test]
fn a_full_account_is_refused_what_is_new_and_answered_what_is_known() {
    let db = with_account();
    make(&db, "s").expect("a session");
    assert_eq!(post(&db, "s", Some("known")).expect("a message"), 1);
    db.execute(
        "UPDATE happy_accounts SET bytes = (SELECT account_bytes FROM happy_bounds)",
        [],
    )
    .expect("a full account");
    assert!(matches!(make(&db, "t"), Err(WriteError::NoRoom)));
    // As the store does with what is refused.
    db.execute_batch("SAVEPOINT job").expect("a savepoint");
    assert!(matches!(
        post(&db, "s", Some("new")),
        Err(WriteError::NoRoom)
    ));
    db.execute_batch("ROLLBACK TO job").expect("taken back");
    assert_eq!(make(&db, "s").expect("the known session"), None);
    assert_eq!(post(&db, "s", Some("known")).expect("the known message"), 0);
    let stored = stored_bytes(&db);
    bounds::set(&db, "a", Some(stored + 1_000), None).expect("more for this one");
    assert_eq!(post(&db, "s", Some("new")).expect("a message"), 1);
    bounds::set(&db, "a", None, None).expect("as every other");
    assert!(matches!(make(&db, "t"), Err(WriteError::NoRoom)));
    bounds::set_account_bytes(&db, stored + 1_000).expect("more for all");
    make(&db, "t").expect("a session");
    assert!(!bounds::set(&db, "nobody", None, None).expect("no account"));
}

#[test]
fn a_file_that_takes_the_place_of_another_needs_room_for_the_difference() {
    let db = with_account();
    make(&db, "s").expect("a session");
    attachments::put(&db, "a", "s", "f", 1_000, NOW).expect("a file");
    bounds::set_account_bytes(&db, stored_bytes(&db) + 10).expect("a bound");
    let put = |bytes| attachments::put(&db, "a", "s", "f", bytes, NOW);
    assert!(matches!(put(1_011), Err(WriteError::NoRoom)));
    assert!(put(1_010).expect("all there is"));
    assert!(put(20).expect("less"));
    let other = attachments::put(&db, "a", "s", "g", 20, NOW);
    assert!(matches!(other, Err(WriteError::NoRoom)));
}

#[test]
fn a_session_that_is_used_after_it_was_found_idle_stays() {
    let db = with_account();
    let later = |days: i64| UnixMillis(NOW.0 + days * 86_400_000);
    for id in ["s", "t", "u"] {
        make(&db, id).expect("a session");
        sessions::archive(&db, "a", id, NOW).expect("archived");
    }
    let idle = |days, now| bounds::idle(&db, days, now, 10).expect("a list");
    assert!(idle(0, later(1_000)).is_empty());
    assert!(idle(30, later(30)).is_empty());
    let found = idle(30, later(31));
    assert_eq!(found.len(), 3);
    // A heartbeat, and a message without one.
    let now = later(31);
    presence::heard(&db, presence::Kind::Session, "a", "s", now.0, now).expect("a heartbeat");
    let new = NewMessage {
        id: "m".into(),
        local_id: None,
        content: "1".into(),
    };
    messages::store(&db, "a", "t", vec![new], now).expect("a message");
    let gone: Vec<bool> = ["s", "t", "u"]
        .map(|id| deleted::mark_idle(&db, "a", id, found[0].before).expect("marked"))
        .iter()
        .map(Option::is_some)
        .collect();
    assert_eq!(gone, [false, false, true]);
    // The owner's word for one account goes before that for all, both ways.
    bounds::set(&db, "a", None, Some(0)).expect("kept for ever");
    assert!(idle(30, later(1_000)).is_empty());
    bounds::set(&db, "a", None, Some(5)).expect("kept for five days");
    assert_eq!(idle(0, later(37)).len(), 1);
}

#[test]
fn updates_are_numbered_in_the_order_of_the_writes_and_known_things_take_none() {
    let db = with_account();
    assert_eq!(make(&db, "s").expect("a session"), Some(1));
    assert_eq!(make(&db, "s").expect("the same"), None);
    let new = |local_id: &str, content: &str| NewMessage {
        id: local_id.into(),
        local_id: Some(local_id.into()),
        content: content.into(),
    };
    let posted = vec![
        new("a", "x"),
        new("empty", ""),
        new("a", "y"),
        new("b", "z"),
    ];
    let stored = messages::store(&db, "a", "s", posted, NOW)
        .expect("stored")
        .expect("the session");
    let told: Vec<(i64, i64)> = stored
        .told
        .iter()
        .map(|(seq, message)| (*seq, message["seq"].as_i64().expect("a number")))
        .collect();
    // The one without content is stored and not told of.
    assert_eq!(told, [(2, 1), (3, 3)]);
    assert_eq!(stored.messages.len(), 3);
    assert_eq!(deleted::mark(&db, "a", "s").expect("deleted"), Some(4));
}

#[test]
fn lists_of_large_sessions_are_cut_and_their_pages_meet() {
    let db = with_account();
    for id in ["s1", "s2", "s3"] {
        let new = NewSession {
            id: id.into(),
            tag: id.into(),
            metadata: "m".repeat(7 * 1024 * 1024),
            data_encryption_key: None,
        };
        sessions::of_tag(&db, "a", &new, NOW).expect("a session");
    }
    assert_eq!(sessions::newest(&db, "a", 150).expect("a list").len(), 2);
    let (page, has_more) = sessions::page(&db, "a", None, -1, 50).expect("a page");
    assert_eq!((page.len(), has_more), (2, true));
    let before = Some(page[1].id.as_str());
    let (page, has_more) = sessions::page(&db, "a", before, -1, 50).expect("the rest");
    assert_eq!(
        (page[0].id.as_str(), page.len(), has_more),
        ("s1", 1, false)
    );
}

#[test]
fn a_session_of_large_messages_goes_in_pieces() {
    let db = with_account();
    make(&db, "s").expect("a session");
    for name in ["a", "b", "c"] {
        let new = NewMessage {
            id: name.into(),
            local_id: None,
            content: "x".repeat(3 * 1024 * 1024),
        };
        messages::store(&db, "a", "s", vec![new], NOW).expect("a message");
    }
    let left = || -> i64 {
        db.query_row("SELECT count(*) FROM happy_messages", [], |row| row.get(0))
            .expect("a count")
    };
    assert!(!deleted::take_apart(&db, "s").expect("left alone"));
    assert_eq!(left(), 3);
    deleted::mark(&db, "a", "s").expect("marked");
    assert!(deleted::take_apart(&db, "s").expect("a piece"));
    assert_eq!(left(), 1);
    let message = (3 * 1024 * 1024 + limits::HAPPY_MESSAGE_OVERHEAD) as i64;
    assert!((message..message + 100).contains(&stored_bytes(&db)));
    assert!(!deleted::take_apart(&db, "s").expect("the last piece"));
    assert_eq!((left(), stored_bytes(&db)), (0, 0));
    assert_eq!(deleted::next(&db, "").expect("none"), None);
}

#[test]
fn whoever_floods_the_pairings_does_not_shut_them() {
    let db = with_account();
    let ask = |number: usize| {
        let (name, now) = (number.to_string(), UnixMillis(NOW.0 + number as i64));
        let kind = pairings::Kind::Terminal;
        pairings::ask(&db, kind, &name, &name, true, now).expect("a request")
    };
    assert!(ask(0).is_some());
    let answered = pairings::answer(&db, pairings::Kind::Terminal, "0", "sealed", "a", NOW);
    assert!(answered.expect("an answer"));
    for number in 1..limits::HAPPY_PAIRINGS_MAX + 10 {
        assert!(ask(number).is_some(), "{number}");
    }
    assert!(ask(0).expect("the answered one").answer.is_some());
}
