//! How a terminal or a second device is let in: it asks with an ephemeral key and polls, a
//! device that is in answers with ciphertext for that key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, internal, ok, refused, store_error};
use super::auth::hex;
use super::db::devices;
use super::db::pairings::{self, Kind};
use super::{Happy, call, id};
use crate::server::{HttpError, Method, Request, Router, StatusCode};

const BOX_KEY_BYTES: usize = 32;

pub fn routes(router: &mut Router, happy: &Happy) {
    for (asking, answering, kind) in [
        ("/v1/auth/request", "/v1/auth/response", Kind::Terminal),
        (
            "/v1/auth/account/request",
            "/v1/auth/account/response",
            Kind::Account,
        ),
    ] {
        happy.route(router, Method::POST, asking, move |happy, request| {
            ask(happy, kind, request)
        });
        happy.route(router, Method::POST, answering, move |happy, request| {
            respond(happy, kind, request)
        });
    }
    happy.route(router, Method::GET, "/v1/auth/request/status", status);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    public_key: String,
    #[serde(default)]
    supports_v2: Option<bool>,
}

/// Asked once a second by who waits; only the first time writes.
async fn ask(happy: Happy, kind: Kind, mut request: Request) -> Answer {
    happy.limit_stranger(&request)?;
    let asked: Asked = call::body(&mut request).await?;
    let Some(key) = box_key(&asked.public_key) else {
        return refused(StatusCode::UNAUTHORIZED, "Invalid public key");
    };
    let room = &happy.0;
    let now = room.clock.wall();
    let known = room
        .store
        .read(|db| pairings::get(db, kind, &key, now))
        .map_err(store_error)?;
    let pairing = match known {
        Some(pairing) => pairing,
        None => {
            let id = id::new(now).ok_or_else(internal)?;
            let supports_v2 = asked.supports_v2.unwrap_or(false);
            let made = room
                .store
                .write(move |db| pairings::ask(db, kind, &key, &id, supports_v2, now))
                .await;
            made.map_err(store_error)?.ok_or_else(|| {
                HttpError::busy("Too many devices wait to be let in; try again later.", 60)
            })?
        }
    };
    let Some((response, account)) = pairing.answer else {
        return ok(json!({"state": "requested"}));
    };
    let session = (kind == Kind::Terminal).then_some(pairing.id.as_str());
    let token = match pairing.device {
        // Who asks again is the same, whoever that may be: the key is no secret.
        Some(device) => {
            let token = room.tokens.issue(&account, &device, session, now);
            token.ok_or_else(internal)?
        }
        None => {
            let kind = match kind {
                Kind::Terminal => devices::Kind::Terminal,
                Kind::Account => devices::Kind::Linked,
            };
            let paired = Some(pairing.id.clone());
            happy
                .issue(&request.head, &account, kind, session, paired)
                .await?
        }
    };
    ok(json!({"state": "authorized", "token": token, "response": response}))
}

/// What the phone looks at before it approves.
async fn status(happy: Happy, request: Request) -> Answer {
    happy.limit_stranger(&request)?;
    let Some(key) = request.query("publicKey") else {
        return Err(HttpError::invalid("publicKey is missing in the query."));
    };
    let not_found = || ok(json!({"status": "not_found", "supportsV2": false}));
    let Some(key) = box_key(&key) else {
        return not_found();
    };
    let now = happy.0.clock.wall();
    let known = happy
        .0
        .store
        .read(|db| pairings::get(db, Kind::Terminal, &key, now))
        .map_err(store_error)?;
    match known {
        None => not_found(),
        Some(pairing) if pairing.answer.is_some() => {
            ok(json!({"status": "authorized", "supportsV2": false}))
        }
        Some(pairing) => ok(json!({"status": "pending", "supportsV2": pairing.supports_v2})),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Approved {
    public_key: String,
    response: String,
}

async fn respond(happy: Happy, kind: Kind, mut request: Request) -> Answer {
    let approved: Approved = call::body(&mut request).await?;
    let account = happy.account(&request.head)?;
    let Some(key) = box_key(&approved.public_key) else {
        return refused(StatusCode::UNAUTHORIZED, "Invalid public key");
    };
    let now = happy.0.clock.wall();
    let response = approved.response;
    let answered = happy
        .0
        .store
        .write_sized(response.len(), move |db| {
            pairings::answer(db, kind, &key, &response, &account, now)
        })
        .await;
    match answered.map_err(store_error)? {
        true => ok(json!({"success": true})),
        false => refused(StatusCode::NOT_FOUND, "Request not found"),
    }
}

/// An X25519 key as lower-case hex.
fn box_key(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text).ok()?;
    (bytes.len() == BOX_KEY_BYTES).then(|| hex(&bytes))
}
