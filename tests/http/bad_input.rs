//! Bytes in, status out; the next client is served all the same.

use crate::house::{Client, House};

fn head(line: &str, headers: &str) -> String {
    format!("{line}\r\nHost: localhost\r\n{headers}\r\n")
}

fn post_json(body: &str) -> String {
    let headers = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    head("POST /say HTTP/1.1", &headers) + body
}

/// What is sent, the status that answers it, and a word that the answer has to hold.
fn table() -> Vec<(&'static str, Vec<u8>, u16, &'static str)> {
    let many = |count: usize| -> String { (0..count).map(|n| format!("X-{n}: y\r\n")).collect() };
    let get = |path: &str| head(&format!("GET {path} HTTP/1.1"), "");
    let cases: Vec<(&'static str, String, u16, &'static str)> = vec![
        ("no HTTP", "hello\r\n\r\n".into(), 400, ""),
        (
            "TLS on the plain port",
            "\u{16}\u{3}\u{1}\0\u{5}abcde".into(),
            400,
            "",
        ),
        (
            "a method with a space",
            head("GE T /health HTTP/1.1", ""),
            400,
            "",
        ),
        (
            "an unknown method",
            head("BREW /health HTTP/1.1", ""),
            405,
            "GET",
        ),
        (
            "a known path, another method",
            head("DELETE /health HTTP/1.1", ""),
            405,
            "GET",
        ),
        ("an unknown path", get("/nothing"), 404, "NOT_FOUND"),
        (
            "no Host",
            "GET /health HTTP/1.1\r\n\r\n".into(),
            400,
            "Host",
        ),
        (
            "two Hosts",
            head("GET /health HTTP/1.1", "Host: localhost\r\n"),
            400,
            "Host",
        ),
        (
            "a foreign Host",
            "GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n".into(),
            421,
            "evil.example",
        ),
        (
            "a Host that is none",
            "GET /health HTTP/1.1\r\nHost: a b\r\n\r\n".into(),
            400,
            "Host",
        ),
        (
            "a proxy request",
            head("GET http://evil.example/ HTTP/1.1", ""),
            400,
            "proxy",
        ),
        (
            "a tunnel",
            head("CONNECT evil.example:443 HTTP/1.1", ""),
            400,
            "",
        ),
        ("a path with ..", get("/files/../secret"), 400, ".."),
        (
            "a path with an encoded ..",
            get("/files/%2e%2e/secret"),
            400,
            "..",
        ),
        (
            "a path with an encoded slash and ..",
            get("/files/a%2f..%2fsecret"),
            400,
            "..",
        ),
        ("a path with NUL", get("/files/a%00"), 400, "control"),
        ("a path with half a percent", get("/files/a%4"), 400, "hex"),
        ("a path that is no UTF-8", get("/files/%ff"), 400, "UTF-8"),
        (
            "a path of 65 segments",
            get(&"/a".repeat(65)),
            400,
            "too many",
        ),
        (
            "a query that is no UTF-8",
            get("/items/1?q=%ff"),
            400,
            "UTF-8",
        ),
        (
            "a query with 300 parts",
            get(&format!("/items/1?{}", "a&".repeat(300))),
            400,
            "too many",
        ),
        (
            "a path of 9 kB",
            get(&format!("/items/{}", "a".repeat(9_000))),
            414,
            "8192",
        ),
        (
            "a path of 20 kB",
            get(&format!("/items/{}", "a".repeat(20_000))),
            431,
            "",
        ),
        (
            "a head of 20 kB",
            head(
                "GET /health HTTP/1.1",
                &format!("X: {}\r\n", "y".repeat(20_000)),
            ),
            431,
            "",
        ),
        (
            "150 headers",
            head("GET /health HTTP/1.1", &many(150)),
            431,
            "",
        ),
        (
            "a header without a name",
            head("GET /health HTTP/1.1", ": y\r\n"),
            400,
            "",
        ),
        (
            "a header name with a space",
            head("GET /health HTTP/1.1", "A b: y\r\n"),
            400,
            "",
        ),
        (
            "a folded header",
            head("GET /health HTTP/1.1", "A: b\r\n c\r\n"),
            400,
            "",
        ),
        (
            "a header with NUL",
            head("GET /health HTTP/1.1", "A: b\0c\r\n"),
            400,
            "",
        ),
        (
            "both length headers",
            head(
                "POST /echo HTTP/1.1",
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            ) + "0\r\n\r\n",
            400,
            "both",
        ),
        (
            "both length headers, the other way",
            head(
                "POST /echo HTTP/1.1",
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            ) + "0\r\n\r\n",
            400,
            "both",
        ),
        (
            "two different lengths",
            head(
                "POST /echo HTTP/1.1",
                "Content-Length: 5\r\nContent-Length: 6\r\n",
            ) + "hello",
            400,
            "",
        ),
        (
            "a negative length",
            head("POST /echo HTTP/1.1", "Content-Length: -5\r\n"),
            400,
            "",
        ),
        (
            "a length with a plus",
            head("POST /echo HTTP/1.1", "Content-Length: +5\r\n") + "hello",
            400,
            "",
        ),
        (
            "a length beyond 64 bits",
            head(
                "POST /echo HTTP/1.1",
                "Content-Length: 99999999999999999999\r\n",
            ),
            400,
            "",
        ),
        (
            "a length over the bound",
            head("POST /echo HTTP/1.1", "Content-Length: 1048577\r\n"),
            413,
            "1048576",
        ),
        (
            "a coding that is not chunked",
            head("POST /echo HTTP/1.1", "Transfer-Encoding: gzip\r\n"),
            400,
            "",
        ),
        (
            "chunked by HTTP/1.0",
            "POST /echo HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .into(),
            400,
            "",
        ),
        (
            "a chunk size that is no number",
            head("POST /echo HTTP/1.1", "Transfer-Encoding: chunked\r\n") + "zz\r\n",
            400,
            "malformed",
        ),
        (
            "a chunk size beyond 64 bits",
            head("POST /echo HTTP/1.1", "Transfer-Encoding: chunked\r\n") + "fffffffffffffffff\r\n",
            400,
            "malformed",
        ),
        (
            "JSON without a content type",
            head("POST /say HTTP/1.1", "Content-Length: 2\r\n") + "{}",
            415,
            "application/json",
        ),
        (
            "JSON called a form",
            head(
                "POST /say HTTP/1.1",
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 2\r\n",
            ) + "{}",
            415,
            "x-www-form-urlencoded",
        ),
        ("broken JSON", post_json("{\"message\": "), 400, "EOF"),
        (
            "JSON with a wrong type",
            post_json("{\"message\": 5}"),
            400,
            "message",
        ),
        ("JSON without a field", post_json("{}"), 400, "message"),
        ("no body at all", post_json(""), 400, "empty"),
        (
            "JSON that is too deep",
            post_json(&"[".repeat(5_000)),
            400,
            "not as expected",
        ),
        (
            "two JSON texts",
            post_json("{\"message\":\"a\"}{}"),
            400,
            "trailing",
        ),
    ];
    let mut table: Vec<_> = cases
        .into_iter()
        .map(|(name, bytes, status, word)| (name, bytes.into_bytes(), status, word))
        .collect();
    let mut not_utf8 = head(
        "POST /say HTTP/1.1",
        "Content-Type: application/json\r\nContent-Length: 15\r\n",
    )
    .into_bytes();
    not_utf8.extend(b"{\"message\":\"\xff\"}");
    table.push(("JSON that is no UTF-8", not_utf8, 400, "UTF-8"));
    table.push((
        "a path of raw bytes",
        b"GET /items/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        400,
        "",
    ));
    table
}

