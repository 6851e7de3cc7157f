//! The chains of the stages, made from the settings: who is asked, and in which order.
//!
//! `STT_PROVIDER` and `TTS_PROVIDER` name one provider or several, each with a weight behind a
//! colon where the order is to be another. `auto` is the server of the network, when its key or
//! address is set, and behind it the best program of this machine.

use std::rc::Rc;

use super::cache::{Cached, SpeechCache};
use super::chain::{Chain, Limit, Member, Place};
use super::choice::{choose_stt, choose_tts};
use super::network::{Network, is_near};
use super::openai::{self, OpenAiStt, OpenAiTts, Way};
use super::{EngineError, Engines, Llm, Stt, Tts};
use crate::audio::decode::SoundFormat;
use crate::clock::Clock;
use crate::limits::{PROVIDER_FIRST_TEXT_MAX, PROVIDER_HEARING_MAX, PROVIDER_SPEECH_MAX};
use crate::outbound::Outbound;
use crate::voice::settings::{EngineSettings, LlmSettings, VoiceSettings};

/// What the chains share and what outlives them.
#[derive(Clone)]
pub struct World {
    pub outbound: Outbound,
    pub network: Network,
    pub cache: SpeechCache,
    pub clock: Clock,
}

impl World {
    /// For whoever only looks at the choice.
    pub fn of(outbound: &Outbound) -> World {
        World {
            outbound: outbound.clone(),
            network: Network::default(),
            cache: SpeechCache::off(),
            clock: Clock::system(),
        }
    }
}

impl Engines {
    pub fn choose(settings: &VoiceSettings, world: &World) -> Engines {
        let far: Vec<String> = far_servers(settings);
        world.network.needed_by(far);
        Engines {
            stt: stt_chain(settings, world),
            tts: tts_chain(settings, world),
            llm: llm_chain(&settings.llm, world),
        }
    }
}

/// Base URLs out of the house that a call may go to.
fn far_servers(settings: &VoiceSettings) -> Vec<String> {
    let mut all = Vec::new();
    if speech_server(settings, &settings.stt).is_some() {
        all.push(base_url(&settings.stt));
    }
    if speech_server(settings, &settings.tts).is_some() {
        all.push(base_url(&settings.tts));
    }
    let llm = &settings.llm;
    if llm.anthropic_key.is_some() || llm.anthropic_url.is_some() {
        all.push(llm_url(llm, true));
    }
    if llm.openai_key.is_some() || llm.openai_url.is_some() {
        all.push(llm_url(llm, false));
    }
    all.retain(|url| !is_near(url));
    all
}

fn llm_url(llm: &LlmSettings, anthropic: bool) -> String {
    let (set, usual) = if anthropic {
        (&llm.anthropic_url, super::llm::anthropic::BASE_URL)
    } else {
        (&llm.openai_url, super::llm::openai::BASE_URL)
    };
    set.clone().unwrap_or_else(|| usual.to_owned())
}

/// A name and its weight; what is no number counts 1.
fn named(list: &str) -> Vec<(&str, u32)> {
    list.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once(':') {
            Some((name, weight)) => (name.trim(), weight.trim().parse().unwrap_or(1)),
            None => (part, 1),
        })
        .collect()
}

/// The key of the server for this stage, where one is set up: `None` inside for a server of one's
/// own that wants none.
fn speech_server(settings: &VoiceSettings, stage: &EngineSettings) -> Option<Option<String>> {
    let key = settings.llm.openai_key.as_ref();
    let key = key.map(|key| key.reveal().to_owned());
    (key.is_some() || stage.base_url.is_some()).then_some(key)
}

fn base_url(stage: &EngineSettings) -> String {
    let url = stage.base_url.as_deref().unwrap_or(openai::BASE_URL);
    url.trim_end_matches('/').to_owned()
}

fn way(settings: &VoiceSettings, stage: &EngineSettings, world: &World) -> Option<Way> {
    Some(Way {
        outbound: world.outbound.clone(),
        clock: world.clock.clone(),
        base_url: base_url(stage),
        key: speech_server(settings, stage)?,
    })
}

/// The names of a list with `auto` written out.
fn wanted<'a>(settings: &VoiceSettings, stage: &'a EngineSettings) -> Vec<(&'a str, u32)> {
    let has_server = speech_server(settings, stage).is_some();
    let mut all = Vec::new();
    for (name, weight) in named(&stage.provider) {
        if name == "auto" && has_server && stage.command.is_none() {
            all.push((openai::NAME, weight));
        }
        all.push((name, weight));
    }
    all
}

fn no_server(stage: &str) -> EngineError {
    EngineError::Missing(format!(
        "{stage}_PROVIDER=openai wants a key in OPENAI_API_KEY, or a server of your own in \
         {stage}_BASE_URL"
    ))
}

