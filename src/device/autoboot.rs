//! autoboot.txt, by which the firmware knows the slot to start and the one to try.
//!
//! It has one of two texts of the same length and is overwritten where it lies. It is shorter than
//! a sector, which a card writes whole or not at all, and nothing else of the file system changes:
//! a power cut leaves the old slot or the new one in it.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::durable;
use super::machine::Machine;
use super::slots::Slot;

const NAME: &str = "autoboot.txt";
const SECTOR: u64 = 512;

/// The text that makes the firmware start `good` and try the other.
pub fn text(good: Slot) -> String {
    format!(
        "[all]\ntryboot_a_b=1\nboot_partition={}\n[tryboot]\nboot_partition={}\n",
        good.boot_partition(),
        good.other().boot_partition()
    )
}

/// The slot that is started unless a trial was asked for.
pub fn good(machine: &Machine) -> Result<Slot, String> {
    let path = path(machine);
    let found = durable::read(&path, SECTOR)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let found = found.ok_or_else(|| format!("{} is not there", path.display()))?;
    [Slot::A, Slot::B]
        .into_iter()
        .find(|slot| found == text(*slot).as_bytes())
        .ok_or_else(|| {
            format!(
                "{} is not as an update leaves it; docs/device.md says how it should be",
                path.display()
            )
        })
}

/// Makes `slot` the one to start from now on.
pub fn make_good(machine: &Machine, slot: Slot) -> Result<(), String> {
    if good(machine)? == slot {
        return Ok(());
    }
    machine
        .with_writable_front(|front| overwrite(&front.join(NAME), text(slot).as_bytes()))
        .map_err(|error| format!("{} cannot be written: {error}", path(machine).display()))
}

fn overwrite(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.len() != text.len() as u64 {
        return Err(io::Error::other("it has another length"));
    }
    file.write_all(text)?;
    file.sync_all()?;
    // SAFETY: takes a descriptor that `file` keeps open; the advice changes no data.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    let mut found = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(SECTOR).read_to_end(&mut found)?;
    match found == text {
        true => Ok(()),
        false => Err(io::Error::other("it does not keep what was written")),
    }
}

fn path(machine: &Machine) -> PathBuf {
    machine.front().join(NAME)
}
