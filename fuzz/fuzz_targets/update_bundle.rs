//! Updates from strangers, and signed ones of whatever content: taken as signed, or refused.
#![no_main]

use std::io::Cursor;

use ed25519_dalek::{Signer, SigningKey};
use libfuzzer_sys::fuzz_target;
use magpie::device::bundle::{Bundle, PartName, seal};
use magpie::device::keys::Keys;

fuzz_target!(|data: &[u8]| {
    let key = SigningKey::from_bytes(&[7; 32]);
    let keys = Keys::of(vec![key.verifying_key()]).expect("one key");
    // As it is, unsigned.
    assert!(Bundle::open(Cursor::new(data), &keys).is_err());
    // Two bytes of length, a manifest of that length, and the parts.
    let Some((length, rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (manifest, parts) = rest.split_at(length);
    let mut bundle = seal(manifest, &|message| key.sign(message).to_bytes());
    bundle.extend_from_slice(parts);
    let Ok(bundle) = Bundle::open(Cursor::new(bundle), &keys) else {
        return;
    };
    let manifest = bundle.manifest().clone();
    let mut taken = [0; 2];
    let done = bundle.unpack(&mut |name, piece| {
        taken[usize::from(name == PartName::Root)] += piece.len() as u64;
        Ok(())
    });
    assert!(taken[0] <= manifest.boot.bytes && taken[1] <= manifest.root.bytes);
    if done.is_ok() {
        assert_eq!(taken, [manifest.boot.bytes, manifest.root.bytes]);
    }
});
