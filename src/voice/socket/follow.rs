//! Events of the house on a native socket: timers always, others when asked for.

use std::rc::Rc;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Link;
use crate::bus::{Bus, Ended, Event};
use crate::voice::{device, timers};

/// What `subscribe` takes: its word, the bus topic, and the type of the message.
const TOPICS: &[(&str, &str, &str)] = &[
    ("device", device::TOPIC, "notice"),
    ("timers", timers::TOPIC, "timer"),
    ("jobs", "jobs", "job"),
    ("memories", "memories", "notice"),
];

/// Forwards a topic until dropped.
pub(super) struct Following(JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Words that `subscribe` does not know.
pub(super) fn unknown(words: &[String]) -> Vec<&str> {
    let known = |word: &&str| TOPICS.iter().any(|(name, ..)| name == word);
    words
        .iter()
        .map(String::as_str)
        .filter(|word| !known(word))
        .collect()
}

/// A ring must be seen without having been asked for, so timers always come.
pub(super) fn follow(bus: &Bus, link: &Rc<Link>, words: &[String]) -> Vec<Following> {
    TOPICS
        .iter()
        .filter(|(name, ..)| *name == "timers" || words.iter().any(|word| word == name))
        .map(|(name, topic, kind)| {
            let following = forward(bus.clone(), Rc::clone(link), name, topic, kind);
            Following(tokio::task::spawn_local(following))
        })
        .collect()
}

async fn forward(
    bus: Bus,
    link: Rc<Link>,
    name: &'static str,
    topic: &'static str,
    kind: &'static str,
) {
    // Subscribed again after a burst that was too much: what matters is how things stand now.
    while let Ok(mut subscription) = bus.subscribe(topic, None) {
        let ended = loop {
            match subscription.next().await {
                Ok(event) => link.send_json(&message(name, kind, &event)),
                Err(ended) => break ended,
            }
        };
        if !matches!(ended, Ended::Lagged { .. }) {
            return;
        }
    }
}

fn message(name: &str, kind: &str, event: &Event) -> Value {
    match (&event.payload, kind) {
        // What became of a recording that waited.
        (payload, "job") if event.kind == "notice" => json!({
            "type": "notice", "source": name, "event": payload["event"], "data": payload,
        }),
        // One thing, whose fields are the message's own.
        (Value::Object(fields), "timer" | "job") => {
            let mut fields = fields.clone();
            fields.insert(String::from("type"), Value::from(kind));
            Value::Object(fields)
        }
        (payload, _) => {
            json!({"type": kind, "source": name, "event": event.kind, "data": payload})
        }
    }
}
