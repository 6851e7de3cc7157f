//! Reads a zip that somebody sent, trusting nothing in it.
//!
//! Stricter than a program that opens any zip has to be: the end record is the file's end, entries
//! lie behind each other in the order of the directory without sharing a byte, none is encrypted.
//! The directory is read entry by entry, so memory does not grow with their number, and an entry
//! never gives more bytes than it declared, nor ends without having its checksum.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

/// Where bytes are read from, by place.
pub trait Source {
    fn length(&self) -> io::Result<u64>;
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize>;
}

/// Why a zip is refused.
#[derive(Debug)]
pub enum Fault {
    Damaged(&'static str),
    Io(io::Error),
}

#[derive(Debug)]
pub struct Zip<S> {
    source: S,
    directory: Range,
    entries: u64,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    from: u64,
    to: u64,
}

/// One file, as the directory tells of it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    /// Unpacked.
    pub bytes: u64,
    is_deflated: bool,
    crc: u32,
    packed: Range,
}

/// The directory, read from its beginning.
pub struct Entries<'a, S> {
    source: &'a S,
    from: BufReader<Part<'a, S>>,
    left: u64,
    /// Where the next entry may begin.
    floor: u64,
    /// Where entries have to end.
    ceiling: u64,
}

/// What is in an entry; fails at its end where it is not what was declared.
pub struct Content<'a, S> {
    from: Packed<'a, S>,
    left: u64,
    crc: Crc,
    wanted: u32,
}

enum Packed<'a, S> {
    Stored(Part<'a, S>),
    Deflated(Box<DeflateDecoder<BufReader<Part<'a, S>>>>),
}

struct Part<'a, S> {
    source: &'a S,
    range: Range,
}

const END_BYTES: u64 = 22;
const LOCATOR_BYTES: u64 = 20;
const WIDE_END_BYTES: u64 = 56;
const LOCAL_BYTES: usize = 30;
const ENTRY_BYTES: usize = 46;
const END: &[u8] = b"PK\x05\x06";
const LOCATOR: &[u8] = b"PK\x06\x07";
const WIDE_END: &[u8] = b"PK\x06\x06";
const LOCAL: &[u8] = b"PK\x03\x04";
const ENTRY: &[u8] = b"PK\x01\x02";
/// The field for sizes and places that 32 bits do not hold.
const WIDE_FIELD: u16 = 1;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Sizes come after the data; the name is UTF-8. Anything else is encryption or patches.
const FLAGS_KNOWN: u16 = 1 << 3 | 1 << 11 | 0b110;
const NAME_BYTES_MAX: usize = 512;

impl<S: Source> Zip<S> {
    pub fn open(source: S) -> Result<Zip<S>, Fault> {
        let length = source.length()?;
        let at = length.checked_sub(END_BYTES).ok_or(NO_ZIP)?;
        let end = fixed::<{ END_BYTES as usize }>(&source, at)?;
        if !end.starts_with(END) {
            return Err(NO_ZIP);
        }
        if u16_of(&end, 4) != 0 || u16_of(&end, 6) != 0 {
            return Err(Fault::Damaged("it is a part of several"));
        }
        let narrow = [
            u64::from(u16_of(&end, 10)),
            u64::from(u32_of(&end, 12)),
            u64::from(u32_of(&end, 16)),
        ];
        let (at, [entries, size, from]) = match wide_end(&source, at)? {
            Some(wide) => wide,
            None => (at, narrow),
        };
        let to = from.checked_add(size).filter(|to| *to == at);
        let to = to.ok_or(Fault::Damaged("its directory is not where it should be"))?;
        Ok(Zip {
            source,
            directory: Range { from, to },
            entries,
        })
    }

