//! One accepted connection: its phase, its last progress, and the I/O wrapper that notes both.
//!
//! hyper has one knob, which is head limit and keep-alive limit at once, and none for bodies or
//! writes. So the wrapper watches every byte and the sweeper closes what is over its limit.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::framing::HeadScan;
use super::service::{self, OutBody};
use super::stream::Stream;
use super::table::Table;
use super::upgrade::{UpgradeTask, Upgraded};
use super::{Peer, Shared, socket};
use crate::clock::MonoMillis;
use crate::limits;

/// Where a connection stands; each phase has its own limit (see `sweeper`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// TLS is being agreed on.
    Handshake,
    /// Accepted, no byte of a request yet.
    Fresh,
    /// Between an answer and the next request.
    Idle,
    /// A request has begun, its head is unfinished.
    Head,
    /// A handler runs and the body is unfinished.
    Body,
    /// A handler runs and has the whole request.
    Handling,
    /// The answer is on its way.
    Writing,
    /// An event stream: counted apart from plain HTTP.
    Streaming,
    /// No longer HTTP.
    Upgraded,
    /// Told to end; its task has not yet noticed.
    Closing,
}

impl Phase {
    pub const COUNT: usize = 10;
}

/// What the sweeper and the I/O wrapper know of one connection.
pub struct Connection {
    pub peer: Peer,
    table: Rc<Table>,
    /// Position in the table; `None` once it has left.
    slot: Cell<Option<usize>>,
    fd: Cell<RawFd>,
    phase: Cell<Phase>,
    /// When the phase began.
    pub since: Cell<MonoMillis>,
    /// When a byte last moved in the direction that is waited for.
    pub progress: Cell<MonoMillis>,
    /// Since when the client takes no bytes.
    pub blocked_since: Cell<Option<MonoMillis>>,
    pub scan: RefCell<HeadScan>,
    /// A request was answered without reading its body to the end.
    unread_body: Cell<bool>,
    upgrade: RefCell<Option<UpgradeTask>>,
}

/// Keeps a connection in the table; it leaves when this is dropped.
pub struct ConnectionGuard(pub Rc<Connection>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.table.remove(&self.0);
    }
}

