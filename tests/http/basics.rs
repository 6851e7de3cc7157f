//! What an ordinary client sees.

use std::io::Read;

use crate::house::House;

#[test]
fn a_get_is_answered_with_the_headers_that_every_answer_has() {
    let house = House::start();
    let answer = house.get("/health");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), r#"{"status":"healthy"}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("x-request-id").map(str::len), Some(12));
    assert!(answer.header("date").is_some());
}

#[test]
fn requests_follow_each_other_on_one_connection_and_may_be_sent_ahead() {
    let house = House::start();
    let mut client = house.connect();
    for number in 0..3 {
        let answer = client.ask(format!(
            "GET /items/{number}?q=%E4%BD%A0+x HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ));
        assert_eq!(answer.text(), format!("{number} 你 x"));
    }
    let ahead: String = (0..20)
        .map(|number| format!("GET /items/{number} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        .collect();
    client.send(ahead);
    for number in 0..20 {
        assert_eq!(client.answer().text(), format!("{number} "));
    }
}

#[test]
fn bodies_arrive_by_length_and_by_chunks() {
    let house = House::start();
    let mut client = house.connect();
    let answer =
        client.ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(answer.text(), "hello");
    let answer = client.ask(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nhel\r\n2;note=1\r\nlo\r\n0\r\nTrailer: x\r\n\r\n",
    );
    assert_eq!(answer.text(), "hello");
    let body = vec![b'x'; 900_000];
    client.send(format!(
        "POST /count HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    let answer = client.ask(&body);
    assert_eq!(answer.text(), "900000");
    assert_eq!(
        house.ask(|server| async move { server.bodies_buffered() }),
        0
    );
}

#[test]
fn a_client_that_asks_before_sending_is_told_to_continue() {
    let house = House::start();
    let mut client = house.connect();
    let head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    client.send(head);
    assert_eq!(client.answer().status, 100);
    assert_eq!(client.ask("ok").text(), "ok");
}

#[test]
fn json_is_read_and_events_arrive() {
    let house = House::start();
    let mut client = house.connect();
    let answer = client.ask(
        "POST /say HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"message\": \"\u{4f60}\u{597d}\"}",
    );
    assert_eq!(answer.text(), r#"{"heard":"你好"}"#);
    let answer = house.get("/count-to-three");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.text().matches("event: number\ndata: ").count(), 3);
}

#[test]
fn head_and_options_answer_from_the_get_route() {
    let house = House::start();
    let mut client = house.connect();
    client.send("HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = client.answer_to("HEAD").expect("an answer");
    assert_eq!(answer.header("content-length"), Some("20"));
    let answer = client.ask("OPTIONS /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("allow"), Some("get, head, options"));
}

#[test]
fn a_panic_costs_its_own_request_only() {
    let house = House::start();
    let mut client = house.connect();
    let answer = client.ask("GET /panic HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("INTERNAL_ERROR"));
    let answer = client.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.status, 200);
}

#[test]
fn text_is_packed_for_who_asks() {
    let house = House::start();
    let plain = house.get("/page");
    let packed = house
        .connect()
        .ask("GET /page HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: br, gzip\r\n\r\n");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("vary"), Some("accept-encoding"));
    assert!(packed.body.len() * 5 < plain.body.len());
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_end(&mut text)
        .expect("valid gzip");
    assert_eq!(text, plain.body);
    let policy = plain.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'self'"), "{policy}");
}

#[test]
fn routes_let_in_whom_they_say() {
    let house = House::start();
    for (path, token, expected) in [
        ("/mine", "", 401),
        ("/mine", "wrong", 401),
        ("/mine", "device", 200),
        ("/admin", "device", 403),
        ("/admin", "owner", 200),
        ("/health", "wrong", 200),
    ] {
        let answer = house.connect().ask(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        ));
        assert_eq!(answer.status, expected, "{path} as {token:?}");
        if expected == 401 {
            assert_eq!(answer.header("www-authenticate"), Some("bearer"));
        }
    }
}

#[test]
fn requests_are_counted_by_route_and_never_by_path() {
    let house = House::start();
    house.get("/items/secret-name");
    house.get("/nothing/secret-name");
    let text = house.metrics.render();
    assert!(
        text.contains("voice_memory_requests_total{method=\"GET\",endpoint=\"/items/{id}\"} 1"),
        "{text}"
    );
    assert!(text.contains("endpoint=\"none\"} 1"), "{text}");
    assert!(!text.contains("secret-name"), "{text}");
}
