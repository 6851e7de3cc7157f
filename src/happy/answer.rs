//! Answers and errors in the form that Happy clients know, and who is asking.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Happy;
use super::db::accounts;
use crate::server::{
    HeaderValue, HttpError, RateKey, Request, RequestHead, Response, StatusCode, header,
};
use crate::store::StoreError;

pub type Answer = Result<Response, HttpError>;

/// Who shows a token.
pub struct Caller {
    pub account: String,
}

pub fn ok(value: Value) -> Answer {
    Ok(told(StatusCode::OK, &value))
}

/// A refusal whose text clients compare: `{"error":"<text>"}`.
pub fn refused(status: StatusCode, text: &str) -> Answer {
    Ok(told(status, &json!({ "error": text })))
}

fn told(status: StatusCode, value: &Value) -> Response {
    Response::json(status, value)
        .with(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        )
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .with(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        )
}

/// 400 for what should be base64 and is not.
pub fn base64_or_null(text: Option<&str>) -> Result<(), HttpError> {
    match text.map(|text| STANDARD.decode(text)) {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(_)) => Err(HttpError::invalid(
            "dataEncryptionKey has to be base64 with padding.",
        )),
    }
}

/// What is no decision of a handler: no such route, a body that is no body, a fault.
pub fn error_shape(error: &HttpError) -> Response {
    let status = error.status;
    match status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            told(StatusCode::NOT_FOUND, &json!({"error": "Not found"}))
        }
        StatusCode::INTERNAL_SERVER_ERROR => told(
            status,
            &json!({
                "error": "Internal Server Error",
                "message": "An unexpected error occurred",
                "statusCode": 500,
            }),
        ),
        _ => told(
            status,
            &json!({
                "error": "Error",
                "message": error.message,
                "statusCode": status.as_u16(),
            }),
        ),
    }
}

/// A store that cannot is never told as 401: clients give up at that.
pub fn store_error(error: StoreError) -> HttpError {
    match error {
        StoreError::Busy => HttpError::busy("The box is busy; try again in a second.", 1),
        error => {
            log::error!("event=happy_store_failed error=\"{error}\"");
            internal()
        }
    }
}

pub fn internal() -> HttpError {
    HttpError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "INTERNAL_ERROR",
        "An unexpected error occurred",
    )
}

impl Happy {
    /// The account of the token, or the refusal to answer with.
    pub(super) fn caller(&self, head: &RequestHead) -> Result<Result<Caller, Response>, HttpError> {
        let refuse = |text| Ok(Err(told(StatusCode::UNAUTHORIZED, &json!({"error": text}))));
        let shown = head.header("authorization");
        let Some(token) = shown.and_then(|value| value.strip_prefix("Bearer ")) else {
            return refuse("Missing authorization header");
        };
        let Some(claims) = self.0.tokens.verify(token) else {
            return refuse("Invalid token");
        };
        let is_known = self
            .0
            .store
            .read(|db| accounts::is_known(db, &claims.sub))
            .map_err(store_error)?;
        if !is_known {
            return refuse("Invalid token");
        }
        let account = claims.sub;
        Ok(Ok(Caller { account }))
    }

    /// 429 for an address that calls without a token too often.
    pub(super) fn limit_stranger(&self, request: &Request) -> Result<(), HttpError> {
        self.0
            .strangers
            .take(RateKey::of(None, request.head.client))
    }
}
