//! Where a small file lies in a FAT32 partition that is not mounted.
//!
//! The boot partition of a slot is written as a whole by an update and otherwise left alone; the one
//! line in it that is the owner's lies in a file of a single sector, which is overwritten in place.
//! Only reads, and believes nothing that it reads.

use std::io;
use std::os::unix::fs::FileExt;

use crate::limits;

const SECTOR: u64 = 512;
const ENTRY: usize = 32;

/// Offset of the file's first byte, when it is there, has exactly `length` bytes and fits into
/// one cluster. `name` as a directory holds it: eleven bytes, filled up with spaces.
pub fn find(partition: &impl FileExt, name: &[u8; 11], length: u32) -> io::Result<Option<u64>> {
    let volume = Volume::read(partition)?;
    let mut cluster = volume.root;
    for _ in 0..limits::BOOT_FOLDER_CLUSTERS_MAX {
        let mut folder = vec![0; volume.cluster_bytes];
        partition.read_exact_at(&mut folder, volume.offset(cluster)?)?;
        for entry in folder.chunks_exact(ENTRY) {
            // The end of the folder.
            if entry[0] == 0 {
                return Ok(None);
            }
            let is_plain_file = entry[11] & 0b0001_1000 == 0;
            if entry[..11] != *name || !is_plain_file {
                continue;
            }
            let first = u32::from(word(entry, 20)) << 16 | u32::from(word(entry, 26));
            let fits = long(entry, 28) == length && length as usize <= volume.cluster_bytes;
            return match fits {
                true => volume.offset(first).map(Some),
                false => Ok(None),
            };
        }
        match volume.next(partition, cluster)? {
            Some(next) => cluster = next,
            None => return Ok(None),
        }
    }
    Ok(None)
}

struct Volume {
    cluster_bytes: usize,
    table: u64,
    data: u64,
    clusters: u32,
    root: u32,
}

impl Volume {
    fn read(partition: &impl FileExt) -> io::Result<Volume> {
        let mut boot = [0; SECTOR as usize];
        partition.read_exact_at(&mut boot, 0)?;
        let is_fat32 = boot[510..] == [0x55, 0xaa]
            && u64::from(word(&boot, 11)) == SECTOR
            && (1..=128).contains(&boot[13])
            && boot[13].is_power_of_two()
            && (1..=2).contains(&boot[16])
            && word(&boot, 22) == 0
            && (1..0x10_0000).contains(&long(&boot, 36));
        if !is_fat32 {
            return Err(io::Error::other("it is no FAT32"));
        }
        let (reserved, tables) = (u64::from(word(&boot, 14)), u64::from(boot[16]));
        let data = reserved + tables * u64::from(long(&boot, 36));
        let sectors = u64::from(long(&boot, 32)).saturating_sub(data);
        Ok(Volume {
            cluster_bytes: usize::from(boot[13]) * SECTOR as usize,
            table: reserved * SECTOR,
            data: data * SECTOR,
            clusters: u32::try_from(sectors / u64::from(boot[13])).unwrap_or(u32::MAX),
            root: long(&boot, 44),
        })
    }

    fn offset(&self, cluster: u32) -> io::Result<u64> {
        match cluster.checked_sub(2) {
            Some(index) if index < self.clusters => {
                Ok(self.data + u64::from(index) * self.cluster_bytes as u64)
            }
            _ => Err(io::Error::other("a cluster lies outside of it")),
        }
    }

    /// `None`: the last one.
    fn next(&self, partition: &impl FileExt, cluster: u32) -> io::Result<Option<u32>> {
        let mut entry = [0; 4];
        partition.read_exact_at(&mut entry, self.table + u64::from(cluster) * 4)?;
        let next = u32::from_le_bytes(entry) & 0x0fff_ffff;
        Ok((next < 0x0fff_fff8).then_some(next))
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from(word(bytes, at)) | u32::from(word(bytes, at + 2)) << 16
}
