//! `magpie serve`: its start, its reload, its end, and the starts it refuses.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::support::{Home, Running, errors, eventually, exchange, out};

#[test]
fn the_ready_line_names_what_answers() {
    let home = Home::new()
        .set("HTTPS_PORT", "0")
        .set("OPS_LISTEN", "127.0.0.1:0");
    let running = home.serve();
    for name in ["http", "https", "ops"] {
        let address = running.address(name);
        let port = address.map(|address| address.port());
        assert!(port.is_some_and(|port| port != 0), "{}", running.ready);
    }
    let health = running.get("/health");
    assert_eq!(health.status, 200, "{}", health.body);
    let live = exchange(running.address("ops").unwrap(), "GET", "/live", None).unwrap();
    assert_eq!(live.status, 200);
    assert!(running.stop().success());
}

#[test]
fn what_is_off_is_not_named() {
    let home = Home::new();
    let running = home.serve();
    assert_eq!(running.address("https"), None);
    assert_eq!(running.address("ops"), None);
    assert_eq!(running.get("/trust").status, 404);
    assert!(running.stop().success());
}

#[test]
fn https_answers_with_the_certificate_that_the_trust_page_hands_out() {
    let home = Home::new().set("HTTPS_PORT", "0");
    let running = home.serve();
    assert_eq!(running.get("/trust").status, 200);
    let der = certificate(&running);
    let page = secure_get(&running, &der, "/health").expect("a trusted answer");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(running.stop().success());
    let again = home.serve();
    assert_eq!(certificate(&again), der, "phones trust it over a restart");
    assert!(secure_get(&again, &der, "/health").is_ok());
    assert!(again.stop().success());
    let stranger = Home::new().set("HTTPS_PORT", "0");
    let other = stranger.serve();
    assert!(
        secure_get(&other, &der, "/health").is_err(),
        "another box's certificate is no good here"
    );
    let mode = std::fs::metadata(home.path("data/tls/authority.json")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    let home = Home::new()
        .set("HTTPS_PORT", "0")
        .set("TLS_CERT_FILE", "cert.pem")
        .set("TLS_KEY_FILE", "key.pem");
    let missing = home.run(&["serve"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        errors(&missing).contains("cert.pem"),
        "{}",
        errors(&missing)
    );
    home.write("cert.pem", "not a certificate");
    home.write("key.pem", "not a key");
    let wrong = home.run(&["serve"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(errors(&wrong).lines().count(), 1, "{}", errors(&wrong));
    assert!(errors(&wrong).contains("TLS_CERT_FILE"));
}

#[test]
fn a_second_box_on_the_same_data_is_refused_with_the_first_ones_pid() {
    let home = Home::new();
    let first = home.serve();
    let second = home.run(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    let text = errors(&second);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(&first.pid().to_string()), "{text}");
    assert_eq!(first.get("/health").status, 200);
    assert!(first.stop().success());
}

#[test]
fn a_port_in_use_is_told_with_the_setting_to_change() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let done = Home::new().set("PORT", &port.to_string()).run(&["serve"]);
    assert_eq!(done.status.code(), Some(1));
    let text = errors(&done);
    assert!(
        text.contains("PORT") && text.contains(&port.to_string()),
        "{text}"
    );
}

#[test]
fn a_hangup_takes_what_can_change_and_names_what_cannot() {
    let home = Home::new().set("LOG_FILE", "logs/box.log");
    let running = home.serve();
    let log = || home.read("logs/box.log");
    assert!(eventually(|| log().contains("event=ready")), "{}", log());
    std::fs::rename(home.path("logs/box.log"), home.path("logs/old.log")).unwrap();
    home.write(".env", "LOG_FORMAT=json\nCONVERSATION_IDLE=20m\n");
    running.signal(libc::SIGHUP);
    let is_new = || log().lines().any(|line| line.starts_with('{'));
    let whole = || home.read("logs/old.log") + &log();
    assert!(eventually(|| whole().contains("name=CONVERSATION_IDLE")));
    assert!(
        whole().contains("event=setting_needs_restart"),
        "{}",
        whole()
    );
    assert!(
        eventually(|| whole().contains("name=LOG_FORMAT")),
        "{}",
        whole()
    );
    running.get("/health");
    running.signal(libc::SIGHUP);
    assert!(running.stop().success());
    assert!(is_new(), "no JSON line in the new file: {}", log());
}

#[test]
fn a_hangup_with_a_wrong_file_changes_nothing() {
    let home = Home::new();
    let running = home.serve();
    home.write(".env", "VOLUME=loud\n");
    running.signal(libc::SIGHUP);
    running.wait_for_log("event=reload_refused");
    assert_eq!(running.get("/health").status, 200);
    assert!(running.stop().success());
}

#[test]
fn a_request_to_end_lets_what_runs_finish() {
    let home = Home::new();
    let mut running = home.serve();
    let body = json!({ "content": "kept until the end" }).to_string();
    let (start, rest) = body.split_at(10);
    let mut stream = TcpStream::connect(running.address("http").unwrap()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(
        stream,
        "POST /api/v1/memories HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{start}",
        body.len()
    )
    .unwrap();
    // The head is read once another request on the same loop was answered after it.
    assert_eq!(running.get("/health").status, 200);
    running.signal(libc::SIGTERM);
    running.wait_for_log("event=stopping");
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    // Not another SIGTERM: the second one means at once.
    let ended = running.wait_at_most(Duration::from_secs(30));
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    assert!(!home.path("data/server.json").exists());
    assert!(out(&home.run(&["recall", "kept"])).contains("until the end"));
}

#[test]
fn a_log_that_nobody_reads_neither_stalls_the_box_nor_keeps_it_from_ending() {
    let home = Home::new();
    let (held, pipe) = std::io::pipe().unwrap();
    let mut running = home.serve_logging_to(Stdio::from(pipe));
    // Each hangup with a refused file logs a line; far more than pipe and queue hold together.
    home.write(".env", &format!("VOLUME=\"{}\"\n", "x".repeat(90)));
    for _ in 0..3_000 {
        running.signal(libc::SIGHUP);
        assert_eq!(running.get("/health").status, 200);
    }
    home.write(".env", "VOLUME=70\n");
    running.signal(libc::SIGHUP);
    assert_eq!(running.get("/health").status, 200);
    running.signal(libc::SIGTERM);
    let ended = running.wait_at_most(Duration::from_secs(20));
    assert!(ended.is_some(), "it waits for a reader that never comes");
    drop(held);
}

#[test]
fn a_data_folder_that_cannot_be_used_is_told() {
    let home = Home::new();
    home.write("data", "a file, not a folder");
    let done = home.run(&["serve"]);
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(errors(&done).lines().count(), 1);
    assert!(errors(&done).contains("DATA_DIR"), "{}", errors(&done));
}

#[test]
fn a_damaged_database_is_kept_aside_and_never_overwritten() {
    let home = Home::new();
    std::fs::create_dir(home.path("data")).unwrap();
    let rubbish = "rubbish ".repeat(2_000);
    home.write("data/voice-memory.db", &rubbish);
    let done = home.run(&["serve"]);
    assert_eq!(done.status.code(), Some(1), "{}", errors(&done));
    let names = std::fs::read_dir(home.path("data")).unwrap();
    let kept = names
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("damaged"))
        .expect("the damaged file is kept");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), rubbish);
    let name = kept.file_name().unwrap().to_string_lossy().into_owned();
    assert!(errors(&done).contains(&name), "{}", errors(&done));
}

#[test]
fn a_database_of_a_newer_release_is_left_alone() {
    let home = Home::new();
    assert!(home.run(&["remember", "something"]).status.success());
    let database = magpie::store::Connection::open(home.path("data/voice-memory.db")).unwrap();
    database.pragma_update(None, "user_version", 9_999).unwrap();
    drop(database);
    let done = home.run(&["serve"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(errors(&done).contains("newer"), "{}", errors(&done));
    assert!(errors(&done).contains("9999"), "{}", errors(&done));
}

/// What `/ca.crt` hands to phones.
fn certificate(running: &Running) -> Vec<u8> {
    let mut stream = TcpStream::connect(running.address("http").unwrap()).unwrap();
    stream
        .write_all(b"GET /ca.crt HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .expect("a head");
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    answer.split_off(end + 4)
}

/// As a client that trusts only `authority`.
fn secure_get(running: &Running, authority: &[u8], path: &str) -> Result<String, String> {
    use rustls::pki_types::{CertificateDer, ServerName};
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from(authority.to_vec()))
        .map_err(|error| told(&error))?;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| told(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = rustls::ClientConnection::new(std::sync::Arc::new(config), name)
        .map_err(|error| told(&error))?;
    let stream = TcpStream::connect(running.address("https").expect("HTTPS is on"))
        .map_err(|error| told(&error))?;
    let mut stream = rustls::StreamOwned::new(client, stream);
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .map_err(|error| told(&error))?;
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .map_err(|error| told(&error))?;
    Ok(text)
}
