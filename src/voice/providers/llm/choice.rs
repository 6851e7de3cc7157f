//! Which language model answers, from the settings.

use std::rc::Rc;

use super::anthropic::{self, Anthropic};
use super::openai::{self, OpenAi};
use super::{Llm, Way};
use crate::clock::Clock;
use crate::outbound::Outbound;
use crate::voice::providers::EngineError;
use crate::voice::settings::LlmSettings;

/// The providers that can be asked, the preferred first; an `Err` says what to set.
pub fn members(
    settings: &LlmSettings,
    outbound: &Outbound,
) -> Result<Vec<Rc<dyn Llm>>, EngineError> {
    let missing = |what: &str| Err(EngineError::Missing(String::from(what)));
    let anthropic = || anthropic_of(settings, outbound);
    let openai = || openai_of(settings, outbound);
    match settings.provider.as_str() {
        "none" => missing("language models are switched off by LLM_PROVIDER=none"),
        "anthropic" => match anthropic() {
            Some(member) => Ok(vec![member]),
            None => missing("LLM_PROVIDER=anthropic wants a key in CLAUDE_API_KEY"),
        },
        "openai" => match openai() {
            Some(member) => Ok(vec![member]),
            None => missing(
                "LLM_PROVIDER=openai wants a key in OPENAI_API_KEY, or a server of your own in LLM_BASE_URL",
            ),
        },
        _ => {
            let members: Vec<Rc<dyn Llm>> = anthropic().into_iter().chain(openai()).collect();
            match members.is_empty() {
                false => Ok(members),
                true => missing(
                    "no language model is set: the box answers by its own rules; set CLAUDE_API_KEY or OPENAI_API_KEY, or a server of your own in LLM_BASE_URL",
                ),
            }
        }
    }
}

/// A server of one's own may want no key.
fn anthropic_of(settings: &LlmSettings, outbound: &Outbound) -> Option<Rc<dyn Llm>> {
    if settings.anthropic_key.is_none() && settings.anthropic_url.is_none() {
        return None;
    }
    let key = settings.anthropic_key.as_ref();
    Some(Rc::new(Anthropic {
        way: Way {
            outbound: outbound.clone(),
            clock: Clock::system(),
            base_url: base_url(settings.anthropic_url.as_deref(), anthropic::BASE_URL),
            key: key.map(|key| key.reveal().to_owned()),
            key_setting: "CLAUDE_API_KEY",
        },
        model: model(settings, anthropic::MODEL, &["gpt-", "o1", "o3", "o4"]),
    }))
}

fn openai_of(settings: &LlmSettings, outbound: &Outbound) -> Option<Rc<dyn Llm>> {
    if settings.openai_key.is_none() && settings.openai_url.is_none() {
        return None;
    }
    let key = settings.openai_key.as_ref();
    Some(Rc::new(OpenAi {
        way: Way {
            outbound: outbound.clone(),
            clock: Clock::system(),
            base_url: base_url(settings.openai_url.as_deref(), openai::BASE_URL),
            key: key.map(|key| key.reveal().to_owned()),
            key_setting: "OPENAI_API_KEY",
        },
        model: model(settings, openai::MODEL, &["claude-"]),
    }))
}

fn base_url(set: Option<&str>, usual: &str) -> String {
    set.unwrap_or(usual).trim_end_matches('/').to_owned()
}

/// The set model, unless it is plainly another provider's.
fn model(settings: &LlmSettings, usual: &str, foreign: &[&str]) -> String {
    let set = settings.model.as_deref();
    set.filter(|model| !foreign.iter().any(|begin| model.starts_with(begin)))
        .unwrap_or(usual)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Registry;
    use crate::outbound::OutboundOptions;
    use crate::voice::settings::ApiKey;

    #[test]
    fn the_settings_say_who_is_asked() {
        let outbound = Outbound::new(OutboundOptions::default(), &Registry::default()).unwrap();
        let names = |provider: &str, claude: &str, openai: &str, url: Option<&str>| {
            let settings = LlmSettings {
                provider: provider.to_owned(),
                anthropic_key: ApiKey::new(claude),
                openai_key: ApiKey::new(openai),
                openai_url: url.map(str::to_owned),
                ..LlmSettings::default()
            };
            let members = members(&settings, &outbound).map_err(|error| error.to_string())?;
            Ok::<_, String>(
                members
                    .iter()
                    .map(|one| one.name().to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let both = vec!["anthropic".to_owned(), "openai".to_owned()];
        assert_eq!(names("auto", "a", "b", None), Ok(both.clone()));
        assert_eq!(names("auto", "a", "", None), Ok(both[..1].to_vec()));
        assert_eq!(
            names("auto", "", " ", Some("http://10.0.0.2:11434/v1")),
            Ok(both[1..].to_vec())
        );
        assert_eq!(names("openai", "a", "b", None), Ok(both[1..].to_vec()));
        for (provider, setting) in [
            ("auto", "CLAUDE_API_KEY"),
            ("openai", "OPENAI_API_KEY"),
            ("anthropic", "CLAUDE_API_KEY"),
            ("none", "LLM_PROVIDER"),
        ] {
            let error = names(provider, "", "", None).unwrap_err();
            assert!(error.contains(setting), "{error}");
        }
        assert!(!format!("{:?}", ApiKey::new("secret")).contains("secret"));
    }
}
