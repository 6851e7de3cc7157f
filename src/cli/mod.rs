//! The command line: one file a command.

use std::process::ExitCode;

use clap::Command;

mod serve;

pub fn main() -> ExitCode {
    let matches = definition().get_matches();
    let loaded = match crate::config::load(std::path::Path::new(".")) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error.to_string()),
    };
    for warning in &loaded.warnings {
        eprintln!("magpie: {warning}");
    }
    match matches.subcommand() {
        Some(("serve", _)) => serve::run(loaded.config),
        _ => ExitCode::from(2),
    }
}

fn definition() -> Command {
    Command::new("magpie")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A household's private AI box: it listens, remembers and answers")
        .subcommand_required(true)
        .subcommand(Command::new("serve").about("Run the box until it is told to end"))
}

/// One line of what is wrong and what to do.
fn fail(message: &str) -> ExitCode {
    eprintln!("magpie: {message}");
    ExitCode::FAILURE
}
