//! A machine made of files: a card with two slots, the firmware that picks one, and a household's
//! data. What the firmware finds in the boot partition is what runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use ed25519_dalek::{Signer, SigningKey};
use magpie::device::bundle::{Contents, Version, pack};
use magpie::store::{Connection, migrate};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Home, errors, out};

pub const DISK: &str = "4d616770";
const ROOT_NAME: &str = "root=PARTUUID=4d616770-05";
const BOOT_BYTES: usize = 300 * 1024;
const ROOT_BYTES: usize = 600 * 1024;
pub const BOOT_PLACE: u64 = 512 * 1024;
pub const ROOT_PLACE: u64 = 1024 * 1024;

pub struct Machine {
    pub home: Home,
    /// The firmware's flag for the next start alone.
    tryboot: bool,
}

pub fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// What a release holds; each number gives other bytes.
pub struct Release {
    pub version: Version,
    pub boards: Vec<&'static str>,
    pub boot: Vec<u8>,
    pub root: Vec<u8>,
}

impl Release {
    pub fn new(number: u32) -> Release {
        let bytes = |length: usize, salt: u32| -> Vec<u8> {
            let word = |at: u32| (at ^ salt).wrapping_mul(2_654_435_761).rotate_left(at % 13);
            (0..length as u32)
                .map(|at| (word(at) >> 16) as u8)
                .collect()
        };
        let mut boot = bytes(BOOT_BYTES, number);
        let line = format!("console=ttyAMA0 {ROOT_NAME} ro release={number} quiet");
        boot[200_000..200_000 + line.len()].copy_from_slice(line.as_bytes());
        Release {
            version: Version([0, number, 0]),
            boards: vec!["rpi-arm64", "qemu-virt"],
            boot,
            root: bytes(ROOT_BYTES, number + 1_000),
        }
    }

    pub fn slot_digit_at(&self) -> usize {
        let found = self
            .boot
            .windows(ROOT_NAME.len())
            .position(|at| at == ROOT_NAME.as_bytes());
        found.expect("the command line") + ROOT_NAME.len() - 1
    }

    pub fn bundle(&self) -> Vec<u8> {
        self.signed_by(&key())
    }

    pub fn signed_by(&self, key: &SigningKey) -> Vec<u8> {
        let contents = Contents {
            version: self.version,
            built: 1_790_000_000,
            boards: &self.boards,
            boot: &self.boot,
            root: &self.root,
            slot_digit_at: self.slot_digit_at() as u64,
        };
        pack(&contents, &|message| key.sign(message).to_bytes()).unwrap()
    }

    /// The boot partition's beginning as it belongs into a slot.
    pub fn boot_for(&self, digit: u8) -> Vec<u8> {
        let mut boot = self.boot.clone();
        boot[self.slot_digit_at()] = digit;
        boot
    }
}

