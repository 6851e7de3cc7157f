//! `GET /api/v1/summary` and `POST /api/v1/conversations/{id}/summarize`.

use std::rc::Rc;

use serde_json::json;

use super::{Filing, organize};
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode};
use crate::voice::api::{data, query_of};
use crate::voice::db;
use crate::voice::db::filing::Said;
use crate::voice::dialogue::MODEL;
use crate::voice::error::VoiceError;
use crate::voice::memory::{check_text, title_of};
use crate::voice::rules::Language;
use crate::voice::secrets::secret_in;

pub fn routes(router: &mut Router, filing: &Rc<Filing>) {
    let one = filing.clone();
    router.route(
        Method::GET,
        "/api/v1/summary",
        Access::Member,
        move |request| summary(one.clone(), request),
    );
    let two = filing.clone();
    router.route(
        Method::POST,
        "/api/v1/conversations/{id}/summarize",
        Access::Member,
        move |request| summarize(two.clone(), request),
    );
}

async fn summary(filing: Rc<Filing>, request: Request) -> Result<Response, HttpError> {
    let date = match request.query("date") {
        None => filing.today(),
        Some(text) => text
            .parse()
            .map_err(|_| HttpError::invalid("`date` must be a day like 2026-01-02."))?,
    };
    let languages = [("en", Language::English), ("zh", Language::Chinese)];
    let language = query_of(&request, "language", &languages)?;
    Ok(data(StatusCode::OK, &filing.summary(date, language).await?))
}

/// By a model where there is one, else by what was asked first.
async fn summarize(filing: Rc<Filing>, request: Request) -> Result<Response, HttpError> {
    let id = request.param("id").to_string();
    let key = id.clone();
    let said = filing
        .parts
        .store
        .query(move |connection| db::filing::transcript(connection, &key))
        .await?
        .ok_or_else(|| VoiceError::NotFound(String::from("conversation of this id")))?;
    let (summary, model) = filing.summed_up(&said).await?;
    let (key, text, now) = (id.clone(), summary.clone(), filing.now());
    filing
        .parts
        .store
        .write(move |connection| {
            db::conversations::update(connection, &key, Some(&text), None, now)
        })
        .await?;
    Ok(data(
        StatusCode::OK,
        &json!({ "id": id, "summary": summary, "model": model }),
    ))
}

impl Filing {
    /// The summary and what made it.
    async fn summed_up(&self, said: &[Said]) -> Result<(String, String), VoiceError> {
        let open: Vec<Said> = said
            .iter()
            .filter(|said| secret_in(&said.content).is_none())
            .cloned()
            .collect();
        if let Ok(model) = (self.parts.model)()
            && !open.is_empty()
        {
            let request = organize::ask_for_summary(&open);
            let text = self
                .ask(&*model, &request)
                .await
                .map_err(|error| error.of_llm())?;
            let text = text.trim();
            if check_text("summary", text, 1, 4 * 1024).is_ok() && secret_in(text).is_none() {
                return Ok((text.to_string(), model.name().to_string()));
            }
        }
        let first = said.iter().find(|said| said.by_person);
        let title = first.map_or(String::new(), |said| title_of(&said.content));
        Ok((title, MODEL.to_string()))
    }
}
