//! What sockets ask of artifacts and access keys.

use serde_json::{Map, Value, json};

use super::{Client, answer, is_nothing, name};
use crate::happy::artifacts::{ANOTHER_ACCOUNTS, NOT_FOUND, is_base64};
use crate::happy::db::WriteError;
use crate::happy::db::access_keys::Place;
use crate::happy::db::artifacts::{self, Artifact, Changed, Current, NewArtifact, Part};
use crate::happy::db::versioned;
use crate::socketio::{Ack, Socket};

const INVALID: &str = "Invalid parameters";
const INTERNAL: &str = "Internal error";

impl Client {
    pub(super) fn artifact_read(&self, socket: &Socket, event: Value, ack: Option<Ack>) {
        let id = match artifact_id(&event) {
            Ok(id) => id,
            Err(refusal) => return answer(ack, refusal),
        };
        let (happy, account) = (self.happy.clone(), self.account.to_string());
        self.in_order(socket, async move {
            let found = happy
                .0
                .store
                .query(move |db| artifacts::get(db, &account, &id))
                .await;
            let told = match found {
                Ok(Some(artifact)) => success(&artifact),
                Ok(None) => error(NOT_FOUND),
                Err(failed) => failure(failed.into()),
            };
            answer(ack, told);
        });
    }

    pub(super) fn artifact_create(&self, socket: &Socket, event: Value, ack: Option<Ack>) {
        if event.is_null() {
            return answer(ack, error(INTERNAL));
        }
        let blob = |field: &str| {
            let text = event[field].as_str().filter(|text| is_base64(text));
            text.map(str::to_owned)
        };
        let new = name(&event, "id").and_then(|id| {
            Some(NewArtifact {
                id: id.to_owned(),
                header: blob("header")?,
                body: blob("body")?,
                data_encryption_key: blob("dataEncryptionKey")?,
            })
        });
        let Some(new) = new else {
            return answer(ack, error(INVALID));
        };
        let (happy, account) = (self.happy.clone(), self.account.clone());
        self.in_order(socket, async move {
            let told = match happy.make_artifact(&account, new).await {
                Ok(Some(artifact)) => success(&artifact),
                Ok(None) => error(ANOTHER_ACCOUNTS),
                Err(failed) => failure(failed),
            };
            answer(ack, told);
        });
    }

    pub(super) fn artifact_update(&self, socket: &Socket, event: Value, ack: Option<Ack>) {
        let id = match artifact_id(&event) {
            Ok(id) => id,
            Err(refusal) => return answer(ack, refusal),
        };
        let (header, body) = match (part(&event, "header"), part(&event, "body")) {
            (Ok(None), Ok(None)) => return answer(ack, error("No updates provided")),
            (Err(()), _) => return answer(ack, error("Invalid header parameters")),
            (_, Err(())) => return answer(ack, error("Invalid body parameters")),
            (Ok(header), Ok(body)) => (header, body),
        };
        let (happy, account) = (self.happy.clone(), self.account.clone());
        self.in_order(socket, async move {
            let changed = happy.change_artifact(&account, &id, header, body).await;
            let told = match changed {
                Ok(Changed::To { header, body, .. }) => {
                    let now = |part: &str, version: Option<i64>| {
                        let data = &event[part]["data"];
                        version.map(|version| json!({"version": version, "data": data}))
                    };
                    with_parts("success", now("header", header), now("body", body))
                }
                Ok(Changed::Stale { header, body }) => {
                    let there = |current: Current| {
                        json!({"currentVersion": current.version, "currentData": current.data})
                    };
                    with_parts("version-mismatch", header.map(there), body.map(there))
                }
                Ok(Changed::Missing) => error(NOT_FOUND),
                Err(failed) => failure(failed),
            };
            answer(ack, told);
        });
    }

    pub(super) fn artifact_delete(&self, socket: &Socket, event: Value, ack: Option<Ack>) {
        let id = match artifact_id(&event) {
            Ok(id) => id,
            Err(refusal) => return answer(ack, refusal),
        };
        let (happy, account) = (self.happy.clone(), self.account.clone());
        self.in_order(socket, async move {
            let told = match happy.delete_artifact(&account, &id).await {
                Ok(true) => json!({"result": "success"}),
                Ok(false) => error(NOT_FOUND),
                Err(failed) => failure(failed.into()),
            };
            answer(ack, told);
        });
    }

    pub(super) fn access_key(&self, socket: &Socket, event: &Value, ack: Option<Ack>) {
        let refused = |text: &str| json!({"ok": false, "error": text});
        if event.is_null() {
            return answer(ack, refused(INTERNAL));
        }
        let names = name(event, "sessionId").zip(name(event, "machineId"));
        let Some((session, machine)) = names else {
            let text = "Invalid parameters: sessionId and machineId are required";
            return answer(ack, refused(text));
        };
        let place = Place {
            account: self.account.to_string(),
            session: session.to_owned(),
            machine: machine.to_owned(),
        };
        let happy = self.happy.clone();
        self.in_order(socket, async move {
            let told = match happy.0.store.query(move |db| place.find(db)).await {
                Ok(Some(key)) => json!({"ok": true, "accessKey": key}),
                Ok(None) => refused("Session or machine not found"),
                Err(failed) => {
                    log::error!("event=happy_store_failed error=\"{failed}\"");
                    refused(INTERNAL)
                }
            };
            answer(ack, told);
        });
    }
}

fn artifact_id(event: &Value) -> Result<String, Value> {
    if event.is_null() {
        return Err(error(INTERNAL));
    }
    let id = name(event, "artifactId").ok_or_else(|| error(INVALID))?;
    Ok(id.to_owned())
}

/// A part that is to be replaced, where it is there.
fn part(event: &Value, field: &str) -> Result<Option<Part>, ()> {
    let part = &event[field];
    if is_nothing(part) {
        return Ok(None);
    }
    let data = part["data"].as_str().filter(|data| is_base64(data));
    let expected = versioned::expected(&part["expectedVersion"]);
    let (data, expected) = data.zip(expected).ok_or(())?;
    let data = data.to_owned();
    Ok(Some(Part { data, expected }))
}

/// Without its key, as this door tells it.
fn success(artifact: &Artifact) -> Value {
    let mut told = json!(artifact);
    if let Some(fields) = told.as_object_mut() {
        fields.remove("dataEncryptionKey");
    }
    json!({"result": "success", "artifact": told})
}

fn with_parts(result: &str, header: Option<Value>, body: Option<Value>) -> Value {
    let mut told = Map::from_iter([("result".into(), json!(result))]);
    told.extend(header.map(|header| ("header".into(), header)));
    told.extend(body.map(|body| ("body".into(), body)));
    told.into()
}

fn error(message: &str) -> Value {
    json!({"result": "error", "message": message})
}

fn failure(failed: WriteError) -> Value {
    match failed {
        WriteError::NoRoom => error("This account has no room left on this server"),
        WriteError::Store(failed) => {
            log::error!("event=happy_store_failed error=\"{failed}\"");
            error(INTERNAL)
        }
    }
}
