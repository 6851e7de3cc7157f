//! There and back without loss, twice without change, and files that mean harm.

use std::io::Write;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::export::{Export, Format};
use super::import::{self, Counts};
use crate::clock::{Clock, UnixMillis};
use crate::ops::Registry;
use crate::store::{Connection, Durability, StoreOptions, upgrade};
use crate::voice::db::archive::{Brought, Fate, Incoming, TABLES, bound, look, page, put};
use crate::voice::error::VoiceError;

/// A database of a box, in a folder of its own.
struct Box {
    folder: TempDir,
    db: Connection,
}

impl Box {
    fn new() -> Box {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("box.db");
        upgrade(&StoreOptions {
            path: path.clone(),
            clock: Clock::manual(UnixMillis(0)),
            metrics: Registry::default(),
            durability: Durability::Off,
        })
        .unwrap();
        let db = Connection::open(path).unwrap();
        Box { folder, db }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn export(&self, format: Format) -> Vec<u8> {
        let export = Export {
            format,
            audio: true,
            database: self.path("box.db"),
            recordings: self.path("recordings"),
            now: UnixMillis(0),
        };
        let mut out = Vec::new();
        export.write(&mut out).unwrap();
        out
    }

    fn import(&self, file: &Path) -> Result<Counts, VoiceError> {
        let (mut counts, mut brought) = (Counts::default(), Brought::default());
        import::read(file, &mut |rows| {
            let looked = look(&self.db, &rows, &mut brought)?;
            let put = put(&self.db, &rows)?;
            assert_eq!(looked, put, "a dry run tells what the run does");
            counts.add(&rows, &put);
            Ok(())
        })?;
        Ok(counts)
    }

    fn import_bytes(&self, bytes: &[u8]) -> Result<Counts, VoiceError> {
        let file = self.path("sent");
        std::fs::write(&file, bytes).unwrap();
        self.import(&file)
    }

    fn fill(&self, rows: Vec<Incoming>) {
        assert!(
            put(&self.db, &rows)
                .unwrap()
                .iter()
                .all(|fate| *fate == Fate::New)
        );
    }
}

fn row(fields: Value) -> Incoming {
    super::parse_line(&fields.to_string(), 1).unwrap().unwrap()
}

/// Any text a person may have said: no NUL, which JSON lines from outside may not hold.
fn words() -> impl Strategy<Value = String> {
    "[^\u{0}]{1,40}"
}

fn rows() -> impl Strategy<Value = Vec<Value>> {
    let times = 0i64..253_402_300_799_000;
    let conversation = (words(), times.clone());
    let message = (
        words(),
        times.clone(),
        any::<bool>(),
        proptest::option::of(0i64..50),
    );
    let memory = (
        words(),
        words(),
        proptest::option::of(words()),
        proptest::collection::btree_set("[a-z]{1,8}", 0..4),
        times,
        any::<bool>(),
        proptest::option::of(words()),
    );
    (
        proptest::collection::vec(conversation, 1..4),
        proptest::collection::vec(message, 0..12),
        proptest::collection::vec(memory, 0..12),
    )
        .prop_map(|(conversations, messages, memories)| {
            let count = conversations.len();
            let mut rows = Vec::new();
            for (n, (summary, at)) in conversations.into_iter().enumerate() {
                rows.push(json!({"type": "conversation", "id": format!("conv_{n:016x}"),
                    "summary": summary, "message_count": 0, "is_archived": n % 2,
                    "created_at": at, "updated_at": at}));
            }
            for (n, (content, at, said, heard)) in messages.into_iter().enumerate() {
                let mut row = json!({"type": "message", "id": format!("msg_{n:016x}"),
                    "conversation_id": format!("conv_{:016x}", n % count), "content": content,
                    "role": if said { "user" } else { "assistant" }, "timestamp": at});
                if let Some(heard) = heard {
                    row["spoken_chars"] = json!(heard);
                    row["interrupted"] = json!(1);
                }
                rows.push(row);
            }
            for (n, (content, title, summary, tags, at, pinned, data)) in
                memories.into_iter().enumerate()
            {
                let mut row = json!({"type": "memory", "id": format!("mem_{n:016x}"),
                    "content": content, "title": title, "source": "voice", "pinned": i64::from(pinned),
                    "created_at": at, "updated_at": at});
                if let Some(summary) = summary {
                    row["summary"] = json!(summary);
                }
                if let Some(data) = data {
                    row["metadata"] = json!(json!({"said": data}).to_string());
                }
                if !tags.is_empty() {
                    row["tags"] = json!(tags);
                }
                if n % 2 == 1 {
                    row["facts"] = json!([
                        {"subject": "the door", "predicate": "code", "value": row["content"],
                            "superseded_by": "mem_0000000000000000"},
                        {"subject": "the door", "predicate": "colour", "value": "red",
                            "valid_from": at},
                    ]);
                }
                rows.push(row);
                if n < 9 {
                    rows.push(json!({"type": "summary", "date": format!("2026-01-0{}", n + 1),
                        "text": "a day", "language": "en", "model": "m", "created_at": at}));
                }
            }
            rows
        })
}

/// All lines but the first, which tells the time; tags made anew have ids of their own.
fn lines(export: &[u8]) -> Vec<Map<String, Value>> {
    let text = String::from_utf8(export.to_vec()).unwrap();
    text.lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]
    #[test]
    fn what_is_exported_comes_back_as_it_was_and_a_second_time_changes_nothing(rows in rows()) {
        let (one, two) = (Box::new(), Box::new());
        one.fill(rows.iter().map(|fields| row(fields.clone())).collect());
        for format in [Format::Lines, Format::Zip] {
            let file = one.export(format);
            let counts = two.import_bytes(&file).unwrap();
            prop_assert_eq!(lines(&two.export(Format::Lines)), lines(&one.export(Format::Lines)));
            if format == Format::Zip {
                prop_assert_eq!(counts.new_rows(), 0);
            }
        }
        let found: i64 = two.db
            .query_row("SELECT count(*) FROM memory_index", [], |row| row.get(0))
            .unwrap();
        let memories = rows.iter().filter(|row| row["type"] == "memory").count();
        prop_assert_eq!(found, memories as i64, "each memory is found by search");
    }


