//! What is remembered and what was said, for people: no way back in.

use std::io::{self, Write};

use serde_json::{Map, Value};

/// Before the rows of a kind.
pub fn title(out: &mut dyn Write, kind: &str) -> io::Result<()> {
    match kind {
        "memory" => out.write_all(b"\n# Memories / \xe8\xae\xb0\xe5\xbf\x86\n"),
        "conversation" => out.write_all("\n# Conversations / 对话\n".as_bytes()),
        "timer" => out.write_all("\n# Timers / 计时与提醒\n".as_bytes()),
        _ => Ok(()),
    }
}

pub fn memory(out: &mut dyn Write, row: &Map<String, Value>) -> io::Result<()> {
    let tags: Vec<String> = row
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|tag| format!(" #{}", tag.replace(' ', "-")))
        .collect();
    write!(
        out,
        "\n## {}\n\n{} · {}{}\n\n{}\n",
        line(text(row, "title")),
        text(row, "created_at"),
        text(row, "category"),
        tags.concat(),
        text(row, "content")
    )
}

pub fn conversation(out: &mut dyn Write, row: &Map<String, Value>) -> io::Result<()> {
    write!(
        out,
        "\n## {}\n\n{}\n",
        line(text(row, "summary")),
        text(row, "created_at")
    )
}

pub fn message(out: &mut dyn Write, row: &Map<String, Value>) -> io::Result<()> {
    let who = match text(row, "role") {
        "user" => "**You**",
        _ => "**Magpie**",
    };
    write!(out, "\n{who}: {}\n", text(row, "content"))
}

pub fn timer(out: &mut dyn Write, row: &Map<String, Value>) -> io::Result<()> {
    write!(
        out,
        "\n- {} {} ({}) {}\n",
        text(row, "due_at"),
        text(row, "kind"),
        text(row, "state"),
        line(text(row, "label"))
    )
}

fn text<'a>(row: &'a Map<String, Value>, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or("")
}

/// A heading stays one line.
fn line(text: &str) -> String {
    match text.trim() {
        "" => String::from("…"),
        text => text.replace(['\n', '\r'], " "),
    }
}
