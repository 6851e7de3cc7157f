//! What a person may set about the room, already validated.

use std::path::PathBuf;
use std::time::Duration;

use super::filing::AutoMemory;
use super::hardware::HardwareSettings;
use super::mind::ModelSettings;
use super::vectors::EmbedSettings;
use crate::audio::decode::SoundFormat;
use crate::limits::JOB_SPACING;

/// Every field has the default of its environment variable.
#[derive(Clone, Debug)]
pub struct VoiceSettings {
    /// `DATA_DIR`; temporary sound and kept recordings lie below it.
    pub data_dir: PathBuf,
    /// `STT_PROVIDER`, `STT_COMMAND`, `STT_MODEL`, `STT_BASE_URL`.
    pub stt: EngineSettings,
    /// `TTS_PROVIDER`, `TTS_COMMAND`, `TTS_MODEL`, `TTS_BASE_URL`.
    pub tts: EngineSettings,
    /// `LLM_PROVIDER`, `LLM_MODEL`, `ANTHROPIC_BASE_URL`, `LLM_BASE_URL` and the keys.
    pub llm: LlmSettings,
    /// `LLM_MAX_TOKENS`, `PROMPT_TOKENS`, `RECALL_TOKENS`, `SYSTEM_PROMPT_FILE`.
    pub model: ModelSettings,
    /// `STT_LANGUAGE`: `en`, `zh`, or `None` for the engine's own choice.
    pub language: Option<String>,
    /// `TTS_VOICE`: the engine's name of a voice.
    pub tts_voice: Option<String>,
    /// `TTS_FORMAT`: what a server is asked for.
    pub tts_format: SoundFormat,
    /// `TTS_CACHE_MB` in bytes; 0 keeps none.
    pub tts_cache_bytes: u64,
    /// `END_SILENCE_MS`, 300 to 2000.
    pub end_silence: Duration,
    /// `CONVERSATION_IDLE`.
    pub conversation_idle: Duration,
    /// `AUTO_MEMORY`.
    pub auto_memory: AutoMemory,
    /// `SUMMARY_AT`.
    pub summary_at: Option<jiff::civil::Time>,
    /// `EMBED_PROVIDER`, `EMBED_BASE_URL`, `EMBED_MODEL`, with the provider's key.
    pub embed: Option<EmbedSettings>,
    /// `AUDIO_KEEP_DAYS`: utterances of the box's microphone stay this long under
    /// `recordings/`; 0 keeps none.
    pub recordings_kept_days: u32,
    /// `QUEUE_SPACING`: between two jobs while a backlog is worked off.
    pub queue_spacing: Duration,
    /// `QUEUE_MAX_DAYS`: how long a job may wait in all.
    pub queue_days_max: u32,
    /// `QUEUE_MAX_MB` in bytes: sound that waits to be understood.
    pub queue_bytes_max: u64,
    /// `MAX_UPLOAD_SIZE` in bytes.
    pub upload_bytes_max: usize,
    /// `GPIO_*` and `EVENT_COMMAND`.
    pub hardware: HardwareSettings,
    /// `AUDIO_AEC`: the sound card takes the box's own voice out of what it hears.
    pub echo_cancelled: bool,
    /// `WAKE_PHRASE`, with `WAKE=command`: the microphone stays open and the phrase begins a turn.
    pub wake_phrase: Option<String>,
    /// A `/ws` client that lost its socket while it listened may come back within this.
    pub resume_within: Duration,
    /// `FOLLOW_UP`: listen again when an answer of the box ends in a question.
    pub follow_up: bool,
    /// `EARCON_DIR`: a WAV file in it replaces the sound of its name.
    pub earcons: Option<PathBuf>,
}

/// Which language model answers.
#[derive(Clone, Debug)]
pub struct LlmSettings {
    /// `auto`, `none`, `anthropic` or `openai`.
    pub provider: String,
    /// The provider's name of a model; `None`: its usual one.
    pub model: Option<String>,
    /// Without a slash at the end; `None`: the provider's own.
    pub anthropic_url: Option<String>,
    pub openai_url: Option<String>,
    pub anthropic_key: Option<ApiKey>,
    pub openai_key: Option<ApiKey>,
}

impl Default for LlmSettings {
    fn default() -> LlmSettings {
        LlmSettings {
            provider: String::from("auto"),
            model: None,
            anthropic_url: None,
            openai_url: None,
            anthropic_key: None,
            openai_key: None,
        }
    }
}

/// A key that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// `None` for an empty one.
    pub fn new(key: &str) -> Option<ApiKey> {
        let key = key.trim();
        (!key.is_empty()).then(|| ApiKey(key.to_owned()))
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// One stage's engine.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// `auto`, `none`, `command`, `openai`, the name of a preset, or several with commas between.
    pub provider: String,
    /// The argv template of `command`.
    pub command: Option<String>,
    /// Model file of a program that needs one (whisper.cpp, piper), or a server's name of one.
    pub model: Option<String>,
    /// A server that speaks OpenAI's protocol; `None`: OpenAI's own.
    pub base_url: Option<String>,
}

impl Default for EngineSettings {
    fn default() -> EngineSettings {
        EngineSettings {
            provider: String::from("auto"),
            command: None,
            model: None,
            base_url: None,
        }
    }
}

impl Default for VoiceSettings {
    fn default() -> VoiceSettings {
        VoiceSettings {
            data_dir: PathBuf::from("data"),
            stt: EngineSettings::default(),
            tts: EngineSettings::default(),
            llm: LlmSettings::default(),
            model: ModelSettings::default(),
            language: None,
            tts_voice: None,
            tts_format: SoundFormat::Mp3,
            tts_cache_bytes: 0,
            end_silence: Duration::from_millis(700),
            conversation_idle: Duration::from_secs(600),
            auto_memory: AutoMemory::default(),
            summary_at: None,
            embed: None,
            recordings_kept_days: 0,
            queue_spacing: JOB_SPACING,
            queue_days_max: 30,
            queue_bytes_max: 512 * 1024 * 1024,
            upload_bytes_max: 10 * 1024 * 1024,
            hardware: HardwareSettings::default(),
            echo_cancelled: false,
            wake_phrase: None,
            resume_within: crate::limits::VOICE_RESUME_MAX,
            follow_up: false,
            earcons: None,
        }
    }
}
