//! Who may call: Host, Origin, CORS, rate; and how the door closes.

use std::time::Duration;

use magpie::server::{GuardOptions, Networks};

use crate::house::{Answer, Client, House, impatient};

fn house() -> House {
    House::with(|options| {
        options.guard = GuardOptions {
            names: vec!["magpie.local".into()],
            allowed_origins: vec!["https://app.example".into()],
            trusted_proxies: Networks::default(),
        };
    })
}

fn call(house: &House, line: &str, headers: &str) -> Answer {
    house
        .connect()
        .ask(format!("{line} HTTP/1.1\r\n{headers}\r\n"))
}

#[test]
fn origins_are_answered_as_the_allow_list_says() {
    let house = house();
    let own = format!("http://magpie.local:{}", house.http.port());
    let read = "GET /health";
    let write = "POST /echo";
    for (line, host, origin, status, allowed) in [
        (read, "localhost", "", 200, None),
        (read, "magpie.local", "https://evil.example", 200, None),
        (
            read,
            "magpie.local",
            "https://app.example",
            200,
            Some("https://app.example"),
        ),
        (
            write,
            "magpie.local",
            "https://app.example",
            200,
            Some("https://app.example"),
        ),
        (write, "magpie.local", "https://evil.example", 403, None),
        (write, "magpie.local", "null", 403, None),
        (write, "magpie.local", own.as_str(), 200, None),
        (write, "evil.example", "http://evil.example", 421, None),
    ] {
        let origin_line = match origin {
            "" => String::new(),
            origin => format!("Origin: {origin}\r\n"),
        };
        let headers = format!("Host: {host}\r\nContent-Length: 0\r\n{origin_line}");
        let answer = call(&house, line, &headers);
        assert_eq!(answer.status, status, "{line} {host} {origin}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            allowed,
            "{line} {host} {origin}"
        );
    }
}

#[test]
fn a_preflight_tells_allowed_pages_what_they_may() {
    let house = house();
    let ask = |origin: &str| {
        let headers = format!(
            "Host: magpie.local\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: DELETE\r\n"
        );
        call(&house, "OPTIONS /items/1", &headers)
    };
    let answer = ask("https://app.example");
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("get, post, patch, delete, options")
    );
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("content-type, authorization")
    );
    let answer = ask("https://evil.example");
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("access-control-allow-methods"), None);
}

#[test]
fn calls_beyond_the_rate_wait_and_health_is_never_counted() {
    let house = House::with(|options| options.rate_per_minute = 5);
    let mut client = house.connect();
    let mut get =
        |path: &str| client.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    for _ in 0..5 {
        assert_eq!(get("/items/1").status, 200);
    }
    let answer = get("/items/1");
    assert_eq!(answer.status, 429);
    assert!(answer.text().contains("RATE_LIMIT_EXCEEDED"));
    let wait: u32 = answer
        .header("retry-after")
        .and_then(|seconds| seconds.parse().ok())
        .expect("seconds");
    assert!((1..=12).contains(&wait), "{wait}");
    for _ in 0..20 {
        assert_eq!(get("/health").status, 200);
    }
}

#[test]
fn an_upgraded_socket_keeps_what_was_sent_behind_its_request() {
    let house = House::start();
    let mut client = house.connect();
    client.send(
        "GET /upgrade HTTP/1.1\r\nHost: localhost\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nearly ",
    );
    let answer = client.answer();
    assert_eq!(answer.status, 101);
    client.send("late");
    assert_eq!(client.read_exactly(10), b"early late");
    let open = house.ask(|server| async move {
        server
            .table()
            .phase(magpie::server::connection::Phase::Upgraded)
    });
    assert_eq!(open, 1);
    drop(client);
    house.ask(|server| async move {
        while server.table().open() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
}

#[test]
fn a_socket_over_the_bound_is_refused_before_the_upgrade() {
    let house = House::with(|options| options.limits.realtime_sockets = 1);
    let request =
        "GET /upgrade HTTP/1.1\r\nHost: localhost\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n";
    let mut first = house.connect();
    assert_eq!(first.ask(request).status, 101);
    first.send("x");
    assert_eq!(first.read_exactly(1), b"x");
    let answer = house.connect().ask(request);
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn closing_lets_work_finish_tells_streams_and_ends_idle_connections() {
    let house = House::with(|options| options.limits = impatient());
    let mut idle = house.connect();
    assert_eq!(
        idle.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .status,
        200
    );
    let mut quiet = house.connect();
    quiet.send("GET /quiet HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut sending = house.connect();
    sending.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\na");
    house.ask(|server| async move {
        use magpie::server::connection::Phase;
        while server.table().phase(Phase::Streaming) + server.table().phase(Phase::Body) < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let address = house.http;
    let closing = std::thread::scope(|scope| {
        let closing = scope.spawn(|| house.ask(|server| async move { server.shutdown().await }));
        assert!(idle.is_closed());
        sending.send("b");
        let answer = sending.answer();
        assert_eq!(
            (answer.text(), answer.header("connection")),
            ("ab", Some("close"))
        );
        let events = quiet.answer();
        assert!(events.text().contains("retry: "), "{events:?}");
        closing.join()
    });
    closing.expect("the door closes");
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    let house = House::start();
    let taken = house.http;
    let error = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let _entered = runtime.enter();
        crate::house::bind_error(taken)
    });
    let text = error.join().expect("an error");
    assert!(text.contains("PORT"), "{text}");
    assert!(text.contains(&taken.port().to_string()), "{text}");
    assert!(text.contains("free port"), "{text}");
    let _ = Client::to(taken);
}
