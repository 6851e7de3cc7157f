//! One request from its parsed head to its answer: checks, access, handler, finishing.

use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};

use super::connection::{Connection, Phase};
use super::framing::Framing;
use super::guard::{self, Cors};
use super::request::BodyReader;
use super::router::{self, Found, RouteCell};
use super::target::{TargetError, parse_path, parse_query};
use super::{
    Access, Asked, Body, Caller, HeaderValue, HttpError, Method, Request, RequestHead, Response,
    Role, Shared, StatusCode, header, socket,
};
use crate::ops::loop_watch;
use crate::{limits, scope};

/// Answers one request of a connection. Never fails: what goes wrong becomes an answer.
pub(super) async fn answer(
    shared: Rc<Shared>,
    connection: Rc<Connection>,
    request: hyper::Request<Incoming>,
) -> hyper::Response<OutBody> {
    let started = Instant::now();
    let (parts, incoming) = request.into_parts();
    let has_body = !hyper::body::Body::is_end_stream(&incoming);
    connection.enter(if has_body {
        Phase::Body
    } else {
        Phase::Handling
    });
    let length = body_length(&parts.headers, has_body);
    let framing = connection.scan.borrow().framing();
    let (client, tls) = shared.guard.client(&parts.headers, connection.peer);
    let mut peer = connection.peer;
    peer.tls = tls;
    let head = RequestHead {
        id: request_id(),
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or("").to_owned(),
        headers: parts.headers,
        peer,
        client,
    };
    let body = BodyReader {
        incoming: has_body.then_some(incoming),
        connection: connection.clone(),
        clock: shared.clock.clone(),
        gap: shared.table.limits.body_gap,
        budget: shared.bodies.clone(),
        received: 0,
        started: None,
        held: 0,
    };
    let about = About::of(&head, &shared);
    let id = head.id.clone();
    let checked = check(&head, &parts.uri, framing);
    let work = async {
        match checked {
            Err(error) => (Err(error), None),
            Ok(segments) => dispatch(&shared, head, segments, body).await,
        }
    };
    let (result, route) = scope::within(Some(id), work).await;
    let mut response = result.unwrap_or_else(|error| about.render(&shared, &error));
    if framing == Framing::Unseen && length.is_none() {
        // Whether this request stated two lengths is not known, so none may follow it.
        close_after(&mut response);
    }
    connection.scan.borrow_mut().next_request(length);
    finish(&shared, &about, &mut response);
    shared.count(&about.method, route, started.elapsed());
    send(&shared, &connection, &about, response)
}

/// What of a request is still needed when its answer is finished.
struct About {
    id: Rc<str>,
    method: Method,
    path: String,
    query: String,
    cors: Cors,
    accepts_gzip: bool,
}

impl About {
    fn of(head: &RequestHead, shared: &Shared) -> About {
        About {
            id: head.id.clone(),
            method: head.method.clone(),
            path: head.path.clone(),
            query: head.query.clone(),
            cors: cors(shared, head),
            accepts_gzip: super::compress::accepts_gzip(&head.headers),
        }
    }

    fn render(&self, shared: &Shared, error: &HttpError) -> Response {
        render(shared, (&self.method, &self.path, &self.query), error)
    }
}

fn cors(shared: &Shared, head: &RequestHead) -> Cors {
    if shared.router.is_open_to_pages(&head.path) {
        return Cors::Anybody;
    }
    shared.guard.cors(&head.headers)
}

/// What the head alone decides.
fn check(head: &RequestHead, uri: &http::Uri, framing: Framing) -> Result<Vec<String>, HttpError> {
    if head.path.len() + head.query.len() > limits::URI_BYTES_MAX {
        return Err(HttpError::new(
            StatusCode::URI_TOO_LONG,
            "INVALID_REQUEST",
            "The path and query may have 8192 bytes; send long values in a body.",
        ));
    }
    if framing == Framing::Contradictory {
        return Err(HttpError::invalid(
            "Content-Length and Transfer-Encoding were both sent; send one of them.",
        ));
    }
    let host = head.header("host");
    if let Some(authority) = uri.authority()
        && host.is_none_or(|host| !host.eq_ignore_ascii_case(authority.as_str()))
    {
        return Err(HttpError::invalid(
            "The request names another host than its Host header; this box is no proxy.",
        ));
    }
    let bad = |error: TargetError| HttpError::invalid(error.message());
    parse_query(&head.query).map_err(bad)?;
    parse_path(&head.path).map_err(bad)
}

