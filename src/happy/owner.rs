//! `/api/v1/happy`: what the owner of the box sees of the room, and decides.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::store_error;
use super::db::bounds;
use super::db::devices::{self, Account, Device};
use super::devices::room_of;
use super::{Happy, call, registration};
use crate::limits;
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode};
use crate::store::StoreError;

type Answer = Result<Response, HttpError>;

pub fn routes(router: &mut Router, happy: &Happy) {
    let own = happy.clone();
    let path = "/api/v1/happy";
    router.route(Method::GET, path, Access::Admin, move |_| show(own.clone()));
    let own = happy.clone();
    let invite = move |_| {
        let happy = own.clone();
        async move { registration::invite(&happy.0.invites, happy.0.clock.mono()) }
    };
    router.route(Method::POST, "/api/v1/happy/invites", Access::Admin, invite);
    let own = happy.clone();
    let path = "/api/v1/happy/accounts/{id}/bounds";
    router.route(Method::PUT, path, Access::Admin, move |request| {
        bound(own.clone(), request)
    });
    let own = happy.clone();
    let path = "/api/v1/happy/devices/{id}";
    router.route(Method::DELETE, path, Access::Admin, move |request| {
        take_back(own.clone(), request)
    });
}

async fn show(happy: Happy) -> Answer {
    let room = &happy.0;
    let found = room.store.query(|db| {
        let accounts = devices::accounts(db)?.into_iter();
        let with_devices = accounts.map(|account| {
            let own = devices::of_account(db, &account.id)?;
            Ok((account, own))
        });
        with_devices.collect::<Result<Vec<(Account, Vec<Device>)>, StoreError>>()
    });
    let accounts: Vec<Value> = found
        .await
        .map_err(store_error)?
        .into_iter()
        .map(|(account, own)| {
            json!({
                "id": account.id,
                "username": account.username,
                "created_at": account.created_at.rfc3339(),
                "sessions": account.sessions,
                "machines": account.machines,
                "bytes": account.bytes,
                "bytes_max": account.bytes_max,
                "keep_days": account.keep_days.unwrap_or(room.retention.keep_days()),
                "devices": own.iter().map(|device| shown(&happy, device)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let data = json!({
        "registration": room.registration.name(),
        "invites": room.invites.count(room.clock.mono()),
        "accounts": accounts,
    });
    success(data)
}

fn shown(happy: &Happy, device: &Device) -> Value {
    let heard = happy.0.heard.of(&device.id);
    let seen_at = heard.as_ref().map_or(device.seen_at, |moment| moment.at);
    let host = heard.and_then(|moment| moment.host);
    let sockets = happy
        .0
        .hub
        .io()
        .map(|io| io.sockets_in(&room_of(&device.id)));
    json!({
        "id": device.id,
        "kind": device.kind,
        "agent": device.agent,
        "host": host.as_ref().or(device.host.as_ref()),
        "created_at": device.created_at.rfc3339(),
        "last_seen_at": seen_at.rfc3339(),
        "connected": sockets.is_some_and(|sockets| !sockets.is_empty()),
    })
}

/// What one account may store and how long it keeps what it does not use; null: as every other.
#[derive(Deserialize)]
struct Bounds {
    #[serde(deserialize_with = "call::nullable")]
    max_mb: Option<u32>,
    #[serde(deserialize_with = "call::nullable")]
    keep_days: Option<u32>,
}

async fn bound(happy: Happy, mut request: Request) -> Answer {
    let Bounds { max_mb, keep_days } = request.json().await?;
    let days_max = limits::HAPPY_KEEP_DAYS_MAX;
    if max_mb == Some(0) || keep_days.is_some_and(|days| days > days_max) {
        return Err(HttpError::invalid(format!(
            "max_mb has to be 1 or more, keep_days 0 (for ever) to {days_max}, or null for what \
             every account has.",
        )));
    }
    let (account, bytes) = (request.param("id").to_owned(), max_mb.map(bytes_of));
    let write = move |db: &_| bounds::set(db, &account, bytes, keep_days);
    match happy.0.store.write(write).await.map_err(store_error)? {
        true => success(json!({})),
        false => Err(HttpError::new(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "There is no such account; GET /api/v1/happy lists them.",
        )),
    }
}

fn bytes_of(mb: u32) -> i64 {
    i64::from(mb) * 1024 * 1024
}

async fn take_back(happy: Happy, request: Request) -> Answer {
    match happy
        .take_back(request.param("id"))
        .await
        .map_err(store_error)?
    {
        true => success(json!({})),
        false => Err(HttpError::new(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "There is no such device; GET /api/v1/happy lists them.",
        )),
    }
}

fn success(data: Value) -> Answer {
    Ok(Response::json(
        StatusCode::OK,
        &json!({"success": true, "data": data}),
    ))
}
