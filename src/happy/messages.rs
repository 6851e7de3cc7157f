//! Messages of a session over REST.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, internal, ok, refusal, store_error, write_error};
use super::db::messages::{self, From, Message, NewMessage};
use super::{Happy, Recipients, call, id};
use crate::limits;
use crate::server::{HttpError, Method, Request, Router, StatusCode};

const POSTED_MAX: usize = 100;
const OLDER_LISTED: usize = 150;

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::GET, "/v3/sessions/{id}/messages", list);
    happy.route(router, Method::POST, "/v3/sessions/{id}/messages", post);
    happy.route(router, Method::GET, "/v1/sessions/{id}/messages", newest);
}

async fn list(happy: Happy, request: Request) -> Answer {
    let after = call::number(&request, "after_seq", 0, i64::MAX)?;
    let before = call::number(&request, "before_seq", 1, i64::MAX)?;
    let limit = call::number(&request, "limit", 1, 500)?.unwrap_or(100) as usize;
    let from = match (after, before) {
        (Some(_), Some(_)) => {
            return Err(HttpError::invalid(
                "after_seq and before_seq exclude each other; send one of them.",
            ));
        }
        (_, Some(before)) => From::Before(before),
        (after, None) => From::After(after.unwrap_or(0)),
    };
    let (found, has_more) = page(&happy, &request, from, limit).await?;
    ok(json!({"messages": told(&found), "hasMore": has_more}))
}

/// As older clients ask.
async fn newest(happy: Happy, request: Request) -> Answer {
    let from = From::Before(i64::MAX);
    let (found, _) = page(&happy, &request, from, OLDER_LISTED).await?;
    ok(json!({"messages": told(&found)}))
}

async fn page(
    happy: &Happy,
    request: &Request,
    from: From,
    limit: usize,
) -> Result<(Vec<Message>, bool), HttpError> {
    let account = happy.account(&request.head)?;
    let session = request.param("id").to_owned();
    let found = happy
        .0
        .store
        .query(move |db| messages::page(db, &account, &session, from, limit))
        .await;
    found.map_err(store_error)?.ok_or_else(no_session)
}

fn no_session() -> HttpError {
    refusal(StatusCode::NOT_FOUND, "Session not found")
}

fn told(messages: &[Message]) -> Vec<Value> {
    messages.iter().map(Message::with_content).collect()
}

#[derive(Deserialize)]
struct Posted {
    messages: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    content: String,
    local_id: String,
}

async fn post(happy: Happy, mut request: Request) -> Answer {
    let posted: Posted = call::large_body(&happy, &mut request).await?;
    let count = posted.messages.len();
    let is_named = posted.messages.iter().all(|item| !item.local_id.is_empty());
    if !(1..=POSTED_MAX).contains(&count) || !is_named {
        return Err(HttpError::invalid(
            "messages has to hold 1 to 100 items, each with a localId.",
        ));
    }
    let account = happy.account(&request.head)?;
    let now = happy.0.clock.wall();
    let mut bytes = 0;
    let mut new = Vec::with_capacity(count);
    for item in posted.messages {
        bytes += item.content.len() + item.local_id.len() + limits::HAPPY_MESSAGE_OVERHEAD;
        new.push(NewMessage {
            id: id::new(now).ok_or_else(internal)?,
            local_id: Some(item.local_id),
            content: item.content,
        });
    }
    let (owner, session) = (account.clone(), request.param("id").to_owned());
    let turn = happy.turn();
    let stored = happy
        .0
        .store
        .write_sized(bytes, move |db| {
            messages::store(db, &owner, &session, new, now)
        })
        .await;
    let stored = stored.map_err(write_error)?.ok_or_else(no_session)?;
    let session = request.param("id");
    for (seq, message) in stored.told {
        let body = json!({"t": "new-message", "sid": session, "message": message});
        turn.publish(&account, seq, body, Recipients::Session(session.to_owned()));
    }
    let told: Vec<Value> = stored
        .messages
        .iter()
        .map(Message::without_content)
        .collect();
    ok(json!({"messages": told}))
}
