//! The lines of `magpie.txt`, which people write with whatever editor they have.
//!
//! A name, an equals sign and a value; lines that begin with `#` are remarks. Each value keeps its
//! place in the file, so that a secret can be overwritten there. What cannot be read costs its
//! own line and no other, and is told with its number. A value in quotes is taken as it is.

use std::ops::Range;

use super::mistake::{Complaint, Mistake};
use crate::limits;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines {
    pub entries: Vec<Entry>,
    pub complaints: Vec<Complaint>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// From 1.
    pub line: usize,
    /// In capital letters.
    pub name: String,
    pub value: String,
    /// Stood in quotes: no word in it has a meaning of its own.
    pub is_quoted: bool,
    /// Bytes of the file that the value takes, its quotes included.
    pub place: Range<usize>,
}

/// Pure; takes any bytes.
pub fn read(file: &[u8]) -> Lines {
    let mut lines = Lines::default();
    if let Some(mistake) = of_the_whole(file) {
        lines.complaints.push(Complaint { line: 1, mistake });
        return lines;
    }
    for (index, place) in places(file).enumerate() {
        let line = index + 1;
        if line > limits::MAGPIE_TXT_LINES_MAX {
            let mistake = Mistake::TooManyLines;
            lines.complaints.push(Complaint { line, mistake });
            break;
        }
        match entry(file, line, place) {
            Ok(Some(entry)) => lines.entries.push(entry),
            Ok(None) => {}
            Err(mistake) => lines.complaints.push(Complaint { line, mistake }),
        }
    }
    lines
}

fn of_the_whole(file: &[u8]) -> Option<Mistake> {
    if file.len() > limits::MAGPIE_TXT_BYTES_MAX {
        return Some(Mistake::TooLong);
    }
    if file.starts_with(&[0xff, 0xfe]) || file.starts_with(&[0xfe, 0xff]) || file.contains(&0) {
        return Some(Mistake::Utf16);
    }
    let is_rich = file.trim_ascii_start().starts_with(b"{\\rtf");
    is_rich.then_some(Mistake::RichText)
}

/// Each line without its end, which is that of Unix, Windows or an old Mac.
fn places(file: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut next = if file.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    std::iter::from_fn(move || {
        let rest = file.get(next..).filter(|rest| !rest.is_empty())?;
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))
            .unwrap_or(rest.len());
        let line = next..next + length;
        let end = &rest[length..];
        next = line.end
            + match end {
                [b'\r', b'\n', ..] => 2,
                [_, ..] => 1,
                [] => 0,
            };
        Some(line)
    })
}

fn entry(file: &[u8], line: usize, place: Range<usize>) -> Result<Option<Entry>, Mistake> {
    let bytes = &file[place.clone()];
    if bytes.trim_ascii_start().starts_with(b"#") {
        return Ok(None);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Mistake::OldLetters)?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let (name, rest) = ['=', '＝']
        .into_iter()
        .filter_map(|sign| text.split_once(sign))
        .min_by_key(|(name, _)| name.len())
        .ok_or(Mistake::NoEqualsSign)?;
    let name = name.trim().to_ascii_uppercase();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name) {
        return Err(Mistake::NoName);
    }
    let written = rest.trim();
    let (value, is_quoted) = match unquoted(written) {
        Some(inner) => (inner, true),
        None => (written, false),
    };
    if value.len() > limits::SETTING_CHARS_MAX {
        return Err(Mistake::LongValue { name });
    }
    if value.chars().any(char::is_control) {
        return Err(Mistake::ControlCharacter { name });
    }
    // What is before the value in its line, however it was trimmed.
    let before = text.len() - rest.len() + (rest.len() - rest.trim_start().len());
    let start = place.start + before;
    Ok(Some(Entry {
        line,
        name,
        value: value.to_owned(),
        is_quoted,
        place: start..start + written.len(),
    }))
}

