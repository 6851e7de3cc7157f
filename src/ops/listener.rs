//! The ops listener: answers how the box is while the loop is stuck, on threads of its own.
//!
//! tiny_http has no limits, so this is a loopback port and these rules hold: each answer leaves
//! in one write with `Connection: close` (a second segment would wait 43 ms for an
//! acknowledgement); when its accept thread dies of an error, a new server is made on the same
//! socket; bodies are refused; never TLS, never an upgrade.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tiny_http::{Method, Request, Server};

use super::health::Health;
use super::loop_watch::Beat;
use super::metrics::Registry;
use super::process::Process;
use super::watchdog::Notifier;
use crate::limits;

/// What the ops threads look at.
#[derive(Clone)]
pub struct OpsParts {
    pub metrics: Registry,
    pub beat: Beat,
    pub health: Health,
    pub notifier: Notifier,
    pub setup: Setup,
}

/// How to claim the box, shown at `/setup` while it is unclaimed. Clones share it.
#[derive(Clone, Default)]
pub struct Setup(Arc<Mutex<Option<SetupNote>>>);

#[derive(Clone)]
pub struct SetupNote {
    /// Plain text for a terminal: the code, the address to open, the QR code.
    pub text: String,
    pub valid_until: Instant,
}

impl Setup {
    pub fn show(&self, note: Option<SetupNote>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }

    fn text(&self) -> Option<String> {
        let note = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let note = note.as_ref()?;
        Some(if Instant::now() < note.valid_until {
            note.text.clone()
        } else {
            String::from("The pairing code has expired. Have a new one shown: magpie pair\n")
        })
    }
}

/// The running threads; dropping it stops them.
pub struct Ops {
    address: Option<SocketAddr>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Ops {
    /// Starts the watch thread, and with a listener the thread that answers on it.
    pub fn start(listener: Option<TcpListener>, parts: OpsParts) -> io::Result<Ops> {
        let mut ops = Ops {
            address: listener.as_ref().map(TcpListener::local_addr).transpose()?,
            stop: Arc::default(),
            threads: Vec::new(),
        };
        let (stop, watched) = (ops.stop.clone(), parts.clone());
        ops.spawn("ops-watch", move || watch(&watched, &stop))?;
        if let Some(listener) = listener {
            bound_writes(&listener)?;
            let stop = ops.stop.clone();
            let desk = Desk {
                parts,
                started: Instant::now(),
                bodies: Arc::default(),
                bodies_left: AtomicUsize::new(0),
            };
            ops.spawn("ops", move || serve(&listener, &desk, &stop))?;
        }
        Ok(ops)
    }

    /// Where it answers, with the real port.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = Builder::new()
            .name(name.into())
            .stack_size(limits::THREAD_STACK_BYTES)
            .spawn(work)?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Ops {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Looks at progress each second and feeds the watchdog while the loop turns.
fn watch(parts: &OpsParts, stop: &AtomicBool) {
    let feed = parts.notifier.feed_interval();
    let mut fed: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) {
        parts.health.look();
        let is_due = feed.is_some_and(|every| fed.is_none_or(|at| at.elapsed() >= every));
        if is_due && parts.beat.age() < limits::LOOP_STUCK {
            parts.notifier.feed();
            fed = Some(Instant::now());
        }
        let pause = feed.map_or(limits::WATCH_INTERVAL, |every| {
            (every / 2).min(limits::WATCH_INTERVAL)
        });
        std::thread::park_timeout(pause);
    }
}

/// A reader that takes nothing is given up. Accepted sockets inherit the listener's limit
/// (socket(7)); a limit on reading would end accept itself, so there is none.
fn bound_writes(listener: &TcpListener) -> io::Result<()> {
    let time = libc::timeval {
        tv_sec: limits::OPS_WRITE_TIMEOUT.as_secs() as libc::time_t,
        tv_usec: 0,
    };
    // SAFETY: the descriptor is open and the option takes a timeval of this size.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDTIMEO,
            (&raw const time).cast(),
            size_of::<libc::timeval>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn serve(listener: &TcpListener, desk: &Desk, stop: &AtomicBool) {
    let mut pause = limits::OPS_RETRY;
    while !stop.load(Ordering::Relaxed) {
        let server = listener
            .try_clone()
            .and_then(|copy| Server::from_listener(copy, None).map_err(io::Error::other));
        let error = match server {
            Ok(server) => match answer_all(&server, desk, stop, &mut pause) {
                Ok(()) => return,
                Err(error) => error,
            },
            Err(error) => error,
        };
        log::warn!(
            "event=ops_listener_restarts error={error:?} pause_ms={}",
            pause.as_millis()
        );
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(limits::OPS_RETRY_MAX);
    }
}

/// Until told to stop, or until accept fails.
fn answer_all(
    server: &Server,
    desk: &Desk,
    stop: &AtomicBool,
    pause: &mut Duration,
) -> io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let Some(request) = server.recv_timeout(Duration::from_millis(250))? else {
            continue;
        };
        *pause = limits::OPS_RETRY;
        if !desk.take(request) {
            log::error!("event=ops_listener_closed reason=\"too many unfinished bodies\"");
            return Ok(());
        }
    }
    Ok(())
}

struct Desk {
    parts: OpsParts,
    started: Instant,
    bodies: Arc<AtomicUsize>,
    bodies_left: AtomicUsize,
}

struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

impl Desk {
    /// `false` when this listener has been abused and must close.
    fn take(&self, request: Request) -> bool {
        match request.body_length() {
            None | Some(0) => {
                let answer = self.answer(&request);
                write(request, &answer);
                true
            }
            Some(length) => self.refuse_body(request, length),
        }
    }

