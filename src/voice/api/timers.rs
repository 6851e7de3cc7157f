//! `/api/v1/timers`: timers, alarms and reminders.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::input::{Fields, invalid, page, query_one_of};
use super::{Api, data};
use crate::limits::SNOOZE_DEFAULT;
use crate::server::{HttpError, Request, Response, StatusCode};
use crate::voice::memory::is_id;
use crate::voice::timers::{
    NewTimer, Repeat, Timekeeper as _, Timer, TimerKind, TimerPatch, TimerState, When,
};

const PAGE_DEFAULT: usize = 50;

pub async fn list(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let page = page(&request, PAGE_DEFAULT)?;
    let state = query_one_of(&request, "state", &TimerState::ALL)?;
    let (timers, total) = api.dialogue.timers().list(state, page).await?;
    let timers: Vec<Value> = timers.iter().map(|timer| shown(&api, timer)).collect();
    Ok(data(
        StatusCode::OK,
        &json!({ "timers": timers, "total": total, "limit": page.limit, "offset": page.offset }),
    ))
}

pub async fn create(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let mut fields = Fields::of(&mut request).await?;
    let when = when(&mut fields)?.ok_or_else(|| {
        invalid("Say when: `due_at` for a time, or `duration` for seconds from now.")
    })?;
    let label = fields.text("label")?.unwrap_or_default();
    let kind = match fields.one_of("kind", &TimerKind::ALL)? {
        Some(kind) => kind,
        None => match when {
            When::After(_) => TimerKind::Timer,
            When::At(_) if label.is_empty() => TimerKind::Alarm,
            When::At(_) => TimerKind::Reminder,
        },
    };
    let new = NewTimer {
        kind,
        when,
        repeat: repeat(&mut fields)?.flatten(),
        language: language(&mut fields, &label)?,
        label,
    };
    let timer = api.dialogue.timers().add(new).await?;
    Ok(data(StatusCode::CREATED, &shown(&api, &timer)))
}

pub async fn patch(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let id = id_of(&request)?;
    let mut fields = Fields::of(&mut request).await?;
    let changes = [("done", true)];
    if fields.one_of("state", &changes)?.is_some() {
        let timer = api.dialogue.timers().stop(&id).await?;
        return Ok(data(StatusCode::OK, &shown(&api, &timer)));
    }
    let patch = TimerPatch {
        label: fields.text("label")?,
        when: when(&mut fields)?,
        repeat: repeat(&mut fields)?,
    };
    let timer = api.dialogue.timers().patch(&id, patch).await?;
    Ok(data(StatusCode::OK, &shown(&api, &timer)))
}

pub async fn delete(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    api.dialogue.timers().delete(&id_of(&request)?).await?;
    Ok(Response::json(StatusCode::OK, &json!({ "success": true })))
}

pub async fn snooze(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let id = id_of(&request)?;
    let has_body = request
        .head
        .header("content-length")
        .is_some_and(|length| length != "0")
        || request.head.header("transfer-encoding").is_some();
    let wait = match has_body {
        true => Fields::of(&mut request).await?.seconds("duration")?,
        false => None,
    };
    let wait = wait.unwrap_or(SNOOZE_DEFAULT);
    let timer = api.dialogue.timers().snooze(&id, wait).await?;
    Ok(data(StatusCode::OK, &shown(&api, &timer)))
}

fn shown(api: &Api, timer: &Timer) -> Value {
    timer.json(api.dialogue.clock().wall())
}

fn id_of(request: &Request) -> Result<String, HttpError> {
    let id = request.param("id");
    match is_id(id, "tmr_") {
        true => Ok(id.to_string()),
        false => Err(invalid("A timer's id is tmr_ and 16 hex digits.")),
    }
}

fn when(fields: &mut Fields) -> Result<Option<When>, HttpError> {
    let duration: Option<Duration> = fields.seconds("duration")?;
    match (fields.time("due_at")?, duration) {
        (Some(_), Some(_)) => Err(invalid("Give `due_at` or `duration`, not both.")),
        (Some(at), None) => Ok(Some(When::At(at))),
        (None, Some(wait)) => Ok(Some(When::After(wait))),
        (None, None) => Ok(None),
    }
}

/// `Some(None)` when the rule is to go: an empty text.
fn repeat(fields: &mut Fields) -> Result<Option<Option<Repeat>>, HttpError> {
    match fields.text("repeat")? {
        None => Ok(None),
        Some(text) if text.trim().is_empty() => Ok(Some(None)),
        Some(text) => match Repeat::parse(&text) {
            Ok(rule) => Ok(Some(Some(rule))),
            Err(why) => Err(invalid(format!("`repeat`: {why}."))),
        },
    }
}

/// The language it is told in: what is asked for, else that of its label.
fn language(fields: &mut Fields, label: &str) -> Result<String, HttpError> {
    let hint = fields.text("language")?;
    let language = crate::voice::rules::language_of(label, hint.as_deref());
    Ok(language.code().to_string())
}
