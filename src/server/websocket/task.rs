//! The task of one socket: reads, parses, hands on, writes what did not leave at once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::parser::{Event, Parser};
use super::{Endpoint, Frame, Shared, Socket, State, UpgradeOptions, registry};
use crate::limits;
use crate::server::stream::Stream;
use crate::server::upgrade::{SocketSlot, Upgraded};

/// Reads of one socket in one turn of the loop.
const READS_PER_TURN: usize = 4;

thread_local! {
    /// Shared by all sockets; away while one of them reads.
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

pub(super) fn serve<E: Endpoint>(
    upgraded: Upgraded,
    options: UpgradeOptions,
    owner: Option<Rc<str>>,
    endpoint: impl FnOnce(&Socket) -> E,
) -> impl Future<Output = ()> {
    let (stream, leftover, slot) = upgraded.into_parts();
    let fd = match &stream {
        Stream::Plain(tcp) => tcp.as_raw_fd(),
        Stream::Tls(_) => -1,
    };
    let now_s = registry::now_s();
    let shared = Rc::new(Shared {
        state: Cell::new(State::Open),
        queue: RefCell::new(VecDeque::new()),
        queued_bytes: Cell::new(0),
        sent_of_first: Cell::new(0),
        waker: RefCell::new(None),
        fd: Cell::new(fd),
        commands: Cell::new(0),
        is_paused: Cell::new(false),
        message_bytes_max: Cell::new(u32::try_from(options.message_bytes_max).unwrap_or(u32::MAX)),
        queue_bytes_max: u32::try_from(options.queue_bytes_max).unwrap_or(u32::MAX),
        queue_messages_max: u32::try_from(options.queue_messages_max).unwrap_or(u32::MAX),
        heard_s: Cell::new(now_s),
        pinged_s: Cell::new(now_s),
        progress_s: Cell::new(now_s),
        close_code: Cell::new(1006),
        owner,
    });
    registry::register(&shared);
    let socket = Socket(shared);
    let endpoint = endpoint(&socket);
    let mut task = Task {
        parser: Parser::new(options.message_bytes_max, limits::WS_FRAGMENTS_MAX),
        unread: leftover,
        ended_writing: false,
        peer_closed: false,
        unflushed: false,
        endpoint,
        socket,
        stream,
        _slot: slot,
    };
    poll_fn(move |cx| task.poll(cx))
}

struct Task<E: Endpoint> {
    socket: Socket,
    parser: Parser,
    /// Read, but not to be handled before some commands have ended.
    unread: Vec<u8>,
    /// Our half of the connection is shut.
    ended_writing: bool,
    /// The peer's close frame has come.
    peer_closed: bool,
    /// TLS holds bytes that the socket has not taken.
    unflushed: bool,
    endpoint: E,
    stream: Stream,
    _slot: SocketSlot,
}

impl<E: Endpoint> Drop for Task<E> {
    fn drop(&mut self) {
        let shared = &self.socket.0;
        shared.state.set(State::Dead);
        // The number may soon be another connection's.
        shared.fd.set(-1);
        shared.queue.take();
        shared.queued_bytes.set(0);
        let code = shared.close_code.get();
        let told = catch_unwind(AssertUnwindSafe(|| self.endpoint.closed(code)));
        if told.is_err() {
            log::error!("event=endpoint_panicked at=closed");
        }
    }
}

impl<E: Endpoint> Task<E> {
    /// Ready when the connection may be dropped.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        *self.socket.0.waker.borrow_mut() = Some(cx.waker().clone());
        if !self.unread.is_empty() && !self.is_paused() {
            let mut unread = std::mem::take(&mut self.unread);
            self.handle(&mut unread);
        }
        if self.write(cx).is_err() {
            return Poll::Ready(());
        }
        for _ in 0..READS_PER_TURN {
            if self.state() == State::Dead || self.is_done() {
                return Poll::Ready(());
            }
            if self.is_paused() || !self.unread.is_empty() {
                return Poll::Pending;
            }
            match self.read(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            if self.write(cx).is_err() {
                return Poll::Ready(());
            }
        }
        // Others get their turn before this socket's next bytes.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn state(&self) -> State {
        self.socket.0.state.get()
    }

    /// Both closes are done and everything has left. After a violation the rest of what the peer
    /// sends is read and thrown away first, since closing with unread bytes would reset the
    /// connection and could take our close frame away.
    fn is_done(&self) -> bool {
        self.state() == State::Closed && self.ended_writing && self.peer_closed
    }

    fn is_paused(&self) -> bool {
        self.state() == State::Open && self.socket.0.is_busy()
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = BUFFER
            .take()
            .unwrap_or_else(|| vec![0; limits::WS_READ_BUFFER_BYTES].into_boxed_slice());
        let mut into = ReadBuf::new(&mut buffer);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut into);
        let read = into.filled().len();
        let result = match polled {
            Poll::Ready(Ok(())) if read == 0 => {
                Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof)))
            }
            Poll::Ready(Ok(())) => {
                self.socket.0.heard_s.set(registry::now_s());
                self.handle(&mut buffer[..read]);
                Poll::Ready(Ok(()))
            }
            other => other,
        };
        BUFFER.set(Some(buffer));
        result
    }

    /// Parses and hands on; after our close only the peer's close counts.
    fn handle(&mut self, input: &mut [u8]) {
        if matches!(self.state(), State::Closed | State::Dead) {
            return;
        }
        let (socket, endpoint) = (&self.socket, &mut self.endpoint);
        let shared = &socket.0;
        let mut closed = None;
        let mut on_event = |event: Event<'_>| {
            match event {
                Event::Message(message) if shared.state.get() == State::Open => {
                    let handled =
                        catch_unwind(AssertUnwindSafe(|| endpoint.message(socket, message)));
                    if handled.is_err() {
                        log::error!("event=endpoint_panicked at=message");
                        shared.close(1011, "internal error");
                    }
                }
                Event::Ping(payload) if shared.state.get() == State::Open => {
                    shared.push(Frame::pong(payload));
                }
                Event::Message(_) | Event::Ping(_) | Event::Pong => {}
                Event::Close(code) => closed = Some(code),
            }
            if shared.is_busy() && shared.state.get() == State::Open {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        self.parser.message_bytes_max = shared.message_bytes_max.get() as usize;
        match self.parser.feed(input, &mut on_event) {
            Ok(read) if closed.is_none() => self.unread = input[read..].to_vec(),
            Ok(_) => {}
            Err(violation) => {
                log::debug!(
                    "event=websocket_failed code={} reason=\"{}\"",
                    violation.code,
                    violation.reason
                );
                shared.close(violation.code, violation.reason);
                // What follows cannot be understood, so the peer's close cannot be awaited.
                shared.state.set(State::Closed);
                shared.progress_s.set(registry::now_s());
            }
        }
        if let Some(code) = closed {
            self.peer_closed = true;
            if shared.state.get() == State::Open {
                shared.close(code, "");
            }
            shared.close_code.set(code);
            shared.state.set(State::Closed);
            shared.progress_s.set(registry::now_s());
        }
    }

    /// Sends what is queued as far as the socket takes it.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.poll_write(cx) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = self.socket.0.clone();
        loop {
            let mut queue = shared.queue.borrow_mut();
            let Some(first) = queue.front() else {
                // An empty queue keeps no memory.
                *queue = VecDeque::new();
                break;
            };
            let rest = &first[shared.sent_of_first.get()..];
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = matches!(self.stream, Stream::Tls(_));
            shared.progress_s.set(registry::now_s());
            shared.queued_bytes.set(shared.queued_bytes.get() - sent);
            let done = shared.sent_of_first.get() + sent;
            if done == first.len() {
                queue.pop_front();
                shared.sent_of_first.set(0);
            } else {
                shared.sent_of_first.set(done);
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        if shared.state.get() == State::Closed && !self.ended_writing {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.ended_writing = true;
        }
        Poll::Ready(Ok(()))
    }
}
