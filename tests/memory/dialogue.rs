//! What the box answers without a model, and what it keeps of it.

use std::time::Duration;

use magpie::clock::UnixMillis;
use magpie::voice::dialogue::{Action, Question, VoiceError};
use magpie::voice::index::Query;
use magpie::voice::memory::{Forget, MemoryFilter, NewMemory, Source};

use crate::corpus::NOW;
use crate::room::{in_room, in_room_at, question};

#[test]
fn a_greeting_in_chinese_gets_a_friendly_chinese_answer() {
    in_room(|room| async move {
        let answer = room.says("你好", "你好").await;
        assert_eq!(answer.language, "zh");
        assert_eq!(answer.model, "local-rules");
        assert!(answer.input_tokens > 0 && answer.output_tokens > 0);
    });
}

#[test]
fn what_was_told_is_answered_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    in_room_at(folder.path(), |room| async move {
        let told = room
            .says(
                "remember that the spare key is under the blue flower pot",
                "blue flower pot",
            )
            .await;
        let saved = told.memory_saved.unwrap();
        assert_eq!(saved.title, "the spare key is under the blue flower…");
        room.says("记住WiFi密码是 magpie2026", "magpie2026").await;
    });
    in_room_at(folder.path(), |room| async move {
        let answer = room
            .says(
                "where is the spare key",
                "You told me: the spare key is under",
            )
            .await;
        assert_eq!(answer.memories_used.len(), 1);
        assert_eq!(answer.memories_used[0].score, 1.0);
        room.says("WiFi密码是什么？", "您说过：WiFi密码是 magpie2026")
            .await;
        room.says("spare key", "blue flower pot").await;
    });
}

#[test]
fn a_new_value_takes_the_old_ones_place_in_what_is_told() {
    in_room(|room| async move {
        for (told, asked, new, old) in [
            (
                [
                    "remember that the wifi password is magpie2025",
                    "remember that the Wi-Fi password is now magpie2026",
                ],
                "what is the password",
                "magpie2026",
                "magpie2025",
            ),
            (
                ["记住车库密码是1234", "记住车库的密码改成了5678"],
                "车库密码是什么",
                "5678",
                "1234",
            ),
        ] {
            for statement in told {
                room.ask(statement).await;
            }
            let answer = room.says(asked, new).await;
            assert!(!answer.content.contains(old), "{}", answer.content);
            let all = room
                .dialogue
                .memories()
                .search(Query::parse(old), MemoryFilter::default(), 10)
                .await
                .unwrap();
            assert_eq!(all.total, 1, "{old} is still searched");
            assert!(all.hits[0].superseded_by.is_some());
        }
        room.says("forget about magpie2026", "Say yes").await;
        room.says("yes", "Forgotten").await;
        room.says("what is the wifi password", "do not know").await;
    });
}

#[test]
fn private_mode_is_switched_by_voice_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    in_room_at(folder.path(), |room| async move {
        let before = room.ask("the party for Anna is on Friday").await;
        room.says("don't remember this", "Private").await;
        let stored = room.stored(&before.conversation_id).await;
        assert_eq!(stored["messages"][0]["private"], true, "{stored}");
    });
    in_room_at(folder.path(), |room| async move {
        assert!(room.dialogue.memories().is_private());
        room.says("可以记了", "又可以记").await;
        let after = room.ask("what time is it").await;
        let stored = room.stored(&after.conversation_id).await;
        let last = stored["messages"].as_array().unwrap().last().unwrap();
        assert!(last["private"].is_null(), "{last}");
    });
}

#[test]
fn several_that_fit_are_all_told_and_a_doubt_is_spoken() {
    in_room(|room| async move {
        room.ask("remember that Anna likes tulips").await;
        room.ask("remember that Anna likes oolong").await;
        let answer = room.says("what does Anna like", "2 things").await;
        assert_eq!(answer.memories_used.len(), 2);
        room.says("what does Anna drive", "not sure").await;
        let unknown = room
            .says("where is the lawn mower", "do not know that yet")
            .await;
        assert!(unknown.memories_used.is_empty());
        room.says("割草机在哪里", "还不知道").await;
        room.says("where is it", "What is it about").await;
        room.says("the weather is nice", "no language model").await;
    });
}

#[test]
fn what_was_told_twice_is_told_once() {
    in_room(|room| async move {
        room.ask("remember that the bread is in the box").await;
        room.ask("remember that the bread is in the box").await;
        let answer = room
            .says(
                "where is the bread",
                "You told me: the bread is in the box.",
            )
            .await;
        assert_eq!(answer.memories_used.len(), 1);
    });
}

