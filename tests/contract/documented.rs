//! Nothing that a person meets goes without its words: settings, error codes, metrics, messages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use magpie::config::SETTINGS;
use magpie::server::openapi::ERRORS;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Path below `src/` and text, tests left out.
fn sources() -> Vec<(String, String)> {
    fn gather(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let name = path.strip_prefix(root().join("src")).unwrap();
                let name = name.to_string_lossy().into_owned();
                if name.ends_with("tests.rs") {
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
                found.push((name, text));
            }
        }
    }
    let mut found = Vec::new();
    gather(&root().join("src"), &mut found);
    found
}

/// Quoted words that `fits`.
fn quoted(text: &str, fits: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let parts = text.split('"');
    parts.filter(|word| fits(word)).map(str::to_owned).collect()
}

#[test]
fn every_error_code_of_the_sources_is_in_the_table_and_the_other_way_round() {
    // Words in capitals that clients never see.
    let others = [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "MIT",
        "CARGO_PKG_VERSION",
        "LISTEN_PID",
        "LISTEN_FDS",
        "PATH",
        "HOME",
        "RIFF",
        "WAVE",
        "NORMAL",
        "FULL",
        "OFF",
        "AND",
        "DENY",
        "FREQ",
        "BYDAY",
        "DAILY",
        "WEEKLY",
        "SHUTTING_DOWN",
        // Inside the Happy room: such a refusal is told by its text alone.
        "EXACT",
    ];
    let is_code = |word: &str| {
        word.len() > 3
            && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            && !others.contains(&word)
            && !SETTINGS.iter().any(|setting| setting.is_named(word))
    };
    let mut unknown = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, text) in sources() {
        let speaks_to_clients = ["server/", "house/", "voice/", "happy/"]
            .iter()
            .any(|room| name.starts_with(room));
        if !speaks_to_clients || name == "server/openapi/errors.rs" {
            continue;
        }
        let mut before = "";
        for line in text.lines() {
            // A code stands where an error is made, or on the line after.
            let near = format!("{before} {line}");
            before = line;
            let makes = ["HttpError", "StatusCode", "S::", "code", "Code"]
                .iter()
                .any(|word| near.contains(word));
            for word in quoted(line, is_code).into_iter().filter(|_| makes) {
                if !ERRORS.iter().any(|known| known.code == word) {
                    unknown.push(format!("{name}: {word}"));
                }
                seen.insert(word);
            }
        }
    }
    assert!(unknown.is_empty(), "not in ERRORS: {unknown:#?}");
    let unused: Vec<&str> = ERRORS
        .iter()
        .map(|known| known.code)
        .filter(|code| !seen.contains(*code))
        .collect();
    assert!(unused.is_empty(), "no source answers {unused:?}");
}

#[test]
fn every_setting_is_in_the_readme_and_in_the_example() {
    let (readme, example) = (read("README.md"), read(".env.example"));
    for setting in SETTINGS {
        assert!(
            readme.contains(&format!("| `{}` |", setting.name)),
            "{}",
            setting.name
        );
        assert!(
            example.contains(&format!("\n#{}=", setting.name)),
            "{}",
            setting.name
        );
    }
}

#[test]
fn the_chinese_readme_has_the_headings_and_commands_of_the_english_one() {
    let (english, chinese) = (read("README.md"), read("README.zh.md"));
    let headings = |text: &str| text.lines().filter(|line| line.starts_with("## ")).count();
    assert_eq!(headings(&english), headings(&chinese));
    // The words behind a command may be in either language.
    let commands = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("    "));
        lines
            .map(|line| line.split(" # ").next().unwrap_or(line).trim().to_owned())
            .collect()
    };
    assert_eq!(commands(&english), commands(&chinese));
}

/// Message types that the sources of `/ws` read or write.
fn messages() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, text) in sources() {
        if !name.starts_with("voice/socket/") {
            continue;
        }
        for part in text.split("\"type\": \"").skip(1) {
            found.insert(part.split('"').next().unwrap().to_owned());
        }
        // The variants of what a client may say.
        for list in ["pub enum Command {", "enum Said {"] {
            let Some((_, body)) = text.split_once(list) else {
                continue;
            };
            let body = body.split("\n}").next().unwrap();
            for line in body.lines() {
                let variant = line.strip_prefix("    ").unwrap_or("");
                if variant.starts_with(|c: char| c.is_ascii_uppercase()) {
                    let word: String = variant
                        .chars()
                        .take_while(|c| c.is_alphanumeric())
                        .collect();
                    found.insert(snake(&word));
                }
            }
        }
    }
    found
}

fn snake(word: &str) -> String {
    let mut out = String::new();
    for c in word.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[test]
fn every_message_of_the_socket_is_in_its_page() {
    let page = read("docs/ws.md");
    let messages = messages();
    assert!(messages.len() > 25, "{messages:?}");
    let missing: Vec<&String> = messages
        .iter()
        .filter(|message| !page.contains(&format!("`{message}`")))
        .collect();
    assert!(missing.is_empty(), "docs/ws.md lacks {missing:?}");
}

#[test]
fn every_metric_of_the_sources_is_in_the_page_for_operators() {
    let page = read("docs/operate.md");
    let makes = [".counter(", ".gauge(", ".histogram("];
    let is_name = |word: &str| {
        word.len() > 5
            && word.contains('_')
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let mut missing = BTreeSet::new();
    for (_, text) in sources() {
        for call in makes {
            for part in text.split(call).skip(1) {
                // The name is the first quoted word of the call.
                let begin: String = part.chars().take(60).collect();
                let first = begin.split('"').nth(1).unwrap_or("");
                if is_name(first) && !page.contains(&format!("`{first}`")) {
                    missing.insert(first.to_owned());
                }
            }
        }
    }
    assert!(missing.is_empty(), "docs/operate.md lacks {missing:?}");
}
