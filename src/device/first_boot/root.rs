//! The machine's files, below a root that tests choose, and how they are replaced: as a whole,
//! durable, and never through a link that somebody else laid.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::device::durable;

#[derive(Clone, Debug)]
pub struct Root(PathBuf);

/// Whose a file becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub user: u32,
    pub group: u32,
}

impl Root {
    pub fn new(folder: &Path) -> Root {
        Root(folder.to_owned())
    }

    /// The machine itself: what is no file may be changed too.
    pub fn is_machine(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// `path` without a leading slash.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// `None` when it is not there; an error when it is longer than `bytes_max`.
    pub fn read(&self, path: &str, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let path = self.path(path);
        durable::read(&path, bytes_max as u64).map_err(|error| named(&path, error))
    }

    /// The first line of a small file of the kernel or systemd.
    pub fn word(&self, path: &str) -> Option<String> {
        let bytes = self.read(path, 4_096).ok()??;
        let text = String::from_utf8_lossy(&bytes);
        Some(text.lines().next().unwrap_or_default().trim().to_owned())
    }
}

/// Only its owner may read it. When it is there, it is whole and on the card.
pub fn write_durably(path: &Path, content: &[u8], owner: Option<Owner>) -> io::Result<()> {
    let mut beside = OsString::from(path);
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = durable::remove(&beside).and_then(|()| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .custom_flags(libc::O_NOFOLLOW)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(content)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        if let Some(owner) = owner {
            std::os::unix::fs::fchown(&file, Some(owner.user), Some(owner.group))?;
        }
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_folder(path)
    });
    written.map_err(|error| named(path, error))
}

/// As [`write_durably`], and nothing is written when it says that already.
pub fn write_if_other(path: &Path, content: &[u8], owner: Option<Owner>) -> io::Result<bool> {
    let is_same = fs::symlink_metadata(path).is_ok_and(|facts| {
        facts.is_file()
            && facts.permissions().mode() & 0o777 == 0o600
            && facts.len() == content.len() as u64
    }) && fs::read(path).is_ok_and(|present| present == content);
    if is_same {
        return Ok(false);
    }
    write_durably(path, content, owner)?;
    Ok(true)
}

/// Gone for good when it returns; no error when it was not there.
pub fn remove_durably(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    durable::remove(path).map_err(|error| named(path, error))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
