//! What needs a service outside that a box of one's own does without: answered as the original
//! answers where nobody set it up.

use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, ok, refusal};
use super::{Happy, call};
use crate::server::{
    HeaderValue, HttpError, Method, Request, Response, Router, StatusCode, header,
};

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::GET, "/v1/connect/github/params", github);
    happy.route(
        router,
        Method::GET,
        "/v1/connect/github/callback",
        github_callback,
    );
    happy.route(
        router,
        Method::POST,
        "/v1/connect/github/webhook",
        github_webhook,
    );
    happy.route(router, Method::DELETE, "/v1/connect/github", no_github);
    happy.route(router, Method::POST, "/v1/voice/conversations", voice);
    happy.route(router, Method::GET, "/v1/voice/usage", voice_usage);
    happy.route(router, Method::POST, "/v1/version", version);
}

async fn github(happy: Happy, request: Request) -> Answer {
    happy.account(&request.head)?;
    let text = "GitHub OAuth not configured";
    Err(refusal(StatusCode::BAD_REQUEST, text))
}

/// Nobody was sent to GitHub from here, so no state that comes back is good.
async fn github_callback(happy: Happy, request: Request) -> Answer {
    happy.limit_stranger(&request)?;
    for name in ["code", "state"] {
        if request.query(name).is_none() {
            return Err(HttpError::invalid(format!(
                "{name} is missing in the query."
            )));
        }
    }
    let page = HeaderValue::from_static("/?error=invalid_state");
    Ok(Response::empty(StatusCode::FOUND).with(header::LOCATION, page))
}

async fn github_webhook(happy: Happy, request: Request) -> Answer {
    happy.limit_stranger(&request)?;
    let text = "Webhooks not configured";
    Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, text))
}

/// There is no link to undo.
async fn no_github(happy: Happy, request: Request) -> Answer {
    happy.account(&request.head)?;
    ok(json!({"success": true}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Conversation {
    #[serde(rename = "agentId")]
    _agent_id: String,
}

async fn voice(happy: Happy, mut request: Request) -> Answer {
    let _: Conversation = call::body(&mut request).await?;
    voice_usage(happy, request).await
}

async fn voice_usage(happy: Happy, request: Request) -> Answer {
    happy.account(&request.head)?;
    let text = "ELEVENLABS_API_KEY not configured";
    Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, text))
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "platform")]
    _platform: String,
    #[serde(rename = "version")]
    _version: String,
    #[serde(rename = "app_id")]
    _app_id: String,
}

/// No client follows the link, so none is told.
async fn version(happy: Happy, mut request: Request) -> Answer {
    happy.limit_stranger(&request)?;
    let _: Version = call::body(&mut request).await?;
    ok(json!({"updateUrl": null}))
}