    pub fn entries(&self) -> Entries<'_, S> {
        Entries {
            source: &self.source,
            from: BufReader::new(Part {
                source: &self.source,
                range: self.directory,
            }),
            left: self.entries,
            floor: 0,
            ceiling: self.directory.from,
        }
    }

    pub fn content(&self, entry: &Entry) -> Content<'_, S> {
        let packed = Part {
            source: &self.source,
            range: entry.packed,
        };
        Content {
            from: match entry.is_deflated {
                true => Packed::Deflated(Box::new(DeflateDecoder::new(BufReader::new(packed)))),
                false => Packed::Stored(packed),
            },
            left: entry.bytes,
            crc: Crc::new(),
            wanted: entry.crc,
        }
    }
}

const NO_ZIP: Fault = Fault::Damaged("it is no whole zip");

/// Number, size and place of the directory where 32 bits do not hold them, and where the record
/// of it begins.
fn wide_end(source: &impl Source, end: u64) -> Result<Option<(u64, [u64; 3])>, Fault> {
    let Some(at) = end.checked_sub(LOCATOR_BYTES + WIDE_END_BYTES) else {
        return Ok(None);
    };
    let locator = fixed::<{ LOCATOR_BYTES as usize }>(source, end - LOCATOR_BYTES)?;
    if !locator.starts_with(LOCATOR) {
        return Ok(None);
    }
    let record = fixed::<{ WIDE_END_BYTES as usize }>(source, at)?;
    if u64_of(&locator, 8) != at || !record.starts_with(WIDE_END) {
        return Err(Fault::Damaged("its end is not where it should be"));
    }
    let told = [32, 40, 48].map(|place| u64_of(&record, place));
    Ok(Some((at, told)))
}

impl<S: Source> Iterator for Entries<'_, S> {
    type Item = Result<Entry, Fault>;

    fn next(&mut self) -> Option<Result<Entry, Fault>> {
        if self.left == 0 {
            return match self.from.fill_buf() {
                Ok([]) => None,
                Ok(rest) => {
                    let length = rest.len();
                    self.from.consume(length);
                    Some(Err(Fault::Damaged("its directory has more than it counts")))
                }
                Err(error) => Some(Err(error.into())),
            };
        }
        let entry = self.entry();
        self.left = match &entry {
            Ok(_) => self.left - 1,
            Err(_) => 0,
        };
        Some(entry)
    }
}

impl<S: Source> Entries<'_, S> {
    fn entry(&mut self) -> Result<Entry, Fault> {
        let mut head = [0; ENTRY_BYTES];
        self.from.read_exact(&mut head).map_err(cut_off)?;
        if !head.starts_with(ENTRY) {
            return Err(Fault::Damaged("its directory is damaged"));
        }
        if u16_of(&head, 8) & !FLAGS_KNOWN != 0 {
            return Err(Fault::Damaged("a file in it is encrypted"));
        }
        let is_deflated = match u16_of(&head, 10) {
            STORED => false,
            DEFLATED => true,
            _ => return Err(Fault::Damaged("a file in it is packed in a strange way")),
        };
        let name = self.take(usize::from(u16_of(&head, 28)))?;
        if name.len() > NAME_BYTES_MAX {
            return Err(Fault::Damaged("a name in it is too long"));
        }
        let extra = self.take(usize::from(u16_of(&head, 30)))?;
        self.take(usize::from(u16_of(&head, 32)))?;
        let (mut bytes, mut packed) = (u64::from(u32_of(&head, 24)), u64::from(u32_of(&head, 20)));
        let mut at = u64::from(u32_of(&head, 42));
        widen(&extra, [&mut bytes, &mut packed, &mut at])?;
        let packed = self.place(at, packed, &name)?;
        Ok(Entry {
            name: String::from_utf8(name).map_err(|_| Fault::Damaged("a name is no text"))?,
            bytes,
            is_deflated,
            crc: u32_of(&head, 16),
            packed,
        })
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, Fault> {
        let mut taken = vec![0; length];
        self.from.read_exact(&mut taken).map_err(cut_off)?;
        Ok(taken)
    }

    /// Of the data, once the head before it agrees.
    fn place(&mut self, at: u64, packed: u64, name: &[u8]) -> Result<Range, Fault> {
        if at < self.floor {
            return Err(Fault::Damaged("files in it share their bytes"));
        }
        let head = fixed::<LOCAL_BYTES>(self.source, at)?;
        let told = usize::from(u16_of(&head, 26));
        if !head.starts_with(LOCAL) || told != name.len() {
            return Err(Fault::Damaged("a file in it is not where it should be"));
        }
        let mut here = vec![0; told];
        read_exact_at(self.source, &mut here, at + LOCAL_BYTES as u64)?;
        if here != name {
            return Err(Fault::Damaged("a file in it has two names"));
        }
        let from = at + LOCAL_BYTES as u64 + told as u64 + u64::from(u16_of(&head, 28));
        let to = from.checked_add(packed).filter(|to| *to <= self.ceiling);
        let to = to.ok_or(Fault::Damaged("a file in it is cut off"))?;
        self.floor = to;
        Ok(Range { from, to })
    }
}

