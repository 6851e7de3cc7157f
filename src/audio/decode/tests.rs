//! What needs no compressed file; those are in `tests/decode`.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::audio::wav;

const MINUTE: Duration = Duration::from_secs(60);

/// Pushes in pieces of `step` and takes all there is.
fn stream(
    bytes: &[u8],
    step: usize,
    claimed: Option<SoundFormat>,
    max: Duration,
) -> Result<(Vec<i16>, u32), DecodeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut decoder = Decoder::new(claimed, max);
        let mut all = (Vec::new(), 0);
        for piece in bytes.chunks(step.max(1)) {
            decoder.push(piece.to_vec())?;
            while let Some(sound) = decoder.next().await? {
                all.0.extend(sound.samples);
                all.1 = sound.rate_hz;
            }
        }
        decoder.finish();
        while let Some(sound) = decoder.next().await? {
            all.0.extend(sound.samples);
            all.1 = sound.rate_hz;
        }
        Ok(all)
    })
}

#[test]
fn content_decides_and_not_the_name() {
    let wav = wav::encode(&[1, 2, 3], 16_000);
    for claimed in [None, Some(SoundFormat::Mp3), Some(SoundFormat::Pcm)] {
        assert_eq!(
            stream(&wav, 7, claimed, MINUTE),
            Ok((vec![1, 2, 3], 16_000))
        );
    }
}

#[test]
fn what_is_no_sound_is_refused_by_both_names() {
    for (bytes, name) in [
        (&b"FORM\0\0\0\x10AIFFCOMM"[..], "AIFF"),
        (b"#!AMR\n123456789", "AMR"),
        (b"<html><body>Not found", "page"),
        (b"{\"error\":{\"message\":\"no\"}}", "JSON"),
        (b"hello, this is a text", "no kind of sound"),
    ] {
        for result in [
            stream(bytes, 3, Some(SoundFormat::Mp3), MINUTE).map(|(samples, _)| samples),
            speech_of(bytes, Some(SoundFormat::Mp3), MINUTE),
        ] {
            let text = result.expect_err(name).to_string();
            assert!(text.contains(name) && text.contains("MP3"), "{text}");
        }
    }
    let nothing = speech_of(b"", None, MINUTE)
        .expect_err("nothing")
        .to_string();
    assert!(nothing.contains("empty"), "{nothing}");
}

#[test]
fn names_and_types_are_known() {
    for (called, format) in [
        ("audio/mpeg", SoundFormat::Mp3),
        ("audio/webm;codecs=opus", SoundFormat::WebM),
        ("Audio/X-M4A", SoundFormat::Mp4),
        ("audio/vnd.wave", SoundFormat::Wav),
        ("note.m4a", SoundFormat::Mp4),
        ("mp3", SoundFormat::Mp3),
        ("audio/L16; rate=24000", SoundFormat::Pcm),
    ] {
        assert_eq!(SoundFormat::of_type(called), Some(format), "{called}");
    }
    assert_eq!(SoundFormat::of_type("text/plain"), None);
}

#[test]
fn a_wav_whose_length_was_never_filled_in_plays_to_its_end() {
    for length in [0_u32, 0xFFFF_FFFF] {
        let mut bytes = wav::encode(&[5; 100], 24_000);
        bytes[40..44].copy_from_slice(&length.to_le_bytes());
        assert_eq!(stream(&bytes, 11, None, MINUTE), Ok((vec![5; 100], 24_000)));
    }
}

#[test]
fn what_follows_the_sound_of_a_wav_is_no_sound() {
    let mut bytes = wav::encode(&[5; 100], 24_000);
    bytes.extend_from_slice(b"LIST\x04\0\0\0abcd");
    assert_eq!(stream(&bytes, 11, None, MINUTE), Ok((vec![5; 100], 24_000)));
}

#[test]
fn more_sound_than_asked_for_is_an_error() {
    let bytes = wav::encode(&vec![5; 48_000], 16_000);
    let result = stream(&bytes, 1_000, None, Duration::from_secs(2));
    assert_eq!(
        result,
        Err(DecodeError::TooLong {
            max: Duration::from_secs(2)
        })
    );
}

#[test]
fn an_end_within_the_header_is_told() {
    let bytes = wav::encode(&[5; 100], 24_000);
    for length in 1..44 {
        let error = stream(&bytes[..length], 5, None, MINUTE).expect_err("cut");
        assert!(!error.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn samples_do_not_depend_on_how_they_were_cut(
        samples in proptest::collection::vec(any::<i16>(), 1..400),
        step in 1_usize..200,
    ) {
        let bytes = wav::encode(&samples, 22_050);
        prop_assert_eq!(stream(&bytes, step, None, MINUTE), Ok((samples.clone(), 22_050)));
        let raw: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let marked = SoundFormat::sniff(&raw).is_some_and(|f| !matches!(f, SoundFormat::Mp3 | SoundFormat::Aac));
        if !marked {
            prop_assert_eq!(
                stream(&raw, step, Some(SoundFormat::Pcm), MINUTE),
                Ok((samples, SoundFormat::PCM_RATE_HZ))
            );
        }
    }

    #[test]
    fn any_bytes_end_without_a_panic(
        mark in 0_usize..9,
        bytes in proptest::collection::vec(any::<u8>(), 0..3_000),
        step in 1_usize..3_000,
    ) {
        const MARKS: [&[u8]; 9] = [
            b"", b"RIFF\x40\0\0\0WAVEfmt \x10\0\0\0", b"fLaC\0\0\0\x22", b"OggS\0\x02", b"\x1A\x45\xDF\xA3",
            b"\0\0\0\x18ftypM4A ", b"\xFF\xFB\x90\x44", b"\xFF\xF1\x50\x80\x2E\x7F\xFC", b"ID3\x04\0\0\0\0\0\x0A",
        ];
        let bytes = [MARKS[mark], &bytes[..]].concat();
        let _ = stream(&bytes, step, None, MINUTE);
        let _ = speech_of(&bytes, None, MINUTE);
    }
}
