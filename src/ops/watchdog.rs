//! Tells systemd how the service is (sd_notify(3)), and feeds its watchdog only while the loop
//! turns, so that a stuck box is restarted.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use crate::limits;

/// Says nothing when no supervisor listens. Clones share the socket.
#[derive(Clone, Default)]
pub struct Notifier(Option<Arc<Supervisor>>);

struct Supervisor {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// By `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_env() -> Notifier {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return Notifier::default();
        };
        let text = |name| std::env::var(name).ok();
        let is_meant = text("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(std::process::id()));
        let watchdog = text("WATCHDOG_USEC")
            .filter(|_| is_meant)
            .and_then(|usec| usec.parse().ok())
            .filter(|usec| *usec > 0)
            .map(Duration::from_micros);
        Notifier::to(path.as_bytes(), watchdog).unwrap_or_else(|error| {
            log::warn!("event=notify_socket_unusable error={error:?}");
            Notifier::default()
        })
    }

    /// `path` is of a socket file, or of an abstract socket when it begins with `@`.
    pub fn to(path: &[u8], watchdog: Option<Duration>) -> io::Result<Notifier> {
        let address = match path.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
        };
        let socket = UnixDatagram::unbound()?;
        // A supervisor that does not read must not hold anybody up.
        socket.set_nonblocking(true)?;
        Ok(Notifier(Some(Arc::new(Supervisor {
            socket,
            address,
            watchdog,
        }))))
    }

    /// The listeners accept.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", one_line(status)));
    }

    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Shutting down");
    }

    pub(super) fn feed(&self) {
        self.tell("WATCHDOG=1");
    }

    /// Time between two feedings: a third of what the supervisor waits, at most
    /// [`limits::WATCHDOG_FEED_MAX`]. `None` when no watchdog waits.
    pub(super) fn feed_interval(&self) -> Option<Duration> {
        let waits = self.0.as_ref()?.watchdog?;
        Some((waits / 3).min(limits::WATCHDOG_FEED_MAX))
    }

    fn tell(&self, message: &str) {
        if let Some(supervisor) = &self.0
            && let Err(error) = supervisor
                .socket
                .send_to_addr(message.as_bytes(), &supervisor.address)
        {
            log::warn!("event=notify_failed error={error:?}");
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a time limit");
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn a_supervisor_hears_on_a_socket_file_and_on_an_abstract_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let file = UnixDatagram::bind(&path).expect("binds");
        let notifier = Notifier::to(path.as_os_str().as_bytes(), None).expect("connects");
        notifier.ready("Answers on\n8080");
        assert_eq!(heard(&file), "READY=1\nSTATUS=Answers on 8080");
        assert_eq!(notifier.feed_interval(), None);

        let name = format!("magpie-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("binds");
        let waits = Duration::from_secs(30);
        let notifier = Notifier::to(format!("@{name}").as_bytes(), Some(waits)).expect("connects");
        notifier.feed();
        assert_eq!(heard(&socket), "WATCHDOG=1");
        notifier.stopping();
        assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=Shutting down");
        assert_eq!(notifier.feed_interval(), Some(Duration::from_secs(10)));
    }

    #[test]
    fn without_a_supervisor_nothing_is_said() {
        Notifier::default().ready("nobody hears this");
        assert_eq!(Notifier::default().feed_interval(), None);
    }
}
