//! The event bus: topics with a bounded history, subscribers with bounded queues.
//!
//! A publisher never waits. A subscriber that falls behind is ended, and learns on its return
//! what it missed by sequence number, or that it has to read afresh. On a coalescing topic
//! (levels, progress) a subscriber that is behind keeps only the newest event of a key. An event
//! that tells of a write is published after the write's commit, which is the publisher's duty.
//! The bus knows no socket: forms for the wire are made once an event and shared.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::limits::{
    CONSUMER_QUEUE_BYTES_MAX, CONSUMER_QUEUE_MESSAGES_MAX, TOPIC_RING_BYTES, TOPIC_RING_EVENTS,
    TOPICS_MAX,
};

/// Clones share the same topics.
#[derive(Clone)]
pub struct Bus(Rc<Inner>);

struct Inner {
    /// Random name of this run.
    boot: u64,
    topics: RefCell<HashMap<Rc<str>, Rc<Topic>>>,
}

#[derive(Default)]
struct Topic {
    last_seq: Cell<u64>,
    ring: RefCell<VecDeque<Rc<Event>>>,
    ring_bytes: Cell<usize>,
    subscribers: RefCell<Vec<Weak<Queue>>>,
}

/// One event; its payload is made once and shared by all who receive it.
#[derive(Debug)]
pub struct Event {
    /// Position in its topic, from 1.
    pub seq: u64,
    /// What kind of event, e.g. `memory_saved`.
    pub kind: &'static str,
    /// Events of one key replace each other for a subscriber that is behind.
    pub key: Option<Rc<str>>,
    pub payload: serde_json::Value,
    bytes: usize,
    wire: [OnceCell<Bytes>; 2],
}

/// Forms an event takes on the wire, each made at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    WebSocket,
    EventStream,
}

/// Where a subscriber wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeFrom {
    /// Name of the run that gave the number; another run's numbers mean nothing.
    pub boot: u64,
    /// The last event that was seen.
    pub seq: u64,
}

/// Why a subscription gives no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What was missed is no longer kept: read the state afresh, then subscribe anew.
    TooOld,
    /// More waited than the queue holds; what was not received can be asked for by number.
    Lagged { last_seq: u64 },
    /// There are too many topics.
    TooManyTopics,
}

/// Receives one topic's events in order, none missing.
pub struct Subscription {
    queue: Rc<Queue>,
    /// Keeps a topic without history alive while somebody listens.
    _topic: Rc<Topic>,
}

#[derive(Default)]
struct Queue {
    events: RefCell<VecDeque<Rc<Event>>>,
    bytes: Cell<usize>,
    lagged: Cell<bool>,
    received: Cell<u64>,
    wake: Notify,
}

impl Default for Bus {
    fn default() -> Bus {
        let mut boot = [0; 8];
        // Without a source of randomness numbers of an earlier run might be taken for this one's;
        // the process id is then the best there is.
        if getrandom::fill(&mut boot).is_err() {
            boot = u64::from(std::process::id()).to_le_bytes();
        }
        Bus(Rc::new(Inner {
            // 53 bits pass through every JSON reader unharmed.
            boot: u64::from_le_bytes(boot) >> 11,
            topics: RefCell::default(),
        }))
    }
}

impl Bus {
    pub fn boot(&self) -> u64 {
        self.0.boot
    }

    pub fn publish(&self, topic: &str, kind: &'static str, payload: serde_json::Value) {
        self.publish_keyed(topic, kind, None, payload);
    }

    /// Publishes an event that replaces earlier ones of its key for who is behind.
    pub fn publish_keyed(
        &self,
        topic: &str,
        kind: &'static str,
        key: Option<&str>,
        payload: serde_json::Value,
    ) {
        let Some(topic) = self.topic(topic) else {
            log::warn!("event dropped kind={kind} reason=too_many_topics");
            return;
        };
        let seq = topic.last_seq.get() + 1;
        topic.last_seq.set(seq);
        let event = Rc::new(Event {
            seq,
            kind,
            key: key.map(Rc::from),
            bytes: size_of_value(&payload) + size_of::<Event>(),
            payload,
            wire: Default::default(),
        });
        topic.remember(event.clone());
        topic.subscribers.borrow_mut().retain(|queue| {
            let Some(queue) = queue.upgrade() else {
                return false;
            };
            queue.push(event.clone());
            true
        });
    }

