//! Expo's push service, which reaches the phones of the app: a ticket for each message at once, and
//! a receipt that tells later whether it arrived.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Note, post};
use crate::limits;
use crate::outbound::Outbound;

pub const URL: &str = "https://exp.host/--/api/v2/push";
/// Messages of one call.
const BATCH_MAX: usize = 100;

/// What Expo says of one message, at once or later.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Ticket {
    Ok {
        /// By which the receipt is asked for; receipts have none.
        #[serde(default)]
        id: Option<String>,
    },
    Error {
        #[serde(default)]
        message: Option<String>,
        #[serde(default)]
        details: Option<Details>,
    },
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Details {
    #[serde(default)]
    error: Option<String>,
}

impl Ticket {
    fn failed(why: &str) -> Ticket {
        Ticket::Error {
            message: Some(why.to_owned()),
            details: None,
        }
    }

    /// Why the message does not arrive.
    pub fn error(&self) -> Option<&str> {
        match self {
            Ticket::Ok { .. } => None,
            Ticket::Error { message, details } => {
                let error = details
                    .as_ref()
                    .and_then(|details| details.error.as_deref());
                Some(error.or(message.as_deref()).unwrap_or("unknown"))
            }
        }
    }

    /// The app is not on that phone any more.
    pub fn is_gone(&self) -> bool {
        self.error() == Some("DeviceNotRegistered")
    }
}

#[derive(Deserialize)]
struct Tickets {
    data: Vec<Ticket>,
}

#[derive(Deserialize)]
struct Receipts {
    data: BTreeMap<String, Ticket>,
}

/// One ticket for each token, in their order.
pub async fn send(outbound: &Outbound, url: &str, note: &Note, tokens: &[String]) -> Vec<Ticket> {
    let mut tickets = Vec::with_capacity(tokens.len());
    let sent = async {
        for batch in tokens.chunks(BATCH_MAX) {
            tickets.extend(send_batch(outbound, url, note, batch).await);
        }
    };
    // One time for all batches: the terminal waits for the answer.
    let _ = tokio::time::timeout(limits::HAPPY_PUSH_WAIT, sent).await;
    tickets.resize_with(tokens.len(), || Ticket::failed("Network error"));
    tickets
}

async fn send_batch(outbound: &Outbound, url: &str, note: &Note, tokens: &[String]) -> Vec<Ticket> {
    let messages: Vec<Value> = tokens.iter().map(|token| message(note, token)).collect();
    let answer: Result<Tickets, String> =
        post(outbound, &format!("{url}/send"), &json!(messages)).await;
    match answer {
        Ok(tickets) if tickets.data.len() == tokens.len() => tickets.data,
        Ok(_) => failed(tokens, "Not a ticket for each message"),
        Err(why) => failed(tokens, &why),
    }
}

fn failed(tokens: &[String], why: &str) -> Vec<Ticket> {
    tokens.iter().map(|_| Ticket::failed(why)).collect()
}

fn message(note: &Note, token: &str) -> Value {
    let mut data = serde_json::Map::new();
    data.insert(String::from("sessionId"), json!(note.session));
    data.extend(note.data.clone());
    data.insert(String::from("kind"), json!(note.kind.word()));
    json!({
        "to": token,
        "title": note.title,
        "body": note.body,
        "data": data,
        "sound": "default",
        "channelId": "messages",
    })
}

/// What has arrived and what has not, as far as Expo knows by now.
pub async fn receipts(
    outbound: &Outbound,
    url: &str,
    tickets: &[String],
) -> Result<BTreeMap<String, Ticket>, String> {
    let url = format!("{url}/getReceipts");
    let answer: Receipts = post(outbound, &url, &json!({"ids": tickets})).await?;
    Ok(answer.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_read_as_expo_writes_them() {
        for (text, error, is_gone) in [
            (r#"{"status":"ok","id":"7"}"#, None, false),
            (r#"{"status":"ok"}"#, None, false),
            (r#"{"status":"error"}"#, Some("unknown"), false),
            (r#"{"status":"error","message":"m"}"#, Some("m"), false),
            (
                r#"{"status":"error","message":"m","details":{"error":"DeviceNotRegistered","x":1}}"#,
                Some("DeviceNotRegistered"),
                true,
            ),
            (
                r#"{"status":"error","message":"m","details":{"fault":"developer"}}"#,
                Some("m"),
                false,
            ),
        ] {
            let ticket: Ticket = serde_json::from_str(text).expect(text);
            assert_eq!(
                (ticket.error(), ticket.is_gone()),
                (error, is_gone),
                "{text}"
            );
        }
        assert!(serde_json::from_str::<Ticket>(r#"{"status":"maybe"}"#).is_err());
    }
}
