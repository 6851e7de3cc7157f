//! Answers that are read as they come, by hyper's client on the loop.
//!
//! The reader pulls: nothing between the server's socket and it holds more than a buffer. Who
//! drops the body ends the connection, and with it whatever the server is paid for.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use super::connect::{Connection, connect};
use super::pool::Key;
use super::proxy::Proxy;
use super::{CallError, CallLimits, CallRequest, Outbound, Target};
use crate::limits::STREAMS_MAX;
use crate::ops::{Gauge, Registry};

pub struct StreamResponse {
    pub status: http::StatusCode,
    pub headers: http::HeaderMap,
    pub body: StreamBody,
}

/// The rest of an answer. Dropping it ends the call at once.
pub struct StreamBody {
    incoming: Incoming,
    connection: Option<Connection>,
    key: Key,
    outbound: Outbound,
    idle: Duration,
    deadline: Instant,
    _place: Place,
}

pub(super) struct Gauges {
    open: Rc<Cell<usize>>,
    shown: Gauge,
}

impl Gauges {
    pub(super) fn new(metrics: &Registry) -> Gauges {
        Gauges {
            open: Rc::default(),
            shown: metrics.gauge("outbound_streams", "Streams of answers that are read.", &[]),
        }
    }

    fn take(&self) -> Result<Place, CallError> {
        if self.open.get() >= STREAMS_MAX {
            return Err(CallError::Busy);
        }
        self.open.set(self.open.get() + 1);
        self.shown.set(self.open.get() as i64);
        Ok(Place(self.open.clone(), self.shown.clone()))
    }
}

/// One of [`STREAMS_MAX`] places, free again when dropped.
struct Place(Rc<Cell<usize>>, Gauge);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
        self.1.set(self.0.get() as i64);
    }
}

pub(super) async fn call(
    outbound: &Outbound,
    target: Target,
    proxy: Option<Proxy>,
    request: CallRequest,
) -> Result<StreamResponse, CallError> {
    let place = outbound.0.gauges.take()?;
    let deadline = Instant::now() + request.limits.total;
    let key = Key::new(&target, proxy.as_ref());
    let begun = async {
        if let Some(connection) = outbound.0.pool.take(&key) {
            match ask(connection, &target, &request).await {
                // The server had closed the kept connection: no byte of an answer came.
                Err(CallError::Connect(_)) => {}
                other => return other,
            }
        }
        let limit = request.limits.connect;
        let connection = connect(outbound, &target, proxy.as_ref(), limit).await?;
        match ask(connection, &target, &request).await {
            // There is a way to the server; what it does with it is its own fault.
            Err(CallError::Connect(why)) => Err(CallError::Broken(why)),
            other => other,
        }
    };
    let (connection, answer) = timeout_at(deadline, begun)
        .await
        .map_err(|_| CallError::Timeout("total"))??;
    let (parts, incoming) = answer.into_parts();
    Ok(StreamResponse {
        status: parts.status,
        headers: parts.headers,
        body: StreamBody {
            incoming,
            connection: Some(connection),
            key,
            outbound: outbound.clone(),
            idle: request.limits.idle,
            deadline,
            _place: place,
        },
    })
}

type Asked = Result<(Connection, http::Response<Incoming>), CallError>;

async fn ask(mut connection: Connection, target: &Target, request: &CallRequest) -> Asked {
    let CallLimits { first_byte, .. } = request.limits;
    let outgoing = outgoing(target, request)?;
    let answer = timeout(first_byte, connection.sender.send_request(outgoing))
        .await
        .map_err(|_| CallError::Timeout("first byte"))?;
    match answer {
        Ok(answer) => Ok((connection, answer)),
        Err(error) if error.is_parse() || error.is_parse_status() => {
            Err(CallError::Broken("it is no HTTP".into()))
        }
        Err(_) => Err(CallError::Connect(
            "the connection ended before an answer".into(),
        )),
    }
}

fn outgoing(target: &Target, request: &CallRequest) -> Result<Request<Full<Bytes>>, CallError> {
    let mut outgoing = Request::builder()
        .method(request.method.clone())
        .uri(&target.path_and_query)
        .body(Full::new(request.body.clone()))
        .map_err(|_| CallError::Invalid("the URL is malformed".into()))?;
    *outgoing.headers_mut() = request.headers.clone();
    let host = HeaderValue::from_str(&target.authority())
        .map_err(|_| CallError::Invalid("the host cannot stand in a header".into()))?;
    outgoing.headers_mut().insert(header::HOST, host);
    Ok(outgoing)
}

impl StreamBody {
    /// The next piece; `None` at the end, after which the connection serves again.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            let until = (Instant::now() + self.idle).min(self.deadline);
            let frame = timeout_at(until, self.incoming.frame())
                .await
                .map_err(|_| {
                    let total = until == self.deadline;
                    CallError::Timeout(if total { "total" } else { "idle" })
                })?;
            match frame {
                None => {
                    self.finish();
                    return Ok(None);
                }
                Some(Ok(frame)) => {
                    // Trailers tell nothing that anybody asked for.
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Some(Err(_)) => {
                    self.connection = None;
                    return Err(CallError::Broken("the connection ended within it".into()));
                }
            }
        }
    }

    /// All of it, at most `bytes_max`.
    pub async fn collect(mut self, bytes_max: usize) -> Result<Bytes, CallError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.chunk().await? {
            if whole.len() + piece.len() > bytes_max {
                return Err(CallError::TooLarge);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }

    fn finish(&mut self) {
        if let Some(connection) = self.connection.take()
            && !connection.sender.is_closed()
        {
            self.outbound.0.pool.give_back(self.key.clone(), connection);
        }
    }
}
