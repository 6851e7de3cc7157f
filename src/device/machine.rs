//! Where everything of the board lies: below `/`, or below a folder that stands for one.
//!
//! What stands for the partitions there are plain files; and nothing is ever restarted from such
//! a folder, so that a test or a look at a card in a reader cannot end the machine it runs on.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::durable;
use super::first_boot::{Root, Writable};
use crate::limits::UPDATE_NOTE_BYTES_MAX;

#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
}

/// What the firmware is to do at the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start the slot of `[tryboot]`, once.
    Trial,
    /// Start the slot that is known to be good.
    Good,
}

impl Machine {
    pub fn real() -> Machine {
        Machine::below(Path::new("/"))
    }

    pub fn below(root: &Path) -> Machine {
        Machine {
            root: root.to_owned(),
        }
    }

    pub fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Links named `DISK-NN` to the partitions.
    pub fn partitions(&self) -> PathBuf {
        self.at("dev/disk/by-partuuid")
    }

    /// The partition that people see: autoboot.txt, magpie.txt.
    pub fn front(&self) -> PathBuf {
        self.at("boot/magpie")
    }

    /// Keys whose updates are taken.
    pub fn keys(&self) -> PathBuf {
        self.at("usr/share/magpie/update-keys")
    }

    /// What is known of updates; root writes it, everybody may read it.
    pub fn notes(&self) -> PathBuf {
        self.at("data/device")
    }

    /// Where the service keeps its data unless its settings say otherwise.
    pub fn data_dir(&self) -> PathBuf {
        self.at("data/magpie")
    }

    pub fn cmdline(&self) -> io::Result<String> {
        self.text("proc/cmdline")
    }

    pub fn mounts(&self) -> io::Result<String> {
        self.text("proc/mounts")
    }

    /// One word, as updates name the boards that they are for.
    pub fn board(&self) -> io::Result<String> {
        Ok(self.text("etc/magpie/board")?.trim().to_owned())
    }

    fn text(&self, path: &str) -> io::Result<String> {
        let bytes = durable::read(&self.at(path), UPDATE_NOTE_BYTES_MAX)?
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    /// A line for whoever watches the screen or the serial line; nobody may.
    pub fn tell_console(&self, line: &str) {
        let console = OpenOptions::new()
            .append(true)
            .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(self.at("dev/console"));
        if let Ok(mut console) = console {
            let _ = write!(console, "{line}\r\n");
        }
    }

    /// Whether a partition lies on the disk that the running system came from. The disk's name is
    /// the same on all cards of one image, so a second card in a reader must not be taken for it.
    pub fn is_of_this_disk(&self, device: &fs::Metadata) -> io::Result<bool> {
        if !self.is_real() {
            return Ok(true);
        }
        let own = disk_of(fs::metadata("/boot/magpie")?.dev())?;
        Ok(disk_of(device.rdev())? == own)
    }

    /// Runs `write` while the partition that people see may be written, by nobody else.
    pub fn with_writable_front<T>(
        &self,
        write: impl FnOnce(&Path) -> io::Result<T>,
    ) -> io::Result<T> {
        let _writable = Writable::new(&Root::new(&self.root))?;
        write(&self.front())
    }

    /// Ends everything in order and starts anew; a folder that stands for a machine stays.
    pub fn restart(&self, next: Next) -> io::Result<()> {
        if !self.is_real() {
            return Ok(());
        }
        let argument = match next {
            Next::Trial => Some("0 tryboot"),
            Next::Good => None,
        };
        let mut command = Command::new("systemctl");
        command.arg("reboot");
        if let Some(argument) = argument {
            command.args(["--reboot-argument", argument]);
        }
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            _ => restart_now(argument.unwrap_or("0")),
        }
    }
}

fn restart_now(argument: &str) -> io::Result<()> {
    let argument = std::ffi::CString::new(argument)?;
    // SAFETY: writes back what is cached and takes nothing.
    unsafe { libc::sync() };
    // SAFETY: the four arguments of reboot(2), the last one a terminated string that outlives it.
    let failed = unsafe {
        libc::syscall(
            libc::SYS_reboot,
            libc::LINUX_REBOOT_MAGIC1,
            libc::LINUX_REBOOT_MAGIC2,
            libc::LINUX_REBOOT_CMD_RESTART2,
            argument.as_ptr(),
        )
    };
    match failed {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The disk of a partition, as the kernel lists it.
fn disk_of(device: u64) -> io::Result<PathBuf> {
    let (major, minor) = (libc::major(device), libc::minor(device));
    let partition = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))?;
    partition
        .parent()
        .map(Path::to_owned)
        .ok_or_else(|| io::Error::other("it is no partition"))
}
