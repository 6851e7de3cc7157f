//! As much of HTTP/1.1 as a provider's side needs.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

pub struct Reader<'a>(BufReader<&'a TcpStream>);

impl<'a> Reader<'a> {
    pub fn new(stream: &'a TcpStream) -> Reader<'a> {
        Reader(BufReader::new(stream))
    }

    /// `None` when the client has ended.
    pub fn next(&mut self) -> Option<Request> {
        let first = self.line()?;
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = HashMap::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let mut body = Vec::new();
        if headers
            .get("transfer-encoding")
            .is_some_and(|how| how == "chunked")
        {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).ok()?;
                let mut chunk = vec![0; size];
                self.0.read_exact(&mut chunk).ok()?;
                self.line()?;
                if size == 0 {
                    break;
                }
                body.extend(chunk);
            }
        } else if let Some(length) = headers.get("content-length") {
            body = vec![0; length.parse().ok()?];
            self.0.read_exact(&mut body).ok()?;
        }
        Some(Request {
            method,
            path,
            headers,
            body,
        })
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line).ok()? == 0 {
            return None;
        }
        Some(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// Until the other side closes.
pub fn wait_for_end(mut stream: &TcpStream) {
    let mut rest = [0; 512];
    while stream.read(&mut rest).is_ok_and(|count| count > 0) {}
}

/// One part of a form.
pub struct Part {
    pub name: String,
    pub file_name: Option<String>,
    pub kind: Option<String>,
    pub body: Vec<u8>,
}

/// `multipart/form-data` (RFC 7578), by the letter.
pub fn parts(request: &Request) -> Result<Vec<Part>, String> {
    let kind = request.header("content-type");
    let boundary = kind
        .strip_prefix("multipart/form-data")
        .and_then(|rest| rest.split("boundary=").nth(1))
        .ok_or("content-type is no multipart/form-data with a boundary")?;
    let boundary = boundary.trim_matches('"');
    if !(1..=70).contains(&boundary.len()) {
        return Err(String::from("a boundary has 1 to 70 characters"));
    }
    let open = format!("--{boundary}\r\n").into_bytes();
    let mut rest = request
        .body
        .strip_prefix(&open[..])
        .ok_or("the form does not begin with its boundary")?;
    let between = format!("\r\n--{boundary}").into_bytes();
    let mut parts = Vec::new();
    loop {
        let at = find(rest, &between).ok_or("a part has no end")?;
        parts.push(part(&rest[..at])?);
        rest = &rest[at + between.len()..];
        if let Some(after) = rest.strip_prefix(b"--") {
            return match after {
                b"" | b"\r\n" => Ok(parts),
                _ => Err(String::from("something follows the form's end")),
            };
        }
        rest = rest
            .strip_prefix(b"\r\n")
            .ok_or("a boundary's line does not end")?;
    }
}

fn part(bytes: &[u8]) -> Result<Part, String> {
    let at = find(bytes, b"\r\n\r\n").ok_or("a part has no head")?;
    let head = std::str::from_utf8(&bytes[..at]).map_err(|_| "a part's head is no text")?;
    let mut found = Part {
        name: String::new(),
        file_name: None,
        kind: None,
        body: bytes[at + 4..].to_vec(),
    };
    for line in head.split("\r\n") {
        let (name, value) = line
            .split_once(": ")
            .ok_or("a part's header is malformed")?;
        match name.to_ascii_lowercase().as_str() {
            "content-disposition" => {
                let fields = value.strip_prefix("form-data; ").ok_or("no form-data")?;
                for field in fields.split("; ") {
                    let (key, value) = field.split_once('=').ok_or("a field has no value")?;
                    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
                    let value = value.ok_or("a value has no quotes")?.to_owned();
                    match key {
                        "name" => found.name = value,
                        "filename" => found.file_name = Some(value),
                        other => return Err(format!("a form knows no {other}")),
                    }
                }
            }
            "content-type" => found.kind = Some(value.to_owned()),
            other => return Err(format!("a part knows no header {other}")),
        }
    }
    if found.name.is_empty() {
        return Err(String::from("a part has no name"));
    }
    Ok(found)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
