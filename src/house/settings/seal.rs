//! Secrets at rest: sealed with a key that lies beside the database, never in it.
//!
//! Whoever has a copy of the database alone has no secret. The key is 32 random bytes in
//! `box.key` of the data folder, readable by the box's own user; no backup and no export holds
//! it. A text is sealed with ChaCha20-Poly1305 (RFC 8439) under a fresh nonce and bound to the
//! name of its setting, so that one cannot be passed off as another.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Name of the key's file in the data folder.
pub const KEY_FILE: &str = "box.key";
const KEY_BYTES: usize = 32;
/// Says how a text was sealed, should there ever be another way.
const WAY: &str = "v1:";

pub struct BoxKey(LessSafeKey);

impl BoxKey {
    /// The key of this data folder; made by the first call.
    pub fn of(data_dir: &Path) -> io::Result<BoxKey> {
        let path = data_dir.join(KEY_FILE);
        let bytes = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(data_dir, &path)?,
            read => read?,
        };
        BoxKey::from(&bytes)
    }

    /// As [`BoxKey::of`], without making one.
    pub fn of_existing(data_dir: &Path) -> Option<BoxKey> {
        BoxKey::from(&read(&data_dir.join(KEY_FILE)).ok()?).ok()
    }

    fn from(bytes: &[u8]) -> io::Result<BoxKey> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, bytes)
            .map_err(|_| io::Error::other("box.key is no key"))?;
        Ok(BoxKey(LessSafeKey::new(key)))
    }

    pub fn seal(&self, name: &str, text: &str) -> io::Result<String> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
        let mut sealed = text.as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| io::Error::other("the text is too long to be sealed"))?;
        let mut bytes = nonce.to_vec();
        bytes.append(&mut sealed);
        Ok(format!("{WAY}{}", STANDARD.encode(bytes)))
    }

    /// `None`: sealed with another key, for another name, or damaged.
    pub fn open(&self, name: &str, sealed: &str) -> Option<String> {
        let bytes = STANDARD.decode(sealed.strip_prefix(WAY)?).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = sealed.to_vec();
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut text)
            .ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

fn read(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    bytes
        .try_into()
        .map_err(|_| io::Error::other("box.key is damaged; remove it and set the keys again"))
}

fn make(data_dir: &Path, path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let partial = data_dir.join("box.key.partial");
    let _ = fs::remove_file(&partial);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    fs::File::open(data_dir)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_again_after_a_restart_and_only_under_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = {
            let key = BoxKey::of(folder.path()).unwrap();
            key.seal("OPENAI_API_KEY", "sk-secret").unwrap()
        };
        assert!(!sealed.contains("secret"));
        let key = BoxKey::of(folder.path()).unwrap();
        let open = |name: &str, text: &str| key.open(name, text);
        assert_eq!(
            open("OPENAI_API_KEY", &sealed).as_deref(),
            Some("sk-secret")
        );
        assert_eq!(open("CLAUDE_API_KEY", &sealed), None);
        let mut bytes = sealed.clone().into_bytes();
        for index in 0..bytes.len() {
            bytes[index] ^= 1;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert_eq!(open("OPENAI_API_KEY", &text), None, "byte {index}");
            bytes[index] ^= 1;
        }
        for text in ["", "v1:", "v1:AAAA", "sk-secret"] {
            assert_eq!(open("OPENAI_API_KEY", text), None);
        }
    }

    #[test]
    fn the_key_is_for_the_boxs_own_user_and_two_boxes_have_two() {
        use std::os::unix::fs::PermissionsExt;
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealed = BoxKey::of(one.path()).unwrap().seal("A", "x").unwrap();
        assert_eq!(BoxKey::of(two.path()).unwrap().open("A", &sealed), None);
        let mode = fs::metadata(one.path().join(KEY_FILE)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        fs::write(two.path().join(KEY_FILE), b"short").unwrap();
        assert!(BoxKey::of(two.path()).is_err());
    }
}
