//! `POST /v1/auth`: a key signs a challenge of its own choosing and gets a token.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, internal, ok, refused, store_error};
use super::db::accounts;
use super::db::devices::Kind;
use super::registration::Registration;
use super::token::verify_signature;
use super::{Happy, call, id};
use crate::server::{Method, Request, Router, StatusCode};

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::POST, "/v1/auth", sign_in);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignIn {
    public_key: String,
    challenge: String,
    signature: String,
}

async fn sign_in(happy: Happy, mut request: Request) -> Answer {
    happy.limit_stranger(&request)?;
    let asked: SignIn = call::body(&mut request).await?;
    let Some(key) = signer(&asked) else {
        return refused(StatusCode::UNAUTHORIZED, "Invalid signature");
    };
    let room = &happy.0;
    let key = hex(&key);
    let known = room
        .store
        .read(|db| accounts::of_key(db, &key))
        .map_err(store_error)?;
    let account = match known {
        Some(account) => account,
        None if !may_register(&happy) => {
            return refused(
                StatusCode::FORBIDDEN,
                "Registration is closed on this server",
            );
        }
        None => match register(&happy, key).await? {
            Some(account) => account,
            None => {
                return refused(StatusCode::FORBIDDEN, "This server has all its accounts");
            }
        },
    };
    let token = happy
        .issue(&request.head, &account, Kind::Phone, None, None)
        .await?;
    ok(json!({"success": true, "token": token}))
}

/// The key, where the signature is its own.
fn signer(asked: &SignIn) -> Option<Vec<u8>> {
    let key = STANDARD.decode(&asked.public_key).ok()?;
    let challenge = STANDARD.decode(&asked.challenge).ok()?;
    let signature = STANDARD.decode(&asked.signature).ok()?;
    verify_signature(&key, &challenge, &signature)?;
    Some(key)
}

/// Uses an invite up where one is needed.
fn may_register(happy: &Happy) -> bool {
    match happy.0.registration {
        Registration::Open => true,
        Registration::Invite => happy.0.invites.take(happy.0.clock.mono()),
        Registration::Closed => false,
    }
}

async fn register(happy: &Happy, key: String) -> Result<Option<String>, crate::server::HttpError> {
    let room = &happy.0;
    let now = room.clock.wall();
    let id = id::new(now).ok_or_else(internal)?;
    let made = room
        .store
        .write(move |db| accounts::make(db, &id, &key, now))
        .await;
    if room.registration == Registration::Invite && !matches!(made, Ok(Some(_))) {
        room.invites.give(room.clock.mono());
    }
    made.map_err(store_error)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