    #[test]
    fn any_bytes_are_an_import_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let target = Box::new();
        let _ = target.import_bytes(&bytes);
        for begin in [&b"PK\x03\x04"[..], b"SQLite format 3\0"] {
            let _ = target.import_bytes(&[begin, &bytes].concat());
        }
    }
}

#[test]
fn a_row_that_is_there_stays_as_it_is() {
    let target = Box::new();
    let memory = |content: &str| {
        json!({"type": "memory", "id": "mem_0000000000000001", "content": content,
            "source": "manual", "created_at": 0, "updated_at": 0})
    };
    target.fill(vec![row(memory("old"))]);
    let counts = target
        .import_bytes(memory("new").to_string().as_bytes())
        .unwrap();
    assert_eq!(
        counts.shown()["memory"],
        json!({"new": 0, "same": 0, "kept": 1})
    );
    let content: String = target
        .db
        .query_row("SELECT content FROM memories", [], |row| row.get(0))
        .unwrap();
    assert_eq!(content, "old");
}

#[test]
fn a_spoken_answer_that_was_kept_comes_back() {
    let (one, two) = (Box::new(), Box::new());
    one.fill(vec![row(
        json!({"type": "recording", "id": "say_0000000000000001",
        "origin": "reply", "mode": "chat", "state": "done", "format": "wav", "file": "say_0000000000000001.wav",
        "recorded_at": 1000, "created_at": 1000, "updated_at": 1000}),
    )]);
    let counts = two.import_bytes(&one.export(Format::Zip)).unwrap();
    assert_eq!(counts.new_rows(), 1);
    let id: String = two
        .db
        .query_row("SELECT id FROM recordings", [], |row| row.get(0))
        .unwrap();
    assert_eq!(id, "say_0000000000000001");
}

