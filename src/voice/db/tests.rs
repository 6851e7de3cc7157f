//! The statements over a database in memory.

use proptest::prelude::*;

use crate::clock::UnixMillis;
use crate::store::Connection;
use crate::voice::db::conversations::{NewMessage, NewTurn, Role};
use crate::voice::db::{conversations, memories, search};
use crate::voice::index::Query;
use crate::voice::memory::{Forget, MemoryFilter, MemoryPatch, NewMemory, Page, Source, fresh_id};
use crate::voice::recall;

const NOW: UnixMillis = UnixMillis(1_767_322_999_678);
const FIRST_PAGE: Page = Page {
    limit: 50,
    offset: 0,
};

fn empty() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for step in crate::store::migrate::STEPS {
        connection.execute_batch(step.sql).unwrap();
    }
    connection
}

fn remember(connection: &Connection, content: &str) -> String {
    let memory = NewMemory::plain(content, Source::Manual, NOW);
    memories::insert(connection, &memory).unwrap();
    memory.id
}

fn found(connection: &Connection, query: &str) -> Vec<String> {
    let query = Query::parse(query);
    recall::search(connection, &query, &MemoryFilter::default(), NOW, 10)
        .unwrap()
        .hits
        .into_iter()
        .map(|hit| hit.content)
        .collect()
}

fn turn(conversation: &str, said: &str, answered: &str) -> NewTurn {
    let message = |role, content: &str| NewMessage {
        id: fresh_id("msg_"),
        role,
        content: content.to_string(),
        tokens: 1,
        model: None,
        recording_id: None,
    };
    NewTurn {
        conversation_id: conversation.to_string(),
        summary: said.to_string(),
        said: message(Role::User, said),
        answered: message(Role::Assistant, answered),
        at: NOW,
    }
}

fn value(json: Vec<u8>) -> serde_json::Value {
    serde_json::from_slice(&json).unwrap()
}

#[test]
fn words_inside_a_run_of_chinese_are_found() {
    let connection = empty();
    remember(&connection, "周三讨论新系统架构的方案");
    remember(&connection, "The spare key is under the pot");
    assert_eq!(found(&connection, "架构"), ["周三讨论新系统架构的方案"]);
    assert_eq!(found(&connection, "案"), ["周三讨论新系统架构的方案"]);
    assert_eq!(found(&connection, "构架"), [] as [&str; 0]);
    assert_eq!(
        found(&connection, "Keys"),
        ["The spare key is under the pot"]
    );
}

#[test]
fn a_memory_shows_what_was_given_and_nothing_empty() {
    let connection = empty();
    let memory = NewMemory {
        tags: vec![String::from("home"), String::from("家")],
        metadata: Some(serde_json::json!({ "room": "hall" })),
        pinned: true,
        ..NewMemory::plain("quote \" and 换行\n", Source::Import, NOW)
    };
    memories::insert(&connection, &memory).unwrap();
    let json = value(
        memories::json(&connection, &memory.id, "", "")
            .unwrap()
            .unwrap(),
    );
    assert_eq!(json["content"], "quote \" and 换行\n");
    assert_eq!(json["metadata"]["room"], "hall");
    assert_eq!(json["tags"].as_array().unwrap().len(), 2);
    assert_eq!(json["pinned"], true);
    assert_eq!(json["created_at"], NOW.rfc3339());
    assert!(json.get("summary").is_none());
    assert_eq!(
        memories::json(&connection, "mem_none", "", "").unwrap(),
        None
    );
}

#[test]
fn a_change_is_found_by_its_new_words_only() {
    let connection = empty();
    let id = remember(&connection, "the bicycle is blue");
    let patch = MemoryPatch {
        content: Some(String::from("the bicycle is green")),
        title: Some(String::from("bicycle")),
        tags: Some(vec![String::from("garage")]),
        ..MemoryPatch::default()
    };
    assert!(memories::update(&connection, &id, &patch, NOW).unwrap());
    assert!(found(&connection, "blue").is_empty());
    assert_eq!(found(&connection, "green"), ["the bicycle is green"]);
    assert_eq!(found(&connection, "garage"), ["the bicycle is green"]);
    assert!(!memories::update(&connection, "mem_none", &patch, NOW).unwrap());
}

#[test]
fn a_deleted_memory_leaves_nothing_behind() {
    let connection = empty();
    let id = remember(&connection, "secret of the attic");
    assert!(memories::delete(&connection, &id).unwrap().is_some());
    assert!(memories::delete(&connection, &id).unwrap().is_none());
    assert!(found(&connection, "attic").is_empty());
    assert!(search::check_index(&connection).unwrap().agrees());
}

