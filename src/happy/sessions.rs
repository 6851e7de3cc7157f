//! Sessions over REST.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, base64_or_null, internal, ok, refused, store_error, write_error};
use super::db::sessions::{self, NewSession, Session};
use super::presence::Kind;
use super::{Happy, Recipients, call, id};
use crate::clock::UnixMillis;
use crate::limits;
use crate::server::{Method, Request, Router, StatusCode};

const CURSOR: &str = "cursor_v1_";
const LISTED: usize = 150;

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::POST, "/v1/sessions", create);
    happy.route(router, Method::GET, "/v1/sessions", list);
    happy.route(router, Method::GET, "/v2/sessions", page);
    happy.route(router, Method::GET, "/v2/sessions/active", active);
    happy.route(router, Method::POST, "/v1/sessions/{id}/archive", archive);
    happy.route(router, Method::DELETE, "/v1/sessions/{id}", delete);
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
    let asked: Asked = call::large_body(&happy, &mut request).await?;
    base64_or_null(asked.data_encryption_key.as_deref())?;
    let account = happy.account(&request.head)?;
    let names = [Some(&asked.tag), asked.data_encryption_key.as_ref()];
    call::want_size(names, limits::HAPPY_NAME_BYTES_MAX)?;
    call::want_size([Some(&asked.metadata)], limits::HAPPY_VALUE_BYTES_MAX)?;
    let now = happy.0.clock.wall();
    let new = NewSession {
        id: id::new(now).ok_or_else(internal)?,
        tag: asked.tag,
        metadata: asked.metadata,
        data_encryption_key: asked.data_encryption_key,
    };
    let owner = account.clone();
    let turn = happy.turn();
    let made = happy
        .0
        .store
        .write_sized(new.bytes(), move |db| {
            sessions::of_tag(db, &owner, &new, now)
        })
        .await;
    let (session, told_by) = made.map_err(write_error)?;
    happy.session_resumes(&session.id);
    if let Some(seq) = told_by {
        let mut body = json!(session);
        body["t"] = json!("new-session");
        turn.publish(&account, seq, body, Recipients::UserScoped);
    }
    ok(json!({"session": told_v1(&session)}))
}

async fn list(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let found = happy
        .0
        .store
        .query(move |db| sessions::newest(db, &account, LISTED))
        .await
        .map_err(store_error)?;
    let told: Vec<Value> = found.iter().map(told_v1).collect();
    ok(json!({"sessions": told}))
}

async fn page(happy: Happy, request: Request) -> Answer {
    let limit = call::number(&request, "limit", 1, 200)?.unwrap_or(50) as usize;
    let since = call::number(&request, "changedSince", 1, i64::MAX)?.unwrap_or(-1);
    let account = happy.account(&request.head)?;
    let cursor = request.query("cursor");
    let before = match cursor.as_deref().map(|text| text.strip_prefix(CURSOR)) {
        Some(None) => return refused(StatusCode::BAD_REQUEST, "Invalid cursor format"),
        Some(Some(id)) => Some(id.to_owned()),
        None => None,
    };
    let (found, has_next) = happy
        .0
        .store
        .query(move |db| sessions::page(db, &account, before.as_deref(), since, limit))
        .await
        .map_err(store_error)?;
    let last = found.last().filter(|_| has_next);
    let next = last.map(|session| format!("{CURSOR}{}", session.id));
    ok(json!({"sessions": found, "nextCursor": next, "hasNext": has_next}))
}

async fn active(happy: Happy, request: Request) -> Answer {
    let limit = call::number(&request, "limit", 1, 500)?.unwrap_or(150) as usize;
    let account = happy.account(&request.head)?;
    let window = limits::HAPPY_ACTIVE_WINDOW.as_millis() as i64;
    let since = UnixMillis(happy.0.clock.wall().0 - window);
    let found = happy
        .0
        .store
        .query(move |db| sessions::active(db, &account, since, limit))
        .await
        .map_err(store_error)?;
    ok(json!({"sessions": found}))
}

async fn archive(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let (owner, id) = (account.clone(), request.param("id").to_owned());
    let now = happy.0.clock.wall();
    if happy.owns(Kind::Session, &owner, &id) {
        happy.session_stops(&id);
    }
    let archived = happy
        .0
        .store
        .write(move |db| sessions::archive(db, &owner, &id, now))
        .await;
    if archived.is_err() {
        happy.session_resumes(request.param("id"));
    }
    if !archived.map_err(store_error)? {
        return refused(StatusCode::NOT_FOUND, "Session not found");
    }
    happy.session_activity(&account, request.param("id"), false, now.0, false);
    ok(json!({"success": true}))
}

async fn delete(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let deleted = happy.delete_session(&account, request.param("id")).await;
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
