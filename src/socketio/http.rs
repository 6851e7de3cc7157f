//! The requests of Engine.IO: handshakes, polls, posts, and the WebSocket that takes over.

use std::rc::Rc;

use serde_json::json;

use super::polling::{Polled, Polling};
use super::session::{Farewell, Session, Transport, stranger_bytes_max};
use super::socket::random_id;
use super::wire::Wire;
use super::{DisconnectReason, Endpoint, Io, SocketId, engine};
use crate::limits;
use crate::server::websocket::{self, UpgradeOptions};
use crate::server::{
    Access, Asked, HeaderValue, HttpError, Method, Request, Response, Router, StatusCode, header,
};

impl Io {
    /// `path` with the slash at its end, as clients ask for it.
    pub fn routes(&self, router: &mut Router, path: &'static str) {
        router.errors_of(path, error_shape);
        router.open_to_pages(path);
        // The last three are refused in the protocol's own words.
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ] {
            let endpoint = self.endpoint.clone();
            let handler = move |request| answer(endpoint.clone(), request);
            router
                .route(method, path, Access::Public, handler)
                .uncounted();
        }
    }
}

/// Why a request is refused, by the protocol's numbers.
#[derive(Clone, Copy)]
enum Refusal {
    TransportUnknown = 0,
    SessionUnknown = 1,
    HandshakeMethod = 2,
    BadRequest = 3,
    Forbidden = 4,
    Version = 5,
}

