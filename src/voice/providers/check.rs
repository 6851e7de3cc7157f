//! Tries a stage with the settings in force, for whoever has just set it: does it answer, who
//! answers, and how quickly.

use std::rc::Rc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::llm::ChatMessage;
use super::{ChatRequest, EngineError, Engines, MemberHealth, Sound, SttOptions};
use crate::audio::SPEECH_RATE_HZ;
use crate::audio::resample::resample;
use crate::limits::{PROVIDER_CHECK_MAX, SYNTHESIZED_MAX};

/// Spoken, or told to be said again.
const WORDS: &str = "One, two, three.";

/// What came of it: `ok`, who answered, milliseconds, what was heard or said, and the error where
/// there was one. `None`: no such stage.
pub async fn check(engines: &Rc<Engines>, stage: &str) -> Option<Value> {
    let began = Instant::now();
    let work = async {
        match stage {
            "stt" => Some(hear(engines).await),
            "tts" => Some(speak(engines).await),
            "llm" => Some(answer(engines).await),
            _ => None,
        }
    };
    let result = match tokio::time::timeout(PROVIDER_CHECK_MAX, work).await {
        Ok(result) => result?,
        Err(_) => Err(EngineError::Timeout(PROVIDER_CHECK_MAX)),
    };
    let took_ms = began.elapsed().as_millis() as u64;
    let members = members(engines, stage);
    Some(match result {
        Ok((provider, told)) => json!({
            "stage": stage, "ok": true, "provider": provider, "latency_ms": took_ms,
            "told": told, "members": members,
        }),
        Err(error) => json!({
            "stage": stage, "ok": false, "latency_ms": took_ms, "error": error.to_string(),
            "retryable": error.is_retryable(), "members": members,
        }),
    })
}

fn members(engines: &Engines, stage: &str) -> Vec<MemberHealth> {
    match stage {
        "stt" => engines.stt.as_ref().map(|stt| stt.members()),
        "tts" => engines.tts.as_ref().map(|tts| tts.members()),
        _ => engines.llm.as_ref().map(|llm| llm.members()),
    }
    .unwrap_or_default()
}

type Checked = Result<(String, String), EngineError>;

async fn speak(engines: &Engines) -> Checked {
    let tts = engines.tts.clone()?;
    let name = tts.name().to_owned();
    let stream = tts.synthesize(WORDS, Some("en")).await?;
    let speech = stream.collect(SYNTHESIZED_MAX).await?;
    let told = format!("{:.1} s of sound", speech.duration().as_secs_f64());
    Ok((name, told))
}

/// With the stage's own voice where there is one, else with a tone, of which nothing is understood.
async fn hear(engines: &Engines) -> Checked {
    let stt = engines.stt.clone()?;
    let samples = match &engines.tts {
        Ok(tts) => match tts.synthesize(WORDS, Some("en")).await {
            Ok(stream) => {
                let speech = stream.collect(SYNTHESIZED_MAX).await?;
                resample(&speech.samples, speech.rate_hz, SPEECH_RATE_HZ)
            }
            Err(_) => tone(),
        },
        Err(_) => tone(),
    };
    let transcript = stt
        .transcribe(&Sound::new(samples), &SttOptions::default())
        .await?;
    Ok((transcript.provider.to_string(), transcript.text))
}

/// A second of 440 Hz.
fn tone() -> Vec<i16> {
    let step = 440.0 * std::f64::consts::TAU / f64::from(SPEECH_RATE_HZ);
    (0..SPEECH_RATE_HZ)
        .map(|at| (8_000.0 * (f64::from(at) * step).sin()) as i16)
        .collect()
}

async fn answer(engines: &Engines) -> Checked {
    let llm = engines.llm.clone()?;
    let request = ChatRequest {
        system: String::from("This checks the connection. Answer in one short word."),
        messages: vec![ChatMessage::User(String::from("Are you there?"))],
        max_tokens: 16,
        ..ChatRequest::default()
    };
    let reply = llm.chat(&request, &mut |_| {}).await?;
    Ok((reply.provider, reply.text))
}
