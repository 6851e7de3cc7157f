//! Pairing and devices over HTTP, under `/api/v1`.

use std::pin::Pin;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::House;
use super::gate::COOKIE;
use crate::identity::{ClaimError, PairingCode};
use crate::server::websocket;
use crate::server::{HeaderValue, HttpError, Request, Response, Role, StatusCode, header};
use crate::store::StoreError;

/// A QR code of more is hard to read.
const URL_BYTES_MAX: usize = 256;

type Answer = Result<Response, HttpError>;
pub(super) type Handler = Box<dyn Fn(House, Request) -> Pin<Box<dyn Future<Output = Answer>>>>;

/// A year; the token itself has no end.
const COOKIE_LIFE: Duration = Duration::from_secs(365 * 86_400);

/// Gives handlers one type, so that they stand in a list.
pub(super) fn boxed<F: Future<Output = Answer> + 'static>(
    handler: impl Fn(House, Request) -> F + 'static,
) -> Handler {
    Box::new(move |house, request| Box::pin(handler(house, request)))
}

/// What the page has to know before anything else.
pub(super) async fn session(house: House, request: Request) -> Answer {
    let role = match request.caller.role {
        Role::Owner => "owner",
        Role::Device => "device",
        Role::Nobody => "nobody",
    };
    success(json!({
        "claimed": house.0.identity.is_claimed(),
        "role": role,
        "device_id": request.caller.device.as_deref(),
        "https_port": house.1.https.get(),
        "name": house.0.label,
    }))
}

pub(super) async fn pair(house: House, mut request: Request) -> Answer {
    #[derive(Deserialize)]
    struct Asked {
        code: String,
        #[serde(default)]
        name: String,
    }
    let asked: Asked = request.json().await?;
    let identity = &house.0.identity;
    let paired = identity.pair(&asked.code, &asked.name).await;
    let paired = paired.map_err(refusal)?;
    house.0.setup.show(None);
    let secure = if request.head.peer.tls {
        "; Secure"
    } else {
        ""
    };
    let cookie = format!(
        "{COOKIE}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        paired.token,
        COOKIE_LIFE.as_secs()
    );
    let answer = envelope(
        StatusCode::CREATED,
        json!({
            "token": paired.token,
            "device": paired.device,
            "claimed": paired.claimed,
        }),
    );
    let answer = answer.with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(match HeaderValue::from_str(&cookie) {
        Ok(mut cookie) => {
            cookie.set_sensitive(true);
            answer.with(header::SET_COOKIE, cookie)
        }
        Err(_) => answer,
    })
}

/// Has a fresh code shown on the console of an unclaimed box; the answer does not tell it.
pub(super) async fn show_code(house: House, _request: Request) -> Answer {
    let known = house.0.identity.shown_code();
    let shown = match known {
        Some(code) if !house.0.identity.is_claimed() => Some(code),
        _ => house.show_claim_code().map_err(refusal)?,
    };
    match shown {
        Some(code) => success(json!({"valid_for_s": code.valid_for.as_secs()})),
        None => Err(HttpError::new(
            StatusCode::CONFLICT,
            "CONFLICT",
            "This box has an owner: have the code made on a paired admin device, or on the box by: magpie pair",
        )),
    }
}

pub(super) async fn list(house: House, _request: Request) -> Answer {
    success(json!({"devices": house.0.identity.devices()}))
}

/// A token for a program, told once.
pub(super) async fn make(house: House, mut request: Request) -> Answer {
    #[derive(Deserialize)]
    struct Asked {
        name: String,
        #[serde(default)]
        admin: bool,
    }
    let asked: Asked = request.json().await?;
    let made = house.0.identity.issue(&asked.name, asked.admin).await;
    let made = made.map_err(refusal)?;
    house.0.setup.show(None);
    let data = json!({ "token": made.token, "device": made.device });
    let answer = envelope(StatusCode::CREATED, data);
    Ok(answer.with(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

/// A code for one more device, for an admin to show.
pub(super) async fn new_code(house: House, mut request: Request) -> Answer {
    #[derive(Deserialize, Default)]
    struct Asked {
        #[serde(default)]
        admin: bool,
    }
    let asked: Asked = if request.head.headers.contains_key(header::CONTENT_TYPE) {
        request.json().await?
    } else {
        Asked::default()
    };
    // The first device of a box is its owner's, whatever was asked.
    let admin = asked.admin || !house.0.identity.is_claimed();
    let code = house.0.identity.new_code(admin).map_err(refusal)?;
    let PairingCode {
        code: digits,
        valid_for,
    } = &code;
    let url = house.pairing_url(&code);
    success(json!({
        "code": digits,
        "admin": admin,
        "valid_for_s": valid_for.as_secs(),
        "url": url,
        "qr": super::qr::rows(&url).unwrap_or_default(),
    }))
    .map(|answer| answer.with(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

/// Where clients reach the box, and one of it as a QR code: the best, or the `url` asked for.
pub(super) async fn addresses(house: House, request: Request) -> Answer {
    let urls = house.origins();
    let asked = request.query("url");
    if let Some(url) = &asked {
        let is_url = url.starts_with("http://") || url.starts_with("https://");
        if !is_url || url.len() > URL_BYTES_MAX {
            return Err(HttpError::invalid(format!(
                "url has to begin with http:// or https:// and to be at most {URL_BYTES_MAX} bytes."
            )));
        }
    }
    let shown = asked.as_ref().or(urls.first());
    let qr = shown.and_then(|url| super::qr::rows(url));
    success(json!({ "urls": urls, "qr": qr.unwrap_or_default() }))
}

pub(super) async fn revoke(house: House, request: Request) -> Answer {
    let revoked = house.0.identity.revoke(request.param("id")).await;
    match revoked.map_err(|error| refusal(ClaimError::Store(error)))? {
        true => {
            websocket::close_owned(request.param("id"));
            success(json!({}))
        }
        false => Err(HttpError::new(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "No paired device has this id; GET /api/v1/devices lists them.",
        )),
    }
}

fn success(data: Value) -> Answer {
    Ok(envelope(StatusCode::OK, data))
}

fn envelope(status: StatusCode, data: Value) -> Response {
    Response::json(status, &json!({"success": true, "data": data}))
}

fn refusal(error: ClaimError) -> HttpError {
    let (status, code) = match &error {
        ClaimError::WrongCode { .. } => (StatusCode::FORBIDDEN, "WRONG_CODE"),
        ClaimError::Expired => (StatusCode::GONE, "CODE_EXPIRED"),
        ClaimError::TooManyTries { .. } => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED"),
        ClaimError::TooManyDevices => (StatusCode::CONFLICT, "CONFLICT"),
        ClaimError::BadName => (StatusCode::BAD_REQUEST, "INVALID_REQUEST"),
        ClaimError::NoRandom | ClaimError::Store(StoreError::Busy) => {
            (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE")
        }
        ClaimError::Store(StoreError::Full) => (StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL"),
        ClaimError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "DATABASE_ERROR"),
    };
    let mut refusal = HttpError::new(status, code, error.to_string());
    refusal.retry_after_s = match &error {
        ClaimError::TooManyTries { wait } => Some(wait.as_secs().max(1) as u32),
        _ if status == StatusCode::SERVICE_UNAVAILABLE => Some(1),
        _ => None,
    };
    refusal
}
