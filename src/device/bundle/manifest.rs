//! What a bundle says about itself, parsed into what cannot be wrong any more.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    PartName, UPDATE_BOARD_CHARS_MAX, UPDATE_BOARDS_MAX, UPDATE_PART_BYTES_MAX, UPDATE_PIECE_BYTES,
};

/// Three numbers. Releases have no other kind of version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub [u32; 3]);

/// SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub version: Version,
    /// Unix seconds.
    pub built: u64,
    /// Boards that it is for, at least one.
    pub boards: Vec<String>,
    pub boot: Part,
    pub root: Part,
    /// Where the boot image names the root partition of slot A by one digit, which whoever writes
    /// it to slot B changes.
    pub slot_digit_at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Unpacked.
    pub bytes: u64,
    /// Of the unpacked bytes.
    pub sha256: Hash,
    pub packed: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: String,
    built: u64,
    boards: Vec<String>,
    parts: Vec<WrittenPart>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPart {
    name: String,
    bytes: u64,
    sha256: String,
    packed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot_digit_at: Option<u64>,
}

impl Manifest {
    /// The error goes on from "the manifest".
    pub fn parse(text: &[u8]) -> Result<Manifest, String> {
        let written: Written = serde_json::from_slice(text)
            .map_err(|error| format!("cannot be understood: {error}"))?;
        let version = Version::parse(&written.version)
            .ok_or("has a version that is not three numbers with dots between")?;
        let boards = written.boards;
        let is_word = |board: &String| {
            (1..=UPDATE_BOARD_CHARS_MAX).contains(&board.len())
                && board
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !(1..=UPDATE_BOARDS_MAX).contains(&boards.len()) || !boards.iter().all(is_word) {
            return Err(String::from("has a strange list of boards"));
        }
        let [boot, root] = written.parts.as_slice() else {
            return Err(String::from(
                "does not name exactly the parts boot and root",
            ));
        };
        if boot.name != "boot" || root.name != "root" {
            return Err(String::from(
                "does not name exactly the parts boot and root",
            ));
        }
        let slot_digit_at = boot.slot_digit_at.filter(|at| *at < boot.bytes);
        let slot_digit_at = slot_digit_at.ok_or("does not say where the slot's digit stands")?;
        if root.slot_digit_at.is_some() {
            return Err(String::from("has a slot's digit in the part root"));
        }
        let (boot, root) = (boot.part()?, root.part()?);
        if root.packed != root.bytes {
            return Err(String::from("has a part root that is packed"));
        }
        Ok(Manifest {
            version,
            built: written.built,
            boards,
            boot,
            root,
            slot_digit_at,
        })
    }

    pub fn part(&self, name: PartName) -> &Part {
        match name {
            PartName::Boot => &self.boot,
            PartName::Root => &self.root,
        }
    }

    /// As it stands in a bundle.
    pub fn text(&self) -> String {
        let part = |name: PartName, slot_digit_at| {
            let part = self.part(name);
            WrittenPart {
                name: name.to_string(),
                bytes: part.bytes,
                sha256: part.sha256.to_string(),
                packed: part.packed,
                slot_digit_at,
            }
        };
        let written = Written {
            version: self.version.to_string(),
            built: self.built,
            boards: self.boards.clone(),
            parts: vec![
                part(PartName::Boot, Some(self.slot_digit_at)),
                part(PartName::Root, None),
            ],
        };
        serde_json::to_string(&written).unwrap_or_default()
    }
}

impl WrittenPart {
    fn part(&self) -> Result<Part, String> {
        let wrong = |what: &str| format!("has a wrong {what} of the part {:?}", self.name);
        if !(1..=UPDATE_PART_BYTES_MAX).contains(&self.bytes) {
            return Err(wrong("length"));
        }
        // What gzip adds at most to what it cannot make smaller.
        let most = self.bytes + self.bytes / 1_000 + UPDATE_PIECE_BYTES as u64;
        if !(1..=most).contains(&self.packed) {
            return Err(wrong("packed length"));
        }
        Ok(Part {
            bytes: self.bytes,
            sha256: Hash::parse(&self.sha256).ok_or_else(|| wrong("hash"))?,
            packed: self.packed,
        })
    }
}

impl Version {
    /// This program's.
    pub fn running() -> Version {
        // The package's own version is three numbers, which a test holds.
        Version::parse(env!("CARGO_PKG_VERSION")).unwrap_or(Version([0; 3]))
    }

    pub fn parse(text: &str) -> Option<Version> {
        let mut numbers = [0; 3];
        let mut words = text.split('.');
        for number in &mut numbers {
            let word = words.next()?;
            let plain = word.bytes().all(|byte| byte.is_ascii_digit());
            if !plain || (word.len() > 1 && word.starts_with('0')) {
                return None;
            }
            *number = word.parse().ok()?;
        }
        words.next().is_none().then_some(Version(numbers))
    }
}

impl Hash {
    fn parse(text: &str) -> Option<Hash> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Hash(bytes))
    }
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
