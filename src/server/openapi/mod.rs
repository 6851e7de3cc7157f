//! The API as a document: what each route takes, answers and refuses (OpenAPI 3.1).
//!
//! A room keeps a table of [`Doc`]s beside its routes, in the notation of [`shape`]. The document
//! is made from the router's own table together with these, so access and rate limit are those
//! that are in force. A route without a [`Doc`] and a [`Doc`] without a route are marked in the
//! document, and a test looks for the marks; it also makes every example's call.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Access, Route};

mod errors;
pub mod shape;

pub use errors::{ERRORS, ErrorCode};

/// What a route is about. Made by [`Doc::get`] and its like, then filled in.
#[derive(Clone, Copy)]
pub struct Doc {
    pub method: &'static str,
    /// As the router has it.
    pub path: &'static str,
    summary: &'static str,
    details: &'static str,
    query: &'static str,
    takes: &'static [(&'static str, &'static str)],
    status: u16,
    answers: &'static [(&'static str, &'static str)],
    errors: &'static [&'static str],
    examples: &'static [Example],
    /// The shape of its errors.
    error: &'static str,
}

/// A call that the tests make.
#[derive(Clone, Copy)]
pub struct Example {
    /// Path and query.
    pub call: &'static str,
    /// JSON, or empty.
    pub body: &'static str,
    pub status: u16,
}

/// A shape that several routes share: its name and what it is.
pub type Shape = (&'static str, &'static str);

const JSON: &str = "application/json";

impl Doc {
    pub const fn get(path: &'static str, summary: &'static str) -> Doc {
        Doc::of("GET", path, summary)
    }

    pub const fn post(path: &'static str, summary: &'static str) -> Doc {
        Doc::of("POST", path, summary)
    }

    pub const fn patch(path: &'static str, summary: &'static str) -> Doc {
        Doc::of("PATCH", path, summary)
    }

    pub const fn put(path: &'static str, summary: &'static str) -> Doc {
        Doc::of("PUT", path, summary)
    }

    /// Answers `{"success":true}` unless told otherwise.
    pub const fn delete(path: &'static str, summary: &'static str) -> Doc {
        Doc::of("DELETE", path, summary).answers(&[(JSON, "{ success: true }")])
    }

    const fn of(method: &'static str, path: &'static str, summary: &'static str) -> Doc {
        Doc {
            method,
            path,
            summary,
            details: "",
            query: "",
            takes: &[],
            status: 200,
            answers: &[],
            errors: &[],
            examples: &[],
            error: "Error",
        }
    }

    pub const fn details(mut self, details: &'static str) -> Doc {
        self.details = details;
        self
    }

    /// Query parameters as fields.
    pub const fn query(mut self, fields: &'static str) -> Doc {
        self.query = fields;
        self
    }

    /// Bodies by content type; an empty shape stands for bytes.
    pub const fn takes(mut self, bodies: &'static [(&'static str, &'static str)]) -> Doc {
        self.takes = bodies;
        self
    }

    /// Answers of success by content type. A JSON shape that begins with `data` is put into the
    /// envelope `{"success":true,"data":…}`.
    pub const fn answers(mut self, answers: &'static [(&'static str, &'static str)]) -> Doc {
        self.answers = answers;
        self
    }

    /// Another status of success than 200.
    pub const fn status(mut self, status: u16) -> Doc {
        self.status = status;
        self
    }

    /// Codes beyond those that every route of its kind has.
    pub const fn errors(mut self, codes: &'static [&'static str]) -> Doc {
        self.errors = codes;
        self
    }

    /// Errors have this shape instead of `Error`.
    pub const fn errors_as(mut self, shape: &'static str) -> Doc {
        self.error = shape;
        self
    }

    pub const fn examples(mut self, examples: &'static [Example]) -> Doc {
        self.examples = examples;
        self
    }
}