#[test]
fn what_is_said_while_an_export_runs_is_left_to_the_next_one() {
    let one = Box::new();
    let said = |n: u64| {
        let conversation = json!({"type": "conversation", "id": format!("conv_{n:016x}"),
            "message_count": 1, "created_at": 0, "updated_at": 0});
        let message = json!({"type": "message", "id": format!("msg_{n:016x}"), "role": "user",
            "conversation_id": format!("conv_{n:016x}"), "content": "x", "timestamp": 0});
        one.fill(vec![row(conversation), row(message)]);
    };
    said(1);
    let table = &TABLES[1];
    let until = bound(&one.db, table).unwrap();
    said(2);
    let (found, _) = page(&one.db, table, &None, &until, 10).unwrap();
    assert_eq!(found.len(), 1);
}

#[test]
fn a_fault_is_told_with_its_line() {
    let target = Box::new();
    let good = r#"{"type":"tag","id":"tag_0000000000000001","name":"a","color":"x"}"#;
    for (line, part) in [
        (
            r#"{"type":"memory","id":"mem_0000000000000001","content":"x","source":7}"#,
            "`source` must be a text",
        ),
        (
            r#"{"type":"memory","id":"mem_0000000000000001","content":"x","source":"moon","created_at":0,"updated_at":0}"#,
            "not allowed",
        ),
        (
            r#"{"type":"message","id":"msg_0000000000000001","conversation_id":"conv_0000000000000009","role":"user","content":"x","timestamp":0}"#,
            "not there",
        ),
        (
            r#"{"type":"memory","id":"mem_0000000000000001","content":"x","created_at":"noon"}"#,
            "a time like",
        ),
    ] {
        target.db.execute_batch("PRAGMA foreign_keys = ON").unwrap();
        let error = target
            .import_bytes(format!("{good}\n{line}\n").as_bytes())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 2") && error.contains(part),
            "{line}: {error}"
        );
    }
    let long = vec![b'x'; crate::limits::IMPORT_LINE_BYTES_MAX + 10];
    assert!(target.import_bytes(&long).is_err());
    assert!(
        target
            .import_bytes(b"\xff\xfe{}")
            .unwrap_err()
            .to_string()
            .contains("UTF-8")
    );
}

#[test]
fn sound_goes_along_and_names_lead_nowhere_else() {
    let (one, two) = (Box::new(), Box::new());
    std::fs::create_dir(one.path("recordings")).unwrap();
    one.fill(vec![row(
        json!({"type": "recording", "id": "rec_0000000000000001",
        "origin": "upload", "mode": "note", "state": "done", "format": "wav", "file": "rec_1.wav",
        "recorded_at": 1000, "created_at": 1000, "updated_at": 1000}),
    )]);
    std::fs::write(one.path("recordings/rec_1.wav"), b"RIFFsound").unwrap();
    std::fs::write(one.path("recordings/rec_2.wav"), b"RIFF, begun meanwhile").unwrap();
    std::fs::write(one.path("recordings/note.part"), b"half").unwrap();
    std::fs::write(two.path("sent.zip"), one.export(Format::Zip)).unwrap();
    let into = |dry| import::sounds(&two.path("sent.zip"), &two.path("recordings"), dry).unwrap();
    assert_eq!(into(true), 1);
    assert!(!two.path("recordings").exists());
    assert_eq!(into(false), 1);
    assert_eq!(into(false), 0, "once");
    assert_eq!(
        std::fs::read(two.path("recordings/rec_1.wav")).unwrap(),
        b"RIFFsound"
    );

    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let plain = zip::write::SimpleFileOptions::default();
    for name in [
        "audio/../../out.wav",
        "audio//etc/x.wav",
        "audio/.hidden.wav",
        "audio/x.sh",
    ] {
        zip.start_file(name, plain).unwrap();
        zip.write_all(b"x").unwrap();
    }
    std::fs::write(two.path("bad.zip"), zip.finish().unwrap().into_inner()).unwrap();
    let count = import::sounds(&two.path("bad.zip"), &two.path("recordings"), false).unwrap();
    assert_eq!(count, 0);
    assert!(!two.path("out.wav").exists());
}

