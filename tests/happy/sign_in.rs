//! `POST /v1/auth`, and who may come in at all.

use serde_json::json;

use crate::phone::{Phone, claims, home, post, post_text};
use crate::support::Home;

#[test]
fn without_the_setting_there_is_no_room() {
    let home = Home::new();
    let running = home.serve();
    let (status, _) = Phone::new(1).sign_in(&running);
    assert_eq!(status, 404);
}

#[test]
fn a_key_is_one_account_over_restarts_and_its_token_holds() {
    let home = home("open");
    let phone = Phone::new(1);
    let running = home.serve();
    let token = phone.token(&running);
    let account = claims(&token)["sub"].clone();
    assert!(claims(&token).get("session").is_none());
    assert_ne!(claims(&Phone::new(2).token(&running))["sub"], account);
    drop(running); // kill -9

    let running = home.serve();
    assert_eq!(claims(&phone.token(&running))["sub"], account);
    let answer = json!({"publicKey": "AA==", "response": "x"});
    let bearer = format!("Bearer {token}");
    let (status, told) = post(&running, "/v1/auth/response", Some(&bearer), &answer);
    // The token is good: what is refused is the key of the request.
    assert_eq!(
        (status, told),
        (401, json!({"error": "Invalid public key"}))
    );
}

#[test]
fn a_bad_signature_is_refused_whatever_is_bad_about_it() {
    let home = home("open");
    let running = home.serve();
    let good = Phone::new(1).signs(&[9; 32]);
    let other = Phone::new(2).signs(&[9; 32]);
    for (field, value) in [
        ("signature", other["signature"].clone()),
        ("publicKey", other["publicKey"].clone()),
        ("challenge", json!("AAAA")),
        ("signature", json!("AAAA")),
        ("publicKey", json!("AAAA")),
        ("publicKey", json!("no base64!")),
        ("signature", json!("")),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let answer = post(&running, "/v1/auth", None, &body);
        let refusal = json!({"error": "Invalid signature"});
        assert_eq!(answer, (401, refusal), "{field} = {value}");
    }
}

#[test]
fn a_body_that_is_none_is_told_before_anything_else() {
    let home = home("open");
    let running = home.serve();
    for (path, kind, body, status) in [
        ("/v1/auth", "application/json", "{}", 400),
        ("/v1/auth", "application/json", "", 400),
        ("/v1/auth", "application/json", "{\"publicKey\":", 400),
        ("/v1/auth", "text/csv", "a,b", 415),
        (
            "/v1/auth/request",
            "application/json",
            "{\"publicKey\":5}",
            400,
        ),
        // Without a token too: validation comes before authentication.
        ("/v1/auth/response", "application/json", "{}", 400),
        ("/v1/auth/account/response", "application/json", "{}", 400),
        ("/v1/auth/nothing", "application/json", "{}", 404),
    ] {
        let (found, told) = post_text(&running, path, None, kind, body);
        assert_eq!(found, status, "{path} {body:?}: {told}");
        if status != 404 {
            assert_eq!(told["statusCode"], status, "{path} {body:?}: {told}");
        }
        assert!(told["error"].is_string(), "{path} {body:?}: {told}");
    }
}

#[test]
fn a_closed_house_knows_its_own_and_an_invite_lets_one_more_in() {
    let home = home("open");
    let known = Phone::new(1);
    known.token(&home.serve());

    let home = home.set("HAPPY_REGISTRATION", "closed");
    let running = home.serve();
    known.token(&running);
    assert_eq!(Phone::new(2).sign_in(&running).0, 403);
    drop(running);

    let home = home.set("HAPPY_REGISTRATION", "invite");
    let running = home.serve();
    assert_eq!(Phone::new(2).sign_in(&running).0, 403);
    let (status, _) = post(&running, "/api/v1/happy/invites", None, &json!({}));
    assert_eq!(status, 201);
    // Neither a known key nor a wrong signature uses it up.
    known.token(&running);
    let mut wrong = Phone::new(3).signs(b"x");
    wrong["challenge"] = json!("AAAA");
    assert_eq!(post(&running, "/v1/auth", None, &wrong).0, 401);
    Phone::new(2).token(&running);
    assert_eq!(Phone::new(3).sign_in(&running).0, 403);
    Phone::new(2).token(&running);
}
