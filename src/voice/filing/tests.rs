//! Filing over a real store and queue, with a model that answers what the test says.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::bus::Bus;
use crate::ops::Registry;
use crate::outbound::OutboundOptions;
use crate::store::{Durability, StoreOptions};
use crate::voice::db::conversations::{NewMessage, NewTurn, Role};
use crate::voice::index::Query;
use crate::voice::memory::{Forget, MemoryFilter, fresh_id};
use crate::voice::providers::Call;
use crate::voice::providers::llm::{ChatMessage, ChatReply};
use crate::voice::queue::{Pace, QueueParts};
use crate::voice::rules::Language;

const NOW: UnixMillis = UnixMillis(1_767_322_999_678);

/// Answers in order; keeps what it was asked.
#[derive(Default)]
struct Scripted {
    answers: RefCell<VecDeque<Result<String, EngineError>>>,
    asked: RefCell<Vec<ChatRequest>>,
}

impl Llm for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn chat<'a>(
        &'a self,
        request: &'a ChatRequest,
        _on_text: &'a mut dyn FnMut(&str),
    ) -> Call<'a, ChatReply> {
        Box::pin(async move {
            self.asked.borrow_mut().push(request.clone());
            let next = self.answers.borrow_mut().pop_front();
            let text = next.unwrap_or_else(|| Ok(String::from("nothing is scripted")))?;
            Ok(ChatReply {
                text,
                ..ChatReply::default()
            })
        })
    }
}

struct World {
    filing: Rc<Filing>,
    memories: Memories,
    store: Store,
    clock: Clock,
    model: Rc<Scripted>,
    settings: Rc<RefCell<FilingSettings>>,
}

fn in_world<F: Future<Output = ()>>(test: impl FnOnce(Rc<World>) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let clock = Clock::manual(NOW);
        let metrics = Registry::default();
        let store = Store::open(StoreOptions {
            path: folder.path().join("voice-memory.db"),
            clock: clock.clone(),
            metrics: metrics.clone(),
            durability: Durability::Full,
        })
        .unwrap();
        let bus = Bus::default();
        let memories = Memories::new(store.clone(), bus.clone(), clock.clone());
        let queue = Queue::start(QueueParts {
            store: store.clone(),
            bus,
            clock: clock.clone(),
            metrics: metrics.clone(),
            pace: Pace {
                spacing: Duration::from_millis(1),
                backoff_first: Duration::from_millis(1),
                backoff_max: Duration::from_millis(5),
                wait_in_all: Duration::from_secs(3_600),
            },
        });
        let model = Rc::new(Scripted::default());
        let settings = Rc::new(RefCell::new(FilingSettings {
            auto_memory: AutoMemory::On,
            conversation_idle: Duration::from_secs(600),
            summary_at: None,
            embed: None,
        }));
        let (kept, chosen) = (settings.clone(), model.clone());
        let filing = Filing::start(FilingParts {
            store: store.clone(),
            clock: clock.clone(),
            memories: memories.clone(),
            queue,
            outbound: Outbound::new(OutboundOptions::default(), &metrics).unwrap(),
            model: Rc::new(move || Ok(chosen.clone() as Rc<dyn Llm>)),
            settings: Rc::new(move || kept.borrow().clone()),
            time_zone: jiff::tz::TimeZone::UTC,
        });
        let world = Rc::new(World {
            filing,
            memories,
            store: store.clone(),
            clock,
            model,
            settings,
        });
        test(world).await;
        store.close().await.unwrap();
    });
}

impl World {
    fn answer(&self, answer: impl Into<String>) {
        self.model.answers.borrow_mut().push_back(Ok(answer.into()));
    }

    fn asked(&self) -> usize {
        self.model.asked.borrow().len()
    }

    async fn say(&self, conversation: &str, said: &str, private: bool) -> String {
        let message = |role, content: &str| NewMessage {
            id: fresh_id("msg_"),
            role,
            content: content.to_string(),
            tokens: 1,
            model: None,
            recording_id: None,
        };
        let said = message(Role::User, said);
        let id = said.id.clone();
        let turn = NewTurn {
            conversation_id: conversation.to_string(),
            summary: String::new(),
            said,
            answered: message(Role::Assistant, "I see."),
            at: self.clock.wall(),
        };
        self.memories.set_private(private).await.unwrap();
        self.store
            .write(move |connection| db::conversations::insert_turn(connection, &turn))
            .await
            .unwrap();
        self.memories.set_private(false).await.unwrap();
        id
    }

