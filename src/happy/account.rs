//! What an account is and how its apps are set: the profile, and one text of settings with a
//! version.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, ok, store_error};
use super::db::{accounts, people, settings, vendor_tokens};
use super::{Happy, Recipients, call};
use crate::server::{HttpError, Method, Request, Router};
use crate::store::StoreError;

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::GET, "/v1/account/profile", profile);
    happy.route(router, Method::GET, "/v1/account/settings", current);
    happy.route(router, Method::POST, "/v1/account/settings", change);
}

async fn profile(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let own = account.clone();
    let (person, vendors) = happy
        .0
        .store
        .query(move |db| -> Result<_, StoreError> {
            Ok((
                people::person(db, &own, &own)?,
                vendor_tokens::list(db, &own)?,
            ))
        })
        .await
        .map_err(store_error)?;
    let vendors: Vec<String> = vendors.into_iter().map(|(vendor, _)| vendor).collect();
    ok(json!({
        "id": account,
        "timestamp": happy.0.clock.wall().0,
        "firstName": null,
        "lastName": null,
        "username": person.and_then(|person| person.username),
        "avatar": null,
        "github": null,
        "connectedServices": vendors,
    }))
}

async fn current(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let found = happy
        .0
        .store
        .query(move |db| settings::get(db, &account))
        .await
        .map_err(store_error)?;
    ok(json!({"settings": found.text, "settingsVersion": found.version}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    #[serde(deserialize_with = "call::nullable")]
    settings: Option<String>,
    expected_version: i64,
}

async fn change(happy: Happy, mut request: Request) -> Answer {
    let Change {
        settings,
        expected_version: expected,
    } = call::body(&mut request).await?;
    if expected < 0 {
        return Err(HttpError::invalid("expectedVersion has to be 0 or more."));
    }
    let account = happy.account(&request.head)?;
    let now = happy.0.clock.wall();
    let (owner, text) = (account.clone(), settings.clone());
    let bytes = text.as_ref().map_or(0, String::len);
    let turn = happy.turn();
    let outcome = happy
        .0
        .store
        .write_sized(bytes, move |db| -> Result<_, StoreError> {
            match settings::put(db, &owner, text.as_deref(), expected, now)? {
                true => Ok(Ok(accounts::next_seq(db, &owner)?)),
                false => Ok(Err(settings::get(db, &owner)?)),
            }
        })
        .await;
    match outcome.map_err(store_error)? {
        Ok(seq) => {
            let version = expected + 1;
            let changed = json!({"value": settings, "version": version});
            let body = json!({"t": "update-account", "id": account, "settings": changed});
            turn.publish(&account, seq, body, Recipients::UserScoped);
            ok(json!({"success": true, "version": version}))
        }
        Err(current) => ok(mismatch(&current)),
    }
}

fn mismatch(current: &settings::Settings) -> Value {
    json!({
        "success": false,
        "error": "version-mismatch",
        "currentVersion": current.version,
        "currentSettings": current.text,
    })
}
