//! `/api/v1/device/audio`, `/volume` and `/beep`: which cards there are and whether they work.

use std::rc::Rc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Voice;
use super::error::VoiceError;
use crate::audio::{AudioError, DeviceInfo};
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode};

/// The tone is heard when it is this much louder than the room before it.
const HEARD_OVER_QUIET_DB: f32 = 6.0;

pub fn routes(router: &mut Router, voice: &Rc<Voice>) {
    let with = |handler: Handler| {
        let voice = Rc::clone(voice);
        move |request| handler(Rc::clone(&voice), request)
    };
    let (get, post, member) = (Method::GET, Method::POST, Access::Member);
    router.route(
        get,
        "/api/v1/device/audio",
        member,
        with(|voice, _| Box::pin(audio(voice))),
    );
    router.route(
        post.clone(),
        "/api/v1/device/volume",
        member,
        with(|voice, request| Box::pin(volume(voice, request))),
    );
    router.route(
        post,
        "/api/v1/device/beep",
        member,
        with(|voice, _| Box::pin(beep(voice))),
    );
}

type Answering = std::pin::Pin<Box<dyn Future<Output = Result<Response, HttpError>>>>;
type Handler = fn(Rc<Voice>, Request) -> Answering;

fn data(value: &Value) -> Response {
    Response::json(StatusCode::OK, &json!({"success": true, "data": value}))
}

async fn audio(voice: Rc<Voice>) -> Result<Response, HttpError> {
    let devices: Vec<DeviceInfo> = voice.audio.devices().await;
    let status = voice.device.audio();
    let state = voice.device.state();
    Ok(data(&json!({
        "devices": devices,
        "chosen": {"input": status.input, "output": status.output},
        "input_error": status.input_error,
        "output_error": status.output_error,
        "xruns": status.xruns,
        "volume": voice.device.volume(),
        "muted": state.muted,
        "open": voice.device.hears(),
        // Only while somebody is listened to: nothing opens the microphone for a meter.
        "level": voice.device.level().map(|(rms_db, vad)| json!({"rms_db": rms_db, "vad": vad})),
    })))
}

#[derive(Deserialize)]
struct VolumeBody {
    #[serde(alias = "volume")]
    percent: u8,
}

async fn volume(voice: Rc<Voice>, mut request: Request) -> Result<Response, HttpError> {
    let body: VolumeBody = request.json().await?;
    if body.percent > 100 {
        let what = String::from("`percent` must be a whole number from 0 to 100.");
        return Err(VoiceError::Invalid(what).into());
    }
    voice.device.set_volume(body.percent);
    Ok(data(&json!({"percent": body.percent})))
}

/// A second of 440 Hz, heard by the microphone beside it.
async fn beep(voice: Rc<Voice>) -> Result<Response, HttpError> {
    let state = voice.device.state();
    if state.muted {
        return Err(VoiceError::Muted.into());
    }
    if state.turn().is_some() {
        let busy = "the box listens or speaks; try again when it is idle";
        return Err(VoiceError::Conflict(String::from(busy)).into());
    }
    let check = voice.audio.check().await;
    let told = |error: &AudioError| error.to_string();
    let levels = check.microphone.as_ref().ok();
    let heard = levels.is_some_and(|l| l.tone_dbfs - l.quiet_dbfs >= HEARD_OVER_QUIET_DB);
    Ok(data(&json!({
        "tone_hz": 440,
        "speaker": {"ok": check.speaker.is_ok(), "error": check.speaker.as_ref().err().map(told)},
        "microphone": {
            "ok": levels.is_some(),
            "error": check.microphone.as_ref().err().map(told),
            "quiet_dbfs": levels.map(|levels| levels.quiet_dbfs),
            "tone_dbfs": levels.map(|levels| levels.tone_dbfs),
        },
        "heard": heard,
    })))
}
