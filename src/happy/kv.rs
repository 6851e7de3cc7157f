//! Keys in plain text, values as ciphertext, each with a version. A batch of changes is made whole
//! or not at all.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, ok, refusal, store_error, told, write_error};
use super::db::kv::{self, Mutated, Mutation};
use super::db::{WriteError, accounts};
use super::{Happy, Recipients, call};
use crate::server::{HttpError, Method, Request, Router, StatusCode};
use crate::store::StoreError;

/// Keys of one call.
const KEYS_MAX: usize = 100;

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::GET, "/v1/kv/{key}", get);
    happy.route(router, Method::GET, "/v1/kv", list);
    happy.route(router, Method::POST, "/v1/kv/bulk", several);
    happy.route(router, Method::POST, "/v1/kv", mutate);
}

async fn get(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let key = request.param("key").to_owned();
    let found = happy
        .0
        .store
        .query(move |db| kv::get(db, &account, &key))
        .await
        .map_err(store_error)?;
    match found {
        Some(entry) => ok(json!(entry)),
        None => Err(refusal(StatusCode::NOT_FOUND, "Key not found")),
    }
}

async fn list(happy: Happy, request: Request) -> Answer {
    let limit = call::number(&request, "limit", 1, 1_000)?.unwrap_or(100) as usize;
    let account = happy.account(&request.head)?;
    let prefix = request.query("prefix").unwrap_or_default();
    let found = happy
        .0
        .store
        .query(move |db| kv::list(db, &account, &prefix, limit))
        .await
        .map_err(store_error)?;
    ok(json!({"items": found}))
}

#[derive(Deserialize)]
struct Several {
    keys: Vec<String>,
}

async fn several(happy: Happy, mut request: Request) -> Answer {
    let Several { keys } = call::body(&mut request).await?;
    check_count("keys", keys.len())?;
    let account = happy.account(&request.head)?;
    let found = happy
        .0
        .store
        .query(move |db| kv::several(db, &account, &keys))
        .await
        .map_err(store_error)?;
    ok(json!({"values": found}))
}

#[derive(Deserialize)]
struct Batch {
    mutations: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    key: String,
    #[serde(deserialize_with = "call::nullable")]
    value: Option<String>,
    version: f64,
}

async fn mutate(happy: Happy, mut request: Request) -> Answer {
    let Batch { mutations } = call::large_body(&happy, &mut request).await?;
    check_count("mutations", mutations.len())?;
    let account = happy.account(&request.head)?;
    let owner = account.clone();
    let weight = |asked: &Asked| asked.key.len() + asked.value.as_ref().map_or(0, String::len);
    let bytes = mutations.iter().map(weight).sum();
    let mutations: Vec<Mutation> = mutations.into_iter().map(Mutation::from).collect();
    let turn = happy.turn();
    let outcome = happy
        .0
        .store
        .write_sized(bytes, move |db| -> Result<_, StoreError> {
            let mutated = kv::mutate(db, &owner, &mutations)?;
            let seq = match &mutated {
                Mutated::Done(_) => Some(accounts::next_seq(db, &owner)?),
                _ => None,
            };
            Ok((mutated, seq, mutations))
        })
        .await;
    let (mutated, seq, mutations) = outcome.map_err(store_error)?;
    let versions = match mutated {
        Mutated::Done(versions) => versions,
        Mutated::Stale(keys) => return Ok(told(StatusCode::CONFLICT, &stale(keys))),
        Mutated::Twice => return Err(HttpError::invalid("A key stands in the batch twice.")),
        Mutated::Full => return Err(write_error(WriteError::NoRoom)),
    };
    let done = || mutations.iter().zip(&versions);
    let results: Vec<Value> = done()
        .map(|(mutation, version)| json!({"key": mutation.key, "version": version}))
        .collect();
    if let Some(seq) = seq {
        let change = |(mutation, version): (&Mutation, &i64)| json!({"key": mutation.key, "value": mutation.value, "version": version});
        let changes: Vec<Value> = done().map(change).collect();
        let body = json!({"t": "kv-batch-update", "changes": changes});
        turn.publish(&account, seq, body, Recipients::UserScoped);
    }
    ok(json!({"success": true, "results": results}))
}

fn stale(keys: Vec<kv::Current>) -> Value {
    let told = |(key, version, value)| json!({"key": key, "error": "version-mismatch", "version": version, "value": value});
    let errors: Vec<Value> = keys.into_iter().map(told).collect();
    json!({"success": false, "errors": errors})
}

fn check_count(field: &str, count: usize) -> Result<(), HttpError> {
    match count {
        1..=KEYS_MAX => Ok(()),
        _ => Err(HttpError::invalid(format!(
            "{field} has to have 1 to {KEYS_MAX} items."
        ))),
    }
}

impl From<Asked> for Mutation {
    fn from(asked: Asked) -> Mutation {
        Mutation {
            key: asked.key,
            value: asked.value,
            version: asked.version,
        }
    }
}