/// The members that can be had; an error when there are none.
fn members<E: ?Sized>(
    stage: &str,
    wanted: Vec<(&str, u32)>,
    make: impl Fn(&str, u32) -> Result<Member<E>, EngineError>,
) -> Result<Vec<Member<E>>, EngineError> {
    let mut members = Vec::new();
    let mut first_error = None;
    for (name, weight) in wanted {
        match make(name, weight) {
            Ok(member) => members.push(member),
            Err(error) => {
                if !members.is_empty() || first_error.is_some() {
                    log::debug!(
                        "event=provider_left_out stage={stage} name={name} why=\"{error}\""
                    );
                }
                first_error.get_or_insert(error);
            }
        }
    }
    match members.is_empty() {
        false => Ok(members),
        true => Err(first_error.unwrap_or_else(|| {
            EngineError::Missing(format!("{stage}_PROVIDER names nobody; set it to auto"))
        })),
    }
}

fn stt_chain(settings: &VoiceSettings, world: &World) -> Result<Rc<dyn Stt>, EngineError> {
    let stage = &settings.stt;
    let limit = Limit(PROVIDER_HEARING_MAX);
    let members = members("STT", wanted(settings, stage), |name, weight| {
        let (engine, place): (Rc<dyn Stt>, Place) = if name == openai::NAME {
            let way = way(settings, stage, world).ok_or_else(|| no_server("STT"))?;
            let place = Place::of_server(&way.base_url);
            let model = model_name(stage, openai::STT_MODEL);
            (Rc::new(OpenAiStt { way, model }), place)
        } else {
            (
                Rc::new(choose_stt(settings, &local(stage, name))?),
                Place::Here,
            )
        };
        Ok(Member::new(engine, place, weight, limit))
    })?;
    let (network, clock) = (world.network.clone(), world.clock.clone());
    Ok(Rc::new(Chain::<dyn Stt>::new(members, network, clock)))
}

fn tts_chain(settings: &VoiceSettings, world: &World) -> Result<Rc<dyn Tts>, EngineError> {
    let stage = &settings.tts;
    let limit = Limit(PROVIDER_SPEECH_MAX);
    let members = members("TTS", wanted(settings, stage), |name, weight| {
        let (voice, place): (Rc<dyn Tts>, Place) = if name == openai::NAME {
            let way = way(settings, stage, world).ok_or_else(|| no_server("TTS"))?;
            let place = Place::of_server(&way.base_url);
            let engine = OpenAiTts {
                way,
                model: model_name(stage, openai::TTS_MODEL),
                voice: server_voice(settings),
                format: settings.tts_format,
            };
            (Rc::new(engine), place)
        } else {
            let voice = local_voice(settings);
            (
                Rc::new(choose_tts(settings, &local(stage, name), voice)?),
                Place::Here,
            )
        };
        let cache = world.cache.clone();
        let prepares = name == openai::NAME;
        let engine: Rc<dyn Tts> = Rc::new(Cached {
            voice,
            cache,
            prepares,
        });
        Ok(Member::new(engine, place, weight, limit))
    })?;
    let (network, clock) = (world.network.clone(), world.clock.clone());
    Ok(Rc::new(Chain::<dyn Tts>::new(members, network, clock)))
}

