//! A terminal and a second device are let in by one that is in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::phone::{Phone, claims, get, home, post};

fn status_of(key: &str) -> String {
    let escaped = key
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    format!("/v1/auth/request/status?publicKey={escaped}")
}

#[test]
fn a_terminal_asks_until_the_phone_says_yes_and_the_first_yes_stays() {
    let home = home("open");
    let running = home.serve();
    let token = Phone::new(1).token(&running);
    let bearer = format!("Bearer {token}");
    let other = format!("Bearer {}", Phone::new(2).token(&running));
    let key = STANDARD.encode([0xFB; 32]);
    let ask = json!({"publicKey": key, "supportsV2": true});
    let asked = |body: &_| post(&running, "/v1/auth/request", None, body);
    let state = || get(&running, &status_of(&key));
    let requested = (200, json!({"state": "requested"}));
    let not_found = (200, json!({"status": "not_found", "supportsV2": false}));

    assert_eq!(state(), not_found);
    let yes = json!({"publicKey": key, "response": "c2VhbGVk"});
    let answer = |token, body: &_| post(&running, "/v1/auth/response", token, body);
    let early = (404, json!({"error": "Request not found"}));
    assert_eq!(answer(Some(bearer.as_str()), &yes), early);
    assert_eq!(asked(&ask), requested);
    // The first word about V2 sticks.
    assert_eq!(
        asked(&json!({"publicKey": key, "supportsV2": null})),
        requested
    );
    let pending = (200, json!({"status": "pending", "supportsV2": true}));
    assert_eq!(state(), pending);

    for (shown, text) in [
        (None, "Missing authorization header"),
        (Some("Basic abc"), "Missing authorization header"),
        (Some("Bearer abc"), "Invalid token"),
    ] {
        assert_eq!(answer(shown, &yes), (401, json!({"error": text})));
    }
    assert_eq!(state(), pending);

    let done = (200, json!({"success": true}));
    assert_eq!(answer(Some(bearer.as_str()), &yes), done);
    let late = json!({"publicKey": key, "response": "bGF0ZQ=="});
    assert_eq!(answer(Some(other.as_str()), &late), done);
    assert_eq!(
        state(),
        (200, json!({"status": "authorized", "supportsV2": false}))
    );
    let (status, told) = asked(&ask);
    assert_eq!(status, 200);
    assert_eq!(told["state"], "authorized");
    assert_eq!(told["response"], "c2VhbGVk");
    let made = claims(told["token"].as_str().expect("a token"));
    assert_eq!(made["sub"], claims(&token)["sub"]);
    assert!(made["session"].is_string(), "{made}");
}

#[test]
fn an_approval_is_there_after_the_power_went() {
    let home = home("open");
    let running = home.serve();
    let bearer = format!("Bearer {}", Phone::new(1).token(&running));
    let ask = json!({"publicKey": STANDARD.encode([5; 32])});
    post(&running, "/v1/auth/account/request", None, &ask);
    let yes = json!({"publicKey": ask["publicKey"], "response": "c2VhbGVk"});
    let (status, _) = post(&running, "/v1/auth/account/response", Some(&bearer), &yes);
    assert_eq!(status, 200);
    drop(running); // kill -9

    let running = home.serve();
    let (_, told) = post(&running, "/v1/auth/account/request", None, &ask);
    assert_eq!(told["response"], "c2VhbGVk");
    let made = claims(told["token"].as_str().expect("a token"));
    assert!(made.get("session").is_none(), "{made}");
    // The two kinds of request do not know each other.
    let (_, told) = post(&running, "/v1/auth/request", None, &ask);
    assert_eq!(told, json!({"state": "requested"}));
}

#[test]
fn a_key_of_another_length_is_none() {
    let home = home("open");
    let running = home.serve();
    let bearer = format!("Bearer {}", Phone::new(1).token(&running));
    let refusal = (401, json!({"error": "Invalid public key"}));
    for key in ["", "AAAA", "no!base64", &STANDARD.encode([1; 33])] {
        let body = json!({"publicKey": key, "response": "x"});
        for (path, token) in [
            ("/v1/auth/request", None),
            ("/v1/auth/account/request", None),
            ("/v1/auth/response", Some(bearer.as_str())),
            ("/v1/auth/account/response", Some(bearer.as_str())),
        ] {
            assert_eq!(
                post(&running, path, token, &body),
                refusal,
                "{path} {key:?}"
            );
        }
        let not_found = json!({"status": "not_found", "supportsV2": false});
        assert_eq!(get(&running, &status_of(key)), (200, not_found), "{key:?}");
    }
    assert_eq!(get(&running, "/v1/auth/request/status").0, 400);
}
