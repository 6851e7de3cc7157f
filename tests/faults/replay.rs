//! What a card may hold after the power went at a given moment.
//!
//! Takes the recorder's log up to a cut. What was synced lasted. Of what was not, any part may
//! have: each write whole, torn at 512 bytes, or not at all, in any order. Names (create, rename,
//! unlink) last at once, as on a journalling file system that writes them in order.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::driver::ACKS;

const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub enum Change {
    Open { file: i32, path: PathBuf },
    Write { file: i32, at: u64, data: Vec<u8> },
    Truncate { file: i32, to: u64 },
    SyncBegan { file: i32 },
    Synced { file: i32 },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    Failed,
}

pub fn read_log(log: &Path) -> Vec<Change> {
    let changes = read_log_with_ends(log).into_iter();
    changes.map(|(change, _)| change).collect()
}

/// Each change with the length the log had after it.
pub fn read_log_with_ends(log: &Path) -> Vec<(Change, u64)> {
    let bytes = fs::read(log).unwrap();
    let mut rest = &bytes[..];
    let mut changes = Vec::new();
    // A process that was killed may have left half a record.
    while rest.len() >= 17 {
        let kind = rest[0];
        let file = i32::from_le_bytes(rest[1..5].try_into().unwrap());
        let at = u64::from_le_bytes(rest[5..13].try_into().unwrap());
        let length = u32::from_le_bytes(rest[13..17].try_into().unwrap()) as usize;
        if rest.len() < 17 + length {
            break;
        }
        let data = rest[17..17 + length].to_vec();
        let path = || PathBuf::from(String::from_utf8(data.clone()).unwrap());
        let change = match kind {
            b'O' => Change::Open { file, path: path() },
            b'W' => Change::Write { file, at, data },
            b'T' => Change::Truncate { file, to: at },
            b'B' => Change::SyncBegan { file },
            b'S' => Change::Synced { file },
            b'U' => Change::Unlink { path: path() },
            b'R' => {
                let both = String::from_utf8(data).unwrap();
                let (from, to) = both.split_once('\n').unwrap();
                Change::Rename {
                    from: from.into(),
                    to: to.into(),
                }
            }
            b'F' => Change::Failed,
            other => panic!("unknown record {other}"),
        };
        rest = &rest[17 + length..];
        changes.push((change, (bytes.len() - rest.len()) as u64));
    }
    changes
}

/// How a cut treats what was not synced.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Dropped,
    Kept,
    /// Each write by itself kept, torn or dropped.
    Mixed,
}

#[derive(Default)]
struct Inode {
    durable: Vec<u8>,
    pending: Vec<Pending>,
    /// Pending writes that a running sync covers.
    covered: usize,
}

#[derive(Clone)]
enum Pending {
    Write { at: u64, data: Vec<u8> },
    Truncate { to: u64 },
}

/// Files after a cut, and what had been acknowledged by then.
pub struct Card {
    pub files: HashMap<PathBuf, Vec<u8>>,
    pub acks: String,
    /// Writes that were torn or dropped.
    pub faults: usize,
}

pub fn cut(changes: &[Change], fate: Fate, random: &mut Random) -> Card {
    let mut inodes: Vec<Inode> = Vec::new();
    let mut names: HashMap<PathBuf, usize> = HashMap::new();
    let mut open: HashMap<i32, usize> = HashMap::new();
    for change in changes {
        match change {
            Change::Open { file, path } => {
                let inode = *names.entry(path.clone()).or_insert_with(|| {
                    inodes.push(Inode::default());
                    inodes.len() - 1
                });
                open.insert(*file, inode);
            }
            Change::Write { file, at, data } => inodes[open[file]].pending.push(Pending::Write {
                at: *at,
                data: data.clone(),
            }),
            Change::Truncate { file, to } => {
                inodes[open[file]]
                    .pending
                    .push(Pending::Truncate { to: *to });
            }
            Change::SyncBegan { file } => {
                let inode = &mut inodes[open[file]];
                inode.covered = inode.pending.len();
            }
            Change::Synced { file } => inodes[open[file]].settle(),
            Change::Unlink { path } => {
                names.remove(path);
            }
            Change::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Change::Failed => {}
        }
    }
    let mut card = Card {
        files: HashMap::new(),
        acks: String::new(),
        faults: 0,
    };
    for (path, inode) in names {
        let inode = &inodes[inode];
        if path.ends_with(ACKS) {
            // The witness of what was promised is outside the card.
            let (whole, _) = inode.after(Fate::Kept, random);
            card.acks = String::from_utf8(whole).unwrap();
            continue;
        }
        let (content, faults) = inode.after(fate, random);
        card.faults += faults;
        card.files.insert(path, content);
    }
    card
}

impl Inode {
    fn settle(&mut self) {
        for write in self.pending.drain(..self.covered) {
            write.apply(&mut self.durable);
        }
        self.covered = 0;
    }

    fn after(&self, fate: Fate, random: &mut Random) -> (Vec<u8>, usize) {
        let mut content = self.durable.clone();
        let mut faults = 0;
        let mut order: Vec<&Pending> = self.pending.iter().collect();
        if matches!(fate, Fate::Mixed) {
            random.shuffle(&mut order);
        }
        for pending in order {
            match fate {
                Fate::Kept => pending.apply(&mut content),
                Fate::Dropped => faults += 1,
                Fate::Mixed => match random.below(3) {
                    0 => faults += 1,
                    1 => {
                        faults += 1;
                        pending.torn(random).apply(&mut content);
                    }
                    _ => pending.apply(&mut content),
                },
            }
        }
        (content, faults)
    }
}

impl Pending {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Pending::Write { at, data } => {
                let end = *at as usize + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at as usize..end].copy_from_slice(data);
            }
            Pending::Truncate { to } => content.resize(*to as usize, 0),
        }
    }

    /// The same write, ended at some sector.
    fn torn(&self, random: &mut Random) -> Pending {
        match self {
            Pending::Write { at, data } => {
                let sectors = data.len() / SECTOR;
                let kept = SECTOR * random.below(sectors as u64 + 1) as usize;
                Pending::Write {
                    at: *at,
                    data: data[..kept].to_vec(),
                }
            }
            truncate @ Pending::Truncate { .. } => truncate.clone(),
        }
    }
}

impl Card {
    /// Puts the files into another folder, by their names alone below `from`.
    pub fn write_to(&self, from: &Path, to: &Path) {
        for (path, content) in &self.files {
            let target = to.join(path.strip_prefix(from).unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(target, content).unwrap();
        }
    }
}

/// SplitMix64: small, and the same on every machine for a printed seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}
