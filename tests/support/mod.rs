//! Drives the real program: starts it in a fresh folder, waits for its ready line, speaks HTTP
//! over plain sockets, and ends it kindly or not.

#![allow(dead_code)] // Each test target uses its own part of this.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

pub mod machine;

const READY_MAX: Duration = Duration::from_secs(30);
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A folder of its own for one box, and the settings it is started with.
pub struct Home {
    pub folder: tempfile::TempDir,
    settings: Vec<(String, String)>,
}

/// A running `magpie serve`.
pub struct Running<'a> {
    home: &'a Home,
    child: Child,
    /// Its one line of standard output.
    pub ready: String,
}

/// Status, head and body of an HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Home {
    /// Free ports, no sound card, no speech engine search.
    pub fn new() -> Home {
        let folder = tempfile::tempdir().expect("a folder");
        let quiet = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("HTTPS_PORT", "off"),
            ("OPS_LISTEN", "off"),
            ("AUDIO_INPUT", "off"),
            ("AUDIO_OUTPUT", "off"),
            ("RATE_LIMIT", "0"),
        ];
        let settings = quiet.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Home {
            folder,
            settings: settings.to_vec(),
        }
    }

    pub fn set(mut self, name: &str, value: &str) -> Home {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The program with nothing of this test's environment but `PATH`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = machine::program(env!("CARGO_BIN_EXE_magpie"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program runs")
    }

    pub fn serve(&self) -> Running<'_> {
        self.serve_logging_to(File::create(self.path("stderr")).expect("a file").into())
    }

    pub fn serve_logging_to(&self, errors: Stdio) -> Running<'_> {
        let command = self.command(&["serve"]);
        self.wait_until_ready(command, errors)
    }

    /// By a command of one's own that ends up as `magpie serve`.
    pub fn serve_by(&self, command: Command) -> Running<'_> {
        let errors = File::create(self.path("stderr")).expect("a file");
        self.wait_until_ready(command, errors.into())
    }

    /// With a tmpfs of these options at `at`, which only the program sees.
    pub fn serve_on_small_card(&self, options: &str, at: &Path) -> Running<'_> {
        let plain = self.command(&[]);
        let mut command = Command::new("unshare");
        // SAFETY: asks for a number and touches no memory.
        match unsafe { libc::geteuid() } {
            0 => command.arg("--mount"),
            _ => command.args(["--mount", "--map-root-user", "--user"]),
        };
        command
            .args([
                "sh",
                "-c",
                r#"mount -t tmpfs -o "$0" card "$1" && shift && exec "$@" serve"#,
            ])
            .arg(options)
            .arg(at)
            .arg(plain.get_program())
            .args(plain.get_args())
            .current_dir(self.folder.path())
            .env_clear()
            .envs(
                plain
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null());
        let errors = File::create(self.path("stderr")).expect("a file");
        self.wait_until_ready(command, errors.into())
    }

    fn wait_until_ready(&self, mut command: Command, errors: Stdio) -> Running<'_> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("the program starts");
        let out = child.stdout.take().expect("a pipe");
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(out).read_line(&mut line);
            let _ = tell.send(line);
        });
        let ready = told.recv_timeout(READY_MAX).unwrap_or_default();
        if !ready.starts_with("magpie ready ") {
            let _ = child.kill();
            let _ = child.wait();
            panic!("no ready line but {ready:?}; log:\n{}", self.read("stderr"));
        }
        Running {
            home: self,
            child,
            ready: ready.trim_end().to_owned(),
        }
    }
}

impl Running<'_> {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        self.home.read("stderr")
    }

    /// Waits for `text` in the log, bounded.
    pub fn wait_for_log(&self, text: &str) {
        let seen = eventually(|| self.log().contains(text));
        assert!(seen, "no {text:?} in the log:\n{}", self.log());
    }

    /// `http`, `https` or `ops` of the ready line.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        let word = self.ready.split(' ').find_map(|word| {
            let (key, value) = word.split_once('=')?;
            (key == name).then_some(value)
        });
        word.map(|address| address.parse().expect("an address"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.exchange("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.exchange("POST", path, Some(body))
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let address = self.address("http").expect("plain HTTP is on");
        exchange(address, method, path, body).expect("an answer")
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: takes two integers; the child is not reaped before `self` goes.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }

    /// SIGTERM, then the exit status.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait_at_most(Duration::from_secs(30))
            .unwrap_or_else(|| panic!("it did not end; log:\n{}", self.log()))
    }

    pub fn wait_at_most(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// As a power cut would, for the process.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn resident_bytes(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.unwrap_or_default() * 1024
    }

    pub fn descriptors(&self) -> usize {
        self.entries("fd")
    }

    pub fn threads(&self) -> usize {
        self.entries("task")
    }

    fn entries(&self, folder: &str) -> usize {
        let path = format!("/proc/{}/{folder}", self.pid());
        fs::read_dir(Path::new(&path)).map_or(0, Iterator::count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// One request on a connection of its own.
pub fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(|| std::io::Error::other("no status line"))?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// Looks again and again for at most ten seconds.
pub fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
