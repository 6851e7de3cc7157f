//! Claiming, pairing and revoking over HTTP; the ops listener while the loop is stuck.

mod house;

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use house::{House, PATIENCE, call};
use magpie::identity::AuthMode;
use magpie::ops::Notifier;
use serde_json::json;

/// Makes every request one from elsewhere in the eyes of the house.
const FOREIGN: &str = "X-Forwarded-For: 192.168.1.7";

fn fresh(mode: AuthMode) -> (tempfile::TempDir, House) {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::start(folder.path(), mode, Notifier::default());
    (folder, house)
}

fn pair(house: &House, code: &str) -> house::Answer {
    let body = json!({"code": code, "name": "Phone"}).to_string();
    house.call("POST", "/api/v1/pair", &[FOREIGN], &body)
}

#[test]
fn a_fresh_box_is_claimed_once_and_a_revoked_device_is_out_at_once() {
    let (_folder, house) = fresh(AuthMode::Lan);
    let devices = "/api/v1/devices";
    assert_eq!(house.call("GET", devices, &[FOREIGN], "").status, 401);
    let setup = call(house.ops, "GET", "/setup", &[], "");
    assert!(setup.body.contains("#claim="), "{}", setup.body);

    let code = house.code.as_deref().expect("unclaimed");
    let claimed = pair(&house, code);
    assert_eq!(claimed.status, 201, "{}", claimed.body);
    assert!(claimed.head.contains("httponly; samesite=strict"));
    let data = claimed.json()["data"].clone();
    assert_eq!(data["claimed"], true);
    let token = data["token"].as_str().expect("a token");
    assert_eq!(pair(&house, code).status, 410, "the code is used up");
    assert_eq!(call(house.ops, "GET", "/setup", &[], "").status, 404);
    let again = house.call("POST", "/api/v1/pair/code", &[FOREIGN], "");
    assert_eq!(again.status, 409, "{}", again.body);

    let bearer = format!("Authorization: Bearer {token}");
    let cookie = format!("Cookie: magpie_token={token}");
    for shown in [&bearer, &cookie] {
        let list = house.call("GET", devices, &[FOREIGN, shown], "");
        assert_eq!(list.status, 200, "{}", list.body);
        assert!(!list.body.contains(token), "a token is shown once");
        assert!(list.json()["data"]["devices"][0]["last_seen_at"].is_string());
    }

    let made = house.call("POST", "/api/v1/devices/code", &[FOREIGN, &bearer], "");
    let second = made.json()["data"]["code"].clone();
    let member = pair(&house, second.as_str().expect("a code")).json()["data"].clone();
    let theirs = format!(
        "Authorization: Bearer {}",
        member["token"].as_str().expect("a token")
    );
    assert_eq!(
        house.call("GET", devices, &[FOREIGN, &theirs], "").status,
        403
    );
    assert_eq!(
        house
            .call("GET", "/api/v1/memories", &[FOREIGN, &theirs], "")
            .status,
        200
    );

    let path = format!(
        "{devices}/{}",
        member["device"]["id"].as_str().expect("an id")
    );
    assert_eq!(
        house.call("DELETE", &path, &[FOREIGN, &bearer], "").status,
        200
    );
    assert_eq!(
        house.call("DELETE", &path, &[FOREIGN, &bearer], "").status,
        404
    );
    assert_eq!(
        house
            .call("GET", "/api/v1/memories", &[FOREIGN, &theirs], "")
            .status,
        401
    );
}

#[test]
fn codes_cannot_be_ground_down() {
    let (_folder, house) = fresh(AuthMode::Lan);
    let right = house.code.clone().expect("unclaimed");
    let wrong = if right == "000000" {
        "000001"
    } else {
        "000000"
    };
    let statuses: Vec<u16> = (0..8).map(|_| pair(&house, wrong).status).collect();
    assert_eq!(statuses, [403, 403, 403, 403, 429, 429, 429, 429]);
    let refused = pair(&house, &right);
    assert_eq!(refused.status, 429, "the code is burnt");
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    let shown = house.call("POST", "/api/v1/pair/code", &[FOREIGN], "");
    assert_eq!(shown.status, 429, "no new code before the wait is over");
}

