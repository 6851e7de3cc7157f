//! Overwrites secrets in the file on the FAT partition.
//!
//! In place and at the same length: FAT writes the same sectors again, the file keeps its
//! clusters, and a power cut leaves either the old or the new bytes of a sector and never touches
//! another line. What a card's own controller keeps of old blocks, no program can reach.

use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::lines::Entry;

const MARK: &str = "# moved to the box";

/// Stands where a secret was; a short secret leaves only its beginning.
pub fn is_mark(entry: &Entry) -> bool {
    !entry.is_quoted && !entry.value.is_empty() && MARK.starts_with(&entry.value)
}

/// A power cut wrote one of the two sectors that the secret lay across: its one half is the mark.
pub fn is_torn(entry: &Entry, secret: &str) -> bool {
    let written = [
        secret.to_owned(),
        format!("\"{secret}\""),
        format!("'{secret}'"),
    ];
    written.iter().any(|written| {
        let written = written.as_bytes();
        let mark = wiped(written, std::slice::from_ref(&(0..written.len())));
        let mut found = entry.value.as_bytes().to_vec();
        // Spaces at the end of the mark are no part of the value.
        found.resize(found.len().max(written.len()), b' ');
        found.len() == written.len()
            && (1..found.len()).any(|cut| {
                let is = |first: &[u8], last: &[u8]| {
                    found[..cut] == first[..cut] && found[cut..] == last[cut..]
                };
                is(&mark, written) || is(written, &mark)
            })
    })
}

/// The file as it is after [`wipe`].
pub fn wiped(file: &[u8], places: &[Range<usize>]) -> Vec<u8> {
    let mut file = file.to_vec();
    for place in places {
        let mark = MARK.bytes().chain(std::iter::repeat(b' '));
        for (byte, mark) in file[place.clone()].iter_mut().zip(mark) {
            *byte = mark;
        }
    }
    file
}

/// `file` is what was read from `path`. Durable, and read again, when it returns.
pub fn wipe(path: &Path, file: &[u8], places: &[Range<usize>]) -> io::Result<()> {
    let after = wiped(file, places);
    let open = OpenOptions::new().read(true).write(true).open(path)?;
    for place in places {
        open.write_all_at(&after[place.clone()], place.start as u64)?;
    }
    open.sync_all()?;
    if std::fs::read(path)? == after {
        Ok(())
    } else {
        Err(io::Error::other(
            "the file reads otherwise than it was written",
        ))
    }
}
