//! What a person may set about the room, already validated.

use std::path::PathBuf;
use std::time::Duration;

/// Every field has the default of its environment variable.
#[derive(Clone, Debug)]
pub struct VoiceSettings {
    /// `DATA_DIR`; temporary sound and kept recordings lie below it.
    pub data_dir: PathBuf,
    /// `STT_PROVIDER`, `STT_COMMAND`, `STT_MODEL`.
    pub stt: EngineSettings,
    /// `TTS_PROVIDER`, `TTS_COMMAND`, `TTS_MODEL`.
    pub tts: EngineSettings,
    /// `STT_LANGUAGE`: `en`, `zh`, or `None` for the engine's own choice.
    pub language: Option<String>,
    /// `TTS_VOICE`: the engine's name of a voice.
    pub tts_voice: Option<String>,
    /// `END_SILENCE_MS`, 300 to 2000.
    pub end_silence: Duration,
    /// `CONVERSATION_IDLE`.
    pub conversation_idle: Duration,
    /// `AUDIO_KEEP_DAYS`: utterances of the box's microphone stay this long under
    /// `recordings/`; 0 keeps none.
    pub recordings_kept_days: u32,
    /// `QUEUE_MAX_DAYS`: how long a job may wait in all.
    pub queue_days_max: u32,
    /// `QUEUE_MAX_MB` in bytes: sound that waits to be understood.
    pub queue_bytes_max: u64,
    /// `MAX_UPLOAD_SIZE` in bytes.
    pub upload_bytes_max: usize,
}

/// One stage's engine.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// `auto`, `none`, `command`, or the name of a preset.
    pub provider: String,
    /// The argv template of `command`.
    pub command: Option<String>,
    /// Model file of engines that need one (whisper.cpp, piper).
    pub model: Option<String>,
}

impl Default for EngineSettings {
    fn default() -> EngineSettings {
        EngineSettings {
            provider: String::from("auto"),
            command: None,
            model: None,
        }
    }
}

impl Default for VoiceSettings {
    fn default() -> VoiceSettings {
        VoiceSettings {
            data_dir: PathBuf::from("data"),
            stt: EngineSettings::default(),
            tts: EngineSettings::default(),
            language: None,
            tts_voice: None,
            end_silence: Duration::from_millis(700),
            conversation_idle: Duration::from_secs(600),
            recordings_kept_days: 0,
            queue_days_max: 30,
            queue_bytes_max: 512 * 1024 * 1024,
            upload_bytes_max: 10 * 1024 * 1024,
        }
    }
}
