//! `/api/v1/memories`.

use std::rc::Rc;

use serde_json::{Value, json};

use super::input::{Fields, invalid, page, query_flag, query_one_of, query_time};
use super::{Api, DATA_BEGIN, DATA_END, data, data_json, json_bytes};
use crate::clock::UnixMillis;
use crate::limits::QUERY_CHARS_MAX;
use crate::server::{HttpError, Request, Response, StatusCode};
use crate::voice::details::Details;
use crate::voice::index::Query;
use crate::voice::memory::{
    Forget, Importance, MemoryFilter, MemoryPatch, NewMemory, Source, title_of,
};
use crate::voice::recall::{self, snippet};

const PAGE_DEFAULT: usize = 50;
const SEARCH_DEFAULT: usize = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Memories,
    Messages,
    All,
}

pub async fn list(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let page = page(&request, PAGE_DEFAULT)?;
    let filter = filter(&request)?;
    Ok(data_json(
        &api.dialogue.memories().list_json(filter, page).await?,
    ))
}

pub async fn create(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let mut fields = Fields::of(&mut request).await?;
    let content = fields.required_text("content")?;
    let now = api.dialogue.clock().wall();
    let title = fields.text("title")?.unwrap_or_else(|| title_of(&content));
    let organize = fields.flag("organize")?;
    let memory = NewMemory {
        title,
        summary: fields.text("summary")?,
        category: fields
            .text("category")?
            .unwrap_or_else(|| String::from("life")),
        tags: fields.texts("tags")?.unwrap_or_default(),
        importance: fields
            .one_of("importance", Importance::NAMES)?
            .unwrap_or_default(),
        pinned: fields.flag("pinned")?.unwrap_or(false),
        metadata: fields.object("metadata")?,
        recorded_at: fields.time("recorded_at")?,
        details: details(&mut fields)?,
        wants_organizing: api.dialogue.memories().wants_organizing(organize),
        ..NewMemory::plain(
            content,
            fields
                .one_of("source", Source::NAMES)?
                .unwrap_or(Source::Manual),
            now,
        )
    };
    let memory = memory.with_certain_fact();
    let saved = api.dialogue.memories().create(memory).await?;
    let json = api
        .dialogue
        .memories()
        .json(&saved.id, DATA_BEGIN, DATA_END)?;
    Ok(json_bytes(StatusCode::CREATED, json))
}

pub async fn get(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let json = api
        .dialogue
        .memories()
        .json(request.param("id"), DATA_BEGIN, DATA_END)?;
    Ok(json_bytes(StatusCode::OK, json))
}

pub async fn patch(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let id = request.param("id").to_string();
    let mut fields = Fields::of(&mut request).await?;
    let patch = MemoryPatch {
        content: fields.text("content")?,
        title: fields.text("title")?,
        summary: fields.text("summary")?,
        category: fields.text("category")?,
        tags: fields.texts("tags")?,
        importance: fields.one_of("importance", Importance::NAMES)?,
        pinned: fields.flag("pinned")?,
        archived: fields.flag("archived")?,
        metadata: fields.object("metadata")?,
        recorded_at: fields.time("recorded_at")?,
        details: details(&mut fields)?,
    };
    api.dialogue.memories().patch(&id, patch).await?;
    let json = api.dialogue.memories().json(&id, DATA_BEGIN, DATA_END)?;
    Ok(json_bytes(StatusCode::OK, json))
}

pub async fn delete(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let keep_sound = query_flag(&request, "keep_audio")?;
    let id = request.param("id");
    api.dialogue.memories().delete(id, keep_sound).await?;
    Ok(Response::json(StatusCode::OK, &json!({ "success": true })))
}

pub async fn search(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let text = request
        .query("q")
        .ok_or_else(|| invalid("`q` is missing: say what to search for."))?;
    let query = words("q", &text)?;
    let limit = page(&request, SEARCH_DEFAULT)?.limit;
    let scopes = [
        ("memories", Scope::Memories),
        ("messages", Scope::Messages),
        ("all", Scope::All),
    ];
    let scope = query_one_of(&request, "scope", &scopes)?.unwrap_or(Scope::Memories);
    let filter = filter(&request)?;
    let now = api.dialogue.clock().wall();
    let meaning = match scope {
        Scope::Messages => None,
        Scope::Memories | Scope::All => api.dialogue.memories().meaning_of(&text).await,
    };
    let (results, total) = api
        .dialogue
        .store()
        .query(move |connection| {
            let mut results = Vec::new();
            let mut total = 0;
            if scope != Scope::Messages {
                let meaning = meaning.as_ref();
                let found = recall::search_both(connection, &query, meaning, &filter, now, limit)?;
                total += found.total;
                results.extend(found.hits.iter().map(|hit| memory_result(hit, &query)));
            }
            if scope != Scope::Memories {
                let found = recall::search_messages(connection, &query, &filter, limit)?;
                total += found.len();
                results.extend(found.iter().map(|hit| message_result(hit, &query)));
            }
            Ok::<_, crate::voice::error::VoiceError>((results, total))
        })
        .await?;
    let results = best_first(results, limit);
    Ok(data(
        StatusCode::OK,
        &json!({ "results": results, "total": total }),
    ))
}

