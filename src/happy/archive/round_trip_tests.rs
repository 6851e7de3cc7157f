//! Accounts from one card to another, and off it, without the room around them.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::export::Export;
use super::read::Archive;
use crate::clock::{Clock, UnixMillis};
use crate::happy::db::archive::{self, Fault, Incoming};
use crate::happy::db::sessions::NewSession;
use crate::happy::db::{WriteError, deleted, messages, removal, sessions};
use crate::happy::files::Files;
use crate::ops::Registry;
use crate::store::{self, Cell, Connection, Durability, StoreOptions};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
/// Rows of one transaction, so few that several are needed.
const CHUNK: usize = 7;
const TABLES: &[&str] = &[
    "accounts",
    "machines",
    "sessions",
    "messages",
    "access_keys",
    "artifacts",
    "kv",
    "usage",
    "feed",
    "push_tokens",
    "attachments",
];
/// Of which nothing goes along.
const OTHERS: &[&str] = &["devices", "pairings", "vendor_tokens", "relations"];

pub struct Card {
    folder: TempDir,
    pub db: Connection,
}

pub fn id(number: usize) -> String {
    format!("c{number:024}")
}

impl Card {
    fn new() -> Card {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("box.db");
        store::upgrade(&StoreOptions {
            path: path.clone(),
            clock: Clock::manual(NOW),
            metrics: Registry::default(),
            durability: Durability::Off,
        })
        .expect("a database");
        let db = Connection::open(path).expect("a database");
        db.execute_batch("PRAGMA foreign_keys = 1").expect("held");
        Card { folder, db }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("box.db")
    }

