//! The FAT partition that people see when the card is in their computer.
//!
//! It is mounted read-only and made writable for the moment of a write. Nothing on it grows and
//! nothing is renamed: FAT has no journal, so files are overwritten in place, sector by sector.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::root::Root;

const MOUNTED_AT: &str = "boot/magpie";

/// A file of the card, by its name.
pub fn path(root: &Root, name: &str) -> PathBuf {
    root.path(MOUNTED_AT).join(name)
}

/// While it lives, the partition can be written, and whoever else wants that waits.
pub struct Writable {
    mounted_at: Option<CString>,
    /// Its lock ends with it, after the partition is read-only again.
    _folder: File,
}

impl Writable {
    pub fn new(root: &Root) -> io::Result<Writable> {
        let path = root.path(MOUNTED_AT);
        let folder = File::open(&path)?;
        folder.lock()?;
        let mut writable = Writable {
            mounted_at: None,
            _folder: folder,
        };
        if root.is_machine() {
            let mounted_at = CString::new(path.as_os_str().as_bytes())?;
            remount(&mounted_at, 0)?;
            writable.mounted_at = Some(mounted_at);
        }
        Ok(writable)
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        if let Some(path) = &self.mounted_at
            && let Err(error) = remount(path, libc::MS_RDONLY)
        {
            log::warn!("event=card_stays_writable error={error:?}");
        }
    }
}

fn remount(path: &CString, read_only: libc::c_ulong) -> io::Result<()> {
    let flags = libc::MS_REMOUNT | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | read_only;
    // SAFETY: `path` ends in a zero byte and outlives the call; a remount reads no source and no
    // type, and these may be null.
    let result = unsafe {
        libc::mount(
            std::ptr::null(),
            path.as_ptr(),
            std::ptr::null(),
            flags,
            std::ptr::null(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Overwrites `path` with `text`, filled up with spaces to `length`. Nothing is written when it
/// reads so already; a text that is too long loses its last lines.
pub fn overwrite(root: &Root, path: &Path, text: &str, length: usize) -> io::Result<bool> {
    let content = padded(text, length);
    match std::fs::read(path) {
        Ok(present) if present == content => return Ok(false),
        Ok(present) if present.len() == length => {
            let _writable = Writable::new(root)?;
            let file = OpenOptions::new().write(true).open(path)?;
            file.write_all_at(&content, 0)?;
            file.sync_all()?;
        }
        // The image made it; who removed it gets it back.
        _ => {
            let _writable = Writable::new(root)?;
            let mut file = File::create(path)?;
            file.write_all(&content)?;
            file.sync_all()?;
        }
    }
    Ok(true)
}

pub fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut text = text.trim_end();
    while text.len() + 2 > length {
        text = text.rsplit_once('\n').map_or("", |(before, _)| before);
    }
    let mut content = text.as_bytes().to_vec();
    content.push(b'\n');
    content.resize(length.saturating_sub(1), b' ');
    content.push(b'\n');
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_fills_its_place_and_loses_whole_lines() {
        assert_eq!(padded("a\n", 6), b"a\n   \n");
        assert_eq!(padded("one\n两\nthree", 10), "one\n两\n \n".as_bytes());
        assert_eq!(padded("a line without end", 4), b"\n  \n");
        for length in 2..40 {
            assert_eq!(padded("some\nlines\nof text 很多", length).len(), length);
        }
    }
}
