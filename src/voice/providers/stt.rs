//! Speech to text by a program: the sound goes out as a WAV, the words come back on stdout.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;

use super::command::{Scratch, Template, run};
use super::{Call, EngineError, Sound, Stt, SttOptions, Transcript};
use crate::audio::{SPEECH_RATE_HZ, wav};
use crate::limits::{FREE_SPEECH_MEMORY_BYTES_MIN, TRANSCRIBE_MAX};
use crate::voice::providers::choice::Line;

pub struct CommandStt {
    pub(super) name: Rc<str>,
    pub(super) template: Template,
    pub(super) model: Option<String>,
    /// Needs [`FREE_SPEECH_MEMORY_BYTES_MIN`] of free memory.
    pub(super) large: bool,
    pub(super) data_dir: PathBuf,
    pub(super) line: Line,
}

impl Stt for CommandStt {
    fn name(&self) -> &str {
        &self.name
    }

    fn transcribe<'a>(&'a self, sound: &'a Sound, options: &'a SttOptions) -> Call<'a, Transcript> {
        Box::pin(async move {
            let _place = self.line.enter().await?;
            if self.large {
                refuse_without_memory(available_memory())?;
            }
            let bytes = wav::encode(&sound.samples, SPEECH_RATE_HZ);
            let limit = TRANSCRIBE_MAX + sound.duration();
            let language = options.language.as_deref();
            let output = self.run(&bytes, language, limit).await?;
            Ok(Transcript {
                text: words_of(&output),
                language: language.map(String::from),
                provider: Rc::clone(&self.name),
                segments: Vec::new(),
                duration: sound.duration().as_secs_f64(),
            })
        })
    }
}

impl CommandStt {
    async fn run(
        &self,
        bytes: &[u8],
        language: Option<&str>,
        limit: Duration,
    ) -> Result<Vec<u8>, EngineError> {
        let common = [
            ("language", language.unwrap_or("auto")),
            ("model", self.model.as_deref().unwrap_or_default()),
        ];
        if !self.template.uses("wav") {
            return run(&self.template.fill(&common), bytes, limit).await;
        }
        let scratch = Scratch::new(&self.data_dir)?;
        let path = scratch.write("utterance.wav", bytes).await?;
        let path = path.to_string_lossy();
        let values = [&common[..], &[("wav", &*path)]].concat();
        run(&self.template.fill(&values), b"", limit).await
    }
}

/// The text of all lines; a line may be a JSON object with `t` (pocketsphinx 5) or `text`.
fn words_of(output: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Spoken {
        #[serde(alias = "t")]
        text: String,
    }
    let output = String::from_utf8_lossy(output);
    let lines = output.lines().map(|line| {
        let line = line.trim();
        match serde_json::from_str::<Spoken>(line) {
            Ok(spoken) => spoken.text,
            Err(_) => line.to_string(),
        }
    });
    let words: Vec<String> = lines
        .flat_map(|line| {
            line.split_whitespace()
                .filter(|word| !is_noise_mark(word))
                .map(String::from)
                .collect::<Vec<_>>()
        })
        .collect();
    words.join(" ")
}

/// `<sil>`, `[NOISE]`, `[BLANK_AUDIO]` and the like are no words.
fn is_noise_mark(word: &str) -> bool {
    let inner = word
        .strip_prefix('[')
        .and_then(|word| word.strip_suffix(']'))
        .or_else(|| {
            word.strip_prefix('<')
                .and_then(|word| word.strip_suffix('>'))
        });
    inner.is_some_and(|inner| {
        inner
            .chars()
            .all(|c| c.is_ascii_alphabetic() || "_/".contains(c))
    })
}

/// `MemAvailable`; `None` where the kernel does not tell.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    memory_in(&text)
}

fn memory_in(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}

fn refuse_without_memory(available: Option<u64>) -> Result<(), EngineError> {
    match available {
        Some(bytes) if bytes < FREE_SPEECH_MEMORY_BYTES_MIN => Err(EngineError::Refused(format!(
            "only {} MB of memory are free and understanding free speech needs {} MB; end other \
             programs or set STT_PROVIDER to a smaller engine",
            bytes / (1024 * 1024),
            FREE_SPEECH_MEMORY_BYTES_MIN / (1024 * 1024)
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_every_known_engine_are_found() {
        for (output, expected) in [
            ("where is the spare key\n", "where is the spare key"),
            ("first part\n\n second part \n", "first part second part"),
            (
                r#"{"b":0,"d":1.6,"p":0.9,"t":"where is it","w":[]}"#,
                "where is it",
            ),
            (r#"{"text":" hello "}"#, "hello"),
            ("<sil> hello [NOISE] there </s>", "hello there"),
            (" [BLANK_AUDIO]\n", ""),
            ("", ""),
            ("42\n", "42"),
        ] {
            assert_eq!(words_of(output.as_bytes()), expected, "{output}");
        }
    }

    #[test]
    fn a_large_engine_is_refused_when_memory_is_short() {
        let text = "MemTotal: 500000 kB\nMemAvailable:   204800 kB\n";
        assert_eq!(memory_in(text), Some(200 * 1024 * 1024));
        let error = refuse_without_memory(memory_in(text)).expect_err("refused");
        assert!(error.to_string().contains("200 MB"), "{error}");
        assert_eq!(refuse_without_memory(Some(300 << 20)), Ok(()));
        assert_eq!(refuse_without_memory(None), Ok(()));
    }
}