impl Connection {
    pub(super) fn new(table: Rc<Table>, peer: Peer, fd: RawFd, phase: Phase) -> Connection {
        let now = table.now();
        Connection {
            peer,
            table,
            slot: Cell::new(None),
            fd: Cell::new(fd),
            phase: Cell::new(phase),
            since: Cell::new(now),
            progress: Cell::new(now),
            blocked_since: Cell::new(None),
            scan: RefCell::new(HeadScan::default()),
            unread_body: Cell::new(false),
            upgrade: RefCell::new(None),
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn slot(&self) -> &Cell<Option<usize>> {
        &self.slot
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd.get()
    }

    /// Moves to `phase`; a connection that was told to end stays so.
    pub(super) fn enter(self: &Rc<Self>, phase: Phase) {
        let from = self.phase.get();
        if from == Phase::Closing || from == phase {
            return;
        }
        let now = self.table.now();
        self.since.set(now);
        self.progress.set(now);
        self.phase.set(phase);
        self.table.moved(self, from, phase);
    }

    pub(super) fn body_left_unread(&self) {
        self.unread_body.set(true);
    }

    pub(super) fn set_upgrade(&self, task: UpgradeTask) {
        *self.upgrade.borrow_mut() = Some(task);
    }

    fn read(self: &Rc<Self>, bytes: &[u8]) {
        self.progress.set(self.table.now());
        self.scan.borrow_mut().feed(bytes);
        if matches!(self.phase.get(), Phase::Fresh | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(_) => {
                self.blocked_since.set(None);
                self.progress.set(self.table.now());
            }
            Poll::Pending => self.blocked(),
        }
    }

    fn blocked(&self) {
        if self.blocked_since.get().is_none() {
            self.blocked_since.set(Some(self.table.now()));
        }
    }
}

/// The I/O wrapper under hyper.
struct Watched {
    connection: Rc<Connection>,
    stream: Stream,
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        let new = &buf.filled()[before..];
        if !new.is_empty() {
            this.connection.read(new);
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.connection.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.connection.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        match flushed {
            Poll::Pending => this.connection.blocked(),
            Poll::Ready(_) => this.connection.blocked_since.set(None),
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Serves one connection to its end. The guard leaves with the stream.
pub(super) async fn serve(shared: Rc<Shared>, tcp: TcpStream, guard: ConnectionGuard) {
    let stream = match (&shared.tls, guard.0.peer.tls) {
        (Some(tls), true) => match tls.acceptor().accept(tcp).await {
            Ok(stream) => Stream::Tls(Box::new(stream)),
            Err(error) => {
                log::debug!(
                    "event=tls_failed peer={} error={error}",
                    guard.0.peer.address
                );
                return;
            }
        },
        _ => Stream::Plain(tcp),
    };
    guard.0.enter(Phase::Fresh);
    let (stream, read) = serve_http(&shared, stream, &guard.0).await;
    let upgrade = guard.0.upgrade.borrow_mut().take();
    match upgrade {
        Some(UpgradeTask(task)) if guard.0.phase() != Phase::Closing => {
            guard.0.enter(Phase::Upgraded);
            guard.0.fd.set(-1);
            socket::small_kernel_buffers(stream.tcp().as_raw_fd());
            let upgraded = Upgraded {
                stream,
                leftover: read,
                guard,
            };
            // A task of its own, because this one is as large as all of HTTP.
            tokio::task::spawn_local(task(upgraded));
        }
        _ if guard.0.unread_body.get() => linger(stream).await,
        _ => {}
    }
}

/// HTTP until the connection ends or is to be upgraded; the stream and what was read beyond.
async fn serve_http(
    shared: &Rc<Shared>,
    stream: Stream,
    connection: &Rc<Connection>,
) -> (Stream, Vec<u8>) {
    let watched = Watched {
        connection: connection.clone(),
        stream,
    };
    let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
        let work = service::answer(shared.clone(), connection.clone(), request);
        Box::pin(async move { Ok::<hyper::Response<OutBody>, Infallible>(work.await) })
    });
    let mut http = http1::Builder::new()
        // The sweeper owns the limits of head and keep-alive, so hyper needs no timer of its own.
        .header_read_timeout(None)
        .max_buf_size(limits::HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(watched), service);
    let mut draining = pin!(shared.draining());
    let mut told = false;
    let result = poll_fn(|cx| {
        if !told && draining.as_mut().poll(cx).is_ready() {
            told = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        http.poll_without_shutdown(cx)
    })
    .await;
    if let Err(error) = result {
        log::debug!(
            "event=connection_ended peer={} error={error}",
            connection.peer.address
        );
    }
    let parts = http.into_parts();
    // Copied and dropped: keeping `read_buf`, even empty, keeps hyper's 8 kB buffer alive.
    let read = parts.read_buf.to_vec();
    let mut stream = parts.io.into_inner().stream;
    if connection.upgrade.borrow().is_none() {
        let _ = tokio::time::timeout(Duration::from_secs(1), stream.shutdown()).await;
    }
    (stream, read)
}

/// Reads on for a moment after an early answer: closing with unread bytes would reset the
/// connection and could take the answer away before the client has read it.
async fn linger(mut stream: Stream) {
    const LINGER: Duration = Duration::from_secs(2);
    const LINGER_BYTES_MAX: usize = 1024 * 1024;
    let _ = tokio::time::timeout(LINGER, async {
        let mut scratch = vec![0; 4096];
        let mut total = 0;
        while total < LINGER_BYTES_MAX {
            match stream.read(&mut scratch).await {
                Ok(read) if read > 0 => total += read,
                _ => return,
            }
        }
    })
    .await;
}
