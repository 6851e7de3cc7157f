//! Log lines: `log` in front, env_logger for filter and form, a thread of its own behind.
//!
//! The loop hands a finished line to a bounded queue and goes on; a slow terminal or card costs
//! lines, which are counted and told, never time. A line written while a request is worked for
//! carries its id. Never: a secret; what people say is logged at debug only, by those who log it.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use env_logger::{Builder, Target, WriteStyle};
use log::{LevelFilter, Record};

use crate::clock::{Clock, UnixMillis};
use crate::limits;
use crate::scope;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    pub level: LevelFilter,
    /// JSON lines instead of text.
    pub json: bool,
    /// Rotated by itself; `None`: standard error.
    pub file: Option<PathBuf>,
}

enum Message {
    Line(Vec<u8>),
    /// Look at what is wanted anew.
    Wake,
    Flush(SyncSender<()>),
}

struct Front {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    json: AtomicBool,
}

/// What reaches the writer even when its queue is full.
#[derive(Default)]
struct Shared {
    dropped: AtomicU64,
    wanted: Mutex<Option<LogOptions>>,
}

static FRONT: OnceLock<Front> = OnceLock::new();

/// Starts the thread and becomes the process's logger; a second call only changes the options.
pub fn start(options: LogOptions) -> io::Result<()> {
    if FRONT.get().is_some() {
        reload(options);
        return Ok(());
    }
    let sink = Sink::open(&options)?;
    let (queue, inbox) = sync_channel(limits::LOG_QUEUE_LINES_MAX);
    let shared = Arc::new(Shared::default());
    let behind = shared.clone();
    std::thread::Builder::new()
        .name("log".into())
        .stack_size(limits::THREAD_STACK_BYTES)
        .spawn(move || write_lines(sink, &inbox, &behind))?;
    let front = FRONT.get_or_init(|| Front {
        queue,
        shared,
        json: AtomicBool::new(options.json),
    });
    let clock = Clock::system();
    Builder::new()
        // Other crates' chatter is for their own developers.
        .filter_level(LevelFilter::Warn)
        .filter_module("magpie", LevelFilter::Debug)
        .write_style(WriteStyle::Never)
        .format(move |out, record| {
            let json = front.json.load(Ordering::Relaxed);
            let id = scope::current();
            out.write_all(line(json, clock.wall(), id.as_deref(), record).as_bytes())
        })
        .target(Target::Pipe(Box::new(Pipe(front))))
        .init();
    log::set_max_level(options.level);
    Ok(())
}

/// Takes other options and opens the file anew, as after a rotation from outside.
pub fn reload(options: LogOptions) {
    log::set_max_level(options.level);
    if let Some(front) = FRONT.get() {
        front.json.store(options.json, Ordering::Relaxed);
        *lock(&front.shared.wanted) = Some(options);
        // With a full queue the writer looks after its next line, and nobody waits for it.
        let _ = front.queue.try_send(Message::Wake);
    }
}

/// Waits at most [`limits::LOG_FLUSH_MAX`] until what was logged is written; called before the
/// process ends. Nobody may be reading the other end, so the queue itself is not waited for longer.
pub fn flush() {
    let Some(front) = FRONT.get() else { return };
    let deadline = Instant::now() + limits::LOG_FLUSH_MAX;
    let (done, written) = sync_channel(1);
    let mut asked = Message::Flush(done);
    while let Err(TrySendError::Full(back)) = front.queue.try_send(asked) {
        if Instant::now() >= deadline {
            return;
        }
        asked = back;
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
}

/// A panic between lock and unlock leaves a whole value behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// env_logger writes each finished line into this.
struct Pipe(&'static Front);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.queue.try_send(Message::Line(bytes.to_vec())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.0.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(mut sink: Sink, inbox: &Receiver<Message>, shared: &Shared) {
    while let Ok(message) = inbox.recv() {
        match message {
            Message::Line(line) => sink.write(&line),
            Message::Wake => {}
            Message::Flush(done) => {
                let _ = done.send(());
            }
        }
        if let Some(options) = lock(&shared.wanted).take() {
            match Sink::open(&options) {
                Ok(opened) => sink = opened,
                Err(error) => sink.write(
                    format!("ERROR event=log_file_not_opened error=\"{error}\"\n").as_bytes(),
                ),
            }
        }
        let lost = shared.dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            sink.write(format!("WARN event=log_lines_dropped count={lost}\n").as_bytes());
        }
    }
}

enum Sink {
    Terminal,
    File {
        path: PathBuf,
        file: File,
        bytes: u64,
    },
}

