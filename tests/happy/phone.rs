//! A client's half: a key of its own, and calls with the token it was given.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::support::{Home, Running};

pub struct Phone(Ed25519KeyPair);

impl Phone {
    pub fn new(seed: u8) -> Phone {
        Phone(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed"))
    }

    /// As the box keeps it.
    pub fn key(&self) -> String {
        let key = self.0.public_key().as_ref();
        key.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The body of `POST /v1/auth`.
    pub fn signs(&self, challenge: &[u8]) -> Value {
        json!({
            "publicKey": STANDARD.encode(self.0.public_key()),
            "challenge": STANDARD.encode(challenge),
            "signature": STANDARD.encode(self.0.sign(challenge)),
        })
    }

    pub fn sign_in(&self, running: &Running) -> (u16, Value) {
        post(running, "/v1/auth", None, &self.signs(&[9; 32]))
    }

    pub fn token(&self, running: &Running) -> String {
        let (status, answer) = self.sign_in(running);
        assert_eq!(status, 200, "{answer}");
        answer["token"].as_str().expect("a token").to_owned()
    }
}

pub fn home(registration: &str) -> Home {
    Home::new().set("HAPPY_REGISTRATION", registration)
}

pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

pub fn post(running: &Running, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
    post_text(running, path, token, "application/json", &body.to_string())
}

pub fn post_text(
    running: &Running,
    path: &str,
    token: Option<&str>,
    content_type: &str,
    body: &str,
) -> (u16, Value) {
    send(running, "POST", path, token, content_type, body.as_bytes())
}

pub fn send(
    running: &Running,
    method: &str,
    path: &str,
    token: Option<&str>,
    content_type: &str,
    body: &[u8],
) -> (u16, Value) {
    let mut request = http::Request::builder()
        .method(method)
        .uri(url(running, path))
        .header("content-type", content_type);
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    read(agent().run(request.body(body).expect("a request")))
}

pub fn get(running: &Running, path: &str) -> (u16, Value) {
    call(running, "GET", path, None)
}

/// A call without a body, which clients say is JSON nevertheless.
pub fn call(running: &Running, method: &str, path: &str, token: Option<&str>) -> (u16, Value) {
    let mut request = http::Request::builder()
        .method(method)
        .uri(url(running, path))
        .header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    read(agent().run(request.body(()).expect("a request")))
}

pub fn bytes(running: &Running, path: &str, token: &str) -> (u16, Vec<u8>) {
    let request = agent()
        .get(url(running, path))
        .header("authorization", token);
    let mut answer = request.call().expect("an answer");
    let body = answer.body_mut().with_config().limit(u64::MAX);
    let body = body.read_to_vec().expect("a body");
    (answer.status().as_u16(), body)
}

pub fn url(running: &Running, path: &str) -> String {
    let address = running.address("http").expect("a plain listener");
    format!("http://{address}{path}")
}

pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(std::time::Duration::from_secs(60)));
    ureq::Agent::new_with_config(config.build())
}

pub fn read(answer: Result<http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let mut answer = answer.expect("an answer");
    let body = answer.body_mut().with_config().limit(u64::MAX);
    let text = body.read_to_string().expect("a text");
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (answer.status().as_u16(), value)
}
