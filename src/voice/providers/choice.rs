//! Which engines there are on this machine, and which of them are used.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::command::{Template, find_program, run_to_end};
use super::llm::Llm;
use super::stt::CommandStt;
use super::tts::{CommandTts, Voice};
use super::{EngineError, Stt, Tts};
use crate::limits::{SPEECH_WAITING_MAX, STT_COMMANDS_MAX, TRANSCRIBE_MAX, TTS_COMMANDS_MAX};
use crate::voice::settings::{EngineSettings, VoiceSettings};

/// The engines in use; an `Err` says what to install or set.
#[derive(Clone)]
pub struct Engines {
    pub stt: Result<Rc<dyn Stt>, EngineError>,
    pub tts: Result<Rc<dyn Tts>, EngineError>,
    pub llm: Result<Rc<dyn Llm>, EngineError>,
}

/// One stage as `doctor` tells it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct EngineReport {
    /// `stt` or `tts`.
    pub stage: &'static str,
    /// The engine in use.
    pub used: Option<String>,
    /// Why there is none, and what to do.
    pub problem: Option<String>,
    pub found: Vec<FoundEngine>,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct FoundEngine {
    pub name: &'static str,
    pub program: PathBuf,
    pub version: Option<String>,
    /// `en`, or `any`.
    pub languages: &'static str,
}

/// A program we know how to call.
struct Preset {
    name: &'static str,
    /// The same engine's programs in order of preference, each with its arguments.
    commands: &'static [(&'static str, &'static str)],
    languages: &'static str,
    needs_model: bool,
    version: &'static [&'static str],
}

const STT_PRESETS: [Preset; 2] = [
    Preset {
        name: "whisper.cpp",
        commands: &[
            ("whisper-cli", "-m {model} -f {wav} -l {language} -nt -np"),
            ("whisper-cpp", "-m {model} -f {wav} -l {language} -nt -np"),
        ],
        languages: "any",
        needs_model: true,
        version: &[],
    },
    Preset {
        name: "pocketsphinx",
        commands: &[
            ("pocketsphinx", "-loglevel FATAL single {wav}"),
            ("pocketsphinx_continuous", "-infile {wav} -logfn /dev/null"),
        ],
        languages: "en",
        needs_model: false,
        version: &[],
    },
];

const TTS_PRESETS: [Preset; 3] = [
    Preset {
        name: "piper",
        commands: &[("piper", "--model {model} --output_file {out}")],
        languages: "any",
        needs_model: true,
        version: &["--version"],
    },
    Preset {
        name: "flite",
        commands: &[("flite", "-voice {voice} -f {text_file} -o {out}")],
        languages: "en",
        needs_model: false,
        version: &["--version"],
    },
    Preset {
        name: "espeak-ng",
        commands: &[("espeak-ng", "-v {voice} -f {text_file} -w {out}")],
        languages: "any",
        needs_model: false,
        version: &["--version"],
    },
];

const FLITE_VOICE: &str = "slt";

/// Names that `STT_PROVIDER` takes beside `auto`, `command` and `none`.
pub fn stt_names() -> Vec<&'static str> {
    STT_PRESETS.iter().map(|preset| preset.name).collect()
}

/// Names that `TTS_PROVIDER` takes beside `auto`, `command` and `none`.
pub fn tts_names() -> Vec<&'static str> {
    TTS_PRESETS.iter().map(|preset| preset.name).collect()
}