/// `Try("…").status(404)` in a table.
#[allow(non_snake_case, reason = "reads as a word of the table")]
pub const fn Try(call: &'static str) -> Example {
    Example {
        call,
        body: "",
        status: 200,
    }
}

impl Example {
    pub const fn with(mut self, body: &'static str) -> Example {
        self.body = body;
        self
    }

    pub const fn status(mut self, status: u16) -> Example {
        self.status = status;
        self
    }
}

/// The whole document. Takes a few milliseconds: not for the loop.
pub fn document(routes: &[Route], docs: &[Doc], shapes: &[Shape]) -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut tags: Vec<&str> = Vec::new();
    for route in routes {
        let method = route.method.as_str();
        let doc = docs
            .iter()
            .find(|doc| doc.path == route.pattern && doc.method == method);
        let operation = match doc {
            Some(doc) => operation(doc, route),
            None => json!({ "x-undocumented": true, "responses": {} }),
        };
        let tag = tag(route.pattern);
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        let path = paths.entry(route.pattern.replace("...}", "}")).or_default();
        path.insert(method.to_ascii_lowercase(), operation);
    }
    let orphans: Vec<String> = docs
        .iter()
        .filter(|doc| {
            !routes
                .iter()
                .any(|route| route.pattern == doc.path && route.method.as_str() == doc.method)
        })
        .map(|doc| format!("{} {}", doc.method, doc.path))
        .collect();
    tags.sort_unstable();
    let tags: Vec<Value> = tags.iter().map(|tag| json!({ "name": tag })).collect();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Magpie",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "cookie": { "type": "apiKey", "in": "cookie", "name": "magpie_token" },
            },
            "schemas": components(shapes),
        },
        "x-error-codes": errors::table(),
    });
    if !orphans.is_empty() {
        document["x-without-route"] = json!(orphans);
    }
    document
}

const ABOUT: &str = "The box's HTTP interface. Success is `{\"success\":true,\"data\":…}`, failure \
    `{\"success\":false,\"error\":{\"code\",\"message\"}}`. Times are RFC 3339 in UTC, durations \
    seconds unless a name ends in `_ms`. Unknown fields of a request are ignored. The WebSocket at \
    `/ws` is described in docs/ws.md.";

fn components(shapes: &[Shape]) -> Map<String, Value> {
    let mut schemas = Map::new();
    schemas.insert(
        String::from("Error"),
        made("{ success: false, error: { code: text, message: text, details?: object } }"),
    );
    for (name, text) in shapes {
        schemas.insert((*name).to_owned(), made(text));
    }
    schemas
}

fn operation(doc: &Doc, route: &Route) -> Value {
    let mut operation = json!({
        "operationId": operation_id(doc),
        "summary": doc.summary,
        "tags": [tag(doc.path)],
        "responses": responses(doc, route),
        "security": match route.access {
            Access::Public => json!([]),
            Access::Member | Access::Admin => json!([{ "token": [] }, { "cookie": [] }]),
        },
        "x-access": match route.access {
            Access::Public => "anybody",
            Access::Member => "a paired device",
            Access::Admin => "an admin",
        },
        "x-rate-limited": route.counted,
    });
    if !doc.details.is_empty() {
        operation["description"] = json!(doc.details);
    }
    let parameters = parameters(doc);
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if !doc.takes.is_empty() {
        operation["requestBody"] = json!({ "content": contents(doc.takes, false) });
    }
    if !doc.examples.is_empty() {
        let examples = doc.examples.iter().map(|example| {
            json!({
                "call": example.call,
                "body": serde_json::from_str::<Value>(example.body).ok(),
                "status": example.status,
            })
        });
        operation["x-examples"] = examples.collect();
    }
    operation
}

