//! What replaces what, and what is forgotten for good, over a database in memory.

use std::collections::HashMap;

use proptest::prelude::*;

use super::conversations::{NewMessage, NewTurn, Role};
use super::{conversations, filing, memories, search, vectors};
use crate::clock::UnixMillis;
use crate::store::Connection;
use crate::voice::details::{Day, Details, Fact};
use crate::voice::index::Query;
use crate::voice::memory::{Forget, MemoryFilter, MemoryPatch, NewMemory, Source, fresh_id};
use crate::voice::recall;
use crate::voice::vectors::{Vector, nearest};

const NOW: UnixMillis = UnixMillis(1_767_322_999_678);

fn empty() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for step in crate::store::migrate::STEPS {
        connection.execute_batch(step.sql).unwrap();
    }
    connection
}

fn tell(connection: &Connection, content: &str, at: i64) -> String {
    let memory = NewMemory::told(content, Source::Manual, UnixMillis(NOW.0 + at));
    memories::insert(connection, &memory).unwrap();
    memory.id
}

fn superseded_by(connection: &Connection, id: &str) -> Option<String> {
    connection
        .query_row(
            "SELECT superseded_by FROM memories WHERE id = ?1",
            [id],
            |row| row.get(0),
        )
        .unwrap()
}

fn found(connection: &Connection, words: &str, current_only: bool) -> Vec<String> {
    let filter = MemoryFilter {
        current_only,
        ..MemoryFilter::default()
    };
    recall::search(connection, &Query::parse(words), &filter, NOW, 20)
        .unwrap()
        .hits
        .into_iter()
        .map(|hit| hit.content)
        .collect()
}

#[test]
fn a_new_password_takes_the_old_ones_place_in_both_languages() {
    let connection = empty();
    let first = tell(&connection, "the wifi password is magpie2025", 0);
    let second = tell(&connection, "WiFi密码改成了magpie2026", 1);
    let third = tell(&connection, "The Wi-Fi password is now magpie2027.", 2);
    for old in [&first, &second] {
        assert_eq!(superseded_by(&connection, old).as_ref(), Some(&third));
    }
    assert_eq!(
        found(&connection, "wifi", true),
        [] as [&str; 0],
        "another spelling"
    );
    assert_eq!(
        found(&connection, "password", true),
        ["The Wi-Fi password is now magpie2027."]
    );
    assert_eq!(
        found(&connection, "magpie2025", false).len(),
        1,
        "still searched"
    );
    assert!(memories::delete(&connection, &third).unwrap().is_some());
    assert_eq!(superseded_by(&connection, &first), Some(second.clone()));
    assert_eq!(superseded_by(&connection, &second), None);
}

#[test]
fn forgetting_a_fact_forgets_what_it_replaced_and_deleting_one_memory_does_not() {
    let connection = empty();
    tell(&connection, "the wifi password is magpie2025", 0);
    tell(&connection, "WiFi密码改成了magpie2026", 1);
    let last = tell(&connection, "The Wi-Fi password is now magpie2027.", 2);
    let what = Forget::Matching(Query::parse("magpie2027"));
    assert_eq!(memories::would_forget(&connection, &what).unwrap().0, 3);
    assert_eq!(memories::forget(&connection, &what).unwrap().count, 3);
    for year in ["magpie2025", "magpie2026", "magpie2027"] {
        assert!(found(&connection, year, false).is_empty(), "{year}");
    }
    assert!(memories::delete(&connection, &last).unwrap().is_none());
}

#[test]
fn other_peoples_and_doubtful_statements_replace_nothing() {
    let connection = empty();
    let mut ids = Vec::new();
    for (at, statement) in [
        "my phone number is 555 0199",
        "Anna's phone number is 555 0200",
        "妈妈的电话是13800138000",
        "the spare key is under the pot",
        "the spare key is under the mat",
        "my phone is broken",
        "the wifi password is on the fridge",
    ]
    .iter()
    .enumerate()
    {
        ids.push(tell(&connection, statement, at as i64));
    }
    for id in &ids {
        assert_eq!(superseded_by(&connection, id), None);
    }
}