type Dispatched = (Result<Response, HttpError>, Option<&'static str>);

async fn dispatch(
    shared: &Rc<Shared>,
    head: RequestHead,
    segments: Vec<String>,
    body: BodyReader,
) -> Dispatched {
    if let Err(error) = shared.guard.check_host(&head.headers, body.connection.peer) {
        return (Err(error), None);
    }
    if let Some(preflight) = preflight(shared, &head) {
        return (preflight, None);
    }
    let (route, params) = match shared.router.find(&head.method, &segments) {
        Found::Route { route, params } => (route, params),
        Found::OtherMethods(allow) => return (Ok(other_method(shared, &head, &allow)), None),
        Found::Nothing => return (Err(router::not_found(&head.path)), None),
    };
    let pattern = route.route.borrow().pattern;
    let admitted = admit(shared, &head, &route, &body.connection);
    let result = match admitted {
        Err(error) => Err(error),
        Ok(caller) => {
            let request = Request {
                head,
                caller,
                params,
                body,
            };
            handle(&route, pattern, request).await
        }
    };
    (result, Some(pattern))
}

/// Origin, identity, rate and access, in this order.
fn admit(
    shared: &Shared,
    head: &RequestHead,
    route: &RouteCell,
    connection: &Connection,
) -> Result<Caller, HttpError> {
    if !shared.router.is_open_to_pages(&head.path) {
        shared
            .guard
            .check_origin(&head.method, &head.headers, connection.peer)?;
    }
    let caller = shared.gatekeeper.identify(head);
    let route = route.route.borrow();
    if route.counted {
        let key = super::rate::RateKey::of(caller.device.as_ref(), head.client);
        shared.rate.take(key)?;
    }
    let needed = match route.access {
        Access::Public => Role::Nobody,
        Access::Member => Role::Device,
        Access::Admin => Role::Owner,
    };
    if caller.role >= needed {
        return Ok(caller);
    }
    Err(if caller.role == Role::Nobody {
        HttpError::new(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "This needs a paired device: send its token as Authorization: Bearer.",
        )
    } else {
        HttpError::new(
            StatusCode::FORBIDDEN,
            "FORBIDDEN",
            "This needs the owner or an admin device.",
        )
    })
}

/// Runs the handler; a panic costs this request only.
async fn handle(
    route: &RouteCell,
    pattern: &'static str,
    request: Request,
) -> Result<Response, HttpError> {
    let connection = request.body.connection.clone();
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| (route.handler)(request)));
    let result = match caught {
        Ok(work) => {
            let mut work = loop_watch::timed(pattern, work);
            std::future::poll_fn(move |cx| {
                match std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(&mut work).poll(cx))) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
                    Err(_) => Poll::Ready(Err(())),
                }
            })
            .await
        }
        Err(_) => Err(()),
    };
    connection.enter(Phase::Writing);
    result.unwrap_or_else(|()| {
        log::error!("event=handler_panicked route={pattern}");
        Err(HttpError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL_ERROR",
            "The box failed at this request and wrote why to its log; other requests go on.",
        ))
    })
}

/// The answer to OPTIONS, whether asked by a browser before a call or by a person.
fn preflight(shared: &Shared, head: &RequestHead) -> Option<Result<Response, HttpError>> {
    if head.method != Method::OPTIONS
        || !head
            .headers
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        return None;
    }
    let mut response = Response::empty(StatusCode::NO_CONTENT);
    let may = guard::preflight_headers(&mut response.headers, &cors(shared, head));
    Some(may.map(|()| response).ok_or_else(|| {
        HttpError::new(
            StatusCode::FORBIDDEN,
            "FORBIDDEN",
            "Pages of this origin may not call this box; list it in ALLOWED_ORIGINS.",
        )
    }))
}

fn other_method(shared: &Shared, head: &RequestHead, allow: &str) -> Response {
    let response = if head.method == Method::OPTIONS {
        Response::empty(StatusCode::NO_CONTENT)
    } else {
        let error = HttpError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "INVALID_REQUEST",
            format!(
                "{} is not possible here; use one of {allow}.",
                head.method.as_str().chars().take(20).collect::<String>()
            ),
        );
        render(shared, (&head.method, &head.path, &head.query), &error)
    };
    match HeaderValue::from_str(allow) {
        Ok(allow) => response.with(header::ALLOW, allow),
        Err(_) => response,
    }
}

