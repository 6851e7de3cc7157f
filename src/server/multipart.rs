//! `multipart/form-data` (RFC 7578), part by part as the body comes.
//!
//! [`Parser`] is pure: bytes in, [`Event`]s out, the same however the bytes were cut. Parts, heads
//! and names are bounded by `limits`; the caller bounds what it keeps of a part. Broken input ends in
//! a [`MultipartError`] that says what is wrong, answered with 400.

use std::fmt;

use bytes::Bytes;

use super::request::too_large;
use super::{HttpError, Request, header};
use crate::limits::{
    MULTIPART_HEAD_BYTES_MAX, MULTIPART_NAME_CHARS_MAX, MULTIPART_PARTS_MAX,
    MULTIPART_PREAMBLE_BYTES_MAX,
};

/// RFC 2046.
const BOUNDARY_CHARS_MAX: usize = 70;
/// Spaces that some gateways leave behind a boundary.
const PADDING_BYTES_MAX: usize = 64;

/// What a part says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    /// The last component of what was sent, without control characters.
    pub filename: Option<String>,
    pub content_type: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Part(Part),
    Data(Bytes),
    PartEnd,
    /// The closing boundary; what follows is read over.
    End,
    NeedMore,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultipartError {
    /// Of the header `Content-Type`.
    Boundary,
    Preamble,
    TooManyParts,
    HeadTooLong,
    Head(&'static str),
    NameTooLong,
    /// No closing boundary.
    BreaksOff,
}

/// A request's form while it is read.
pub struct Multipart<'r> {
    request: &'r mut Request,
    parser: Parser,
    bytes_max: u64,
}

impl Request {
    /// Reads a form of at most `bytes_max` in all.
    pub fn multipart(&mut self, bytes_max: u64) -> Result<Multipart<'_>, HttpError> {
        let sent = self.head.header(header::CONTENT_TYPE.as_str());
        let boundary = boundary_of(sent.unwrap_or_default()).ok_or(MultipartError::Boundary)?;
        Ok(Multipart {
            parser: Parser::new(&boundary),
            request: self,
            bytes_max,
        })
    }
}

impl Multipart<'_> {
    /// The next part; what was not taken of the one before is read over. `None` after the last.
    pub async fn part(&mut self) -> Result<Option<Part>, HttpError> {
        loop {
            match self.event().await? {
                Event::Part(part) => return Ok(Some(part)),
                Event::End => {
                    // The rest has to be read before an answer can be.
                    while self.request.body_chunk(self.bytes_max).await?.is_some() {}
                    return Ok(None);
                }
                _ => {}
            }
        }
    }

    /// The next piece of the part at hand; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        match self.event().await? {
            Event::Data(bytes) => Ok(Some(bytes)),
            _ => Ok(None),
        }
    }

    /// The whole part at hand, held in memory like a body.
    pub async fn bytes(&mut self, bytes_max: usize) -> Result<Vec<u8>, HttpError> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            let length = whole.len() + chunk.len();
            if length > bytes_max {
                return Err(too_large(bytes_max as u64));
            }
            if length > whole.capacity() {
                let wanted = length.max(whole.capacity() * 2).min(bytes_max);
                self.request.body.grow(&mut whole, wanted)?;
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }

    /// The part at hand as text.
    pub async fn text(&mut self, name: &str, bytes_max: usize) -> Result<String, HttpError> {
        String::from_utf8(self.bytes(bytes_max).await?)
            .map_err(|_| HttpError::invalid(format!("{name}: the text is not valid UTF-8.")))
    }

    async fn event(&mut self) -> Result<Event, HttpError> {
        loop {
            let event = self.parser.event()?;
            if event != Event::NeedMore {
                return Ok(event);
            }
            match self.request.body_chunk(self.bytes_max).await? {
                Some(bytes) => self.parser.push(&bytes),
                None => return Err(MultipartError::BreaksOff.into()),
            }
        }
    }
}

pub struct Parser {
    /// `\r\n--boundary`.
    mark: Vec<u8>,
    bytes: Vec<u8>,
    state: State,
    parts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary; so many bytes were read over.
    Preamble(usize),
    Head,
    Data,
    Ended,
}

