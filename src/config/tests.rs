//! Settings from files and environments, and what a person is told of wrong ones.

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn loaded(file: &str, pairs: &[(&str, &str)]) -> Loaded {
    resolve(Some(file.as_bytes()), &environment(pairs)).unwrap()
}

fn refusal(file: &str, pairs: &[(&str, &str)]) -> String {
    resolve(Some(file.as_bytes()), &environment(pairs))
        .unwrap_err()
        .to_string()
}

fn origin(config: &Config, name: &str) -> Origin {
    let held = config.all().iter().find(|held| held.setting.name == name);
    held.unwrap().origin.clone()
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_table() {
    let config = loaded("PORT=1\nVOLUME=5\n", &[("PORT", "2"), ("HOST", "")]).config;
    assert_eq!(config.port("PORT"), Some(2));
    assert_eq!(config.number("VOLUME"), 5);
    assert_eq!(config.number("RATE_LIMIT"), 60);
    assert_eq!(origin(&config, "VOLUME"), Origin::File { line: 2 });
    assert_eq!(origin(&config, "RATE_LIMIT"), Origin::Default);
    let name = String::from("PORT");
    assert_eq!(origin(&config, "PORT"), Origin::Environment { name });
}

#[test]
fn a_credential_stands_between_the_environment_and_the_file() {
    let credentials = environment(&[("PORT", "3"), ("VOLUME", "6"), ("CLAUDE_API_KEY", "sk-1")]);
    let loaded = resolve_all(&Sources {
        environment: &environment(&[("PORT", "2")]),
        credentials: &credentials,
        file: Some(b"VOLUME=5\nRATE_LIMIT=7\n"),
    });
    let config = loaded.unwrap().config;
    assert_eq!(config.port("PORT"), Some(2));
    assert_eq!(config.number("VOLUME"), 6);
    assert_eq!(config.number("RATE_LIMIT"), 7);
    assert_eq!(config.text("CLAUDE_API_KEY"), Some("sk-1"));
    assert_eq!(origin(&config, "CLAUDE_API_KEY"), Origin::Credential);
}

#[test]
fn an_alias_means_the_same_and_an_empty_value_means_not_set() {
    let config = loaded("SERVER_PORT=81\nRATE_LIMIT=\n", &[]).config;
    assert_eq!(config.port("PORT"), Some(81));
    assert_eq!(config.number("RATE_LIMIT"), 60);
    let config = loaded("PORT=82", &[("SERVER_PORT", "83")]).config;
    assert_eq!(config.port("PORT"), Some(83));
}

#[test]
fn every_setting_refuses_nonsense_in_one_line_with_its_name_and_what_is_allowed() {
    for setting in SETTINGS {
        if matches!(setting.kind, Kind::Text | Kind::Path) {
            continue;
        }
        let text = refusal("", &[(setting.name, "not / allowed")]);
        assert_eq!(text.lines().count(), 1, "{text}");
        let shown = if setting.secret {
            "(hidden)"
        } else {
            "not / allowed"
        };
        let expected = format!(
            "{}={shown} is not allowed (environment variable {}); allowed: {}",
            setting.name,
            setting.name,
            setting.kind.allowed()
        );
        assert_eq!(text, expected);
    }
}

#[test]
fn a_wrong_value_of_the_file_is_told_with_its_line_and_all_are_told_at_once() {
    let text = refusal("PORT=x\n\nVOLUME=101\n", &[]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("PORT=x is not allowed (.env line 1)"));
    assert!(lines[1].starts_with("VOLUME=101 is not allowed (.env line 3)"));
}

#[test]
fn a_value_with_control_characters_or_without_end_stays_one_short_line() {
    let text = refusal("", &[("PORT", &format!("a\n\x1b[31m{}", "x".repeat(500)))]);
    assert_eq!(text.lines().count(), 1);
    assert!(!text.contains('\x1b'));
    assert!(text.len() < 400, "{text}");
}

#[test]
fn settings_that_do_not_fit_each_other_are_refused() {
    assert!(refusal("TLS_CERT_FILE=a.pem", &[]).contains("TLS_KEY_FILE"));
    assert!(refusal("PORT=off\nHTTPS_PORT=off", &[]).contains("both off"));
    assert!(refusal("PORT=90\nHTTPS_PORT=90", &[]).contains("the same"));
    assert!(resolve(Some(b"PORT=0\nHTTPS_PORT=0"), &[]).is_ok());
}

#[test]
fn slips_in_names_are_told_with_what_was_meant() {
    let warnings = loaded(
        "PROT=81\nLOGLEVEL=info\nFOO_BAR_BAZ=1\nPORT=1\nPORT=2\n",
        &[("LOG_LEVLE", "debug"), ("TERM", "x"), ("HOSTNAME", "y")],
    )
    .warnings;
    let expected = [
        ".env line 1: PROT is no setting; did you mean PORT?",
        ".env line 2: LOGLEVEL is no setting; did you mean LOG_LEVEL?",
        ".env line 3: FOO_BAR_BAZ is no setting of Magpie; it is ignored",
        ".env line 5: PORT was set before; this line wins",
        "environment: LOG_LEVLE is no setting; did you mean LOG_LEVEL?",
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn secrets_are_never_shown() {
    let loaded = loaded("OPENAI_API_KEY=sk-secret\n", &[]);
    let held = loaded.config.all().iter();
    let shown: Vec<String> = held.map(Held::shown).collect();
    assert!(shown.contains(&String::from("(hidden)")));
    assert!(!shown.concat().contains("sk-secret"));
    assert!(!loaded.warnings.concat().contains("sk-secret"));
}

#[test]
fn changes_between_two_readings_are_named() {
    let old = loaded("PORT=1\nVOLUME=5", &[]).config;
    let new = loaded("PORT=2\nVOLUME=5\nLOG_LEVEL=warn", &[]).config;
    let names: Vec<&str> = old.changed(&new).map(|setting| setting.name).collect();
    assert_eq!(names, ["PORT", "LOG_LEVEL"]);
}
