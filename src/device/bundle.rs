//! One signed file with everything of a release: a manifest, the boot image, the root image.
//!
//! | bytes | what |
//! | --- | --- |
//! | 16 | `MAGPIE-UPDATE-1` and a line feed |
//! | 4 | length of the manifest, little endian |
//! | so many | the manifest, JSON |
//! | 64 | Ed25519 over everything before |
//! | `packed` of each part | the parts in the manifest's order |
//!
//! The signature is looked at before the manifest is, and the manifest before a part is: an
//! unsigned byte decides nothing but where the signature stands. The parts are held to the
//! manifest's lengths and hashes. The boot image is packed with gzip; the root image is squashfs,
//! which is packed already.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};

use super::keys::Keys;
use crate::limits::{
    UPDATE_BOARD_CHARS_MAX, UPDATE_BOARDS_MAX, UPDATE_MANIFEST_BYTES_MAX, UPDATE_PART_BYTES_MAX,
    UPDATE_PIECE_BYTES,
};

mod manifest;
mod pack;

pub use manifest::{Hash, Manifest, Part, Version};
pub use pack::{Contents, pack, seal};

pub const MAGIC: &[u8; 16] = b"MAGPIE-UPDATE-1\n";
pub const SIGNATURE_BYTES: usize = 64;

/// What a bundle brings, in the order in which it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartName {
    Boot,
    Root,
}

/// Why a bundle is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum BundleError {
    NoBundle,
    BreaksOff,
    /// The signature is of no key that this box trusts.
    Untrusted,
    Manifest(String),
    Part(PartName, &'static str),
    /// More follows after the last part.
    Trailing,
    /// The file or the server failed.
    Read(String),
    /// Whoever takes the parts failed.
    Taken(PartName, String),
}

/// A bundle whose manifest a trusted key has signed; its parts are still to come.
pub struct Bundle<R> {
    manifest: Manifest,
    rest: R,
}

impl<R: BufRead> Bundle<R> {
    pub fn open(mut from: R, keys: &Keys) -> Result<Bundle<R>, BundleError> {
        let mut head = [0; MAGIC.len() + 4];
        read_exact(&mut from, &mut head)?;
        let (magic, length) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(BundleError::NoBundle);
        }
        let length = length
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if length > UPDATE_MANIFEST_BYTES_MAX {
            return Err(BundleError::Manifest(String::from("is too long")));
        }
        let mut signed = vec![0; head.len() + length];
        signed[..head.len()].copy_from_slice(&head);
        read_exact(&mut from, &mut signed[head.len()..])?;
        let mut signature = [0; SIGNATURE_BYTES];
        read_exact(&mut from, &mut signature)?;
        if !keys.trust(&signed, &signature) {
            return Err(BundleError::Untrusted);
        }
        let manifest = Manifest::parse(&signed[head.len()..]).map_err(BundleError::Manifest)?;
        Ok(Bundle {
            manifest,
            rest: from,
        })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Hands the unpacked parts over, piece by piece and in order. Only when this says that all is
    /// well were they those that were signed, and all there is.
    pub fn unpack(
        mut self,
        take: &mut dyn FnMut(PartName, &[u8]) -> io::Result<()>,
    ) -> Result<(), BundleError> {
        for name in [PartName::Boot, PartName::Root] {
            let part = self.manifest.part(name);
            let mut packed =
                BufReader::with_capacity(UPDATE_PIECE_BYTES, self.rest.by_ref().take(part.packed));
            match name {
                PartName::Boot => one(name, part, GzDecoder::new(&mut packed), take)?,
                PartName::Root => one(name, part, &mut packed, take)?,
            }
            if !packed.fill_buf().map_err(read_error)?.is_empty() {
                return Err(BundleError::Part(name, "is followed by something"));
            }
            if packed.get_ref().limit() > 0 {
                return Err(BundleError::BreaksOff);
            }
        }
        match self.rest.fill_buf().map_err(read_error)?.is_empty() {
            true => Ok(()),
            false => Err(BundleError::Trailing),
        }
    }
}

fn one(
    name: PartName,
    part: &Part,
    mut unpacked: impl Read,
    take: &mut dyn FnMut(PartName, &[u8]) -> io::Result<()>,
) -> Result<(), BundleError> {
    let mut hash = Sha256::new();
    let mut left = part.bytes;
    let mut piece = vec![0; UPDATE_PIECE_BYTES];
    loop {
        let count = match unpacked.read(&mut piece) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(part_error(name, error)),
        };
        if count == 0 {
            break;
        }
        // A part that unpacks to more than was signed is a bomb.
        left = left
            .checked_sub(count as u64)
            .ok_or(BundleError::Part(name, "is longer than the manifest says"))?;
        hash.update(&piece[..count]);
        take(name, &piece[..count]).map_err(|error| BundleError::Taken(name, error.to_string()))?;
    }
    if left > 0 {
        return Err(match name {
            PartName::Boot => BundleError::Part(name, "is shorter than the manifest says"),
            PartName::Root => BundleError::BreaksOff,
        });
    }
    match Hash(hash.finalize().into()) == part.sha256 {
        true => Ok(()),
        false => Err(BundleError::Part(name, "is not what was signed")),
    }
}

fn read_exact(from: &mut impl Read, into: &mut [u8]) -> Result<(), BundleError> {
    from.read_exact(into).map_err(read_error)
}

fn read_error(error: io::Error) -> BundleError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => BundleError::BreaksOff,
        _ => BundleError::Read(error.to_string()),
    }
}

/// What the unpacker says about bytes is about the part; the rest is about the file.
fn part_error(name: PartName, error: io::Error) -> BundleError {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            BundleError::Part(name, "cannot be unpacked")
        }
        _ => read_error(error),
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PartName::Boot => "boot",
            PartName::Root => "root",
        })
    }
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BundleError::NoBundle => write!(f, "this is no update of Magpie of a known format"),
            BundleError::BreaksOff => write!(f, "the update breaks off; fetch it again"),
            BundleError::Untrusted => write!(
                f,
                "the update is not signed by a key that this box trusts; use one of the project's own releases"
            ),
            BundleError::Manifest(why) => write!(f, "the update's manifest {why}"),
            BundleError::Part(name, why) => {
                write!(f, "the update's part {name} {why}; fetch it again")
            }
            BundleError::Trailing => {
                write!(f, "something follows after the update; fetch it again")
            }
            BundleError::Read(why) => write!(f, "the update cannot be read: {why}"),
            BundleError::Taken(name, why) => write!(f, "the part {name} cannot be written: {why}"),
        }
    }
}

impl std::error::Error for BundleError {}

#[cfg(test)]
mod tests;