#[test]
fn every_bad_request_gets_its_own_clear_answer_and_harms_nobody() {
    let house = House::start();
    for (name, bytes, status, word) in table() {
        let mut client = house.connect();
        client.send(&bytes);
        let Some(answer) = client.answer_to("GET") else {
            panic!("{name}: closed without an answer");
        };
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(answer.text().contains(word), "{name}: {}", answer.text());
        if !word.is_empty() {
            let shape: serde_json::Value = serde_json::from_slice(&answer.body).expect(name);
            assert_eq!(shape["success"], false, "{name}");
            assert!(shape["error"]["code"].is_string(), "{name}");
        }
        assert_eq!(house.get("/health").status, 200, "after {name}");
    }
}

#[test]
fn a_client_that_speaks_http_2_at_once_is_closed_and_harms_nobody() {
    let house = House::start();
    let mut client = house.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(
        client.answer_to("GET").is_none(),
        "no answer of HTTP/1.1 fits"
    );
    assert_eq!(house.get("/health").status, 200);
}

#[test]
fn a_smuggled_request_behind_two_lengths_is_never_run() {
    let house = House::start();
    let smuggled = "GET /items/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // The first request hides the second one's head from whoever looks at single reads.
    let bytes = format!(
        "{}{}0\r\n\r\n{smuggled}",
        head("GET /health HTTP/1.1", ""),
        head(
            "POST /echo HTTP/1.1",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"
        ),
    );
    let mut client = house.connect();
    assert_eq!(client.ask(bytes).status, 200);
    let second = client.answer();
    assert_eq!(second.header("connection"), Some("close"), "{second:?}");
    assert!(client.is_closed(), "nothing runs behind it");
    assert!(!house.metrics.render().contains("/items/{id}"));
}

