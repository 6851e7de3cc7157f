//! A topic of ntfy (ntfy.sh or a server of one's own) in place of Expo: for a box of one person,
//! since all who know the topic read it.

use serde_json::{Value, json};

use super::{Kind, Note, post};
use crate::outbound::Outbound;

/// Where messages are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    server: String,
    name: String,
}

impl Topic {
    /// `https://ntfy.sh/topic`.
    pub fn parse(url: &str) -> Option<Topic> {
        let (server, name) = url.trim_end_matches('/').rsplit_once('/')?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let fits = (1..=64).contains(&name.len()) && name.bytes().all(is_name);
        let has_host = server
            .split_once("://")
            .is_some_and(|(_, host)| !host.is_empty());
        (fits && has_host).then(|| Topic {
            server: server.to_owned(),
            name: name.to_owned(),
        })
    }

    pub async fn send(&self, outbound: &Outbound, note: &Note) -> Result<(), String> {
        let _: Value = post(outbound, &self.server, &self.message(note)).await?;
        Ok(())
    }

    fn message(&self, note: &Note) -> Value {
        // Claude waits for an answer: shown at the top, with a longer buzz.
        let priority = match note.kind {
            Kind::Permission | Kind::Question => 4,
            Kind::Done => 3,
        };
        json!({
            "topic": self.name,
            "title": note.title,
            "message": note.body,
            "priority": priority,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_the_last_part_of_its_address() {
        let topic = |server: &str, name: &str| {
            Some(Topic {
                server: server.to_owned(),
                name: name.to_owned(),
            })
        };
        for (url, expected) in [
            (
                "https://ntfy.sh/my-topic_7",
                topic("https://ntfy.sh", "my-topic_7"),
            ),
            (
                "http://10.0.0.2:8080/x/",
                topic("http://10.0.0.2:8080", "x"),
            ),
            (
                "https://home.example/ntfy/x",
                topic("https://home.example/ntfy", "x"),
            ),
            ("https://ntfy.sh", None),
            ("https://ntfy.sh/", None),
            ("https://ntfy.sh/a?b", None),
        ] {
            assert_eq!(Topic::parse(url), expected, "{url}");
        }
    }
}
