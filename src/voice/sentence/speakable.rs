//! Written text made fit for a voice: marks go, addresses and symbols become words.

use super::{CODE_MARK, TABLE_MARK};

/// What a voice says for `raw`; empty when there is nothing to say.
pub fn speakable(raw: &str, chinese: bool) -> String {
    let mut out = String::with_capacity(raw.len());
    for line in raw.lines() {
        let line = strip_line_marks(line.trim());
        inline(line, chinese, &mut out);
        out.push(' ');
    }
    let mut text = String::with_capacity(out.len());
    for word in out.split_whitespace() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// Headings, quotes and bullets.
fn strip_line_marks(mut line: &str) -> &str {
    loop {
        let rest = line.trim_start_matches(['#', '>']).trim_start();
        let rest = ["- ", "* ", "+ ", "• "]
            .iter()
            .find_map(|mark| rest.strip_prefix(mark))
            .unwrap_or(rest);
        if rest.len() == line.len() {
            return line;
        }
        line = rest;
    }
}

fn inline(line: &str, chinese: bool, out: &mut String) {
    let say = |en: &'static str, zh: &'static str| if chinese { zh } else { en };
    let mut rest = line;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        if let Some((words, after)) = link(rest) {
            inline(words, chinese, out);
            before = ')';
            rest = after;
            continue;
        }
        if let Some(after) = address(rest, chinese, out) {
            before = '/';
            rest = after;
            continue;
        }
        let after = &rest[c.len_utf8()..];
        let next = after.chars().next().unwrap_or(' ');
        match c {
            CODE_MARK => out.push_str(say(" The code is on the screen. ", "代码在屏幕上。")),
            TABLE_MARK => out.push_str(say(" The table is on the screen. ", "表格在屏幕上。")),
            '*' if before.is_ascii_digit() && next.is_ascii_digit() => {
                out.push_str(say(" times ", "乘"));
            }
            '*' | '`' | '~' | '|' | '<' | '>' | '\\' => {}
            '_' if before.is_alphanumeric() && next.is_alphanumeric() => out.push(' '),
            '_' => {}
            '&' => out.push_str(say(" and ", "和")),
            '=' => out.push_str(say(" equals ", "等于")),
            '°' if matches!(next, 'C' | 'F') => {
                out.push_str(say(" degrees ", "度"));
                before = c;
                rest = &after[1..];
                continue;
            }
            '°' | '℃' => out.push_str(say(" degrees ", "度")),
            c if is_picture(c) || c.is_control() => out.push(' '),
            c => out.push(c),
        }
        before = c;
        rest = after;
    }
}

/// `[words](address)` or `![words](address)`: the words, and what follows.
fn link(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix("![").or_else(|| text.strip_prefix('['))?;
    let (words, rest) = inner.split_once("](")?;
    let close = rest.find(')')?;
    if words.contains(['[', ']']) || rest[..close].contains(char::is_whitespace) {
        return None;
    }
    Some((words, &rest[close + 1..]))
}

/// Says the host of a web address; what follows it.
fn address<'a>(text: &'a str, chinese: bool, out: &mut String) -> Option<&'a str> {
    let inner = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))?;
    let end = inner
        .find(|c: char| c.is_whitespace() || !c.is_ascii() || matches!(c, '"' | '<' | '>' | ')'))
        .unwrap_or(inner.len());
    let trimmed = inner[..end].trim_end_matches(['.', ',', '!', '?', ';', ':', '*', '_']);
    let host = trimmed
        .split(['/', '?', '#', ':'])
        .next()
        .unwrap_or_default();
    if chinese {
        out.push_str("网址");
    } else {
        out.push_str(&host.replace('.', " dot "));
    }
    Some(&inner[trimmed.len()..])
}

/// Emoji, dingbats, arrows and the private marks.
fn is_picture(c: char) -> bool {
    matches!(c, '\u{200D}' | '\u{20E3}' | '\u{2190}'..='\u{21FF}' | '\u{2300}'..='\u{27BF}'
        | '\u{2900}'..='\u{297F}' | '\u{2B00}'..='\u{2BFF}' | '\u{E000}'..='\u{F8FF}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{1F000}'..='\u{1FAFF}' | '\u{E0000}'..='\u{E0FFF}')
}