impl Sink {
    fn open(options: &LogOptions) -> io::Result<Sink> {
        let Some(path) = &options.file else {
            return Ok(Sink::Terminal);
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = open_log(path)?;
        let bytes = file.metadata()?.len();
        Ok(Sink::File {
            path: path.clone(),
            file,
            bytes,
        })
    }

    /// What cannot be written is lost: there is nobody left to tell.
    fn write(&mut self, line: &[u8]) {
        match self {
            Sink::Terminal => {
                let _ = io::stderr().write_all(line);
            }
            Sink::File { path, file, bytes } => {
                if *bytes + line.len() as u64 > limits::LOG_FILE_BYTES_MAX {
                    rotate(path);
                    if let Ok(fresh) = open_log(path) {
                        *file = fresh;
                        *bytes = 0;
                    }
                }
                if file.write_all(line).is_ok() {
                    *bytes += line.len() as u64;
                }
            }
        }
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// `x.log` becomes `x.log.1`, that one `x.log.2`, and so on.
fn rotate(path: &Path) {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..limits::LOG_FILES_KEPT).rev() {
        let _ = fs::rename(numbered(number), numbered(number + 1));
    }
    let _ = fs::rename(path, numbered(1));
}

/// One line, its end included.
fn line(json: bool, now: UnixMillis, id: Option<&str>, record: &Record<'_>) -> String {
    let mut message = record.args().to_string();
    if message.len() > limits::LOG_LINE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(limits::LOG_LINE_BYTES_MAX));
        message.push('…');
    }
    let time = now.rfc3339();
    if json {
        let mut fields = serde_json::Map::new();
        fields.insert("time".into(), time.into());
        fields.insert(
            "level".into(),
            record.level().as_str().to_lowercase().into(),
        );
        if let Some(id) = id {
            fields.insert("request_id".into(), id.into());
        }
        for (key, value) in pairs(&message) {
            fields.entry(key).or_insert_with(|| value.into());
        }
        fields.insert("msg".into(), message.into());
        return format!("{}\n", serde_json::Value::Object(fields));
    }
    let mut text = format!("{time} {:5} ", record.level());
    if let Some(id) = id {
        let _ = write!(text, "request_id={id} ");
    }
    for c in message.chars() {
        // A line break or an escape sequence in a message must not look like a line of ours.
        match c {
            c if c.is_control() => text.extend(c.escape_default()),
            c => text.push(c),
        }
    }
    text.push('\n');
    text
}

/// The `key=value` and `key="some value"` words of a message.
fn pairs(message: &str) -> Vec<(String, String)> {
    const PAIRS_MAX: usize = 32;
    let mut found = Vec::new();
    let mut rest = message;
    while let Some(at) = rest.find('=') {
        let key = rest[..at].rsplit(char::is_whitespace).next().unwrap_or("");
        let after = &rest[at + 1..];
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                after.split_at(end)
            }
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !key.is_empty() && key.chars().all(is_name) && found.len() < PAIRS_MAX {
            found.push((key.to_owned(), value.to_owned()));
        }
        rest = left;
    }
    found
}

/// `debug`, `info`, `warn` or `error`.
pub fn level(word: &str) -> LevelFilter {
    word.parse().unwrap_or(LevelFilter::Info)
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    fn written(json: bool, message: &str) -> String {
        let args = format_args!("{message}").to_string();
        line(
            json,
            UnixMillis(0),
            Some("abc"),
            &Record::builder()
                .level(Level::Warn)
                .args(format_args!("{args}"))
                .build(),
        )
    }

    #[test]
    fn a_message_cannot_forge_a_line_of_its_own() {
        let text = written(false, "event=x name=\"a\n2026 ERROR forged\u{1b}[2J\"");
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert!(text.contains("request_id=abc"), "{text}");
        let json = written(true, "event=x name=\"a\nb\"");
        assert_eq!(json.matches('\n').count(), 1, "{json:?}");
    }

    #[test]
    fn the_words_of_a_message_are_fields_of_the_json_line() {
        let json = written(true, "event=swept count=3 why=\"too slow\" level=fake =x");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["event"], "swept");
        assert_eq!(value["count"], "3");
        assert_eq!(value["why"], "too slow");
        assert_eq!(
            value["level"], "warn",
            "a message must not overwrite a field"
        );
        assert_eq!(value["request_id"], "abc");
    }

    #[test]
    fn rotated_files_keep_their_order() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("x.log");
        for n in 0..limits::LOG_FILES_KEPT + 3 {
            fs::write(&path, n.to_string()).unwrap();
            rotate(&path);
        }
        let newest = fs::read_to_string(folder.path().join("x.log.1")).unwrap();
        assert_eq!(newest, (limits::LOG_FILES_KEPT + 2).to_string());
        let kept = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(kept, limits::LOG_FILES_KEPT as usize);
    }
}
