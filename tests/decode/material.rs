//! One spoken sentence in every format, made once; and how alike two sounds are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use magpie::audio::decode::{DecodeError, Decoder, Sound, SoundFormat};
use magpie::audio::{resample, wav};

use crate::mux;

pub const HOUR: Duration = Duration::from_secs(3_600);

pub struct Sample {
    pub name: &'static str,
    pub format: SoundFormat,
    pub bytes: Vec<u8>,
}

pub struct Material {
    /// Mono, 16 kHz.
    pub source: Vec<i16>,
    pub samples: Vec<Sample>,
}

impl Material {
    pub fn get(&self, name: &str) -> &Sample {
        self.samples
            .iter()
            .find(|sample| sample.name == name)
            .expect("a sample of this name")
    }
}

pub fn material() -> &'static Material {
    static MATERIAL: OnceLock<Material> = OnceLock::new();
    MATERIAL.get_or_init(make)
}

fn make() -> Material {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let source = folder.join("source.wav");
    tool(
        "flite",
        &[
            "-voice",
            "slt",
            "-t",
            "The blue key is under the flower pot.",
            "-o",
        ],
        &source,
    );
    let bytes = std::fs::read(&source).expect("a WAV");
    let samples = wav::decode_speech(&bytes, HOUR).expect("speech");
    let made = |name: &str, arguments: &[&str]| {
        let out = folder.join(name);
        let mut all = vec!["-V1", source.to_str().expect("a path"), "-G"];
        all.extend_from_slice(arguments);
        tool("sox", &all, &out);
        std::fs::read(out).expect("what sox made")
    };
    let opus = |name: &str, arguments: &[&str]| {
        let out = folder.join(name);
        let mut all = vec!["--quiet", "--max-delay", "100"];
        all.extend_from_slice(arguments);
        all.push(source.to_str().expect("a path"));
        tool("opusenc", &all, &out);
        std::fs::read(out).expect("what opusenc made")
    };
    let ogg_opus = opus("voice.opus", &["--bitrate", "32"]);
    let ogg_opus_music = opus("music.opus", &["--music", "--bitrate", "96"]);
    let adts = mux::adts_of(&folder.join("aac"), &samples);
    let sample = |name, format, bytes| Sample {
        name,
        format,
        bytes,
    };
    use SoundFormat::{Aac, Flac, Mp3, Mp4, Ogg, Wav, WebM};
    let samples_made = vec![
        sample("wav 16 kHz", Wav, bytes),
        sample(
            "wav stereo 44.1 kHz",
            Wav,
            made("s.wav", &["-r", "44100", "-c", "2"]),
        ),
        sample(
            "mp3 22 kHz",
            Mp3,
            made("a.mp3", &["-r", "22050", "-C", "64"]),
        ),
        sample(
            "mp3 stereo 44.1 kHz",
            Mp3,
            made("b.mp3", &["-r", "44100", "-c", "2", "-C", "128"]),
        ),
        sample("flac", Flac, made("a.flac", &[])),
        sample(
            "flac stereo 48 kHz",
            Flac,
            made("b.flac", &["-r", "48000", "-c", "2"]),
        ),
        sample("ogg vorbis", Ogg, made("a.ogg", &["-r", "44100"])),
        sample("ogg opus speech", Ogg, ogg_opus.clone()),
        sample("ogg opus music", Ogg, ogg_opus_music),
        sample("webm opus", WebM, mux::webm(&mux::ogg_packets(&ogg_opus))),
        sample("aac adts", Aac, adts.clone()),
        sample("m4a plain", Mp4, mux::mp4(&adts, mux::Layout::TableFirst)),
        sample(
            "m4a table last",
            Mp4,
            mux::mp4(&adts, mux::Layout::TableLast),
        ),
        sample(
            "m4a fragmented",
            Mp4,
            mux::mp4(&adts, mux::Layout::Fragmented),
        ),
    ];
    Material {
        source: samples,
        samples: samples_made,
    }
}

