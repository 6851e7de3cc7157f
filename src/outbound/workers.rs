//! The `out-N` threads: one one-shot call each, by ureq, started when needed and gone when idle.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use ureq::config::RedirectAuthHeaders;

use super::proxy::Proxy;
use super::{CallError, CallLimits, CallRequest, CallResponse};
use crate::limits;
use crate::ops::{Counter, Gauge, Registry};

const REDIRECTS_MAX: u32 = 3;
const BUFFER_BYTES: usize = 4 * 1024;

/// Does the work, unless nobody waits for it any more.
type Work = Box<dyn FnOnce() + Send>;

pub(super) struct Workers {
    shared: Arc<Shared>,
    calls: Counter,
}

struct Shared {
    state: Mutex<State>,
    more: Condvar,
    running: Gauge,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    threads: usize,
    idle: usize,
    closing: bool,
}

impl Workers {
    pub(super) fn new(metrics: &Registry) -> Workers {
        Workers {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                more: Condvar::new(),
                running: metrics.gauge("outbound_threads", "Threads for one-shot calls.", &[]),
            }),
            calls: metrics.counter("outbound_calls_total", "One-shot calls begun.", &[]),
        }
    }

    pub(super) async fn call(
        &self,
        request: CallRequest,
        proxy: Option<Proxy>,
    ) -> Result<CallResponse, CallError> {
        self.calls.inc();
        self.run(move || call(request, proxy.as_ref())).await?
    }

    /// Runs `work` on a thread. Dropping the future before it began keeps it from beginning.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CallError> {
        let (sender, receiver) = oneshot::channel();
        self.queue(Box::new(move || {
            if !sender.is_closed() {
                let _ = sender.send(work());
            }
        }))?;
        receiver
            .await
            .map_err(|_| CallError::Broken("the call was given up".into()))
    }

    fn queue(&self, work: Work) -> Result<(), CallError> {
        let mut state = self.shared.lock();
        if state.waiting.len() >= limits::CALLS_WAITING_MAX {
            return Err(CallError::Busy);
        }
        state.waiting.push_back(work);
        if state.idle >= state.waiting.len() || state.threads >= limits::CALLS_RUNNING_MAX {
            self.shared.more.notify_one();
            return Ok(());
        }
        state.threads += 1;
        self.shared.running.set(state.threads as i64);
        let name = format!("out-{}", state.threads);
        let shared = self.shared.clone();
        drop(state);
        let started = std::thread::Builder::new()
            .name(name)
            .stack_size(limits::THREAD_STACK_BYTES)
            .spawn(move || shared.work_until_idle());
        if let Err(error) = started {
            let mut state = self.shared.lock();
            state.threads -= 1;
            if state.threads == 0 {
                state.waiting.pop_back();
                return Err(CallError::Connect(format!("no thread: {error}")));
            }
        }
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closing = true;
        state.waiting.clear();
        self.shared.more.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_until_idle(&self) {
        while let Some(work) = self.next() {
            // A panic drops the sender of the answer, which tells who waits.
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    }

    /// `None` after ten seconds without work, counted out already.
    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                return Some(work);
            }
            state.idle += 1;
            let (back, waited) = self
                .more
                .wait_timeout(state, limits::CALL_THREAD_IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if state.closing || (waited.timed_out() && state.waiting.is_empty()) {
                state.threads -= 1;
                self.running.set(state.threads as i64);
                return None;
            }
        }
    }
}

fn call(request: CallRequest, proxy: Option<&Proxy>) -> Result<CallResponse, CallError> {
    let agent = agent(&request.limits, proxy)?;
    let mut outgoing = http::Request::builder()
        .method(request.method)
        .uri(request.url)
        .body(request.body.to_vec())
        .map_err(|_| CallError::Invalid("the URL is malformed".into()))?;
    *outgoing.headers_mut() = request.headers;
    let answer = agent.run(outgoing).map_err(told)?;
    let (parts, mut body) = answer.into_parts();
    let bytes_max = request.limits.answer_bytes_max;
    let bytes = body
        .with_config()
        // One byte more than allowed, so that a document of just the bound is no error.
        .limit(bytes_max as u64 + 1)
        .read_to_vec()
        .map_err(told)?;
    if bytes.len() > bytes_max {
        return Err(CallError::TooLarge);
    }
    Ok(CallResponse {
        status: parts.status,
        headers: parts.headers,
        body: bytes.into(),
    })
}

/// An agent a call: nothing is kept between calls but what the operating system keeps.
fn agent(limits: &CallLimits, proxy: Option<&Proxy>) -> Result<ureq::Agent, CallError> {
    let proxy = proxy
        .map(|proxy| ureq::Proxy::new(&proxy.url()))
        .transpose()
        .map_err(|_| CallError::Invalid("the proxy's URL is malformed".into()))?;
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(REDIRECTS_MAX)
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .proxy(proxy)
        .input_buffer_size(BUFFER_BYTES)
        .output_buffer_size(BUFFER_BYTES)
        .timeout_global(Some(limits.total))
        .timeout_connect(Some(limits.connect))
        .timeout_send_body(Some(limits.total))
        .timeout_recv_response(Some(limits.first_byte))
        .timeout_per_read(Some(limits.idle.max(Duration::from_millis(1))))
        .build();
    Ok(config.into())
}

/// In our words, without anything of the request in them.
fn told(error: ureq::Error) -> CallError {
    use ureq::Timeout;
    match error {
        ureq::Error::Timeout(limit) => CallError::Timeout(match limit {
            Timeout::Connect | Timeout::Resolve => "connect",
            Timeout::RecvResponse => "first byte",
            Timeout::Global | Timeout::PerCall => "total",
            _ => "idle",
        }),
        ureq::Error::HostNotFound => CallError::Connect("the name is not known".into()),
        ureq::Error::ConnectionFailed => CallError::Connect("no address answered".into()),
        ureq::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => CallError::Connect(error.to_string()),
            std::io::ErrorKind::TimedOut => CallError::Timeout("idle"),
            _ => CallError::Broken(error.to_string()),
        },
        ureq::Error::Tls(why) => CallError::Tls(why.to_owned()),
        ureq::Error::Rustls(error) => CallError::Tls(error.to_string()),
        ureq::Error::BodyExceedsLimit(_) => CallError::TooLarge,
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            CallError::Invalid("the URL is malformed".into())
        }
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => {
            CallError::Broken("it redirects too often".into())
        }
        ureq::Error::ConnectProxyFailed(_) => CallError::Connect("the proxy refused".into()),
        ureq::Error::Protocol(_) => CallError::Broken("it is no HTTP".into()),
        _ => CallError::Broken("it could not be read".into()),
    }
}
