//! Zips that are good, damaged and made to do harm.

use std::io::{Cursor, Write};

use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

fn packed(files: &[(&str, &[u8])], method: CompressionMethod, is_streamed: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let options = SimpleFileOptions::default().compression_method(method);
    if is_streamed {
        let mut zip = ZipWriter::new_stream(&mut bytes);
        for (name, content) in files {
            let options = options.large_file(true);
            zip.start_file(*name, options).expect("begun");
            zip.write_all(content).expect("written");
        }
        zip.finish().expect("ended");
    } else {
        let mut zip = ZipWriter::new(Cursor::new(&mut bytes));
        for (name, content) in files {
            zip.start_file(*name, options).expect("begun");
            zip.write_all(content).expect("written");
        }
        zip.finish().expect("ended");
    }
    bytes
}

fn all(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let zip = Zip::open(bytes)?;
    let mut found = Vec::new();
    for entry in zip.entries() {
        let entry = entry?;
        let mut content = Vec::new();
        let most = entry.bytes;
        zip.content(&entry).read_to_end(&mut content)?;
        assert_eq!(content.len() as u64, most);
        found.push((entry.name, content));
    }
    Ok(found)
}

const FILES: &[(&str, &[u8])] = &[
    ("a.txt", b"alpha alpha alpha alpha"),
    ("empty", b""),
    ("files/s/b.enc", &[7; 5_000]),
];

fn samples() -> Vec<Vec<u8>> {
    let methods = [CompressionMethod::Stored, CompressionMethod::Deflated];
    let made = methods.map(|method| [true, false].map(|how| packed(FILES, method, how)));
    made.concat()
}

#[test]
fn what_was_packed_comes_back_however_it_was_written() {
    for sample in samples() {
        let found = all(&sample).expect("a good zip");
        let wanted = FILES
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
        assert_eq!(found, wanted.collect::<Vec<_>>());
    }
}

#[test]
fn a_zip_that_is_cut_off_anywhere_or_has_something_behind_it_is_refused() {
    for sample in samples() {
        for length in 0..sample.len() {
            assert!(all(&sample[..length]).is_err(), "{length} bytes");
        }
        let longer = [&sample[..], b"x"].concat();
        assert!(all(&longer).is_err());
    }
}

/// Where each field of the first entry of the directory lies.
fn directory(zip: &[u8]) -> usize {
    let found = zip.windows(4).position(|four| four == ENTRY);
    found.expect("a directory")
}

#[test]
fn an_entry_that_says_what_is_not_so_is_refused() {
    let good = packed(FILES, CompressionMethod::Deflated, false);
    let at = directory(&good);
    let second = at + ENTRY_BYTES + "a.txt".len();
    for (what, place, value, part) in [
        ("encrypted", at + 8, 1, "encrypted"),
        ("packed by bzip2", at + 10, 12, "strange"),
        ("another checksum", at + 16, 0xAA, "damaged"),
        ("fewer bytes unpacked", at + 24, 3, "longer"),
        ("more bytes unpacked", at + 24, 200, "shorter"),
        ("another name", at + ENTRY_BYTES, b'z', "two names"),
        ("the place of the one before", second + 42, 0, "share"),
    ] {
        let mut wrong = good.clone();
        assert_ne!(wrong[place], value, "{what}");
        wrong[place] = value;
        let told = all(&wrong).expect_err(what).to_string();
        assert!(told.contains(part), "{what}: {told}");
    }
}

#[test]
fn a_bomb_gives_no_more_than_it_declares() {
    let zeros = vec![0; 4 * 1024 * 1024];
    let mut bomb = packed(&[("a", &zeros)], CompressionMethod::Deflated, false);
    let at = directory(&bomb);
    bomb[at + 24..at + 28].copy_from_slice(&10u32.to_le_bytes());
    let zip = Zip::open(&bomb[..]).expect("a directory");
    let entry = zip.entries().next().expect("an entry").expect("a good one");
    let mut out = Vec::new();
    assert!(zip.content(&entry).read_to_end(&mut out).is_err());
    assert_eq!(out.len(), 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn anything_is_a_zip_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = all(&bytes);
    }

    #[test]
    fn a_damaged_zip_is_a_fault_or_gives_what_was_packed(
        which in 0..4usize,
        place in any::<proptest::sample::Index>(),
        value in any::<u8>(),
    ) {
        let mut sample = samples().swap_remove(which);
        let place = place.index(sample.len());
        sample[place] = value;
        if let Ok(found) = all(&sample) {
            // Times, versions and rights are nobody's business here; names are checked by who asks.
            for ((_, content), (_, wanted)) in found.iter().zip(FILES) {
                prop_assert_eq!(&content[..], *wanted);
            }
        }
    }
}
