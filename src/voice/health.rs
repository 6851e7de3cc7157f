//! How the room is, for `/health` and `doctor`: state, sound card, speech engines.

use std::cell::RefCell;

use serde::Serialize;

use super::Voice;
use super::dialogue::{PROVIDER, VoiceError};
use super::providers::MemberHealth;
use super::queue::QueueHealth;
use crate::audio::AudioStatus;
use crate::clock::UnixMillis;

#[derive(Clone, Debug, Serialize)]
pub struct VoiceHealth {
    /// Phase of the box's own endpoint.
    pub state: &'static str,
    pub muted: bool,
    pub audio: AudioStatus,
    /// `online`, `degraded` or `offline`.
    pub network: &'static str,
    pub providers: Providers,
    pub queue: QueueHealth,
    /// Whether a person would find something missing.
    #[serde(skip)]
    pub degraded: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct Providers {
    pub stt: ProviderHealth,
    pub llm: ProviderHealth,
    pub tts: ProviderHealth,
}

#[derive(Clone, Debug, Serialize)]
pub struct ProviderHealth {
    pub name: Option<String>,
    pub ok: bool,
    pub last_error: Option<String>,
    pub last_ok_at: Option<String>,
    /// Who is asked, in this order.
    pub members: Vec<MemberHealth>,
}

impl ProviderHealth {
    /// A stage is well while one of its members is, whatever became of the last call.
    fn with(mut self, members: Vec<MemberHealth>) -> ProviderHealth {
        if let Some(now) = members.iter().find(|member| member.ok) {
            self.ok = true;
            self.name = Some(now.name.clone());
        } else if !members.is_empty() {
            self.ok = false;
        }
        let newest = members
            .iter()
            .filter_map(|member| member.last_ok_at.clone());
        self.last_ok_at = newest.chain(self.last_ok_at).max();
        let errors = members.iter().find_map(|member| member.last_error.clone());
        self.last_error = self.last_error.or(errors);
        self.members = members;
        self
    }
}

/// What became of the last calls to one engine.
#[derive(Default)]
pub struct Calls(RefCell<LastCalls>);

#[derive(Clone, Default)]
struct LastCalls {
    /// `None` after a success.
    failing: Option<String>,
    last_error: Option<String>,
    last_ok_at: Option<UnixMillis>,
}

impl Calls {
    pub fn succeeded(&self, now: UnixMillis) {
        let mut calls = self.0.borrow_mut();
        calls.failing = None;
        calls.last_ok_at = Some(now);
    }

    pub fn failed(&self, error: &VoiceError) {
        let message: String = error.line().message.chars().take(300).collect();
        let mut calls = self.0.borrow_mut();
        calls.failing = Some(message.clone());
        calls.last_error = Some(message);
    }

    fn health(&self, engine: Result<&str, String>) -> ProviderHealth {
        let calls = self.0.borrow().clone();
        let (name, missing) = match engine {
            Ok(name) => (Some(name.to_string()), None),
            Err(error) => (None, Some(error)),
        };
        ProviderHealth {
            ok: missing.is_none() && calls.failing.is_none(),
            name,
            last_error: missing.or(calls.last_error),
            last_ok_at: calls.last_ok_at.map(UnixMillis::rfc3339),
            members: Vec::new(),
        }
    }
}

impl Voice {
    /// Without a model the rules answer, and that is well; with one, its last call counts.
    fn llm_health(&self) -> ProviderHealth {
        match self.dialogue.mind() {
            Ok(mind) => self.dialogue.0.llm_calls.health(Ok(mind.llm.name())),
            Err(_) => Calls::default().health(Ok(PROVIDER)),
        }
    }

    pub fn health(&self) -> VoiceHealth {
        let state = self.device.state();
        let audio = self.device.audio();
        let engines = self.engines();
        let stt = engines.stt.as_ref().map(|engine| engine.name());
        let tts = engines.tts.as_ref().map(|engine| engine.name());
        let providers = Providers {
            stt: self
                .room
                .stt_calls
                .health(stt.map_err(ToString::to_string))
                .with(
                    engines
                        .stt
                        .as_ref()
                        .map(|stt| stt.members())
                        .unwrap_or_default(),
                ),
            llm: self.llm_health().with(
                engines
                    .llm
                    .as_ref()
                    .map(|llm| llm.members())
                    .unwrap_or_default(),
            ),
            tts: self
                .room
                .tts_calls
                .health(tts.map_err(ToString::to_string))
                .with(
                    engines
                        .tts
                        .as_ref()
                        .map(|tts| tts.members())
                        .unwrap_or_default(),
                ),
        };
        let queue = self.queue.health();
        VoiceHealth {
            state: state.phase.name(),
            muted: state.muted,
            degraded: audio.input_error.is_some()
                || audio.output_error.is_some()
                || !providers.stt.ok
                || !providers.llm.ok
                || !providers.tts.ok
                || queue.failed > 0,
            audio,
            network: self.room.world.network.state().name(),
            providers,
            queue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_failed_is_well_again_after_a_success() {
        let calls = Calls::default();
        calls.failed(&VoiceError::Stt(String::from("it broke")));
        let health = calls.health(Ok("x"));
        assert_eq!(
            (health.ok, health.last_error.as_deref()),
            (false, Some("it broke"))
        );
        calls.succeeded(UnixMillis(0));
        let health = calls.health(Ok("x"));
        assert!(health.ok && health.last_ok_at.is_some(), "{health:?}");
        let health = calls.health(Err(String::from("install it")));
        assert_eq!(
            (health.ok, health.last_error.as_deref()),
            (false, Some("install it"))
        );
    }
}
