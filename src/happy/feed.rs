//! The feed of an account: what others did that concerns it.

use serde_json::{Value, json};

use super::answer::{Answer, ok, store_error};
use super::db::accounts;
use super::db::feed::{self as rows, From, Post};
use super::updates::Turn;
use super::{Happy, Recipients, call};
use crate::clock::UnixMillis;
use crate::server::{HttpError, Method, Request, Router};
use crate::store::{Connection, StoreError};

const CURSOR: &str = "0-";

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::GET, "/v1/feed", page);
}

async fn page(happy: Happy, request: Request) -> Answer {
    let limit = call::number(&request, "limit", 1, 200)?.unwrap_or(50) as usize;
    let from = match (request.query("before"), request.query("after")) {
        (Some(before), _) => From::Before(counter(&before)?),
        (None, Some(after)) => From::After(counter(&after)?),
        (None, None) => From::Newest,
    };
    let account = happy.account(&request.head)?;
    let mut found = happy
        .0
        .store
        .query(move |db| rows::page(db, &account, &from, limit + 1))
        .await
        .map_err(store_error)?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let items: Vec<Value> = found.iter().map(told).collect();
    ok(json!({"items": items, "hasMore": has_more}))
}

fn counter(cursor: &str) -> Result<i64, HttpError> {
    let counter = cursor
        .strip_prefix(CURSOR)
        .and_then(|text| text.parse().ok());
    counter.ok_or_else(|| HttpError::invalid("The cursor has to be one that the feed told."))
}

fn told(post: &Post) -> Value {
    // Written by this room.
    let body: Value = serde_json::from_str(&post.body).unwrap_or_default();
    json!({
        "id": post.id,
        "body": body,
        "repeatKey": post.repeat_key,
        "cursor": format!("{CURSOR}{}", post.counter),
        "createdAt": post.created_at,
    })
}

#[derive(Clone, Copy)]
pub enum News {
    FriendRequest,
    FriendAccepted,
}

impl News {
    const fn kind(self) -> &'static str {
        match self {
            News::FriendRequest => "friend_request",
            News::FriendAccepted => "friend_accepted",
        }
    }
}

/// A stored post that its reader is to be told of.
pub struct Posted {
    account: String,
    seq: i64,
    post: Post,
}

/// Posts news about `about` in the feed of `account`.
pub fn post(
    db: &Connection,
    id: &str,
    account: &str,
    news: News,
    about: &str,
    now: UnixMillis,
) -> Result<Posted, StoreError> {
    let kind = news.kind();
    let body = json!({"kind": kind, "uid": about}).to_string();
    let key = format!("{kind}_{about}");
    Ok(Posted {
        post: rows::post(db, id.to_owned(), account, key, body, now)?,
        account: account.to_owned(),
        seq: accounts::next_seq(db, account)?,
    })
}

pub fn publish(turn: &Turn, posted: Posted) {
    let mut body = told(&posted.post);
    body["t"] = json!("new-feed-post");
    turn.publish(&posted.account, posted.seq, body, Recipients::UserScoped);
}
