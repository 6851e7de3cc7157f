//! The rules of the house that a compiler does not know, held as tests.
//!
//! Floors: a module imports only from floors below its own (exactly what `MAY_IMPORT` says),
//! rooms never import each other, and the name of an outside crate stays behind the door of
//! the module that owns it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may name after `crate::`; itself is always allowed.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    // floor 0
    ("limits", &[]),
    ("clock", &[]),
    ("scope", &[]),
    ("config", &["limits", "clock"]),
    // floor 1, ground
    ("ops", &["limits", "clock", "scope"]),
    ("store", &["limits", "clock", "ops"]),
    ("bus", &["limits", "clock", "ops"]),
    ("outbound", &["limits", "clock", "scope", "ops"]),
    ("identity", &["limits", "clock", "ops", "store"]),
    ("audio", &["limits", "clock", "ops"]),
    // floor 1, door
    ("server", &["limits", "clock", "scope", "ops"]),
    ("socketio", &["limits", "clock", "scope", "ops", "server"]),
    // floor 2: everything below, no other room
    ("voice", ROOM),
    ("house", ROOM),
    ("happy", ROOM),
    ("device", ROOM),
];

const ROOM: &[&str] = &[
    "limits", "clock", "scope", "config", "ops", "store", "bus", "outbound", "identity", "audio",
    "server", "socketio",
];

/// Floor 3 may import everything.
const WIRING: &[&str] = &["app", "cli", "lib", "main"];

/// Outside crates and the only places that may name them: a folder of `src/`, or a file name.
const CRATE_DOORS: &[(&str, &[&str])] = &[
    ("rusqlite", &["store/", "db.rs"]),
    ("hyper", &["server/", "outbound/"]),
    ("hyper_util", &["server/", "outbound/"]),
    ("tungstenite", &["server/", "outbound/"]),
    ("rustls", &["server/", "outbound/"]),
    ("rcgen", &["server/"]),
    ("cpal", &["audio/"]),
    ("rtrb", &["audio/"]),
    ("earshot", &["audio/"]),
    ("symphonia", &["audio/"]),
    ("opus_decoder", &["audio/"]),
    ("ureq", &["outbound/"]),
    ("ed25519_dalek", &["happy/", "device/"]),
    ("tiny_http", &["ops/", "device/"]),
    ("env_logger", &["ops/"]),
    ("clap", &["cli/"]),
];

/// Files over [`LINES_MAX`], each with its reason.
const LONG_FILES: &[(&str, &str)] = &[(
    "limits.rs",
    "every bound by name, looked up and not read through",
)];

const LINES_MAX: usize = 620;

