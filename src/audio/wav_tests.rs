//! Files as programs write them, and as nobody should.

use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(body);
    bytes.resize(bytes.len() + (body.len() & 1), 0);
    bytes
}

fn format(tag: u16, channels: u16, rate_hz: u32, bits: u16) -> Vec<u8> {
    let frame = channels * bits.div_ceil(8);
    let mut body = tag.to_le_bytes().to_vec();
    body.extend(channels.to_le_bytes());
    body.extend(rate_hz.to_le_bytes());
    body.extend((rate_hz * u32::from(frame)).to_le_bytes());
    body.extend(frame.to_le_bytes());
    body.extend(bits.to_le_bytes());
    body
}

fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((body.len() as u32 + 4).to_le_bytes());
    bytes.extend(b"WAVE");
    bytes.extend(body);
    bytes
}

#[test]
fn every_coding_of_the_same_sound_gives_the_same_samples() {
    let wanted = [0i16, 256, -256, 16_384, -32_768, 32_512];
    type Coder = fn(i16) -> Vec<u8>;
    let cases: [(&str, u16, u16, Coder); 6] = [
        ("8", PCM, 8, |s| vec![((s >> 8) + 128) as u8]),
        ("16", PCM, 16, |s| s.to_le_bytes().to_vec()),
        ("24", PCM, 24, |s| [&[7], &s.to_le_bytes()[..]].concat()),
        ("32", PCM, 32, |s| [&[7, 9], &s.to_le_bytes()[..]].concat()),
        ("float", FLOAT, 32, |s| {
            (f32::from(s) / 32_768.0).to_le_bytes().to_vec()
        }),
        ("double", FLOAT, 64, |s| {
            (f64::from(s) / 32_768.0).to_le_bytes().to_vec()
        }),
    ];
    for (name, tag, bits, code) in cases {
        let data: Vec<u8> = wanted.iter().flat_map(|s| code(*s)).collect();
        let wav = file(&[
            chunk(b"fmt ", &format(tag, 1, 22_050, bits)),
            chunk(b"data", &data),
        ]);
        let sound = decode(&wav, HOUR).expect(name);
        assert_eq!(sound.samples, wanted, "{name}");
        assert_eq!(sound.rate_hz, 22_050, "{name}");
    }
}

#[test]
fn two_channels_become_their_mean() {
    let data: Vec<u8> = [100i16, 300, -50, 50]
        .iter()
        .flat_map(|s| s.to_le_bytes())
        .collect();
    let wav = file(&[
        chunk(b"fmt ", &format(PCM, 2, 16_000, 16)),
        chunk(b"data", &data),
    ]);
    assert_eq!(decode(&wav, HOUR).map(|s| s.samples), Ok(vec![200, 0]));
}

#[test]
fn an_extensible_format_is_read_by_its_sub_format() {
    let mut body = format(EXTENSIBLE, 1, 16_000, 16);
    body.extend([22, 0, 16, 0, 4, 0, 0, 0]);
    body.extend([1, 0, 0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113]);
    let wav = file(&[chunk(b"fmt ", &body), chunk(b"data", &[1, 0, 2, 0])]);
    assert_eq!(decode(&wav, HOUR).map(|s| s.samples), Ok(vec![1, 2]));
}

#[test]
fn other_chunks_of_odd_length_before_the_sound_are_passed_over() {
    let wav = file(&[
        chunk(b"LIST", b"INFO!"),
        chunk(b"fmt ", &format(PCM, 1, 16_000, 16)),
        chunk(b"fact", &[1]),
        chunk(b"data", &[5, 0]),
        chunk(b"LIST", b"after"),
    ]);
    assert_eq!(decode(&wav, HOUR).map(|s| s.samples), Ok(vec![5]));
}

#[test]
fn a_length_that_was_never_filled_in_means_to_the_end() {
    for claimed in [0u32, 0x7FFF_FFFF, u32::MAX, 0x7FFF_F000] {
        let mut wav = encode(&[1, 2, 3], 16_000);
        wav[40..44].copy_from_slice(&claimed.to_le_bytes());
        assert_eq!(
            decode(&wav, HOUR).map(|s| s.samples),
            Ok(vec![1, 2, 3]),
            "{claimed:#x}"
        );
    }
}

#[test]
fn a_file_cut_in_its_sound_gives_what_is_there() {
    let whole = encode(&[1, 2, 3, 4], 16_000);
    assert_eq!(
        decode(&whole[..whole.len() - 3], HOUR).map(|s| s.samples),
        Ok(vec![1, 2])
    );
}

#[test]
fn what_cannot_be_read_says_why() {
    let with = |body: Vec<u8>| file(&[chunk(b"fmt ", &body), chunk(b"data", &[0; 8])]);
    let cases: [(Vec<u8>, &str); 9] = [
        (Vec::new(), "not a WAV"),
        (b"RIFF\0\0\0\0AVI ".to_vec(), "not a WAV"),
        (b"RIFF\0\0\0\0WAVE".to_vec(), "no format"),
        (
            file(&[chunk(b"fmt ", &format(PCM, 1, 16_000, 16))]),
            "no sound",
        ),
        (file(&[chunk(b"data", &[0; 8])]), "after the sound"),
        (with(vec![1, 0, 1]), "cut short"),
        (with(format(85, 1, 16_000, 16)), "coding 85"),
        (with(format(PCM, 0, 16_000, 16)), "0 channels"),
        (with(format(PCM, 1, 4_000_000, 16)), "4000000 Hz"),
    ];
    for (bytes, wanted) in cases {
        let said = decode(&bytes, HOUR).expect_err(wanted).to_string();
        assert!(said.contains(wanted), "{said:?} does not say {wanted:?}");
    }
}

#[test]
fn more_sound_than_allowed_is_refused_before_it_is_read() {
    let wav = encode(&vec![0; 16_001], 16_000);
    let second = Duration::from_secs(1);
    assert_eq!(decode(&wav, second), Err(WavError::TooLong { max: second }));
    assert!(decode(&encode(&vec![0; 16_000], 16_000), second).is_ok());
}

#[test]
fn a_header_left_open_by_a_power_cut_is_closed_by_the_length_of_the_file() {
    let whole = encode(&[1, 2, 3], 16_000);
    let mut open = whole.clone();
    open[..HEADER_BYTES].copy_from_slice(&header(0, 16_000));
    let right = repaired_header(&open, open.len() as u64).expect("it needs repair");
    assert_eq!(right, whole[..HEADER_BYTES]);
    assert_eq!(repaired_header(&whole, whole.len() as u64), None);
    assert_eq!(repaired_header(b"RIFF", 4), None);
    assert_eq!(repaired_header(&[0; 44], 100), None, "not one of ours");
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(samples in prop::collection::vec(any::<i16>(), 1..400), rate_hz in 4_000u32..=192_000) {
        let sound = decode(&encode(&samples, rate_hz), HOUR);
        prop_assert_eq!(sound, Ok(Sound { samples, rate_hz }));
    }

    #[test]
    fn no_bytes_make_it_panic_or_grow(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        cut in 0usize..300,
        at in 0usize..60,
    ) {
        let mut wav = encode(&[1; 64], 16_000);
        for (place, byte) in wav.iter_mut().skip(at).zip(&noise) {
            *place = *byte;
        }
        wav.truncate(cut);
        for bytes in [&wav[..], &noise[..]] {
            if let Ok(samples) = decode_speech(bytes, HOUR) {
                // The lowest rate against 16 kHz, one byte a sample.
                prop_assert!(samples.len() <= bytes.len() * 4);
            }
        }
    }
}
