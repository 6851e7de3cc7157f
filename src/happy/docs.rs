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
        .errors(&["UNAUTHORIZED"])
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
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/auth/account/response").with("{}").status(400)]),
    Doc::post("/v1/sessions", "Happy: the session of a tag, made unless it is there")
        .takes(&[(JSON, "{ tag: text, metadata: text, agentState?: text|null, dataEncryptionKey?: text|null }")])
        .answers(&[(JSON, "{ session: object }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/sessions").with("{}").status(400)]),
    Doc::get("/v1/sessions", "Happy: the newest 150 sessions")
        .answers(&[(JSON, "{ sessions: [object] }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/sessions").status(401)]),
    Doc::get("/v2/sessions", "Happy: sessions by page")
        .query("cursor?: text, limit?: int, changedSince?: int")
        .answers(&[(JSON, "{ sessions: [object], nextCursor: text|null, hasNext: bool }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v2/sessions").status(401)]),
    Doc::get("/v2/sessions/active", "Happy: sessions heard of within 15 minutes")
        .query("limit?: int")
        .answers(&[(JSON, "{ sessions: [object] }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v2/sessions/active").status(401)]),
    Doc::post("/v1/sessions/{id}/archive", "Happy: end a session")
        .answers(&[(JSON, "{ success: true }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/sessions/nothing/archive").status(401)]),
    Doc::delete("/v1/sessions/{id}", "Happy: remove a session with its messages")
        .answers(&[(JSON, "{ success: true }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/sessions/nothing").status(401)]),
    Doc::get("/v3/sessions/{id}/messages", "Happy: a page of messages")
        .query("after_seq?: int, before_seq?: int, limit?: int")
        .answers(&[(JSON, "{ messages: [object], hasMore: bool }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v3/sessions/nothing/messages").status(401)]),
    Doc::post("/v3/sessions/{id}/messages", "Happy: store messages, each local id once")
        .takes(&[(JSON, "{ messages: [object] }")])
        .answers(&[(JSON, "{ messages: [object] }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v3/sessions/nothing/messages").with("{}").status(400)]),
    Doc::get("/v1/sessions/{id}/messages", "Happy: the newest 150 messages")
        .answers(&[(JSON, "{ messages: [object] }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/sessions/nothing/messages").status(401)]),
    Doc::post("/v1/machines", "Happy: the machine of an id, made unless it is there")
        .takes(&[(JSON, "{ id: text, metadata: text, daemonState?: text, dataEncryptionKey?: text|null }")])
        .answers(&[(JSON, "{ machine: object }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/machines").with("{}").status(400)]),
    Doc::get("/v1/machines", "Happy: the machines")
        .answers(&[(JSON, "[object]")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/machines").status(401)]),
    Doc::get("/v1/machines/{id}", "Happy: one machine")
        .answers(&[(JSON, "{ machine: object }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/machines/nothing").status(401)]),
    Doc::delete("/v1/machines/{id}", "Happy: remove a machine")
        .answers(&[(JSON, "{ success: true }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/machines/nothing").status(401)]),
    Doc::get("/v1/access-keys/{session}/{machine}", "Happy: the key of a session on a machine")
        .answers(&[(JSON, "{ accessKey: object|null }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/access-keys/nothing/nothing").status(401)]),
    Doc::post("/v1/access-keys/{session}/{machine}", "Happy: keep a key")
        .takes(&[(JSON, "{ data: text }")])
        .answers(&[(JSON, "{ success: true, accessKey: object }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/access-keys/nothing/nothing").with("{}").status(400)]),
    Doc::put("/v1/access-keys/{session}/{machine}", "Happy: replace a key of a known version")
        .takes(&[(JSON, "{ data: text, expectedVersion: int }")])
        .answers(&[(JSON, "{ success: bool, version?: int, error?: text, currentVersion?: int, currentData?: text }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/access-keys/nothing/nothing").with("{}").status(400)]),
    Doc::get("/v1/artifacts", "Happy: the newest 200 artifacts, without their bodies")
        .answers(&[(JSON, "[object]")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/artifacts").status(401)]),
    Doc::post("/v1/artifacts", "Happy: the artifact of an id, made unless it is there")
        .takes(&[(JSON, "{ id: text, header: text, body: text, dataEncryptionKey: text }")])
        .answers(&[(JSON, "object")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/artifacts").with("{}").status(400)]),
    Doc::get("/v1/artifacts/{id}", "Happy: one artifact")
        .answers(&[(JSON, "object")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/artifacts/nothing").status(401)]),
    Doc::post("/v1/artifacts/{id}", "Happy: replace parts of known versions")
        .takes(&[(JSON, "{ header?: text, expectedHeaderVersion?: int, body?: text, expectedBodyVersion?: int }")])
        .answers(&[(JSON, "{ success: bool, headerVersion?: int, bodyVersion?: int, error?: text, currentHeaderVersion?: int, currentHeader?: text, currentBodyVersion?: int, currentBody?: text }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/artifacts/nothing").with("{}").status(401)]),
    Doc::delete("/v1/artifacts/{id}", "Happy: remove an artifact")
        .answers(&[(JSON, "{ success: true }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/artifacts/nothing").status(401)]),
    Doc::post("/v1/sessions/{id}/attachments/request-upload", "Happy: where to send an encrypted blob of a session")
        .takes(&[(JSON, "{ filename: text, size: number }")])
        .answers(&[(JSON, "{ ref: text, uploadUrl: text, method: text }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/sessions/nothing/attachments/request-upload").with("{}").status(400)]),
    Doc::post("/v1/sessions/{id}/attachments/request-download", "Happy: where to get a blob")
        .takes(&[(JSON, "{ ref: text }")])
        .answers(&[(JSON, "{ downloadUrl: text }")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/sessions/nothing/attachments/request-download").with("{}").status(400)]),
    Doc::put("/v1/sessions/{id}/attachments/{file}", "Happy: keep a blob")
        .takes(&[("application/octet-stream", "")])
        .answers(&[(JSON, "{ ok: true }")])
        .errors(&["UNAUTHORIZED", "UNSUPPORTED_MEDIA_TYPE"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/sessions/nothing/attachments/a.enc").status(415)]),
    Doc::get("/v1/sessions/{id}/attachments/{file}", "Happy: a blob")
        .answers(&[("application/octet-stream", "")])
        .errors(&["UNAUTHORIZED"])
        .errors_as("HappyError")
        .examples(&[Try("/v1/sessions/nothing/attachments/a.enc").status(401)]),
    Doc::get("/v1/updates/", "Happy: events of the moment, by Socket.IO; see docs/happy.md")
        .status(101)
        .query("EIO: text, transport: text")
        .errors_as("SocketIoError")
        .examples(&[Try("/v1/updates/?EIO=3&transport=websocket").status(400)]),
    Doc::post("/v1/updates/", "Happy: packets of a Socket.IO client that polls")
        .query("EIO: text, transport: text, sid: text")
        .errors_as("SocketIoError")
        .examples(&[Try("/v1/updates/?EIO=3&transport=polling").status(400)]),
    Doc::put("/v1/updates/", "Happy: no call of Socket.IO, and told so as the original does")
        .errors(&["INVALID_REQUEST"])
        .errors_as("SocketIoError")
        .examples(&[Try("/v1/updates/?EIO=4&transport=polling").status(400)]),
    Doc::patch("/v1/updates/", "Happy: no call of Socket.IO either")
        .errors(&["INVALID_REQUEST"])
        .errors_as("SocketIoError")
        .examples(&[Try("/v1/updates/?EIO=4&transport=polling").status(400)]),
    Doc::delete("/v1/updates/", "Happy: no call of Socket.IO either")
        .errors(&["INVALID_REQUEST"])
        .errors_as("SocketIoError")
        .examples(&[Try("/v1/updates/?EIO=4&transport=polling").status(400)]),
    Doc::get("/api/v1/happy", "Accounts and devices of Happy sync")
        .answers(&[(JSON, "data { registration: text, invites: int, accounts: [HappyAccount] }")])
        .errors(&["DATABASE_ERROR"])
        .examples(&[Try("/api/v1/happy")]),
    Doc::put("/api/v1/happy/accounts/{id}/bounds", "What one Happy account may store, and for how long it keeps what it does not use")
        .details("Null: as every account, by HAPPY_ACCOUNT_MB and HAPPY_KEEP_DAYS. 0 days: for ever.")
        .takes(&[(JSON, "{ max_mb: int|null, keep_days: int(0..36500)|null }")])
        .answers(&[(JSON, "data {}")])
        .errors(&["NOT_FOUND", "DATABASE_ERROR"])
        .examples(&[Try("/api/v1/happy/accounts/nothing/bounds").with(r#"{"max_mb":100,"keep_days":null}"#).status(404)]),
    Doc::delete("/api/v1/happy/devices/{id}", "Take a Happy device's token back; its sockets end at once")
        .answers(&[(JSON, "data {}")])
        .errors(&["NOT_FOUND", "DATABASE_ERROR"])
        .examples(&[Try("/api/v1/happy/devices/nothing").status(404)]),
    Doc::get("/api/v1/happy/accounts/{id}/export", "A Happy account whole, in one archive, streamed")
        .details("A zip of rows, attachments and a manifest, for `import` on another box, where the same key finds everything. Tokens of devices and of vendors and friends stay. One export or import at a time.")
        .answers(&[("application/zip", "")])
        .errors(&["NOT_FOUND", "CONFLICT", "STORAGE_FULL", "DATABASE_ERROR"])
        .examples(&[Try("/api/v1/happy/accounts/nothing/export").status(404)]),
    Doc::post("/api/v1/happy/import", "Take in the archive of a Happy account, whole or not at all")
        .details("The body is the archive. All of it is checked before its first row is stored, and nobody sees the account before its last one is. An account that is here already is a conflict: remove it first. `username_taken`: another account has its name, so it has none.")
        .takes(&[("application/zip", "")])
        .answers(&[(JSON, "data { account: text, counts: object # rows by kind\n username_taken: bool }")])
        .errors(&["CONFLICT", "PAYLOAD_TOO_LARGE", "STORAGE_FULL", "DATABASE_ERROR"])
        .examples(&[Try("/api/v1/happy/import").with("{}").status(400)]),
    Doc::delete("/api/v1/happy/accounts/{id}", "Remove a Happy account with all that it stores; its tokens hold no more, its sockets end")
        .answers(&[(JSON, "data { pending: bool # the last of it goes in the background\n }")])
        .errors(&["NOT_FOUND", "DATABASE_ERROR"])
        .examples(&[Try("/api/v1/happy/accounts/nothing").status(404)]),
    Doc::post("/api/v1/happy/invites", "Let the next unknown Happy key become an account")
        .details("For HAPPY_REGISTRATION=invite. It is used up by one key, and ends by itself.")
        .status(201)
        .answers(&[(JSON, "data { valid_for_s: int }")])
        .errors(&["CONFLICT"])
        .examples(&[Try("/api/v1/happy/invites").status(201)]),
];

#[rustfmt::skip]
pub const SHAPES: &[Shape] = &[
    ("SocketIoError", "{ code: int, message: text }"),
    ("HappyAccount", "{ id: text, username: text|null, created_at: time, sessions: int, machines: int, bytes: int\n bytes_max: int # what it may store\n keep_days: int # sessions that were not used for longer go; 0: none does\n devices: [HappyDevice] }"),
    ("HappyDevice", "{ id: text, kind: text # phone, terminal or linked\n agent: text|null, host: text|null # by which it called the box\n created_at: time, last_seen_at: time, connected: bool }"),
    ("HappyError", "{ error: text, message?: text, statusCode?: int }"),
];
