//! Access keys over REST.

use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, ok, refused, store_error, write_error};
use super::db::access_keys::{Changed, OfPlace, Place};
use super::{Happy, call};
use crate::server::{HttpError, Method, Request, Router, StatusCode};

pub fn routes(router: &mut Router, happy: &Happy) {
    let path = "/v1/access-keys/{session}/{machine}";
    happy.route(router, Method::GET, path, get);
    happy.route(router, Method::POST, path, make);
    happy.route(router, Method::PUT, path, change);
}

async fn get(happy: Happy, request: Request) -> Answer {
    let place = place(&happy, &request)?;
    let found = happy.0.store.query(move |db| place.find(db)).await;
    match found.map_err(store_error)? {
        Some(key) => ok(json!({"accessKey": key})),
        None => nowhere(),
    }
}

#[derive(Deserialize)]
struct New {
    data: String,
}

async fn make(happy: Happy, mut request: Request) -> Answer {
    let new: New = call::body(&mut request).await?;
    let place = place(&happy, &request)?;
    let now = happy.0.clock.wall();
    let made = happy
        .0
        .store
        .write_sized(new.data.len(), move |db| place.make(db, &new.data, now))
        .await;
    match made.map_err(write_error)? {
        OfPlace::Made(key) => ok(json!({"success": true, "accessKey": key})),
        OfPlace::Known => refused(StatusCode::CONFLICT, "Access key already exists"),
        OfPlace::Nowhere => nowhere(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    data: String,
    expected_version: u32,
}

async fn change(happy: Happy, mut request: Request) -> Answer {
    let change: Change = call::body(&mut request).await?;
    let place = place(&happy, &request)?;
    let now = happy.0.clock.wall();
    let changed = happy
        .0
        .store
        .write_sized(change.data.len(), move |db| {
            place.change(db, &change.data, change.expected_version.into(), now)
        })
        .await;
    match changed.map_err(write_error)? {
        Changed::To(version) => ok(json!({"success": true, "version": version})),
        Changed::Stale(current) => ok(json!({
            "success": false,
            "error": "version-mismatch",
            "currentVersion": current.data_version,
            "currentData": current.data,
        })),
        Changed::Missing => refused(StatusCode::NOT_FOUND, "Access key not found"),
    }
}

fn place(happy: &Happy, request: &Request) -> Result<Place, HttpError> {
    Ok(Place {
        account: happy.account(&request.head)?,
        session: request.param("session").to_owned(),
        machine: request.param("machine").to_owned(),
    })
}

fn nowhere() -> Answer {
    refused(StatusCode::NOT_FOUND, "Session or machine not found")
}
