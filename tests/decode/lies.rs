//! Files that claim more than they hold: hours in a few bytes, rates and channels that nothing has.

use std::time::Duration;

use magpie::audio::decode::{DecodeError, speech_of};

use crate::material::{HOUR, material, stream};
use crate::mux;

#[test]
fn hours_of_silence_in_a_few_kilobytes_end_at_the_limit() {
    // A FLAC frame of 65,535 equal samples takes 16 bytes.
    let bytes = flac_of_silence(20_000);
    assert!(bytes.len() < 400_000, "{}", bytes.len());
    let max = Duration::from_secs(20);
    for result in [
        speech_of(&bytes, None, max).map(|speech| speech.len()),
        stream(&bytes, 4_096, None, max).map(|streamed| streamed.samples.len()),
    ] {
        assert_eq!(result, Err(DecodeError::TooLong { max }));
    }
    let short = speech_of(&flac_of_silence(10), None, max).expect("a short silence");
    assert!(
        short.iter().all(|sample| *sample == 0) && short.len() > 200_000,
        "{}",
        short.len()
    );
}

#[test]
fn rates_that_nothing_has_are_refused() {
    for rate in [0_u32, 1, 3_999, 655_350] {
        let mut bytes = flac_of_silence(3);
        set_flac_rate(&mut bytes, rate);
        let error = speech_of(&bytes, None, HOUR)
            .expect_err("no such rate")
            .to_string();
        println!("FLAC of {rate} Hz: {error}");
    }
    let mut wav = magpie::audio::wav::encode(&[0; 64], 16_000);
    wav[24..28].copy_from_slice(&0_u32.to_le_bytes());
    let error = speech_of(&wav, None, HOUR)
        .expect_err("no such rate")
        .to_string();
    assert!(error.contains("0 Hz"), "{error}");
    wav[22..24].copy_from_slice(&900_u16.to_le_bytes());
    let error = stream(&wav, 9, None, HOUR)
        .err()
        .expect("no such channels")
        .to_string();
    assert!(error.contains("900 channels"), "{error}");
}

#[test]
fn a_table_of_millions_of_empty_packets_is_given_up() {
    // The table says: a million samples of no bytes each.
    let m4a = &material().get("m4a plain").bytes;
    let mut bytes = m4a.clone();
    let at = find(&bytes, b"stsz");
    bytes[at + 8..at + 16].copy_from_slice(&[0, 0, 0, 0, 0, 0xF, 0x42, 0x40]);
    let result = speech_of(&bytes, None, HOUR);
    println!(
        "a million of nothing: {result:?}",
        result = result.as_ref().map(Vec::len)
    );
    // And: four thousand million samples of one byte.
    let mut bytes = m4a.clone();
    bytes[at + 8..at + 16].copy_from_slice(&[0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF]);
    let stts = find(&bytes, b"stts");
    bytes[stts + 12..stts + 16].copy_from_slice(&[0xFF; 4]);
    let error = speech_of(&bytes, None, HOUR)
        .map(|speech| speech.len())
        .expect_err("no sound");
    println!("four thousand million of one byte: {error}");
}

#[test]
fn boxes_that_claim_gigabytes_allocate_nothing() {
    for size in [0x7FFF_FFFF_u32, 0xFFFF_FFF0] {
        let mut bytes = mux::atom(b"ftyp", &[b"M4A \0\0\0\0M4A isommp42"]);
        bytes.extend(size.to_be_bytes());
        bytes.extend_from_slice(b"moov\0\0\0\x6Cmvhd");
        speech_of(&bytes, None, HOUR).expect_err("no sound");
    }
    // EBML with elements of 2^56 bytes.
    let mut webm = vec![
        0x1A, 0x45, 0xDF, 0xA3, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE,
    ];
    webm.extend([0x42, 0x82, 0x01, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    speech_of(&webm, None, HOUR).expect_err("no sound");
}

fn find(bytes: &[u8], name: &[u8; 4]) -> usize {
    bytes
        .windows(4)
        .position(|four| four == name)
        .expect("the box")
}

fn flac_of_silence(frames: u32) -> Vec<u8> {
    let mut out = b"fLaC\x80\0\0\x22".to_vec();
    let mut info = vec![0xFF, 0xFF, 0xFF, 0xFF];
    info.extend([0; 6]);
    // 44.1 kHz, one channel, 16 bits, length not known.
    info.extend([0x0A, 0xC4, 0x40, 0xF0, 0, 0, 0, 0]);
    info.extend([0; 16]);
    out.extend(info);
    for number in 0..frames {
        let mut frame = vec![0xFF, 0xF8, 0x70, 0x08];
        frame.extend(utf8_number(number));
        frame.extend([0xFF, 0xFE]);
        frame.push(crc8(&frame));
        // One constant subframe of silence.
        frame.extend([0, 0, 0]);
        let check = crc16(&frame);
        frame.extend(check.to_be_bytes());
        out.extend(frame);
    }
    out
}

fn set_flac_rate(bytes: &mut [u8], rate: u32) {
    let rate = rate << 4;
    bytes[18] = (rate >> 16) as u8;
    bytes[19] = (rate >> 8) as u8;
    bytes[20] = bytes[20] & 0x0F | rate as u8;
}

fn utf8_number(number: u32) -> Vec<u8> {
    match number {
        0..0x80 => vec![number as u8],
        0x80..0x800 => vec![0xC0 | (number >> 6) as u8, 0x80 | (number & 0x3F) as u8],
        _ => vec![
            0xE0 | (number >> 12) as u8,
            0x80 | (number >> 6 & 0x3F) as u8,
            0x80 | (number & 0x3F) as u8,
        ],
    }
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| {
            crc << 1 ^ if crc & 0x80 == 0 { 0 } else { 0x07 }
        })
    })
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc: u16, _| {
            crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x8005 }
        })
    })
}