    /// Future events of a topic, after those missed since `from`.
    pub fn subscribe(&self, topic: &str, from: Option<ResumeFrom>) -> Result<Subscription, Ended> {
        let topic = self.topic(topic).ok_or(Ended::TooManyTopics)?;
        let queue = Rc::new(Queue::default());
        queue.received.set(topic.last_seq.get());
        if let Some(from) = from {
            if from.boot != self.0.boot || from.seq > topic.last_seq.get() {
                return Err(Ended::TooOld);
            }
            let ring = topic.ring.borrow();
            let oldest = ring
                .front()
                .map_or(topic.last_seq.get() + 1, |event| event.seq);
            if from.seq + 1 < oldest {
                return Err(Ended::TooOld);
            }
            queue.received.set(from.seq);
            // Past the queue's own bound, since the ring bounds it and shares the events: whoever
            // missed more than a queue holds could otherwise never catch up.
            let missed = ring.iter().filter(|event| event.seq > from.seq).cloned();
            let missed: VecDeque<_> = missed.collect();
            queue
                .bytes
                .set(missed.iter().map(|event| event.bytes).sum());
            queue.events.replace(missed);
        }
        topic.subscribers.borrow_mut().push(Rc::downgrade(&queue));
        Ok(Subscription {
            queue,
            _topic: topic,
        })
    }

    /// The topic of this name; idle ones make room when there are too many.
    fn topic(&self, name: &str) -> Option<Rc<Topic>> {
        let mut topics = self.0.topics.borrow_mut();
        if let Some(topic) = topics.get(name) {
            return Some(topic.clone());
        }
        if topics.len() >= TOPICS_MAX {
            topics.retain(|_, topic| Rc::strong_count(topic) > 1 || topic.last_seq.get() > 0);
            if topics.len() >= TOPICS_MAX {
                return None;
            }
        }
        let topic = Rc::new(Topic::default());
        topics.insert(Rc::from(name), topic.clone());
        Some(topic)
    }
}

impl Topic {
    fn remember(&self, event: Rc<Event>) {
        let mut ring = self.ring.borrow_mut();
        let mut bytes = self.ring_bytes.get() + event.bytes;
        ring.push_back(event);
        while ring.len() > TOPIC_RING_EVENTS || bytes > TOPIC_RING_BYTES {
            let Some(oldest) = ring.pop_front() else {
                break;
            };
            bytes -= oldest.bytes;
        }
        self.ring_bytes.set(bytes);
    }
}

impl Queue {
    fn push(&self, event: Rc<Event>) {
        if self.lagged.get() {
            return;
        }
        let mut events = self.events.borrow_mut();
        if event.key.is_some()
            && let Some(at) = events
                .iter()
                .position(|waiting| waiting.key == event.key && waiting.kind == event.kind)
            && let Some(older) = events.remove(at)
        {
            self.bytes.set(self.bytes.get() - older.bytes);
        }
        let bytes = self.bytes.get() + event.bytes;
        let fits = events.len() < CONSUMER_QUEUE_MESSAGES_MAX && bytes <= CONSUMER_QUEUE_BYTES_MAX;
        // One larger event is let through when nothing else waits.
        if fits || events.is_empty() {
            self.bytes.set(bytes);
            events.push_back(event);
        } else {
            self.lagged.set(true);
            events.clear();
            self.bytes.set(0);
        }
        self.wake.notify_one();
    }
}

impl Subscription {
    /// The next event, or how the subscription ended.
    pub async fn next(&mut self) -> Result<Rc<Event>, Ended> {
        loop {
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            self.queue.wake.notified().await;
        }
    }

    /// An event that is already there.
    pub fn try_next(&mut self) -> Result<Option<Rc<Event>>, Ended> {
        if self.queue.lagged.get() {
            return Err(Ended::Lagged {
                last_seq: self.queue.received.get(),
            });
        }
        let event = self.queue.events.borrow_mut().pop_front();
        if let Some(event) = &event {
            self.queue.bytes.set(self.queue.bytes.get() - event.bytes);
            self.queue.received.set(event.seq);
        }
        Ok(event)
    }
}

impl Event {
    /// The event's form on a wire, made by the first who asks.
    pub fn wire(&self, wire: Wire, make: impl FnOnce(&Event) -> Bytes) -> Bytes {
        self.wire[wire as usize].get_or_init(|| make(self)).clone()
    }
}

