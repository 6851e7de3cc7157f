//! Artifacts: what they do, for both doors, and their REST routes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{Answer, ok, refused, store_error, write_error};
use super::db::WriteError;
use super::db::artifacts::{self, Artifact, Changed, Current, NewArtifact, OfId, Part};
use super::{Happy, Recipients, call};
use crate::limits;
use crate::server::{HttpError, Method, Request, Router, StatusCode};
use crate::store::StoreError;

pub const ANOTHER_ACCOUNTS: &str = "Artifact with this ID already exists for another account";
pub const NOT_FOUND: &str = "Artifact not found";
const LISTED: usize = 200;

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::GET, "/v1/artifacts", list);
    happy.route(router, Method::POST, "/v1/artifacts", make);
    happy.route(router, Method::GET, "/v1/artifacts/{id}", get);
    happy.route(router, Method::POST, "/v1/artifacts/{id}", change);
    happy.route(router, Method::DELETE, "/v1/artifacts/{id}", delete);
}

impl Happy {
    /// The artifact, made where it is not; `None` when another account has the id.
    pub(super) async fn make_artifact(
        &self,
        account: &str,
        new: NewArtifact,
    ) -> Result<Option<Artifact>, WriteError> {
        let (owner, now) = (account.to_owned(), self.0.clock.wall());
        let turn = self.turn();
        let made = self
            .0
            .store
            .write_sized(new.bytes(), move |db| {
                artifacts::of_id(db, &owner, &new, now)
            })
            .await?;
        Ok(match made {
            OfId::AnotherAccounts => None,
            OfId::Known(artifact) => Some(artifact),
            OfId::Made(artifact, seq) => {
                let mut body = Map::from_iter([("t".into(), json!("new-artifact"))]);
                if let Value::Object(fields) = json!(artifact) {
                    body.extend(fields);
                }
                if let Some(id) = body.remove("id") {
                    body.insert("artifactId".into(), id);
                }
                turn.publish(account, seq, body.into(), Recipients::UserScoped);
                Some(artifact)
            }
        })
    }

    pub(super) async fn change_artifact(
        &self,
        account: &str,
        id: &str,
        header: Option<Part>,
        body: Option<Part>,
    ) -> Result<Changed, WriteError> {
        let (owner, name, now) = (account.to_owned(), id.to_owned(), self.0.clock.wall());
        let of = |part: &Option<Part>| part.as_ref().map(|part| part.data.clone());
        let data = (of(&header), of(&body));
        let weight = |data: &Option<String>| data.as_ref().map_or(0, String::len);
        let bytes = weight(&data.0) + weight(&data.1);
        let turn = self.turn();
        let changed = self
            .0
            .store
            .write_sized(bytes, move |db| {
                artifacts::change(db, &owner, &name, header.as_ref(), body.as_ref(), now)
            })
            .await?;
        if let Changed::To { header, body, seq } = &changed {
            let mut update = json!({"t": "update-artifact", "artifactId": id});
            for (name, version, value) in [("header", header, data.0), ("body", body, data.1)] {
                if let Some(version) = version {
                    update[name] = json!({"value": value, "version": version});
                }
            }
            turn.publish(account, *seq, update, Recipients::UserScoped);
        }
        Ok(changed)
    }

    /// Whether there was one.
    pub(super) async fn delete_artifact(
        &self,
        account: &str,
        id: &str,
    ) -> Result<bool, StoreError> {
        let (owner, name) = (account.to_owned(), id.to_owned());
        let turn = self.turn();
        let deleted = self
            .0
            .store
            .write(move |db| artifacts::delete(db, &owner, &name))
            .await?;
        if let Some(seq) = deleted {
            let body = json!({"t": "delete-artifact", "artifactId": id});
            turn.publish(account, seq, body, Recipients::UserScoped);
        }
        Ok(deleted.is_some())
    }
}

async fn list(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let found = happy
        .0
        .store
        .query(move |db| artifacts::newest(db, &account, LISTED))
        .await;
    ok(json!(found.map_err(store_error)?))
}

