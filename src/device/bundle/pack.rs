//! Bundles made: what `image/sign` does with a shell, for tests that need many.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::{Hash, MAGIC, Manifest, Part, SIGNATURE_BYTES, Version};

pub struct Contents<'a> {
    pub version: Version,
    pub built: u64,
    pub boards: &'a [&'a str],
    pub boot: &'a [u8],
    pub root: &'a [u8],
    pub slot_digit_at: u64,
}

pub fn pack(
    contents: &Contents,
    sign: &dyn Fn(&[u8]) -> [u8; SIGNATURE_BYTES],
) -> io::Result<Vec<u8>> {
    let mut boot = GzEncoder::new(Vec::new(), Compression::fast());
    boot.write_all(contents.boot)?;
    let boot = boot.finish()?;
    let part = |whole: &[u8], packed: &[u8]| Part {
        bytes: whole.len() as u64,
        sha256: Hash(Sha256::digest(whole).into()),
        packed: packed.len() as u64,
    };
    let manifest = Manifest {
        version: contents.version,
        built: contents.built,
        boards: contents
            .boards
            .iter()
            .map(|&board| board.to_owned())
            .collect(),
        boot: part(contents.boot, &boot),
        root: part(contents.root, contents.root),
        slot_digit_at: contents.slot_digit_at,
    };
    let mut bundle = seal(manifest.text().as_bytes(), sign);
    bundle.extend_from_slice(&boot);
    bundle.extend_from_slice(contents.root);
    Ok(bundle)
}

/// Everything before the parts, with whatever for a manifest.
pub fn seal(manifest: &[u8], sign: &dyn Fn(&[u8]) -> [u8; SIGNATURE_BYTES]) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&(manifest.len() as u32).to_le_bytes());
    head.extend_from_slice(manifest);
    let signature = sign(&head);
    head.extend_from_slice(&signature);
    head
}
