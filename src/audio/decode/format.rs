//! What kind of sound some bytes are.

use std::fmt;

use super::DecodeError;

/// Enough of a file's start for [`SoundFormat::sniff`] to be sure.
pub(super) const SNIFF_BYTES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SoundFormat {
    Wav,
    Mp3,
    Flac,
    /// Vorbis, Opus or FLAC in Ogg.
    Ogg,
    /// AAC in ADTS frames.
    Aac,
    /// AAC or Opus in MP4, plain (`m4a`) or in fragments.
    Mp4,
    /// Opus or Vorbis in WebM or Matroska.
    WebM,
    /// Headerless s16le at [`SoundFormat::PCM_RATE_HZ`], as speech providers send it.
    Pcm,
}

impl SoundFormat {
    pub const PCM_RATE_HZ: u32 = 24_000;

    /// By content alone; raw PCM has no mark and is never found.
    pub fn sniff(bytes: &[u8]) -> Option<SoundFormat> {
        let magic = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|b| b.starts_with(magic));
        if (magic(0, b"RIFF") || magic(0, b"RF64")) && magic(8, b"WAVE") {
            Some(SoundFormat::Wav)
        } else if magic(0, b"fLaC") {
            Some(SoundFormat::Flac)
        } else if magic(0, b"OggS") {
            Some(SoundFormat::Ogg)
        } else if magic(0, &[0x1A, 0x45, 0xDF, 0xA3]) {
            Some(SoundFormat::WebM)
        } else if magic(4, b"ftyp") || magic(4, b"moov") || magic(4, b"moof") || magic(4, b"styp") {
            Some(SoundFormat::Mp4)
        } else if let Some(tag_bytes) = id3_bytes(bytes) {
            let behind = bytes.get(tag_bytes..).and_then(SoundFormat::sniff);
            Some(behind.unwrap_or(SoundFormat::Mp3))
        } else {
            frame_sync(bytes)
        }
    }

    /// By the type or the name that a sender gave it.
    pub fn of_type(content_type: &str) -> Option<SoundFormat> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        let name = essence
            .rsplit(['/', '.'])
            .next()
            .unwrap_or_default()
            .trim_start_matches("x-");
        Some(match name {
            "wav" | "wave" | "vnd.wave" => SoundFormat::Wav,
            "mp3" | "mpeg" | "mpga" | "mpeg3" => SoundFormat::Mp3,
            "flac" => SoundFormat::Flac,
            "ogg" | "oga" | "opus" | "vorbis" => SoundFormat::Ogg,
            "aac" | "aacp" | "adts" => SoundFormat::Aac,
            "mp4" | "m4a" | "mp4a-latm" => SoundFormat::Mp4,
            "webm" | "matroska" | "mka" | "mkv" => SoundFormat::WebM,
            "pcm" | "l16" | "s16le" => SoundFormat::Pcm,
            _ if essence == "audio/vnd.wave" => SoundFormat::Wav,
            _ => return None,
        })
    }

    /// What it is, whatever it was called; the error names both.
    pub(super) fn found(
        bytes: &[u8],
        claimed: Option<SoundFormat>,
    ) -> Result<SoundFormat, DecodeError> {
        if let Some(format) = SoundFormat::sniff(bytes) {
            // Headerless samples may look like a frame of anything, but not like a file.
            let by_chance =
                matches!(format, SoundFormat::Mp3 | SoundFormat::Aac) && id3_bytes(bytes).is_none();
            if claimed == Some(SoundFormat::Pcm) && by_chance {
                return Ok(SoundFormat::Pcm);
            }
            return Ok(format);
        }
        let stranger = stranger(bytes);
        // A single byte tells nothing of samples.
        if claimed == Some(SoundFormat::Pcm) && stranger.is_none_or(|(mark, _)| mark.len() < 3) {
            return Ok(SoundFormat::Pcm);
        }
        let what = match (bytes.is_empty(), stranger) {
            (true, _) => "the sound is empty".to_string(),
            (_, Some((_, name))) => format!("this is {name}"),
            _ => "this is no kind of sound that is understood".to_string(),
        };
        let called = match claimed {
            Some(claimed) if !bytes.is_empty() => format!(", though it is called {claimed}"),
            _ => String::new(),
        };
        Err(DecodeError::Unsupported(format!(
            "{what}{called}; send WAV, MP3, FLAC, Ogg, AAC, M4A or WebM"
        )))
    }

    pub fn name(self) -> &'static str {
        match self {
            SoundFormat::Wav => "WAV",
            SoundFormat::Mp3 => "MP3",
            SoundFormat::Flac => "FLAC",
            SoundFormat::Ogg => "Ogg",
            SoundFormat::Aac => "AAC",
            SoundFormat::Mp4 => "MP4",
            SoundFormat::WebM => "WebM",
            SoundFormat::Pcm => "raw PCM",
        }
    }

    pub fn mime(self) -> &'static str {
        match self {
            SoundFormat::Wav => "audio/wav",
            SoundFormat::Mp3 => "audio/mpeg",
            SoundFormat::Flac => "audio/flac",
            SoundFormat::Ogg => "audio/ogg",
            SoundFormat::Aac => "audio/aac",
            SoundFormat::Mp4 => "audio/mp4",
            SoundFormat::WebM => "audio/webm",
            SoundFormat::Pcm => "audio/pcm",
        }
    }

    /// Of a file's name, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            SoundFormat::Wav => "wav",
            SoundFormat::Mp3 => "mp3",
            SoundFormat::Flac => "flac",
            SoundFormat::Ogg => "ogg",
            SoundFormat::Aac => "aac",
            SoundFormat::Mp4 => "m4a",
            SoundFormat::WebM => "webm",
            SoundFormat::Pcm => "pcm",
        }
    }
}

