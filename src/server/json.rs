//! Which field of a JSON text a parser stopped at.

/// Depth to which a path is followed.
const DEPTH_MAX: usize = 128;

/// The path to what ends at `line` and `column` (both from 1, as serde_json counts them, in
/// bytes), e.g. `metadata.tags[2]`; empty at the top level.
pub(super) fn field_at(text: &str, line: usize, column: usize) -> String {
    let line_start = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum::<usize>();
    let end = (line_start + column).min(text.len());
    let mut path: Vec<Step> = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < end {
        match bytes[at] {
            b'"' => {
                let close = string_end(bytes, at);
                if let Some(Step::Key { name, expects_key }) = path.last_mut()
                    && *expects_key
                {
                    *expects_key = false;
                    *name = text.get(at + 1..close).unwrap_or("").to_owned();
                }
                at = close;
            }
            b'{' | b'[' if path.len() == DEPTH_MAX => break,
            b'{' => path.push(Step::Key {
                name: String::new(),
                expects_key: true,
            }),
            b'[' => path.push(Step::Index(0)),
            // The bracket that ends the text in question belongs to what was asked for.
            b'}' | b']' if at + 1 < end => {
                path.pop();
            }
            b'}' | b']' => {
                path.pop();
                break;
            }
            b',' => match path.last_mut() {
                Some(Step::Key { expects_key, .. }) => *expects_key = true,
                Some(Step::Index(index)) => *index += 1,
                None => {}
            },
            _ => {}
        }
        at += 1;
    }
    render(&path)
}

enum Step {
    Key { name: String, expects_key: bool },
    Index(usize),
}

/// Position of the closing quote of the string that opens at `open`, or the last byte.
fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn render(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Key { name, .. } if name.is_empty() => {}
            Step::Key { name, .. } => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.extend(name.chars().take(64));
            }
            Step::Index(index) => out.push_str(&format!("[{index}]")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::request::parse_json;

    #[derive(serde::Deserialize, Debug)]
    #[allow(dead_code, reason = "only its shape matters")]
    struct Shape {
        message: String,
        #[serde(default)]
        tags: Vec<String>,
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(serde::Deserialize, Debug)]
    #[allow(dead_code, reason = "only its shape matters")]
    struct Inner {
        limit: u8,
    }

    #[test]
    fn the_error_names_the_field() {
        for (body, expected) in [
            (r#"{"message": 5}"#, "field \"message\""),
            (
                r#"{"message": "a\"b", "tags": ["x", 2]}"#,
                "field \"tags[1]\"",
            ),
            (
                "{\"message\": \"a\",\n \"inner\": {\"limit\": 300}}",
                "field \"inner.limit\"",
            ),
            (r#"{"message": {"a": 1}}"#, "field \"message"),
            (r#"{"tags": []}"#, "missing field `message`"),
            (r#"{"message": "a""#, "EOF"),
            ("[1,2", "The body is not as expected"),
            ("", "empty"),
        ] {
            let error = parse_json::<Shape>(body.as_bytes()).expect_err(body);
            assert!(
                error.message.contains(expected),
                "{body}: {}",
                error.message
            );
        }
        let deep = format!("{}1{}", "[".repeat(1_000), "]".repeat(1_000));
        let error = parse_json::<serde_json::Value>(deep.as_bytes()).expect_err("too deep");
        assert!(
            error.message.contains("recursion limit"),
            "{}",
            error.message
        );
        let error = parse_json::<Shape>(b"{\"message\": \"\xff\"}").expect_err("no UTF-8");
        assert!(
            error.message.contains("UTF-8 at byte 13"),
            "{}",
            error.message
        );
    }
}