#[test]
fn modules_import_only_from_floors_below() {
    let rules: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut broken = Vec::new();
    for file in sources() {
        let module = file.module();
        if WIRING.contains(&module.as_str()) {
            continue;
        }
        let Some(allowed) = rules.get(module.as_str()) else {
            broken.push(format!(
                "{}: module `{module}` has no rule in MAY_IMPORT",
                file.name
            ));
            continue;
        };
        for (number, line) in file.code() {
            for named in crate_paths(line) {
                if named != module && !allowed.contains(&named.as_str()) {
                    broken.push(format!(
                        "{}:{number}: `{module}` must not import `{named}`",
                        file.name
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn outside_crates_stay_behind_their_doors() {
    let mut broken = Vec::new();
    for file in sources() {
        for (number, line) in file.code() {
            for (name, doors) in CRATE_DOORS {
                let at_door = doors.iter().any(|door| match door.strip_suffix('/') {
                    Some(folder) => file.module() == folder,
                    None => file.name.ends_with(door),
                });
                if !at_door && names_crate(line, name) {
                    broken.push(format!(
                        "{}:{number}: `{name}` is named outside {doors:?}",
                        file.name
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn files_stay_short_or_say_why() {
    let mut broken = Vec::new();
    for file in sources() {
        let lines = file.text.lines().count();
        let excused = LONG_FILES.iter().any(|(name, _)| *name == file.name);
        if lines > LINES_MAX && !excused {
            broken.push(format!(
                "{}: {lines} lines, more than {LINES_MAX} and no reason in LONG_FILES",
                file.name
            ));
        }
        if lines <= LINES_MAX && excused {
            broken.push(format!(
                "{}: {lines} lines, needs no exception any more",
                file.name
            ));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn no_unfinished_code_and_no_unexplained_panic() {
    let mut broken = Vec::new();
    for file in sources() {
        let lines: Vec<&str> = file.text.lines().collect();
        for (number, line) in file.code() {
            for word in ["todo!(", "unimplemented!(", "dbg!("] {
                if line.contains(word) {
                    broken.push(format!("{}:{number}: {word}", file.name));
                }
            }
            let panics = line.contains(".unwrap()") || line.contains(".expect(");
            let near = &lines[number.saturating_sub(4)..number];
            if panics && !near.iter().any(|line| line.contains("//")) {
                broken.push(format!(
                    "{}:{number}: unwrap or expect without a comment that says why it cannot fail",
                    file.name
                ));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_module_begins_with_what_it_is() {
    let bare: Vec<String> = sources()
        .into_iter()
        .filter(|file| file.name != "main.rs" && !file.text.starts_with("//!"))
        .map(|file| file.name)
        .collect();
    assert!(bare.is_empty(), "no opening `//!` paragraph: {bare:?}");
}

#[test]
fn every_dependency_has_its_line_in_the_architecture() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let walk = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut inside = false;
    let mut unnamed = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside
            && let Some((name, _)) = line.split_once(" = ")
            && !walk.contains(&format!("`{name}`"))
        {
            unnamed.push(name.to_string());
        }
    }
    assert!(
        unnamed.is_empty(),
        "no line in ARCHITECTURE.md: {unnamed:?}"
    );
}

#[test]
fn the_lock_file_stays_small() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = lock.lines().filter(|line| *line == "[[package]]").count();
    assert!(packages <= 260, "{packages} packages are locked");
}

/// The two ways to build for 64-bit ARM, by Debian's packages and by `cross`, agree: same C half of
/// the tool chain, same variables.
#[test]
fn the_container_of_cross_holds_what_the_tool_chain_script_installs() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let cross = read("Cross.toml");
    let table = "[target.aarch64-unknown-linux-gnu]\ndockerfile = \"image/cross.Dockerfile\"\n";
    assert!(cross.contains(table), "{cross}");
    let (script, container) = (
        read("tools/arm64-toolchain"),
        read("image/cross.Dockerfile"),
    );
    assert!(container.contains("\nFROM debian:12"), "{container}");

    let packages = script.lines().find_map(|line| {
        let list = line.strip_prefix("packages=\"")?;
        Some(list.trim_end_matches('"').split(' '))
    });
    for package in packages.expect("a list of packages") {
        // cross brings the Rust half of the host.
        if !package.contains("rust") {
            assert!(container.contains(&format!(" {package}")), "{package}");
        }
    }
    let variables = script
        .lines()
        .filter_map(|line| line.strip_prefix("export "));
    for variable in variables.filter(|line| !line.starts_with("RUSTC=")) {
        assert!(container.contains(variable), "{variable}");
    }
}

struct Source {
    /// Path below `src/`.
    name: String,
    text: String,
}

impl Source {
    /// First folder, or the file's stem at the top.
    fn module(&self) -> String {
        let first = self.name.split('/').next().unwrap();
        first.trim_end_matches(".rs").to_string()
    }

    /// Lines with their numbers from 1, without comments and without the tests at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test_file = self.name.ends_with("tests.rs") || self.name.contains("/tests/");
        self.text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .enumerate()
            .filter(move |(_, line)| !is_test_file && !line.trim_start().starts_with("//"))
            .map(|(index, line)| (index + 1, line))
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    gather(&root().join("src"), &mut found);
    assert!(found.len() > 10, "the sources were not found");
    found
}

fn gather(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let name = path.strip_prefix(root().join("src")).unwrap();
            found.push(Source {
                name: name.to_string_lossy().into_owned(),
                text: fs::read_to_string(&path).unwrap(),
            });
        }
    }
}

/// Every `x` of a `crate::x` on the line, those inside one brace list included.
fn crate_paths(line: &str) -> Vec<String> {
    let mut named = Vec::new();
    for rest in line.split("crate::").skip(1) {
        if let Some(list) = rest.strip_prefix('{') {
            let list = list.split('}').next().unwrap_or(list);
            named.extend(list.split(',').map(|part| word(part.trim())));
        } else {
            named.push(word(rest));
        }
    }
    named.retain(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    });
    named
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

/// `name::` as a path's first segment.
fn names_crate(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    line.match_indices(&path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    })
}