fn render(
    shared: &Shared,
    (method, path, query): (&Method, &str, &str),
    error: &HttpError,
) -> Response {
    let target = match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    let target = target.as_str();
    let mut response = shared.router.shape_of(path)(error, &Asked { method, target });
    if let Some(seconds) = error.retry_after_s {
        response
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if error.status == StatusCode::UNAUTHORIZED {
        response
            .headers
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if matches!(
        error.status,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
    ) {
        close_after(&mut response);
    }
    response
}

fn close_after(response: &mut Response) {
    response
        .headers
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// Headers that every answer gets.
fn finish(shared: &Shared, about: &About, response: &mut Response) {
    if response.status != StatusCode::SWITCHING_PROTOCOLS {
        response.secure();
        if about.accepts_gzip {
            super::compress::gzip(response);
        }
    }
    guard::cors_headers(&mut response.headers, &about.cors);
    if let Ok(id) = HeaderValue::from_str(&about.id) {
        response.headers.insert("x-request-id", id);
    }
    if shared.is_draining() && response.status != StatusCode::SWITCHING_PROTOCOLS {
        close_after(response);
    }
}

/// Hands the answer to hyper, and notes what the connection becomes by it.
fn send(
    shared: &Shared,
    connection: &Rc<Connection>,
    about: &About,
    mut response: Response,
) -> hyper::Response<OutBody> {
    let refused = match &response.body {
        Body::Upgrade(_) => !shared.table.has_room_for_socket(connection.peer.tls),
        Body::Events(_) => !shared.table.has_room_for_stream(),
        _ => false,
    };
    if refused {
        let error = HttpError::busy(
            "The box holds as many live connections as it can; try again in a few seconds.",
            5,
        );
        response = about.render(shared, &error);
    }
    match &mut response.body {
        Body::Upgrade(_) => {
            if let Body::Upgrade(task) = std::mem::replace(&mut response.body, Body::Empty) {
                connection.set_upgrade(task);
            }
        }
        Body::Events(stream) => {
            connection.enter(Phase::Streaming);
            socket::small_kernel_buffers(connection.fd());
            shared.table.streams.borrow_mut().push(stream.served());
        }
        _ => connection.enter(Phase::Writing),
    }
    if about.method == Method::HEAD {
        keep_length(&mut response);
    }
    let mut out = hyper::Response::new(OutBody {
        body: response.body,
        connection: connection.clone(),
    });
    *out.status_mut() = response.status;
    *out.headers_mut() = response.headers;
    out
}

/// HEAD tells the length GET would have.
fn keep_length(response: &mut Response) {
    let length = match &response.body {
        Body::Bytes(bytes) => bytes.len() as u64,
        Body::File(file) => file.remaining(),
        Body::Pieces(_) => return response.body = Body::Empty,
        Body::Empty | Body::Events(_) | Body::Upgrade(_) => return,
    };
    response
        .headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response.body = Body::Empty;
}

/// Bytes of the body as stated; `None` for a chunked one.
fn body_length(headers: &http::HeaderMap, has_body: bool) -> Option<u64> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    if !has_body {
        return Some(0);
    }
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn request_id() -> Rc<str> {
    use std::cell::Cell;
    thread_local! {
        static NEXT: Cell<u64> = Cell::new(getrandom::u64().unwrap_or(0));
    }
    // A Weyl sequence scrambled by a multiply: unique for 2^64 requests, and not worth guessing.
    let number = NEXT.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
    NEXT.set(number);
    let mixed = (number ^ (number >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    format!("{:012x}", (mixed ^ (mixed >> 32)) & 0xFFFF_FFFF_FFFF).into()
}

/// The answer's body as hyper pulls it; its drop is the end of the exchange.
pub(super) struct OutBody {
    body: Body,
    connection: Rc<Connection>,
}

impl hyper::body::Body for OutBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        match &mut this.body {
            Body::Empty | Body::Upgrade(_) => Poll::Ready(None),
            Body::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                this.body = Body::Empty;
                if bytes.is_empty() {
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Body::Events(stream) => stream
                .poll_chunk(cx)
                .map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk)))),
            Body::Pieces(pieces) => pieces
                .poll_chunk(cx)
                .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
            Body::File(file) => file
                .poll_chunk(cx)
                .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Body::Empty | Body::Upgrade(_) => true,
            Body::Bytes(bytes) => bytes.is_empty(),
            Body::Events(_) | Body::Pieces(_) => false,
            Body::File(file) => file.remaining() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Body::Empty | Body::Upgrade(_) => SizeHint::with_exact(0),
            Body::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Events(_) | Body::Pieces(_) => SizeHint::default(),
            Body::File(file) => SizeHint::with_exact(file.remaining()),
        }
    }
}

impl Drop for OutBody {
    fn drop(&mut self) {
        self.connection.enter(Phase::Idle);
    }
}

impl Shared {
    fn count(&self, method: &Method, route: Option<&'static str>, took: Duration) {
        let endpoint = route.unwrap_or("none");
        // Only the usual methods have a series, so that nobody can invent thousands.
        let method = match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            Method::OPTIONS => "OPTIONS",
            _ => "other",
        };
        let mut series = self.series.borrow_mut();
        let (requests, durations) = series.entry((method, endpoint)).or_insert_with(|| {
            let labels = [("method", method), ("endpoint", endpoint)];
            (
                self.metrics.counter(
                    "voice_memory_requests_total",
                    "HTTP requests by method and route.",
                    &labels,
                ),
                self.metrics.histogram(
                    "voice_memory_request_duration_seconds",
                    "Time from a request's head to its answer's head.",
                    &labels,
                ),
            )
        });
        requests.inc();
        durations.observe(took);
    }
}
