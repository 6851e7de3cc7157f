//! What the room's routes take and answer.

use crate::server::openapi::{Doc, Shape, Try};

const JSON: &str = "application/json";

#[rustfmt::skip]
pub const DOCS: &[Doc] = &[
    Doc::post("/v1/auth", "Happy: sign in with a key")
        .takes(&[(JSON, "{ publicKey: text, challenge: text, signature: text }")])
        .answers(&[(JSON, "{ success: true, token: text }")])
        .errors_as("HappyError")
        .examples(&[Try("/v1/auth").with("{}").status(400)]),
    Doc::post("/v1/auth/request", "Happy: a terminal asks to be let in, and asks again until it is")
        .takes(&[(JSON, "{ publicKey: text, supportsV2?: bool|null }")])
        .answers(&[(JSON, "{ state: 'requested'|'authorized', token?: text, response?: text }")])
        .errors_as("HappyError")
        .examples(&[Try("/v1/auth/request").with("{}").status(400)]),
    Doc::get("/v1/auth/request/status", "Happy: how a terminal's request stands")
        .query("publicKey: text")
        .answers(&[(JSON, "{ status: 'not_found'|'pending'|'authorized', supportsV2: bool }")])
        .errors_as("HappyError")
        .examples(&[Try("/v1/auth/request/status?publicKey=AA%3D%3D")]),
    Doc::post("/v1/auth/response", "Happy: let a terminal in")
        .takes(&[(JSON, "{ publicKey: text, response: text }")])
        .answers(&[(JSON, "{ success: true }")])
        .errors_as("HappyError")
        .examples(&[Try("/v1/auth/response").with("{}").status(400)]),
    Doc::post("/v1/auth/account/request", "Happy: another device of the same person asks to be let in")
        .takes(&[(JSON, "{ publicKey: text }")])
        .answers(&[(JSON, "{ state: 'requested'|'authorized', token?: text, response?: text }")])
        .errors_as("HappyError")
        .examples(&[Try("/v1/auth/account/request").with("{}").status(400)]),
    Doc::post("/v1/auth/account/response", "Happy: let another device in")
        .takes(&[(JSON, "{ publicKey: text, response: text }")])
        .answers(&[(JSON, "{ success: true }")])
        .errors_as("HappyError")
        .examples(&[Try("/v1/auth/account/response").with("{}").status(400)]),
    Doc::post("/api/v1/happy/invites", "Let the next unknown Happy key become an account")
        .details("For HAPPY_REGISTRATION=invite. It is used up by one key, and ends by itself.")
        .status(201)
        .answers(&[(JSON, "data { valid_for_s: int }")])
        .errors(&["CONFLICT"])
        .examples(&[Try("/api/v1/happy/invites").status(201)]),
];

#[rustfmt::skip]
pub const SHAPES: &[Shape] = &[
    ("HappyError", "{ error: text, message?: text, statusCode?: int }"),
];
