//! Starts the driver with the recorder preloaded, and cards of its own for it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::driver::{ACKS, Orders};
use super::preload::recorder_library;
use crate::machine;

pub const ORDERS: &str = "MAGPIE_FAULT_ORDERS";
pub const SMALL_CARD: &str = "MAGPIE_FAULT_CARD";

/// From `FAULT_SEED`, else the clock.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match std::env::var("FAULT_SEED") {
        Ok(text) => text.parse().expect("FAULT_SEED must be a number"),
        Err(_) => std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    })
}

pub struct Rig {
    folder: TempDir,
    outside: TempDir,
}

/// The driver's last line.
#[derive(Debug)]
pub struct Done(HashMap<String, String>);

impl Done {
    pub fn number(&self, key: &str) -> usize {
        self.0[key].parse().unwrap()
    }
}

/// A driver that runs; killed when dropped.
pub struct Process(Child);

impl Process {
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Rig {
    pub fn new() -> Rig {
        Rig {
            folder: TempDir::new().unwrap(),
            outside: TempDir::new().unwrap(),
        }
    }

    /// The card: everything in it is recorded.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub fn log(&self) -> PathBuf {
        self.outside.path().join("log")
    }

    pub fn acks(&self) -> String {
        fs::read_to_string(self.folder().join(ACKS)).unwrap_or_default()
    }

    pub fn run(&self, orders: &Orders) -> Done {
        self.run_with(orders, &[])
    }

    /// Runs the driver to its end under the recorder.
    pub fn run_with(&self, orders: &Orders, recorder: &[(&str, &str)]) -> Done {
        let output = self
            .command(orders)
            .env("LD_PRELOAD", recorder_library())
            .env("RECORDER_DIR", self.folder())
            .env("RECORDER_LOG", self.log())
            .envs(recorder.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text
            .lines()
            .find_map(|line| line.split_once("DRIVER "))
            .unwrap_or_else(|| panic!("the driver died: {output:?}"))
            .1;
        let words = line.split(' ').filter_map(|word| word.split_once('='));
        Done(
            words
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
        )
    }

    /// Starts the driver without the recorder.
    pub fn start(&self, orders: &Orders, environment: &[(&str, &str)]) -> Process {
        let child = self
            .command(orders)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Process(child)
    }

    pub fn wait_for_acks_beyond(&self, bytes: usize) {
        let start = Instant::now();
        while self.acks().len() <= bytes {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "no acknowledgement came"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn command(&self, orders: &Orders) -> Command {
        let mut command = this_binary("driver_process");
        command.env(ORDERS, orders.to_words());
        command
    }
}

/// This test binary again, to run one of its ignored functions.
pub fn this_binary(function: &str) -> Command {
    let mut command = machine::this_program();
    command.args([
        "--exact",
        function,
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    command.env_remove("RUST_BACKTRACE");
    command
}

/// Runs a function of this binary on a tmpfs of 3 MB that only it sees. Needs to be root, as CI
/// and a container are; elsewhere a user namespace serves.
pub fn on_small_card(function: &str) -> String {
    let card = TempDir::new().unwrap();
    let me = this_binary(function);
    // SAFETY: asks for a number and touches no memory.
    let namespaces: &[&str] = match unsafe { libc::geteuid() } {
        0 => &["--mount"],
        _ => &["--mount", "--map-root-user", "--user"],
    };
    let output = Command::new("unshare")
        .args(namespaces)
        .args([
            "sh",
            "-c",
            r#"mount -t tmpfs -o size=3m magpie-test "$0" && exec "$@""#,
        ])
        .arg(card.path())
        .arg(me.get_program())
        .args(me.get_args())
        .env(SMALL_CARD, card.path())
        .output()
        .expect("unshare of util-linux is needed");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.lines()
        .find_map(|line| line.split_once("SMALLCARD "))
        .unwrap_or_else(|| panic!("nothing ran: {text}"))
        .1
        .to_string()
}

pub fn remount(folder: &Path, how: &str) {
    let status = Command::new("mount")
        .args(["-o", &format!("remount,{how}")])
        .arg(folder)
        .status()
        .unwrap();
    assert!(status.success());
}