fn tool(name: &str, arguments: &[&str], out: &Path) {
    let made = Command::new(name)
        .args(arguments)
        .arg(out)
        .stdout(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{name}: {error}; run tools/setup test"));
    assert!(made.success(), "{name} {arguments:?}");
}

/// Builds and runs a program of one C file.
pub fn c_program(source: &str, libraries: &[&str], folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).expect("a folder");
    let program = folder.join("program");
    let file = folder.join("program.c");
    std::fs::write(&file, source).expect("the source");
    let built = Command::new("cc")
        .arg("-O1")
        .arg(&file)
        .arg("-o")
        .arg(&program)
        .args(libraries)
        .status()
        .expect("a C compiler");
    assert!(built.success(), "the C compiler failed");
    program
}

/// Pushes in pieces of `step` bytes and takes what comes, as the room does with a network answer.
pub fn stream(
    bytes: &[u8],
    step: usize,
    claimed: Option<SoundFormat>,
    max: Duration,
) -> Result<Streamed, DecodeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut decoder = Decoder::new(claimed, max);
        let mut streamed = Streamed::default();
        for piece in bytes.chunks(step) {
            decoder.push(piece.to_vec())?;
            streamed.pushed += piece.len();
            while let Some(sound) = decoder.next().await? {
                streamed.take(sound);
            }
        }
        decoder.finish();
        while let Some(sound) = decoder.next().await? {
            streamed.take(sound);
        }
        Ok(streamed)
    })
}

#[derive(Default)]
pub struct Streamed {
    pub samples: Vec<i16>,
    pub rate_hz: u32,
    pub pieces: usize,
    pushed: usize,
    /// Bytes that had been pushed when the first piece came.
    pub first_after: usize,
}

impl Streamed {
    fn take(&mut self, sound: Sound) {
        if self.pieces == 0 {
            self.first_after = self.pushed;
        }
        self.pieces += 1;
        self.rate_hz = sound.rate_hz;
        self.samples.extend(sound.samples);
    }

    pub fn speech(&self) -> Vec<i16> {
        resample::resample(&self.samples, self.rate_hz, 16_000)
    }
}

/// The correlation of the two sounds at the shift, of at most a tenth of a second, that suits best.
pub fn likeness(a: &[i16], b: &[i16]) -> f64 {
    let at = |shift: isize, count: usize, from: usize| {
        let (a_from, b_from) = if shift < 0 {
            (shift.unsigned_abs(), 0)
        } else {
            (0, shift.unsigned_abs())
        };
        let a = a.get(a_from + from..).unwrap_or_default();
        let b = b.get(b_from + from..).unwrap_or_default();
        correlation(&a[..count.min(a.len())], &b[..count.min(b.len())])
    };
    // Found by a piece of it, and measured over all of it.
    let best = |shifts: Vec<isize>, count, from| {
        shifts
            .into_iter()
            .map(|shift| (at(shift, count, from), shift))
            .fold(
                (-1.0, 0),
                |best, next| if next.0 > best.0 { next } else { best },
            )
    };
    let (_, near) = best((-1_600..=1_600).step_by(2).collect(), 2_000, 8_000);
    best((near - 2..=near + 2).collect(), usize::MAX, 0).0
}

fn correlation(a: &[i16], b: &[i16]) -> f64 {
    let (mut ab, mut aa, mut bb) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa * bb).sqrt().max(1.0)
}

/// Writes what no tool makes as seeds for the fuzz target: run it after a change of `mux`.
#[test]
#[ignore = "writes into fuzz/seeds"]
fn seeds_of_containers_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let short = &material().source[4_000..12_000];
    let adts = mux::adts_of(&folder.path().join("aac"), short);
    let wav = folder.path().join("short.wav");
    std::fs::write(&wav, wav::encode(short, 16_000)).expect("a file");
    let opus = folder.path().join("short.opus");
    let wav = wav.to_str().expect("a path");
    tool("opusenc", &["--quiet", "--bitrate", "12", wav], &opus);
    let packets = mux::ogg_packets(&std::fs::read(opus).expect("Opus"));
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/decode");
    for (name, bytes) in [
        ("aac", adts.clone()),
        ("m4a", mux::mp4(&adts, mux::Layout::TableFirst)),
        ("m4a_last", mux::mp4(&adts, mux::Layout::TableLast)),
        ("m4a_parts", mux::mp4(&adts, mux::Layout::Fragmented)),
        ("webm", mux::webm(&packets)),
    ] {
        std::fs::write(seeds.join(name), [&[9], &bytes[..]].concat()).expect("a seed");
    }
}
