//! Answers and errors in the form that Happy clients know, and who is asking.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Happy;
use super::db::WriteError;
use crate::server::{
    Asked, HeaderValue, HttpError, RateKey, Request, RequestHead, Response, StatusCode, header,
};
use crate::store::StoreError;

pub type Answer = Result<Response, HttpError>;

/// Code of a body that is no JSON, which clients are told by this name.
pub const SYNTAX_ERROR: &str = "SyntaxError";

/// Code of a refusal whose text clients compare.
const EXACT: &str = "EXACT";

pub fn ok(value: Value) -> Answer {
    Ok(told(StatusCode::OK, &value))
}

/// A refusal whose text clients compare: `{"error":"<text>"}`.
pub fn refused(status: StatusCode, text: &'static str) -> Answer {
    Err(refusal(status, text))
}

pub fn refusal(status: StatusCode, text: &'static str) -> HttpError {
    HttpError::new(status, EXACT, text)
}

pub fn told(status: StatusCode, value: &Value) -> Response {
    Response::json(status, value)
        .with(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        )
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
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
pub fn error_shape(error: &HttpError, asked: &Asked) -> Response {
    let status = error.status;
    match status {
        _ if error.code == EXACT => told(status, &json!({"error": error.message})),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            let (path, method) = (asked.target, asked.method.as_str());
            let value = json!({"error": "Not found", "path": path, "method": method});
            told(StatusCode::NOT_FOUND, &value)
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
                "error": class(error),
                "message": error.message,
                "statusCode": status.as_u16(),
            }),
        ),
    }
}

/// The original's name for the kind of a refusal.
fn class(error: &HttpError) -> &'static str {
    match error.status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::PAYLOAD_TOO_LARGE => "FastifyError",
        _ if error.code == SYNTAX_ERROR => SYNTAX_ERROR,
        _ => "Error",
    }
}

/// Below `/files/`, where the original keeps pictures of people and this box none.
pub fn file_error_shape(error: &HttpError, _: &Asked) -> Response {
    match error.status {
        // A path that climbs.
        StatusCode::BAD_REQUEST => Response::text(StatusCode::FORBIDDEN, "Forbidden"),
        _ => Response::text(StatusCode::NOT_FOUND, "Not found"),
    }
}

/// A store that cannot is never told as 401: clients give up at that.
pub fn store_error(error: StoreError) -> HttpError {
    match error {
        StoreError::Busy => HttpError::busy("The box is busy; try again in a second.", 1),
        StoreError::Full => refusal(
            StatusCode::INSUFFICIENT_STORAGE,
            "This server has no room left",
        ),
        error => {
            log::error!("event=happy_store_failed error=\"{error}\"");
            internal()
        }
    }
}

/// An account that is full is told so by a status at which clients keep what they have and try
/// again.
pub fn write_error(error: WriteError) -> HttpError {
    match error {
        WriteError::NoRoom => refusal(
            StatusCode::INSUFFICIENT_STORAGE,
            "This account has no room left on this server",
        ),
        WriteError::Store(error) => store_error(error),
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
    /// The account of the token that the call shows.
    pub(super) fn account(&self, head: &RequestHead) -> Result<String, HttpError> {
        let refuse = |text| {
            self.0.strangers.take(RateKey::of(None, head.client))?;
            Err(refusal(StatusCode::UNAUTHORIZED, text))
        };
        let Some(token) = shown_token(head) else {
            return refuse("Missing authorization header");
        };
        let Some(known) = self.known(token).map_err(store_error)? else {
            return refuse("Invalid token");
        };
        let key = RateKey::Device(known.account.as_str().into());
        self.0.members.take(key)?;
        self.note_heard(&known.device, Some(head));
        Ok(known.account)
    }

    /// Whether [`Happy::account`] would know whose call it is.
    pub(super) fn has_token(&self, head: &RequestHead) -> Result<bool, HttpError> {
        self.is_good(shown_token(head))
    }

    /// 429 for an address that makes too many calls without a good token.
    pub(super) fn count_unless_known(&self, shown: &Shown) -> Result<(), HttpError> {
        match self.is_good(shown.token.as_deref())? {
            true => Ok(()),
            false => self.0.strangers.take(RateKey::of(None, shown.client)),
        }
    }

    fn is_good(&self, token: Option<&str>) -> Result<bool, HttpError> {
        let Some(token) = token else {
            return Ok(false);
        };
        Ok(self.known(token).map_err(store_error)?.is_some())
    }

    /// 429 for an address that calls without a token too often.
    pub(super) fn limit_stranger(&self, request: &Request) -> Result<(), HttpError> {
        self.0
            .strangers
            .take(RateKey::of(None, request.head.client))
    }
}

/// Who makes a call, as far as it shows.
pub struct Shown {
    token: Option<String>,
    client: IpAddr,
}

impl Shown {
    pub fn by(head: &RequestHead) -> Shown {
        Shown {
            token: shown_token(head).map(str::to_owned),
            client: head.client,
        }
    }
}

fn shown_token(head: &RequestHead) -> Option<&str> {
    let token = head.header("authorization")?.strip_prefix("Bearer ")?;
    Some(token).filter(|token| !token.is_empty())
}
