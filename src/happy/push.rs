//! Phones that want to be told when no app is open, and what they would be told.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{Answer, internal, ok, refusal, store_error};
use super::db::{push_tokens, usage};
use super::{Happy, Recipients, call, id};
use crate::limits;
use crate::server::{HttpError, Method, Request, Router, StatusCode};

const TITLE_MAX: usize = 200;
const BODY_MAX: usize = 500;

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::POST, "/v1/push-tokens", add);
    happy.route(router, Method::GET, "/v1/push-tokens", list);
    happy.route(router, Method::DELETE, "/v1/push-tokens/{token}", remove);
    happy.route(router, Method::POST, "/v1/sessions/{id}/push-event", event);
}

#[derive(Deserialize)]
struct Added {
    token: String,
}

async fn add(happy: Happy, mut request: Request) -> Answer {
    let Added { token } = call::body(&mut request).await?;
    if token.len() > limits::HAPPY_TOKEN_BYTES_MAX {
        return Err(HttpError::invalid("No push token is that long."));
    }
    let account = happy.account(&request.head)?;
    let now = happy.0.clock.wall();
    let id = id::new(now).ok_or_else(internal)?;
    happy
        .0
        .store
        .write(move |db| push_tokens::put(db, &id, &account, &token, now))
        .await
        .map_err(store_error)?;
    ok(json!({"success": true}))
}

async fn list(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let found = happy
        .0
        .store
        .query(move |db| push_tokens::list(db, &account))
        .await
        .map_err(store_error)?;
    ok(json!({"tokens": found}))
}

/// Also where there is none.
async fn remove(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let token = request.param("token").to_owned();
    happy
        .0
        .store
        .write(move |db| push_tokens::remove(db, &account, &token))
        .await
        .map_err(store_error)?;
    ok(json!({"success": true}))
}

/// A moment of a session that a person may want to know of.
#[derive(Deserialize)]
struct Event {
    kind: Kind,
    title: String,
    body: String,
    #[serde(default, rename = "data", deserialize_with = "call::present")]
    _data: Option<Map<String, Value>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Done,
    Permission,
    Question,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Kind::Done => "done",
            Kind::Permission => "permission",
            Kind::Question => "question",
        }
    }
}

impl Event {
    fn check(&self) -> Result<(), HttpError> {
        for (field, text, max) in [
            ("title", &self.title, TITLE_MAX),
            ("body", &self.body, BODY_MAX),
        ] {
            // As JavaScript counts.
            let length = text.encode_utf16().count();
            if !(1..=max).contains(&length) {
                return Err(HttpError::invalid(format!(
                    "{field} has to have 1 to {max} letters."
                )));
            }
        }
        Ok(())
    }
}

async fn event(happy: Happy, mut request: Request) -> Answer {
    let event: Event = call::body(&mut request).await?;
    event.check()?;
    let account = happy.account(&request.head)?;
    let session = request.param("id").to_owned();
    let (is_own, tokens) = happy
        .0
        .store
        .query({
            let (account, session) = (account.clone(), session.clone());
            move |db| -> Result<_, crate::store::StoreError> {
                Ok((
                    usage::is_own_session(db, &account, &session)?,
                    push_tokens::list(db, &account)?,
                ))
            }
        })
        .await
        .map_err(store_error)?;
    if !is_own {
        return Err(refusal(StatusCode::NOT_FOUND, "Session not found"));
    }
    let told = json!({
        "type": "session-event",
        "sessionId": session,
        "kind": event.kind.word(),
        "title": event.title,
        "body": event.body,
        "timestamp": happy.0.clock.wall().0,
    });
    happy.ephemeral(&account, told, Recipients::Session(session));
    if happy.is_watched(&account) {
        return ok(json!({"success": true, "result": "suppressed", "reason": "active-ui-client"}));
    }
    match tokens.len() {
        0 => ok(json!({"success": true, "result": "no_tokens"})),
        _ => ok(json!({
            "success": true,
            "result": "failed",
            "reason": "This server sends nothing to phones",
        })),
    }
}
