//! One set of trusted authorities for everything that goes out.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::CallError;

pub(super) struct Tls(TlsConnector);

impl Tls {
    /// The public authorities and those of `extra` (PEM).
    pub(super) fn new(extra: &[u8]) -> Result<Tls, CallError> {
        Ok(Tls(TlsConnector::from(client_config(extra)?)))
    }

    pub(super) async fn connect(
        &self,
        host: &str,
        tcp: TcpStream,
    ) -> Result<TlsStream<TcpStream>, CallError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| CallError::Invalid("the host cannot stand in a certificate".into()))?;
        self.0
            .connect(name, tcp)
            .await
            .map_err(|error| CallError::Tls(error.to_string()))
    }
}

/// Trusts the public authorities and those of `extra` (PEM).
pub(super) fn client_config(extra: &[u8]) -> Result<Arc<ClientConfig>, CallError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for certificate in CertificateDer::pem_slice_iter(extra) {
        let certificate = certificate
            .map_err(|_| CallError::Invalid("an extra authority is no PEM certificate".into()))?;
        roots
            .add(certificate)
            .map_err(|error| CallError::Invalid(format!("an extra authority: {error}")))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| CallError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