/// About how much memory a value takes.
fn size_of_value(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(size_of_value).sum(),
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| key.len() + size_of_value(value))
                .sum(),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_subscriber_gets_what_comes_after_it_in_order() {
        let bus = Bus::default();
        bus.publish("t", "before", json!(0));
        let mut subscription = bus.subscribe("t", None).unwrap();
        bus.publish("t", "a", json!(1));
        bus.publish("t", "b", json!(2));
        assert_eq!(subscription.try_next().unwrap().unwrap().kind, "a");
        assert_eq!(subscription.try_next().unwrap().unwrap().seq, 3);
        assert!(subscription.try_next().unwrap().is_none());
    }

    #[test]
    fn who_comes_back_gets_what_was_missed() {
        let bus = Bus::default();
        for n in 0..10 {
            bus.publish("t", "n", json!(n));
        }
        let from = ResumeFrom {
            boot: bus.boot(),
            seq: 7,
        };
        let mut subscription = bus.subscribe("t", Some(from)).unwrap();
        let missed: Vec<u64> =
            std::iter::from_fn(|| subscription.try_next().unwrap().map(|event| event.seq))
                .collect();
        assert_eq!(missed, [8, 9, 10]);
    }

    #[test]
    fn who_missed_more_than_a_queue_holds_still_catches_up() {
        let bus = Bus::default();
        let count = 2 * CONSUMER_QUEUE_BYTES_MAX / 2_000;
        for _ in 0..count {
            bus.publish("t", "n", json!("x".repeat(2_000)));
        }
        let from = ResumeFrom {
            boot: bus.boot(),
            seq: 0,
        };
        let mut subscription = bus.subscribe("t", Some(from)).unwrap();
        for seq in 1..=count as u64 {
            assert_eq!(subscription.try_next().unwrap().unwrap().seq, seq);
        }
        assert!(subscription.try_next().unwrap().is_none());
    }

    #[test]
    fn who_was_away_too_long_or_in_another_run_is_told() {
        let bus = Bus::default();
        for n in 0..TOPIC_RING_EVENTS + 10 {
            bus.publish("t", "n", json!(n));
        }
        let boot = bus.boot();
        let resume = |boot, seq| bus.subscribe("t", Some(ResumeFrom { boot, seq })).err();
        assert_eq!(resume(boot, 3), Some(Ended::TooOld));
        assert_eq!(resume(boot ^ 1, 260), Some(Ended::TooOld));
        assert_eq!(resume(boot, 1_000_000), Some(Ended::TooOld));
        assert_eq!(resume(boot, 260), None);
    }

    #[test]
    fn a_subscriber_that_does_not_read_is_ended_and_the_publisher_goes_on() {
        let bus = Bus::default();
        let mut slow = bus.subscribe("t", None).unwrap();
        for n in 0..=CONSUMER_QUEUE_MESSAGES_MAX {
            bus.publish("t", "n", json!(n));
        }
        assert_eq!(slow.try_next().err(), Some(Ended::Lagged { last_seq: 0 }));
        assert!(slow.queue.events.borrow().is_empty(), "its memory was kept");
    }

    #[test]
    fn only_the_newest_of_a_key_waits() {
        let bus = Bus::default();
        let mut subscription = bus.subscribe("t", None).unwrap();
        for n in 0..100_000 {
            bus.publish_keyed("t", "level", Some("mic"), json!(n));
        }
        assert_eq!(
            subscription.try_next().unwrap().unwrap().payload,
            json!(99_999)
        );
        assert!(subscription.try_next().unwrap().is_none());
    }

    #[test]
    fn a_wire_form_is_made_once() {
        let bus = Bus::default();
        let mut first = bus.subscribe("t", None).unwrap();
        let mut second = bus.subscribe("t", None).unwrap();
        bus.publish("t", "n", json!(1));
        let made = Cell::new(0);
        for subscription in [&mut first, &mut second] {
            let event = subscription.try_next().unwrap().unwrap();
            event.wire(Wire::WebSocket, |_| {
                made.set(made.get() + 1);
                Bytes::from_static(b"x")
            });
        }
        assert_eq!(made.get(), 1);
    }

    #[test]
    fn topics_are_bounded() {
        let bus = Bus::default();
        for n in 0..TOPICS_MAX + 100 {
            bus.publish(&format!("t{n}"), "n", json!(1));
        }
        assert!(bus.0.topics.borrow().len() <= TOPICS_MAX);
    }

    proptest! {
        #[test]
        fn numbers_have_no_gap_unless_the_subscriber_is_told(
            steps in prop::collection::vec(0..3u8, 1..2_000),
        ) {
            let bus = Bus::default();
            let mut subscription = bus.subscribe("t", None).unwrap();
            let mut last = 0;
            for step in steps {
                if step > 0 {
                    bus.publish("t", "n", json!("some payload"));
                    continue;
                }
                match subscription.try_next() {
                    Ok(None) => {}
                    Ok(Some(event)) => {
                        prop_assert_eq!(event.seq, last + 1);
                        last = event.seq;
                    }
                    Err(Ended::Lagged { last_seq }) => {
                        prop_assert_eq!(last_seq, last);
                        let from = ResumeFrom { boot: bus.boot(), seq: last };
                        match bus.subscribe("t", Some(from)) {
                            Ok(again) => subscription = again,
                            Err(ended) => {
                                prop_assert_eq!(ended, Ended::TooOld);
                                return Ok(());
                            }
                        }
                    }
                    Err(other) => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }
}
