//! Runs a program of this machine as a speech engine, without a shell.
//!
//! A template is split into words once. The program gets a process group of its own, less
//! priority, no secret of ours in its environment, and a private folder that is removed
//! afterwards. When the time is over, its output too long, or the call dropped, the whole group
//! is killed. Nothing here blocks the loop.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::EngineError;
use crate::limits::{COMMAND_OUTPUT_BYTES_MAX, COMMAND_STDERR_BYTES_MAX};

/// What may stand in braces in a template.
pub const PLACEHOLDERS: [&str; 6] = ["wav", "text_file", "out", "language", "voice", "model"];

/// Niceness of engines: they may use what is free, and the loop goes first.
const NICENESS: libc::c_int = 5;

/// A command line in words, with placeholders.
///
/// Words are split at white space. `'...'` is taken as it stands, in `"..."` and outside quotes a
/// backslash takes the next character as it stands. Nothing else is special: no variables, no
/// pipes, no globs. `{wav}`, `{text_file}`, `{out}`, `{language}`, `{voice}` and `{model}` are
/// filled in inside a word and never split it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<String>);

impl Template {
    pub fn parse(text: &str) -> Result<Template, String> {
        let words = split(text)?;
        if words.first().is_none_or(|program| program.is_empty()) {
            return Err(String::from(
                "the command is empty; give a program and its arguments",
            ));
        }
        for word in &words {
            if let Some(name) = unknown_placeholder(word) {
                return Err(format!(
                    "{{{name}}} is not known in a command; known are {{{}}}",
                    PLACEHOLDERS.join("}, {")
                ));
            }
        }
        Ok(Template(words))
    }

    pub fn program(&self) -> &str {
        &self.0[0]
    }

    /// Whether `{name}` occurs.
    pub fn uses(&self, name: &str) -> bool {
        let braced = format!("{{{name}}}");
        self.0.iter().any(|word| word.contains(&braced))
    }

    /// The argument vector; a placeholder without a value becomes empty.
    pub fn fill(&self, values: &[(&str, &str)]) -> Vec<String> {
        self.0.iter().map(|word| fill_word(word, values)).collect()
    }
}

/// Replaces in one pass, so that a value that looks like a placeholder stays what it is.
fn fill_word(word: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        let inside = &rest[open + 1..];
        let name = PLACEHOLDERS.iter().find(|name| {
            inside
                .strip_prefix(**name)
                .is_some_and(|tail| tail.starts_with('}'))
        });
        match name {
            Some(name) => {
                let value = values.iter().find(|(key, _)| key == name);
                filled.push_str(value.map_or("", |(_, value)| value));
                rest = &inside[name.len() + 1..];
            }
            None => {
                filled.push('{');
                rest = inside;
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = chars.next().ok_or("the command ends in a lone backslash")?;
                word.get_or_insert_default().push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, '\0') => return Err(String::from("the command holds a NUL byte")),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(format!("a {open} in the command is never closed"));
    }
    words.extend(word);
    Ok(words)
}

fn unknown_placeholder(word: &str) -> Option<&str> {
    let mut rest = word;
    while let Some(open) = rest.find('{') {
        rest = &rest[open + 1..];
        let close = rest.find('}')?;
        let name = &rest[..close];
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if is_name && !PLACEHOLDERS.contains(&name) {
            return Some(name);
        }
    }
    None
}

/// Runs `argv` with `input` on stdin and gives its stdout.
pub async fn run(argv: &[String], input: &[u8], limit: Duration) -> Result<Vec<u8>, EngineError> {
    let ended = run_to_end(argv, input, limit).await?;
    if ended.status.success() {
        return Ok(ended.stdout);
    }
    Err(EngineError::Failed(format!(
        "{} ended with {}{}",
        argv[0],
        ended.status,
        last_line(&ended.stderr)
    )))
}

pub struct Ended {
    pub stdout: Vec<u8>,
    /// Its last [`COMMAND_STDERR_BYTES_MAX`] bytes.
    pub stderr: Vec<u8>,
    pub status: ExitStatus,
}

/// As [`run`], whatever the exit status.
pub async fn run_to_end(
    argv: &[String],
    input: &[u8],
    limit: Duration,
) -> Result<Ended, EngineError> {
    let mut running = Running::spawn(argv)?;
    let work = async {
        let (stdout, stderr) = running.talk(input).await?;
        // Waiting comes after both pipes have ended, so the group can be killed until here.
        let status =
            running.child.wait().await.map_err(|error| {
                EngineError::Failed(format!("waiting for {}: {error}", argv[0]))
            })?;
        Ok(Ended {
            stdout,
            stderr,
            status,
        })
    };
    let ended = tokio::time::timeout(limit, work)
        .await
        .map_err(|_| EngineError::Timeout(limit))??;
    running.ended = true;
    Ok(ended)
}

/// A child and its process group; killed when dropped before it was waited for.
struct Running {
    child: Child,
    group: libc::pid_t,
    ended: bool,
}