    /// With an account that has something of everything, and a friend.
    pub fn settled() -> Card {
        let card = Card::new();
        let (own, other, session) = (id(1), id(2), id(10));
        let key = "ab".repeat(32);
        let db = &card.db;
        db.execute_batch(&format!(
            "INSERT INTO happy_accounts (id, public_key, created_at, updated_at, seq, settings,
                 settings_version, feed_seq, username)
             VALUES ('{own}', '{key}', 1, 2, 77, 'c2V0', 3, 9, 'anna');
             INSERT INTO happy_accounts (id, public_key, created_at, updated_at)
             VALUES ('{other}', 'cd', 1, 2);"
        ))
        .expect("accounts");
        for number in [10, 11, 12] {
            let new = NewSession {
                id: id(number),
                tag: format!("t{number}"),
                metadata: String::from("\u{0}\"漢"),
                data_encryption_key: Some(String::from("a2V5")),
            };
            sessions::of_tag(db, &own, &new, NOW).expect("a session");
            let new = (0..number).map(|part| messages::NewMessage {
                id: id(number * 1_000 + part),
                local_id: (part % 2 == 0).then(|| format!("l{part}")),
                content: "x".repeat(part * 9),
            });
            messages::store(db, &own, &id(number), new.collect(), NOW).expect("messages");
        }
        db.execute_batch(&format!(
            "UPDATE happy_sessions SET agent_state = 'state', agent_state_version = 4
             WHERE id = '{session}';
             INSERT INTO happy_machines (id, account_id, metadata, daemon_state, active,
                 last_active_at, created_at, updated_at)
             VALUES ('m-1', '{own}', 'meta', 'daemon', 1, 5, 6, 7);
             INSERT INTO happy_access_keys VALUES ('{session}', 'm-1', '{own}', 'data', 2, 3, 4);
             INSERT INTO happy_artifacts (id, account_id, header, body, body_version,
                 data_encryption_key, seq, created_at, updated_at)
             VALUES ('0b0f0a3e-1111-4222-8333-444455556666', '{own}', 'h', 'body', 2, 'k', 1, 2, 3);
             INSERT INTO happy_kv VALUES ('{own}', 'a', 'value', 5), ('{own}', 'gone', NULL, 1);
             UPDATE happy_accounts SET kv_keys = 2, kv_bytes = 10 WHERE id = '{own}';
             INSERT INTO happy_usage VALUES
                 ('{}', '{own}', '{session}', 'claude', '{{\"tokens\":{{}}}}', 1, 2);
             INSERT INTO happy_feed VALUES
                 ('{}', '{own}', 9, 'friend_request_x', '{{\"kind\":\"friend_request\"}}', 4);
             INSERT INTO happy_push_tokens (id, account_id, token, created_at, updated_at)
                 VALUES ('{}', '{own}', 'token', 1, 2);
             INSERT INTO happy_attachments VALUES ('{session}', 'a.enc', '{own}', 4100, 8),
                 ('{session}', 'lost.enc', '{own}', 4096, 8);
             INSERT INTO happy_devices VALUES ('d', '{own}', 'phone', NULL, NULL, 1, 2);
             INSERT INTO happy_vendor_tokens VALUES ('{own}', 'openai', 'sealed', 1);
             INSERT INTO happy_relations VALUES ('{own}', '{other}', 'friend', 1, 2),
                 ('{other}', '{own}', 'friend', 1, 2);",
            id(20),
            id(21),
            id(22)
        ))
        .expect("rows");
        card.file(&session, "a.enc", b"blob");
        card
    }

    fn file(&self, session: &str, name: &str, blob: &[u8]) {
        let place = Files::new(self.folder.path())
            .attachment(session, name)
            .path();
        fs::create_dir_all(place.parent().expect("a folder")).expect("made");
        fs::write(place, blob).expect("written");
    }

    pub fn export(&self) -> Vec<u8> {
        let export = Export {
            account: id(1),
            database: self.path(),
            data_dir: self.folder.path().to_owned(),
            now: NOW,
        };
        let snapshot = export.snapshot().expect("read").expect("an account");
        let mut archive = Vec::new();
        export.write(snapshot, &mut archive).expect("written");
        archive
    }

    /// As the room does it, in this thread.
    fn take_in(&self, archive: &[u8]) -> Result<(), String> {
        let told = |fault: Fault| format!("{fault:?}");
        let columns = archive::columns(&self.db).expect("columns");
        let archive = Archive::of(archive, columns).map_err(told)?;
        let checked = archive.check().map_err(told)?;
        let (account, name) = (checked.account.text("id"), checked.account.text("username"));
        let stored = |outcome: Result<Result<(), Fault>, WriteError>| match outcome {
            Ok(outcome) => outcome.map_err(told),
            Err(error) => Err(format!("{error:?}")),
        };
        stored(archive::begin(&self.db, &checked.account))?;
        let (mut waiting, mut outcome): (Vec<Incoming>, _) = (Vec::new(), Ok(()));
        let mut put = |row: Option<Incoming>| {
            let is_last = row.is_none();
            waiting.extend(row);
            if (is_last || waiting.len() == CHUNK) && outcome.is_ok() {
                outcome = stored(archive::put(&self.db, account, &waiting));
                waiting.clear();
            }
            outcome.clone()
        };
        let mut fault = Ok(());
        archive
            .each_row(&mut |row, _| {
                if row.table.kind != archive::Kind::Account {
                    fault = put(Some(row));
                }
                Ok(())
            })
            .map_err(told)?;
        archive
            .each_attachment(&mut |row, content| {
                let mut blob = Vec::new();
                std::io::Read::read_to_end(content, &mut blob).expect("checked before");
                self.file(row.text("session_id"), row.text("name"), &blob);
                fault = put(Some(row));
                Ok(())
            })
            .map_err(told)?;
        fault.and(put(None))?;
        let name = Some(name).filter(|name| !name.is_empty());
        archive::finish(&self.db, account, name).expect("finished");
        Ok(())
    }

    fn rows(&self, table: &str, account: &str) -> Vec<Vec<(String, Cell)>> {
        let owner = match table {
            "accounts" => format!("id = '{account}'"),
            "messages" => format!(
                "session_id IN (SELECT id FROM happy_sessions WHERE account_id = '{account}')"
            ),
            "relations" => format!("'{account}' IN (from_id, to_id)"),
            _ => format!("account_id = '{account}'"),
        };
        let sql = format!("SELECT * FROM happy_{table} WHERE {owner}");
        let mut statement = self.db.prepare(&sql).expect("SQL");
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let read = statement.query_map([], |row| {
            let cells = names.iter().enumerate();
            cells
                .map(|(index, name)| Ok((name.clone(), row.get(index)?)))
                .collect()
        });
        read.expect("rows").collect::<Result<_, _>>().expect("rows")
    }

    fn remove(&self, account: &str) {
        while removal::some_sessions(&self.db, account).expect("marked") {}
        let mut last = String::new();
        while let Some(session) = deleted::next(&self.db, &last).expect("a session") {
            while deleted::take_apart(&self.db, &session).expect("a piece") {}
            last = session;
        }
        while removal::take_apart(&self.db, account).expect("a piece") {}
        assert!(!removal::is_left(&self.db, account).expect("a look"));
    }

    fn has_any(&self, account: &str) -> bool {
        let mut all = TABLES.iter().chain(OTHERS);
        all.any(|table| !self.rows(table, account).is_empty())
    }
}