#[test]
fn a_memory_of_several_facts_stays_while_one_of_them_holds() {
    let connection = empty();
    let fact = |predicate: &str, value: &str| Fact {
        subject: "ben".into(),
        predicate: predicate.into(),
        value: value.into(),
        valid_from: None,
    };
    let with = |content: &str, facts: Vec<Fact>, at: i64| {
        let memory = NewMemory {
            details: Details {
                facts: Some(facts),
                ..Details::default()
            },
            ..NewMemory::plain(content, Source::Chat, UnixMillis(NOW.0 + at))
        };
        memories::insert(&connection, &memory).unwrap();
        memory.id
    };
    let both = with(
        "ben one",
        vec![fact("city", "Rome"), fact("car", "Fiat")],
        0,
    );
    let city = with("ben two", vec![fact("city", "Oslo")], 1);
    assert_eq!(superseded_by(&connection, &both), None);
    let car = with("ben three", vec![fact("car", "Volvo")], 2);
    assert_eq!(superseded_by(&connection, &both), Some(car.clone()));
    // What is put away no longer competes.
    let away = MemoryPatch {
        archived: Some(true),
        ..MemoryPatch::default()
    };
    memories::update(&connection, &car, &away, NOW).unwrap();
    assert_eq!(superseded_by(&connection, &both), None);
    let back = MemoryPatch {
        archived: Some(false),
        ..MemoryPatch::default()
    };
    memories::update(&connection, &car, &back, NOW).unwrap();
    assert_eq!(superseded_by(&connection, &both), Some(car));
    assert_eq!(superseded_by(&connection, &city), None);
    // Saying the same again replaces nothing.
    let same = with("ben four", vec![fact("city", "oslo")], 3);
    assert_eq!(superseded_by(&connection, &city), None);
    assert_eq!(superseded_by(&connection, &same), None);
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

#[test]
fn filing_sees_neither_what_is_private_nor_what_is_a_memory_nor_what_was_forgotten() {
    let connection = empty();
    let told = turn(
        "conv_1",
        "remember that milk is out",
        "I will remember: milk is out.",
    );
    conversations::insert_turn(&connection, &told).unwrap();
    let memory = NewMemory {
        message_id: Some(told.said.id.clone()),
        conversation_id: Some("conv_1".into()),
        ..NewMemory::plain("milk is out", Source::Chat, NOW)
    };
    memories::insert(&connection, &memory).unwrap();
    let private = |on: &str| {
        crate::voice::db::settings::set(&connection, "private", on, NOW).unwrap();
    };
    private("1");
    let secret = turn("conv_1", "the party is a surprise", "ok");
    conversations::insert_turn(&connection, &secret).unwrap();
    private("0");
    conversations::insert_turn(&connection, &turn("conv_1", "Anna moved to Rome", "Nice."))
        .unwrap();
    let said = |connection: &Connection| -> Vec<String> {
        let unfiled = filing::unfiled(connection, "conv_1").unwrap();
        unfiled.said.into_iter().map(|said| said.content).collect()
    };
    assert_eq!(said(&connection), ["Anna moved to Rome", "Nice."]);

    memories::delete(&connection, &memory.id).unwrap();
    assert_eq!(
        said(&connection),
        ["Anna moved to Rome", "Nice."],
        "forgotten, not unfiled"
    );

    let seen = filing::unfiled(&connection, "conv_1").unwrap();
    let rome = Forget::Matching(Query::parse("Rome"));
    memories::forget(&connection, &rome).unwrap();
    assert_eq!(said(&connection), ["Nice."]);
    let late = [NewMemory::plain("Anna lives in Rome", Source::Chat, NOW)];
    let filed = filing::file(&connection, "conv_1", &seen, &late, false, NOW).unwrap();
    assert!(
        filed.is_none(),
        "what was read before it was forgotten is thrown away"
    );
    assert!(found(&connection, "Rome", false).is_empty());
}

#[test]
fn a_conversation_is_filed_once() {
    let connection = empty();
    conversations::insert_turn(&connection, &turn("conv_1", "Anna moved to Rome", "Nice."))
        .unwrap();
    let seen = filing::unfiled(&connection, "conv_1").unwrap();
    let memory = [NewMemory::plain("Anna lives in Rome", Source::Chat, NOW)];
    assert_eq!(
        filing::idle(&connection, UnixMillis(0), NOW, 10).unwrap(),
        ["conv_1"]
    );
    assert!(
        filing::file(&connection, "conv_1", &seen, &memory, false, NOW)
            .unwrap()
            .is_some()
    );
    assert!(
        filing::file(&connection, "conv_1", &seen, &memory, false, NOW)
            .unwrap()
            .is_none()
    );
    assert!(
        filing::idle(&connection, UnixMillis(0), NOW, 10)
            .unwrap()
            .is_empty()
    );
    assert_eq!(found(&connection, "Rome", false).len(), 1);
}

#[test]
fn suggestions_wait_are_accepted_refused_and_forgotten() {
    let connection = empty();
    let suggest = |said: &str, content: &str| {
        let conversation = fresh_id("conv_");
        conversations::insert_turn(&connection, &turn(&conversation, said, "ok")).unwrap();
        let seen = filing::unfiled(&connection, &conversation).unwrap();
        let memory = NewMemory::plain(content, Source::Chat, NOW);
        filing::file(
            &connection,
            &conversation,
            &seen,
            std::slice::from_ref(&memory),
            true,
            NOW,
        )
        .unwrap();
        memory.id
    };
    let rome = suggest("a", "Anna lives in Rome");
    let oslo = suggest("b", "Ben lives in Oslo");
    let bern = suggest("c", "Cleo lives in Bern");
    assert!(
        found(&connection, "lives", false).is_empty(),
        "not before a word"
    );
    assert_eq!(
        filing::accept(&connection, &rome).unwrap().unwrap().id,
        rome
    );
    assert!(filing::accept(&connection, &rome).unwrap().is_none());
    assert!(filing::refuse(&connection, &oslo).unwrap());
    memories::forget(&connection, &Forget::Matching(Query::parse("cleo bern"))).unwrap();
    assert!(
        filing::accept(&connection, &bern).unwrap().is_none(),
        "forgotten"
    );
    assert_eq!(found(&connection, "lives", false), ["Anna lives in Rome"]);
    assert_eq!(filing::waiting(&connection).unwrap(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_supersedes_is_never_superseded(
        steps in proptest::collection::vec((0..6u8, 0..12usize, 0..3usize, 0..3usize, 0..5i64), 1..50)
    ) {
        let connection = empty();
        let mut ids: Vec<String> = Vec::new();
        for (step, which, subject, value, day) in steps {
            let fact = |predicate: usize| Fact {
                subject: ["ben", "妈妈", "wifi"][subject].into(),
                predicate: ["city", "password"][predicate % 2].into(),
                value: ["a1", "b2", "c3"][value].into(),
                valid_from: (day > 1).then_some(Day(UnixMillis(NOW.0 + day * 86_400_000))),
            };
            let chosen = which.checked_rem(ids.len()).map(|at| ids[at].clone());
            match (step, chosen) {
                (0..=2, _) => {
                    let facts = if step == 2 { vec![fact(0), fact(1)] } else { vec![fact(which)] };
                    let memory = NewMemory {
                        details: Details { facts: Some(facts), ..Details::default() },
                        ..NewMemory::plain("x", Source::Chat, UnixMillis(NOW.0 + day))
                    };
                    memories::insert(&connection, &memory).unwrap();
                    ids.push(memory.id);
                }
                (3, Some(id)) => {
                    memories::delete(&connection, &id).unwrap();
                    ids.retain(|known| *known != id);
                }
                (4, Some(id)) => {
                    let patch = MemoryPatch { archived: Some(day % 2 == 0), ..MemoryPatch::default() };
                    memories::update(&connection, &id, &patch, NOW).unwrap();
                }
                (5, Some(id)) => {
                    let details = Details { facts: Some(vec![fact(which)]), ..Details::default() };
                    let patch = MemoryPatch { details, ..MemoryPatch::default() };
                    memories::update(&connection, &id, &patch, NOW).unwrap();
                }
                _ => {}
            }
        }
        let by: HashMap<String, Option<String>> =
            ids.iter().map(|id| (id.clone(), superseded_by(&connection, id))).collect();
        for (id, newer) in &by {
            if let Some(newer) = newer {
                let is_current = matches!(by.get(newer), Some(None));
                let away: bool = connection
                    .query_row("SELECT is_archived FROM memories WHERE id = ?1", [id], |row| row.get(0))
                    .unwrap();
                prop_assert!(is_current || away, "{} is superseded by {} of {:?}", id, newer, by);
            }
        }
    }

    #[test]
    fn what_is_forgotten_is_found_by_nothing(
        words in proptest::collection::vec("[a-z]{4,8}|[一-龥]{2,4}", 3..12), gone in 0..12usize, how in 0..3u8,
    ) {
        let connection = empty();
        let gone = gone % words.len();
        let vector = |n: usize| Vector::of(&[n as f32 + 1.0, 1.0, -(n as f32)]).unwrap();
        let mut ids = Vec::new();
        for (n, word) in words.iter().enumerate() {
            let memory = NewMemory {
                tags: vec![format!("tag{n}")],
                conversation_id: Some(format!("conv_{n}")),
                ..NewMemory::plain(format!("q{n}q {word}"), Source::Chat, UnixMillis(NOW.0 + n as i64))
            };
            memories::insert(&connection, &memory).unwrap();
            ids.push(memory.id);
        }
        for missing in vectors::missing(&connection, "m", 100).unwrap() {
            vectors::put(&connection, "m", &missing, Some(&vector(missing.seq as usize))).unwrap();
        }
        let what = match how {
            0 => Forget::These(vec![ids[gone].clone()]),
            1 => Forget::Matching(Query::parse(&format!("q{gone}q"))),
            _ => Forget::Conversation(format!("conv_{gone}")),
        };
        prop_assert_eq!(memories::forget(&connection, &what).unwrap().count, 1);
        let text = format!("q{gone}q");
        prop_assert!(found(&connection, &text, false).is_empty());
        let tag = format!("tag{gone}");
        prop_assert!(found(&connection, &tag, false).is_empty());
        prop_assert!(memories::json(&connection, &ids[gone], "", "").unwrap().is_none());
        let near = nearest(&connection, "m", &vector(gone + 1), 100).unwrap();
        prop_assert!(!near.contains(&(gone as i64 + 1)), "{:?}", near);
        prop_assert!(search::check_index(&connection).unwrap().agrees());
        let left = found(&connection, &format!("q{}q", (gone + 1) % words.len()), false);
        prop_assert_eq!(left.len(), 1, "the others stay");
    }
}
