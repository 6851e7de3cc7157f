//! Real sound: made by flite or espeak-ng, encoded by sox, lame and opusenc, and decoded again by
//! them to see that what arrives is what it claims to be.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// What speech comes in, as the provider's own voices do.
pub const RATE_HZ: u32 = 24_000;

type Made = Mutex<HashMap<(String, String), Vec<u8>>>;

/// `text` spoken, in `format` (`wav`, `mp3`, `flac`, `pcm`, `opus`, `ogg`); made once a process.
pub fn speak(text: &str, format: &str) -> Vec<u8> {
    static MADE: OnceLock<Made> = OnceLock::new();
    let made = MADE.get_or_init(Made::default);
    let key = (text.to_owned(), format.to_owned());
    if let Some(bytes) = made.lock().expect("no panic").get(&key) {
        return bytes.clone();
    }
    let bytes = encode(&spoken_pcm(text), RATE_HZ, format);
    made.lock().expect("no panic").insert(key, bytes.clone());
    bytes
}

/// s16le mono at [`RATE_HZ`].
fn spoken_pcm(text: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let wav = folder.path().join("speech.wav");
    let wav = wav.to_str().expect("a path");
    if text.is_ascii() {
        run("flite", &["-voice", "slt", "-t", text, "-o", wav], b"");
    } else {
        run("espeak-ng", &["-v", "cmn", "-w", wav, text], b"");
    }
    let rate = RATE_HZ.to_string();
    run("sox", &[wav, "-t", "s16", "-r", &rate, "-c", "1", "-"], b"")
}

/// Mono samples as a file of the format.
pub fn encode(pcm: &[u8], rate_hz: u32, format: &str) -> Vec<u8> {
    let rate = rate_hz.to_string();
    let raw = ["-t", "s16", "-r", &rate, "-c", "1", "-"];
    match format {
        "pcm" => pcm.to_vec(),
        "wav" => wav(pcm, rate_hz),
        "flac" | "ogg" => run("sox", &[&raw[..], &["-t", format, "-"]].concat(), pcm),
        "mp3" => {
            let khz = format!("{}", f64::from(rate_hz) / 1000.0);
            let options = [
                "-r",
                "-s",
                &khz,
                "-m",
                "m",
                "--bitwidth",
                "16",
                "--signed",
                "--little-endian",
                "--quiet",
                "-b",
                "64",
                "-",
                "-",
            ];
            run("lame", &options, pcm)
        }
        "opus" => {
            let options = [
                "--quiet",
                "--raw",
                "--raw-rate",
                &rate,
                "--raw-chan",
                "1",
                "-",
                "-",
            ];
            run("opusenc", &options, pcm)
        }
        other => panic!("nothing here makes {other}"),
    }
}

/// As a provider streams it: the sizes are not known when the head leaves.
fn wav(pcm: &[u8], rate_hz: u32) -> Vec<u8> {
    let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    bytes.extend(rate_hz.to_le_bytes());
    bytes.extend((rate_hz * 2).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data\xff\xff\xff\xff");
    bytes.extend(pcm);
    bytes
}

/// Seconds of a sound, or why it is not what `extension` says.
pub fn length_of(bytes: &[u8], extension: &str) -> Result<f64, String> {
    let magic: &[(&str, &[u8], usize)] = &[
        ("wav", b"RIFF", 0),
        ("flac", b"fLaC", 0),
        ("ogg", b"OggS", 0),
        ("oga", b"OggS", 0),
        ("webm", &[0x1A, 0x45, 0xDF, 0xA3], 0),
        ("mp4", b"ftyp", 4),
        ("m4a", b"ftyp", 4),
    ];
    if let Some((_, mark, at)) = magic.iter().find(|(name, _, _)| *name == extension)
        && !bytes.get(*at..).is_some_and(|rest| rest.starts_with(mark))
    {
        return Err(format!("the file is called {extension} and is none"));
    }
    match extension {
        "wav" => wav_length(bytes),
        "flac" => sox_length(bytes, "flac"),
        "ogg" | "oga" if bytes.windows(8).take(100).any(|w| w == b"OpusHead") => {
            let pcm = try_run("opusdec", &["--quiet", "--rate", "16000", "-", "-"], bytes)?;
            Ok(pcm.len() as f64 / 32_000.0)
        }
        "ogg" | "oga" => sox_length(bytes, "ogg"),
        "mp3" | "mpga" | "mpeg" => {
            let wav = try_run(
                "lame",
                &["--quiet", "--mp3input", "--decode", "-", "-"],
                bytes,
            )?;
            if wav.len() < 100 {
                return Err(String::from("there is no sound in the mp3"));
            }
            Ok(wav.len() as f64 / 32_000.0)
        }
        // No tool of the tests decodes these; their mark was looked at.
        "webm" | "mp4" | "m4a" => Ok(1.0),
        other => Err(format!("{other} is no kind of sound that is taken")),
    }
}

/// Every field of the head is right, and the sizes are those of the file.
fn wav_length(bytes: &[u8]) -> Result<f64, String> {
    let word = |at: usize| -> Result<u32, String> {
        let field = bytes.get(at..at + 4).ok_or("the WAV ends in its head")?;
        Ok(u32::from_le_bytes([field[0], field[1], field[2], field[3]]))
    };
    if &bytes[8..12] != b"WAVE" || &bytes[12..16] != b"fmt " {
        return Err(String::from("the WAV has no fmt chunk"));
    }
    if word(4)? as usize != bytes.len() - 8 {
        return Err(String::from("the WAV's RIFF size is not that of the file"));
    }
    let (kind, rate, data) = (word(20)?, word(24)?, 20 + word(16)? as usize);
    if kind != 0x0001_0001 || word(32)? != 0x0010_0002 || word(28)? != rate * 2 {
        return Err(String::from("the WAV is no 16 bit mono"));
    }
    if bytes.get(data..data + 4) != Some(b"data")
        || word(data + 4)? as usize != bytes.len() - data - 8
    {
        return Err(String::from("the WAV's data size is not that of the file"));
    }
    Ok((bytes.len() - data - 8) as f64 / 2.0 / f64::from(rate))
}

fn sox_length(bytes: &[u8], kind: &str) -> Result<f64, String> {
    let pcm = try_run(
        "sox",
        &["-t", kind, "-", "-t", "s16", "-r", "16000", "-c", "1", "-"],
        bytes,
    )?;
    Ok(pcm.len() as f64 / 32_000.0)
}

fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    try_run(program, arguments, input).unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn try_run(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program} is not there ({error}); run tools/setup"))?;
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let ended = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let _ = feeding.join();
    if !ended.status.success() {
        return Err(String::from_utf8_lossy(&ended.stderr).into_owned());
    }
    Ok(ended.stdout)
}
