//! TLS with the box's own authority, judged by an independent client.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use magpie::clock::UnixMillis;
use magpie::server::authority::Authority;
use magpie::server::{Tls, TlsError};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::house::{House, impatient};

/// 2026-11-20.
const NOW: UnixMillis = UnixMillis(1_795_132_800_000);
const DAY_MS: i64 = 86_400_000;

fn lan(last: u8) -> IpAddr {
    IpAddr::from([192, 168, 1, last])
}

fn roots(authority: &[u8]) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(authority.to_vec()))
        .expect("a root");
    Arc::new(roots)
}

/// Whether a client that trusts `authority` accepts `leaf` for `name` at `at`.
fn accepts(authority: &[u8], leaf: &[u8], name: &str, at: UnixMillis) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(authority), provider)
        .build()
        .expect("a verifier");
    verifier
        .verify_server_cert(
            &CertificateDer::from(leaf.to_vec()),
            &[],
            &ServerName::try_from(name.to_owned()).expect("a name"),
            &[],
            UnixTime::since_unix_epoch(Duration::from_millis(at.0 as u64)),
        )
        .is_ok()
}

fn own(folder: &Path, addresses: &[IpAddr], now: UnixMillis) -> Tls {
    Tls::own(folder, "magpie", addresses, now).expect("a certificate")
}

/// A house with HTTPS whose authority lies in a folder that outlives it.
fn house() -> (House, Vec<u8>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    let house = House::with(move |options| {
        options.limits = impatient();
        options.https = Some(([127, 0, 0, 1], 0).into());
        let now = options.clock.wall();
        options.tls = Some(own(&path, &[lan(9)], now));
    });
    let authority = Authority::open(folder.path(), "magpie", NOW).expect("the authority");
    let der = authority.der().to_vec();
    (house, der, folder)
}

fn secure_client(
    house: &House,
    authority: &[u8],
    name: &str,
) -> StreamOwned<ClientConnection, TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots(authority))
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let tcp = TcpStream::connect(house.https.expect("a TLS listener")).expect("it listens");
    tcp.set_read_timeout(Some(Duration::from_secs(20)))
        .expect("an option");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
    StreamOwned::new(tls, tcp)
}

#[test]
fn a_client_that_trusts_the_authority_is_served_over_tls() {
    let (house, authority, _folder) = house();
    // The door renews the certificate for the addresses that this machine really has.
    for name in ["localhost", "magpie.local", "magpie", "127.0.0.1"] {
        let mut client = secure_client(&house, &authority, name);
        let request = "GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        client.write_all(request.as_bytes()).expect(name);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect(name);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{name}");
        assert!(answer.ends_with(b"<p>words </p>"), "{name}");
    }
    let mut stranger = secure_client(&house, &authority, "evil.example");
    assert!(stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").is_err());
}

#[test]
fn upgrades_work_over_tls_too() {
    let (house, authority, _folder) = house();
    let mut client = secure_client(&house, &authority, "localhost");
    client
        .write_all(b"GET /upgrade HTTP/1.1\r\nHost: localhost\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nearly ")
        .expect("a request");
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    let mut late = false;
    while !seen.ends_with(b"\r\n\r\nearly late") {
        let read = client.read(&mut buffer).expect("an echo");
        assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
        if !late {
            client.write_all(b"late").expect("an echo");
            late = true;
        }
    }
}

#[test]
fn a_silent_tls_peer_is_closed_and_others_are_served_meanwhile() {
    let (house, authority, _folder) = house();
    let mut silent = TcpStream::connect(house.https.expect("a TLS listener")).expect("it listens");
    let mut half = TcpStream::connect(house.https.expect("a TLS listener")).expect("it listens");
    half.write_all(&[22, 3, 1, 2, 0, 1]).expect("half a hello");
    let mut client = secure_client(&house, &authority, "localhost");
    client
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("a request");
    let mut answer = [0; 12];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    for peer in [&mut silent, &mut half] {
        peer.set_read_timeout(Some(Duration::from_secs(20)))
            .expect("an option");
        let mut rest = Vec::new();
        // An end or a reset; a time-out would say that it was never closed.
        if let Err(error) = peer.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
}

#[test]
fn the_certificate_is_renewed_when_addresses_change_and_before_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = own(folder.path(), &[lan(9)], NOW);
    let authority = tls.authority_der().expect("an authority").to_vec();
    let first = tls.leaf_der().expect("a leaf");
    assert!(accepts(&authority, &first, "192.168.1.9", NOW));
    assert!(!accepts(&authority, &first, "192.168.1.10", NOW));

    tls.refresh(&[lan(9)], NOW);
    assert_eq!(tls.leaf_der(), Some(first.clone()), "nothing changed");

    tls.refresh(&[lan(9), lan(10)], NOW);
    let second = tls.leaf_der().expect("a leaf");
    assert!(accepts(&authority, &second, "192.168.1.10", NOW));

    let early = UnixMillis(NOW.0 + 360 * DAY_MS);
    tls.refresh(&[lan(9), lan(10)], early);
    assert_eq!(
        tls.leaf_der(),
        Some(second.clone()),
        "36 days before its end"
    );
    let later = UnixMillis(NOW.0 + 367 * DAY_MS);
    tls.refresh(&[lan(9), lan(10)], later);
    assert_ne!(tls.leaf_der(), Some(second), "29 days before its end");
}

