//! Files in answers: embedded assets and files on disk, with ETag and Range (RFC 9110 13, 14).
//!
//! Disk is never touched on the loop: opening, looking up and reading happen on one thread
//! named `files`, 64 kB at a time and only as fast as the client takes them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use flate2::Compression;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::{
    Body, HeaderMap, HeaderValue, HttpError, RequestHead, Response, StatusCode, compress, header,
};
use crate::limits;

/// A file that is part of the program; packed once when it is made.
pub struct Asset {
    content_type: &'static str,
    bytes: &'static [u8],
    packed: Option<Bytes>,
    etag: String,
}

/// A folder on disk whose files may be read by anybody who may call its route.
pub struct Folder {
    root: PathBuf,
}

/// A part of a file on disk as an answer's body.
pub struct FileBody {
    file: Arc<File>,
    offset: u64,
    remaining: u64,
    reading: Option<oneshot::Receiver<io::Result<Bytes>>>,
}

impl Asset {
    pub fn new(content_type: &'static str, bytes: &'static [u8]) -> Asset {
        let worth = compress::is_text(content_type) && bytes.len() >= limits::COMPRESS_BYTES_MIN;
        let digest = Sha256::digest(bytes);
        Asset {
            content_type,
            bytes,
            packed: worth
                .then(|| compress::pack(bytes, Compression::best()))
                .flatten(),
            etag: digest[..8]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        }
    }

    /// The asset, or what of it the client lacks.
    pub fn respond(&self, head: &RequestHead) -> Response {
        let packed = self
            .packed
            .as_ref()
            .filter(|_| !head.headers.contains_key(header::RANGE))
            .filter(|_| compress::accepts_gzip(&head.headers));
        let (bytes, etag) = match packed {
            Some(packed) => (packed.clone(), format!("\"{}-gz\"", self.etag)),
            None => (Bytes::from_static(self.bytes), format!("\"{}\"", self.etag)),
        };
        let length = bytes.len() as u64;
        let mut response = respond(&head.headers, self.content_type, &etag, length, |part| {
            Body::Bytes(bytes.slice(part.start as usize..part.end as usize))
        });
        if packed.is_some() && response.status == StatusCode::OK {
            response
                .headers
                .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if self.packed.is_some() {
            response
                .headers
                .insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        response
    }
}

impl Folder {
    pub fn new(root: impl Into<PathBuf>) -> Folder {
        Folder { root: root.into() }
    }

    /// The file at `rest` below the folder, `rest` being a decoded `{name...}` of the route.
    pub async fn respond(&self, head: &RequestHead, rest: &str) -> Result<Response, HttpError> {
        let relative = Path::new(rest);
        let plain = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if rest.is_empty() || !plain {
            return Err(missing());
        }
        let content_type = content_type_of(rest);
        let (root, path) = (self.root.clone(), self.root.join(relative));
        let opened = off_the_loop(move || {
            // Links inside the folder must not lead out of it.
            let real = path.canonicalize()?;
            if !real.starts_with(root.canonicalize()?) {
                return Err(io::ErrorKind::NotFound.into());
            }
            open(&real)
        })
        .await?;
        answer(head, content_type, opened)
    }
}

/// One file on disk, at a path that the room knows to be its own.
pub async fn file(
    head: &RequestHead,
    path: PathBuf,
    content_type: &'static str,
) -> Result<Response, HttpError> {
    let opened = off_the_loop(move || open(&path)).await?;
    answer(head, content_type, opened)
}

/// Bytes in memory that never change under the name `etag`.
pub fn bytes(head: &RequestHead, bytes: Bytes, content_type: &str, etag: &str) -> Response {
    let length = bytes.len() as u64;
    let etag = format!("\"{etag}\"");
    respond(&head.headers, content_type, &etag, length, |part| {
        Body::Bytes(bytes.slice(part.start as usize..part.end as usize))
    })
}

struct Opened {
    file: File,
    length: u64,
    etag: String,
}

fn open(path: &Path) -> io::Result<Opened> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let modified = about
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Opened {
        file,
        length: about.len(),
        etag: format!("\"{:x}-{:x}\"", modified.as_nanos(), about.len()),
    })
}