#[test]
fn an_answer_given_before_the_body_was_read_arrives_while_the_client_still_sends() {
    let house = House::start();
    let mut client = house.connect();
    client.send(head("POST /echo HTTP/1.1", "Content-Length: 900000000\r\n"));
    client.send(vec![b'x'; 600_000]);
    let answer = client.answer();
    assert_eq!(answer.status, 413);
    assert!(client.is_closed());
}

#[test]
fn a_chunked_body_over_the_bound_is_refused_while_it_is_read() {
    let house = House::start();
    let mut client = house.connect();
    client.send(head(
        "POST /echo HTTP/1.1",
        "Transfer-Encoding: chunked\r\n",
    ));
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..17 {
        client.send(&chunk);
    }
    assert_eq!(client.answer().status, 413);
    assert_eq!(
        house.ask(|server| async move { server.bodies_buffered() }),
        0
    );
}

#[test]
fn all_bodies_together_have_a_bound() {
    let house = House::start();
    // Twenty-three bodies of a megabyte less a byte, then more than 24 MB are asked for.
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..40 {
        let mut client = house.connect();
        client.send(head("POST /echo HTTP/1.1", "Content-Length: 1048576\r\n"));
        client.send(vec![b'x'; 1_048_575]);
        clients.push(client);
    }
    for client in &mut clients {
        client.tcp.set_nonblocking(true).expect("an option");
    }
    let answers_503 = |client: &mut Client| {
        let mut bytes = [0; 16];
        let read = client.tcp.peek(&mut bytes).unwrap_or(0);
        assert!(
            bytes[..read].starts_with(b"HTTP/1.1 503") || read == 0,
            "{bytes:?}"
        );
        read > 0
    };
    // Sixteen megabytes more than fit were sent; their answers come as the loop gets to them.
    let began = std::time::Instant::now();
    let mut refused = 0;
    while refused < 16 && began.elapsed() < std::time::Duration::from_secs(20) {
        let held = house.ask(|server| async move { server.bodies_buffered() });
        assert!(held <= 24 << 20, "{held}");
        refused = clients
            .iter_mut()
            .map(answers_503)
            .filter(|said| *said)
            .count();
    }
    assert!(refused >= 16, "{refused}");
    drop(clients);
    house.ask(|server| async move {
        while server.bodies_buffered() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
}
