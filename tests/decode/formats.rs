//! Every format gives back what was said.

use magpie::audio::decode::{SoundFormat, speech_of};

use crate::material::{HOUR, likeness, material, stream};

#[test]
fn each_kind_is_known_by_its_content() {
    for sample in &material().samples {
        assert_eq!(
            SoundFormat::sniff(&sample.bytes),
            Some(sample.format),
            "{}",
            sample.name
        );
        assert_eq!(
            SoundFormat::sniff(&sample.bytes[..64]),
            Some(sample.format),
            "{}: the start alone",
            sample.name
        );
    }
}

#[test]
fn a_whole_file_of_each_kind_is_its_source() {
    let material = material();
    for sample in &material.samples {
        let speech = speech_of(&sample.bytes, None, HOUR)
            .unwrap_or_else(|error| panic!("{}: {error}", sample.name));
        let alike = likeness(&material.source, &speech);
        println!(
            "{}: {} samples of {}, {alike:.4}",
            sample.name,
            speech.len(),
            material.source.len()
        );
        assert!(alike > 0.95, "{}: correlation {alike:.4}", sample.name);
        let length = speech.len() as f64 / material.source.len() as f64;
        assert!(
            (0.97..1.12).contains(&length),
            "{}: length {length:.3}",
            sample.name
        );
    }
}

#[test]
fn a_stream_of_each_kind_is_its_source_however_it_is_cut() {
    let material = material();
    for sample in &material.samples {
        if sample.name == "m4a table last" {
            continue;
        }
        let mut before = None;
        for step in [97, 1_400, 65_536] {
            let streamed = stream(&sample.bytes, step, None, HOUR)
                .unwrap_or_else(|error| panic!("{}: {error}", sample.name));
            if let Some(before) = &before {
                assert!(
                    *before == streamed.samples,
                    "{}: pieces of {step}",
                    sample.name
                );
            } else {
                let alike = likeness(&material.source, &streamed.speech());
                assert!(alike > 0.95, "{}: correlation {alike:.4}", sample.name);
            }
            before = Some(streamed.samples);
        }
    }
}

#[test]
fn sound_comes_long_before_the_end_of_a_stream() {
    for name in [
        "mp3 22 kHz",
        "flac",
        "ogg opus speech",
        "aac adts",
        "wav 16 kHz",
        "webm opus",
    ] {
        let sample = material().get(name);
        let streamed = stream(&sample.bytes, 256, None, HOUR).expect(name);
        println!(
            "{name}: first sound after {} of {} bytes",
            streamed.first_after,
            sample.bytes.len()
        );
        assert!(
            streamed.first_after < sample.bytes.len() / 2,
            "{name}: first sound after {} of {} bytes",
            streamed.first_after,
            sample.bytes.len()
        );
        assert!(streamed.pieces > 3, "{name}: {} pieces", streamed.pieces);
    }
}

#[test]
fn raw_pcm_is_what_its_sender_calls_it() {
    let bytes: Vec<u8> = (0..4_800_i16)
        .flat_map(|n| (n.wrapping_mul(37) % 9_000).to_le_bytes())
        .collect();
    let streamed = stream(&bytes, 333, Some(SoundFormat::Pcm), HOUR).expect("PCM");
    assert_eq!((streamed.samples.len(), streamed.rate_hz), (4_800, 24_000));
}

#[test]
fn a_tag_in_front_of_an_mp3_is_read_over() {
    let sample = material().get("mp3 22 kHz");
    let picture = vec![0xFF; 5_000];
    let size = picture.len();
    let mut tagged = b"ID3\x04\0\0".to_vec();
    tagged.extend([0, 0, (size >> 7) as u8, (size & 0x7F) as u8]);
    tagged.extend(picture);
    tagged.extend_from_slice(&sample.bytes);
    let streamed = stream(&tagged, 500, None, HOUR).expect("tagged");
    let plain = stream(&sample.bytes, 500, None, HOUR).expect("plain");
    assert!(streamed.samples == plain.samples);
    assert!(speech_of(&tagged, None, HOUR) == speech_of(&sample.bytes, None, HOUR));
}
