//! Machines over REST.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::answer::{Answer, base64_or_null, ok, refused, store_error, write_error};
use super::db::machines::{self, Machine, NewMachine, OfId};
use super::updates::Turn;
use super::{Happy, Recipients, call};
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
    let asked: Asked = call::large_body(&happy, &mut request).await?;
    base64_or_null(asked.data_encryption_key.as_deref())?;
    let account = happy.account(&request.head)?;
    let names = [Some(&asked.id), asked.data_encryption_key.as_ref()];
    call::want_size(names, limits::HAPPY_NAME_BYTES_MAX)?;
    let values = [Some(&asked.metadata), asked.daemon_state.as_ref()];
    call::want_size(values, limits::HAPPY_VALUE_BYTES_MAX)?;
    let new = NewMachine {
        id: asked.id,
        metadata: asked.metadata,
        daemon_state: asked.daemon_state,
        data_encryption_key: asked.data_encryption_key,
    };
    let (owner, now) = (account.clone(), happy.0.clock.wall());
    let turn = happy.turn();
    let made = happy
        .0
        .store
        .write_sized(new.bytes(), move |db| {
            machines::of_id(db, &owner, &new, now)
        })
        .await;
    match made.map_err(write_error)? {
        OfId::Made(machine, seqs) => {
            tell_of(&turn, &account, &machine, seqs);
            ok(json!({"machine": machine}))
        }
        OfId::Known(machine) => ok(json!({"machine": machine})),
        OfId::AnotherAccounts => refused(
            StatusCode::CONFLICT,
            "Machine is registered to another account",
        ),
    }
}

/// That it is there, and then its metadata, for the machine's own socket too.
fn tell_of(turn: &Turn, account: &str, machine: &Machine, [made, metadata]: [i64; 2]) {
    let mut body = with_seq(machine);
    let id = body["id"].take();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("id");
    }
    body["t"] = json!("new-machine");
    body["machineId"] = id.clone();
    let update = json!({
        "t": "update-machine",
        "machineId": id,
        "metadata": {"value": body["metadata"], "version": body["metadataVersion"]},
    });
    turn.publish(account, made, body, Recipients::UserScoped);
    let to = Recipients::Machine(machine.id.clone());
    turn.publish(account, metadata, update, to);
}

async fn list(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let found = happy
        .0
        .store
        .query(move |db| machines::list(db, &account))
        .await
        .map_err(store_error)?;
    ok(found.iter().map(with_seq).collect())
}

async fn get(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let id = request.param("id").to_owned();
    let found = happy
        .0
        .store
        .query(move |db| machines::get(db, &account, &id))
        .await;
    match found.map_err(store_error)? {
        Some(machine) => ok(json!({"machine": with_seq(&machine)})),
        None => refused(StatusCode::NOT_FOUND, "Machine not found"),
    }
}

async fn delete(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let (owner, id) = (account.clone(), request.param("id").to_owned());
    let turn = happy.turn();
    let deleted = happy
        .0
        .store
        .write(move |db| machines::delete(db, &owner, &id))
        .await;
    let Some(seq) = deleted.map_err(store_error)? else {
        return refused(StatusCode::NOT_FOUND, "Machine not found");
    };
    happy.machine_is_gone(request.param("id"));
    let body = json!({"t": "delete-machine", "machineId": request.param("id")});
    turn.publish(&account, seq, body, Recipients::UserScoped);
    ok(json!({"success": true}))
}

/// Lists tell a number that never moves.
fn with_seq(machine: &Machine) -> Value {
    let mut told = json!(machine);
    told["seq"] = json!(0);
    told
}
