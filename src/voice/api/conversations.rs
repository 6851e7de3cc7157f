//! `/api/v1/conversations`: what was said, by conversation.

use std::rc::Rc;

use serde_json::json;

use super::input::{Fields, invalid, page, query_flag, query_one_of};
use super::{Api, data, data_json};
use crate::limits::{EXPORT_BYTES_MAX, PAGE_ROWS_MAX, QUERY_CHARS_MAX};
use crate::server::{HeaderValue, HttpError, Request, Response, StatusCode, header};
use crate::voice::db::conversations as db;
use crate::voice::error::VoiceError;
use crate::voice::index::Query;
use crate::voice::memory::{Page, check_text, fresh_id};

const PAGE_DEFAULT: usize = 50;
const SUMMARY_BYTES_MAX: usize = 4 * 1024;
/// Of an export: more messages than its bytes can hold.
const WHOLE: Page = Page {
    limit: EXPORT_BYTES_MAX / 64,
    offset: 0,
};

pub async fn list(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let page = page(&request, PAGE_DEFAULT)?;
    let archived = query_flag(&request, "archived")?;
    let words = match request.query("q") {
        Some(text) if text.chars().count() > QUERY_CHARS_MAX => {
            return Err(invalid(format!(
                "`q` has at most {QUERY_CHARS_MAX} characters."
            )));
        }
        Some(text) => Some(Query::parse(&text)),
        None => None,
    };
    let json = api
        .dialogue
        .store()
        .query(move |connection| match words {
            // Words that no text can hold find nothing; FTS5 takes no empty expression.
            Some(query) if query.is_empty() => {
                db::list_json(connection, Some("\"\""), archived, page)
            }
            Some(query) => db::list_json(connection, Some(&query.all()), archived, page),
            None => db::list_json(connection, None, archived, page),
        })
        .await?;
    Ok(data_json(&json))
}

pub async fn create(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let summary = Fields::of(&mut request)
        .await?
        .text("summary")?
        .unwrap_or_default();
    check_text("summary", &summary, 0, SUMMARY_BYTES_MAX)?;
    let id = fresh_id("conv_");
    let now = api.dialogue.clock().wall();
    let answer = json!({
        "id": id, "summary": summary, "message_count": 0,
        "created_at": now.rfc3339(), "updated_at": now.rfc3339(),
    });
    api.dialogue
        .store()
        .write(move |connection| db::create(connection, &id, &summary, now))
        .await?;
    Ok(data(StatusCode::CREATED, &answer))
}

pub async fn get(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let page = page(&request, PAGE_ROWS_MAX)?;
    let id = request.param("id").to_string();
    let json = api
        .dialogue
        .store()
        .query(move |connection| db::json(connection, &id, page))
        .await?
        .ok_or_else(unknown)?;
    Ok(data_json(&json))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Markdown,
    Json,
}

/// The whole conversation as a file.
pub async fn export(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let formats = [("md", Format::Markdown), ("json", Format::Json)];
    let format = query_one_of(&request, "format", &formats)?.unwrap_or(Format::Markdown);
    let id = request.param("id").to_string();
    let name = id.clone();
    let whole = api
        .dialogue
        .store()
        .query(move |connection| match format {
            Format::Markdown => {
                Ok(db::markdown(connection, &id, EXPORT_BYTES_MAX)?.map(String::into_bytes))
            }
            Format::Json => db::json(connection, &id, WHOLE),
        })
        .await?
        .filter(|whole| whole.len() <= EXPORT_BYTES_MAX);
    let whole = whole.ok_or_else(unknown)?;
    let (kind, ending) = match format {
        Format::Markdown => ("text/markdown; charset=utf-8", "md"),
        Format::Json => ("application/json", "json"),
    };
    let file = format!("attachment; filename=\"{}.{ending}\"", plain_name(&name));
    let mut response = Response::bytes(StatusCode::OK, kind, whole);
    if let Ok(value) = HeaderValue::try_from(file) {
        response = response.with(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// An id as a file's name.
fn plain_name(id: &str) -> String {
    id.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

pub async fn patch(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let id = request.param("id").to_string();
    let mut fields = Fields::of(&mut request).await?;
    let summary = fields.text("summary")?;
    let archived = fields.flag("archived")?;
    if summary.is_none() && archived.is_none() {
        return Err(invalid("Nothing to change: give `summary` or `archived`."));
    }
    check_text(
        "summary",
        summary.as_deref().unwrap_or(""),
        0,
        SUMMARY_BYTES_MAX,
    )?;
    let now = api.dialogue.clock().wall();
    let key = id.clone();
    let found = api
        .dialogue
        .store()
        .write(move |connection| db::update(connection, &key, summary.as_deref(), archived, now))
        .await?;
    match found {
        true => Ok(data(StatusCode::OK, &json!({ "id": id }))),
        false => Err(unknown().into()),
    }
}

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

fn unknown() -> VoiceError {
    VoiceError::NotFound(String::from("conversation of this id"))
}
