//! An update, step by step: check, write the other slot, read it back, keep the data, try it.
//!
//! Until the note of the trial is written, nothing that runs or that the next start needs has been
//! touched, so an update may be cut off anywhere and begun again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use sha2::{Digest, Sha256};

use super::autoboot;
use super::bundle::{Bundle, Hash, Manifest, PartName, Version};
use super::keys::Keys;
use super::machine::{Machine, Next};
use super::slots::{Partition, Running, Slot};
use super::trial::{self, Ended, Keeper, Outcome, Settled, Trial};
use crate::clock::Clock;
use crate::limits::{UPDATE_PIECE_BYTES, UPDATE_SYNC_EVERY};

const LOCK: &str = "update.lock";

/// Whoever updates a machine, and what was asked for.
pub struct Updater<'a> {
    pub machine: &'a Machine,
    pub keys: &'a Keys,
    pub keeper: &'a dyn Keeper,
    pub clock: &'a Clock,
    /// Also a version that is not newer.
    pub allow_older: bool,
    /// The restart is left to somebody else.
    pub no_restart: bool,
}

/// What waits to be tried.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    pub version: Version,
    pub slot: Slot,
}

impl Updater<'_> {
    /// Writes the update and restarts into it. `tell` is told how it goes on.
    pub fn run(&self, from: impl BufRead, tell: &mut dyn FnMut(&str)) -> Result<Written, String> {
        let _lock = lock(self.machine)?;
        let running = self.ready()?;
        let mut version = None;
        let written = self.write(&running, from, &mut version, tell);
        if let Err(why) = &written {
            self.note_failure(version, why);
        }
        let written = written?;
        let line = format!("magpie: rebooting to try slot {}", written.slot);
        if self.no_restart {
            tell("Not restarted, as asked; the next plain restart gives this update up.");
            return Ok(written);
        }
        tell(&line);
        self.machine.tell_console(&line);
        self.machine.restart(Next::Trial).map_err(|error| {
            format!("the update is written, and the box cannot be restarted: {error}")
        })?;
        Ok(written)
    }

    /// Reads all of it and writes nothing.
    pub fn check(&self, from: impl BufRead) -> Result<Manifest, String> {
        let bundle = Bundle::open(from, self.keys).map_err(|error| error.to_string())?;
        let manifest = bundle.manifest().clone();
        self.allow(&manifest)?;
        bundle
            .unpack(&mut |_, _| Ok(()))
            .map_err(|error| error.to_string())?;
        Ok(manifest)
    }

    /// The slot that runs is the good one, and no other update is under way.
    fn ready(&self) -> Result<Running, String> {
        let running = Running::find(self.machine)?;
        if let Settled::Trying(trial) = trial::settle(self.machine, self.keeper, self.clock)? {
            return Err(format!(
                "version {} is being tried; wait until that is decided, which takes some minutes",
                trial.version
            ));
        }
        if autoboot::good(self.machine)? != running.slot {
            return Err(format!(
                "slot {} runs and the other one is the good one; restart the box first",
                running.slot
            ));
        }
        Ok(running)
    }

    fn allow(&self, manifest: &Manifest) -> Result<(), String> {
        let (running, version) = (Version::running(), manifest.version);
        if version <= running && !self.allow_older {
            return Err(format!(
                "the update is version {version} and {running} runs; --allow-older takes it nevertheless"
            ));
        }
        let board = self
            .machine
            .board()
            .map_err(|error| format!("what board this is cannot be read: {error}"))?;
        match manifest.boards.contains(&board) {
            true => Ok(()),
            false => Err(format!(
                "the update is for {}, and this is {board}",
                manifest.boards.join(", ")
            )),
        }
    }

    fn write(
        &self,
        running: &Running,
        from: impl BufRead,
        version: &mut Option<Version>,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Written, String> {
        let bundle = Bundle::open(from, self.keys).map_err(|error| error.to_string())?;
        let manifest = bundle.manifest().clone();
        *version = Some(manifest.version);
        self.allow(&manifest)?;
        let slot = running.slot.other();
        let digit = Digit {
            at: manifest.slot_digit_at,
            digit: slot.digit(),
        };
        let mut boot = self.open(running, PartName::Boot, &manifest, Some(digit))?;
        let mut root = self.open(running, PartName::Root, &manifest, None)?;
        tell(&format!(
            "Version {} goes to slot {slot}.",
            manifest.version
        ));
        bundle
            .unpack(&mut |name, piece| match name {
                PartName::Boot => boot.write(piece, tell),
                PartName::Root => root.write(piece, tell),
            })
            .map_err(|error| error.to_string())?;
        for place in [&mut boot, &mut root] {
            place.sync_and_compare(manifest.part(place.name).sha256)?;
            tell(&format!("{}: read back, the same.", place.name));
        }
        self.keeper.keep()?;
        trial::begin(
            self.machine,
            &Trial {
                from: running.slot,
                to: slot,
                from_version: Version::running().to_string(),
                version: manifest.version.to_string(),
                at: self.clock.wall().rfc3339(),
                began: false,
                why: None,
            },
        )?;
        Ok(Written {
            version: manifest.version,
            slot,
        })
    }

    fn open(
        &self,
        running: &Running,
        name: PartName,
        manifest: &Manifest,
        digit: Option<Digit>,
    ) -> Result<Place, String> {
        let partition = running.open_other(self.machine, name)?;
        let bytes = manifest.part(name).bytes;
        if bytes > partition.bytes {
            return Err(format!(
                "the update's part {name} has {bytes} bytes and its place {}; it is not for this card",
                partition.bytes
            ));
        }
        Ok(Place {
            name,
            partition,
            digit,
            bytes,
            at: 0,
            unsynced: 0,
        })
    }

    fn note_failure(&self, version: Option<Version>, why: &str) {
        let outcome = Outcome {
            result: Ended::Failed,
            version: version.map(|version| version.to_string()),
            from_version: Version::running().to_string(),
            at: self.clock.wall().rfc3339(),
            why: Some(why.to_owned()),
            database_put_back: false,
        };
        // The caller is told why anyhow.
        if let Err(error) = trial::tell_outcome(self.machine, self.keeper, &outcome) {
            log::warn!("event=update_outcome_not_kept error=\"{error}\"");
        }
    }
}

