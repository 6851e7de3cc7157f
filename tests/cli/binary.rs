//! What the built program asks of the system that it runs on, read from its ELF file. The release
//! build is held to the same and to its size by `tools/check-binary`.

use std::fs;
use std::ops::Range;

/// Debian 12's, the oldest system that is promised.
const GLIBC_MAX: (u32, u32) = (2, 36);
const LIBRARIES: [&str; 6] = [
    "libasound.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libc.so.6",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
];

#[test]
fn the_program_asks_for_no_library_but_those_that_are_promised() {
    let needed = Elf::of_the_program().libraries();
    println!("libraries: {needed:?}");
    assert!(needed.contains(&String::from("libc.so.6")), "{needed:?}");
    let foreign: Vec<_> = needed
        .iter()
        .filter(|library| !LIBRARIES.contains(&library.as_str()))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let sound = needed.contains(&String::from("libasound.so.2"));
    assert_eq!(sound, cfg!(feature = "audio"), "{needed:?}");
}

#[test]
fn the_program_runs_with_the_c_library_of_debian_12() {
    let versions = Elf::of_the_program().glibc_versions();
    let highest = *versions.iter().max().expect("some version of glibc");
    println!("glibc: {highest:?}");
    assert!(
        highest <= GLIBC_MAX,
        "glibc {highest:?} is asked for: a binary for others must be linked on Debian 12"
    );
}

/// A 64-bit little-endian file, of which the sections of dynamic linking are read.
struct Elf(Vec<u8>);

#[derive(Clone)]
struct Section {
    kind: u32,
    bytes: Range<usize>,
    /// Of the section that holds its names.
    names: usize,
    entries: usize,
}

impl Elf {
    fn of_the_program() -> Elf {
        let file = fs::read(env!("CARGO_BIN_EXE_magpie")).expect("the program was built");
        assert_eq!(file[..6], *b"\x7fELF\x02\x01");
        Elf(file)
    }

    /// `DT_NEEDED` of `.dynamic`.
    fn libraries(&self) -> Vec<String> {
        const SHT_DYNAMIC: u32 = 6;
        const DT_NEEDED: u64 = 1;
        let (dynamic, names) = self.section(SHT_DYNAMIC);
        dynamic
            .bytes
            .step_by(16)
            .filter(|at| self.u64(*at) == DT_NEEDED)
            .map(|at| self.text(names + self.u64(at + 8) as usize))
            .collect()
    }

    /// `GLIBC_2.34` in `.gnu.version_r`, as numbers.
    fn glibc_versions(&self) -> Vec<(u32, u32)> {
        const SHT_GNU_VERNEED: u32 = 0x6fff_fffe;
        let (needs, names) = self.section(SHT_GNU_VERNEED);
        let mut versions = Vec::new();
        let mut need = needs.bytes.start;
        for _ in 0..needs.entries {
            let mut version = need + self.u32(need + 8) as usize;
            for _ in 0..self.u16(need + 2) {
                let name = self.text(names + self.u32(version + 8) as usize);
                let numbers = name.strip_prefix("GLIBC_").and_then(|numbers| {
                    let (major, minor) = numbers.split_once('.')?;
                    let minor = minor.split('.').next()?;
                    Some((major.parse().ok()?, minor.parse().ok()?))
                });
                versions.extend(numbers);
                version += self.u32(version + 12) as usize;
            }
            need += self.u32(need + 12) as usize;
        }
        versions
    }

    /// The section of a kind, and where the names begin that it points into.
    fn section(&self, kind: u32) -> (Section, usize) {
        let table = self.u64(0x28) as usize;
        let entry = usize::from(self.u16(0x3a));
        let all: Vec<Section> = (0..usize::from(self.u16(0x3c)))
            .map(|number| self.section_at(table + number * entry))
            .collect();
        let found = all.iter().find(|section| section.kind == kind);
        let found = found.expect("the program is linked dynamically");
        (found.clone(), all[found.names].bytes.start)
    }

    fn section_at(&self, at: usize) -> Section {
        let start = self.u64(at + 0x18) as usize;
        Section {
            kind: self.u32(at + 4),
            bytes: start..start + self.u64(at + 0x20) as usize,
            names: self.u32(at + 0x28) as usize,
            entries: self.u32(at + 0x2c) as usize,
        }
    }

    fn text(&self, at: usize) -> String {
        let bytes: Vec<u8> = self.0[at..]
            .iter()
            .copied()
            .take_while(|b| *b != 0)
            .collect();
        String::from_utf8(bytes).expect("a name")
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0[at..at + N].try_into().expect("as long as asked for")
    }
}
