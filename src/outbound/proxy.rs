//! HTTP CONNECT (RFC 9110 section 9.3.6) and SOCKS5 (RFC 1928, RFC 1929).

use std::fmt;

use base64::Engine as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::CallError;

const ANSWER_BYTES_MAX: usize = 8 * 1024;

#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Proxy {
    Http {
        host: String,
        port: u16,
        login: Option<(String, String)>,
    },
    Socks5 {
        host: String,
        port: u16,
        login: Option<(String, String)>,
    },
}

impl Proxy {
    /// `http://[user:password@]host:port` or `socks5://…`.
    pub fn parse(url: &str) -> Result<Proxy, CallError> {
        let wrong = |why: &str| CallError::Invalid(format!("the proxy's URL {why}"));
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| wrong("must begin with http:// or socks5://"))?;
        let rest = rest.trim_end_matches('/');
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, rest),
        };
        let (host, port) = address
            .rsplit_once(':')
            .ok_or_else(|| wrong("must end in a port"))?;
        let port = port.parse().map_err(|_| wrong("must end in a port"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(wrong("names no host"));
        }
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (user.to_owned(), password.to_owned())
        });
        let too_long =
            |(user, password): &(String, String)| user.len() > 255 || password.len() > 255;
        if login.as_ref().is_some_and(too_long) {
            return Err(wrong("has a user or password of more than 255 bytes"));
        }
        match scheme {
            "http" => Ok(Proxy::Http { host, port, login }),
            "socks5" | "socks5h" => Ok(Proxy::Socks5 { host, port, login }),
            _ => Err(wrong("must begin with http:// or socks5://")),
        }
    }

    pub(super) fn address(&self) -> (&str, u16) {
        match self {
            Proxy::Http { host, port, .. } | Proxy::Socks5 { host, port, .. } => (host, *port),
        }
    }

    /// With user and password: for ureq alone, never for a log.
    pub(super) fn url(&self) -> String {
        let (scheme, login) = match self {
            Proxy::Http { login, .. } => ("http", login),
            Proxy::Socks5 { login, .. } => ("socks5", login),
        };
        let (host, port) = self.address();
        match login {
            Some((user, password)) => format!("{scheme}://{user}:{password}@{host}:{port}"),
            None => format!("{scheme}://{host}:{port}"),
        }
    }

    /// Makes the proxy's connection one to `host`, whose name the proxy looks up.
    pub(super) async fn pass_through(
        &self,
        tcp: &mut TcpStream,
        host: &str,
        port: u16,
    ) -> Result<(), CallError> {
        let asked = match self {
            Proxy::Http { login, .. } => connect(tcp, host, port, login.as_ref()).await,
            Proxy::Socks5 { login, .. } => socks5(tcp, host, port, login.as_ref()).await,
        };
        asked.unwrap_or_else(|error| {
            Err(CallError::Connect(format!("the proxy broke off: {error}")))
        })
    }
}

/// Without the password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = self.address();
        let scheme = match self {
            Proxy::Http { .. } => "http",
            Proxy::Socks5 { .. } => "socks5",
        };
        write!(f, "{scheme}://{host}:{port}")
    }
}

type Asked = std::io::Result<Result<(), CallError>>;

fn refused(why: impl Into<String>) -> Asked {
    Ok(Err(CallError::Connect(why.into())))
}

async fn connect(
    tcp: &mut TcpStream,
    host: &str,
    port: u16,
    login: Option<&(String, String)>,
) -> Asked {
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let mut request =
        format!("CONNECT {bracketed}:{port} HTTP/1.1\r\nhost: {bracketed}:{port}\r\n");
    if let Some((user, password)) = login {
        let token = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        request.push_str(&format!("proxy-authorization: Basic {token}\r\n"));
    }
    request.push_str("\r\n");
    tcp.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // Byte by byte, because what follows the head is already the server's.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() > ANSWER_BYTES_MAX {
            return refused("the proxy's answer is too long");
        }
        answer.push(tcp.read_u8().await?);
    }
    let status = answer.get(9..12).unwrap_or_default();
    match status {
        [b'2', _, _] => Ok(Ok(())),
        b"407" => refused("the proxy wants another user or password"),
        _ => refused(format!(
            "the proxy answered {}",
            String::from_utf8_lossy(status)
        )),
    }
}

async fn socks5(
    tcp: &mut TcpStream,
    host: &str,
    port: u16,
    login: Option<&(String, String)>,
) -> Asked {
    const NO_LOGIN: u8 = 0;
    const LOGIN: u8 = 2;
    if host.len() > 255 {
        return refused("the host's name is too long for the proxy");
    }
    let method = if login.is_some() { LOGIN } else { NO_LOGIN };
    tcp.write_all(&[5, 1, method]).await?;
    let mut chosen = [0; 2];
    tcp.read_exact(&mut chosen).await?;
    if chosen != [5, method] {
        return refused("the proxy takes no login of this kind");
    }
    if let Some((user, password)) = login {
        let mut message = vec![1, user.len() as u8];
        message.extend_from_slice(user.as_bytes());
        message.push(password.len() as u8);
        message.extend_from_slice(password.as_bytes());
        tcp.write_all(&message).await?;
        let mut accepted = [0; 2];
        tcp.read_exact(&mut accepted).await?;
        if accepted[1] != 0 {
            return refused("the proxy wants another user or password");
        }
    }
    let mut message = vec![5, 1, 0, 3, host.len() as u8];
    message.extend_from_slice(host.as_bytes());
    message.extend_from_slice(&port.to_be_bytes());
    tcp.write_all(&message).await?;
    let mut answer = [0; 4];
    tcp.read_exact(&mut answer).await?;
    let rest = match answer[3] {
        1 => 4,
        4 => 16,
        3 => usize::from(tcp.read_u8().await?),
        _ => return refused("the proxy's answer is malformed"),
    };
    let mut bound = vec![0; rest + 2];
    tcp.read_exact(&mut bound).await?;
    match answer[1] {
        0 => Ok(Ok(())),
        code => refused(format!("the proxy could not connect (SOCKS code {code})")),
    }
}
