//! From a target to a connection that speaks HTTP: name, address, proxy, TLS.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::proxy::Proxy;
use super::{CallError, Outbound, Target};

/// An open connection; ends when dropped.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// All of it within `limit`.
pub(super) async fn connect(
    outbound: &Outbound,
    target: &Target,
    proxy: Option<&Proxy>,
    limit: Duration,
) -> Result<Connection, CallError> {
    timeout(limit, connect_unlimited(outbound, target, proxy))
        .await
        .map_err(|_| CallError::Timeout("connect"))?
}

async fn connect_unlimited(
    outbound: &Outbound,
    target: &Target,
    proxy: Option<&Proxy>,
) -> Result<Connection, CallError> {
    let inner = &outbound.0;
    let (host, port) = proxy.map_or((target.host.as_str(), target.port), Proxy::address);
    let addresses = inner.names.resolve(&inner.workers, host, port).await?;
    let mut tcp = match reach(&addresses).await {
        Ok(tcp) => tcp,
        Err(error) => {
            inner.names.forget(host);
            return Err(CallError::Connect(format!("{host}:{port}: {error}")));
        }
    };
    if let Some(proxy) = proxy {
        proxy
            .pass_through(&mut tcp, &target.host, target.port)
            .await?;
    }
    if target.secure {
        shake(inner.tls.connect(&target.host, tcp).await?).await
    } else {
        shake(tcp).await
    }
}

/// The first address that answers.
async fn reach(addresses: &[SocketAddr]) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => {
                tcp.set_nodelay(true)?;
                return Ok(tcp);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn shake<S>(stream: S) -> Result<Connection, CallError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    /// Between the server and whoever reads the answer.
    const BUFFER_BYTES: usize = 16 * 1024;
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| CallError::Broken("it did not begin".into()))?;
    let driver = tokio::task::spawn_local(async move {
        // Its error reaches the caller by the request that it spoils.
        let _ = connection.await;
    });
    Ok(Connection {
        sender,
        driver: driver.abort_handle(),
    })
}
