//! Reads `.env` files: `NAME=value` lines, nothing executed, nothing expanded.
//!
//! Accepted: blank lines, `#` comments, `export NAME=value`, bare values up to ` #`,
//! `'single quotes'` taken literally, `"double quotes"` with `\n \r \t \\ \" \$`, CRLF line
//! ends and a byte order mark. A value never spans lines. `$` means nothing, so a password may
//! hold one.

use std::fmt;

use crate::limits::ENV_FILE_BYTES_MAX;

/// One assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub value: String,
    /// From 1.
    pub line: usize,
}

/// What is wrong and where; never holds a value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFileError {
    /// From 1; 0 for the file as a whole.
    pub line: usize,
    pub what: String,
}

impl fmt::Display for EnvFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, ".env: {}", self.what),
            line => write!(f, ".env line {line}: {}", self.what),
        }
    }
}

/// Pure: the whole file in, its assignments in order out.
pub fn parse(file: &[u8]) -> Result<Vec<Entry>, EnvFileError> {
    if file.len() > ENV_FILE_BYTES_MAX {
        return Err(EnvFileError {
            line: 0,
            what: format!("the file is larger than {} kB", ENV_FILE_BYTES_MAX / 1024),
        });
    }
    let file = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file);
    let mut entries = Vec::new();
    for (index, line) in file.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let at = |what: String| EnvFileError {
            line: index + 1,
            what,
        };
        let text = std::str::from_utf8(line).map_err(|_| at("not UTF-8 text".into()))?;
        if text.contains('\0') {
            return Err(at("holds a NUL byte".into()));
        }
        if let Some((name, value)) = assignment(text).map_err(at)? {
            entries.push(Entry {
                name,
                value,
                line: index + 1,
            });
        }
    }
    Ok(entries)
}

fn assignment(line: &str) -> Result<Option<(String, String)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let (name, value) = line
        .split_once('=')
        .ok_or("no `=` found; write NAME=value, or begin a comment with #")?;
    let name = name.trim_end();
    if !is_name(name) {
        return Err(String::from(
            "the part before `=` is no name; use letters, digits and _",
        ));
    }
    Ok(Some((name.to_owned(), value_of(value.trim_start())?)))
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn value_of(text: &str) -> Result<String, String> {
    let (value, rest) = match text.chars().next() {
        Some('\'') => single_quoted(&text[1..])?,
        Some('"') => double_quoted(&text[1..])?,
        _ => return Ok(bare(text)),
    };
    let rest = rest.trim();
    if rest.is_empty() || rest.starts_with('#') {
        return Ok(value);
    }
    Err(String::from(
        "there is text after the closing quote; quote the whole value",
    ))
}

/// Up to a `#` that begins a word.
fn bare(text: &str) -> String {
    let mut before = ' ';
    let end = text.char_indices().find_map(|(at, c)| {
        let comment = c == '#' && before.is_whitespace();
        before = c;
        comment.then_some(at)
    });
    text[..end.unwrap_or(text.len())].trim().to_owned()
}

fn single_quoted(text: &str) -> Result<(String, &str), String> {
    let (value, rest) = text
        .split_once('\'')
        .ok_or("the quote ' is not closed on this line")?;
    Ok((value.to_owned(), rest))
}

fn double_quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match chars.next().map(|(_, c)| c) {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(c @ ('\\' | '"' | '$')) => c,
                _ => {
                    return Err(String::from(
                        "unknown escape; write \\\\ for a backslash, or use single quotes",
                    ));
                }
            }),
            c => value.push(c),
        }
    }
    Err(String::from("the quote \" is not closed on this line"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(file: &str) -> Vec<(String, String)> {
        parse(file.as_bytes())
            .unwrap()
            .into_iter()
            .map(|entry| (entry.name, entry.value))
            .collect()
    }

    fn one(file: &str) -> String {
        let mut values = values(file);
        assert_eq!(values.len(), 1, "{file:?}");
        values.remove(0).1
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        for (line, value) in [
            ("A=b", "b"),
            ("  A = b c ", "b c"),
            ("export A=b", "b"),
            ("A=", ""),
            ("A=b#c", "b#c"),
            ("A=b #c", "b"),
            ("A=#c", ""),
            ("A='b #c' # d", "b #c"),
            (r"A='b\n'", r"b\n"),
            (r#"A="b\n\"\\\$c""#, "b\n\"\\$c"),
            ("A=b=c", "b=c"),
            ("A=pa$$word", "pa$$word"),
            ("A=\"你好\"", "你好"),
            ("A=it's", "it's"),
            ("\u{FEFF}A=b\r", "b"),
        ] {
            assert_eq!(one(line), value, "{line:?}");
        }
    }

    #[test]
    fn lines_are_counted_through_comments_and_crlf() {
        let entries = parse(b"# one\r\n\r\nA=1\r\nexport B='2'\r\n").unwrap();
        let seen: Vec<_> = entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.line))
            .collect();
        assert_eq!(seen, [("A", 3), ("B", 4)]);
    }

    #[test]
    fn a_mistake_names_its_line_and_never_the_value() {
        for (file, part) in [
            ("A=1\nnonsense-secret", "no `=`"),
            ("A=1\nB C=secret", "no name"),
            ("A=1\n1B=secret", "no name"),
            ("A=1\n=secret", "no name"),
            ("A=1\nB='secret", "not closed"),
            ("A=1\nB=\"secret", "not closed"),
            ("A=1\nB=\"secret\\", "unknown escape"),
            ("A=1\nB=\"secret\\q\"", "unknown escape"),
            ("A=1\nB='x' secret", "after the closing quote"),
            ("A=1\nB=sec\0ret", "NUL"),
        ] {
            let error = parse(file.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(".env line 2: "), "{file:?}: {error}");
            assert!(error.contains(part), "{file:?}: {error}");
            assert!(!error.contains("secret"), "{file:?}: {error}");
        }
        let error = parse(b"A=\xFF").unwrap_err().to_string();
        assert!(error.contains("line 1: not UTF-8"), "{error}");
    }

    #[test]
    fn a_file_over_the_bound_is_refused() {
        let file = vec![b'#'; ENV_FILE_BYTES_MAX + 1];
        assert_eq!(parse(&file).unwrap_err().line, 0);
        assert_eq!(parse(&file[1..]), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(file in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(entries) = parse(&file) {
                for entry in entries {
                    prop_assert!(is_name(&entry.name));
                    prop_assert!(!entry.value.contains('\0'));
                }
            }
        }

        #[test]
        fn any_text_survives_double_quotes(value in "[^\0]{0,40}") {
            let quoted = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
                .replace('\r', "\\r");
            prop_assert_eq!(one(&format!("A=\"{quoted}\"")), value);
        }
    }
}
