//! TLS for the HTTPS listener: one configuration whose certificate can be changed while it runs.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::authority::{self, Authority, Kept};
use crate::clock::UnixMillis;

/// Clones share the certificate.
#[derive(Clone)]
pub struct Tls(Rc<Inner>);

struct Inner {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    source: Source,
}

enum Source {
    Own(Box<Own>),
    Files { certificate: PathBuf, key: PathBuf },
}

/// The box's own authority and what it signed last.
struct Own {
    authority: Authority,
    label: String,
    leaf: RefCell<Kept>,
}

/// Why there is no TLS.
#[derive(Debug)]
pub enum TlsError {
    /// The file of the authority or of a leaf cannot be understood.
    Damaged {
        path: PathBuf,
    },
    File {
        path: PathBuf,
        error: io::Error,
    },
    /// `TLS_CERT_FILE` and `TLS_KEY_FILE` do not give a certificate.
    Unusable {
        certificate: PathBuf,
        why: String,
    },
    Signing(String),
}

impl TlsError {
    pub(super) fn file(path: &Path, error: io::Error) -> TlsError {
        TlsError::File {
            path: path.to_owned(),
            error,
        }
    }

    pub(super) fn signing(error: impl fmt::Display) -> TlsError {
        TlsError::Signing(error.to_string())
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Damaged { path } => write!(
                f,
                "{} is damaged; restore it from a backup, or move it away to make a new one (phones have to trust the box again then)",
                path.display()
            ),
            TlsError::File { path, error } => {
                write!(f, "cannot read or write {}: {error}", path.display())
            }
            TlsError::Unusable { certificate, why } => write!(
                f,
                "TLS_CERT_FILE {} with TLS_KEY_FILE cannot be used: {why}",
                certificate.display()
            ),
            TlsError::Signing(why) => write!(f, "the certificate could not be signed: {why}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl Tls {
    /// With the box's own authority, kept in `folder`; made there at the first start. Blocks.
    pub fn own(
        folder: &Path,
        label: &str,
        addresses: &[IpAddr],
        now: UnixMillis,
    ) -> Result<Tls, TlsError> {
        let authority = Authority::open(folder, label, now)?;
        let leaf = authority.leaf(label, addresses, now)?;
        let certified = leaf.certified_key()?;
        let own = Own {
            authority,
            label: label.to_owned(),
            leaf: leaf.into(),
        };
        Tls::new(certified, Source::Own(Box::new(own)))
    }

    /// With `TLS_CERT_FILE` and `TLS_KEY_FILE` (PEM). Blocks.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
        let certified = read_files(certificate, key)?;
        let source = Source::Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        Tls::new(certified, source)
    }

    fn new(certified: CertifiedKey, source: Source) -> Result<Tls, TlsError> {
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::signing)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(Rc::new(Inner {
            config: Arc::new(config),
            current,
            source,
        })))
    }

    /// Renews the own certificate when it is due; the door asks once a minute. What is open
    /// goes on with the old one. The file is written off the loop.
    pub fn refresh(&self, addresses: &[IpAddr], now: UnixMillis) {
        let Source::Own(own) = &self.0.source else {
            return;
        };
        let Own {
            authority,
            label,
            leaf,
        } = &**own;
        if !authority.is_stale(&leaf.borrow(), label, addresses, now) {
            return;
        }
        let made = authority
            .make_leaf(label, addresses, now)
            .and_then(|made| Ok((made.certified_key()?, made)));
        match made {
            Ok((certified, made)) => {
                self.0.current.set(certified);
                leaf.replace(made.clone());
                write_later(authority.leaf_path(), made);
                log::info!("event=certificate_renewed addresses={}", addresses.len());
            }
            Err(error) => log::error!("event=certificate_not_renewed error=\"{error}\""),
        }
    }

    /// Reads `TLS_CERT_FILE` and `TLS_KEY_FILE` again, off the loop; what cannot be used leaves
    /// the old certificate in place.
    pub fn reload(&self) {
        let Source::Files { certificate, key } = &self.0.source else {
            return;
        };
        let (certificate, key) = (certificate.clone(), key.clone());
        let current = self.0.current.clone();
        off_the_loop(move || match read_files(&certificate, &key) {
            Ok(certified) => {
                current.set(certified);
                log::info!("event=certificate_reloaded file={}", certificate.display());
            }
            Err(error) => log::error!("event=certificate_not_reloaded error=\"{error}\""),
        });
    }

    /// The own authority's certificate in DER, for phones to install.
    pub fn authority_der(&self) -> Option<&[u8]> {
        match &self.0.source {
            Source::Own(own) => Some(own.authority.der()),
            Source::Files { .. } => None,
        }
    }

    /// SHA-256 of what a person compares: the own authority, else the certificate from files.
    pub fn fingerprint(&self) -> String {
        match self.authority_der() {
            Some(der) => authority::fingerprint(der),
            None => self
                .leaf_der()
                .map_or_else(String::new, |der| authority::fingerprint(&der)),
        }
    }

    /// The certificate in use, in DER.
    pub fn leaf_der(&self) -> Option<Vec<u8>> {
        let current = self.0.current.get();
        current.cert.first().map(|cert| cert.to_vec())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.config.clone())
    }
}

/// The certificate that the next handshake gets.
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn get(&self) -> Arc<CertifiedKey> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, certified: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

fn read_files(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| TlsError::file(path, error));
    let (chain, secret) = (read(certificate)?, read(key)?);
    authority::certified_key(&chain, &secret).map_err(|why| TlsError::Unusable {
        certificate: certificate.to_owned(),
        why,
    })
}

fn write_later(path: PathBuf, kept: Kept) {
    off_the_loop(move || {
        if let Err(error) = authority::write_kept(&path, &kept) {
            log::error!(
                "event=certificate_not_kept file={} error={error}",
                path.display()
            );
        }
    });
}

/// A thread for one short piece of file work, which happens a few times a year.
fn off_the_loop(work: impl FnOnce() + Send + 'static) {
    let spawned = std::thread::Builder::new()
        .name(String::from("certificate"))
        .stack_size(crate::limits::THREAD_STACK_BYTES)
        .spawn(work);
    if let Err(error) = spawned {
        log::error!("event=thread_not_started name=certificate error={error}");
    }
}
