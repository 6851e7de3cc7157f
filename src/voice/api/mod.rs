//! Voice Memory over HTTP: chat, conversations, memories, tags under `/api/v1`.
//!
//! Parses once at this door and names the field that is wrong; success is wrapped in
//! `{"success":true,"data":…}`, errors take the router's shape. Large answers come as JSON from
//! the query thread and are passed on as bytes.

mod archive;
mod chat;
mod conversations;
mod filing;
mod input;
mod memories;
pub(in crate::voice) mod older;
pub(in crate::voice) mod sound_in;
pub(in crate::voice) mod speech;
mod tags;
mod timers;

pub(super) use input::{page as page_of, query_one_of as query_of};

use std::future::Future;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;

use super::dialogue::{Action, Dialogue, VoiceError};
pub use super::reply::Sentences;
use super::session::Room;
use crate::server::{
    Access, Body, HeaderMap, HeaderValue, HttpError, Method, Request, Response, Router, StatusCode,
    header,
};

const DATA_BEGIN: &str = "{\"success\":true,\"data\":";
const DATA_END: &str = "}";

/// The box's own loudspeaker and microphone, for a chat that wants something of them.
pub trait Speaker {
    /// Begins to speak what comes through `sentences` and returns at once.
    fn recite(&self, sentences: &Rc<Sentences>);
    /// Does what was asked for in words: be louder, be quiet, stop listening.
    fn act(&self, action: &Action);
}

/// What the handlers work on.
pub struct Api {
    dialogue: Dialogue,
    data_dir: PathBuf,
    speaker: Option<Rc<dyn Speaker>>,
    room: Option<Rc<Room>>,
}

/// Adds every route of this file's list. Without a speaker `speak: "device"` is refused, without the
/// room, which has voices, `speak: "return"`.
pub fn routes(
    router: &mut Router,
    dialogue: &Dialogue,
    data_dir: &Path,
    speaker: Option<Rc<dyn Speaker>>,
    room: Option<&Rc<Room>>,
) {
    let mut routes = Routes {
        router,
        api: Rc::new(Api {
            dialogue: dialogue.clone(),
            data_dir: data_dir.to_owned(),
            speaker,
            room: room.map(Rc::clone),
        }),
    };
    routes.add(Method::POST, "/api/v1/chat", chat::post);

    routes.add(Method::GET, "/api/v1/export", archive::export);
    routes.admin(Method::POST, "/api/v1/import", archive::import);

    routes.add(Method::GET, "/api/v1/conversations", conversations::list);
    routes.add(Method::POST, "/api/v1/conversations", conversations::create);
    routes.add(
        Method::GET,
        "/api/v1/conversations/{id}",
        conversations::get,
    );
    routes.add(
        Method::PATCH,
        "/api/v1/conversations/{id}",
        conversations::patch,
    );
    routes.add(
        Method::DELETE,
        "/api/v1/conversations/{id}",
        conversations::delete,
    );
    routes.add(
        Method::GET,
        "/api/v1/conversations/{id}/export",
        conversations::export,
    );

    routes.add(Method::GET, "/api/v1/memories", memories::list);
    routes.add(Method::POST, "/api/v1/memories", memories::create);
    routes.add(Method::GET, "/api/v1/memories/search", memories::search);
    routes.add(Method::POST, "/api/v1/memories/forget", memories::forget);
    routes.add(Method::GET, "/api/v1/memories/{id}", memories::get);
    routes.add(Method::PATCH, "/api/v1/memories/{id}", memories::patch);
    routes.add(Method::DELETE, "/api/v1/memories/{id}", memories::delete);
    routes.add(Method::GET, "/api/v1/timers", timers::list);
    routes.add(Method::POST, "/api/v1/timers", timers::create);
    routes.add(Method::PATCH, "/api/v1/timers/{id}", timers::patch);
    routes.add(Method::DELETE, "/api/v1/timers/{id}", timers::delete);
    routes.add(Method::POST, "/api/v1/timers/{id}/snooze", timers::snooze);

    routes.add(Method::GET, "/api/v1/tags", tags::list);
    routes.add(Method::POST, "/api/v1/tags", tags::create);
    routes.add(Method::PATCH, "/api/v1/tags/{id}", tags::patch);
    routes.add(Method::DELETE, "/api/v1/tags/{id}", tags::delete);

    routes.add(Method::GET, "/api/v1/suggestions", filing::suggestions);
    routes.add(
        Method::POST,
        "/api/v1/suggestions/{id}/accept",
        filing::accept,
    );
    routes.add(Method::DELETE, "/api/v1/suggestions/{id}", filing::refuse);
    routes.add(Method::GET, "/api/v1/private", filing::is_private);
    routes.add(Method::PUT, "/api/v1/private", filing::set_private);
}

struct Routes<'a> {
    router: &'a mut Router,
    api: Rc<Api>,
}

impl Routes<'_> {
    fn add<H, F>(&mut self, method: Method, pattern: &'static str, handler: H)
    where
        H: Fn(Rc<Api>, Request) -> F + 'static,
        F: Future<Output = Result<Response, HttpError>> + 'static,
    {
        self.route(method, pattern, Access::Member, handler);
    }

    fn admin<H, F>(&mut self, method: Method, pattern: &'static str, handler: H)
    where
        H: Fn(Rc<Api>, Request) -> F + 'static,
        F: Future<Output = Result<Response, HttpError>> + 'static,
    {
        self.route(method, pattern, Access::Admin, handler);
    }

    fn route<H, F>(&mut self, method: Method, pattern: &'static str, access: Access, handler: H)
    where
        H: Fn(Rc<Api>, Request) -> F + 'static,
        F: Future<Output = Result<Response, HttpError>> + 'static,
    {
        let api = Rc::clone(&self.api);
        self.router.route(method, pattern, access, move |request| {
            handler(Rc::clone(&api), request)
        });
    }
}

/// Why a model or a voice gave nothing, or not all of it.
pub(super) fn notice(trouble: &VoiceError) -> serde_json::Value {
    let line = trouble.line();
    serde_json::json!({ "code": line.code, "message": line.message })
}

/// Success with a value.
pub(super) fn data<T: serde::Serialize>(status: StatusCode, value: &T) -> Response {
    #[derive(serde::Serialize)]
    struct Success<'a, T> {
        success: bool,
        data: &'a T,
    }
    let success = Success {
        success: true,
        data: value,
    };
    Response::json(status, &success)
}

/// Success with JSON made elsewhere.
pub(super) fn data_json(json: &[u8]) -> Response {
    let mut body = Vec::with_capacity(DATA_BEGIN.len() + json.len() + DATA_END.len());
    body.extend_from_slice(DATA_BEGIN.as_bytes());
    body.extend_from_slice(json);
    body.extend_from_slice(DATA_END.as_bytes());
    json_bytes(StatusCode::OK, body)
}

/// A whole JSON body, envelope included.
fn json_bytes(status: StatusCode, body: Vec<u8>) -> Response {
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Response {
        status,
        headers,
        body: Body::Bytes(Bytes::from(body)),
    }
}
