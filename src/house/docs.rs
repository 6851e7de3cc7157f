//! What the house's own routes take and answer, and `/api/openapi.json`, which tells it of all.

use std::cell::OnceCell;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::pages;
use crate::server::openapi::{self, Doc, Shape, Try};
use crate::server::{Access, HttpError, Method, Response, Router, StatusCode};

const JSON: &str = "application/json";

/// The notation is that of [`openapi::shape`].
#[rustfmt::skip]
pub const DOCS: &[Doc] = &[
    Doc::get("/health", "How the box is")
        .details("Flat, without an envelope. Details are for paired devices and the box itself. 503 when the database cannot be written.")
        .answers(&[(JSON, "Health")])
        .errors(&["UNAVAILABLE"])
        .examples(&[Try("/health")]),
    Doc::get("/api/openapi.json", "This document")
        .answers(&[(JSON, "object")])
        .examples(&[Try("/api/openapi.json")]),
    Doc::get("/trust", "How a phone comes to trust the box")
        .answers(&[("text/html; charset=utf-8", "")])
        .errors(&["NOT_FOUND"])
        .examples(&[Try("/trust").status(404)]),
    Doc::get("/ca.crt", "The box's own authority, in DER")
        .answers(&[("application/x-x509-ca-cert", "")])
        .errors(&["NOT_FOUND"])
        .examples(&[Try("/ca.crt").status(404)]),
    Doc::get("/magpie.mobileconfig", "The same as a profile for iOS and iPadOS")
        .answers(&[("application/x-apple-aspen-config", "")])
        .errors(&["NOT_FOUND"])
        .examples(&[Try("/magpie.mobileconfig").status(404)]),

    Doc::get("/api/v1/session", "Who is calling, and what the page has to know first")
        .answers(&[(JSON, "data { claimed: bool, role: 'owner'|'device'|'nobody', device_id: id|null, https_port: int|null, name: text }")])
        .examples(&[Try("/api/v1/session")]),
    Doc::post("/api/v1/pair", "Pair a device by the code that the box shows")
        .details("The first one claims the box and is an admin. The token is told once; a cookie with it is set for browsers.")
        .takes(&[(JSON, "{ code: text # six digits\n name?: text(..64) }")])
        .status(201)
        .answers(&[(JSON, "data { token: text, device: Device, claimed: bool }")])
        .errors(&["WRONG_CODE", "CODE_EXPIRED", "CONFLICT", "UNAVAILABLE", "STORAGE_FULL", "DATABASE_ERROR"])
        .examples(&[Try("/api/v1/pair").with(r#"{"code":"000000","name":"Phone"}"#).status(403)]),
    Doc::post("/api/v1/pair/code", "Have the code of an unclaimed box shown on its console again")
        .details("The answer does not tell the code. 409 once the box has an owner.")
        .answers(&[(JSON, "data { valid_for_s: int }")])
        .errors(&["CONFLICT", "RATE_LIMIT_EXCEEDED"])
        .examples(&[Try("/api/v1/pair/code").status(409)]),
    Doc::get("/api/v1/devices", "The paired devices")
        .answers(&[(JSON, "data { devices: [Device] }")])
        .examples(&[Try("/api/v1/devices")]),
    Doc::post("/api/v1/devices", "Make a token for a program; it is told once")
        .details("The first device of a box is always an admin, and claims it.")
        .takes(&[(JSON, "{ name: text(..64), admin?: bool }")])
        .status(201)
        .answers(&[(JSON, "data { token: text, device: Device }")])
        .errors(&["CONFLICT", "UNAVAILABLE", "STORAGE_FULL", "DATABASE_ERROR"])
        .examples(&[Try("/api/v1/devices").with(r#"{"name":"Kitchen display"}"#).status(201), Try("/api/v1/devices").with(r#"{"name":7}"#).status(400)]),
    Doc::post("/api/v1/devices/code", "A code for one more device")
        .takes(&[(JSON, "{ admin?: bool }")])
        .answers(&[(JSON, "data { code: text, admin: bool, valid_for_s: int, url: text # to be opened on the device; the code is behind the # \n qr: [text] # the url as a QR code, a row each: 0 light, 1 dark\n }")])
        .errors(&["CONFLICT", "UNAVAILABLE"])
        .examples(&[Try("/api/v1/devices/code").with(r#"{"admin":false}"#)]),
    Doc::get("/api/v1/addresses", "Where clients reach the box")
        .query("url?: text(..256) # of which the QR code is; the first address otherwise")
        .answers(&[(JSON, "data { urls: [text], qr: [text] # a row each: 0 light, 1 dark\n }")])
        .examples(&[Try("/api/v1/addresses"), Try("/api/v1/addresses?url=ftp%3A%2F%2Fx").status(400)]),
    Doc::delete("/api/v1/devices/{id}", "Take a device away; its sockets end at once")
        .answers(&[(JSON, "data {}")])
        .errors(&["NOT_FOUND", "DATABASE_ERROR"])
        .examples(&[Try("/api/v1/devices/dev_0000000000000001"), Try("/api/v1/devices/dev_ffffffffffffffff").status(404)]),

    Doc::get("/api/v1/settings", "All settings: value, origin, what is allowed")
        .answers(&[(JSON, "data Settings")])
        .examples(&[Try("/api/v1/settings")]),
    Doc::patch("/api/v1/settings", "Choose settings; null takes one back to its default")
        .details("A field a setting, by its name. All or nothing. 409 names the place that fixes a value; 403 where only the box itself may be used. Secrets are kept sealed and never told.")
        .takes(&[(JSON, "object")])
        .answers(&[(JSON, "data Settings")])
        .errors(&["CONFLICT", "STORAGE_FULL", "DATABASE_ERROR"])
        .examples(&[
            Try("/api/v1/settings").with(r#"{"VOLUME":50,"TTS_VOICE":null}"#),
            Try("/api/v1/settings").with(r#"{"VOLUM":50}"#).status(400),
            Try("/api/v1/settings").with(r#"{"DATA_DIR":"/tmp"}"#).status(403),
            Try("/api/v1/settings").with(r#"{"RATE_LIMIT":5}"#).status(409),
        ]),
    Doc::post("/api/v1/settings/test", "Try the providers of a stage with the settings in force")
        .takes(&[(JSON, "{ stage: 'stt'|'llm'|'tts'|'embed' }")])
        .answers(&[(JSON, "data object")])
        .errors(&["UNAVAILABLE"])
        .examples(&[Try("/api/v1/settings/test").with(r#"{"stage":"x"}"#).status(400)]),

    Doc::get("/api/v1/backup", "The backups that are kept, newest first, and the last restore")
        .answers(&[(JSON, "data { backups: [{ name: text, bytes: int, made_at: time }], restored: text|null }")])
        .errors(&["UNAVAILABLE"])
        .examples(&[Try("/api/v1/backup")]),
    Doc::post("/api/v1/backup", "Make a backup now")
        .details("The database through SQLite's online copy, and the recordings, in one zip; answered once it was read again and every hash agreed. Where BACKUP_COPY_DIR is set, it is copied there as well.")
        .status(201)
        .answers(&[(JSON, "data { name: text, bytes: int, files: int, checked: true, elsewhere: { state: 'copied'|'failed'|'under_way', why?: text }|null }")])
        .errors(&["CONFLICT", "DATABASE_ERROR", "STORAGE_FULL"])
        .examples(&[Try("/api/v1/backup").status(201)]),
    Doc::get("/api/v1/backup/{name}", "Fetch a backup")
        .answers(&[("application/zip", "")])
        .errors(&["NOT_FOUND", "UNAVAILABLE"])
        .examples(&[Try("/api/v1/backup/nothing.zip").status(404)]),
    Doc::post("/api/v1/restore", "Go back to a backup")
        .details("The body is the backup. It is verified and laid ready; then the box restarts by itself and takes it. What was there is kept aside in the data folder.")
        .takes(&[("application/zip", "")])
        .status(202)
        .answers(&[(JSON, "data { restore: text # as GET /api/v1/backup tells it once it is done\n made_at: time, restarting: true }")])
        .errors(&["CONFLICT", "PAYLOAD_TOO_LARGE", "STORAGE_FULL", "UNAVAILABLE"])
        .examples(&[Try("/api/v1/restore").with(r#"{"no":"backup"}"#).status(400)]),
];

#[rustfmt::skip]
pub const SHAPES: &[Shape] = &[
    ("Device", "{ id: id, name: text, admin: bool, created_at: time, last_seen_at: time|null }"),
    ("Health", "{ status: 'healthy'|'degraded'|'unhealthy', timestamp: time, uptime: text # such as 1h2m3.4s
        memory: { alloc: int # resident bytes\n total_alloc: int # peak resident bytes\n sys: int # virtual bytes\n num_gc: int }
        version: text, ... }"),
    ("Settings", "{ settings: [Setting], restart_needed: [text] # settings whose new value waits for a restart\n }"),
    ("Setting", "{ name: text, group: text, help: text, kind: 'number'|'size'|'duration'|'choice'|'choices'|'path'|'port'|'text'
        allowed: text # for people
        options?: [text] # of a choice
        min?: int # of a number; bytes of a size, seconds of a duration
        max?: int
        default: text|null, value: text|null # of a secret: set or unset
        secret: bool, origin: 'default'|'page'|'file'|'credential'|'environment', where: text # the origin for people
        editable: bool, fixed_because?: text, effect: 'at_once'|'restart', waits_for_restart: bool }"),
];

/// Serves the document of the router as it is now: called after all other routes are added.
pub fn serve(router: &mut Router, mut docs: Vec<Doc>, shapes: Vec<Shape>) {
    docs.extend(DOCS);
    docs.extend(pages::paths().map(page));
    let shapes = [SHAPES, &shapes].concat();
    let written = Rc::new(OnceCell::<Bytes>::new());
    let routes = Rc::new(OnceCell::new());
    let told = routes.clone();
    let path = "/api/openapi.json";
    router
        .route(Method::GET, path, Access::Public, move |_| {
            let routes: Vec<_> = told.get().cloned().unwrap_or_default();
            let (docs, shapes, written) = (docs.clone(), shapes.clone(), written.clone());
            async move {
                let text = match written.get() {
                    Some(text) => text.clone(),
                    None => {
                        let text = write(routes, docs, shapes).await?;
                        written.get_or_init(|| text).clone()
                    }
                };
                Ok(Response::bytes(StatusCode::OK, JSON, text))
            }
        })
        .uncounted();
    let _ = routes.set(router.routes());
}

/// A part of the page; the pages room keeps the list.
fn page(path: &'static str) -> Doc {
    Doc::get(path, "A part of the page").answers(&[("*/*", "")])
}

/// On a thread of its own: a document of this size would hold the loop.
async fn write(
    routes: Vec<crate::server::Route>,
    docs: Vec<Doc>,
    shapes: Vec<Shape>,
) -> Result<Bytes, HttpError> {
    let busy = || HttpError::busy("The document could not be written now; try again.", 1);
    let (done, written) = oneshot::channel();
    std::thread::Builder::new()
        .name("openapi".into())
        .spawn(move || {
            let document = openapi::document(&routes, &docs, &shapes);
            // Whoever asked may have gone.
            let _ = done.send(Bytes::from(format!("{document:#}\n")));
        })
        .map_err(|_| busy())?;
    written.await.map_err(|_| busy())
}
