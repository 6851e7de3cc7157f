//! Reading what clients send: fields of a JSON object and parameters of a query, each checked
//! and named when it is wrong.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::UnixMillis;
use crate::limits::{PAGE_OFFSET_MAX, PAGE_ROWS_MAX};
use crate::server::{HttpError, Request};
use crate::voice::error::VoiceError;
use crate::voice::memory::Page;

/// The fields of a JSON body. `null` counts as absent; unknown fields are ignored.
pub struct Fields(Map<String, Value>);

impl Fields {
    pub async fn of(request: &mut Request) -> Result<Fields, HttpError> {
        match request.json::<Value>().await? {
            Value::Object(fields) => Ok(Fields(fields)),
            _ => Err(invalid("The body must be a JSON object.")),
        }
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>, HttpError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type(name, "a string")),
        }
    }

    pub fn required_text(&mut self, name: &str) -> Result<String, HttpError> {
        self.text(name)?
            .ok_or_else(|| invalid(format!("`{name}` is missing.")))
    }

    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, HttpError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(wrong_type(name, "true or false")),
        }
    }

    /// A whole number from 1 on.
    pub fn count(&mut self, name: &str, max: u64) -> Result<Option<u64>, HttpError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) if (1..=max).contains(&number) => Ok(Some(number)),
                _ => Err(wrong_type(name, &format!("a whole number from 1 to {max}"))),
            },
        }
    }

    pub fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, HttpError> {
        let wrong = || wrong_type(name, "a list of strings");
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(values)) => values
                .into_iter()
                .map(|value| match value {
                    Value::String(text) => Ok(text),
                    _ => Err(wrong()),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(wrong()),
        }
    }

    pub fn object(&mut self, name: &str) -> Result<Option<Value>, HttpError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Value::Object(object))),
            Some(_) => Err(wrong_type(name, "an object")),
        }
    }

    /// A length of time as a number of seconds.
    pub fn seconds(&mut self, name: &str) -> Result<Option<Duration>, HttpError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_f64()
                .filter(|seconds| (0.0..=1e9).contains(seconds))
                .map(|seconds| Some(Duration::from_millis((seconds * 1000.0).round() as u64)))
                .ok_or_else(|| wrong_type(name, "a number of seconds")),
        }
    }

    /// A value of its own form; `wanted` says which.
    pub fn of_form<T: serde::de::DeserializeOwned>(
        &mut self,
        name: &str,
        wanted: &str,
    ) -> Result<Option<T>, HttpError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|_| wrong_type(name, wanted)),
        }
    }

    pub fn time(&mut self, name: &str) -> Result<Option<UnixMillis>, HttpError> {
        self.text(name)?.map(|text| time(name, &text)).transpose()
    }

    pub fn one_of<T: Copy>(
        &mut self,
        name: &str,
        of: &[(&str, T)],
    ) -> Result<Option<T>, HttpError> {
        self.text(name)?
            .map(|text| one_of(name, &text, of))
            .transpose()
    }
}

/// `limit` and `offset`: a larger limit is clamped, what is no number or negative is refused.
pub fn page(request: &Request, limit_default: usize) -> Result<Page, HttpError> {
    let limit = number(request, "limit", limit_default)?;
    if limit == 0 {
        return Err(wrong_type("limit", "a whole number from 1 on"));
    }
    let offset = number(request, "offset", 0)?;
    if offset > PAGE_OFFSET_MAX {
        return Err(invalid(format!(
            "`offset` must be at most {PAGE_OFFSET_MAX}; use `until` to go further back."
        )));
    }
    Ok(Page {
        limit: limit.min(PAGE_ROWS_MAX),
        offset,
    })
}

pub fn query_time(request: &Request, name: &str) -> Result<Option<UnixMillis>, HttpError> {
    request
        .query(name)
        .map(|text| time(name, &text))
        .transpose()
}

pub fn query_flag(request: &Request, name: &str) -> Result<bool, HttpError> {
    match request.query(name).as_deref() {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(_) => Err(wrong_type(name, "true or false")),
    }
}

pub fn query_one_of<T: Copy>(
    request: &Request,
    name: &str,
    of: &[(&str, T)],
) -> Result<Option<T>, HttpError> {
    request
        .query(name)
        .map(|text| one_of(name, &text, of))
        .transpose()
}

pub fn invalid(message: impl Into<String>) -> HttpError {
    VoiceError::Invalid(message.into()).into()
}

fn number(request: &Request, name: &str, default: usize) -> Result<usize, HttpError> {
    match request.query(name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| wrong_type(name, "a whole number that is not negative")),
    }
}

fn time(name: &str, text: &str) -> Result<UnixMillis, HttpError> {
    UnixMillis::parse_rfc3339(text)
        .ok_or_else(|| wrong_type(name, "a time like 2026-01-02T03:04:05Z"))
}

fn one_of<T: Copy>(name: &str, text: &str, of: &[(&str, T)]) -> Result<T, HttpError> {
    of.iter()
        .find(|(allowed, _)| *allowed == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let allowed: Vec<&str> = of.iter().map(|(allowed, _)| *allowed).collect();
            wrong_type(name, &format!("one of {}", allowed.join(", ")))
        })
}

fn wrong_type(name: &str, wanted: &str) -> HttpError {
    invalid(format!("`{name}` must be {wanted}."))
}
