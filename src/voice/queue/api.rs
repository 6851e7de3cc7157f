//! `/api/v1/jobs`: what waits, what was given up, and a second chance for it.

use serde_json::json;

use super::Queue;
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode};
use crate::voice::api::{data_json, page_of};

const PAGE_DEFAULT: usize = 50;
const STATES: [&str; 4] = ["queued", "running", "done", "failed"];

pub fn routes(router: &mut Router, queue: &Queue) {
    let list = queue.clone();
    router.route(
        Method::GET,
        "/api/v1/jobs",
        Access::Member,
        move |request| jobs(list.clone(), request),
    );
    let retry = queue.clone();
    router.route(
        Method::POST,
        "/api/v1/jobs/{id}/retry",
        Access::Member,
        move |request| {
            let queue = retry.clone();
            async move {
                queue.retry(request.param("id")).await?;
                Ok(success())
            }
        },
    );
    let remove = queue.clone();
    router.route(
        Method::DELETE,
        "/api/v1/jobs/{id}",
        Access::Member,
        move |request| {
            let queue = remove.clone();
            async move {
                queue.remove(request.param("id")).await?;
                Ok(success())
            }
        },
    );
}

async fn jobs(queue: Queue, request: Request) -> Result<Response, HttpError> {
    let state = request.query("state");
    if let Some(state) = &state
        && !STATES.contains(&state.as_str())
    {
        return Err(HttpError::invalid(format!(
            "`state` is one of {}.",
            STATES.join(", ")
        )));
    }
    let json = queue
        .list_json(state, page_of(&request, PAGE_DEFAULT)?)
        .await?;
    Ok(data_json(&json))
}

fn success() -> Response {
    Response::json(StatusCode::OK, &json!({"success": true}))
}
