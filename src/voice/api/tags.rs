//! `/api/v1/tags`: names and colours by which memories are put together.

use std::rc::Rc;

use serde_json::json;

use super::input::{Fields, invalid, page};
use super::{Api, data};
use crate::limits::TAGS_MAX;
use crate::server::{HttpError, Request, Response, StatusCode};
use crate::voice::db::tags::{self as db, Changed};
use crate::voice::error::VoiceError;
use crate::voice::memory::check_tag;

const PAGE_DEFAULT: usize = 50;
const COLOR_DEFAULT: &str = "#3B82F6";

pub async fn list(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let page = page(&request, PAGE_DEFAULT)?;
    let (tags, total) = api
        .dialogue
        .store()
        .query(move |connection| db::list(connection, page))
        .await?;
    let answer =
        json!({ "tags": tags, "total": total, "limit": page.limit, "offset": page.offset });
    Ok(data(StatusCode::OK, &answer))
}

pub async fn create(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let mut fields = Fields::of(&mut request).await?;
    let name = checked_name(fields.required_text("name")?)?;
    let color = match fields.text("color")? {
        Some(color) => checked_color(&color)?,
        None => COLOR_DEFAULT.to_string(),
    };
    let made = api
        .dialogue
        .store()
        .write(move |connection| {
            if db::count(connection)? >= TAGS_MAX as i64 {
                return Err(VoiceError::Conflict(format!(
                    "There are {TAGS_MAX} tags already; remove some first."
                )));
            }
            db::create(connection, &name, &color)
        })
        .await?;
    let tag = made.ok_or_else(taken)?;
    Ok(data(StatusCode::CREATED, &tag))
}

pub async fn patch(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let id = request.param("id").to_string();
    let mut fields = Fields::of(&mut request).await?;
    let name = fields.text("name")?.map(checked_name).transpose()?;
    let color = fields.text("color")?;
    let color = color.as_deref().map(checked_color).transpose()?;
    if name.is_none() && color.is_none() {
        return Err(invalid("Nothing to change: give `name` or `color`."));
    }
    let changed = api
        .dialogue
        .store()
        .write(move |connection| db::update(connection, &id, name.as_deref(), color.as_deref()))
        .await?;
    match changed {
        Changed::Tag(tag) => Ok(data(StatusCode::OK, &tag)),
        Changed::Unknown => Err(unknown().into()),
        Changed::Taken => Err(taken().into()),
    }
}

/// The memories that carried it stay.
pub async fn delete(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let id = request.param("id").to_string();
    let found = api
        .dialogue
        .store()
        .write(move |connection| db::delete(connection, &id))
        .await?;
    match found {
        true => Ok(Response::json(StatusCode::OK, &json!({ "success": true }))),
        false => Err(unknown().into()),
    }
}

fn checked_name(name: String) -> Result<String, HttpError> {
    let name = name.trim();
    check_tag("name", name)?;
    Ok(name.to_string())
}

/// `#RRGGBB`, in capitals.
fn checked_color(color: &str) -> Result<String, HttpError> {
    let digits = color.strip_prefix('#').unwrap_or("");
    match digits.len() == 6 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        true => Ok(color.to_ascii_uppercase()),
        false => Err(invalid("`color` must look like #3B82F6.")),
    }
}

fn taken() -> VoiceError {
    VoiceError::Conflict(String::from("There is a tag of this name already."))
}

fn unknown() -> VoiceError {
    VoiceError::NotFound(String::from("tag of this id"))
}
