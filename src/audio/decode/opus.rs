//! Opus packets, out of whatever container, into mono samples.

use opus_decoder::OpusDecoder;

/// A packet holds at most 120 ms.
const PACKET_MS_MAX: usize = 120;
/// What the coding counts its delay in, at any rate.
const CLOCK_HZ: u32 = 48_000;

pub(super) struct Opus {
    decoder: OpusDecoder,
    rate_hz: u32,
    /// Samples at the start that are the coding's own run-up.
    skip: usize,
    pcm: Vec<i16>,
}

impl Opus {
    /// `head` is the identification header, where the container has one. Gives samples at
    /// `rate_hz`: 8, 12, 16, 24 or 48 kHz.
    pub fn new(head: Option<&[u8]>, rate_hz: u32) -> Result<Opus, String> {
        let head = head.filter(|head| head.len() >= 19 && head.starts_with(b"OpusHead"));
        if let Some(head) = head {
            // Families above 0 hold several streams in one packet.
            let (channels, family) = (head[9], head[18]);
            if family != 0 || !(1..=2).contains(&channels) {
                return Err(format!("{channels} channels of Opus; send one or two"));
            }
        }
        let pre_skip = head.map_or(0, |head| u16::from_le_bytes([head[10], head[11]]));
        Ok(Opus {
            decoder: OpusDecoder::new(rate_hz, 1).map_err(|error| error.to_string())?,
            rate_hz,
            skip: (u32::from(pre_skip) * (rate_hz / 1_000) / (CLOCK_HZ / 1_000)) as usize,
            pcm: vec![0; rate_hz as usize * PACKET_MS_MAX / 1_000],
        })
    }

    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    pub fn decode(&mut self, packet: &[u8]) -> Result<&[i16], String> {
        if packet.is_empty() {
            return Ok(&[]);
        }
        let decoded = self.decoder.decode(packet, &mut self.pcm, false);
        let count = decoded.map_err(|error| error.to_string())?;
        let skipped = self.skip.min(count);
        self.skip -= skipped;
        Ok(self.pcm.get(skipped..count).unwrap_or_default())
    }
}
