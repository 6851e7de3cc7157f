//! The keys whose signature an update must bear: part of the read-only root, so that whoever has
//! taken over the service still cannot add one.

use std::fs;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use ed25519_dalek::{Signature, VerifyingKey};

use super::bundle::SIGNATURE_BYTES;
use crate::limits::{UPDATE_KEY_FILE_BYTES_MAX, UPDATE_KEYS_MAX};

/// At least one Ed25519 public key.
pub struct Keys(Vec<VerifyingKey>);

impl Keys {
    /// Reads `*.pub` of a folder: on each line 32 bytes as base64, or a remark after `#`.
    pub fn read(folder: &Path) -> Result<Keys, String> {
        let told = |error| format!("the keys in {} cannot be read: {error}", folder.display());
        let mut files: Vec<_> = fs::read_dir(folder)
            .map_err(told)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "pub"))
            .collect();
        files.sort();
        let mut keys = Vec::new();
        for path in files {
            let mut text = String::new();
            let most = UPDATE_KEY_FILE_BYTES_MAX as u64;
            let read =
                fs::File::open(&path).and_then(|file| file.take(most).read_to_string(&mut text));
            read.map_err(told)?;
            keys.extend(parse(&text).map_err(|why| format!("{}: {why}", path.display()))?);
        }
        Keys::of(keys)
            .ok_or_else(|| format!("{} names no key to trust, or too many", folder.display()))
    }

    pub fn of(keys: Vec<VerifyingKey>) -> Option<Keys> {
        (1..=UPDATE_KEYS_MAX)
            .contains(&keys.len())
            .then_some(Keys(keys))
    }

    /// Whether one of them has signed this.
    pub fn trust(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let signature = Signature::from_bytes(signature);
        let signed = |key: &VerifyingKey| key.verify_strict(message, &signature).is_ok();
        self.0.iter().any(signed)
    }
}

fn parse(text: &str) -> Result<Vec<VerifyingKey>, String> {
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = base64::engine::general_purpose::STANDARD.decode(line).ok();
        let key = key
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
            .filter(|key| !key.is_weak());
        keys.push(
            key.ok_or_else(|| format!("line {number} is no Ed25519 key: 32 bytes as base64"))?,
        );
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_keys_holds_keys_and_remarks_and_nothing_weak() {
        let good = "OyVXc+MfLblfI+s/o3ts4f+Pu92cxvBt1Z5gH8H6SrA=";
        assert_eq!(parse(&format!("# release\n\n{good}\n")).unwrap().len(), 1);
        // The neutral point: anybody can sign for it.
        let weak = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        for wrong in [
            weak,
            "ssh-ed25519 AAAA",
            "OyVXc+MfLblfI+s/o3ts4Q==",
            "\u{0}",
        ] {
            let told = parse(wrong).unwrap_err();
            assert!(told.starts_with("line 1 "), "{told}");
        }
    }

    #[test]
    fn a_folder_without_a_key_trusts_nobody_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.pub"), "# none yet\n").unwrap();
        fs::write(folder.path().join("a.key"), "no business of ours").unwrap();
        assert!(Keys::read(folder.path()).is_err());
        assert!(Keys::read(&folder.path().join("nowhere")).is_err());
    }
}
