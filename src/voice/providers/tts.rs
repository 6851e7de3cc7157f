//! Text to speech by a program: a sentence goes out, a WAV comes back.

use std::path::PathBuf;
use std::rc::Rc;

use super::choice::Line;
use super::command::{Scratch, Template, run};
use super::{Call, EngineError, Speech, SpeechStream, Tts, language_of};
use crate::audio::wav;
use crate::limits::{SPEAK_STALL_MAX, SYNTHESIZE_MAX};

pub struct CommandTts {
    pub(super) name: Rc<str>,
    pub(super) template: Template,
    pub(super) voice: Voice,
    pub(super) model: Option<String>,
    /// Curly quotes, dashes and accents are replaced: the engine reads ASCII only.
    pub(super) ascii: bool,
    /// Speaks what this engine has no language for.
    pub(super) other_languages: Option<Box<CommandTts>>,
    pub(super) data_dir: PathBuf,
    pub(super) line: Line,
}

/// What goes into `{voice}`.
pub(super) enum Voice {
    Fixed(String),
    /// espeak-ng's name of the text's language.
    Language,
}

impl Tts for CommandTts {
    fn name(&self) -> &str {
        &self.name
    }

    fn voice(&self) -> String {
        let voice = match &self.voice {
            Voice::Fixed(name) => name.as_str(),
            Voice::Language => "",
        };
        format!("{voice}/{}", self.model.as_deref().unwrap_or_default())
    }

    fn synthesize<'a>(
        &'a self,
        text: &'a str,
        language: Option<&'a str>,
    ) -> Call<'a, SpeechStream> {
        Box::pin(async move {
            let written = language_of(text);
            let language = match (language, written) {
                (Some(given), "en") => given,
                _ => written,
            };
            let engine = match &self.other_languages {
                Some(other) if language != "en" => other,
                _ => self,
            };
            let _place = engine.line.enter().await?;
            let bytes = engine.run(text, language).await?;
            let sound = wav::decode(&bytes, SPEAK_STALL_MAX).map_err(|error| {
                EngineError::Failed(format!("{} gave no usable WAV: {error}", engine.name))
            })?;
            Ok(SpeechStream::whole(Speech {
                samples: sound.samples,
                rate_hz: sound.rate_hz,
            }))
        })
    }
}

impl CommandTts {
    async fn run(&self, text: &str, language: &str) -> Result<Vec<u8>, EngineError> {
        let text = if self.ascii {
            plain_ascii(text)
        } else {
            text.to_string()
        };
        let voice = match &self.voice {
            Voice::Fixed(name) => name.as_str(),
            Voice::Language if language == "zh" => "cmn",
            Voice::Language => language,
        };
        let scratch = Scratch::new(&self.data_dir)?;
        let out = scratch.path("speech.wav");
        let out = out.to_string_lossy();
        let mut values = vec![
            ("language", language),
            ("voice", voice),
            ("model", self.model.as_deref().unwrap_or_default()),
            ("out", &*out),
        ];
        let file;
        let mut input = text.as_bytes();
        if self.template.uses("text_file") {
            file = scratch
                .write("text.txt", input)
                .await?
                .to_string_lossy()
                .into_owned();
            values.push(("text_file", &file));
            input = b"";
        }
        let output = run(&self.template.fill(&values), input, SYNTHESIZE_MAX).await?;
        if self.template.uses("out") {
            scratch.read("speech.wav")
        } else {
            Ok(output)
        }
    }
}

fn plain_ascii(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{2018}' | '\u{2019}' => '\'',
            '\u{201C}' | '\u{201D}' => '"',
            '\u{2013}' | '\u{2014}' => ',',
            'à'..='å' => 'a',
            'è'..='ë' => 'e',
            'ì'..='ï' => 'i',
            'ò'..='ö' => 'o',
            'ù'..='ü' => 'u',
            'ç' => 'c',
            'ñ' => 'n',
            c if c.is_ascii() => c,
            _ => ' ',
        })
        .collect()
}