impl Engines {
    /// What is installed, of which version, and what is used.
    pub async fn report(&self) -> [EngineReport; 2] {
        let (stt, tts) = tokio::join!(installed(&STT_PRESETS), installed(&TTS_PRESETS));
        let used = |name: Result<&str, &EngineError>| match name {
            Ok(name) => (Some(name.to_string()), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let (stt_used, stt_problem) = used(self.stt.as_ref().map(|engine| engine.name()));
        let (tts_used, tts_problem) = used(self.tts.as_ref().map(|engine| engine.name()));
        [
            EngineReport {
                stage: "stt",
                used: stt_used,
                problem: stt_problem,
                found: stt,
            },
            EngineReport {
                stage: "tts",
                used: tts_used,
                problem: tts_problem,
                found: tts,
            },
        ]
    }
}

/// One program of this machine: `wanted.provider` is `auto`, `none`, `command` or a preset's name.
pub(super) fn choose_stt(
    settings: &VoiceSettings,
    wanted: &EngineSettings,
) -> Result<CommandStt, EngineError> {
    let line = Line::new(STT_COMMANDS_MAX, TRANSCRIBE_MAX);
    let engine = |name: &str, template: Template, large: bool| CommandStt {
        name: Rc::from(name),
        template,
        model: wanted.model.clone(),
        large,
        data_dir: settings.data_dir.clone(),
        line,
    };
    if let Some(template) = own_command(wanted, "STT")? {
        return Ok(engine("command", template, false));
    }
    let advice = "install pocketsphinx and pocketsphinx-en-us, or set STT_COMMAND";
    let preset = pick(
        &STT_PRESETS,
        wanted,
        "STT",
        "no speech recogniser is installed",
        advice,
    )?;
    let template = preset.template()?;
    Ok(engine(preset.name, template, preset.name == "pocketsphinx"))
}

/// As [`choose_stt`], for a voice.
pub(super) fn choose_tts(
    settings: &VoiceSettings,
    wanted: &EngineSettings,
    voice: Option<String>,
) -> Result<CommandTts, EngineError> {
    let line = Line::new(TTS_COMMANDS_MAX, TRANSCRIBE_MAX);
    let engine = |name: &str, template: Template, voice: Voice| CommandTts {
        name: Rc::from(name),
        template,
        voice,
        model: wanted.model.clone(),
        ascii: name == "flite",
        other_languages: None,
        data_dir: settings.data_dir.clone(),
        line: line.clone(),
    };
    if let Some(template) = own_command(wanted, "TTS")? {
        let voice = Voice::Fixed(voice.unwrap_or_default());
        return Ok(engine("command", template, voice));
    }
    let advice = "install flite or espeak-ng, or set TTS_COMMAND";
    let preset = pick(&TTS_PRESETS, wanted, "TTS", "no voice is installed", advice)?;
    let template = preset.template()?;
    if preset.name == "espeak-ng" {
        let voice = voice.map_or(Voice::Language, Voice::Fixed);
        return Ok(engine(preset.name, template, voice));
    }
    let voice = Voice::Fixed(voice.unwrap_or_else(|| String::from(FLITE_VOICE)));
    let mut chosen = engine(preset.name, template, voice);
    let espeak = TTS_PRESETS.iter().find(|preset| preset.name == "espeak-ng");
    if preset.languages == "en"
        && let Some(Ok(template)) = espeak.map(Preset::template)
    {
        chosen.other_languages = Some(Box::new(engine("espeak-ng", template, Voice::Language)));
    }
    Ok(chosen)
}

/// The template of `*_COMMAND`, when that is to be used.
fn own_command(wanted: &EngineSettings, stage: &str) -> Result<Option<Template>, EngineError> {
    let (provider, command) = (wanted.provider.as_str(), wanted.command.as_deref());
    match (provider, command) {
        ("none", _) => Err(EngineError::Missing(format!(
            "speech is switched off by {stage}_PROVIDER=none; set {stage}_PROVIDER=auto"
        ))),
        ("auto" | "command", Some(command)) if !command.trim().is_empty() => {
            let template = Template::parse(command)
                .map_err(|error| EngineError::Missing(format!("{stage}_COMMAND: {error}")))?;
            if find_program(template.program()).is_none() {
                return Err(EngineError::Missing(format!(
                    "{stage}_COMMAND: no program {} is there to run",
                    template.program()
                )));
            }
            Ok(Some(template))
        }
        ("command", _) => Err(EngineError::Missing(format!(
            "{stage}_PROVIDER=command wants a command line in {stage}_COMMAND"
        ))),
        _ => Ok(None),
    }
}

fn pick<'a>(
    presets: &'a [Preset],
    wanted: &EngineSettings,
    stage: &str,
    none: &str,
    advice: &str,
) -> Result<&'a Preset, EngineError> {
    let usable = |preset: &Preset| {
        preset.program().is_some() && (!preset.needs_model || wanted.model.is_some())
    };
    if wanted.provider == "auto" {
        return presets
            .iter()
            .find(|preset| usable(preset))
            .ok_or_else(|| EngineError::Missing(format!("{none}; {advice}")));
    }
    let preset = presets
        .iter()
        .find(|preset| preset.name == wanted.provider)
        .ok_or_else(|| {
            let names: Vec<&str> = presets.iter().map(|preset| preset.name).collect();
            EngineError::Missing(format!(
                "{stage}_PROVIDER={} is not known; known are auto, none, command, {}",
                wanted.provider,
                names.join(", ")
            ))
        })?;
    if preset.program().is_none() {
        return Err(EngineError::Missing(format!(
            "{stage}_PROVIDER={} is set and not installed; {advice}",
            preset.name
        )));
    }
    if preset.needs_model && wanted.model.is_none() {
        return Err(EngineError::Missing(format!(
            "{stage}_PROVIDER={} wants the path of a model file in {stage}_MODEL",
            preset.name
        )));
    }
    Ok(preset)
}