/// The one byte in which the slots differ.
#[derive(Clone, Copy)]
struct Digit {
    at: u64,
    digit: u8,
}

impl Digit {
    /// Puts `new` in the place of `old` if it is in a piece that begins at `begin`.
    fn change(self, piece: &mut [u8], begin: u64, old: u8, new: u8) -> io::Result<()> {
        let place = self
            .at
            .checked_sub(begin)
            .and_then(|at| usize::try_from(at).ok());
        match place.and_then(|at| piece.get_mut(at)) {
            None => Ok(()),
            Some(found) if *found == old => {
                *found = new;
                Ok(())
            }
            Some(_) => Err(io::Error::other(
                "the slot's digit is not where it should be",
            )),
        }
    }
}

/// A partition that is being written from its beginning.
struct Place {
    name: PartName,
    partition: Partition,
    digit: Option<Digit>,
    /// That it will hold.
    bytes: u64,
    at: u64,
    unsynced: u64,
}

impl Place {
    fn write(&mut self, piece: &[u8], tell: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut piece = piece.to_vec();
        if let Some(digit) = self.digit {
            digit.change(&mut piece, self.at, Slot::A.digit(), digit.digit)?;
        }
        self.partition.file.write_all(&piece)?;
        self.at += piece.len() as u64;
        self.unsynced += piece.len() as u64;
        if self.unsynced >= UPDATE_SYNC_EVERY {
            self.partition.file.sync_data()?;
            self.unsynced = 0;
            tell(&format!(
                "{}: {} of {} MB",
                self.name,
                mb(self.at),
                mb(self.bytes)
            ));
        }
        Ok(())
    }

    /// What the card gives back is what was signed, but for the digit.
    fn sync_and_compare(&mut self, wanted: Hash) -> Result<(), String> {
        let told = |why: String| {
            format!(
                "{} does not keep what was written: {why}",
                self.partition.path.display()
            )
        };
        let found = read_back(&mut self.partition.file, self.bytes, self.digit);
        match found {
            Ok(found) if found == wanted => Ok(()),
            Ok(_) => Err(told(String::from(
                "it reads otherwise; the card may be failing",
            ))),
            Err(error) => Err(told(error.to_string())),
        }
    }
}

fn read_back(file: &mut File, bytes: u64, digit: Option<Digit>) -> io::Result<Hash> {
    file.sync_all()?;
    // SAFETY: takes a descriptor that `file` keeps open; the advice changes no data. What is
    // clean leaves the memory, so that the card itself is asked.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    file.rewind()?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; UPDATE_PIECE_BYTES];
    let mut at = 0;
    while at < bytes {
        let most = (bytes - at).min(piece.len() as u64) as usize;
        let count = file.read(&mut piece[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(digit) = digit {
            digit.change(&mut piece[..count], at, digit.digit, Slot::A.digit())?;
        }
        hash.update(&piece[..count]);
        at += count as u64;
    }
    Ok(Hash(hash.finalize().into()))
}

fn mb(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}

/// One update at a time; the lock goes with the process, however it ends.
fn lock(machine: &Machine) -> Result<File, String> {
    let path = machine.notes().join(LOCK);
    let told = |error: io::Error| format!("{} cannot be used: {error}", path.display());
    fs::create_dir_all(machine.notes()).map_err(told)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(told)?;
    // SAFETY: takes a descriptor that `file` keeps open, and a flag.
    match unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } {
        0 => Ok(file),
        _ => Err(String::from("another update is under way")),
    }
}
