//! A strict stand-in for the paid providers: a real HTTP server on a loopback port, on threads of
//! its own, for every test folder.
//!
//! It speaks `POST /v1/audio/transcriptions`, `/v1/audio/speech`, `/v1/chat/completions`,
//! `/v1/embeddings` (OpenAI) and `/v1/messages` (Anthropic) as their references describe them.
//! What a real provider would refuse, and what it does not know, is answered in that provider's
//! error body and kept as a complaint, so that a test can end with [`Provider::assert_content`].
//! Sound that it gets is decoded, sound that it gives is real speech. It fails when told to.

#![allow(dead_code)] // Each test target uses its own part of this.

mod answer;
mod anthropic;
mod http;
mod openai;
pub mod speech;

use std::collections::{HashMap, VecDeque};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use answer::Out;
pub use answer::Reply;
use http::Request;

pub const OPENAI_KEY: &str = "sk-test-openai-0123456789";
pub const CLAUDE_KEY: &str = "sk-ant-test-0123456789";
/// Only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    Transcriptions,
    Speech,
    Chat,
    Embeddings,
    Messages,
}

/// How an answer goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The right answer, so much later.
    Delay(Duration),
    /// Nothing, until the other side gives up.
    Hang,
    /// An error of this status in the provider's body, with `Retry-After` where seconds are given.
    Status(u16, Option<u64>),
    /// So many bytes of the whole answer, head included; then the connection ends.
    Cut(usize),
    /// A success whose body is no sense.
    Garbage,
    /// The body in pieces of so many bytes with this pause before each.
    Drip(usize, Duration),
    /// Streams only: an error event after so many pieces of text.
    ErrorEvent(usize, &'static str),
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub route: Route,
    pub at: Instant,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// The body, or the fields of a form with the file left out.
    pub json: Value,
    /// Of a form.
    pub file: Vec<u8>,
    /// The file's name and type.
    pub file_name: String,
    pub file_type: String,
    /// What was answered; 0 for a connection left hanging or cut.
    pub status: u16,
}

#[derive(Default)]
struct State {
    faults: HashMap<Route, VecDeque<Fault>>,
    standing: HashMap<Route, Fault>,
    hears: VecDeque<String>,
    replies: VecDeque<Reply>,
    seen: Vec<Seen>,
    complaints: Vec<String>,
    open: HashMap<u64, TcpStream>,
    last_connection: u64,
    /// Bytes of a piece of sound, and the pause before each.
    speech_pace: Option<(usize, Duration)>,
    closed: bool,
    in_flight: HashMap<Route, (usize, usize)>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }
}

pub struct Provider {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl Provider {
    pub fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let provider = Provider {
            address,
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
            listening: Mutex::default(),
        };
        provider.listen(listener);
        provider
    }

    /// What an OpenAI-compatible `*_BASE_URL` is set to.
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What `ANTHROPIC_BASE_URL` is set to.
    pub fn anthropic_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next transcription says this; without any it says "hello".
    pub fn hears(&self, text: &str) {
        self.shared.lock().hears.push_back(text.to_owned());
    }

    /// The next chat answers this; without any it says "Hello there."
    pub fn replies(&self, reply: Reply) {
        self.shared.lock().replies.push_back(reply);
    }

    /// The next request of this route goes wrong; several are taken in order.
    pub fn fail_once(&self, route: Route, fault: Fault) {
        let mut state = self.shared.lock();
        state.faults.entry(route).or_default().push_back(fault);
    }

    /// Every request of this route goes wrong.
    pub fn fail(&self, route: Route, fault: Fault) {
        self.shared.lock().standing.insert(route, fault);
    }

    pub fn heal(&self, route: Route) {
        let mut state = self.shared.lock();
        state.standing.remove(&route);
        state.faults.remove(&route);
    }

    /// Sound is sent in pieces of so many bytes with this pause before each.
    pub fn pace_speech(&self, bytes: usize, pause: Duration) {
        self.shared.lock().speech_pace = Some((bytes, pause));
    }

