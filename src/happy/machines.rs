//! Machines over REST.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::answer::{Answer, base64_or_null, ok, refused, store_error};
use super::db::machines::{self, Machine, NewMachine};
use super::{Happy, call};
use crate::limits;
use crate::server::{Method, Request, Router, StatusCode};

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::POST, "/v1/machines", create);
    happy.route(router, Method::GET, "/v1/machines", list);
    happy.route(router, Method::GET, "/v1/machines/{id}", get);
    happy.route(router, Method::DELETE, "/v1/machines/{id}", delete);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    id: String,
    metadata: String,
    /// May be absent and may not be null.
    #[serde(default, deserialize_with = "text")]
    daemon_state: Option<String>,
    #[serde(default)]
    data_encryption_key: Option<String>,
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

async fn create(happy: Happy, mut request: Request) -> Answer {
    let asked: Asked = call::body_of(&mut request, limits::HAPPY_BODY_BYTES_MAX).await?;
    base64_or_null(asked.data_encryption_key.as_deref())?;
    let caller = match happy.caller(&request.head)? {
        Ok(caller) => caller,
        Err(refusal) => return Ok(refusal),
    };
    let new = NewMachine {
        id: asked.id,
        metadata: asked.metadata,
        daemon_state: asked.daemon_state,
        data_encryption_key: asked.data_encryption_key,
    };
    let now = happy.0.clock.wall();
    let made = happy
        .0
        .store
        .write_sized(new.metadata.len(), move |db| {
            machines::of_id(db, &caller.account, &new, now)
        })
        .await;
    match made.map_err(store_error)? {
        Some(machine) => ok(json!({"machine": machine})),
        None => refused(
            StatusCode::CONFLICT,
            "Machine is registered to another account",
        ),
    }
}

async fn list(happy: Happy, request: Request) -> Answer {
    let caller = match happy.caller(&request.head)? {
        Ok(caller) => caller,
        Err(refusal) => return Ok(refusal),
    };
    let found = happy
        .0
        .store
        .query(move |db| machines::list(db, &caller.account))
        .await
        .map_err(store_error)?;
    ok(found.iter().map(with_seq).collect())
}

async fn get(happy: Happy, request: Request) -> Answer {
    let caller = match happy.caller(&request.head)? {
        Ok(caller) => caller,
        Err(refusal) => return Ok(refusal),
    };
    let found = happy
        .0
        .store
        .read(|db| machines::get(db, &caller.account, request.param("id")));
    match found.map_err(store_error)? {
        Some(machine) => ok(json!({"machine": with_seq(&machine)})),
        None => refused(StatusCode::NOT_FOUND, "Machine not found"),
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
        .write(move |db| machines::delete(db, &caller.account, &id))
        .await;
    match deleted.map_err(store_error)? {
        true => ok(json!({"success": true})),
        false => refused(StatusCode::NOT_FOUND, "Machine not found"),
    }
}

/// Lists tell a number that never moves.
fn with_seq(machine: &Machine) -> Value {
    let mut told = json!(machine);
    told["seq"] = json!(0);
    told
}
