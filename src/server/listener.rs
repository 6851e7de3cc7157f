//! Listening sockets and the accept loop.
//!
//! The loop never ends and never spins: an accept error is waited out, and one descriptor is
//! kept in reserve so that a full house can still say that it is full.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::table::{Admission, Refusal};
use super::{Peer, ServerOptions, Shared, connection, socket};
use crate::limits;

/// Why the door cannot be opened.
#[derive(Debug)]
pub enum StartError {
    Taken {
        what: &'static str,
        address: SocketAddr,
    },
    Denied {
        what: &'static str,
        address: SocketAddr,
    },
    NoSuchAddress {
        what: &'static str,
        address: SocketAddr,
    },
    /// The socket that was passed would take calls that `HOST` refuses.
    TooWide {
        what: &'static str,
        address: SocketAddr,
        passed: SocketAddr,
    },
    Other {
        what: &'static str,
        address: SocketAddr,
        error: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Taken { what, address } => write!(
                f,
                "{what}: port {} on {} is taken by another program; stop that program or set {what} to a free port",
                address.port(),
                address.ip()
            ),
            StartError::Denied { what, address } => write!(
                f,
                "{what}: port {} is reserved for root; set {what} to a port from 1024 on, or let systemd pass the socket",
                address.port()
            ),
            StartError::NoSuchAddress { what, address } => write!(
                f,
                "{what}: this machine has no address {}; set HOST to one it has, or to 0.0.0.0",
                address.ip()
            ),
            StartError::TooWide {
                what,
                address,
                passed,
            } => write!(
                f,
                "{what}: systemd listens on {passed}, which is wider than HOST={}; change ListenStream= by `systemctl edit magpie.socket`, or HOST",
                address.ip()
            ),
            StartError::Other {
                what,
                address,
                error,
            } => {
                write!(f, "{what}: cannot listen on {address}: {error}")
            }
        }
    }
}

impl std::error::Error for StartError {}

pub struct Listener {
    listener: TcpListener,
    tls: bool,
}

type Bound = (Vec<Listener>, Option<SocketAddr>, Option<SocketAddr>);

/// Binds what `options` ask for, or takes the socket of that port which systemd passed. Such a
/// socket outlives the box, so callers wait in its queue while the box restarts.
pub(super) fn bind(options: &ServerOptions) -> Result<Bound, StartError> {
    let mut passed = Passed::take();
    let mut listeners = Vec::new();
    let mut open = |address: Option<SocketAddr>, what, tls| -> Result<_, StartError> {
        let Some(address) = address else {
            return Ok(None);
        };
        let listener = match passed.of_port(address.port()) {
            Some((_, at)) if !is_within(at, address.ip()) => {
                return Err(StartError::TooWide {
                    what,
                    address,
                    passed: at,
                });
            }
            Some((listener, _)) => adopt(listener),
            None => listen(address),
        }
        .map_err(|error| explain(what, address, error))?;
        let bound = listener
            .local_addr()
            .map_err(|error| explain(what, address, error))?;
        listeners.push(Listener { listener, tls });
        Ok(Some(bound))
    };
    let http = open(options.http, "PORT", false)?;
    let https = match &options.tls {
        Some(_) => open(options.https, "HTTPS_PORT", true)?,
        None => None,
    };
    for (_, at) in passed.0 {
        // Whoever calls there waits for nothing, since systemd keeps the socket open.
        log::warn!(
            "event=passed_socket_not_used address={at} hint=\"change magpie.socket, PORT or HTTPS_PORT\""
        );
    }
    Ok((listeners, http, https))
}