async fn get(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let id = request.param("id").to_owned();
    let found = happy
        .0
        .store
        .query(move |db| artifacts::get(db, &account, &id))
        .await;
    match found.map_err(store_error)? {
        Some(artifact) => ok(json!(artifact)),
        None => refused(StatusCode::NOT_FOUND, NOT_FOUND),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct New {
    id: String,
    header: String,
    body: String,
    data_encryption_key: String,
}

async fn make(happy: Happy, mut request: Request) -> Answer {
    let new: New = call::large_body(&happy, &mut request).await?;
    if !is_uuid(&new.id) {
        return Err(HttpError::invalid("id has to be a UUID."));
    }
    for blob in [&new.header, &new.body, &new.data_encryption_key] {
        require_base64(blob)?;
    }
    let account = happy.account(&request.head)?;
    call::want_size([Some(&new.header)], limits::HAPPY_VALUE_BYTES_MAX)?;
    call::want_size(
        [Some(&new.data_encryption_key)],
        limits::HAPPY_NAME_BYTES_MAX,
    )?;
    let new = NewArtifact {
        id: new.id,
        header: new.header,
        body: new.body,
        data_encryption_key: new.data_encryption_key,
    };
    let made = happy.make_artifact(&account, new).await;
    match made.map_err(write_error)? {
        Some(artifact) => ok(json!(artifact)),
        None => refused(StatusCode::CONFLICT, ANOTHER_ACCOUNTS),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    header: Option<String>,
    expected_header_version: Option<u32>,
    body: Option<String>,
    expected_body_version: Option<u32>,
}

async fn change(happy: Happy, mut request: Request) -> Answer {
    let asked: Change = call::large_body(&happy, &mut request).await?;
    // Without the version that it replaces a part does not count.
    let part = |data: Option<String>, expected: Option<u32>| {
        let (data, expected) = data.zip(expected)?;
        let expected = expected.into();
        Some(Part { data, expected })
    };
    let header = part(asked.header, asked.expected_header_version);
    let body = part(asked.body, asked.expected_body_version);
    for part in header.iter().chain(&body) {
        require_base64(&part.data)?;
    }
    let account = happy.account(&request.head)?;
    let value = header.as_ref().map(|part| &part.data);
    call::want_size([value], limits::HAPPY_VALUE_BYTES_MAX)?;
    let id = request.param("id");
    let changed = happy.change_artifact(&account, id, header, body).await;
    match changed.map_err(write_error)? {
        Changed::To { header, body, .. } => {
            let mut told = json!({"success": true});
            if let Some(version) = header {
                told["headerVersion"] = json!(version);
            }
            if let Some(version) = body {
                told["bodyVersion"] = json!(version);
            }
            ok(told)
        }
        Changed::Stale { header, body } => {
            let mut told = json!({"success": false, "error": "version-mismatch"});
            if let Some(Current { version, data }) = header {
                told["currentHeaderVersion"] = json!(version);
                told["currentHeader"] = json!(data);
            }
            if let Some(Current { version, data }) = body {
                told["currentBodyVersion"] = json!(version);
                told["currentBody"] = json!(data);
            }
            ok(told)
        }
        Changed::Missing => refused(StatusCode::NOT_FOUND, NOT_FOUND),
    }
}

async fn delete(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let deleted = happy.delete_artifact(&account, request.param("id")).await;
    match deleted.map_err(store_error)? {
        true => ok(json!({"success": true})),
        false => refused(StatusCode::NOT_FOUND, NOT_FOUND),
    }
}

fn require_base64(text: &str) -> Result<(), HttpError> {
    match is_base64(text) {
        true => Ok(()),
        false => Err(HttpError::invalid(
            "What is encrypted has to be base64 with padding.",
        )),
    }
}

pub fn is_base64(text: &str) -> bool {
    STANDARD.decode(text).is_ok()
}

pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
