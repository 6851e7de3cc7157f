//! WAV as engines and clients exchange it: PCM of 16 bits in, mono out.

use std::io::Cursor;

/// A whole WAV of mono samples.
pub fn encode(samples: &[i16], rate_hz: u32) -> Vec<u8> {
    let data_bytes = (samples.len() * 2) as u32;
    let mut bytes = Vec::with_capacity(44 + samples.len() * 2);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + data_bytes).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend_from_slice(&rate_hz.to_le_bytes());
    bytes.extend_from_slice(&(rate_hz * 2).to_le_bytes());
    bytes.extend_from_slice(b"\x02\0\x10\0data");
    bytes.extend_from_slice(&data_bytes.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}

/// Samples and rate; several channels are mixed to one. A length in the header that goes beyond
/// the end, as programs write it into a pipe, counts as "to the end".
pub fn decode(bytes: &[u8]) -> Result<(Vec<i16>, u32), String> {
    let reader = hound::WavReader::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let spec = reader.spec();
    if spec.channels == 0 || spec.channels > 8 || !(4_000..=192_000).contains(&spec.sample_rate) {
        return Err(format!(
            "{} channels at {} Hz",
            spec.channels, spec.sample_rate
        ));
    }
    let channels = usize::from(spec.channels);
    let samples: Vec<i16> = match (spec.sample_format, spec.bits_per_sample) {
        (hound::SampleFormat::Int, bits @ 8..=32) => reader
            .into_samples::<i32>()
            .map_while(Result::ok)
            .map(|sample| {
                if bits >= 16 {
                    sample >> (bits - 16)
                } else {
                    sample << (16 - bits)
                }
            })
            .map(|sample| sample as i16)
            .collect(),
        (hound::SampleFormat::Float, 32) => reader
            .into_samples::<f32>()
            .map_while(Result::ok)
            .map(|sample| (sample.clamp(-1.0, 1.0) * 32_767.0) as i16)
            .collect(),
        (_, bits) => return Err(format!("{bits} bits a sample are not understood")),
    };
    let mono = match channels {
        1 => samples,
        _ => samples
            .chunks_exact(channels)
            .map(|frame| {
                let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
                (sum / channels as i32) as i16
            })
            .collect(),
    };
    Ok((mono, spec.sample_rate))
}
