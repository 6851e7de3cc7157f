//! Receipts, which come later than any test waits: the clock is set forward.

use std::rc::Rc;

use serde_json::json;

use super::*;
use crate::clock::{Clock, UnixMillis};
use crate::happy::{HappyParts, Registration, Seal, db};
use crate::ops::Registry;
use crate::outbound::OutboundOptions;
use crate::store::{Durability, Store, StoreOptions};

#[path = "../../../tests/support/expo.rs"]
mod expo_double;

use expo_double::{Expo, GONE_LATER, Next};

struct Unsealed;

impl Seal for Unsealed {
    fn seal(&self, _: &str, text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn open(&self, _: &str, sealed: &str) -> Option<String> {
        Some(sealed.to_owned())
    }
}

struct House {
    folder: tempfile::TempDir,
    clock: Clock,
    url: String,
}

impl House {
    async fn start(&self) -> (Store, Happy) {
        let metrics = Registry::default();
        let store = Store::open(StoreOptions {
            path: self.folder.path().join("box.db"),
            clock: self.clock.clone(),
            metrics: metrics.clone(),
            durability: Durability::Full,
        })
        .expect("a store");
        let happy = Happy::start(HappyParts {
            store: store.clone(),
            clock: self.clock.clone(),
            metrics: metrics.clone(),
            registration: Registration::Closed,
            is_limited: true,
            account_bytes: 1024 * 1024,
            keep_days: 0,
            data_dir: self.folder.path().into(),
            push: PushWay::Expo {
                url: self.url.clone(),
            },
            aloud: None,
            outbound: Outbound::new(OutboundOptions::default(), &metrics).expect("a way out"),
            seal: Rc::new(Unsealed),
        })
        .await
        .expect("a key");
        (store, happy)
    }
}

async fn phones(happy: &Happy) -> Vec<String> {
    let found = happy.0.store.query(|db| push_tokens::list(db, "a")).await;
    let tokens = found.expect("phones").into_iter();
    tokens.map(|phone| phone.token).collect()
}

async fn push(happy: &Happy) -> Outcome {
    let note = Note {
        session: String::from("s"),
        kind: Kind::Done,
        title: String::from("t"),
        body: String::from("b"),
        data: Map::new(),
    };
    let found = happy.0.store.query(|db| push_tokens::list(db, "a")).await;
    happy.push("a", &note, found.expect("phones")).await
}

/// What nobody waits for is written by now.
async fn written(store: &Store) {
    let nothing: Result<(), StoreError> = store.write(|_| Ok(())).await;
    nothing.expect("a store");
}

#[test]
fn a_phone_that_a_push_did_not_reach_is_forgotten_by_its_receipt_also_after_a_restart() {
    let expo = Expo::start();
    let house = House {
        folder: tempfile::tempdir().expect("a folder"),
        clock: Clock::manual(UnixMillis(1_795_205_421_573)),
        url: expo.url(),
    };
    let clock = &house.clock;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a loop");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (store, happy) = house.start().await;
        let now = clock.wall();
        let later = format!("{GONE_LATER}]");
        let tokens = ["ExponentPushToken[stays]", later.as_str()];
        for (id, token) in tokens.into_iter().enumerate() {
            let (id, token) = (id.to_string(), token.to_owned());
            let stored: Result<_, StoreError> = store
                .write(move |db| {
                    db::accounts::make(db, "a", "00", now)?;
                    push_tokens::put(db, &id, "a", &token, now)
                })
                .await;
            stored.expect("a phone");
        }
        assert_eq!(push(&happy).await, Outcome::Sent(2));
        written(&store).await;

        clock.advance(limits::HAPPY_RECEIPT_AFTER - std::time::Duration::from_millis(1));
        // The receipt of the first is still asked for at its time.
        assert_eq!(push(&happy).await, Outcome::Sent(2));
        happy.ask_receipts().await;
        assert_eq!(phones(&happy).await.len(), 2, "Expo was asked too early");
        store.close().await.expect("closed");
        drop((store, happy));

        let (store, happy) = house.start().await;
        clock.advance(std::time::Duration::from_millis(1));
        expo.next(Next::Status(500));
        happy.ask_receipts().await;
        assert_eq!(phones(&happy).await.len(), 2);
        happy.ask_receipts().await;
        assert_eq!(phones(&happy).await, ["ExponentPushToken[stays]"]);
        written(&store).await;
        // Asked for once: an answer that is none is not waited for.
        expo.next(Next::Status(500));
        happy.ask_receipts().await;
        assert!(matches!(push(&happy).await, Outcome::Failed(_)));
        assert_eq!(expo.complaints(), Vec::<String>::new());
        assert_eq!(
            expo.messages()[0]["data"],
            json!({"sessionId": "s", "kind": "done"})
        );

        // What Expo knows no more is not asked for.
        assert_eq!(push(&happy).await, Outcome::Sent(1));
        written(&store).await;
        clock.advance(limits::HAPPY_RECEIPT_LIFE + std::time::Duration::from_millis(1));
        expo.next(Next::Status(500));
        happy.ask_receipts().await;
        assert!(matches!(push(&happy).await, Outcome::Failed(_)));
        store.close().await.expect("closed");
    });
}