#[test]
fn more_than_one_transaction_may_hold_is_forgotten_whole() {
    in_room(|room| async move {
        let memories = room.dialogue.memories();
        let many = (0..1_250)
            .map(|n| NewMemory::plain(format!("locust number {n}"), Source::Import, NOW))
            .collect();
        memories.import(many).await.unwrap();
        room.ask("remember that bees are welcome").await;
        let locusts = Forget::Matching(Query::parse("locust"));
        let (count, ids) = memories.would_forget(locusts.clone()).await.unwrap();
        assert_eq!((count, ids.len()), (1_250, 200));
        assert_eq!(memories.forget(locusts).await.unwrap(), 1_250);
        let check = memories.check_index().await.unwrap();
        assert_eq!(check.memories, 1);
        assert!(check.agrees(), "{check:?}");
    });
}

#[test]
fn forgetting_waits_for_a_yes() {
    in_room(|room| async move {
        room.ask("remember that the safe opens with 1234").await;
        room.says("forget about the safe", "Say yes").await;
        room.says("no", "nothing is removed").await;
        room.says("yes", "All right").await;
        room.says("where is the safe", "1234").await;

        room.says("forget about the safe", "Say yes").await;
        room.says("what time is it", "It is").await;
        room.says("yes", "All right").await;
        room.says("where is the safe", "1234").await;

        room.says("forget about the safe", "Say yes").await;
        room.clock.advance(Duration::from_secs(61));
        room.says("yes", "All right").await;
        room.says("where is the safe", "1234").await;

        room.says("forget about the safe", "Say yes").await;
        room.says("yes", "Forgotten").await;
        room.says("where is the safe", "do not know").await;
        room.says("forget about the safe", "remember nothing").await;
    });
}

#[test]
fn a_conversation_is_cleared_after_a_yes_and_its_memories_stay() {
    in_room(|room| async move {
        room.ask("记住护照在抽屉里").await;
        room.ask("清空对话").await;
        let answer = room.says("确定", "已经清空").await;
        let stored = room.stored(&answer.conversation_id).await;
        assert_eq!(stored["total"], 2, "{stored}");
        assert_eq!(stored["messages"][0]["content"], "确定");
        room.says("护照在哪里", "抽屉").await;
        let check = room.dialogue.memories().check_index().await.unwrap();
        assert!(check.agrees(), "{check:?}");
    });
}

#[test]
fn other_forms_of_a_word_answer_but_never_join_the_word_itself() {
    in_room(|room| async move {
        room.ask("remember that I live in the old mill").await;
        room.ask("remember that the living room was painted").await;
        room.ask("remember that the car is parked on level 3").await;
        let answer = room.says("where do i live", "old mill").await;
        assert_eq!(answer.memories_used.len(), 1, "{}", answer.content);
        room.says("where did i park the car", "You told me: the car is parked")
            .await;
        room.says("我的车停在哪里", "还不知道").await;
    });
}

#[test]
fn everything_goes_only_after_a_yes_and_then_the_index_agrees() {
    in_room(|room| async move {
        for content in ["记住牛奶在冰箱", "记住鸡蛋在篮子里", "记住面包在桌上"]
        {
            room.ask(content).await;
        }
        room.says("你记得什么", "3件事").await;
        room.says("清空记忆", "全部3条").await;
        room.says("是的", "3条").await;
        room.says("牛奶在哪里", "还不知道").await;
        let check = room.dialogue.memories().check_index().await.unwrap();
        assert_eq!(check.memories, 0);
        assert!(check.agrees(), "{check:?}");
    });
}

#[test]
fn a_yes_in_another_conversation_confirms_nothing() {
    in_room(|room| async move {
        let first = room.ask("remember that the shed code is 99").await;
        room.says("forget the shed code", "Say yes").await;
        room.clock.advance(Duration::from_secs(1));
        let other = room
            .dialogue
            .begin(question("hello"))
            .unwrap()
            .conversation_id;
        assert_eq!(other, first.conversation_id, "still the running one");
        // Ten idle minutes later a new conversation begins.
        room.clock.advance(Duration::from_secs(601));
        let late = room.says("yes", "All right").await;
        assert_ne!(late.conversation_id, first.conversation_id);
        room.says("what is the shed code", "99").await;
    });
}

#[test]
fn both_sides_are_kept_with_the_first_words_as_summary() {
    in_room(|room| async move {
        let answer = room.ask("what time is it").await;
        room.ask("thank you").await;
        let stored = room.stored(&answer.conversation_id).await;
        assert_eq!(stored["summary"], "what time is it");
        assert_eq!(stored["total"], 4);
        assert_eq!(stored["messages"][0]["role"], "user");
        assert_eq!(stored["messages"][1]["id"], answer.id.as_str());

        room.dialogue.interrupted(&answer.id, 3).await.unwrap();
        let stored = room.stored(&answer.conversation_id).await;
        assert_eq!(stored["messages"][1]["interrupted"], true);
        assert_eq!(stored["messages"][1]["spoken_chars"], 3);
        let unknown = room.dialogue.interrupted("msg_0123456789abcdef", 3).await;
        assert!(matches!(unknown, Err(VoiceError::NotFound(_))));
    });
}