#[test]
fn loopback_is_the_owner_only_while_nobody_forwards() {
    for (mode, headers, status) in [
        (AuthMode::Lan, &[][..], 200),
        (AuthMode::Lan, &["Host: 127.0.0.1:8080"], 200),
        (AuthMode::Lan, &["X-Forwarded-For: 10.0.0.1"], 401),
        (AuthMode::Lan, &["Forwarded: for=10.0.0.1"], 401),
        (AuthMode::Lan, &["Authorization: Bearer mgp_stale"], 200),
        (AuthMode::Lan, &["Host: evil.example"], 421),
        (AuthMode::Strict, &[], 401),
        (AuthMode::Strict, &["Authorization: Bearer mgp_stale"], 401),
        (AuthMode::Off, &["X-Forwarded-For: 10.0.0.1"], 200),
    ] {
        let (_folder, house) = fresh(mode);
        let answer = house.call("GET", "/api/v1/devices", headers, "");
        assert_eq!(
            answer.status, status,
            "{mode:?} {headers:?}: {}",
            answer.body
        );
    }
}

#[test]
fn the_page_and_the_certificate_are_public_and_cached_by_tag() {
    let (_folder, house) = fresh(AuthMode::Strict);
    let page = house.call("GET", "/", &[], "");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("default-src 'self'"), "{}", page.head);
    let tag = page
        .head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "));
    let header = format!("If-None-Match: {}", tag.expect("a tag").replace("w/", "W/"));
    assert_eq!(house.call("GET", "/", &[&header], "").status, 304);
    let trust = house.call("GET", "/trust", &[], "");
    assert!(trust.body.contains("AB:CD"));
    let profile = house.call("GET", "/magpie.mobileconfig", &[], "");
    assert!(
        profile.body.contains("<data>MAMCAQU=</data>"),
        "{}",
        profile.body
    );
    let certificate = house.call("GET", "/ca.crt", &[], "");
    assert!(certificate.head.contains("application/x-x509-ca-cert"));
}

#[test]
fn ops_answers_and_stops_feeding_the_watchdog_while_the_loop_is_stuck() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("binds");
    let name = path.to_str().expect("text").as_bytes();
    let notifier = Notifier::to(name, Some(Duration::from_millis(300))).expect("connects");
    let house = House::start(folder.path(), AuthMode::Lan, notifier);
    let mut heard = [0; 64];
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let length = socket.recv(&mut heard).expect("is fed");
    assert_eq!(&heard[..length], b"WATCHDOG=1");
    let ready = |house: &House| call(house.ops, "GET", "/ready", &[], "");
    assert_eq!(ready(&house).status, 200);

    let stuck = house.block_loop();
    // Fed on until the loop counts as stuck, then no more.
    socket
        .set_read_timeout(Some(Duration::from_secs(3)))
        .expect("a limit");
    while socket.recv(&mut heard).is_ok() {}
    let answer = ready(&house);
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.starts_with("loop: it has not turned"),
        "{}",
        answer.body
    );
    assert_eq!(call(house.ops, "GET", "/live", &[], "").status, 200);
    let metrics = call(house.ops, "GET", "/metrics", &[], "");
    assert!(
        metrics.body.contains("\nvoice_rss_bytes "),
        "{}",
        metrics.body
    );
    let stats = call(house.ops, "GET", "/debug/stats", &[], "").json();
    assert!(
        stats["loop"]["beat_age_ms"].as_u64() >= Some(2_000),
        "{stats}"
    );
    assert!(stats["process"]["threads"].as_u64() > Some(2), "{stats}");

    drop(stuck);
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    socket.recv(&mut heard).expect("is fed again");
    assert_eq!(ready(&house).status, 200);
}

#[test]
fn ops_refuses_bodies_foreign_hosts_and_unknown_paths_and_goes_on() {
    let (_folder, house) = fresh(AuthMode::Lan);
    let ops = |method, path, headers: &[&str]| call(house.ops, method, path, headers, "").status;
    assert_eq!(ops("GET", "/live", &["Host: evil.example"]), 421);
    assert_eq!(ops("GET", "/nothing", &[]), 404);
    assert_eq!(ops("DELETE", "/live", &[]), 405);
    assert_eq!(call(house.ops, "POST", "/live", &[], "{}").status, 413);
    let kept: Vec<_> = ["2000", "2000", "999999999999999"]
        .iter()
        .map(|length| {
            use std::io::Write as _;
            let mut stream = std::net::TcpStream::connect(house.ops).expect("connects");
            let head =
                format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("sends");
            stream
        })
        .collect();
    assert_eq!(ops("GET", "/live", &[]), 200);
    drop(kept);
}
