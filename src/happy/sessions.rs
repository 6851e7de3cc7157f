//! Sessions over REST.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, base64_or_null, internal, ok, refused, store_error};
use super::db::sessions::{self, NewSession, Session};
use super::{Happy, id};
use crate::clock::UnixMillis;
use crate::limits;
use crate::server::{Access, HttpError, Method, Request, Router, StatusCode};

const CURSOR: &str = "cursor_v1_";
const LISTED: usize = 150;

pub fn routes(router: &mut Router, happy: &Happy) {
    let public = Access::Public;
    let here = happy.clone();
    router.route(Method::POST, "/v1/sessions", public, move |request| {
        create(here.clone(), request)
    });
    let here = happy.clone();
    router.route(Method::GET, "/v1/sessions", public, move |request| {
        list(here.clone(), request)
    });
    let here = happy.clone();
    router.route(Method::GET, "/v2/sessions", public, move |request| {
        page(here.clone(), request)
    });
    let here = happy.clone();
    router.route(Method::GET, "/v2/sessions/active", public, move |request| {
        active(here.clone(), request)
    });
    let here = happy.clone();
    let path = "/v1/sessions/{id}/archive";
    router.route(Method::POST, path, public, move |request| {
        archive(here.clone(), request)
    });
    let here = happy.clone();
    router.route(
        Method::DELETE,
        "/v1/sessions/{id}",
        public,
        move |request| delete(here.clone(), request),
    );
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    tag: String,
    metadata: String,
    #[serde(default)]
    data_encryption_key: Option<String>,
    /// Checked and left alone: the terminal sets it over the socket.
    #[serde(default, rename = "agentState")]
    _agent_state: Option<String>,
}

async fn create(happy: Happy, mut request: Request) -> Answer {
    let asked: Asked = request.json_of(limits::HAPPY_BODY_BYTES_MAX).await?;
    base64_or_null(asked.data_encryption_key.as_deref())?;
    let caller = match happy.caller(&request.head)? {
        Ok(caller) => caller,
        Err(refusal) => return Ok(refusal),
    };
    let now = happy.0.clock.wall();
    let new = NewSession {
        id: id::new(now).ok_or_else(internal)?,
        tag: asked.tag,
        metadata: asked.metadata,
        data_encryption_key: asked.data_encryption_key,
    };
    let made = happy
        .0
        .store
        .write_sized(new.metadata.len(), move |db| {
            sessions::of_tag(db, &caller.account, &new, now)
        })
        .await;
    ok(json!({"session": told_v1(&made.map_err(store_error)?)}))
}

async fn list(happy: Happy, request: Request) -> Answer {
    let caller = match happy.caller(&request.head)? {
        Ok(caller) => caller,
        Err(refusal) => return Ok(refusal),
    };
    let found = happy
        .0
        .store
        .query(move |db| sessions::newest(db, &caller.account, LISTED))
        .await
        .map_err(store_error)?;
    let told: Vec<Value> = found.iter().map(told_v1).collect();
    ok(json!({"sessions": told}))
}

async fn page(happy: Happy, request: Request) -> Answer {
    let limit = number(&request, "limit", 1, 200)?.unwrap_or(50) as usize;
    let since = number(&request, "changedSince", 1, i64::MAX)?.unwrap_or(-1);
    let caller = match happy.caller(&request.head)? {
        Ok(caller) => caller,
        Err(refusal) => return Ok(refusal),
    };
    let cursor = request.query("cursor");
    let before = match cursor.as_deref().map(|text| text.strip_prefix(CURSOR)) {
        Some(None) => return refused(StatusCode::BAD_REQUEST, "Invalid cursor format"),
        Some(Some(id)) => Some(id.to_owned()),
        None => None,
    };
    let mut found = happy
        .0
        .store
        .query(move |db| sessions::page(db, &caller.account, before.as_deref(), since, limit + 1))
        .await
        .map_err(store_error)?;
    let has_next = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_next);
    let next = last.map(|session| format!("{CURSOR}{}", session.id));
    ok(json!({"sessions": found, "nextCursor": next, "hasNext": has_next}))
}

async fn active(happy: Happy, request: Request) -> Answer {
    let limit = number(&request, "limit", 1, 500)?.unwrap_or(150) as usize;
    let caller = match happy.caller(&request.head)? {
        Ok(caller) => caller,
        Err(refusal) => return Ok(refusal),
    };
    let window = limits::HAPPY_ACTIVE_WINDOW.as_millis() as i64;
    let since = UnixMillis(happy.0.clock.wall().0 - window);
    let found = happy
        .0
        .store
        .query(move |db| sessions::active(db, &caller.account, since, limit))
        .await
        .map_err(store_error)?;
    ok(json!({"sessions": found}))
}

async fn archive(happy: Happy, request: Request) -> Answer {
    let caller = match happy.caller(&request.head)? {
        Ok(caller) => caller,
        Err(refusal) => return Ok(refusal),
    };
    let (id, now) = (request.param("id").to_owned(), happy.0.clock.wall());
    let archived = happy
        .0
        .store
        .write(move |db| sessions::archive(db, &caller.account, &id, now))
        .await;
    match archived.map_err(store_error)? {
        true => ok(json!({"success": true})),
        false => refused(StatusCode::NOT_FOUND, "Session not found"),
    }
}

async fn delete(happy: Happy, request: Request) -> Answer {
    let caller = match happy.caller(&request.head)? {
        Ok(caller) => caller,
        Err(refusal) => return Ok(refusal),
    };
    let id = request.param("id").to_owned();
    let deleted = happy
        .0
        .store
        .write(move |db| sessions::delete(db, &caller.account, &id))
        .await;
    match deleted.map_err(store_error)? {
        true => ok(json!({"success": true})),
        false => refused(
            StatusCode::NOT_FOUND,
            "Session not found or not owned by user",
        ),
    }
}

fn told_v1(session: &Session) -> Value {
    let mut told = json!(session);
    told["lastMessage"] = Value::Null;
    told
}

/// A whole number of the query between the two, where it is there.
pub fn number(request: &Request, name: &str, min: i64, max: i64) -> Result<Option<i64>, HttpError> {
    let Some(text) = request.query(name) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(Some(number)),
        _ => Err(HttpError::invalid(format!(
            "{name} has to be a whole number from {min} to {max}."
        ))),
    }
}