impl fmt::Display for SoundFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Length of an ID3v2 tag at the start, which players put before MP3 and others before AAC.
pub(super) fn id3_bytes(bytes: &[u8]) -> Option<usize> {
    let head = bytes.first_chunk::<10>()?;
    if !head.starts_with(b"ID3") || head[3] == 0xFF || head[6..].iter().any(|byte| *byte >= 0x80) {
        return None;
    }
    let size = head[6..]
        .iter()
        .fold(0, |size, byte| size << 7 | usize::from(*byte));
    let footer = if head[5] & 0x10 == 0 { 0 } else { 10 };
    Some(10 + size + footer)
}

/// The head of an MP3 or ADTS frame, and of the next one where the bytes go so far.
fn frame_sync(bytes: &[u8]) -> Option<SoundFormat> {
    let (format, length) = frame_at(bytes)?;
    match bytes.get(length..).filter(|rest| rest.len() >= 7) {
        Some(next) => (frame_at(next)?.0 == format).then_some(format),
        None => Some(format),
    }
}

fn frame_at(bytes: &[u8]) -> Option<(SoundFormat, usize)> {
    let head = bytes.first_chunk::<7>()?;
    if head[0] != 0xFF || head[1] & 0xE0 != 0xE0 {
        return None;
    }
    if head[1] & 0xF6 == 0xF0 {
        let rate = head[2] >> 2 & 0xF;
        let length =
            usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5]) >> 5;
        return (rate < 13 && length >= 7).then_some((SoundFormat::Aac, length));
    }
    let (version, layer) = (head[1] >> 3 & 3, head[1] >> 1 & 3);
    let (bitrate, rate) = (head[2] >> 4, head[2] >> 2 & 3);
    if version == 1 || layer != 1 || !(1..15).contains(&bitrate) || rate == 3 {
        return None;
    }
    const KBITS_1: [usize; 14] = [
        32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ];
    const KBITS_2: [usize; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    let row = usize::from(bitrate) - 1;
    let rate_hz = [44_100, 48_000, 32_000][usize::from(rate)];
    let padding = usize::from(head[2] >> 1 & 1);
    let length = match version {
        3 => 144_000 * KBITS_1[row] / rate_hz,
        2 => 72_000 * KBITS_2[row] / (rate_hz / 2),
        _ => 72_000 * KBITS_2[row] / (rate_hz / 4),
    };
    Some((SoundFormat::Mp3, length + padding))
}

/// The name of what else people take for sound.
fn stranger(bytes: &[u8]) -> Option<(&'static [u8], &'static str)> {
    const MARKS: &[(&[u8], &str)] = &[
        (b"FORM", "AIFF"),
        (b"caff", "CAF"),
        (b"#!AMR", "AMR"),
        (b".snd", "AU"),
        (b"\x30\x26\xB2\x75", "WMA"),
        (b"MThd", "MIDI"),
        (b"wvpk", "WavPack"),
        (b"MAC ", "Monkey's Audio"),
        (b"RIFF", "a RIFF file without WAVE"),
        (b"%PDF", "a PDF"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x89PNG", "a picture"),
        (b"\xFF\xD8\xFF", "a picture"),
        (b"\x1F\x8B", "gzip"),
        (b"<", "a page or XML"),
        (b"{", "JSON"),
    ];
    let mark = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark));
    mark.copied()
}
