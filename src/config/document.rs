//! Documents made from the table: `.env.example`, the README's table, and what is in force.

use std::fmt::Write;

use super::table::{SETTINGS, Setting};

/// `.env.example`: every setting with its help, commented out at its default.
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of Magpie. Copy to .env, take away the # of a line and change its value.\n\
         # The environment wins over this file. `magpie config` shows what is in force.\n",
    );
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            let _ = write!(text, "\n## {group}\n");
        }
        let _ = write!(
            text,
            "\n# {}\n# Allowed: {}.{}\n#{}={}\n",
            setting.help,
            setting.kind.allowed(),
            notes(setting),
            setting.name,
            setting.default
        );
    }
    text
}

/// The table of the README, in Markdown.
pub fn table() -> String {
    let mut text = String::from("| setting | default | what it does |\n| --- | --- | --- |\n");
    for setting in SETTINGS {
        let default = match setting.default {
            "" => String::from("not set"),
            default => format!("`{default}`"),
        };
        let _ = writeln!(
            text,
            "| `{}` | {default} | {} Allowed: {}.{} |",
            setting.name,
            setting.help.replace('|', "\\|"),
            setting.kind.allowed(),
            notes(setting)
        );
    }
    text
}

fn notes(setting: &Setting) -> String {
    let mut notes = String::new();
    if setting.reloads {
        notes.push_str(" Changes on SIGHUP.");
    }
    if !setting.aliases.is_empty() {
        let _ = write!(notes, " Also called {}.", setting.aliases.join(", "));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dotenv;

    #[test]
    fn the_example_is_a_valid_file_with_every_setting() {
        let text = example();
        assert_eq!(dotenv::parse(text.as_bytes()), Ok(vec![]));
        let active: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if rest.starts_with(|c: char| c.is_ascii_uppercase()) => rest,
                _ => line,
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let entries = dotenv::parse(active.as_bytes()).unwrap();
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let expected: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(names, expected);
    }
}