/// Removes what fits; with `dry_run` only tells what would go.
pub async fn forget(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let mut fields = Fields::of(&mut request).await?;
    let text = fields.text("q")?;
    let conversation = fields.text("conversation_id")?;
    let (since, until) = (fields.time("since")?, fields.time("until")?);
    let what = match (text, conversation, since.or(until)) {
        (Some(text), None, None) => {
            let query = words("q", &text)?;
            if query.is_empty() {
                return Err(invalid("`q` needs at least one letter or digit."));
            }
            Forget::Matching(query)
        }
        (None, Some(id), None) => Forget::Conversation(id),
        (None, None, Some(_)) => Forget::Between(
            since.unwrap_or(UnixMillis(i64::MIN)),
            until.unwrap_or(UnixMillis(i64::MAX)),
        ),
        _ => {
            return Err(invalid(
                "Say what to forget by `q`, by `conversation_id`, or by `since` and `until`.",
            ));
        }
    };
    if fields.flag("dry_run")?.unwrap_or(false) {
        let (count, ids) = api.dialogue.memories().would_forget(what).await?;
        let answer = json!({ "dry_run": true, "count": count, "ids": ids });
        return Ok(data(StatusCode::OK, &answer));
    }
    let count = api.dialogue.memories().forget(what).await?;
    Ok(data(
        StatusCode::OK,
        &json!({ "dry_run": false, "count": count }),
    ))
}

/// What is known of a memory beyond its text.
fn details(fields: &mut Fields) -> Result<Details, HttpError> {
    Ok(Details {
        key_points: fields.texts("key_points")?,
        entities: fields.of_form("entities", "an object of people, products, companies, locations and concepts, each a list of strings")?,
        relations: fields.of_form("relations", "a list of {type, target, context}")?,
        observations: fields.of_form("observations", "a list of {category, content, context}")?,
        action_items: fields.texts("action_items")?,
        sentiment: fields.text("sentiment")?,
        facts: fields.of_form("facts", "a list of {subject, predicate, value, valid_from}")?,
    })
}

fn filter(request: &Request) -> Result<MemoryFilter, HttpError> {
    Ok(MemoryFilter {
        category: request.query("category"),
        tag: request.query("tag"),
        source: query_one_of(request, "source", Source::NAMES)?,
        importance: query_one_of(request, "importance", Importance::NAMES)?,
        since: query_time(request, "since")?,
        until: query_time(request, "until")?,
        archived: query_flag(request, "archived")?,
        conversation_id: request.query("conversation_id"),
        current_only: false,
    })
}

pub(super) fn words(name: &str, text: &str) -> Result<Query, HttpError> {
    if text.trim().is_empty() {
        return Err(invalid(format!("`{name}` must not be empty.")));
    }
    if text.chars().count() > QUERY_CHARS_MAX {
        return Err(invalid(format!(
            "`{name}` has at most {QUERY_CHARS_MAX} characters."
        )));
    }
    Ok(Query::parse(text))
}

fn memory_result(hit: &recall::Hit, query: &Query) -> Value {
    json!({
        "id": hit.id,
        "title": hit.title,
        "content": hit.content,
        "category": hit.category,
        "score": hit.score,
        "created_at": hit.created_at.rfc3339(),
        "snippet": snippet(&hit.content, query),
        "why": hit.why,
        "superseded_by": hit.superseded_by,
    })
}

fn message_result(hit: &recall::MessageHit, query: &Query) -> Value {
    json!({
        "id": hit.id,
        "conversation_id": hit.conversation_id,
        "role": hit.role,
        "content": hit.content,
        "score": hit.score,
        "created_at": hit.created_at.rfc3339(),
        "snippet": snippet(&hit.content, query),
        "why": "text",
    })
}

fn best_first(mut results: Vec<Value>, limit: usize) -> Vec<Value> {
    let score = |result: &Value| result["score"].as_f64().unwrap_or(0.0);
    results.sort_by(|a, b| score(b).total_cmp(&score(a)));
    results.truncate(limit);
    results
}