impl Preset {
    fn program(&self) -> Option<(PathBuf, &'static str)> {
        self.commands
            .iter()
            .find_map(|(program, arguments)| Some((find_program(program)?, *arguments)))
    }

    fn template(&self) -> Result<Template, EngineError> {
        let (program, arguments) = self
            .program()
            .ok_or_else(|| EngineError::Missing(format!("{} is not installed", self.name)))?;
        Template::parse(&format!("'{}' {arguments}", program.display()))
            .map_err(EngineError::Missing)
    }
}

async fn installed(presets: &'static [Preset]) -> Vec<FoundEngine> {
    let mut found = Vec::new();
    for preset in presets {
        if let Some((program, _)) = preset.program() {
            found.push(FoundEngine {
                name: preset.name,
                version: version(&program, preset.version).await,
                program,
                languages: preset.languages,
            });
        }
    }
    found
}

/// The line of the program's own answer that holds a digit.
async fn version(program: &Path, arguments: &[&str]) -> Option<String> {
    if arguments.is_empty() {
        return None;
    }
    let mut argv = vec![program.to_string_lossy().into_owned()];
    argv.extend(arguments.iter().map(|argument| argument.to_string()));
    // flite tells its version and calls that a failure.
    let ended = run_to_end(&argv, b"", Duration::from_secs(2)).await.ok()?;
    let text = String::from_utf8_lossy(&ended.stdout);
    let line = text
        .lines()
        .find(|line| line.contains("version"))
        .or_else(|| {
            text.lines()
                .find(|line| line.contains(|c: char| c.is_ascii_digit()))
        })?;
    Some(line.trim().chars().take(80).collect())
}

/// A bounded line before a few places at work.
#[derive(Clone)]
pub(super) struct Line(Rc<LineState>);

struct LineState {
    places: Semaphore,
    waiting: Cell<usize>,
    wait_max: Duration,
}

struct Waiting<'a>(&'a Cell<usize>);

impl Line {
    pub(super) fn new(places: usize, wait_max: Duration) -> Line {
        Line(Rc::new(LineState {
            places: Semaphore::new(places),
            waiting: Cell::new(0),
            wait_max,
        }))
    }

    /// A place, held until dropped.
    pub(super) async fn enter(&self) -> Result<SemaphorePermit<'_>, EngineError> {
        if self.0.waiting.get() >= SPEECH_WAITING_MAX {
            return Err(EngineError::Busy);
        }
        self.0.waiting.set(self.0.waiting.get() + 1);
        let _waiting = Waiting(&self.0.waiting);
        match tokio::time::timeout(self.0.wait_max, self.0.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(EngineError::Busy),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
