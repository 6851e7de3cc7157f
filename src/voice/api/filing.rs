//! `/api/v1/suggestions` and `/api/v1/private`: a person's word over what is filed by itself.

use std::rc::Rc;

use serde_json::json;

use super::input::{Fields, invalid, page};
use super::{Api, DATA_BEGIN, DATA_END, data, json_bytes};
use crate::server::{HttpError, Request, Response, StatusCode};
use crate::voice::db::filing as db;
use crate::voice::error::VoiceError;

const PAGE_DEFAULT: usize = 50;

/// What a model proposes to remember, newest first.
pub async fn suggestions(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let page = page(&request, PAGE_DEFAULT)?;
    let (suggestions, total) = api
        .dialogue
        .store()
        .query(move |connection| db::suggestions(connection, page))
        .await?;
    let answer = json!({
        "suggestions": suggestions, "total": total, "limit": page.limit, "offset": page.offset,
    });
    Ok(data(StatusCode::OK, &answer))
}

/// Makes a memory of it, which keeps its id.
pub async fn accept(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let id = request.param("id").to_string();
    let memories = api.dialogue.memories();
    let memory = api
        .dialogue
        .store()
        .write(move |connection| db::accept(connection, &id))
        .await?
        .ok_or_else(unknown)?;
    memories.announce_saved(&memory.saved());
    memories.announce_suggestions();
    let json = memories.json(&memory.id, DATA_BEGIN, DATA_END)?;
    Ok(json_bytes(StatusCode::CREATED, json))
}

pub async fn refuse(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let id = request.param("id").to_string();
    let found = api
        .dialogue
        .store()
        .write(move |connection| db::refuse(connection, &id))
        .await?;
    api.dialogue.memories().announce_suggestions();
    match found {
        true => Ok(Response::json(StatusCode::OK, &json!({ "success": true }))),
        false => Err(unknown().into()),
    }
}

pub async fn is_private(api: Rc<Api>, _request: Request) -> Result<Response, HttpError> {
    let private = api.dialogue.memories().is_private();
    Ok(data(StatusCode::OK, &json!({ "private": private })))
}

pub async fn set_private(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let mut fields = Fields::of(&mut request).await?;
    let private = fields
        .flag("private")?
        .ok_or_else(|| invalid("`private` is missing: true or false."))?;
    api.dialogue.memories().set_private(private).await?;
    Ok(data(StatusCode::OK, &json!({ "private": private })))
}

fn unknown() -> VoiceError {
    VoiceError::NotFound(String::from("suggestion of this id"))
}