#[test]
fn what_is_not_to_be_remembered_leaves_no_trace() {
    in_room(|room| async move {
        let secret = |text: &str| Question {
            remember: false,
            ..question(text)
        };
        let answer = room
            .try_ask(secret("remember that my pin is 31337"))
            .await
            .unwrap();
        assert!(
            answer.content.contains("did not store"),
            "{}",
            answer.content
        );
        assert!(answer.memory_saved.is_none());
        assert!(room.stored(&answer.conversation_id).await.is_null());
        room.says("what is my pin", "do not know").await;
        // The conversation goes on under its id.
        let known = Question {
            conversation: Some(answer.conversation_id.clone()),
            ..question("hello")
        };
        assert_eq!(
            room.try_ask(known).await.unwrap().conversation_id,
            answer.conversation_id
        );
    });
}

#[test]
fn conversations_end_by_idle_time_and_not_by_a_wrong_clock() {
    in_room(|room| async move {
        let first = room.ask("hello").await.conversation_id;
        room.clock.set_wall(UnixMillis(0));
        assert_eq!(room.ask("hello").await.conversation_id, first);
        room.says("what time is it", "clock has not been set").await;
        room.clock.advance(Duration::from_secs(600));
        let second = room.ask("hello").await.conversation_id;
        assert_ne!(second, first);
        let again = Question {
            conversation: Some(first.clone()),
            ..question("hello")
        };
        assert_eq!(room.try_ask(again).await.unwrap().conversation_id, first);
        let unknown = Question {
            conversation: Some(String::from("conv_0123456789abcdef")),
            ..question("hello")
        };
        assert!(matches!(
            room.try_ask(unknown).await,
            Err(VoiceError::NotFound(_))
        ));
    });
}

#[test]
fn questions_asked_at_once_share_the_conversation_and_lose_nothing() {
    in_room(|room| async move {
        let ask = |n: usize| {
            room.ask(if n.is_multiple_of(2) {
                "hello"
            } else {
                "remember that pi begins with 3"
            })
        };
        let (a, b, c, d) = tokio::join!(ask(0), ask(1), ask(2), ask(3));
        for answer in [&b, &c, &d] {
            assert_eq!(answer.conversation_id, a.conversation_id);
        }
        assert_eq!(room.stored(&a.conversation_id).await["total"], 8);
        assert_eq!(
            room.dialogue
                .memories()
                .check_index()
                .await
                .unwrap()
                .memories,
            2
        );
    });
}

#[test]
fn the_box_is_told_what_to_do_beside_speaking() {
    in_room(|room| async move {
        assert_eq!(room.ask("stop").await.action, Some(Action::Stop));
        assert_eq!(room.ask("静音").await.action, Some(Action::Mute));
        room.dialogue.note_volume(95);
        assert_eq!(
            room.ask("louder").await.action,
            Some(Action::Volume { percent: 100 })
        );
        assert_eq!(
            room.ask("音量调到20").await.action,
            Some(Action::Volume { percent: 20 })
        );
        assert_eq!(
            room.ask("quieter").await.action,
            Some(Action::Volume { percent: 10 })
        );
        let said = room.ask("what day is it").await.content;
        let repeated = room.ask("say that again").await;
        assert_eq!(
            (repeated.content, repeated.action),
            (said, Some(Action::Repeat))
        );
    });
}

#[test]
fn a_recall_is_counted() {
    in_room(|room| async move {
        let saved = room
            .ask("remember that the drill is at Ben's")
            .await
            .memory_saved
            .unwrap();
        room.says("where is the drill", "Ben").await;
        // A relaxed job rides with the next durable one.
        room.ask("hello").await;
        let json = room.dialogue.memories().json(&saved.id, "", "").unwrap();
        let memory: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(memory["recall_count"], 1);
        assert_eq!(memory["source"], "chat");
        assert!(memory["message_id"].as_str().unwrap().starts_with("msg_"));
    });
}

#[test]
fn a_message_that_is_empty_or_too_long_is_refused() {
    in_room(|room| async move {
        for text in ["", "  \n", &"x".repeat(32 * 1024 + 1)] {
            let refused = room.try_ask(question(text)).await;
            assert!(
                matches!(refused, Err(VoiceError::Invalid(_))),
                "{:.20}",
                text
            );
        }
        room.ask(&"什么 ".repeat(4_000)).await;
    });
}
