//! The box's own certificate authority, so that phones on the LAN can have a secure page.
//!
//! It signs for local names and private addresses only, which a critical name constraint makes
//! phones enforce: whoever steals the key cannot speak for a bank. The key never leaves its
//! file. A damaged file is reported and never replaced, because phones trust what is in it.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::guard::Networks;
use super::tls::TlsError;
use crate::clock::UnixMillis;

const DAY: Duration = Duration::from_secs(86_400);
const AUTHORITY_LIFE: Duration = Duration::from_secs(3_652 * 86_400);
/// The most that phones accept of a server's certificate is 398 days.
const LEAF_LIFE: Duration = Duration::from_secs(397 * 86_400);
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// 2026-01-01: a clock before it has not been set since power came.
const CLOCK_FLOOR: UnixMillis = UnixMillis(1_767_225_600_000);

/// What the authority may sign for.
const NETWORKS: [&str; 8] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "::1/128",
    "fe80::/10",
    "fc00::/7",
];

pub struct Authority {
    folder: PathBuf,
    kept: Kept,
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    networks: Networks,
}

/// A certificate with its key, as they lie in a file of mode 0600.
#[derive(serde::Serialize, serde::Deserialize, Clone)]
pub struct Kept {
    /// Bare name of the box.
    label: String,
    not_before_ms: i64,
    not_after_ms: i64,
    addresses: Vec<IpAddr>,
    certificate_pem: String,
    key_pem: String,
    /// SHA-256 of the authority's certificate that signed this one.
    #[serde(default)]
    signed_by: String,
}

impl Authority {
    /// Opens the authority of `folder`, or makes it there. Blocks.
    pub fn open(folder: &Path, label: &str, now: UnixMillis) -> Result<Authority, TlsError> {
        let path = folder.join("authority.json");
        let kept = match read_kept(&path)? {
            Some(kept) => kept,
            None => {
                let kept = make_authority(label, now)?;
                fs::create_dir_all(folder).map_err(|error| TlsError::file(folder, error))?;
                write_kept(&path, &kept).map_err(|error| TlsError::file(&path, error))?;
                kept
            }
        };
        let damaged = |_| TlsError::Damaged { path: path.clone() };
        let key = KeyPair::from_pem(&kept.key_pem).map_err(damaged)?;
        let der = CertificateDer::from_pem_slice(kept.certificate_pem.as_bytes())
            .map_err(|_| TlsError::Damaged { path: path.clone() })?;
        let issuer = Issuer::new(authority_params(&kept), key);
        if now.0 > kept.not_after_ms {
            log::warn!(
                "event=authority_expired file={} hint=\"check the clock, or move the file away to make a new one that phones have to trust again\"",
                path.display()
            );
        }
        Ok(Authority {
            folder: folder.to_owned(),
            kept,
            issuer,
            der,
            // The table above is well-formed, which the tests of this file show.
            networks: Networks::parse(NETWORKS).unwrap_or_default(),
        })
    }

    /// The certificate to install on phones, DER (`application/x-x509-ca-cert`).
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub fn fingerprint(&self) -> String {
        fingerprint(&self.der)
    }

    /// The server's certificate: the one kept, or a new one when that would not do.
    pub fn leaf(
        &self,
        label: &str,
        addresses: &[IpAddr],
        now: UnixMillis,
    ) -> Result<Kept, TlsError> {
        let path = self.leaf_path();
        // A lost or damaged leaf is no loss: phones trust the authority.
        if let Ok(Some(kept)) = read_kept(&path)
            && !self.is_stale(&kept, label, addresses, now)
        {
            return Ok(kept);
        }
        let leaf = self.make_leaf(label, addresses, now)?;
        write_kept(&path, &leaf).map_err(|error| TlsError::file(&path, error))?;
        Ok(leaf)
    }

    /// Whether a new leaf is due: names or addresses it lacks, 30 days before its end, or made
    /// while the clock was wrong.
    pub fn is_stale(
        &self,
        leaf: &Kept,
        label: &str,
        addresses: &[IpAddr],
        now: UnixMillis,
    ) -> bool {
        let now_ms = now.0.max(CLOCK_FLOOR.0);
        leaf.label != label
            || leaf.signed_by != self.fingerprint()
            || leaf.not_before_ms > now_ms
            || leaf.not_after_ms - now_ms < RENEW_BEFORE.as_millis() as i64
            || self
                .signable(addresses)
                .iter()
                .any(|address| !leaf.addresses.contains(address))
    }