fn llm_chain(settings: &LlmSettings, world: &World) -> Result<Rc<dyn Llm>, EngineError> {
    let mut members = Vec::new();
    let mut first_error = None;
    for (name, weight) in named(&settings.provider) {
        let one = LlmSettings {
            provider: name.to_owned(),
            ..settings.clone()
        };
        match super::llm::choice::members(&one, &world.outbound) {
            Ok(engines) => members.extend(engines.into_iter().map(|engine| {
                let anthropic = engine.name() == super::llm::anthropic::NAME;
                let place = Place::of_server(&llm_url(settings, anthropic));
                let limit = Limit(PROVIDER_FIRST_TEXT_MAX);
                Member::new(engine, place, weight, limit)
            })),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    if members.is_empty() {
        return Err(first_error.unwrap_or_else(|| {
            EngineError::Missing(String::from("LLM_PROVIDER names nobody; set it to auto"))
        }));
    }
    let (network, clock) = (world.network.clone(), world.clock.clone());
    Ok(Rc::new(Chain::<dyn Llm>::new(members, network, clock)))
}

/// The stage's settings for one program of this machine.
fn local(stage: &EngineSettings, name: &str) -> EngineSettings {
    EngineSettings {
        provider: name.to_owned(),
        model: stage.model.clone().filter(|model| is_file(model)),
        ..stage.clone()
    }
}

/// `STT_MODEL` and `TTS_MODEL` are a file for a program and a name for a server.
fn model_name(stage: &EngineSettings, usual: &str) -> String {
    let set = stage.model.as_ref().filter(|model| !is_file(model));
    set.cloned().unwrap_or_else(|| usual.to_owned())
}

fn is_file(model: &str) -> bool {
    [".bin", ".gguf", ".onnx"]
        .iter()
        .any(|end| model.ends_with(end))
        || std::path::Path::new(model).exists()
}

/// OpenAI's own server is asked for its own voices only.
fn server_voice(settings: &VoiceSettings) -> String {
    let own_server = settings.tts.base_url.is_some();
    let set = settings.tts_voice.as_ref();
    set.filter(|voice| own_server || openai::VOICES.contains(&voice.as_str()))
        .cloned()
        .unwrap_or_else(|| openai::TTS_VOICE.to_owned())
}

/// A voice that is meant for the server is no voice of a program.
fn local_voice(settings: &VoiceSettings) -> Option<String> {
    let for_server = settings.tts.base_url.is_some();
    let set = settings.tts_voice.as_ref();
    set.filter(|voice| !for_server && !openai::VOICES.contains(&voice.as_str()))
        .cloned()
}

/// What `TTS_FORMAT` means.
pub fn format_named(name: &str) -> SoundFormat {
    match name {
        "wav" => SoundFormat::Wav,
        "flac" => SoundFormat::Flac,
        "pcm" => SoundFormat::Pcm,
        _ => SoundFormat::Mp3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Registry;
    use crate::outbound::OutboundOptions;
    use crate::voice::settings::ApiKey;

    fn settings(
        data: &std::path::Path,
        provider: &str,
        key: &str,
        url: Option<&str>,
    ) -> VoiceSettings {
        let mut settings = VoiceSettings {
            data_dir: data.to_path_buf(),
            ..VoiceSettings::default()
        };
        settings.llm.openai_key = ApiKey::new(key);
        for stage in [&mut settings.stt, &mut settings.tts] {
            stage.provider = provider.to_owned();
            stage.base_url = url.map(str::to_owned);
        }
        settings
    }

    #[test]
    fn the_settings_say_who_is_asked_and_in_which_order() {
        let data = tempfile::tempdir().expect("a folder");
        let outbound =
            Outbound::new(OutboundOptions::default(), &Registry::default()).expect("a way out");
        let world = World::of(&outbound);
        let names = |provider: &str, key: &str, url: Option<&str>| {
            let engines = Engines::choose(&settings(data.path(), provider, key, url), &world);
            let names = engines.tts.map_err(|error| error.to_string())?.members();
            Ok::<_, String>(
                names
                    .into_iter()
                    .map(|member| member.name)
                    .collect::<Vec<_>>()
                    .join(" "),
            )
        };
        let url = Some("http://10.0.0.2:8000/v1");
        assert_eq!(names("auto", "", None).as_deref(), Ok("flite"));
        assert_eq!(names("auto", "k", None).as_deref(), Ok("openai flite"));
        assert_eq!(names("auto", "", url).as_deref(), Ok("openai flite"));
        assert_eq!(names("openai", "k", None).as_deref(), Ok("openai"));
        assert_eq!(
            names("espeak-ng, openai", "k", None).as_deref(),
            Ok("espeak-ng openai")
        );
        assert_eq!(
            names("espeak-ng, openai:2", "k", None).as_deref(),
            Ok("openai espeak-ng")
        );
        assert_eq!(names("openai,flite", "", None).as_deref(), Ok("flite"));
        let error = names("openai", "", None).expect_err("nobody");
        assert!(
            error.contains("OPENAI_API_KEY") && error.contains("TTS_BASE_URL"),
            "{error}"
        );
        assert!(names("none", "k", None).is_err());
    }

    #[test]
    fn a_voice_is_asked_of_those_who_have_it() {
        let data = tempfile::tempdir().expect("a folder");
        let voices = |voice: Option<&str>, url: Option<&str>| {
            let mut settings = settings(data.path(), "auto", "k", url);
            settings.tts_voice = voice.map(str::to_owned);
            (server_voice(&settings), local_voice(&settings))
        };
        let nova = || String::from("nova");
        assert_eq!(voices(None, None), (nova(), None));
        assert_eq!(
            voices(Some("slt"), None),
            (nova(), Some(String::from("slt")))
        );
        assert_eq!(voices(Some("echo"), None), (String::from("echo"), None));
        let own = voices(Some("af_bella"), Some("http://nas:8880/v1"));
        assert_eq!(own, (String::from("af_bella"), None));
    }

    #[test]
    fn only_servers_out_of_the_house_need_the_internet() {
        let data = tempfile::tempdir().expect("a folder");
        let far = |key, url| far_servers(&settings(data.path(), "auto", key, url));
        assert!(far("", None).is_empty());
        assert!(far("", Some("http://10.0.0.2/v1")).is_empty());
        assert_eq!(
            far("k", Some("http://10.0.0.2/v1")),
            [super::super::llm::openai::BASE_URL]
        );
    }
}
