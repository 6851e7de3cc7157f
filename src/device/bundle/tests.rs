//! Bundles whole, cut, changed, and of whatever bytes.

use std::io::Cursor;

use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;

use super::*;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn sign(message: &[u8]) -> [u8; SIGNATURE_BYTES] {
    key().sign(message).to_bytes()
}

fn keys() -> Keys {
    Keys::of(vec![key().verifying_key()]).unwrap()
}

fn boot() -> Vec<u8> {
    let mut boot = b"kernel ".repeat(2_000);
    boot.extend_from_slice(b"root=PARTUUID=4d616770-05 ro");
    boot
}

fn root() -> Vec<u8> {
    (0..70_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn good() -> Vec<u8> {
    let boot = boot();
    let contents = Contents {
        version: Version([1, 2, 3]),
        built: 1_790_000_000,
        boards: &["rpi-arm64", "qemu-virt"],
        boot: &boot,
        root: &root(),
        slot_digit_at: boot.len() as u64 - 4,
    };
    pack(&contents, &sign).unwrap()
}

/// A bundle whose manifest says something else.
fn with(change: impl Fn(&str) -> String) -> Vec<u8> {
    let good = good();
    let length = u32::from_le_bytes(good[16..20].try_into().unwrap()) as usize;
    let manifest = std::str::from_utf8(&good[20..20 + length]).unwrap();
    let changed = change(manifest);
    assert_ne!(changed, manifest);
    let mut bundle = seal(changed.as_bytes(), &sign);
    bundle.extend_from_slice(&good[20 + length + SIGNATURE_BYTES..]);
    bundle
}

type Parts = (Vec<u8>, Vec<u8>);

fn read(bundle: &[u8]) -> Result<(Manifest, Parts), BundleError> {
    let bundle = Bundle::open(Cursor::new(bundle), &keys())?;
    let manifest = bundle.manifest().clone();
    let mut parts = Parts::default();
    bundle.unpack(&mut |name, piece| {
        match name {
            PartName::Boot => parts.0.extend_from_slice(piece),
            PartName::Root => parts.1.extend_from_slice(piece),
        }
        Ok(())
    })?;
    Ok((manifest, parts))
}

#[test]
fn what_was_packed_is_what_is_unpacked() {
    let (manifest, parts) = read(&good()).unwrap();
    assert_eq!(manifest.version, Version([1, 2, 3]));
    assert_eq!(manifest.boards, ["rpi-arm64", "qemu-virt"]);
    assert_eq!(parts, (boot(), root()));
    assert!(manifest.boot.packed < manifest.boot.bytes);
    assert_eq!(boot()[manifest.slot_digit_at as usize], b'5');
}

#[test]
fn a_bundle_that_ends_anywhere_else_is_refused() {
    let good = good();
    for length in (0..good.len())
        .step_by(97)
        .chain(good.len() - 3..good.len())
    {
        let refused = read(&good[..length]).unwrap_err();
        assert_eq!(refused, BundleError::BreaksOff, "{length}");
    }
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(read(&longer), Err(BundleError::Trailing));
}

#[test]
fn one_changed_bit_anywhere_is_refused() {
    let good = good();
    for at in (0..good.len()).step_by(41).chain(0..400) {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        // The head of gzip has bytes that mean nothing; what is unpacked is still what was signed.
        if let Ok((_, parts)) = read(&changed) {
            assert_eq!(parts, (boot(), root()), "{at}");
            assert!(at > 20 + SIGNATURE_BYTES, "{at}");
        }
    }
}

#[test]
fn a_signature_by_another_key_is_none() {
    let stranger = SigningKey::from_bytes(&[8; 32]).verifying_key();
    let other = Keys::of(vec![stranger]).unwrap();
    let refused = Bundle::open(Cursor::new(good()), &other).err();
    assert_eq!(refused, Some(BundleError::Untrusted));
    let both = Keys::of(vec![stranger, key().verifying_key()]).unwrap();
    assert!(Bundle::open(Cursor::new(good()), &both).is_ok());
}

#[test]
fn a_signed_manifest_is_still_held_to_the_rules() {
    type Change = fn(&str) -> String;
    let changes: [(&str, Change); 18] = [
        ("unknown field", |m| {
            m.replace("{\"version\"", "{\"extra\":1,\"version\"")
        }),
        ("unknown part", |m| m.replace("\"root\"", "\"data\"")),
        ("a part twice", |m| m.replace("\"root\"", "\"boot\"")),
        ("no version", |m| m.replace("1.2.3", "1.2")),
        ("version of words", |m| m.replace("1.2.3", "1.2.3-rc1")),
        ("version with zeros", |m| m.replace("1.2.3", "01.2.3")),
        ("version too long", |m| {
            m.replace("1.2.3", "1.2.99999999999")
        }),
        ("board of two words", |m| {
            m.replace("qemu-virt", "qemu virt")
        }),
        ("no boards", |m| {
            m.replace("\"rpi-arm64\",\"qemu-virt\"", "")
        }),
        ("length of a bomb", |m| {
            m.replace("\"bytes\":70000", "\"bytes\":18446744073709551615")
        }),
        ("negative length", |m| {
            m.replace("\"bytes\":70000", "\"bytes\":-1")
        }),
        ("length of nothing", |m| {
            m.replace("\"bytes\":70000", "\"bytes\":0")
        }),
        ("root is packed", |m| {
            m.replace("\"packed\":70000", "\"packed\":69999")
        }),
        ("packed too long", |m| {
            m.replace("\"packed\":70000", "\"packed\":9999999")
        }),
        ("digit outside", |m| {
            m.replace("\"slot_digit_at\":14024", "\"slot_digit_at\":14028")
        }),
        ("digit nowhere", |m| {
            m.replace(",\"slot_digit_at\":14024", "")
        }),
        ("digit in root", |m| {
            m.replace("\"packed\":70000", "\"packed\":70000,\"slot_digit_at\":3")
        }),
        ("more after it", |m| format!("{m}{{}}")),
    ];
    for (what, change) in changes {
        let refused = read(&with(change)).unwrap_err();
        assert!(
            matches!(refused, BundleError::Manifest(_)),
            "{what}: {refused}"
        );
    }
}

#[test]
fn a_part_that_is_not_as_long_as_signed_is_refused() {
    let longer = with(|m| m.replace("\"bytes\":14028", "\"bytes\":14029"));
    assert!(matches!(
        read(&longer),
        Err(BundleError::Part(PartName::Boot, _))
    ));
    let bomb = with(|m| m.replace("\"bytes\":14028", "\"bytes\":14026"));
    assert!(matches!(
        read(&bomb),
        Err(BundleError::Part(PartName::Boot, _))
    ));
    let long = "x".repeat(UPDATE_MANIFEST_BYTES_MAX + 1);
    let refused = read(&seal(long.as_bytes(), &sign)).unwrap_err();
    assert!(matches!(refused, BundleError::Manifest(_)));
}

#[test]
fn whoever_takes_the_parts_can_end_it() {
    let bundle = Bundle::open(Cursor::new(good()), &keys()).unwrap();
    let full = bundle.unpack(&mut |_, _| Err(io::Error::other("card full")));
    assert_eq!(
        full,
        Err(BundleError::Taken(
            PartName::Boot,
            String::from("card full")
        ))
    );
}

#[test]
fn this_program_has_a_version_that_updates_can_be_compared_with() {
    assert_eq!(Version::running().to_string(), env!("CARGO_PKG_VERSION"));
    assert!(Version([0, 10, 0]) > Version([0, 9, 9]));
}

proptest! {
    #[test]
    fn nothing_unsigned_is_taken_and_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), framed in any::<bool>()) {
        let mut bundle = if framed { MAGIC.to_vec() } else { Vec::new() };
        bundle.extend_from_slice(&bytes);
        prop_assert!(read(&bundle).is_err());
    }

    #[test]
    fn whatever_a_signed_bundle_holds_is_taken_as_signed_or_refused(
        at in any::<prop::sample::Index>(), put in any::<Vec<u8>>(), cut in 0_usize..20,
    ) {
        let good = good();
        let length = u32::from_le_bytes(good[16..20].try_into().unwrap()) as usize;
        let manifest = good[20..20 + length].to_vec();
        let mut rest = good[20 + length + SIGNATURE_BYTES..].to_vec();
        let at = at.index(rest.len());
        let end = (at + cut).min(rest.len());
        rest.splice(at..end, put);
        let mut bundle = seal(&manifest, &sign);
        bundle.extend_from_slice(&rest);
        if let Ok((_, parts)) = read(&bundle) {
            prop_assert_eq!(parts, (boot(), root()));
        }
    }

    #[test]
    fn any_signed_manifest_is_parsed_or_refused(text in ".{0,200}") {
        let _ = read(&seal(text.as_bytes(), &sign));
    }

    #[test]
    fn a_manifest_survives_the_way_through_its_text(major in any::<u32>(), built in any::<u64>(), boot in 1_u64..1_000_000_000) {
        let (manifest, _) = read(&good()).unwrap();
        let part = Part { bytes: boot, packed: boot, ..manifest.boot.clone() };
        let manifest = Manifest { version: Version([major, 0, 1]), built, boot: part, slot_digit_at: boot - 1, ..manifest };
        prop_assert_eq!(Manifest::parse(manifest.text().as_bytes()), Ok(manifest));
    }
}
