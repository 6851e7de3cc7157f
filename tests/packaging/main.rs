//! What carries the program to a machine and keeps it there: units, the Debian package, the
//! proxy in front, container files. Each is given to the tool that reads it in earnest.

mod activation;
mod containers;
mod deb;
mod nginx;
mod units;

#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::Command;

/// A file of the repository.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What a tool prints, all of it, and whether it was content; `None` where it is not installed.
fn ask(tool: &mut Command) -> Option<(bool, String)> {
    let output = match tool.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        output => output.expect("it runs"),
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Some((output.status.success(), text))
}