impl Parser {
    pub fn new(boundary: &str) -> Parser {
        Parser {
            mark: [b"\r\n--", boundary.as_bytes()].concat(),
            // The first boundary begins the body: its line break is not sent.
            bytes: b"\r\n".to_vec(),
            state: State::Preamble(0),
            parts: 0,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if self.state != State::Ended {
            self.bytes.extend_from_slice(bytes);
        }
    }

    pub fn event(&mut self) -> Result<Event, MultipartError> {
        match self.state {
            State::Preamble(skipped) => self.preamble(skipped),
            State::Head => self.head(),
            State::Data => self.data(),
            State::Ended => Ok(Event::End),
        }
    }

    fn preamble(&mut self, skipped: usize) -> Result<Event, MultipartError> {
        let found = self.find_mark();
        let skip = skipped + found.before();
        if skip > MULTIPART_PREAMBLE_BYTES_MAX {
            return Err(MultipartError::Preamble);
        }
        match found {
            Found::Nothing { safe } => {
                self.bytes.drain(..safe);
                self.state = State::Preamble(skip);
                Ok(Event::NeedMore)
            }
            Found::Next { at, length } => {
                self.bytes.drain(..at + length);
                self.state = State::Head;
                self.head()
            }
            Found::Close { .. } => {
                self.state = State::Ended;
                Ok(Event::End)
            }
        }
    }

    fn head(&mut self) -> Result<Event, MultipartError> {
        if self.bytes.starts_with(b"\r\n") {
            return Err(MultipartError::Head("it has no Content-Disposition"));
        }
        let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end.filter(|end| *end <= MULTIPART_HEAD_BYTES_MAX) else {
            return if end.is_some() || self.bytes.len() > MULTIPART_HEAD_BYTES_MAX + 4 {
                Err(MultipartError::HeadTooLong)
            } else {
                Ok(Event::NeedMore)
            };
        };
        self.parts += 1;
        if self.parts > MULTIPART_PARTS_MAX {
            return Err(MultipartError::TooManyParts);
        }
        let part = read_head(&self.bytes[..end])?;
        self.bytes.drain(..end + 4);
        self.state = State::Data;
        Ok(Event::Part(part))
    }

    fn data(&mut self) -> Result<Event, MultipartError> {
        let found = self.find_mark();
        let before = found.before();
        if before > 0 {
            let data = Bytes::copy_from_slice(&self.bytes[..before]);
            self.bytes.drain(..before);
            return Ok(Event::Data(data));
        }
        match found {
            Found::Nothing { .. } => Ok(Event::NeedMore),
            Found::Next { length, .. } => {
                self.bytes.drain(..length);
                self.state = State::Head;
                Ok(Event::PartEnd)
            }
            Found::Close { .. } => {
                self.bytes = Vec::new();
                self.state = State::Ended;
                Ok(Event::PartEnd)
            }
        }
    }

    /// The first true boundary, or how far there is none for certain.
    fn find_mark(&self) -> Found {
        let mut from = 0;
        while let Some(step) = self.bytes[from..].iter().position(|byte| *byte == b'\r') {
            let at = from + step;
            let rest = &self.bytes[at..];
            let Some(behind) = rest.strip_prefix(&self.mark[..]) else {
                if self.mark.starts_with(rest) {
                    return Found::Nothing { safe: at };
                }
                from = at + 1;
                continue;
            };
            if behind.starts_with(b"--") {
                return Found::Close { at };
            }
            let padding = behind
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'\t'))
                .count();
            let line_end = &behind[padding..];
            let is_padding = padding <= PADDING_BYTES_MAX;
            if is_padding && line_end.starts_with(b"\r\n") {
                let length = self.mark.len() + padding + 2;
                return Found::Next { at, length };
            }
            let open = matches!(line_end, b"" | b"\r") || behind == b"-";
            if open && is_padding {
                return Found::Nothing { safe: at };
            }
            // A longer word that only begins like the boundary.
            from = at + 1;
        }
        Found::Nothing {
            safe: self.bytes.len(),
        }
    }
}

enum Found {
    /// None that is complete; data goes up to `safe`.
    Nothing {
        safe: usize,
    },
    Next {
        at: usize,
        length: usize,
    },
    Close {
        at: usize,
    },
}

impl Found {
    fn before(&self) -> usize {
        match *self {
            Found::Nothing { safe: at } | Found::Next { at, .. } | Found::Close { at } => at,
        }
    }
}

fn read_head(head: &[u8]) -> Result<Part, MultipartError> {
    let text = std::str::from_utf8(head).map_err(|_| MultipartError::Head("it is not UTF-8"))?;
    let mut part = None;
    let mut content_type = None;
    for line in text.split("\r\n") {
        let (name, value) = line
            .split_once(':')
            .ok_or(MultipartError::Head("a line of it has no colon"))?;
        match name.trim().to_ascii_lowercase().as_str() {
            "content-disposition" if part.is_none() => part = Some(read_disposition(value)?),
            "content-type" => content_type = Some(value.trim().to_string()),
            "content-transfer-encoding"
                if !matches!(
                    value.trim().to_ascii_lowercase().as_str(),
                    "binary" | "8bit" | "7bit"
                ) =>
            {
                return Err(MultipartError::Head(
                    "Content-Transfer-Encoding has to be binary",
                ));
            }
            _ => {}
        }
    }
    let part = part.ok_or(MultipartError::Head("it has no Content-Disposition"))?;
    Ok(Part {
        content_type,
        ..part
    })
}