/// Accepts until the door closes.
pub(super) async fn run(shared: Rc<Shared>, listener: Listener) {
    let spare = RefCell::new(SpareDescriptor::new());
    let mut draining = std::pin::pin!(shared.draining());
    loop {
        for _ in 0..limits::ACCEPTS_PER_TURN {
            let accepted = tokio::select! {
                biased;
                () = &mut draining => return,
                accepted = listener.listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, address)) => welcome(&shared, tcp, address, listener.tls),
                Err(error) => {
                    on_accept_error(&shared, &listener, &spare, &error).await;
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

fn welcome(shared: &Rc<Shared>, tcp: TcpStream, address: SocketAddr, tls: bool) {
    let Ok(local) = tcp.local_addr() else {
        // The peer has gone before we looked.
        return;
    };
    let peer = Peer {
        address,
        local,
        tls,
    };
    match shared.table.admit(peer, tcp.as_raw_fd()) {
        Admission::Welcome(guard) => {
            socket::prepare(tcp.as_raw_fd());
            tokio::task::spawn_local(connection::serve(shared.clone(), tcp, guard));
        }
        Admission::Full if !tls => {
            if let Some(refusal) = shared.table.begin_refusal() {
                tokio::task::spawn_local(refuse(tcp, refusal));
            }
        }
        Admission::Full | Admission::Unwelcome => {}
    }
}

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-type: application/json\r\ncontent-length: 105\r\n\r\n{\"success\":false,\"error\":{\"code\":\"UNAVAILABLE\",\"message\":\"The box has too many connections; try again.\"}}";

/// Says 503 once the request is there; closing with unread bytes would take the answer away.
async fn refuse(mut tcp: TcpStream, _refusal: Refusal) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let mut scratch = [0; 1024];
    let _ = tokio::time::timeout(PATIENCE, tcp.read(&mut scratch)).await;
    let _ = tokio::time::timeout(PATIENCE, async {
        tcp.write_all(FULL).await?;
        tcp.shutdown().await?;
        while tcp.read(&mut scratch).await? > 0 {}
        io::Result::Ok(())
    })
    .await;
}

/// One descriptor kept closed-able for the moment when there is no other.
struct SpareDescriptor(Option<std::fs::File>);

impl SpareDescriptor {
    fn new() -> SpareDescriptor {
        SpareDescriptor(std::fs::File::open("/dev/null").ok())
    }
}

async fn on_accept_error(
    shared: &Rc<Shared>,
    listener: &Listener,
    spare: &RefCell<SpareDescriptor>,
    error: &io::Error,
) {
    let out_of_files = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    if !out_of_files {
        log::debug!("event=accept_failed error={error}");
        // The peer may have gone between SYN and accept; other errors pass too.
        tokio::time::sleep(Duration::from_millis(1)).await;
        return;
    }
    log::warn!("event=out_of_descriptors action=close_oldest_idle");
    shared.table.close_oldest_idle();
    spare.borrow_mut().0 = None;
    accept_and_refuse(&listener.listener);
    *spare.borrow_mut() = SpareDescriptor::new();
    tokio::time::sleep(limits::ACCEPT_ERROR_PAUSE).await;
}

/// Uses the one free descriptor to say 503 to whoever waits, without waiting itself.
fn accept_and_refuse(listener: &TcpListener) {
    // SAFETY: accepts on a live listening socket; no address is asked for.
    let fd = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        )
    };
    if fd < 0 {
        return;
    }
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let peer = unsafe { std::net::TcpStream::from_raw_fd(fd) };
    socket::send_now(peer.as_raw_fd(), FULL);
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        tokio::net::TcpSocket::new_v4()?
    } else {
        tokio::net::TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

fn adopt(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Whether a socket at `passed` takes no calls but those that one at `wanted` would.
fn is_within(passed: SocketAddr, wanted: IpAddr) -> bool {
    wanted.is_unspecified() || passed.ip().to_canonical() == wanted.to_canonical()
}

/// Sockets that systemd passed and that nothing has taken yet, in their order.
struct Passed(Vec<(std::net::TcpListener, SocketAddr)>);

impl Passed {
    fn take() -> Passed {
        let listeners = passed_descriptors().filter_map(|fd| {
            // SAFETY: sets a flag of a descriptor; an engine must not keep the port open.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
            // SAFETY: systemd passed this descriptor for us alone, and each is taken once.
            let listener = unsafe { std::net::TcpListener::from_raw_fd(fd) };
            match listener.local_addr() {
                Ok(at) => Some((listener, at)),
                Err(error) => {
                    log::warn!("event=passed_descriptor_is_no_port fd={fd} error={error}");
                    None
                }
            }
        });
        Passed(listeners.collect())
    }

    /// The first of this port; for port 0, the first of all.
    fn of_port(&mut self, port: u16) -> Option<(std::net::TcpListener, SocketAddr)> {
        let fits = |(_, at): &(_, SocketAddr)| port == 0 || at.port() == port;
        let index = self.0.iter().position(fits)?;
        Some(self.0.remove(index))
    }
}

/// What systemd passed (sd_listen_fds(3)).
fn passed_descriptors() -> impl Iterator<Item = RawFd> {
    const FIRST: RawFd = 3;
    let for_us = std::env::var("LISTEN_PID")
        .ok()
        .and_then(|pid| pid.parse().ok())
        == Some(std::process::id());
    let count: RawFd = std::env::var("LISTEN_FDS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    let count = if for_us { count.clamp(0, 16) } else { 0 };
    FIRST..FIRST + count
}

fn explain(what: &'static str, address: SocketAddr, error: io::Error) -> StartError {
    match error.kind() {
        io::ErrorKind::AddrInUse => StartError::Taken { what, address },
        io::ErrorKind::PermissionDenied => StartError::Denied { what, address },
        io::ErrorKind::AddrNotAvailable => StartError::NoSuchAddress { what, address },
        _ => StartError::Other {
            what,
            address,
            error,
        },
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_canned_answer_states_its_true_length() {
        let text = std::str::from_utf8(super::FULL).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
    }
}