/// As the product's first server made it, with the columns that it added later.
const OLDER: &str = "CREATE TABLE sessions (id TEXT PRIMARY KEY, messages TEXT, created_at INTEGER,
        updated_at INTEGER);
    CREATE TABLE knowledge (id TEXT PRIMARY KEY, title TEXT, content TEXT, summary TEXT,
        key_points TEXT, category TEXT, tags TEXT, source TEXT, audio_url TEXT, session_id TEXT,
        created_at INTEGER, updated_at INTEGER, metadata TEXT, entities TEXT, importance TEXT,
        sentiment TEXT);
    INSERT INTO sessions VALUES ('session_42',
        '[{\"role\":\"user\",\"content\":\"微服务架构怎么设计\"},{\"role\":\"assistant\",\"content\":\"先划分边界\"},{\"role\":\"tool\",\"content\":\"x\"}]',
        1767000000, 1767000100);
    INSERT INTO sessions VALUES ('broken', 'no json', NULL, 'text');
    INSERT INTO knowledge VALUES ('k1', '', '微服务要小', '小服务', '[\"小\"]', 'technology',
        '[\"架构\",\"\"]', 'voice', '/audio/1.wav', 'session_42', 1767000001, 1767000002,
        '{\"a\":\"b\"}', '{\"people\":[]}', 'medium', 'neutral');
    INSERT INTO knowledge VALUES ('k2', NULL, NULL, 'only a summary', 'null', '杂', 'null', '', '',
        '', 0, 0, 'null', NULL, 'high', NULL);";

#[test]
fn the_first_servers_database_becomes_conversations_and_memories() {
    let target = Box::new();
    let file = target.path("voice-memory.db");
    Connection::open(&file)
        .unwrap()
        .execute_batch(OLDER)
        .unwrap();
    let before = std::fs::read(&file).unwrap();
    let counts = target.import(&file).unwrap().shown();
    assert_eq!(counts["conversation"]["new"], 2);
    assert_eq!(counts["message"]["new"], 2);
    assert_eq!(counts["memory"]["new"], 2);
    assert_eq!(std::fs::read(&file).unwrap(), before, "it is only read");
    let again = target.import(&file).unwrap();
    assert_eq!(again.new_rows(), 0, "{:?}", again.shown());

    let text = String::from_utf8(target.export(Format::Lines)).unwrap();
    for part in [
        "微服务架构怎么设计",
        "先划分边界",
        "微服务要小",
        "架构",
        "only a summary",
        "2025-12-29",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let readable = String::from_utf8(target.export(Format::Markdown)).unwrap();
    assert!(
        readable.contains("**You**: 微服务架构怎么设计"),
        "{readable}"
    );
}

#[test]
fn a_database_that_is_none_of_ours_or_means_harm_is_refused() {
    let target = Box::new();
    let file = target.path("other.db");
    let other = Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(
        target
            .import(&file)
            .unwrap_err()
            .to_string()
            .contains("neither")
    );
    // A view that stands in for the table is not read.
    other
        .execute_batch("CREATE VIEW knowledge AS WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n) SELECT a FROM n")
        .unwrap();
    assert!(
        target
            .import(&file)
            .unwrap_err()
            .to_string()
            .contains("neither")
    );
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(3_000);
    assert!(target.import_bytes(&bytes).is_err());
}