/// Plain quotes, and those that editors make of them.
fn unquoted(written: &str) -> Option<&str> {
    [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('„', '“')]
        .into_iter()
        .find_map(|(open, close)| written.strip_prefix(open)?.strip_suffix(close))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn only(file: &[u8]) -> (String, String) {
        let mut lines = read(file);
        assert_eq!(lines.complaints, [], "{}", String::from_utf8_lossy(file));
        assert_eq!(lines.entries.len(), 1);
        let entry = lines.entries.remove(0);
        (entry.name, entry.value)
    }

    #[test]
    fn a_value_is_read_as_editors_of_all_kinds_leave_it() {
        for file in [
            "WIFI_SSID=Home",
            "wifi_ssid = Home \r\n",
            "\u{feff}WIFI_SSID=Home\r\n# remark\r\n",
            "# one\rWIFI_SSID=Home\r",
            "  WIFI_SSID=\"Home\"\n\n",
            "WIFI_SSID=“Home”\n",
            "WIFI_SSID＝Home\n",
            "WIFI_SSID =\u{a0}Home\u{3000}\n",
        ] {
            let expected = (String::from("WIFI_SSID"), String::from("Home"));
            assert_eq!(only(file.as_bytes()), expected, "{file:?}");
        }
    }

    #[test]
    fn signs_inside_a_value_stay() {
        for value in ["a=b＝c", "p#ss \"word", "#1", "it's", "家里的网络"] {
            assert_eq!(only(format!("K={value}\n").as_bytes()).1, value);
        }
        assert_eq!(only(b"K=\"  with spaces \"\n").1, "  with spaces ");
    }

    #[test]
    fn a_value_knows_its_place_in_the_file() {
        let file = "\u{feff}# 说明\r\nA = \"geheim\" \r\nB=\n".as_bytes();
        let lines = read(file);
        assert_eq!(&file[lines.entries[0].place.clone()], b"\"geheim\"");
        assert_eq!(lines.entries[1].place.len(), 0);
        assert_eq!(lines.entries[1].line, 3);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let cases: [(&[u8], usize, Mistake); 8] = [
            (b"\n\nWIFI_SSID: Home", 3, Mistake::NoEqualsSign),
            (b"A=1\n=2", 2, Mistake::NoName),
            (b"A=1\nMY NAME=2", 2, Mistake::NoName),
            (b"A=1\nWIFI_SSID=Caf\xe9\nB=2", 2, Mistake::OldLetters),
            (b"\xff\xfeA\0=\0", 1, Mistake::Utf16),
            (b"A\0=\0b\0", 1, Mistake::Utf16),
            (b"{\\rtf1\\ansi A=1}", 1, Mistake::RichText),
            (
                b"A=x\x07y",
                1,
                Mistake::ControlCharacter { name: "A".into() },
            ),
        ];
        for (file, line, mistake) in cases {
            let told = read(file).complaints;
            assert_eq!(told, [Complaint { line, mistake }]);
        }
        // A remark may be in any encoding.
        assert_eq!(
            only(b"# Stra\xdfe, \xce\xde\nA=1"),
            ("A".into(), "1".into())
        );
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let long = vec![b'#'; limits::MAGPIE_TXT_BYTES_MAX + 1];
        assert_eq!(read(&long).complaints[0].mistake, Mistake::TooLong);
        let lines = "A=1\n".repeat(limits::MAGPIE_TXT_LINES_MAX + 5);
        let read = read(lines.as_bytes());
        assert_eq!(read.entries.len(), limits::MAGPIE_TXT_LINES_MAX);
        assert_eq!(read.complaints[0].mistake, Mistake::TooManyLines);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_each_value_is_where_it_says(file in proptest::collection::vec(any::<u8>(), 0..300)) {
            check(&file);
        }

        #[test]
        fn anything_like_a_file_is_read(file in "(\u{feff}|)([A-Z_]{0,4} ?[=＝] ?(\"|“|)[a-z#=é ]{0,6}(\"|”|)(\n|\r\n|\r)){0,6}") {
            check(file.as_bytes());
        }
    }

    fn check(file: &[u8]) {
        for entry in read(file).entries {
            let place = std::str::from_utf8(&file[entry.place.clone()]).unwrap();
            assert_eq!(place.trim(), place);
            assert!(place.contains(&entry.value));
            assert_eq!(
                place.len() == entry.value.len(),
                !entry.is_quoted || place.is_empty()
            );
        }
    }
}
