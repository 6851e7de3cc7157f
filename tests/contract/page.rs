//! docs/api.md, made from the document: every route and every error code for people.

use std::fmt::Write;

use magpie::server::openapi::ERRORS;
use serde_json::Value;

use crate::calls::{document, home, operations};

const HEAD: &str = "# The box over HTTP

This page is made from the interface's own document, which the box serves as OpenAPI 3.1 at
`/api/openapi.json`; there every parameter, field and answer is described. The WebSocket is
described in [ws.md](ws.md).

    curl http://localhost:8080/api/openapi.json
    curl http://localhost:8080/api/v1/memories/search?q=key
    curl http://localhost:8080/api/v1/memories -H 'Content-Type: application/json' -d '{\"content\":\"Bin day is Tuesday\"}'

Success is `{\"success\":true,\"data\":…}`, failure `{\"success\":false,\"error\":{\"code\",\"message\"}}`.
Times are RFC 3339 in UTC; durations are seconds unless a name ends in `_ms`. Unknown fields of a
request are ignored, wrong ones are named. From another machine a request shows its device's token
as `Authorization: Bearer mgp_…`; on the box itself none is needed unless `VOICE_AUTH=strict`.
`magpie token make NAME` makes a token for a program.
";

fn page(document: &Value) -> String {
    let mut text = String::from(HEAD);
    let mut all = operations(document);
    all.retain(|(_, _, operation)| {
        operation["responses"]["200"]["content"]
            .get("*/*")
            .is_none()
    });
    for tag in document["tags"].as_array().unwrap() {
        let rows: Vec<_> = all
            .iter()
            .filter(|(_, _, operation)| operation["tags"][0] == tag["name"])
            .collect();
        if rows.is_empty() {
            continue;
        }
        let _ = write!(
            text,
            "\n## {}\n\n| call | what it does | who may |\n| --- | --- | --- |\n",
            tag["name"].as_str().unwrap()
        );
        for (method, path, operation) in rows {
            let _ = writeln!(
                text,
                "| `{method} {path}` | {} | {} |",
                operation["summary"].as_str().unwrap(),
                operation["x-access"].as_str().unwrap()
            );
        }
    }
    text.push_str("\n## error codes\n\n| code | status | what it means |\n| --- | --- | --- |\n");
    for error in ERRORS {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} |",
            error.code, error.status, error.meaning
        );
    }
    text
}

#[test]
fn the_page_about_the_interface_is_made_from_its_document() {
    let home = home();
    let running = home.serve();
    let made = page(&document(&running));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
        std::fs::write(path, &made).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == made,
        "docs/api.md differs; run: UPDATE_GOLDEN=1 cargo test --test contract the_page_about"
    );
}