#[test]
fn authority_and_leaf_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = own(folder.path(), &[lan(9)], NOW);
    let second = own(folder.path(), &[lan(9)], UnixMillis(NOW.0 + 20 * DAY_MS));
    assert_eq!(first.fingerprint(), second.fingerprint());
    assert_eq!(first.leaf_der(), second.leaf_der());
    assert_eq!(first.fingerprint().len(), 32 * 3 - 1);
    use std::os::unix::fs::PermissionsExt;
    for name in ["authority.json", "leaf.json"] {
        let about = std::fs::metadata(folder.path().join(name)).expect(name);
        assert_eq!(about.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_damaged_authority_is_reported_and_left_as_it_is_while_a_leaf_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    own(folder.path(), &[lan(9)], NOW);
    let path = folder.path().join("leaf.json");
    std::fs::write(&path, "{").expect("a torn leaf");
    own(folder.path(), &[lan(9)], NOW);
    let path = folder.path().join("authority.json");
    let whole = std::fs::read(&path).expect("the authority");
    for length in [0, 1, whole.len() / 2, whole.len() - 2] {
        std::fs::write(&path, &whole[..length]).expect("a torn authority");
        let error = Tls::own(folder.path(), "magpie", &[], NOW)
            .err()
            .expect("damaged");
        assert!(matches!(error, TlsError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("move it away"), "{error}");
        assert_eq!(std::fs::read(&path).expect("still there"), whole[..length]);
    }
}

#[test]
fn the_authority_cannot_speak_for_the_world() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = own(folder.path(), &[], NOW);
    let authority = tls.authority_der().expect("an authority");
    let kept: serde_json::Value = serde_json::from_slice(
        &std::fs::read(folder.path().join("authority.json")).expect("the authority"),
    )
    .expect("JSON");
    let key = KeyPair::from_pem(kept["key_pem"].as_str().expect("a key")).expect("a key");
    let mut about = CertificateParams::default();
    about
        .distinguished_name
        .push(DnType::CommonName, "Magpie at magpie.local");
    let issuer = Issuer::new(about, key);
    let sign = |name: &str| {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        params
            .signed_by(&key, &issuer)
            .expect("signed")
            .der()
            .to_vec()
    };
    for (name, accepted) in [
        ("printer.local", true),
        ("localhost", true),
        ("10.1.2.3", true),
        ("evil.example", false),
        ("magpie.local.evil.example", false),
        ("8.8.8.8", false),
        ("172.32.0.1", false),
        ("2001:db8::1", false),
        ("fd00::1", true),
    ] {
        assert_eq!(
            accepts(authority, &sign(name), name, NOW),
            accepted,
            "{name}"
        );
    }
}

#[test]
fn a_clock_that_was_never_set_makes_no_certificate_with_wrong_dates() {
    let folder = tempfile::tempdir().expect("a folder");
    let at_boot = UnixMillis(60_000);
    let tls = own(folder.path(), &[lan(9)], at_boot);
    let authority = tls.authority_der().expect("an authority").to_vec();
    // Good for whoever has the right time, with the authority's full life before it.
    let leaf = tls.leaf_der().expect("a leaf");
    assert!(accepts(&authority, &leaf, "magpie.local", NOW));
    // The network answers a year later than the clock's floor: a new leaf, the same authority.
    let next_year = UnixMillis(NOW.0 + 200 * DAY_MS);
    tls.refresh(&[lan(9)], next_year);
    let leaf = tls.leaf_der().expect("a leaf");
    assert!(accepts(&authority, &leaf, "magpie.local", next_year));
    assert_eq!(tls.authority_der(), Some(&authority[..]));

    // A clock twelve years ahead is corrected: the leaf is made anew.
    let folder = tempfile::tempdir().expect("a folder");
    let tls = own(
        folder.path(),
        &[lan(9)],
        UnixMillis(NOW.0 + 12 * 365 * DAY_MS),
    );
    tls.refresh(&[lan(9)], NOW);
    let authority = tls.authority_der().expect("an authority").to_vec();
    let leaf = tls.leaf_der().expect("a leaf");
    assert!(accepts(&authority, &leaf, "magpie.local", NOW));
}

#[test]
fn certificate_files_replace_the_authority_and_are_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let write = || {
        let made = rcgen::generate_simple_self_signed(["box.example".to_owned()]).expect("made");
        std::fs::write(&certificate, made.cert.pem()).expect("a file");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
        made.cert.der().to_vec()
    };
    let first = write();
    let tls = Tls::from_files(&certificate, &key).expect("usable");
    assert_eq!(tls.leaf_der(), Some(first.clone()));
    assert_eq!(tls.authority_der(), None);
    let second = write();
    tls.reload();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while tls.leaf_der() != Some(second.clone()) {
        assert!(std::time::Instant::now() < deadline, "never read again");
        std::thread::yield_now();
    }
    std::fs::write(&key, "no key").expect("a file");
    let error = Tls::from_files(&certificate, &key).err().expect("unusable");
    assert!(error.to_string().contains("TLS_KEY_FILE"), "{error}");
    let error = Tls::from_files(Path::new("/missing.pem"), &key)
        .err()
        .expect("missing");
    assert!(error.to_string().contains("/missing.pem"), "{error}");
}