    /// Looks and waits until no job is left to do.
    async fn settle(&self) {
        self.filing.look().await.unwrap();
        for _ in 0..2_000 {
            let waiting: i64 = self
                .store
                .query(|connection| {
                    Ok::<_, VoiceError>(connection.query_row(
                        "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')",
                        [],
                        |row| row.get(0),
                    )?)
                })
                .await
                .unwrap();
            if waiting == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("jobs are left");
    }

    async fn all(&self) -> Vec<Value> {
        let page = crate::voice::memory::Page {
            limit: 100,
            offset: 0,
        };
        let json = self
            .memories
            .list_json(MemoryFilter::default(), page)
            .await
            .unwrap();
        let value: Value = serde_json::from_slice(&json).unwrap();
        value["memories"].as_array().unwrap().clone()
    }

    async fn waiting_suggestions(&self) -> i64 {
        self.store.query(db::filing::waiting).await.unwrap()
    }
}

fn memory(content: &str) -> Value {
    json!({"content": content, "title": "A title", "summary": "In short.", "category": "life.food",
        "tags": ["kitchen"], "importance": "high", "sentiment": "neutral", "key_points": ["one"]})
}

fn several(contents: &[&str]) -> String {
    let all: Vec<Value> = contents.iter().map(|content| memory(content)).collect();
    json!({ "memories": all }).to_string()
}

#[test]
fn a_silent_conversation_is_filed_once_and_survives_its_job() {
    in_world(|world| async move {
        world
            .say("conv_1", "Anna moved to Rome last week", false)
            .await;
        world.answer(several(&["Anna moved to Rome."]));
        world.settle().await;
        assert_eq!(world.asked(), 0, "not yet over");
        world.clock.advance(Duration::from_secs(601));
        world.settle().await;
        world.settle().await;
        assert_eq!(world.asked(), 1);
        let all = world.all().await;
        assert_eq!(all.len(), 1);
        assert_eq!(all[0]["content"], "Anna moved to Rome.");
        assert_eq!(all[0]["category"], "life.food");
        assert_eq!(all[0]["conversation_id"], "conv_1");
        assert!(all[0]["organized_at"].is_string(), "{}", all[0]);
        // The same job again, as after a power cut before it was marked done.
        world.filing.organize("conv_1").await.ok().unwrap();
        assert_eq!((world.asked(), world.all().await.len()), (1, 1));
    });
}

#[test]
fn a_wrong_answer_is_repaired_once_and_then_kept_unorganised() {
    in_world(|world| async move {
        world.say("conv_1", "奶奶喜欢普洱茶", false).await;
        world.answer("Sure, here you go!");
        world.answer(format!("```json\n{}\n```", several(&["奶奶喜欢普洱茶。"])));
        world.clock.advance(Duration::from_secs(601));
        world.settle().await;
        assert_eq!(world.all().await[0]["content"], "奶奶喜欢普洱茶。");
        let asked = world.model.asked.borrow().clone();
        let ChatMessage::User(complaint) = &asked[1].messages[2] else {
            panic!("{:?}", asked[1]);
        };
        assert!(complaint.contains("JSON"), "{complaint}");

        world.say("conv_2", "Ben bought a boat", false).await;
        world.answer("no");
        world.answer("no again");
        world.clock.advance(Duration::from_secs(601));
        world.settle().await;
        let kept = world.all().await;
        assert_eq!(kept[0]["content"], "Ben bought a boat");
        assert_eq!(kept[0]["importance"], "low");
        assert!(kept[0]["summary"].is_null(), "{}", kept[0]);
    });
}

#[test]
fn private_secret_and_forgotten_things_never_reach_the_model() {
    in_world(|world| async move {
        world
            .say("conv_1", "the party for Anna is a surprise", true)
            .await;
        world
            .say("conv_1", "my card is 4111 1111 1111 1111", false)
            .await;
        world.say("conv_1", "我的密码是abc12345", false).await;
        world.say("conv_1", "Otto has a new job", false).await;
        world.say("conv_1", "Cleo bought a boat", false).await;
        world.say("conv_1", "what time is it", false).await;
        let otto = Forget::Matching(Query::parse("Otto"));
        world.memories.forget(otto).await.unwrap();
        world.answer(several(&[
            "Cleo bought a boat.",
            "Her password is hunter22",
        ]));
        world.clock.advance(Duration::from_secs(601));
        world.settle().await;
        let shown = format!("{:?}", world.model.asked.borrow());
        for word in ["party", "4111", "abc12345", "Otto", "what time"] {
            assert!(!shown.contains(word), "{word} in {shown}");
        }
        assert!(shown.contains("Cleo"));
        let all = world.all().await;
        assert_eq!(
            all.len(),
            1,
            "a secret that a model makes up is not filed: {all:?}"
        );
    });
}

#[test]
fn nothing_is_filed_while_private_or_off_and_ask_waits_for_a_word() {
    in_world(|world| async move {
        world.say("conv_1", "Anna moved to Rome", false).await;
        world.clock.advance(Duration::from_secs(601));
        world.memories.set_private(true).await.unwrap();
        world.settle().await;
        world.memories.set_private(false).await.unwrap();
        world.settings.borrow_mut().auto_memory = AutoMemory::Off;
        world.settle().await;
        assert_eq!(world.asked(), 0);
        world.settings.borrow_mut().auto_memory = AutoMemory::Ask;
        world.answer(several(&["Anna lives in Rome.", "Rome is hot."]));
        world.settle().await;
        assert!(world.all().await.is_empty());
        assert_eq!(world.waiting_suggestions().await, 2);
    });
}

#[test]
fn what_a_person_keeps_is_organised_and_what_they_chose_stays() {
    in_world(|world| async move {
        let keep = |content: &str| NewMemory {
            wants_organizing: true,
            ..NewMemory::told(content, Source::Manual, NOW)
        };
        let chosen = NewMemory {
            category: String::from("work"),
            tags: vec![String::from("mine")],
            ..keep("Anna brings the projector on Friday")
        };
        let id = chosen.id.clone();
        world.answer(json!({"title":"Projector","summary":"Anna brings it.","category":"life.food","tags":["anna"],
            "action_items":["ask Anna"],"facts":[{"subject":"projector","predicate":"carrier","value":"Anna"}]}).to_string());
        world.memories.create(chosen).await.unwrap();
        world.settle().await;
        let all = world.all().await;
        assert_eq!(all[0]["id"], id.as_str());
        assert_eq!(all[0]["title"], "Projector");
        assert_eq!(
            (&all[0]["category"], &all[0]["tags"]),
            (&json!("work"), &json!(["mine"]))
        );
        assert_eq!(all[0]["content"], "Anna brings the projector on Friday");
        assert_eq!(all[0]["action_items"], json!(["ask Anna"]));
        assert_eq!(all[0]["facts"][0]["value"], "Anna");

        world
            .memories
            .create(keep("the safe's code is 4711"))
            .await
            .unwrap();
        world.settle().await;
        assert_eq!(world.asked(), 1, "a secret stays on the box");

        world.answer("nonsense");
        world.answer("nonsense");
        world
            .memories
            .create(keep("the ladder is at Ben's"))
            .await
            .unwrap();
        world.settle().await;
        world.settle().await;
        assert_eq!(world.asked(), 3, "tried twice, then left as it is");
        assert!(world.all().await[0]["organized_at"].is_null());
    });
}

#[test]
fn an_outage_is_waited_out_and_a_refusal_is_shown() {
    in_world(|world| async move {
        world.say("conv_1", "Anna moved to Rome", false).await;
        for error in [
            EngineError::Unreachable("no route".into()),
            EngineError::Limited {
                what: "429".into(),
                retry_after: Some(Duration::from_millis(3)),
            },
            EngineError::Broken("500".into()),
        ] {
            world.model.answers.borrow_mut().push_back(Err(error));
        }
        world.answer(several(&["Anna moved to Rome."]));
        world.clock.advance(Duration::from_secs(601));
        world.settle().await;
        assert_eq!((world.asked(), world.all().await.len()), (4, 1));

        world.say("conv_2", "Ben moved to Oslo", false).await;
        let refusal = EngineError::Rejected("the key is not valid".into());
        world.model.answers.borrow_mut().push_back(Err(refusal));
        world.clock.advance(Duration::from_secs(601));
        world.settle().await;
        world.settle().await;
        assert_eq!(world.asked(), 5, "not tried again by itself");
        let reason: String = world
            .store
            .query(|connection| {
                Ok::<_, VoiceError>(connection.query_row(
                    "SELECT last_error FROM jobs WHERE state = 'failed'",
                    [],
                    |row| row.get(0),
                )?)
            })
            .await
            .unwrap();
        assert!(reason.contains("key"), "{reason}");
    });
}

#[test]
fn the_day_is_told_with_and_without_a_model() {
    in_world(|world| async move {
        world
            .memories
            .create(NewMemory::told("Anna moved to Rome", Source::Manual, NOW))
            .await
            .unwrap();
        let secret = NewMemory::told("the wifi password is magpie2026", Source::Manual, NOW);
        world.memories.create(secret).await.unwrap();
        world.say("conv_1", "hello", false).await;
        let today = world.filing.today();
        let live = world.filing.summary(today, None).await.unwrap();
        assert_eq!(
            (
                live.model.as_str(),
                live.day.counts.memories,
                live.day.counts.messages
            ),
            ("local-rules", 2, 1)
        );
        assert!(live.text.contains("Rome"), "{}", live.text);
        let chinese = world
            .filing
            .summary(today, Some(Language::Chinese))
            .await
            .unwrap();
        assert!(chinese.text.contains("今天"), "{}", chinese.text);

        world.settings.borrow_mut().summary_at = jiff::civil::Time::new(0, 0, 0, 0).ok();
        world.answer("You heard that Anna moved to Rome.");
        world.settle().await;
        world.settle().await;
        assert_eq!(world.asked(), 1);
        assert!(!format!("{:?}", world.model.asked.borrow()).contains("magpie2026"));
        let told = world.filing.summary(today, None).await.unwrap();
        assert_eq!(
            (told.text.as_str(), told.model.as_str()),
            ("You heard that Anna moved to Rome.", "scripted")
        );
        let yesterday = world
            .filing
            .summary(today.yesterday().unwrap(), None)
            .await
            .unwrap();
        assert_eq!(yesterday.day.counts.memories, 0);
    });
}