    /// tiny_http reads a body to its end when the request is dropped, into a buffer of the stated
    /// length: that waits for the sender, so it happens on a thread of its own, and a huge
    /// length would end the process, so such a request is left where it is.
    fn refuse_body(&self, request: Request, length: usize) -> bool {
        let refusal = Answer::text("413 Content Too Large", "No route here takes a body.\n");
        let is_free = self.bodies.fetch_add(1, Ordering::Relaxed) < limits::OPS_BODIES_MAX;
        if length <= limits::OPS_BODY_BYTES_MAX && is_free {
            let bodies = self.bodies.clone();
            let waiting = Builder::new()
                .name("ops-body".into())
                .stack_size(limits::THREAD_STACK_BYTES)
                .spawn(move || {
                    write(request, &refusal);
                    bodies.fetch_sub(1, Ordering::Relaxed);
                });
            return waiting.is_ok();
        }
        self.bodies.fetch_sub(1, Ordering::Relaxed);
        std::mem::forget(request);
        self.bodies_left.fetch_add(1, Ordering::Relaxed) < limits::OPS_BODIES_LEFT_MAX
    }

    fn answer(&self, request: &Request) -> Answer {
        if !is_local_host(request) {
            return Answer::text(
                "421 Misdirected Request",
                "Ask for this port by localhost or by its address.\n",
            );
        }
        if !matches!(request.method(), Method::Get | Method::Head) {
            return Answer::text("405 Method Not Allowed", "Only GET is possible here.\n");
        }
        let path = request.url().split('?').next().unwrap_or("");
        match path {
            "/live" => Answer::text("200 OK", "alive\n"),
            "/ready" => self.ready(),
            "/metrics" => Answer {
                status: "200 OK",
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                body: self.parts.metrics.render() + &Process::read().render(),
            },
            "/debug/stats" => self.stats(),
            "/setup" => match self.parts.setup.text() {
                Some(text) => Answer::text("200 OK", &text),
                None => Answer::text("404 Not Found", "This box has been claimed.\n"),
            },
            _ => Answer::text(
                "404 Not Found",
                "There are /live, /ready, /metrics, /debug/stats and /setup.\n",
            ),
        }
    }

    fn ready(&self) -> Answer {
        let mut reasons = self.parts.health.unready();
        let age = self.parts.beat.age();
        if age >= limits::LOOP_STUCK {
            let told = format!("it has not turned for {} s", age.as_secs());
            reasons.push(("loop", told));
        }
        if reasons.is_empty() {
            return Answer::text("200 OK", "ready\n");
        }
        let told: String = reasons
            .iter()
            .map(|(part, why)| format!("{part}: {why}\n"))
            .collect();
        Answer::text("503 Service Unavailable", &told)
    }

    fn stats(&self) -> Answer {
        let values: serde_json::Map<String, serde_json::Value> = self
            .parts
            .metrics
            .values()
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        let stats = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_s": self.started.elapsed().as_secs(),
            "loop": {
                "beats": self.parts.beat.get(),
                "beat_age_ms": self.parts.beat.age().as_millis() as u64,
            },
            "process": Process::read(),
            "unready": self.parts.health.unready(),
            "warnings": self.parts.health.warnings(),
            "metrics": values,
        });
        Answer {
            status: "200 OK",
            content_type: "application/json",
            body: format!("{stats:#}\n"),
        }
    }
}

impl Answer {
    fn text(status: &'static str, body: &str) -> Answer {
        Answer {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.to_owned(),
        }
    }
}

/// A page rebound to this port (DNS rebinding) brings a name along that is not ours; an address
/// or `localhost` cannot be rebound.
fn is_local_host(request: &Request) -> bool {
    let mut hosts = request
        .headers()
        .iter()
        .filter(|header| header.field.equiv("Host"));
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    is_local_name(host.value.as_str())
}

fn is_local_name(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// Written past tiny_http's own answer, which would leave out `Connection: close` and cut the
/// answer into segments.
fn write(request: Request, answer: &Answer) {
    let is_head = *request.method() == Method::Head;
    let mut bytes = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.content_type,
        answer.body.len()
    );
    if !is_head {
        bytes.push_str(&answer.body);
    }
    let mut writer = request.into_writer();
    // Who hung up needs no answer.
    let _ = writer
        .write_all(bytes.as_bytes())
        .and_then(|()| writer.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_answered() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:9090", true),
            ("127.0.0.1:9090", true),
            ("[::1]:9090", true),
            ("[::1]", true),
            ("192.168.1.9", true),
            ("evil.example", false),
            ("evil.example:9090", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_local_name(host), expected, "{host:?}");
        }
    }
}
