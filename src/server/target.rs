//! The request target: path into segments, query into pairs (RFC 3986 section 3).
//!
//! Pure functions over what a client sent; everything they let through is valid UTF-8 without
//! control characters and cannot climb out of a folder.

/// Segments of one path.
const SEGMENTS_MAX: usize = 64;
/// Pairs of one query.
const PAIRS_MAX: usize = 256;

/// Why a target was refused; the text is meant for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    NotAbsolute,
    Percent,
    Encoding,
    Control,
    Climbs,
    TooManyParts,
}

impl TargetError {
    pub fn message(self) -> &'static str {
        match self {
            TargetError::NotAbsolute => "The path has to begin with /.",
            TargetError::Percent => {
                "The path or query has a % that is not followed by two hex digits."
            }
            TargetError::Encoding => "The path or query is not valid UTF-8 once percent-decoded.",
            TargetError::Control => {
                "The path or query holds a control character; percent-encoding does not help, leave it out."
            }
            TargetError::Climbs => "The path has a . or .. segment; name the resource directly.",
            TargetError::TooManyParts => "The path or query has too many parts.",
        }
    }
}

/// Decoded segments of a raw path; `/` gives one empty segment, `/a/` ends in an empty one.
pub fn parse_path(raw: &str) -> Result<Vec<String>, TargetError> {
    let rest = raw.strip_prefix('/').ok_or(TargetError::NotAbsolute)?;
    let mut segments = Vec::new();
    for part in rest.split('/') {
        if segments.len() == SEGMENTS_MAX {
            return Err(TargetError::TooManyParts);
        }
        let segment = percent_decode(part, false)?;
        // A decoded slash or backslash must not make `a%2F..%2Fb` climb either.
        if segment
            .split(['/', '\\'])
            .any(|piece| piece == "." || piece == "..")
        {
            return Err(TargetError::Climbs);
        }
        if segment.chars().any(char::is_control) {
            return Err(TargetError::Control);
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// Decoded pairs of a raw query in order; `+` is a space, a missing `=` means an empty value.
pub fn parse_query(raw: &str) -> Result<Vec<(String, String)>, TargetError> {
    let mut pairs = Vec::new();
    for part in raw.split('&').filter(|part| !part.is_empty()) {
        if pairs.len() == PAIRS_MAX {
            return Err(TargetError::TooManyParts);
        }
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = percent_decode(name, true)?;
        let value = percent_decode(value, true)?;
        if [&name, &value].iter().any(|text| text.contains('\0')) {
            return Err(TargetError::Control);
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

pub(super) fn percent_decode(text: &str, plus_is_space: bool) -> Result<String, TargetError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let high = rest.next().and_then(hex).ok_or(TargetError::Percent)?;
                let low = rest.next().and_then(hex).ok_or(TargetError::Percent)?;
                bytes.push(high * 16 + low);
            }
            b'+' if plus_is_space => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| TargetError::Encoding)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bad_targets_are_refused_for_their_reason() {
        for (path, error) in [
            ("a", TargetError::NotAbsolute),
            ("", TargetError::NotAbsolute),
            ("/a/../b", TargetError::Climbs),
            ("/a/%2e%2e/b", TargetError::Climbs),
            ("/a/%2E./b", TargetError::Climbs),
            ("/./b", TargetError::Climbs),
            ("/a%2f..%2fb", TargetError::Climbs),
            ("/a%5c..%5cb", TargetError::Climbs),
            ("/a%00", TargetError::Control),
            ("/a%0d%0ab", TargetError::Control),
            ("/a%", TargetError::Percent),
            ("/a%2", TargetError::Percent),
            ("/a%zz", TargetError::Percent),
            ("/a%+1", TargetError::Percent),
            ("/a%ff", TargetError::Encoding),
            ("/%c0%af", TargetError::Encoding),
        ] {
            assert_eq!(parse_path(path), Err(error), "{path}");
        }
        assert_eq!(parse_path(&"/a".repeat(65)), Err(TargetError::TooManyParts));
        assert_eq!(parse_query("q=%ff"), Err(TargetError::Encoding));
        assert_eq!(parse_query("q=%0"), Err(TargetError::Percent));
        assert_eq!(parse_query("q=%00"), Err(TargetError::Control));
        assert_eq!(
            parse_query(&"a&".repeat(257)),
            Err(TargetError::TooManyParts)
        );
    }

    #[test]
    fn good_targets_come_out_decoded() {
        assert_eq!(parse_path("/"), Ok(vec![String::new()]));
        assert_eq!(
            parse_path("/a/%E4%BD%A0/..b"),
            Ok(vec!["a".into(), "你".into(), "..b".into()])
        );
        assert_eq!(
            parse_query("q=a+b%2B&&flag&q=2&e=="),
            Ok(vec![
                ("q".into(), "a b+".into()),
                ("flag".into(), "".into()),
                ("q".into(), "2".into()),
                ("e".into(), "=".into()),
            ])
        );
    }

    proptest! {
        #[test]
        fn an_encoded_query_decodes_to_itself(pairs in prop::collection::vec((".*", ".*"), 0..8)) {
            let encode = |text: &str| -> String {
                text.bytes().map(|byte| format!("%{byte:02X}")).collect()
            };
            let raw: Vec<String> = pairs
                .iter()
                .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
                .collect();
            let has_nul = pairs.iter().any(|(name, value)| name.contains('\0') || value.contains('\0'));
            match parse_query(&raw.join("&")) {
                Ok(parsed) => prop_assert_eq!(parsed, pairs),
                Err(error) => prop_assert!(has_nul && error == TargetError::Control),
            }
        }

        #[test]
        fn no_path_that_passes_can_climb(raw in "(/|\\.|%2e|%2F|%5c|a|%00|%){0,24}") {
            if let Ok(segments) = parse_path(&raw) {
                for segment in segments {
                    prop_assert!(segment.split(['/', '\\']).all(|piece| piece != ".." && piece != "."));
                    prop_assert!(!segment.contains('\0'));
                }
            }
        }
    }
}