#[test]
fn forgetting_goes_by_words_time_or_everything() {
    let connection = empty();
    for content in ["red car", "red bicycle", "blue car"] {
        remember(&connection, content);
    }
    let red = Forget::Matching(Query::parse("red"));
    assert_eq!(memories::would_forget(&connection, &red).unwrap().0, 2);
    assert_eq!(memories::forget(&connection, &red).unwrap().count, 2);
    let before = Forget::Between(UnixMillis(0), NOW);
    assert_eq!(memories::forget(&connection, &before).unwrap().count, 0);
    assert_eq!(
        memories::forget(&connection, &Forget::Everything)
            .unwrap()
            .count,
        1
    );
    assert!(found(&connection, "car").is_empty());
    assert!(search::check_index(&connection).unwrap().agrees());
    remember(&connection, "green car");
    assert_eq!(found(&connection, "car"), ["green car"]);
}

#[test]
fn a_list_is_filtered_and_counted() {
    let connection = empty();
    for (content, category, tag) in [
        ("one", "work", "a"),
        ("two", "work", "b"),
        ("three", "life", "a"),
    ] {
        let memory = NewMemory {
            category: category.to_string(),
            tags: vec![tag.to_string()],
            ..NewMemory::plain(content, Source::Manual, NOW)
        };
        memories::insert(&connection, &memory).unwrap();
    }
    let list = |filter: MemoryFilter, page| {
        let json = value(memories::list_json(&connection, &filter, page).unwrap());
        let contents: Vec<String> = json["memories"]
            .as_array()
            .unwrap()
            .iter()
            .map(|memory| memory["content"].as_str().unwrap().to_string())
            .collect();
        (contents, json["total"].as_u64().unwrap())
    };
    let work = MemoryFilter {
        category: Some(String::from("work")),
        ..MemoryFilter::default()
    };
    assert_eq!(
        list(work, FIRST_PAGE),
        (vec!["two".into(), "one".into()], 2)
    );
    let tagged = MemoryFilter {
        tag: Some(String::from("A")),
        ..MemoryFilter::default()
    };
    assert_eq!(list(tagged, FIRST_PAGE).1, 2);
    let second = Page {
        limit: 1,
        offset: 1,
    };
    assert_eq!(
        list(MemoryFilter::default(), second),
        (vec!["two".into()], 3)
    );
    let later = MemoryFilter {
        since: Some(UnixMillis(NOW.0 + 1)),
        ..MemoryFilter::default()
    };
    assert_eq!(list(later, FIRST_PAGE), (vec![], 0));
}

#[test]
fn archived_and_superseded_memories_keep_out_of_the_way() {
    let connection = empty();
    let old = remember(&connection, "the doctor is in room 5");
    let new = remember(&connection, "the doctor is in room 7");
    connection
        .execute(
            "UPDATE memories SET superseded_by = ?1 WHERE id = ?2",
            [&new, &old],
        )
        .unwrap();
    let current = MemoryFilter {
        current_only: true,
        ..MemoryFilter::default()
    };
    let hits = recall::search(&connection, &Query::parse("doctor"), &current, NOW, 10).unwrap();
    assert_eq!(hits.total, 1);
    assert_eq!(found(&connection, "doctor").len(), 2);
    let archive = MemoryPatch {
        archived: Some(true),
        ..MemoryPatch::default()
    };
    memories::update(&connection, &new, &archive, NOW).unwrap();
    assert_eq!(found(&connection, "doctor"), ["the doctor is in room 5"]);
}

