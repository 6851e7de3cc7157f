//! The dialogue over a real store in a folder of its own, on a loop as the program has it.

use std::path::Path;

use magpie::bus::Bus;
use magpie::clock::Clock;
use magpie::ops::Registry;
use magpie::store::{Durability, Store, StoreOptions};
use magpie::voice::VoiceSettings;
use magpie::voice::dialogue::{Answer, Dialogue, Question, VoiceError};

use crate::corpus::NOW;

pub struct Room {
    pub dialogue: Dialogue,
    pub clock: Clock,
    pub store: Store,
}

/// Runs `test` in a fresh room.
pub fn in_room<F: Future<Output = ()>>(test: impl FnOnce(Room) -> F) {
    let folder = tempfile::tempdir().unwrap();
    in_room_at(folder.path(), test);
}

/// Runs `test` over what an earlier room left in `folder`.
pub fn in_room_at<F: Future<Output = ()>>(folder: &Path, test: impl FnOnce(Room) -> F) {
    let clock = Clock::manual(NOW);
    let path = folder.join("voice-memory.db");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let store = Store::open(StoreOptions {
            path,
            clock: clock.clone(),
            metrics: Registry::default(),
            durability: Durability::Full,
        })
        .unwrap();
        let settings = VoiceSettings::default();
        test(Room {
            dialogue: Dialogue::start(store.clone(), Bus::default(), clock.clone(), &settings),
            clock,
            store: store.clone(),
        })
        .await;
        store.close().await.unwrap();
    });
}

pub fn question(text: &str) -> Question {
    Question {
        text: text.to_string(),
        remember: true,
        ..Question::default()
    }
}

impl Room {
    pub async fn ask(&self, text: &str) -> Answer {
        self.try_ask(question(text)).await.unwrap()
    }

    pub async fn try_ask(&self, question: Question) -> Result<Answer, VoiceError> {
        let mut heard = String::new();
        let answer = self
            .dialogue
            .answer(question, &mut |text| heard.push_str(text))
            .await?;
        assert_eq!(heard, answer.content, "the pieces are the answer");
        Ok(answer)
    }

    pub async fn says(&self, text: &str, wanted: &str) -> Answer {
        let answer = self.ask(text).await;
        assert!(
            answer.content.contains(wanted),
            "{text:?}: {:?} lacks {wanted:?}",
            answer.content
        );
        answer
    }

    /// Messages stored in a conversation, as JSON.
    pub async fn stored(&self, conversation: &str) -> serde_json::Value {
        let id = conversation.to_string();
        let page = magpie::voice::memory::Page {
            limit: 200,
            offset: 0,
        };
        let json = self
            .store
            .query(move |connection| magpie::voice::db::conversations::json(connection, &id, page))
            .await
            .unwrap();
        json.map_or(serde_json::Value::Null, |json| {
            serde_json::from_slice(&json).unwrap()
        })
    }
}
