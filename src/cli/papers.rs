//! `magpie completions` and `magpie man`, made from the definition of the command line.

use std::io::Write;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

pub fn definitions() -> [Command; 2] {
    [
        Command::new("completions")
            .about("Print the completions of a shell")
            .after_help("Examples:\n  magpie completions bash > /etc/bash_completion.d/magpie\n  magpie completions zsh > ~/.zfunc/_magpie")
            .arg(
                Arg::new("shell")
                    .required(true)
                    .value_parser(value_parser!(Shell))
                    .help("For which shell"),
            ),
        Command::new("man")
            .about("Print the manual page")
            .after_help("Examples:\n  magpie man | man -l -\n  magpie man > /usr/local/share/man/man1/magpie.1"),
    ]
}

pub fn completions(matches: &ArgMatches, mut definition: Command) -> Result<(), String> {
    if let Some(shell) = matches.get_one::<Shell>("shell") {
        clap_complete::generate(*shell, &mut definition, "magpie", &mut std::io::stdout());
    }
    Ok(())
}

/// One page: the program, then each command.
pub fn man(definition: &Command) -> Result<(), String> {
    let unprinted = |error: std::io::Error| format!("the page could not be printed: {error}");
    let mut page = Vec::new();
    clap_mangen::Man::new(definition.clone())
        .render(&mut page)
        .map_err(unprinted)?;
    for command in definition.get_subcommands() {
        let title = format!(".SH \"magpie {}\"\n", command.get_name());
        page.extend_from_slice(title.as_bytes());
        let man = clap_mangen::Man::new(command.clone());
        man.render_description_section(&mut page)
            .map_err(unprinted)?;
        man.render_options_section(&mut page).map_err(unprinted)?;
    }
    std::io::stdout().write_all(&page).map_err(unprinted)
}
