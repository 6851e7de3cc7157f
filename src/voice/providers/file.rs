//! Speech as a provider itself encodes it, for those who want a file and no samples.

use std::fmt;

use bytes::Bytes;

use super::{Call, EngineError};

/// What is to be spoken, and into what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWish {
    pub text: String,
    /// Another voice or model than the settings name.
    pub voice: Option<String>,
    pub model: Option<String>,
    pub format: FileFormat,
}

/// What `response_format` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    Mp3,
    /// In Ogg.
    Opus,
    /// In ADTS frames.
    Aac,
    Wav,
    Flac,
    Pcm,
}

impl FileFormat {
    pub const ALL: [FileFormat; 6] = [
        FileFormat::Mp3,
        FileFormat::Opus,
        FileFormat::Aac,
        FileFormat::Wav,
        FileFormat::Flac,
        FileFormat::Pcm,
    ];

    pub fn named(name: &str) -> Option<FileFormat> {
        FileFormat::ALL
            .into_iter()
            .find(|format| format.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            FileFormat::Mp3 => "mp3",
            FileFormat::Opus => "opus",
            FileFormat::Aac => "aac",
            FileFormat::Wav => "wav",
            FileFormat::Flac => "flac",
            FileFormat::Pcm => "pcm",
        }
    }

    pub fn mime(self) -> &'static str {
        match self {
            FileFormat::Mp3 => "audio/mpeg",
            FileFormat::Opus => "audio/ogg",
            FileFormat::Aac => "audio/aac",
            FileFormat::Wav => "audio/wav",
            FileFormat::Flac => "audio/flac",
            FileFormat::Pcm => "audio/pcm",
        }
    }
}

/// The file as it comes. Dropping it ends the provider's work.
pub struct SpeechFile(Box<dyn FilePieces>);

/// Where a file's bytes come from.
pub trait FilePieces {
    /// The next bytes, never empty; `None` after the last. The whole is bounded.
    fn next(&mut self) -> Call<'_, Option<Bytes>>;
}

impl SpeechFile {
    pub fn new(pieces: impl FilePieces + 'static) -> SpeechFile {
        SpeechFile(Box::new(pieces))
    }

    pub async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        self.0.next().await
    }

    pub async fn collect(mut self) -> Result<Vec<u8>, EngineError> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }
}

impl fmt::Debug for SpeechFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpeechFile")
    }
}