#[test]
fn a_conversation_grows_is_read_in_pages_and_goes_whole() {
    let connection = empty();
    let mut first_answer = String::new();
    for n in 0..3 {
        let turn = turn("conv_1", &format!("question {n}"), &format!("answer {n}"));
        first_answer = turn.answered.id.clone();
        conversations::insert_turn(&connection, &turn).unwrap();
    }
    let page = Page {
        limit: 2,
        offset: 2,
    };
    let json = value(
        conversations::json(&connection, "conv_1", page)
            .unwrap()
            .unwrap(),
    );
    assert_eq!(json["summary"], "question 0");
    assert_eq!(json["total"], 6);
    assert_eq!(json["messages"][0]["content"], "question 1");
    assert_eq!(json["messages"][1]["role"], "assistant");
    assert_eq!(
        conversations::last_answer(&connection, "conv_1")
            .unwrap()
            .as_deref(),
        Some("answer 2")
    );

    assert!(conversations::interrupt(&connection, &first_answer, 1_000).unwrap());
    let json = value(
        conversations::json(&connection, "conv_1", FIRST_PAGE)
            .unwrap()
            .unwrap(),
    );
    assert_eq!(json["messages"][5]["spoken_chars"], "answer 2".len());
    assert!(!conversations::interrupt(&connection, "msg_none", 1).unwrap());

    let listed = |words: Option<&str>| {
        value(conversations::list_json(&connection, words, false, FIRST_PAGE).unwrap())["total"]
            .clone()
    };
    assert_eq!(listed(None), 1);
    assert_eq!(listed(Some("\"answer\"")), 1);
    assert_eq!(listed(Some("\"nothing\"")), 0);
    assert_eq!(listed(Some("\"\"")), 0);

    assert!(conversations::delete(&connection, "conv_1").unwrap());
    assert!(!conversations::delete(&connection, "conv_1").unwrap());
    assert_eq!(
        conversations::json(&connection, "conv_1", FIRST_PAGE).unwrap(),
        None
    );
    assert!(search::check_index(&connection).unwrap().agrees());
}

#[test]
fn a_damaged_index_is_noticed_and_made_anew() {
    let connection = empty();
    remember(&connection, "a lamp in the cellar");
    conversations::insert_turn(&connection, &turn("conv_1", "hello", "hi")).unwrap();
    connection.execute("DELETE FROM memory_index", []).unwrap();
    connection
        .execute(
            "INSERT INTO message_index (rowid, content) VALUES (99, 'ghost')",
            [],
        )
        .unwrap();
    let check = search::check_index(&connection).unwrap();
    assert_eq!((check.missing, check.stale), (1, 1));
    search::rebuild_index(&connection).unwrap();
    assert!(search::check_index(&connection).unwrap().agrees());
    assert_eq!(found(&connection, "cellar"), ["a lamp in the cellar"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_is_done_the_index_agrees_with_the_tables(steps in proptest::collection::vec((0..6u8, 0..8usize), 1..60)) {
        let connection = empty();
        let mut kept: Vec<(String, String)> = Vec::new();
        for (number, (step, which)) in steps.into_iter().enumerate() {
            let word = format!("word{number}x");
            let chosen = which.checked_rem(kept.len());
            match (step, chosen) {
                (0 | 1, _) => kept.push((remember(&connection, &format!("{word} 记忆")), word)),
                (2, Some(at)) => {
                    let (id, _) = kept.remove(at);
                    prop_assert!(memories::delete(&connection, &id).unwrap().is_some());
                }
                (3, Some(at)) => {
                    let patch = MemoryPatch { content: Some(word.clone()), ..MemoryPatch::default() };
                    memories::update(&connection, &kept[at].0, &patch, NOW).unwrap();
                    kept[at].1 = word;
                }
                (4, _) => {
                    let conversation = format!("conv_{which}");
                    conversations::insert_turn(&connection, &turn(&conversation, &word, "ok")).unwrap();
                }
                (5, _) => {
                    conversations::delete(&connection, &format!("conv_{which}")).unwrap();
                }
                _ => {}
            }
        }
        let check = search::check_index(&connection).unwrap();
        prop_assert!(check.agrees(), "{:?}", check);
        prop_assert_eq!(check.memories as usize, kept.len());
        for (_, word) in &kept {
            let hits = recall::search(&connection, &Query::parse(word), &MemoryFilter::default(), NOW, 10).unwrap().hits;
            prop_assert!(hits.first().is_some_and(|hit| hit.content.contains(word)), "{} is lost", word);
        }
    }
}

#[test]
fn every_expression_a_query_gives_is_one_that_fts5_takes() {
    let connection = empty();
    remember(&connection, "anything at all 什么都有");
    for text in [
        "AND",
        "NEAR(a b)",
        "\"",
        "a\"b",
        "*",
        "-x",
        "col:umn",
        "^start",
        "{a b}",
        "\0",
        "''",
        "a AND OR NOT",
        "架*构",
        "🔑key",
        "\u{301}",
        "\u{301}\u{301}a",
        "ﷺ",
        "𠀀",
        "ǅ",
        "İ",
        "½",
        "①",
        "हिन्दी",
        "한국어",
    ] {
        let query = Query::parse(text);
        for expression in [Some(query.all()), query.all_stems(), query.any()]
            .into_iter()
            .flatten()
        {
            if !query.is_empty() {
                let taken =
                    search::matches(&connection, &expression, &MemoryFilter::default(), |_| ());
                assert!(taken.is_ok(), "{text:?} -> {expression}: {taken:?}");
            }
        }
    }
}
