//! The sound board of `SOUND_HAT`, for both slots.
//!
//! The Pi's firmware reads it before there is any system, from the boot partition of the slot:
//! `config.txt` there includes `hat.txt`, one sector that holds nothing else. That sector is overwritten
//! in both slots, so that a change holds whichever starts next. An update brings a `hat.txt` without
//! a board; the first start after it writes the line again, and the board is there from the next
//! start on. While an update is on trial the box is never restarted for it: that would end the trial.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::root::{Root, write_if_other};
use super::{card, fat};
use crate::device::machine::{Machine, Next};
use crate::device::slots::Running;
use crate::limits;

const NAME: &[u8; 11] = b"HAT     TXT";
const TRIAL: &str = "data/device/trial.json";
/// For which board the box has been restarted; a card that does not keep what is written must not
/// make it restart for ever.
const RESTARTED: &str = "data/device/hat-restarted";

/// What was done, for the console.
pub fn apply(root: &Root, hat: Option<&str>) -> Result<Option<String>, String> {
    let machine = Machine::below(&root.path(""));
    // Installed in another way: there are no slots, and nothing to write to.
    let Ok(running) = Running::find(&machine) else {
        return Ok(hat.map(|_| String::from("SOUND_HAT works on Magpie's own image alone")));
    };
    let text = line(hat);
    let mut is_new = false;
    for path in running.boot_partitions(&machine) {
        let written = write(&path, &text);
        is_new |= written.map_err(|error| format!("SOUND_HAT: {}: {error}", path.display()))?;
    }
    if !is_new {
        return Ok(None);
    }
    let again = String::from("the sound board is there after the next start");
    let note = root.path(RESTARTED);
    let is_on_trial = root.path(TRIAL).exists();
    let may_restart = !is_on_trial
        && write_if_other(&note, text.as_bytes(), None).map_err(|error| error.to_string())?;
    if !may_restart {
        return Ok(Some(again));
    }
    machine
        .restart(Next::Good)
        .map_err(|error| format!("{again}: {error}"))?;
    Ok(Some(String::from("starting again for the sound board")))
}

fn line(hat: Option<&str>) -> String {
    match hat {
        Some(overlay) => format!("dtoverlay={overlay}\n"),
        None => String::from("# no sound board\n"),
    }
}

/// Whether it said something else before.
fn write(path: &Path, text: &str) -> io::Result<bool> {
    let partition = OpenOptions::new().read(true).write(true).open(path)?;
    let content = card::padded(text, limits::HAT_BYTES);
    let place = fat::find(&partition, NAME, limits::HAT_BYTES as u32)?
        .ok_or_else(|| io::Error::other("it has no hat.txt of 512 bytes"))?;
    let mut present = vec![0; content.len()];
    partition.read_exact_at(&mut present, place)?;
    if present == content {
        return Ok(false);
    }
    partition.write_all_at(&content, place)?;
    partition.sync_all()?;
    Ok(true)
}