impl Refusal {
    fn response(self, status: StatusCode) -> Response {
        let message = match self {
            Refusal::TransportUnknown => "Transport unknown",
            Refusal::SessionUnknown => "Session ID unknown",
            Refusal::HandshakeMethod => "Bad handshake method",
            Refusal::BadRequest => "Bad request",
            Refusal::Forbidden => "Forbidden",
            Refusal::Version => "Unsupported protocol version",
        };
        Response::json(status, &json!({"code": self as u8, "message": message}))
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Response {
        refusal.response(StatusCode::BAD_REQUEST)
    }
}

fn error_shape(error: &HttpError, _: &Asked) -> Response {
    match error.status {
        StatusCode::FORBIDDEN => Refusal::Forbidden.response(error.status),
        status => Refusal::BadRequest.response(status),
    }
}

async fn answer(endpoint: Rc<Endpoint>, request: Request) -> Result<Response, HttpError> {
    let is_websocket = match request.query("transport").as_deref() {
        Some("websocket") => true,
        Some("polling") => false,
        _ => return Ok(Refusal::TransportUnknown.into()),
    };
    let method = request.head.method.clone();
    let is_upgrade = method == Method::GET && request.head.header("upgrade").is_some();
    if let Some(sid) = request.query("sid") {
        let session = endpoint.polling.borrow().get(sid.as_str()).cloned();
        let Some(session) = session else {
            return Ok(Refusal::SessionUnknown.into());
        };
        return match (is_websocket, session.transport(), method) {
            (true, _, _) if is_upgrade => take_over(&endpoint, request, session),
            (false, Transport::Polling(polling), Method::GET) => poll(session, polling).await,
            (false, Transport::Polling(polling), Method::POST) => {
                post(request, session, polling).await
            }
            _ => Ok(Refusal::BadRequest.into()),
        };
    }
    if method != Method::GET {
        return Ok(Refusal::HandshakeMethod.into());
    }
    if is_websocket && !is_upgrade {
        return Ok(Refusal::BadRequest.into());
    }
    if request.query("EIO").as_deref() != Some("4") {
        return Ok(Refusal::Version.into());
    }
    let sid = random_id()
        .ok_or_else(|| HttpError::busy("The box has no random numbers yet; try again.", 1))?;
    if is_websocket {
        return open_websocket(&endpoint, request, sid);
    }
    open_polling(&endpoint, sid)
}

/// The packet that opens a session.
fn open_text(endpoint: &Endpoint, sid: &SocketId, upgrades: &[&str]) -> String {
    let told = json!({
        "sid": &**sid,
        "upgrades": upgrades,
        "pingInterval": endpoint.options.ping_interval.as_millis() as u64,
        "pingTimeout": endpoint.options.ping_timeout.as_millis() as u64,
        "maxPayload": endpoint.options.max_payload,
    });
    format!("0{told}")
}

fn upgrade_options(endpoint: &Endpoint, message_bytes_max: usize) -> UpgradeOptions {
    UpgradeOptions {
        message_bytes_max,
        queue_bytes_max: endpoint.options.queue_bytes_max,
        queue_messages_max: endpoint.options.queue_messages_max,
    }
}

fn open_websocket(
    endpoint: &Rc<Endpoint>,
    request: Request,
    sid: SocketId,
) -> Result<Response, HttpError> {
    let options = upgrade_options(endpoint, stranger_bytes_max(&endpoint.options));
    let endpoint = endpoint.clone();
    websocket::upgrade(request, options, move |wire| {
        wire.send(websocket::Frame::text(&open_text(&endpoint, &sid, &[])));
        Wire::of(Session::open(&endpoint, Transport::WebSocket(wire.clone())))
    })
}

fn open_polling(endpoint: &Rc<Endpoint>, sid: SocketId) -> Result<Response, HttpError> {
    if endpoint.polling_count.get() >= limits::ENGINE_POLLING_SESSIONS_MAX {
        return Err(HttpError::busy(
            "The box holds as many polling sessions as it can; use a WebSocket or try again.",
            5,
        ));
    }
    let told = open_text(endpoint, &sid, &["websocket"]);
    let polling = Rc::new(Polling::new(sid, &endpoint.options));
    Session::open(endpoint, Transport::Polling(polling));
    Ok(payload(told))
}

fn take_over(
    endpoint: &Endpoint,
    request: Request,
    session: Rc<Session>,
) -> Result<Response, HttpError> {
    let options = upgrade_options(endpoint, session.message_bytes_max());
    websocket::upgrade(request, options, move |wire| Wire::beside(session, wire))
}

async fn poll(session: Rc<Session>, polling: Rc<Polling>) -> Result<Response, HttpError> {
    let Some(polled) = Polled::begin(&session, &polling) else {
        session.end(DisconnectReason::TransportClose, Farewell::Abrupt);
        return Ok(Refusal::BadRequest.into());
    };
    Ok(payload(polled.await))
}

async fn post(
    mut request: Request,
    session: Rc<Session>,
    polling: Rc<Polling>,
) -> Result<Response, HttpError> {
    if polling.is_posted.replace(true) {
        session.end(DisconnectReason::TransportClose, Farewell::Abrupt);
        return Ok(Refusal::BadRequest.into());
    }
    let _posted = Posted(polling.clone());
    let body = request.body(session.message_bytes_max()).await?;
    let text = std::str::from_utf8(&body).ok();
    let Some(packets) = text.and_then(|text| engine::parse_payload(text).ok()) else {
        session.end(DisconnectReason::TransportClose, Farewell::Abrupt);
        return Ok(Refusal::BadRequest.into());
    };
    for packet in packets {
        let resumed = polling.resumed.notified();
        if session.is_paused() && session.is_open() {
            resumed.await;
        }
        session.take(packet);
    }
    let ok = Response::bytes(StatusCode::OK, "text/html", &b"ok"[..]);
    Ok(unstored(ok))
}

struct Posted(Rc<Polling>);

impl Drop for Posted {
    fn drop(&mut self) {
        self.0.is_posted.set(false);
    }
}

fn payload(text: String) -> Response {
    unstored(Response::bytes(
        StatusCode::OK,
        "text/plain; charset=UTF-8",
        text,
    ))
}

fn unstored(response: Response) -> Response {
    response.with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
