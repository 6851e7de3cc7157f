//! Two slots: the one that runs is never written, the other one may be.
//!
//! Slot A is the partitions 2 (boot) and 5 (root), slot B is 3 and 6. Which one runs says the
//! kernel's command line, and nothing else is believed: where it is silent nothing is written.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bundle::PartName;
use super::machine::Machine;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot {
    A,
    B,
}

/// What the command line says about the running system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The disk's name: eight hexadecimal digits.
    disk: String,
    pub slot: Slot,
}

/// A partition of the slot that does not run, open for writing.
pub struct Partition {
    pub file: File,
    pub bytes: u64,
    pub path: PathBuf,
}

impl Slot {
    pub fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }

    pub fn boot_partition(self) -> u8 {
        match self {
            Slot::A => 2,
            Slot::B => 3,
        }
    }

    fn root_partition(self) -> u8 {
        match self {
            Slot::A => 5,
            Slot::B => 6,
        }
    }

    /// By which the command line names the root partition.
    pub fn digit(self) -> u8 {
        b'0' + self.root_partition()
    }

    fn partition(self, part: PartName) -> u8 {
        match part {
            PartName::Boot => self.boot_partition(),
            PartName::Root => self.root_partition(),
        }
    }
}

impl Running {
    pub fn find(machine: &Machine) -> Result<Running, String> {
        let line = machine
            .cmdline()
            .map_err(|error| format!("the kernel's command line cannot be read: {error}"))?;
        Running::parse(&line).ok_or_else(|| {
            String::from(
                "this system does not run from a slot of Magpie's own image; update it the way it was installed",
            )
        })
    }

    /// `root=PARTUUID=<disk>-05` or `-06`, said once.
    fn parse(line: &str) -> Option<Running> {
        let mut roots = line
            .split_ascii_whitespace()
            .filter_map(|word| word.strip_prefix("root="));
        let (root, more) = (roots.next()?, roots.next());
        let (disk, number) = root.strip_prefix("PARTUUID=")?.split_once('-')?;
        let is_disk = disk.len() == 8
            && disk
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let slot = match number {
            "05" => Slot::A,
            "06" => Slot::B,
            _ => return None,
        };
        (is_disk && more.is_none()).then(|| Running {
            disk: disk.to_owned(),
            slot,
        })
    }

    /// The boot partitions of both slots, which no running system has mounted.
    pub fn boot_partitions(&self, machine: &Machine) -> [PathBuf; 2] {
        [Slot::A, Slot::B].map(|slot| {
            let number = slot.boot_partition();
            machine
                .partitions()
                .join(format!("{}-{number:02}", self.disk))
        })
    }

    /// Opens a partition of the other slot.
    pub fn open_other(&self, machine: &Machine, part: PartName) -> Result<Partition, String> {
        let number = self.slot.other().partition(part);
        let link = machine
            .partitions()
            .join(format!("{}-{number:02}", self.disk));
        let told = |why: &dyn fmt::Display| format!("{} cannot be written: {why}", link.display());
        let path = fs::canonicalize(&link).map_err(|error| told(&error))?;
        let mounts = machine.mounts().map_err(|error| told(&error))?;
        if is_mounted(&path, &mounts) {
            return Err(told(&"it is in use"));
        }
        // Of a block device this also asks the kernel for being the only one who uses it.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_EXCL)
            .open(&path)
            .map_err(|error| told(&error))?;
        let meta = file.metadata().map_err(|error| told(&error))?;
        let is_right_kind = match machine.is_real() {
            true => meta.file_type().is_block_device(),
            false => meta.is_file(),
        };
        if !is_right_kind {
            return Err(told(&"it is no partition"));
        }
        if !machine
            .is_of_this_disk(&meta)
            .map_err(|error| told(&error))?
        {
            return Err(told(
                &"it is on another card; take out the second card with this system and start again",
            ));
        }
        let bytes = file.seek(SeekFrom::End(0)).map_err(|error| told(&error))?;
        file.rewind().map_err(|error| told(&error))?;
        Ok(Partition { file, bytes, path })
    }
}

/// Each line of the list begins with what is mounted.
fn is_mounted(device: &Path, mounts: &str) -> bool {
    let sources = mounts.lines().filter_map(|line| line.split(' ').next());
    sources
        .filter(|source| source.starts_with('/'))
        .any(|source| {
            Path::new(source) == device || fs::canonicalize(source).is_ok_and(|path| path == device)
        })
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Slot::A => "A",
            Slot::B => "B",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_slot_is_what_the_command_line_says_and_nothing_else() {
        let slot = |line: &str| Running::parse(line).map(|running| (running.disk, running.slot));
        let disk = String::from("6d616770");
        assert_eq!(
            slot("console=ttyAMA0 root=PARTUUID=6d616770-05 ro quiet\n"),
            Some((disk.clone(), Slot::A))
        );
        assert_eq!(slot("root=PARTUUID=6d616770-06"), Some((disk, Slot::B)));
        for strange in [
            "",
            "root=/dev/mmcblk0p5",
            "root=PARTUUID=6d616770-07",
            "root=PARTUUID=6d616770-5",
            "root=PARTUUID=6d616770-056",
            "root=PARTUUID=../6d61-05",
            "root=PARTUUID=6D616770-05",
            "root=PARTUUID=6d616770-05 root=PARTUUID=6d616770-06",
            "xroot=PARTUUID=6d616770-05",
        ] {
            assert_eq!(slot(strange), None, "{strange:?}");
        }
    }

    #[test]
    fn what_is_mounted_is_in_use_under_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("mmcblk0p6");
        let link = folder.path().join("root");
        fs::write(&device, b"").unwrap();
        std::os::unix::fs::symlink(&device, &link).unwrap();
        let device = fs::canonicalize(&device).unwrap();
        let mounted = |source: &Path| {
            is_mounted(
                &device,
                &format!(
                    "proc /proc proc rw 0 0\n{} / ext4 rw 0 0\n",
                    source.display()
                ),
            )
        };
        assert!(mounted(&device));
        assert!(mounted(&link));
        assert!(!mounted(&folder.path().join("mmcblk0p5")));
        assert!(!is_mounted(&device, ""));
    }
}