impl Running {
    fn spawn(argv: &[String]) -> Result<Running, EngineError> {
        let mut command = std::process::Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            if is_secret(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        let mut command = tokio::process::Command::from(command);
        command.process_group(0);
        let child = command.spawn().map_err(|error| {
            EngineError::Failed(format!(
                "{} cannot be started: {error}; is it installed and executable?",
                argv[0]
            ))
        })?;
        let group = child.id().map_or(0, |id| id as libc::pid_t);
        if group > 0 {
            // SAFETY: plain system call on numbers; a failure only means no lower priority.
            unsafe { libc::setpriority(libc::PRIO_PGRP, group as libc::id_t, NICENESS) };
        }
        Ok(Running {
            child,
            group,
            ended: false,
        })
    }

    /// Feeds stdin and reads both outputs to their ends.
    async fn talk(&mut self, input: &[u8]) -> Result<(Vec<u8>, Vec<u8>), EngineError> {
        let stdin = self.child.stdin.take();
        let stdout = self.child.stdout.take();
        let stderr = self.child.stderr.take();
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input closes the pipe early; its output counts.
                let _ = stdin.write_all(input).await;
            }
        };
        let (_, output, errors) = tokio::join!(
            feed,
            read_limited(stdout, COMMAND_OUTPUT_BYTES_MAX),
            read_tail(stderr, COMMAND_STDERR_BYTES_MAX)
        );
        Ok((output?, errors))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended && self.group > 0 {
            // SAFETY: the child has not been waited for, so its group's number is still its own.
            unsafe { libc::kill(-self.group, libc::SIGKILL) };
        }
    }
}

/// A program that is kept for long: its group is killed when dropped.
pub struct Kept(Running);

impl Kept {
    pub fn spawn(argv: &[String]) -> Result<Kept, EngineError> {
        Running::spawn(argv).map(Kept)
    }

    /// Its input and output, once; what it complains of is not read.
    pub fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        self.0.child.stderr.take();
        Some((self.0.child.stdin.take()?, self.0.child.stdout.take()?))
    }
}

async fn read_limited(
    pipe: Option<impl AsyncRead + Unpin>,
    bytes_max: usize,
) -> Result<Vec<u8>, EngineError> {
    let mut output = Vec::new();
    let Some(pipe) = pipe else {
        return Ok(output);
    };
    pipe.take(bytes_max as u64 + 1)
        .read_to_end(&mut output)
        .await
        .map_err(|error| EngineError::Failed(format!("reading the speech engine: {error}")))?;
    if output.len() > bytes_max {
        return Err(EngineError::Failed(format!(
            "the speech engine wrote more than {} MB",
            bytes_max / (1024 * 1024)
        )));
    }
    Ok(output)
}

/// Reads to the end and keeps the last `bytes_max` bytes.
async fn read_tail(pipe: Option<impl AsyncRead + Unpin>, bytes_max: usize) -> Vec<u8> {
    let mut tail = Vec::new();
    let Some(mut pipe) = pipe else {
        return tail;
    };
    let mut chunk = [0; 1024];
    while let Ok(count) = pipe.read(&mut chunk).await
        && count > 0
    {
        tail.extend_from_slice(&chunk[..count]);
        if tail.len() > bytes_max {
            tail.drain(..tail.len() - bytes_max);
        }
    }
    tail
}

fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!(": {}", line.trim().chars().take(200).collect::<String>()),
        None => String::new(),
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["KEY", "TOKEN", "SECRET", "PASSWORD"]
        .iter()
        .any(|word| name.contains(word))
}

/// Where `program` lies: as given when it holds a slash, else in `PATH`.
pub fn find_program(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        let path = PathBuf::from(program);
        return is_executable(&path).then_some(path);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A private folder for one call, removed when dropped.
pub struct Scratch(PathBuf);

const SCRATCH_PREFIX: &str = "speech-";

impl Scratch {
    pub fn new(data_dir: &Path) -> Result<Scratch, EngineError> {
        let failed = |error: io::Error| {
            EngineError::Failed(format!("no temporary folder for speech: {error}"))
        };
        let parent = data_dir.join("tmp");
        private_dir()
            .recursive(true)
            .create(&parent)
            .map_err(failed)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| failed(io::Error::other(error.to_string())))?;
        let name = format!("{SCRATCH_PREFIX}{:016x}", u64::from_ne_bytes(random));
        let path = parent.join(name);
        private_dir().create(&path).map_err(failed)?;
        Ok(Scratch(path))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file only we can read, in pieces between which the loop goes on.
    pub async fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, EngineError> {
        use std::io::Write as _;
        let path = self.path(name);
        let failed = |error: io::Error| {
            EngineError::Failed(format!("writing sound for the speech engine: {error}"))
        };
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        for piece in bytes.chunks(128 * 1024) {
            file.write_all(piece).map_err(failed)?;
            tokio::task::yield_now().await;
        }
        Ok(path)
    }

    /// Reads a file the engine wrote.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, EngineError> {
        let path = self.path(name);
        let size = fs::metadata(&path).map_or(0, |meta| meta.len());
        if size > COMMAND_OUTPUT_BYTES_MAX as u64 {
            return Err(EngineError::Failed(format!(
                "the speech engine wrote more than {} MB",
                COMMAND_OUTPUT_BYTES_MAX / (1024 * 1024)
            )));
        }
        fs::read(&path).map_err(|error| {
            EngineError::Failed(format!("the speech engine left no sound: {error}"))
        })
    }

    /// Removes what a killed process left behind.
    pub fn clear_stale(data_dir: &Path) {
        let Ok(entries) = fs::read_dir(data_dir.join("tmp")) else {
            return;
        };
        for entry in entries.flatten() {
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(SCRATCH_PREFIX)
            {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            log::warn!(
                "speech_scratch_left path={} error={error}",
                self.0.display()
            );
        }
    }
}

fn private_dir() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700);
    builder
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
