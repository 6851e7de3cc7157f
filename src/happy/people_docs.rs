//! What the routes of accounts, people and the world outside take and answer.

use crate::server::openapi::{Doc, Try};

const JSON: &str = "application/json";

#[rustfmt::skip]
pub const DOCS: &[Doc] = &[
    Doc::get("/v1/account/profile", "Happy: who the account is")
        .answers(&[(JSON, "{ id: text, timestamp: int, firstName: null, lastName: null, username: text|null, avatar: null, github: null, connectedServices: [text] }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/account/profile").status(401)]),
    Doc::get("/v1/account/settings", "Happy: the settings and their version")
        .answers(&[(JSON, "{ settings: text|null, settingsVersion: int }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/account/settings").status(401)]),
    Doc::post("/v1/account/settings", "Happy: new settings in place of those of a version")
        .takes(&[(JSON, "{ settings: text|null, expectedVersion: int }")])
        .answers(&[(JSON, "{ success: bool, version?: int, error?: text, currentVersion?: int, currentSettings?: text|null }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/account/settings").with("{}").status(400)]),
    Doc::post("/v1/usage/query", "Happy: what sessions used, by hour or day")
        .takes(&[(JSON, "{ sessionId?: text|null, startTime?: int|null, endTime?: int|null, groupBy?: 'hour'|'day'|null }")])
        .answers(&[(JSON, "{ usage: [object], groupBy: 'hour'|'day', totalReports: int }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/usage/query").with("{}").status(401)]),
    Doc::get("/v1/kv/{key}", "Happy: one value")
        .answers(&[(JSON, "{ key: text, value: text, version: int }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/kv/none").status(401)]),
    Doc::get("/v1/kv", "Happy: values by the beginning of their keys")
        .query("prefix?: text, limit?: int")
        .answers(&[(JSON, "{ items: [object] }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/kv").status(401)]),
    Doc::post("/v1/kv/bulk", "Happy: several values")
        .takes(&[(JSON, "{ keys: [text] }")])
        .answers(&[(JSON, "{ values: [object] }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/kv/bulk").with("{}").status(400)]),
    Doc::post("/v1/kv", "Happy: change several values, all of them or none")
        .takes(&[(JSON, "{ mutations: [object] }")])
        .answers(&[(JSON, "{ success: true, results: [object] }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/kv").with("{}").status(400)]),
    Doc::post("/v1/push-tokens", "Happy: a phone that wants to be told")
        .takes(&[(JSON, "{ token: text }")])
        .answers(&[(JSON, "{ success: true }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/push-tokens").with("{}").status(400)]),
    Doc::get("/v1/push-tokens", "Happy: the phones, the newest first")
        .answers(&[(JSON, "{ tokens: [object] }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/push-tokens").status(401)]),
    Doc::delete("/v1/push-tokens/{token}", "Happy: forget a phone")
        .answers(&[(JSON, "{ success: true }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/push-tokens/none").status(401)]),
    Doc::post("/v1/sessions/{id}/push-event", "Happy: a moment of a session that the person may want to know of")
        .takes(&[(JSON, "{ kind: 'done'|'permission'|'question', title: text, body: text, data?: object }")])
        .answers(&[(JSON, "{ success: true, result: 'sent'|'partial'|'suppressed'|'no_tokens'|'failed', tokens?: int, delivered?: int, reason?: text }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/sessions/none/push-event").with("{}").status(400)]),
    Doc::patch("/api/v1/happy/accounts/{id}", "Name a Happy account, so that others find it")
        .details("The original takes names from GitHub. Null takes the name away.")
        .takes(&[(JSON, "{ username: text(1..39)|null }")])
        .answers(&[(JSON, "data {}")])
        .errors(&["NOT_FOUND", "CONFLICT"])
        .examples(&[Try("/api/v1/happy/accounts/nothing").with(r#"{"username":"anna"}"#).status(404)]),
    Doc::get("/v1/user/search", "Happy: people by the beginning of their names")
        .query("query: text")
        .answers(&[(JSON, "{ users: [object] }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/user/search?query=a").status(401)]),
    Doc::get("/v1/user/{id}", "Happy: one person")
        .answers(&[(JSON, "{ user: object }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/user/none").status(401)]),
    Doc::get("/v1/friends", "Happy: friends, and who asks or was asked")
        .answers(&[(JSON, "{ friends: [object] }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/friends").status(401)]),
    Doc::post("/v1/friends/add", "Happy: ask a person to be a friend, or agree")
        .takes(&[(JSON, "{ uid: text }")])
        .answers(&[(JSON, "{ user: object|null }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/friends/add").with("{}").status(400)]),
    Doc::post("/v1/friends/remove", "Happy: a friend no more, or a request refused or taken back")
        .takes(&[(JSON, "{ uid: text }")])
        .answers(&[(JSON, "{ user: object|null }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/friends/remove").with("{}").status(400)]),
    Doc::get("/v1/feed", "Happy: what others did that concerns the account, the newest first")
        .query("before?: text, after?: text, limit?: int")
        .answers(&[(JSON, "{ items: [object], hasMore: bool }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/feed").status(401)]),
    Doc::post("/v1/connect/{vendor}/register", "Happy: keep the token of a vendor")
        .takes(&[(JSON, "{ token: text }")])
        .answers(&[(JSON, "{ success: true }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/connect/openai/register").with("{}").status(400)]),
    Doc::get("/v1/connect/{vendor}/token", "Happy: the token of a vendor")
        .answers(&[(JSON, "{ token: text|null }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/connect/openai/token").status(401)]),
    Doc::delete("/v1/connect/{vendor}", "Happy: forget the token of a vendor")
        .answers(&[(JSON, "{ success: true }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/connect/openai").status(401)]),
    Doc::get("/v1/connect/tokens", "Happy: the tokens of all vendors")
        .answers(&[(JSON, "{ tokens: [object] }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/connect/tokens").status(401)]),
    Doc::get("/v1/connect/github/params", "Happy: where to link GitHub, which this box does not")
        .answers(&[(JSON, "{ url: text }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/connect/github/params").status(401)]),
    Doc::get("/v1/connect/github/callback", "Happy: back from GitHub, with nothing done")
        .query("code: text, state: text")
        .status(302)
        .answers(&[])
        .errors_as("HappyError")
        .examples(&[Try("/v1/connect/github/callback?code=c&state=s").status(302)]),
    Doc::post("/v1/connect/github/webhook", "Happy: what GitHub tells, which nobody here waits for")
        .answers(&[(JSON, "{ success: true }")])
        .errors(&["INTERNAL_ERROR"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/connect/github/webhook").with("{}").status(500)]),
    Doc::delete("/v1/connect/github", "Happy: undo the link that is not there")
        .answers(&[(JSON, "{ success: true }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/connect/github").status(401)]),
    Doc::post("/v1/voice/conversations", "Happy: a conversation with ElevenLabs, which this box does not have")
        .takes(&[(JSON, "{ agentId: text }")])
        .answers(&[(JSON, "{ allowed: bool }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/voice/conversations").with("{}").status(400)]),
    Doc::get("/v1/voice/usage", "Happy: how much of it was used")
        .answers(&[(JSON, "{ usedSeconds: int }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/voice/usage").status(401)]),
    Doc::post("/v1/version", "Happy: whether an app is too old")
        .takes(&[(JSON, "{ platform: text, version: text, app_id: text }")])
        .answers(&[(JSON, "{ updateUrl: null }")])
        .errors_as("HappyError")
        .examples(&[Try("/v1/version").with("{}").status(400)]),
];
