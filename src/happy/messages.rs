//! Messages of a session over REST.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, internal, ok, refused, store_error};
use super::db::messages::{self, From, Message, NewMessage};
use super::{Happy, call, id};
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
    let Some((found, has_more)) = (match page(&happy, &request, from, limit).await? {
        Ok(found) => found,
        Err(refusal) => return Ok(refusal),
    }) else {
        return refused(StatusCode::NOT_FOUND, "Session not found");
    };
    ok(json!({"messages": told(&found), "hasMore": has_more}))
}

/// As older clients ask.
async fn newest(happy: Happy, request: Request) -> Answer {
    let from = From::Before(i64::MAX);
    match page(&happy, &request, from, OLDER_LISTED).await? {
        Err(refusal) => Ok(refusal),
        Ok(None) => refused(StatusCode::NOT_FOUND, "Session not found"),
        Ok(Some((found, _))) => ok(json!({"messages": told(&found)})),
    }
}

type Page = Option<(Vec<Message>, bool)>;

async fn page(
    happy: &Happy,
    request: &Request,
    from: From,
    limit: usize,
) -> Result<Result<Page, crate::server::Response>, HttpError> {
    let caller = match happy.caller(&request.head)? {
        Ok(caller) => caller,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let session = request.param("id").to_owned();
    let found = happy
        .0
        .store
        .query(move |db| messages::page(db, &caller.account, &session, from, limit))
        .await;
    found.map(Ok).map_err(store_error)
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
    let posted: Posted = call::body_of(&mut request, limits::HAPPY_BODY_BYTES_MAX).await?;
    let count = posted.messages.len();
    let is_named = posted.messages.iter().all(|item| !item.local_id.is_empty());
    if !(1..=POSTED_MAX).contains(&count) || !is_named {
        return Err(HttpError::invalid(
            "messages has to hold 1 to 100 items, each with a localId.",
        ));
    }
    let caller = match happy.caller(&request.head)? {
        Ok(caller) => caller,
        Err(refusal) => return Ok(refusal),
    };
    let (session, now) = (request.param("id").to_owned(), happy.0.clock.wall());
    let mut bytes = 0;
    let mut new = Vec::with_capacity(count);
    for item in posted.messages {
        bytes += item.content.len();
        new.push(NewMessage {
            id: id::new(now).ok_or_else(internal)?,
            local_id: item.local_id,
            content: item.content,
        });
    }
    let stored = happy
        .0
        .store
        .write_sized(bytes, move |db| {
            messages::store(db, &caller.account, &session, new, now)
        })
        .await;
    let Some(stored) = stored.map_err(store_error)? else {
        return refused(StatusCode::NOT_FOUND, "Session not found");
    };
    let told: Vec<Value> = stored.iter().map(Message::without_content).collect();
    ok(json!({"messages": told}))
}