fn answer(
    head: &RequestHead,
    content_type: &'static str,
    opened: io::Result<Opened>,
) -> Result<Response, HttpError> {
    let opened = opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => missing(),
        _ => {
            log::error!("event=file_not_read error={error}");
            HttpError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "INTERNAL_ERROR",
                "The file cannot be read; the log says why.",
            )
        }
    })?;
    let file = Arc::new(opened.file);
    Ok(respond(
        &head.headers,
        content_type,
        &opened.etag,
        opened.length,
        |part| {
            Body::File(FileBody {
                file,
                offset: part.start,
                remaining: part.end - part.start,
                reading: None,
            })
        },
    ))
}

fn missing() -> HttpError {
    HttpError::new(
        StatusCode::NOT_FOUND,
        "NOT_FOUND",
        "There is no such file; check the path.",
    )
}

/// 200, 206, 304 or 416 by the request's conditions.
fn respond(
    headers: &HeaderMap,
    content_type: &str,
    etag: &str,
    length: u64,
    body: impl FnOnce(std::ops::Range<u64>) -> Body,
) -> Response {
    let mut response = Response::empty(StatusCode::OK);
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers.insert(name, value);
        }
    };
    set(header::ETAG, etag.to_owned());
    set(header::ACCEPT_RANGES, String::from("bytes"));
    set(header::CACHE_CONTROL, String::from("no-cache"));
    if has_current(headers, etag) {
        response.status = StatusCode::NOT_MODIFIED;
        return response;
    }
    match wanted_part(headers, etag, length) {
        Part::Whole => {
            set(header::CONTENT_TYPE, content_type.to_owned());
            set(header::CONTENT_LENGTH, length.to_string());
            response.body = body(0..length);
        }
        Part::Range(part) => {
            set(header::CONTENT_TYPE, content_type.to_owned());
            let last = part.end - 1;
            set(
                header::CONTENT_RANGE,
                format!("bytes {}-{last}/{length}", part.start),
            );
            set(header::CONTENT_LENGTH, (part.end - part.start).to_string());
            response.status = StatusCode::PARTIAL_CONTENT;
            response.body = body(part);
        }
        Part::Beyond => {
            set(header::CONTENT_RANGE, format!("bytes */{length}"));
            response.status = StatusCode::RANGE_NOT_SATISFIABLE;
        }
    }
    response
}

/// `If-None-Match` names what we would send (weak comparison).
fn has_current(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim())
        .any(|known| known == "*" || known.trim_start_matches("W/") == etag)
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Range(std::ops::Range<u64>),
    Beyond,
}

/// A single byte range is honoured; several, other units and nonsense get the whole.
fn wanted_part(headers: &HeaderMap, etag: &str, length: u64) -> Part {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(range) = text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")) else {
        return Part::Whole;
    };
    // A date in If-Range would need the file's date to the second; the whole is always right.
    if text(header::IF_RANGE).is_some_and(|known| known != etag) {
        return Part::Whole;
    }
    let Some((first, last)) = range.split_once('-') else {
        return Part::Whole;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return Part::Whole;
    }
    // A number too large for 64 bits lies beyond every file.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    match (first, last) {
        ("", "") => Part::Whole,
        ("", count) => match number(count).min(length) {
            0 => Part::Beyond,
            count => Part::Range(length - count..length),
        },
        (first, last) => {
            let first = number(first);
            let last = match last {
                "" => u64::MAX,
                last => number(last),
            };
            if last < first {
                return Part::Whole;
            }
            if first >= length {
                return Part::Beyond;
            }
            Part::Range(first..last.saturating_add(1).min(length))
        }
    }
}