/// Stable and readable: `get_memories_id` of `GET /api/v1/memories/{id}`.
fn operation_id(doc: &Doc) -> String {
    let mut id = doc.method.to_ascii_lowercase();
    for part in doc.path.split('/').filter(|part| !part.is_empty()) {
        if part == "api" || part == "v1" {
            continue;
        }
        id.push('_');
        id.extend(part.chars().filter_map(|c| match c {
            '{' | '}' => None,
            c if c.is_ascii_alphanumeric() => Some(c),
            _ => Some('_'),
        }));
    }
    match doc.path.starts_with("/api/") && !doc.path.starts_with("/api/v1/") {
        true => format!("{id}_older"),
        false => id,
    }
}

/// What stands behind `/api/v1/`; the first dialect's routes together, and the rest.
fn tag(path: &str) -> &str {
    match path.strip_prefix("/api/v1/") {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None if path.starts_with("/api/") && path != "/api/openapi.json" => "older dialect",
        None => "box",
    }
}

fn parameters(doc: &Doc) -> Vec<Value> {
    let in_path = doc.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({
            "name": name.trim_end_matches("..."),
            "in": "path",
            "required": true,
            "schema": { "type": "string" },
        }))
    });
    let in_query = match shape::fields(doc.query) {
        Ok(fields) => fields,
        Err(error) => return vec![json!({ "x-mistake": error.0 })],
    };
    let in_query = in_query.into_iter().map(|mut field| {
        let said = field.schema.as_object_mut();
        let said = said.and_then(|schema| schema.remove("description"));
        json!({
            "name": field.name,
            "in": "query",
            "required": !field.optional,
            "schema": field.schema,
            "description": said.unwrap_or(json!("")),
        })
    });
    in_path.chain(in_query).collect()
}

fn responses(doc: &Doc, route: &Route) -> Map<String, Value> {
    let mut responses = Map::new();
    let mut success = json!({ "description": "Done." });
    if doc.status == 101 {
        success = json!({ "description": "A WebSocket from here on." });
        let refused = json!({ "description": "This address is a WebSocket alone." });
        responses.insert(String::from("426"), refused);
    } else if !doc.answers.is_empty() {
        success["content"] = Value::Object(contents(doc.answers, true));
    }
    responses.insert(doc.status.to_string(), success);
    let mut codes: Vec<&str> = doc.errors.to_vec();
    if !doc.takes.is_empty() || !doc.query.is_empty() {
        codes.push("INVALID_REQUEST");
    }
    if route.access != Access::Public {
        codes.push("UNAUTHORIZED");
    }
    if route.access == Access::Admin {
        codes.push("FORBIDDEN");
    }
    if route.counted {
        codes.push("RATE_LIMIT_EXCEEDED");
    }
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in codes {
        let known = ERRORS.iter().find(|known| known.code == code);
        let status = known.map_or(0, |known| known.status);
        let list = by_status.entry(status).or_default();
        if !list.contains(&code) {
            list.push(code);
        }
    }
    for (status, codes) in by_status {
        let answer = json!({
            "description": codes.join(", "),
            "content": { JSON: { "schema": { "$ref": format!("#/components/schemas/{}", doc.error) } } },
        });
        responses.entry(status.to_string()).or_insert(answer);
    }
    responses
}

fn contents(bodies: &[(&str, &str)], is_answer: bool) -> Map<String, Value> {
    let mut contents = Map::new();
    for (content_type, text) in bodies {
        let schema = match (*text, text.strip_prefix("data ")) {
            ("", _) => json!({}),
            (_, Some(data)) if is_answer => {
                let mut whole = made("{ success: true }");
                whole["properties"]["data"] = made(data);
                whole["required"] = json!(["success", "data"]);
                whole
            }
            (text, _) => made(text),
        };
        contents.insert((*content_type).to_owned(), json!({ "schema": schema }));
    }
    contents
}

/// A mistake in a table shows in the document, where the test of the document finds it.
fn made(text: &str) -> Value {
    shape::schema(text).unwrap_or_else(|error| json!({ "x-mistake": error.0 }))
}
