//! Tickets whose receipts are still to be asked for. In memory: what a restart forgets is at most a
//! phone that is told once more in vain.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::{PushWay, expo};
use crate::clock::MonoMillis;
use crate::happy::{Happy, db};
use crate::limits;

#[derive(Default)]
pub struct Receipts(RefCell<VecDeque<Expected>>);

#[derive(Clone)]
pub struct Expected {
    pub ticket: String,
    pub account: String,
    /// The phone's.
    pub token: String,
    pub sent: MonoMillis,
}

impl Receipts {
    /// The oldest are given up where there are too many.
    pub fn wait_for(&self, expected: Expected) {
        let mut waiting = self.0.borrow_mut();
        if waiting.len() >= limits::HAPPY_RECEIPTS_MAX {
            waiting.pop_front();
        }
        waiting.push_back(expected);
    }

    /// Those that Expo should know of by now, no more than one call may ask for.
    fn due(&self, now: MonoMillis) -> Vec<Expected> {
        let mut waiting = self.0.borrow_mut();
        let is_due = |expected: &Expected| now.since(expected.sent) >= limits::HAPPY_RECEIPT_AFTER;
        let count = waiting.iter().take_while(|one| is_due(one)).count();
        waiting
            .drain(..count.min(limits::HAPPY_RECEIPTS_AT_ONCE))
            .collect()
    }
}

impl Happy {
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
        let due = push.receipts.due(self.0.clock.mono());
        if due.is_empty() {
            return;
        }
        let tickets: Vec<String> = due.iter().map(|one| one.ticket.clone()).collect();
        let found = match expo::receipts(&push.outbound, url, &tickets).await {
            Ok(found) => found,
            Err(why) => return log::warn!("event=happy_receipts_unknown error=\"{why}\""),
        };
        let mut failed = 0;
        let mut gone = Vec::new();
        for expected in due {
            let Some(receipt) = found.get(&expected.ticket) else {
                continue;
            };
            failed += usize::from(receipt.error().is_some());
            if receipt.is_gone() {
                gone.push((expected.account, expected.token));
            }
        }
        if failed > 0 {
            log::warn!(
                "event=happy_pushes_not_delivered count={failed} gone={}",
                gone.len()
            );
        }
        self.forget_phones(gone).await;
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