    /// Connections are refused until [`Provider::reopen`]; open ones end.
    pub fn refuse(&self) {
        let connections: Vec<TcpStream> = {
            let mut state = self.shared.lock();
            state.closed = true;
            state.open.drain().map(|(_, stream)| stream).collect()
        };
        for stream in connections {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the accept that waits.
        let _ = TcpStream::connect(self.address);
        let thread = self.listening.lock().expect("no panic").take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    pub fn reopen(&self) {
        self.shared.lock().closed = false;
        self.listen(TcpListener::bind(self.address).expect("the same port"));
    }

    pub fn requests(&self, route: Route) -> Vec<Seen> {
        let state = self.shared.lock();
        let wanted = state.seen.iter().filter(|seen| seen.route == route);
        wanted.cloned().collect()
    }

    /// In the order in which they came.
    pub fn all_requests(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// Most requests of this route that were under way together.
    pub fn most_in_flight(&self, route: Route) -> usize {
        self.shared
            .lock()
            .in_flight
            .get(&route)
            .map_or(0, |both| both.1)
    }

    /// Waits until so many requests of this route have come.
    pub fn wait_for(&self, route: Route, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        while state.seen.iter().filter(|seen| seen.route == route).count() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{count} requests of {route:?} never came");
            let (back, _) = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(|broken| broken.into_inner());
            state = back;
        }
    }

    pub fn complaints(&self) -> Vec<String> {
        self.shared.lock().complaints.clone()
    }

    /// Panics with whatever a real provider would have refused.
    pub fn assert_content(&self) {
        let complaints = self.complaints();
        assert!(
            complaints.is_empty(),
            "the provider complains: {complaints:#?}"
        );
    }

    fn listen(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.lock().closed {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
        *self.listening.lock().expect("no panic") = Some(thread);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// One connection, kept alive as long as the client likes.
fn serve(shared: &Shared, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(kept) = stream.try_clone() else { return };
    let number = {
        let mut state = shared.lock();
        state.last_connection += 1;
        let number = state.last_connection;
        state.open.insert(number, kept);
        number
    };
    let mut reader = http::Reader::new(&stream);
    while let Some(request) = reader.next() {
        if !answer(shared, &stream, request) {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
    shared.lock().open.remove(&number);
}

/// Whether the connection goes on.
fn answer(shared: &Shared, stream: &TcpStream, request: Request) -> bool {
    let route = match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/v1/audio/transcriptions") => Route::Transcriptions,
        ("POST", "/v1/audio/speech") => Route::Speech,
        ("POST", "/v1/chat/completions") => Route::Chat,
        ("POST", "/v1/embeddings") => Route::Embeddings,
        ("POST", "/v1/messages") => Route::Messages,
        (method, path) => {
            let what = format!("{method} {path}: there is no such thing");
            shared.lock().complaints.push(what.clone());
            let body = openai::error_body("invalid_request_error", &what);
            return Out::new(stream, None).document(404, &[], &body);
        }
    };
    let (checked, fault, number) = {
        let mut state = shared.lock();
        let (checked, seen) = match route {
            Route::Transcriptions => openai::check_transcription(&request),
            Route::Speech => openai::check_speech(&request),
            Route::Chat => openai::check_chat(&request),
            Route::Embeddings => openai::check_embeddings(&request),
            Route::Messages => anthropic::check(&request),
        };
        if let Err(complaint) = &checked {
            state
                .complaints
                .push(format!("{route:?}: {}", complaint.what));
        }
        let number = state.seen.len();
        state.seen.push(seen);
        let queued = state.faults.get_mut(&route).and_then(VecDeque::pop_front);
        let fault = queued.or_else(|| state.standing.get(&route).cloned());
        let flight = state.in_flight.entry(route).or_default();
        flight.0 += 1;
        flight.1 = flight.1.max(flight.0);
        shared.changed.notify_all();
        (checked, fault, number)
    };
    let mut out = Out::new(stream, fault.as_ref());
    let goes_on = match (&checked, &fault) {
        (Err(complaint), _) => {
            let body = match route {
                Route::Messages => anthropic::error_body(complaint.kind, &complaint.what),
                _ => openai::error_body(complaint.kind, &complaint.what),
            };
            out.document(complaint.status, &[], &body)
        }
        (_, Some(Fault::Hang)) => {
            http::wait_for_end(stream);
            false
        }
        (_, Some(Fault::Status(status, retry_after))) => {
            let body = match route {
                Route::Messages => anthropic::error_of(*status),
                _ => openai::error_of(*status),
            };
            let retry = retry_after.map(|s| ("retry-after", s.to_string()));
            out.document(*status, retry.as_slice(), &body)
        }
        (_, Some(Fault::Garbage)) => out.bytes(
            200,
            "application/octet-stream",
            b"\x00\xfftruly no answer{{{",
        ),
        (Ok(()), _) => {
            if let Some(Fault::Delay(time)) = &fault {
                std::thread::sleep(*time);
            }
            match route {
                Route::Transcriptions => openai::transcribe(shared, number, &mut out),
                Route::Speech => openai::speak(shared, number, &mut out),
                Route::Chat => openai::chat(shared, number, &mut out),
                Route::Embeddings => openai::embed(shared, number, &mut out),
                Route::Messages => anthropic::answer(shared, number, &mut out),
            }
        }
    };
    let mut state = shared.lock();
    if let Some(flight) = state.in_flight.get_mut(&route) {
        flight.0 -= 1;
    }
    if let Some(seen) = state.seen.get_mut(number) {
        seen.status = out.status();
    }
    drop(state);
    shared.changed.notify_all();
    goes_on
}

/// Why a request is refused.
pub(crate) struct Complaint {
    status: u16,
    kind: &'static str,
    what: String,
}

pub(crate) type Checked = (Result<(), Complaint>, Seen);

pub(crate) fn refuse<T>(what: impl Into<String>) -> Result<T, Complaint> {
    Err(Complaint {
        status: 400,
        kind: "invalid_request_error",
        what: what.into(),
    })
}

pub(crate) fn seen(route: Route, request: &Request, json: Value) -> Seen {
    Seen {
        route,
        at: Instant::now(),
        headers: request.headers.clone(),
        json,
        file: Vec::new(),
        file_name: String::new(),
        file_type: String::new(),
        status: 0,
    }
}

/// Every field is known.
pub(crate) fn only(value: &Value, known: &[&str]) -> Result<(), Complaint> {
    let Some(object) = value.as_object() else {
        return refuse("the body must be a JSON object");
    };
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => refuse(format!("{name}: Extra inputs are not permitted")),
        None => Ok(()),
    }
}