#[test]
fn every_row_is_the_same_on_the_other_card_and_its_sums_too() {
    let (first, second) = (Card::settled(), Card::new());
    second.take_in(&first.export()).expect("taken in");
    for table in TABLES {
        let (mut before, after) = (first.rows(table, &id(1)), second.rows(table, &id(1)));
        assert!(!before.is_empty(), "{table}");
        let lost = Cell::Text(String::from("lost.enc"));
        before.retain(|row| !row.iter().any(|(_, cell)| *cell == lost));
        if *table == "accounts" {
            // The attachment whose file is not there weighed as well.
            let weight = before[0].iter_mut().find(|(name, _)| name == "bytes");
            let (_, weight) = weight.expect("a weight");
            let Cell::Integer(bytes) = weight else {
                panic!("{weight:?}")
            };
            *bytes -= 4_096;
        }
        assert_eq!(after, before, "{table}");
    }
    for table in OTHERS {
        assert!(second.rows(table, &id(1)).is_empty(), "{table}");
    }
    let blob = Files::new(second.folder.path()).attachment(&id(10), "a.enc");
    assert_eq!(fs::read(blob.path()).expect("a file"), b"blob");
    assert!(
        second
            .take_in(&first.export())
            .unwrap_err()
            .contains("here already")
    );
    assert!(is_empty(&first.folder.path().join("uploads")));
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).expect("a folder").next().is_none()
}

#[test]
fn an_account_goes_with_all_its_rows_and_another_stays() {
    let card = Card::settled();
    assert_eq!(
        removal::mark(&card.db, &id(1)).expect("marked"),
        Some(vec![String::from("d")])
    );
    assert_eq!(removal::mark(&card.db, &id(1)).expect("a look"), None);
    assert_eq!(removal::next(&card.db, "").expect("a look"), Some(id(1)));
    assert!(!archive::is_there(&card.db, &id(1)).expect("a look"));
    card.remove(&id(1));
    assert!(!card.has_any(&id(1)));
    assert_eq!(card.rows("accounts", &id(2)).len(), 1);
}

#[test]
fn what_came_half_is_nobodys_and_goes() {
    let (first, second) = (Card::settled(), Card::new());
    let archive = first.export();
    let columns = archive::columns(&second.db).expect("columns");
    let archive = Archive::of(&archive[..], columns).expect("an archive");
    let checked = archive.check().expect("a good one");
    archive::begin(&second.db, &checked.account)
        .expect("begun")
        .expect("no fault");
    let mut rows = Vec::new();
    archive
        .each_row(&mut |row, _| {
            rows.push(row);
            Ok(())
        })
        .expect("rows");
    archive::put(&second.db, &id(1), &rows[1..10])
        .expect("put")
        .expect("no fault");
    assert!(!archive::is_there(&second.db, &id(1)).expect("a look"));
    assert_eq!(
        removal::next(&second.db, "").expect("a look"),
        None,
        "it still comes"
    );
    assert_eq!(removal::give_up(&second.db, None).expect("given up"), 1);
    second.remove(&id(1));
    assert!(!second.has_any(&id(1)));
    second.take_in(&first.export()).expect("it can come again");
}

#[test]
fn what_is_being_deleted_does_not_go_along() {
    let (first, second) = (Card::settled(), Card::new());
    deleted::mark(&first.db, &id(1), &id(10)).expect("marked");
    second.take_in(&first.export()).expect("taken in");
    let left = [
        ("sessions", 2),
        ("access_keys", 0),
        ("usage", 0),
        ("attachments", 0),
    ];
    for (table, count) in left {
        assert_eq!(second.rows(table, &id(1)).len(), count, "{table}");
    }
    assert_eq!(second.rows("messages", &id(1)).len(), 11 + 12);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_archive_is_refused_or_holds_the_same(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        thread_local! {
            static GOOD: (Vec<u8>, Card) = {
                let card = Card::settled();
                (card.export(), card)
            };
        }
        GOOD.with(|(good, card)| {
            let read = |archive: &[u8]| {
                let columns = archive::columns(&card.db).expect("columns");
                let archive = Archive::of(archive, columns).map_err(|fault| format!("{fault:?}"))?;
                archive.check().map_err(|fault| format!("{fault:?}"))?;
                let mut all = Vec::new();
                let taken = archive.each_row(&mut |row, _| {
                    all.push(format!("{row:?}"));
                    Ok(())
                });
                taken.map(|()| all).map_err(|fault| format!("{fault:?}"))
            };
            let mut wrong = good.clone();
            for (place, value) in damage {
                let place = place.index(wrong.len());
                wrong[place] = value;
            }
            if let Ok(rows) = read(&wrong) {
                prop_assert_eq!(rows, read(good).expect("a good one"));
            }
            Ok(())
        })?;
    }
}
