//! One request and what must and must not be in its answer.

use std::collections::BTreeMap;

use serde_json::Value;

/// Rows run in order over one box. `{name}` in path and body is a value kept from an earlier row.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub request: &'static str,
    pub body: &'static str,
    pub status: u16,
    pub has: &'static [&'static str],
    pub lacks: &'static [&'static str],
    /// Keeps the value at this JSON pointer under this name.
    pub keep: Option<(&'static str, &'static str)>,
}

/// `request` is method and path, e.g. `GET /api/v1/memories`.
pub const fn row(
    name: &'static str,
    request: &'static str,
    body: &'static str,
    status: u16,
    has: &'static [&'static str],
) -> Scenario {
    Scenario {
        name,
        request,
        body,
        status,
        has,
        lacks: &[],
        keep: None,
    }
}

impl Scenario {
    pub const fn lacks(mut self, lacks: &'static [&'static str]) -> Scenario {
        self.lacks = lacks;
        self
    }

    pub const fn keep(mut self, name: &'static str, pointer: &'static str) -> Scenario {
        self.keep = Some((name, pointer));
        self
    }
}

/// Words that no answer may ever hold.
const NEVER: &[&str] = &["SELECT ", "INSERT ", "sqlite", "panicked", "/src/"];

/// Runs all rows against `base`, e.g. `http://127.0.0.1:8080`, and reports every one that fails.
pub fn run(base: &str, scenarios: &[Scenario]) {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(std::time::Duration::from_secs(20)))
            .build(),
    );
    let mut kept = BTreeMap::new();
    let mut wrong = Vec::new();
    for scenario in scenarios {
        let (status, text) = send(&agent, base, scenario, &kept);
        if let Err(why) = judge(scenario, status, &text, &kept) {
            wrong.push(format!(
                "{}: {why}\n  {} -> {status} {text:.600}",
                scenario.name, scenario.request
            ));
        }
        if let Some((name, pointer)) = scenario.keep {
            let answer: Value = serde_json::from_str(&text).unwrap_or_default();
            match answer.pointer(pointer) {
                Some(Value::String(value)) => kept.insert(name, value.clone()),
                _ => {
                    wrong.push(format!(
                        "{}: nothing at {pointer} in {text:.300}",
                        scenario.name
                    ));
                    None
                }
            };
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        scenarios.len(),
        wrong.join("\n")
    );
}

fn send(
    agent: &ureq::Agent,
    base: &str,
    scenario: &Scenario,
    kept: &BTreeMap<&str, String>,
) -> (u16, String) {
    let (method, path) = scenario.request.split_once(' ').unwrap();
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{base}{}", filled(path, kept)));
    let answer = match scenario.body {
        "" => agent.run(request.body(()).unwrap()),
        body => agent.run(
            request
                .header("content-type", "application/json")
                .body(filled(body, kept))
                .unwrap(),
        ),
    };
    let mut answer = answer.unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), text)
}

fn judge(
    scenario: &Scenario,
    status: u16,
    text: &str,
    kept: &BTreeMap<&str, String>,
) -> Result<(), String> {
    if status != scenario.status {
        return Err(format!("wanted {}", scenario.status));
    }
    for has in scenario.has {
        if !text.contains(&filled(has, kept)) {
            return Err(format!("lacks {has:?}"));
        }
    }
    for lacks in scenario.lacks.iter().chain(NEVER) {
        if text.contains(&filled(lacks, kept)) {
            return Err(format!("must not hold {lacks:?}"));
        }
    }
    let is_json = serde_json::from_str::<Value>(text).is_ok();
    if !is_json && !text.starts_with("event:") {
        return Err(String::from("is no JSON"));
    }
    Ok(())
}

fn filled(text: &str, kept: &BTreeMap<&str, String>) -> String {
    kept.iter().fold(text.to_string(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}