/// Sizes and places that are too large for their own fields stand in one of their own.
fn widen(extra: &[u8], values: [&mut u64; 3]) -> Result<(), Fault> {
    const BROKEN: Fault = Fault::Damaged("its directory is damaged");
    let mut rest = extra;
    let mut wide: Option<&[u8]> = None;
    while let [a, b, c, d, after @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*c, *d]));
        let (field, next) = after.split_at_checked(length).ok_or(BROKEN)?;
        if u16::from_le_bytes([*a, *b]) == WIDE_FIELD {
            wide = Some(field);
        }
        rest = next;
    }
    let mut wide = wide.unwrap_or_default();
    for value in values {
        if *value == u64::from(u32::MAX) {
            let (own, next) = wide.split_first_chunk::<8>().ok_or(BROKEN)?;
            *value = u64::from_le_bytes(*own);
            wide = next;
        }
    }
    Ok(())
}

impl<S: Source> Read for Content<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            return self.ends().map(|()| 0);
        }
        let most = out
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.from.read(&mut out[..most])?;
        if read == 0 {
            return Err(io::Error::other("a file in it is shorter than it says"));
        }
        self.crc.update(&out[..read]);
        self.left -= read as u64;
        Ok(read)
    }
}

impl<S: Source> Content<'_, S> {
    fn ends(&mut self) -> io::Result<()> {
        if self.from.read(&mut [0])? > 0 {
            return Err(io::Error::other("a file in it is longer than it says"));
        }
        match self.crc.sum() == self.wanted {
            true => Ok(()),
            false => Err(io::Error::other("a file in it is damaged")),
        }
    }
}

impl<S: Source> Read for Packed<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Packed::Stored(from) => from.read(out),
            Packed::Deflated(from) => from.read(out),
        }
    }
}

impl<S: Source> Read for Part<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.range.to - self.range.from;
        let most = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.source.read_at(&mut out[..most], self.range.from)?;
        self.range.from += read as u64;
        Ok(read)
    }
}

impl Source for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.size())
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, out, at)
    }
}

impl Source for &[u8] {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let mut rest = self.get(at..).unwrap_or_default();
        rest.read(out)
    }
}

fn fixed<const N: usize>(source: &impl Source, at: u64) -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    read_exact_at(source, &mut bytes, at)?;
    Ok(bytes)
}

fn read_exact_at(source: &impl Source, out: &mut [u8], at: u64) -> Result<(), Fault> {
    let mut part = Part {
        source,
        range: Range {
            from: at,
            to: at.checked_add(out.len() as u64).ok_or(NO_ZIP)?,
        },
    };
    part.read_exact(out).map_err(cut_off)
}

fn cut_off(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Fault::Damaged("it is cut off"),
        _ => Fault::Io(error),
    }
}

fn u16_of(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_of(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_of(bytes, at)) | u32::from(u16_of(bytes, at + 2)) << 16
}

fn u64_of(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_of(bytes, at)) | u64::from(u32_of(bytes, at + 4)) << 32
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Io(error)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Damaged(what) => f.write_str(what),
            Fault::Io(error) => write!(f, "{error}"),
        }
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
