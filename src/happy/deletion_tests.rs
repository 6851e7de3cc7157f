//! The end of sessions against a real store and a real folder.

use std::fs;

use super::db::messages::{self, From, NewMessage};
use super::db::sessions::{self, NewSession};
use super::db::usage::{self, Window};
use super::db::versioned::{self, Field, Swap};
use super::db::{access_keys, attachments, deleted, devices, presence};
use super::presence::Kind;
use super::presence_tests::{House, NOW, run};
use crate::clock::UnixMillis;
use crate::limits;
use crate::store::StoreError;

impl House {
    /// The session of this id and tag, with a message, a report and a file.
    async fn with(&self, id: &'static str) {
        let made = self.happy.0.store.write(move |db| {
            let new = NewSession {
                id: id.into(),
                tag: id.into(),
                metadata: "m".into(),
                data_encryption_key: None,
            };
            sessions::of_tag(db, "a", &new, NOW).expect("a session");
            let new = NewMessage {
                id: id.into(),
                local_id: None,
                content: "c".into(),
            };
            messages::store(db, "a", id, vec![new], NOW).expect("a message");
            usage::store(db, id, "a", (id, "k"), "{}", NOW)?;
            attachments::put(db, "a", id, "f", 1, NOW).expect("a file");
            Ok::<_, StoreError>(())
        });
        made.await.expect("made");
    }

    async fn count_of(&self, family: &'static str) -> i64 {
        let counted = self.happy.0.store.query(move |db| {
            let sql = format!("SELECT count(*) FROM {family}");
            Ok::<_, StoreError>(db.query_row(&sql, [], |row| row.get(0))?)
        });
        counted.await.expect("a count")
    }

    async fn weight(&self) -> i64 {
        let read = self.happy.0.store.query(devices::accounts);
        read.await.expect("a list")[0].bytes
    }
}

#[test]
fn nothing_reads_or_changes_a_session_from_its_mark_on_though_all_of_it_is_still_there() {
    run(async |house| {
        // The look at the start has found nothing by then.
        assert_eq!(house.count_of("happy_messages").await, 0);
        let before = house.weight().await;
        house.with("t").await;
        let marked = house.happy.0.store.write(|db| {
            let seq = deleted::mark(db, "a", "t")?;
            assert!(seq.is_some());
            assert_eq!(deleted::mark(db, "a", "t")?, None);
            assert!(
                sessions::newest(db, "a", 10)?
                    .iter()
                    .all(|one| one.id != "t")
            );
            let (page, _) = sessions::page(db, "a", None, -1, 10)?;
            assert!(page.iter().all(|one| one.id != "t"));
            let active = sessions::active(db, "a", UnixMillis(0), 10)?;
            assert!(active.iter().all(|one| one.id != "t"));
            assert_eq!(sessions::seq(db, "a", "t")?, None);
            assert!(!sessions::archive(db, "a", "t", NOW)?);
            assert!(messages::page(db, "a", "t", From::After(0), 10)?.is_none());
            let posted = messages::store(db, "a", "t", Vec::new(), NOW);
            assert!(posted.expect("refused").is_none());
            assert!(!usage::is_own_session(db, "a", "t")?);
            let all = Window {
                session: None,
                from: 0,
                to: i64::MAX,
            };
            usage::within(db, "a", &all, |_, _| panic!("a report of it"))?;
            let put = attachments::put(db, "a", "t", "g", 1, NOW);
            assert!(!put.expect("refused"));
            for field in [Field::SessionMetadata, Field::SessionState] {
                let swapped = versioned::swap(db, field, "a", "t", Some("x"), 0, NOW);
                assert_eq!(swapped.expect("refused"), Swap::Missing);
            }
            assert!(!presence::end_session(db, "a", "t", NOW.0, NOW)?);
            presence::heard(db, Kind::Session, "a", "t", NOW.0, NOW)?;
            assert_eq!(presence::get(db, Kind::Session, "a", "t")?, None);
            let late = UnixMillis(i64::MAX);
            let silent = presence::end_silent(db, late, NOW)?;
            assert!(silent.iter().all(|one| one.id != "t"), "made active again");
            let place = access_keys::Place {
                account: "a".into(),
                session: "t".into(),
                machine: "m".into(),
            };
            assert!(place.find(db)?.is_none());
            assert_eq!(devices::accounts(db)?[0].sessions, 1);
            Ok::<_, StoreError>(())
        });
        marked.await.expect("marked");
        assert_eq!(house.count_of("happy_messages").await, 1);
        house.happy.take_apart_deleted().await.expect("taken apart");
        for family in ["happy_messages", "happy_usage", "happy_attachments"] {
            assert_eq!(house.count_of(family).await, 0, "{family}");
        }
        assert_eq!(house.weight().await, before);
    });
}

#[test]
fn a_session_whose_files_the_card_holds_fast_waits_and_does_not_keep_the_next() {
    run(async |house| {
        house.with("held").await;
        house.with("next").await;
        let place = house.happy.0.files.attachment("held", "f").path();
        let folder = place.ancestors().nth(2).expect("a folder").to_owned();
        fs::create_dir_all(folder.parent().expect("a folder")).expect("made");
        // What is no folder cannot be removed as one.
        fs::write(&folder, b"x").expect("written");
        for id in ["held", "next"] {
            assert!(house.happy.delete_session("a", id).await.expect("deleted"));
        }
        assert!(house.happy.take_apart_deleted().await.is_err());
        assert_eq!(house.count_of("happy_sessions").await, 2);
        fs::remove_file(&folder).expect("let go");
        house.happy.take_apart_deleted().await.expect("taken apart");
        assert_eq!(house.count_of("happy_sessions").await, 1);
        assert_eq!(house.count_of("happy_attachments").await, 0);
    });
}

#[test]
fn a_session_of_more_rows_than_go_at_once_goes_in_steps() {
    run(async |house| {
        house.with("long").await;
        let most = limits::HAPPY_DELETED_AT_ONCE as i64;
        let filled = house.happy.0.store.write(move |db| {
            let numbers =
                "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i <= ?1)";
            for rows in [
                "INSERT INTO happy_messages SELECT 'm' || i, 'long', i, NULL, '', 0 FROM n",
                "INSERT INTO happy_usage SELECT 'u' || i, 'a', 'long', i, '{}', 0, 0 FROM n",
            ] {
                let (into, from) = rows.split_once(" SELECT").expect("a statement");
                db.execute(&format!("{into} {numbers} SELECT{from}"), [most])?;
            }
            deleted::mark(db, "a", "long")?;
            Ok::<_, StoreError>(())
        });
        filled.await.expect("filled");
        assert_eq!(house.count_of("happy_messages").await, most + 1);
        let mut steps = 0;
        let step = || {
            house
                .happy
                .0
                .store
                .write(|db| deleted::take_apart(db, "long"))
        };
        while step().await.expect("a step") {
            steps += 1;
        }
        // A full one of messages, and of reports after the last message.
        assert_eq!(steps, 2);
        assert_eq!(house.count_of("happy_usage").await, 0);
        assert_eq!(house.count_of("happy_sessions").await, 1);
    });
}
