//! A client that is in: calls with its token.

use serde_json::{Value, json};

use crate::phone::{Phone, bytes, call, post, send};
use crate::support::Running;

pub struct Client<'a> {
    pub running: &'a Running<'a>,
    pub bearer: String,
}

impl<'a> Client<'a> {
    pub fn new(running: &'a Running<'a>, seed: u8) -> Client<'a> {
        let bearer = format!("Bearer {}", Phone::new(seed).token(running));
        Client { running, bearer }
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        post(self.running, path, Some(&self.bearer), body)
    }

    pub fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        let bearer = Some(self.bearer.as_str());
        let text = body.to_string();
        send(
            self.running,
            "PUT",
            path,
            bearer,
            "application/json",
            text.as_bytes(),
        )
    }

    /// What is no JSON.
    pub fn bytes(&self, path: &str) -> (u16, Vec<u8>) {
        bytes(self.running, path, &self.bearer)
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        call(self.running, "GET", path, Some(&self.bearer))
    }

    pub fn delete(&self, path: &str) -> (u16, Value) {
        call(self.running, "DELETE", path, Some(&self.bearer))
    }

    /// The id of the session of this tag.
    pub fn session(&self, tag: &str) -> String {
        let (status, told) = self.post("/v1/sessions", &json!({"tag": tag, "metadata": "bQ=="}));
        assert_eq!(status, 200, "{told}");
        told["session"]["id"].as_str().expect("an id").to_owned()
    }
}
