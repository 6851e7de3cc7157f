//! Receipts, which tell some time after a push whether it arrived. What is still to be asked for
//! stands with the phone, so a restart forgets none.

use super::{PushWay, expo};
use crate::clock::UnixMillis;
use crate::happy::db::push_tokens::{self, Expected};
use crate::happy::{Happy, db};
use crate::limits;

impl Happy {
    /// Notes what is to be asked for later; nobody waits for that.
    pub(super) fn expect_receipts(&self, expected: Vec<Expected>) {
        if expected.is_empty() {
            return;
        }
        let now = self.0.clock.wall();
        self.0.store.relaxed(move |db| {
            for one in &expected {
                push_tokens::expect(db, one, now)?;
            }
            Ok(())
        });
    }

    /// Asks for receipts now and then. Ends with the room.
    pub(in crate::happy) fn watch_receipts(&self) {
        if !matches!(self.0.push.way, PushWay::Expo { .. }) {
            return;
        }
        let room = std::rc::Rc::downgrade(&self.0);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(limits::HAPPY_RECEIPT_LOOK).await;
                let Some(room) = room.upgrade() else { return };
                Happy(room).ask_receipts().await;
            }
        });
    }

    /// Forgets the phones that a push did not reach because the app is gone from them.
    pub(super) async fn ask_receipts(&self) {
        let push = &self.0.push;
        let PushWay::Expo { url } = &push.way else {
            return;
        };
        let sent_by = self.before(limits::HAPPY_RECEIPT_AFTER);
        let kept_since = self.before(limits::HAPPY_RECEIPT_LIFE);
        let due = self
            .0
            .store
            .query(move |db| push_tokens::due(db, kept_since, sent_by))
            .await;
        let due = match due {
            Ok(due) if due.is_empty() => return,
            Ok(due) => due,
            Err(error) => return log::warn!("event=happy_receipts_unknown error=\"{error}\""),
        };
        let tickets: Vec<String> = due.iter().map(|one| one.ticket.clone()).collect();
        // They are asked for again until Expo keeps them no more.
        let found = match expo::receipts(&push.outbound, url, &tickets).await {
            Ok(found) => found,
            Err(why) => return log::warn!("event=happy_receipts_unknown error=\"{why}\""),
        };
        let receipts = || {
            due.iter()
                .filter_map(|one| Some((one, found.get(&one.ticket)?)))
        };
        let failed = receipts()
            .filter(|(_, receipt)| receipt.error().is_some())
            .count();
        let gone: Vec<(String, String)> = receipts()
            .filter(|(_, receipt)| receipt.is_gone())
            .map(|(one, _)| (one.account.clone(), one.token.clone()))
            .collect();
        if failed > 0 {
            log::warn!(
                "event=happy_pushes_not_delivered count={failed} gone={}",
                gone.len()
            );
        }
        self.forget_phones(gone).await;
        self.0.store.relaxed(move |db| {
            for one in &due {
                push_tokens::told(db, one)?;
            }
            Ok(())
        });
    }

    fn before(&self, duration: std::time::Duration) -> UnixMillis {
        UnixMillis(self.0.clock.wall().0 - duration.as_millis() as i64)
    }

    /// Phones, each with its account, that have the app no more.
    pub(super) async fn forget_phones(&self, gone: Vec<(String, String)>) {
        if gone.is_empty() {
            return;
        }
        let removed = self.0.store.write(move |db| {
            for (account, token) in &gone {
                db::push_tokens::remove(db, account, token)?;
            }
            Ok::<_, crate::store::StoreError>(())
        });
        // The next push finds them gone again.
        if let Err(error) = removed.await {
            log::warn!("event=happy_phones_not_forgotten error=\"{error}\"");
        }
    }
}
