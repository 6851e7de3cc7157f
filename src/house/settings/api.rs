//! `/api/v1/settings`: read by the household, changed by the owner.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{ChangeError, Settings};
use crate::config::{Held, Kind, Origin};
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode};
use crate::store::StoreError;

type Answer = Result<Response, HttpError>;

/// What a provider may be tried for.
const STAGES: [&str; 4] = ["stt", "llm", "tts", "embed"];

pub(in crate::house) fn routes(router: &mut Router, settings: &Settings) {
    let path = "/api/v1/settings";
    let own = settings.clone();
    router.route(Method::GET, path, Access::Member, move |_| {
        std::future::ready(Ok(all(&own)))
    });
    let own = settings.clone();
    router.route(Method::PATCH, path, Access::Admin, move |request| {
        patch(own.clone(), request)
    });
    let own = settings.clone();
    let test_path = "/api/v1/settings/test";
    router.route(Method::POST, test_path, Access::Admin, move |request| {
        test(own.clone(), request)
    });
}

fn all(settings: &Settings) -> Response {
    let config = settings.config();
    let waiting = settings.waiting();
    let list: Vec<Value> = config
        .all()
        .iter()
        .map(|held| shown(held, waiting.contains(&held.setting.name)))
        .collect();
    let data = json!({ "settings": list, "restart_needed": waiting });
    Response::json(StatusCode::OK, &json!({ "success": true, "data": data }))
}

async fn patch(settings: Settings, mut request: Request) -> Answer {
    let asked: Map<String, Value> = request.json().await?;
    let mut changes = Vec::new();
    for (name, value) in asked {
        let text = match value {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(true) => Some(String::from("on")),
            Value::Bool(false) => Some(String::from("off")),
            Value::Array(_) | Value::Object(_) => {
                let what = format!("`{name}` must be a text, a number, or null for the default.");
                return Err(HttpError::invalid(what));
            }
        };
        changes.push((name, text));
    }
    if changes.is_empty() {
        return Err(HttpError::invalid(
            "Nothing to change: give settings by name, such as {\"VOLUME\": 50}.",
        ));
    }
    settings.change(changes).await.map_err(refusal)?;
    Ok(all(&settings))
}

async fn test(settings: Settings, mut request: Request) -> Answer {
    let asked: Map<String, Value> = request.json().await?;
    let stage = asked.get("stage").and_then(Value::as_str).unwrap_or("");
    if !STAGES.contains(&stage) {
        let what = format!("`stage` must be one of {}.", STAGES.join(", "));
        return Err(HttpError::invalid(what));
    }
    let test = settings.0.test.borrow().clone();
    let Some(test) = test else {
        return Err(HttpError::busy("The providers are not ready yet.", 1));
    };
    let data = test(stage.to_owned()).await?;
    let answer = json!({ "success": true, "data": data });
    Ok(Response::json(StatusCode::OK, &answer))
}

fn shown(held: &Held, waits: bool) -> Value {
    let setting = held.setting;
    let value = match (setting.secret, held.is_set()) {
        (true, true) => json!("set"),
        (true, false) => json!("unset"),
        (false, _) => json!(held.written()),
    };
    let mut shown = json!({
        "name": setting.name,
        "group": setting.group,
        "help": setting.help,
        "kind": kind(&setting.kind),
        "allowed": setting.kind.allowed(),
        "default": (!setting.default.is_empty()).then_some(setting.default),
        "value": value,
        "secret": setting.secret,
        "origin": origin(&held.origin),
        "where": held.origin.to_string(),
        "editable": why_fixed(held).is_none(),
        "effect": if setting.reloads { "at_once" } else { "restart" },
        "waits_for_restart": waits,
    });
    if let Some(why) = why_fixed(held) {
        shown["fixed_because"] = json!(why);
    }
    match setting.kind {
        Kind::OneOf(names) | Kind::Chain(names) => shown["options"] = json!(names),
        Kind::Int(min, max) | Kind::Size(min, max) | Kind::Duration(min, max) => {
            shown["min"] = json!(min);
            shown["max"] = json!(max);
        }
        _ => {}
    }
    shown
}

/// Why the page cannot change it; `None`: it can.
fn why_fixed(held: &Held) -> Option<String> {
    let only = held
        .setting
        .only_at_the_box()
        .map(|why| format!("Changed in the environment or in .env on the box alone: {why}."));
    only.or(match &held.origin {
        Origin::Default | Origin::Page => None,
        origin => Some(format!("Fixed by the {origin}; change it there.")),
    })
}

fn origin(origin: &Origin) -> &'static str {
    match origin {
        Origin::Default => "default",
        Origin::Page => "page",
        Origin::File { .. } => "file",
        Origin::Credential => "credential",
        Origin::Environment { .. } => "environment",
    }
}

/// A word that a form is chosen by.
fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Int(..) => "number",
        Kind::Size(..) => "size",
        Kind::Duration(..) => "duration",
        Kind::OneOf(_) => "choice",
        Kind::Chain(_) => "choices",
        Kind::Path => "path",
        Kind::Port => "port",
        _ => "text",
    }
}

fn refusal(error: ChangeError) -> HttpError {
    let (status, code) = match &error {
        ChangeError::Unknown { .. }
        | ChangeError::NotAllowed { .. }
        | ChangeError::TooLong { .. } => (StatusCode::BAD_REQUEST, "INVALID_REQUEST"),
        ChangeError::OnlyAtTheBox { .. } => (StatusCode::FORBIDDEN, "FORBIDDEN"),
        ChangeError::Fixed { .. } | ChangeError::Clash(_) | ChangeError::Underway => {
            (StatusCode::CONFLICT, "CONFLICT")
        }
        ChangeError::Store(StoreError::Full) => (StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL"),
        ChangeError::NoKey | ChangeError::Store(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "DATABASE_ERROR")
        }
    };
    HttpError::new(status, code, error.to_string())
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::Unknown { name, meant } => {
                let name: String = name.chars().take(60).collect();
                match meant {
                    Some(meant) => write!(f, "`{name}` is no setting; did you mean {meant}?"),
                    None => write!(f, "`{name}` is no setting; GET /api/v1/settings lists them."),
                }
            }
            ChangeError::NotAllowed { setting } => write!(
                f,
                "`{}` must be {}.",
                setting.name,
                setting.kind.allowed()
            ),
            ChangeError::TooLong { setting } => write!(
                f,
                "`{}` has at most {} characters.",
                setting.name,
                crate::limits::SETTING_CHARS_MAX
            ),
            ChangeError::Fixed { setting, origin } => write!(
                f,
                "{} is fixed by the {origin}; change it there, or take it away there to choose it here.",
                setting.name
            ),
            ChangeError::OnlyAtTheBox { setting, why } => write!(
                f,
                "{} is changed in the environment or in .env on the box alone: {why}.",
                setting.name
            ),
            ChangeError::Clash(what) => write!(f, "{what}."),
            ChangeError::NoKey => f.write_str(
                "The secret cannot be kept: the file box.key of the data folder cannot be used. Run `magpie doctor`.",
            ),
            ChangeError::Underway => {
                f.write_str("Another change of the settings is under way; send it again.")
            }
            ChangeError::Store(_) => {
                f.write_str("The settings could not be stored; nothing was changed. The log says why.")
            }
        }
    }
}
