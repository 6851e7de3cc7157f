//! The box's ear and mouth over HTTP: `/api/v1/device/…` and the turns' times under
//! `/api/v1/debug/stats`.

use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::Voice;
use super::api::speech::check_text;
use super::device::state_payload;
use super::dialogue::VoiceError;
use super::recordings::Mode;
use super::turn::Turn;
use crate::limits::{LISTEN_MAX, SPEAK_MAX, TRANSCRIBE_MAX};
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode};

/// A turn that was waited for takes no longer than all its stages may.
const TURN_WAIT_MAX: Duration = Duration::from_secs(
    LISTEN_MAX.as_secs() * 2 + TRANSCRIBE_MAX.as_secs() * 2 + SPEAK_MAX.as_secs(),
);

pub fn routes(router: &mut Router, voice: &Rc<Voice>) {
    let mut add = |method, pattern, access, handler: Handler| {
        let voice = Rc::clone(voice);
        router.route(method, pattern, access, move |request| {
            handler(Rc::clone(&voice), request)
        });
    };
    let (get, post) = (Method::GET, Method::POST);
    let member = Access::Member;
    add(get.clone(), "/api/v1/device", member, |voice, _| {
        Box::pin(async move { device(&voice) })
    });
    add(
        post.clone(),
        "/api/v1/device/listen",
        member,
        |voice, request| Box::pin(listen(voice, request)),
    );
    add(
        post.clone(),
        "/api/v1/device/say",
        member,
        |voice, request| Box::pin(say(voice, request)),
    );
    add(post.clone(), "/api/v1/device/stop", member, |voice, _| {
        Box::pin(async move {
            voice.device.stop()?;
            Ok(data(&json!({})))
        })
    });
    add(
        post.clone(),
        "/api/v1/device/mute",
        Access::Admin,
        |voice, request| Box::pin(mute(voice, request)),
    );
    add(get, "/api/v1/debug/stats", Access::Admin, |voice, _| {
        Box::pin(async move { Ok(stats(&voice)) })
    });
}

type Answering = std::pin::Pin<Box<dyn Future<Output = Result<Response, HttpError>>>>;
type Handler = fn(Rc<Voice>, Request) -> Answering;

fn data(value: &impl serde::Serialize) -> Response {
    Response::json(StatusCode::OK, &json!({"success": true, "data": value}))
}

fn device(voice: &Voice) -> Result<Response, HttpError> {
    let mut value = state_payload(&voice.device.state());
    value["audio"] = json!(voice.device.audio());
    Ok(data(&value))
}

#[derive(Default, Deserialize)]
struct ListenBody {
    /// Answer when the turn is over, with what was understood and said.
    #[serde(default)]
    wait: bool,
    /// `note`: until `/device/stop`, a button, or a long silence.
    mode: Option<String>,
}

async fn listen(voice: Rc<Voice>, mut request: Request) -> Result<Response, HttpError> {
    let body: ListenBody = optional_json(&mut request).await?;
    let mode = match body.mode.as_deref() {
        None => Mode::Chat,
        Some(word) => {
            Mode::parse(word).ok_or_else(|| HttpError::invalid("`mode` is chat, note or auto."))?
        }
    };
    if mode == Mode::Note && body.wait {
        return Err(HttpError::invalid(
            "`wait` is not for a note, which may last for hours; it ends with /device/stop.",
        ));
    }
    let turn = voice.device.listen(mode)?;
    answer_turn(&voice, turn, body.wait).await
}

#[derive(Deserialize)]
struct SayBody {
    text: String,
    #[serde(default)]
    wait: bool,
}

async fn say(voice: Rc<Voice>, mut request: Request) -> Result<Response, HttpError> {
    let body: SayBody = request.json().await?;
    check_text(&body.text)?;
    if let Err(error) = &voice.engines().tts {
        return Err(error.clone().of_tts().into());
    }
    let turn = voice.device.say(&body.text)?;
    answer_turn(&voice, turn, body.wait).await
}

async fn answer_turn(voice: &Voice, turn: Turn, wait: bool) -> Result<Response, HttpError> {
    if !wait {
        return Ok(data(&json!({"turn": turn})));
    }
    let ended = tokio::time::timeout(TURN_WAIT_MAX, voice.device.ended(turn))
        .await
        .map_err(|_| VoiceError::Timeout("the end of the turn"))??;
    Ok(data(&ended))
}

#[derive(Deserialize)]
struct MuteBody {
    muted: bool,
}

async fn mute(voice: Rc<Voice>, mut request: Request) -> Result<Response, HttpError> {
    let body: MuteBody = request.json().await?;
    voice.device.mute(body.muted).await?;
    Ok(data(&json!({"muted": body.muted})))
}

fn stats(voice: &Voice) -> Response {
    data(&json!({
        "device": state_payload(&voice.device.state()),
        "audio": voice.device.audio(),
        "tasks": tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        "sessions": voice.sessions(),
        "sockets": voice.sockets.open(),
        "turns": voice.turn_log().last(),
    }))
}

/// A body may be left out.
async fn optional_json<T: Default + serde::de::DeserializeOwned>(
    request: &mut Request,
) -> Result<T, HttpError> {
    let empty = request
        .head
        .header("content-length")
        .is_none_or(|length| length == "0")
        && request.head.header("transfer-encoding").is_none();
    if empty {
        Ok(T::default())
    } else {
        request.json().await
    }
}