fn read_disposition(value: &str) -> Result<Part, MultipartError> {
    let (kind, mut rest) = value.split_once(';').unwrap_or((value, ""));
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(MultipartError::Head(
            "its Content-Disposition is not form-data",
        ));
    }
    let mut part = Part::default();
    let mut named = false;
    let mut extended = None;
    while let Some((key, value, behind)) = parameter(rest)? {
        match key.to_ascii_lowercase().as_str() {
            "name" => {
                named = true;
                part.name = value;
            }
            "filename" => part.filename = Some(value),
            "filename*" => extended = percent_utf8(&value),
            _ => {}
        }
        rest = behind;
    }
    part.filename = extended.or(part.filename).map(|name| {
        let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
        last.chars().filter(|c| !c.is_control()).collect()
    });
    let too_long = |text: &str| text.chars().count() > MULTIPART_NAME_CHARS_MAX;
    if too_long(&part.name) || part.filename.as_deref().is_some_and(too_long) {
        return Err(MultipartError::NameTooLong);
    }
    if !named {
        return Err(MultipartError::Head("its Content-Disposition has no name"));
    }
    Ok(part)
}

/// The next `key=value` or `key="value"`, and what follows it.
fn parameter(text: &str) -> Result<Option<(&str, String, &str)>, MultipartError> {
    let text = text.trim_start_matches([' ', '\t', ';']);
    if text.is_empty() {
        return Ok(None);
    }
    let (key, value) = text
        .split_once('=')
        .ok_or(MultipartError::Head("a parameter of it has no value"))?;
    let (key, value) = (key.trim(), value.trim_start());
    let Some(quoted) = value.strip_prefix('"') else {
        let (word, behind) = value.split_once(';').unwrap_or((value, ""));
        return Ok(Some((key, word.trim().to_string(), behind)));
    };
    let mut out = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok(Some((key, browser_unescaped(&out), &quoted[at + 1..]))),
            // Only these are escaped; a path of Windows keeps its strokes.
            '\\' if matches!(chars.peek(), Some((_, '"' | '\\'))) => {
                out.extend(chars.next().map(|(_, escaped)| escaped));
            }
            c => out.push(c),
        }
    }
    Err(MultipartError::Head("a quotation of it does not end"))
}

/// Browsers write these three so, and nothing else.
fn browser_unescaped(text: &str) -> String {
    text.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

/// `UTF-8''na%C3%AFve`, of older mail programs.
fn percent_utf8(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, text) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    super::target::percent_decode(text, false).ok()
}

/// Out of `multipart/form-data; boundary=…`.
pub fn boundary_of(content_type: &str) -> Option<String> {
    let (essence, mut rest) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    while let Ok(Some((key, value, behind))) = parameter(rest) {
        if key.eq_ignore_ascii_case("boundary") {
            let fits = (1..=BOUNDARY_CHARS_MAX).contains(&value.len())
                && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
                && !value.ends_with(' ');
            return fits.then_some(value);
        }
        rest = behind;
    }
    None
}

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The form cannot be read: ")?;
        match self {
            MultipartError::Boundary => f.write_str(
                "Content-Type has to be multipart/form-data with a boundary of 1 to 70 characters.",
            ),
            MultipartError::Preamble => f.write_str("its boundary is not found at its beginning."),
            MultipartError::TooManyParts => {
                write!(f, "it has more than {MULTIPART_PARTS_MAX} parts.")
            }
            MultipartError::HeadTooLong => write!(
                f,
                "the head of a part is longer than {MULTIPART_HEAD_BYTES_MAX} bytes."
            ),
            MultipartError::Head(why) => write!(f, "the head of a part is damaged: {why}."),
            MultipartError::NameTooLong => write!(
                f,
                "a name in it is longer than {MULTIPART_NAME_CHARS_MAX} characters."
            ),
            MultipartError::BreaksOff => {
                f.write_str("it breaks off before its closing boundary; send it again.")
            }
        }
    }
}

impl std::error::Error for MultipartError {}

impl From<MultipartError> for HttpError {
    fn from(error: MultipartError) -> HttpError {
        HttpError::invalid(error.to_string())
    }
}

#[cfg(test)]
#[path = "multipart_tests.rs"]
mod tests;