/// By file name; what is unknown is bytes, and `nosniff` keeps it so.
pub fn content_type_of(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "txt" | "md" => "text/plain; charset=utf-8",
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "webm" => "audio/webm",
        "m4a" | "mp4" => "audio/mp4",
        "aac" => "audio/aac",
        "flac" => "audio/flac",
        _ => "application/octet-stream",
    }
}

const CHUNK_BYTES: u64 = 64 * 1024;

impl FileBody {
    pub(super) fn remaining(&self) -> u64 {
        self.remaining
    }

    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let reading = match &mut self.reading {
            Some(reading) => reading,
            None => match self.read_on() {
                Ok(reading) => self.reading.insert(reading),
                Err(error) => return Poll::Ready(Some(Err(error))),
            },
        };
        let Poll::Ready(read) = Pin::new(reading).poll(cx) else {
            return Poll::Pending;
        };
        self.reading = None;
        let chunk = read.unwrap_or_else(|_| Err(io::Error::other("the file thread has ended")));
        if let Ok(chunk) = &chunk {
            self.offset += chunk.len() as u64;
            self.remaining -= chunk.len() as u64;
        }
        Poll::Ready(Some(chunk))
    }

    fn read_on(&self) -> io::Result<oneshot::Receiver<io::Result<Bytes>>> {
        let (file, offset) = (self.file.clone(), self.offset);
        let length = self.remaining.min(CHUNK_BYTES) as usize;
        submit(move || {
            let mut chunk = vec![0; length];
            // A file that became shorter breaks the answer off: its length has been promised.
            file.read_exact_at(&mut chunk, offset)?;
            Ok(chunk.into())
        })
        .map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Runs `work` on the thread for files; 503 when too much waits there.
async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HttpError> {
    let busy = || HttpError::busy("Too many files are being read; try again in a second.", 1);
    submit(work).map_err(|()| busy())?.await.map_err(|_| busy())
}

fn submit<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, ()> {
    let (told, hear) = oneshot::channel();
    let job: Job = Box::new(move || {
        // Nobody listens when the client has gone; then the read was for nothing.
        let _ = told.send(work());
    });
    let jobs = file_thread().ok_or(())?;
    jobs.try_send(job).map_err(|_| ())?;
    Ok(hear)
}

/// The thread is started by its first job and shared by all.
fn file_thread() -> Option<&'static SyncSender<Job>> {
    static JOBS: OnceLock<Option<SyncSender<Job>>> = OnceLock::new();
    JOBS.get_or_init(|| {
        let (jobs, todo) = sync_channel::<Job>(limits::FILE_JOBS_MAX);
        std::thread::Builder::new()
            .name(String::from("files"))
            .stack_size(limits::THREAD_STACK_BYTES)
            .spawn(move || todo.into_iter().for_each(|job| job()))
            .map_err(|error| log::error!("event=thread_not_started name=files error={error}"))
            .ok()
            .map(|_| jobs)
    })
    .as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (range, expected) in [
            ("bytes=0-3", Part::Range(0..4)),
            ("bytes=4-", Part::Range(4..10)),
            ("bytes=-3", Part::Range(7..10)),
            ("bytes=-30", Part::Range(0..10)),
            ("bytes=9-900", Part::Range(9..10)),
            ("bytes=0-18446744073709551615", Part::Range(0..10)),
            ("bytes=0-99999999999999999999999", Part::Range(0..10)),
            ("bytes=10-", Part::Beyond),
            ("bytes=99999999999999999999999-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=3-1", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("items=0-1", Part::Whole),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(range));
            assert_eq!(wanted_part(&headers, "\"a\"", 10), expected, "{range}");
            headers.insert(header::IF_RANGE, HeaderValue::from_static("\"b\""));
            assert_eq!(wanted_part(&headers, "\"a\"", 10), Part::Whole, "{range}");
        }
    }

    #[test]
    fn a_known_etag_is_recognized_in_any_list() {
        for (value, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"x\", \"a\"", true),
            ("*", true),
            ("\"ab\"", false),
            ("a", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            assert_eq!(has_current(&headers, "\"a\""), expected, "{value}");
        }
    }
}
