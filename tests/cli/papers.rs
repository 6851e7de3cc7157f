//! Help, completions and man page: all from one definition, and all of it.

use crate::support::{Home, errors, out};

fn commands() -> Vec<String> {
    let definition = magpie::cli::definition();
    let names = definition
        .get_subcommands()
        .map(|command| command.get_name());
    names.map(str::to_owned).collect()
}

#[test]
fn every_command_and_every_argument_says_what_it_is_for() {
    let definition = magpie::cli::definition();
    for command in definition.get_subcommands().chain([&definition]) {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string);
            let said = help.is_some_and(|help| !help.is_empty());
            assert!(said, "{} {}", command.get_name(), argument.get_id());
        }
    }
}

#[test]
fn every_command_prints_help_with_examples() {
    let home = Home::new();
    for name in commands() {
        let done = home.run(&[&name, "--help"]);
        let text = out(&done);
        assert!(done.status.success(), "{name}");
        assert!(text.contains("Usage: magpie"), "{name}: {text}");
        assert!(text.contains("Example"), "{name}: {text}");
    }
}

#[test]
fn the_bare_name_prints_the_list_of_commands() {
    let done = Home::new().run(&[]);
    assert!(done.status.success());
    for name in commands() {
        assert!(out(&done).contains(&name), "{name}");
    }
}

#[test]
fn completions_and_the_man_page_know_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = out(&home.run(&["completions", shell]));
        for name in commands() {
            assert!(text.contains(&name), "{shell} does not know {name}");
        }
    }
    let man = out(&home.run(&["man"]));
    assert!(man.contains(".TH"), "{man}");
    for name in commands() {
        assert!(man.contains(&name), "the man page does not know {name}");
    }
}

#[test]
fn an_unknown_word_is_wrong_usage_and_gets_a_suggestion() {
    let done = Home::new().run(&["remembr"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(errors(&done).contains("remember"), "{}", errors(&done));
    assert_eq!(Home::new().run(&["recall"]).status.code(), Some(2));
}

#[test]
fn the_version_is_that_of_the_package() {
    let text = out(&Home::new().run(&["--version"]));
    assert_eq!(text.trim(), format!("magpie {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_committed_documents_are_those_of_the_table() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = |name| std::fs::read_to_string(root.join(name)).unwrap();
    let home = Home::new();
    let example = out(&home.run(&["config", "--example"]));
    assert_eq!(file(".env.example"), example);
    let table = out(&home.run(&["config", "--table"]));
    assert!(
        file("README.md").contains(table.trim()),
        "the README's table differs from `magpie config --table`"
    );
}