    /// Signs a new leaf and does not write it.
    pub fn make_leaf(
        &self,
        label: &str,
        addresses: &[IpAddr],
        now: UnixMillis,
    ) -> Result<Kept, TlsError> {
        let (not_before_ms, not_after_ms) = validity(now, LEAF_LIFE);
        let not_after_ms = not_after_ms.min(self.kept.not_after_ms);
        let addresses = self.signable(addresses);
        let mut names = vec![format!("{label}.local"), String::from("localhost")];
        // The authority was made for one bare name and cannot sign for another.
        if self.kept.label == label {
            names.push(label.to_owned());
        }
        let mut params = CertificateParams::new(names).map_err(TlsError::signing)?;
        params
            .subject_alt_names
            .extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        set_validity(&mut params, not_before_ms, not_after_ms);
        params
            .distinguished_name
            .push(DnType::CommonName, format!("{label}.local"));
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = new_key()?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(TlsError::signing)?;
        Ok(Kept {
            label: label.to_owned(),
            not_before_ms,
            not_after_ms,
            addresses,
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            signed_by: self.fingerprint(),
        })
    }

    pub fn leaf_path(&self) -> PathBuf {
        self.folder.join("leaf.json")
    }

    fn signable(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = addresses
            .iter()
            .map(IpAddr::to_canonical)
            .filter(|address| self.networks.contain(*address))
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Kept {
    /// What a TLS listener needs.
    pub fn certified_key(&self) -> Result<CertifiedKey, TlsError> {
        certified_key(self.certificate_pem.as_bytes(), self.key_pem.as_bytes())
            .map_err(TlsError::signing)
    }
}

/// A chain and its key from PEM; an error when they do not belong together.
pub(super) fn certified_key(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate is not PEM: {error}"))?;
    if chain.is_empty() {
        return Err(String::from("the certificate file holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("the key is not PEM: {error}"))?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
        .map_err(|error| format!("certificate and key do not fit: {error}"))
}

/// SHA-256 as upper-case hex pairs with colons, the way phones show it.
pub fn fingerprint(der: &[u8]) -> String {
    let pairs: Vec<String> = Sha256::digest(der)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    pairs.join(":")
}

/// Writes a whole file of mode 0600, so that a power cut leaves the old or the new one.
pub fn write_kept(path: &Path, kept: &Kept) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&serde_json::to_vec_pretty(kept)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn read_kept(path: &Path) -> Result<Option<Kept>, TlsError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TlsError::file(path, error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|_| TlsError::Damaged {
            path: path.to_owned(),
        })
}

fn make_authority(label: &str, now: UnixMillis) -> Result<Kept, TlsError> {
    let (_, not_after_ms) = validity(now, AUTHORITY_LIFE);
    let mut kept = Kept {
        label: label.to_owned(),
        // Not the present: a clock that ran ahead when the box was made must not leave it with
        // an authority that is not yet valid.
        not_before_ms: CLOCK_FLOOR.0,
        not_after_ms,
        addresses: Vec::new(),
        certificate_pem: String::new(),
        key_pem: String::new(),
        signed_by: String::new(),
    };
    let key = new_key()?;
    let certificate = authority_params(&kept)
        .self_signed(&key)
        .map_err(TlsError::signing)?;
    kept.certificate_pem = certificate.pem();
    kept.key_pem = key.serialize_pem();
    Ok(kept)
}

fn authority_params(kept: &Kept) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(
        DnType::CommonName,
        format!("Magpie at {}.local", kept.label),
    );
    set_validity(&mut params, kept.not_before_ms, kept.not_after_ms);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let names =
        ["local", "localhost", &kept.label].map(|name| GeneralSubtree::DnsName(name.into()));
    let networks = NETWORKS.iter().filter_map(|network| {
        let (address, prefix) = network.split_once('/')?;
        Some(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
            address.parse().ok()?,
            prefix.parse().ok()?,
        )))
    });
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: names.into_iter().chain(networks).collect(),
        excluded_subtrees: Vec::new(),
    });
    params
}

fn new_key() -> Result<KeyPair, TlsError> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(TlsError::signing)
}

/// From a day ago, for clients whose clock is behind; a clock that was never set counts as
/// [`CLOCK_FLOOR`].
fn validity(now: UnixMillis, life: Duration) -> (i64, i64) {
    let now_ms = now.0.max(CLOCK_FLOOR.0);
    let not_before_ms = now_ms - DAY.as_millis() as i64;
    (not_before_ms, not_before_ms + life.as_millis() as i64)
}

/// Sets both ends of a validity; before 1970 and after 9999 no certificate can say.
fn set_validity(params: &mut CertificateParams, not_before_ms: i64, not_after_ms: i64) {
    const LAST_MS: i64 = 253_402_300_799_000;
    let since_1970 = |ms: i64| Duration::from_millis(ms.clamp(0, LAST_MS) as u64);
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(not_before_ms);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(not_after_ms);
}
