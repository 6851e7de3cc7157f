//! What the settings say to the voice room, in the room's own words.

use std::path::PathBuf;
use std::time::Duration;

use super::StartError;
use crate::config::Config;
use crate::voice::filing::AutoMemory;
use crate::voice::hardware::HardwareSettings;
use crate::voice::mind::{self, ModelSettings};
use crate::voice::providers::chains::format_named;
use crate::voice::settings::{ApiKey, LlmSettings};
use crate::voice::vectors::EmbedSettings;
use crate::voice::{EngineSettings, VoiceSettings};

/// What no kind of setting can tell: whether the files that are named can be read.
pub fn check(config: &Config) -> Result<(), StartError> {
    let Some(path) = config.path("SYSTEM_PROMPT_FILE") else {
        return Ok(());
    };
    mind::read_own_rules(&path)
        .map(drop)
        .map_err(|why| StartError::Setting {
            name: "SYSTEM_PROMPT_FILE",
            why,
        })
}

/// What the settings say to the voice room.
pub fn voice_settings(config: &Config) -> VoiceSettings {
    let engine = |provider, command, model, url| EngineSettings {
        provider: config.word(provider).to_owned(),
        command: config.text(command).map(str::to_owned),
        model: config.text(model).map(str::to_owned),
        base_url: config.text(url).map(str::to_owned),
    };
    VoiceSettings {
        data_dir: config.data_dir(),
        stt: engine("STT_PROVIDER", "STT_COMMAND", "STT_MODEL", "STT_BASE_URL"),
        tts: engine("TTS_PROVIDER", "TTS_COMMAND", "TTS_MODEL", "TTS_BASE_URL"),
        llm: llm_settings(config),
        model: ModelSettings {
            max_tokens: config.number("LLM_MAX_TOKENS") as u32,
            prompt_tokens: config.number("PROMPT_TOKENS") as u32,
            recall_tokens: config.number("RECALL_TOKENS") as u32,
            own_rules: config.path("SYSTEM_PROMPT_FILE").and_then(own_rules),
        },
        language: config
            .text("STT_LANGUAGE")
            .filter(|language| *language != "auto")
            .map(str::to_owned),
        tts_voice: config.text("TTS_VOICE").map(str::to_owned),
        tts_format: format_named(config.word("TTS_FORMAT")),
        tts_cache_bytes: config.number("TTS_CACHE_MB") * 1024 * 1024,
        end_silence: std::time::Duration::from_millis(config.number("END_SILENCE_MS")),
        conversation_idle: config.duration("CONVERSATION_IDLE"),
        auto_memory: match config.word("AUTO_MEMORY") {
            "ask" => AutoMemory::Ask,
            "off" => AutoMemory::Off,
            _ => AutoMemory::On,
        },
        summary_at: time_of_day(config.word("SUMMARY_AT")),
        embed: (config.word("EMBED_PROVIDER") == "openai").then(|| EmbedSettings {
            base_url: config.word("EMBED_BASE_URL").to_owned(),
            model: config.word("EMBED_MODEL").to_owned(),
            key: config.text("OPENAI_API_KEY").and_then(ApiKey::new),
        }),
        recordings_kept_days: config.number("AUDIO_KEEP_DAYS") as u32,
        queue_spacing: Duration::from_secs(config.number("QUEUE_SPACING")),
        queue_days_max: config.number("QUEUE_MAX_DAYS") as u32,
        queue_bytes_max: config.number("QUEUE_MAX_MB") * 1024 * 1024,
        upload_bytes_max: config.number("MAX_UPLOAD_SIZE") as usize,
        hardware: HardwareSettings::of(config),
        resume_within: crate::limits::VOICE_RESUME_MAX,
        wake_phrase: (config.word("WAKE") == "command")
            .then(|| config.word("WAKE_PHRASE").to_owned()),
        echo_cancelled: config.word("AUDIO_AEC") == "on",
        follow_up: config.word("FOLLOW_UP") == "on",
        earcons: config.path("EARCON_DIR"),
    }
}

fn llm_settings(config: &Config) -> LlmSettings {
    let text = |name| config.text(name).map(str::to_owned);
    LlmSettings {
        provider: config.word("LLM_PROVIDER").to_owned(),
        model: text("LLM_MODEL"),
        anthropic_url: text("ANTHROPIC_BASE_URL"),
        openai_url: text("LLM_BASE_URL"),
        anthropic_key: config.text("CLAUDE_API_KEY").and_then(ApiKey::new),
        openai_key: config.text("OPENAI_API_KEY").and_then(ApiKey::new),
    }
}

/// The built-in rules serve where the file cannot be read.
fn own_rules(path: PathBuf) -> Option<String> {
    mind::read_own_rules(&path)
        .inspect_err(|error| log::error!("event=system_prompt_not_read error=\"{error}\""))
        .ok()
}

/// `None`: off.
fn time_of_day(text: &str) -> Option<jiff::civil::Time> {
    let (hour, minute) = text.split_once(':')?;
    jiff::civil::Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}