impl Machine {
    /// Release 1 in slot A, which runs; nothing in slot B; data of a household.
    pub fn new() -> Machine {
        let home = Home::new().set("DATA_DIR", "data/magpie");
        let machine = Machine {
            home,
            tryboot: false,
        };
        for folder in [
            "proc",
            "dev/disk/by-partuuid",
            "boot/magpie",
            "etc/magpie",
            "usr/share/magpie/update-keys",
            "data/magpie",
        ] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        let public = base64(key().verifying_key().as_bytes());
        let write = |name: &str, text: &str| fs::write(machine.path(name), text).unwrap();
        write(
            "usr/share/magpie/update-keys/test.pub",
            &format!("# test\n{public}\n"),
        );
        write("etc/magpie/board", "rpi-arm64\n");
        write(
            "proc/mounts",
            "proc /proc proc rw 0 0\n/dev/mmcblk0p5 / squashfs ro 0 0\n",
        );
        write("dev/console", "");
        write("boot/magpie/autoboot.txt", &autoboot(2));
        let first = Release::new(1);
        for (number, bytes, content) in [
            (1, 4096, b"what people see".as_slice()),
            (2, BOOT_PLACE, &first.boot),
            (3, BOOT_PLACE, &[0xff; 4096]),
            (5, ROOT_PLACE, &first.root),
            (6, ROOT_PLACE, &[0xff; 4096]),
        ] {
            fs::write(machine.partition(number), content).unwrap();
            let file = fs::OpenOptions::new()
                .write(true)
                .open(machine.partition(number))
                .unwrap();
            file.set_len(bytes).unwrap();
        }
        machine.say("spare key");
        let mut machine = machine;
        machine.start();
        machine
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    pub fn partition(&self, number: u8) -> PathBuf {
        self.path(&format!("dev/disk/by-partuuid/{DISK}-{number:02}"))
    }

    /// What a power cut, a restart in order or the watchdog leads to: the firmware reads
    /// autoboot.txt and starts what the partition it names says. The number of the release, and
    /// the slot's letter.
    pub fn start(&mut self) -> (u32, char) {
        let autoboot = self.autoboot();
        let names: Vec<u8> = autoboot
            .lines()
            .filter_map(|line| line.strip_prefix("boot_partition=")?.parse().ok())
            .collect();
        let number = names[usize::from(std::mem::take(&mut self.tryboot))];
        let boot = fs::read(self.partition(number)).unwrap();
        let begin = b"console=ttyAMA0";
        let at = boot
            .windows(begin.len())
            .position(|at| at == begin)
            .expect("a boot partition");
        let line: Vec<u8> = boot[at..]
            .iter()
            .copied()
            .take_while(|byte| byte.is_ascii_graphic() || *byte == b' ')
            .collect();
        let line = String::from_utf8(line).unwrap();
        fs::write(self.path("proc/cmdline"), &line).unwrap();
        let slot = match line.contains(&format!("{DISK}-05")) {
            true => 'A',
            false => 'B',
        };
        assert_eq!(
            slot == 'A',
            number == 2,
            "boot partition {number} starts slot {slot}"
        );
        // What follows the number are bytes of no meaning.
        let digits = line.split("release=").nth(1).unwrap();
        let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
        (digits.parse().unwrap(), slot)
    }

    /// The restart that an update asked for on the console.
    pub fn restart_as_asked(&mut self) -> (u32, char) {
        let console = fs::read_to_string(self.path("dev/console")).unwrap();
        let last = console.lines().last().unwrap_or_default();
        self.tryboot = last.starts_with("magpie: rebooting to try slot ");
        assert!(
            self.tryboot || last.starts_with("magpie: rebooting to slot "),
            "{console}"
        );
        self.start()
    }

    pub fn autoboot(&self) -> String {
        fs::read_to_string(self.path("boot/magpie/autoboot.txt")).unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let root = self.home.folder.path().to_str().unwrap().to_owned();
        let mut all = vec!["update", "--root", &root];
        all.extend_from_slice(arguments);
        self.home.command(&all)
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn run_well(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert!(
            done.status.success(),
            "{arguments:?}: {}{}",
            out(&done),
            errors(&done)
        );
        out(&done)
    }

    /// The file of an update, outside the machine.
    pub fn offer(&self, bundle: &[u8]) -> Offer {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("magpie.update");
        fs::write(&path, bundle).unwrap();
        Offer {
            _folder: folder,
            path,
        }
    }

    /// Everything that an update must leave alone.
    pub fn untouchable(&self, running: char) -> Vec<Vec<u8>> {
        let own: [u8; 2] = if running == 'A' { [2, 5] } else { [3, 6] };
        let mut paths = vec![self.partition(1), self.path("boot/magpie/autoboot.txt")];
        paths.extend(own.map(|number| self.partition(number)));
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    /// That slot B holds a release whole.
    pub fn holds_in_b(&self, release: &Release) -> bool {
        let boot = fs::read(self.partition(3)).unwrap();
        let root = fs::read(self.partition(6)).unwrap();
        boot.starts_with(&release.boot_for(b'6')) && root.starts_with(&release.root)
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.run_well(&["--status", "--json"])).unwrap()
    }

    fn database(&self) -> PathBuf {
        self.path("data/magpie/voice-memory.db")
    }

    /// Stores a word; the database is made by the first.
    pub fn say(&self, word: &str) {
        if !self.database().exists() {
            let done = self.home.run(&["--migrate"]);
            assert!(done.status.success(), "{}", errors(&done));
        }
        let database = Connection::open(self.database()).unwrap();
        database
            .execute(
                "INSERT OR REPLACE INTO settings VALUES ('word', ?1, 0)",
                [word],
            )
            .unwrap();
    }

    pub fn said(&self) -> String {
        let database = Connection::open(self.database()).unwrap();
        let word = database.query_row("SELECT value FROM settings WHERE key = 'word'", [], |row| {
            row.get(0)
        });
        word.unwrap()
    }

    /// What a release of the future does at its start.
    pub fn change_form_of_the_database(&self) {
        let database = Connection::open(self.database()).unwrap();
        database
            .execute_batch(&format!(
                "CREATE TABLE of_the_future (id INTEGER) STRICT; PRAGMA user_version = {}",
                migrate::STEPS.len() + 1
            ))
            .unwrap();
    }
}

pub struct Offer {
    _folder: TempDir,
    path: PathBuf,
}

impl Offer {
    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

pub fn autoboot(good: u8) -> String {
    let other = 5 - good;
    format!("[all]\ntryboot_a_b=1\nboot_partition={good}\n[tryboot]\nboot_partition={other}\n")
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// One fault, in one run.
pub struct Cut<'a> {
    pub at: usize,
    /// `kill`, `lose`, or a number of errno.h.
    pub how: &'a str,
}

/// Runs with a fault; the letters of the changes that were made, and what came of it.
pub fn run_cut(machine: &Machine, cut: Cut, arguments: &[&str]) -> (String, Output) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("changes");
    let done = machine
        .command(arguments)
        .env("LD_PRELOAD", cutter())
        .env("CUT_DIR", machine.home.folder.path())
        .env("CUT_AT", cut.at.to_string())
        .env("CUT_HOW", cut.how)
        .env("CUT_LOG", &log)
        .output()
        .unwrap();
    (fs::read_to_string(log).unwrap(), done)
}

/// Where to cut: the first and the last change of each run of the same kind, and some between.
/// A copy of a database is hundreds of writes in a row.
pub fn points(changes: &str) -> Vec<usize> {
    let kinds = changes.as_bytes();
    let is_edge = |at: usize| {
        at == 0
            || kinds[at - 1] != kinds[at]
            || kinds.get(at + 1).is_none_or(|next| *next != kinds[at])
    };
    let picked = (0..kinds.len()).filter(|at| is_edge(*at) || at % 40 == 20);
    picked.map(|at| at + 1).collect()
}

/// The library that makes the faults, built from its source once a run.
fn cutter() -> &'static Path {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cutter.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/device/cutter.c");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-o"])
            .args([&path, &source])
            .arg("-ldl")
            .status();
        assert!(status.expect("a C compiler is needed").success());
        (folder, path)
    });
    path
}
