//! What holds for every call: bodies, unknown paths, pages of other origins, the root.

use serde_json::{Value, json};

use crate::phone::{Phone, get, home, post, post_text};
use crate::support::Running;

struct Heard {
    status: u16,
    headers: http::HeaderMap,
    text: String,
}

impl Heard {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }
}

fn ask(running: &Running, method: &str, path: &str, headers: &[(&str, &str)]) -> Heard {
    let address = running.address("http").expect("a plain listener");
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(std::time::Duration::from_secs(60)));
    let agent = ureq::Agent::new_with_config(config.build());
    let request = request.body(()).expect("a request");
    let (parts, mut body) = agent.run(request).expect("an answer").into_parts();
    Heard {
        status: parts.status.as_u16(),
        headers: parts.headers,
        text: body.read_to_string().expect("a text"),
    }
}

#[test]
fn a_page_of_any_origin_may_call_and_no_other_path_of_the_box() {
    let home = home("open");
    let running = home.serve();
    let origin = ("origin", "https://app.example");
    let asks = [
        origin,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    for path in ["/v1/sessions", "/v3/sessions/x/messages", "/v1/nothing"] {
        let heard = ask(&running, "OPTIONS", path, &asks);
        assert_eq!(heard.status, 204, "{path}");
        assert_eq!(heard.header("access-control-allow-origin"), "*", "{path}");
        let methods = heard.header("access-control-allow-methods");
        assert_eq!(methods, "GET, POST, PUT, DELETE", "{path}");
        let names = heard.header("access-control-allow-headers");
        assert!(
            names.contains("Authorization") && names.contains('*'),
            "{path}"
        );
    }
    for path in ["/v1/auth/request/status?publicKey=AA", "/v1/nothing"] {
        let heard = ask(&running, "GET", path, &[origin]);
        assert_eq!(heard.header("access-control-allow-origin"), "*", "{path}");
    }
    let heard = ask(&running, "POST", "/v1/auth", &[origin]);
    assert_eq!(
        (heard.status, heard.header("access-control-allow-origin")),
        (400, "*")
    );

    // The house has no token with each call: there a page has to be listed.
    assert_eq!(
        ask(&running, "OPTIONS", "/api/v1/happy/invites", &asks).status,
        403
    );
    let heard = ask(&running, "POST", "/api/v1/happy/invites", &[origin]);
    assert_eq!(
        (heard.status, heard.header("access-control-allow-origin")),
        (403, "")
    );
    // A foreign name that was bound to this address stays outside.
    let rebound = [("host", "app.example"), origin];
    assert_eq!(ask(&running, "GET", "/v1/sessions", &rebound).status, 421);
}

#[test]
fn the_root_tells_the_app_what_it_is_and_shows_people_the_page() {
    let app = [("accept", "text/plain")];
    let browser = [("accept", "text/html,text/plain;q=0.9,*/*;q=0.8")];
    let off = crate::support::Home::new();
    let running = off.serve();
    assert!(ask(&running, "GET", "/", &app).text.contains("<html"));
    drop(running);
    let home = home("closed");
    let running = home.serve();
    let heard = ask(&running, "GET", "/", &app);
    assert_eq!(
        (heard.status, heard.text.as_str()),
        (200, "Welcome to Happy Server!")
    );
    assert_eq!(heard.header("content-type"), "text/plain; charset=utf-8");
    assert!(ask(&running, "GET", "/", &browser).text.contains("<html"));
    assert!(ask(&running, "GET", "/", &[]).text.contains("<html"));
}

#[test]
fn an_unknown_path_is_told_with_its_method() {
    let home = home("open");
    let running = home.serve();
    let told = |path: &str, method: &str| {
        let value = json!({"error": "Not found", "path": path, "method": method});
        (404, value)
    };
    assert_eq!(get(&running, "/v1/nope?x=1"), told("/v1/nope?x=1", "GET"));
    assert_eq!(get(&running, "/v1/auth"), told("/v1/auth", "GET"));
    let body = json!({"agentId": "a"});
    let answer = post(&running, "/v1/voice/token", None, &body);
    assert_eq!(answer, told("/v1/voice/token", "POST"));
    assert_eq!(
        get(&running, "/files/public/none.png"),
        (404, json!("Not found"))
    );
    let climbs = get(&running, "/files/..%2f..%2fetc%2fpasswd");
    assert_eq!(climbs, (403, json!("Forbidden")));
}

#[test]
fn a_body_is_refused_under_the_name_of_what_is_wrong_with_it() {
    let home = home("open");
    let running = home.serve();
    for (kind, body, status, class) in [
        ("application/json", "", 400, "Error"),
        ("application/json; charset=utf-8", "{}", 400, "Error"),
        ("application/json", "[]", 400, "Error"),
        ("application/json", "{\"publicKey\":", 400, "SyntaxError"),
        ("text/plain", "hello", 400, "Error"),
        (
            "application/x-www-form-urlencoded",
            "a=b",
            415,
            "FastifyError",
        ),
    ] {
        // Also without a token: what is no body is told first.
        for path in ["/v1/auth", "/v1/auth/response"] {
            let (found, told) = post_text(&running, path, None, kind, body);
            assert_eq!(
                (found, &told["error"]),
                (status, &json!(class)),
                "{kind} {body:?}"
            );
            assert_eq!(told["statusCode"], status, "{kind} {body:?}");
            assert!(told["message"].is_string(), "{kind} {body:?}");
        }
    }
}

#[test]
fn an_empty_answer_to_a_terminal_is_none() {
    let home = home("open");
    let running = home.serve();
    let bearer = format!("Bearer {}", Phone::new(1).token(&running));
    let ask = json!({"publicKey": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="});
    let terminal = || post(&running, "/v1/auth/request", None, &ask);
    let requested = (200, json!({"state": "requested"}));
    assert_eq!(terminal(), requested);
    let answer = |response: &str| {
        let mut body = ask.clone();
        body["response"] = json!(response);
        post(&running, "/v1/auth/response", Some(&bearer), &body)
    };
    let done: (u16, Value) = (200, json!({"success": true}));
    assert_eq!(answer(""), done);
    assert_eq!(terminal(), requested);
    assert_eq!(answer("sealed"), done);
    assert_eq!(terminal().1["response"], "sealed");
}
