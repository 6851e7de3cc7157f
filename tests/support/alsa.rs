//! A sound card made of files: builds the paced ALSA plug-in, configures it, and works its
//! microphone, speaker and faults. Include it with `#[path = "../support/alsa.rs"] mod alsa;`.
#![allow(dead_code)]

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::machine;

/// Names of the card's devices.
pub const MICROPHONE: &str = "paced_mic";
pub const SPEAKER: &str = "paced_speaker";

#[derive(Clone, Copy)]
pub struct Format {
    pub rate_hz: u32,
    pub channels: u16,
}

pub const SPEECH: Format = Format {
    rate_hz: 16_000,
    channels: 1,
};
pub const CD: Format = Format {
    rate_hz: 44_100,
    channels: 2,
};
pub const STUDIO: Format = Format {
    rate_hz: 48_000,
    channels: 1,
};

/// One card in a folder of its own.
pub struct Card {
    folder: PathBuf,
    pub microphone: Format,
    pub speaker: Format,
}

impl Card {
    /// Makes the card's files in `folder`, which must exist and outlive every user of the card.
    pub fn new(folder: &Path, microphone: Format, speaker: Format) -> Card {
        let card = Card {
            folder: folder.to_path_buf(),
            microphone,
            speaker,
        };
        card.say_raw(&[]);
        fs::write(card.config(), card.config_text()).expect("write the ALSA configuration");
        card
    }

    /// The file that `ALSA_CONFIG_PATH` of the program under test has to name.
    pub fn config(&self) -> PathBuf {
        self.folder.join("asound.conf")
    }

    /// What any test program has to call before its first use of sound, when it uses the card in
    /// its own process.
    pub fn use_in_this_process(&self) {
        // SAFETY: called at the start of a test process, before another thread reads the environment.
        unsafe { std::env::set_var("ALSA_CONFIG_PATH", self.config()) };
    }

    fn config_text(&self) -> String {
        let pcm = |name: &str, side: &str, format: Format| {
            let file = |kind: &str| self.folder.join(format!("{side}.{kind}"));
            format!(
                "pcm.{name} {{ type paced file \"{}\" control \"{}\" journal \"{}\" rate {} channels {} \
                 hint {{ show on description \"Paced test {side}\" }} }}\n",
                file("raw").display(),
                file("control").display(),
                file("journal").display(),
                format.rate_hz,
                format.channels,
            )
        };
        let fake = |name: &str, body: &str| {
            format!("pcm.{name} {{ {body} hint {{ show on description \"{name}\" }} }}\n")
        };
        let asym = format!("type asym capture.pcm {MICROPHONE} playback.pcm {SPEAKER}");
        let null_plug = "type plug slave.pcm timeless_null";
        format!("pcm_type.paced {{ lib \"{}\" }}\n", plugin().display())
            + &pcm(MICROPHONE, "microphone", self.microphone)
            + &pcm(SPEAKER, "speaker", self.speaker)
            + &fake("default", &asym)
            + &fake("timeless_null", "type null")
            + &fake("hidden_null", null_plug)
            + &fake(
                "timeless_file",
                "type file slave.pcm timeless_null file /dev/null format raw",
            )
    }

    /// Puts mono samples of the microphone's rate before it, from their beginning, in place of what
    /// it heard so far. Silence follows them.
    pub fn say(&self, samples: &[i16]) {
        let channels = usize::from(self.microphone.channels);
        let frames: Vec<i16> = samples
            .iter()
            .flat_map(|sample| std::iter::repeat_n(*sample, channels))
            .collect();
        self.say_raw(&frames);
    }

    fn say_raw(&self, samples: &[i16]) {
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        let next = self.folder.join("microphone.next");
        fs::write(&next, bytes).expect("write the microphone's sound");
        fs::rename(next, self.folder.join("microphone.raw")).expect("swap the microphone's sound");
    }

    /// All frames that the speaker has got, first channel only.
    pub fn heard(&self) -> Vec<i16> {
        self.heard_from(0)
    }

    /// The same from a frame on, without reading what came before it.
    pub fn heard_from(&self, frame: usize) -> Vec<i16> {
        let frame_bytes = 2 * usize::from(self.speaker.channels);
        let mut bytes = Vec::new();
        if let Ok(mut file) = fs::File::open(self.folder.join("speaker.raw")) {
            let at = SeekFrom::Start((frame * frame_bytes) as u64);
            let read = file.seek(at).and_then(|_| file.read_to_end(&mut bytes));
            read.expect("read what the speaker got");
        }
        bytes
            .chunks_exact(frame_bytes)
            .map(|frame| i16::from_le_bytes([frame[0], frame[1]]))
            .collect()
    }

    /// The frame of the speaker's file that passes the card at a time of `CLOCK_MONOTONIC`.
    pub fn speaker_frame_at(&self, monotonic: Duration) -> u64 {
        let at_ns = monotonic.as_nanos() as i128;
        let marks = self.marks("speaker").into_iter();
        let mark = marks.take_while(|(ns, _)| *ns <= at_ns).last();
        let (start_ns, frame) = mark.unwrap_or((at_ns, 0));
        (frame + (at_ns - start_ns) * i128::from(self.speaker.rate_hz) / 1_000_000_000) as u64
    }

    /// When a frame of the speaker's file passes the card, on `CLOCK_MONOTONIC`.
    pub fn speaker_time_of(&self, frame: u64) -> Duration {
        self.time_of("speaker", self.speaker, frame)
    }

    /// The same of the microphone's file.
    pub fn microphone_time_of(&self, frame: u64) -> Duration {
        self.time_of("microphone", self.microphone, frame)
    }

    fn time_of(&self, side: &str, format: Format, frame: u64) -> Duration {
        let marks = self.marks(side).into_iter();
        let mark = marks.take_while(|(_, at)| *at <= i128::from(frame)).last();
        let (start_ns, first) = mark.unwrap_or((0, 0));
        let after = (i128::from(frame) - first) * 1_000_000_000 / i128::from(format.rate_hz);
        Duration::from_nanos((start_ns + after) as u64)
    }

    /// Times in nanoseconds at which a side's clock started or had to wait, each with its frame.
    fn marks(&self, side: &str) -> Vec<(i128, i128)> {
        let journal = self.folder.join(format!("{side}.journal"));
        let journal = fs::read_to_string(journal).unwrap_or_default();
        let mark = |line: &str| {
            let (ns, frame) = line.split_once(' ')?;
            Some((ns.parse().ok()?, frame.parse().ok()?))
        };
        journal.lines().filter_map(mark).collect()
    }

    pub fn stall_microphone(&self) {
        self.control("microphone", "stall");
    }
    pub fn stall_speaker(&self) {
        self.control("speaker", "stall");
    }
    pub fn unplug(&self) {
        self.control("microphone", "gone");
        self.control("speaker", "gone");
    }
    pub fn occupy(&self) {
        self.control("microphone", "busy");
        self.control("speaker", "busy");
    }
    /// Ends [`Card::unplug`] and [`Card::occupy`].
    pub fn plug_in(&self) {
        for side in ["microphone", "speaker"] {
            let _ = fs::remove_file(self.folder.join(format!("{side}.control")));
        }
    }

    fn control(&self, side: &str, word: &str) {
        let next = self.folder.join(format!("{side}.order"));
        fs::write(&next, word).expect("write the card's orders");
        fs::rename(next, self.folder.join(format!("{side}.control"))).expect("give the order");
    }
}

/// Now, by the clock that the card's journal uses.
pub fn monotonic() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid place for the time.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Builds the plug-in once for all tests that share a target folder; safe to call from many at once.
pub fn plugin() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/alsa/pcm_paced.c");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).to_path_buf();
    let text = fs::read(&source).expect("read the plug-in's source");
    let built = folder.join(format!(
        "libpcm_paced-{}-{:016x}.so",
        std::env::consts::ARCH,
        fingerprint(&text)
    ));
    if built.exists() {
        return built;
    }
    fs::create_dir_all(&folder).expect("make the folder for built plug-ins");
    // A name of its own, then a rename: whoever comes second replaces it by the same thing.
    let mine = tempfile::Builder::new()
        .prefix("libpcm_paced")
        .tempfile_in(&folder)
        .expect("make a file for the plug-in")
        .into_temp_path();
    machine::library(&source, &mine, &["-DPIC", "-lasound"]);
    mine.persist(&built).expect("put the plug-in in its place");
    built
}

fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Speech by flite as mono samples of the wanted rate.
pub fn speak(text: &str, voice: &str, rate_hz: u32) -> Vec<i16> {
    let folder = tempfile::tempdir().expect("make a folder for speech");
    let wav = folder.path().join("speech.wav");
    let spoken = Command::new("flite")
        .args(["-voice", voice, "-t", text, "-o"])
        .arg(&wav)
        .status()
        .expect("run flite (apt install flite)");
    assert!(spoken.success(), "flite does not speak");
    let raw = Command::new("sox")
        .arg(&wav)
        .args(["-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r"])
        .arg(rate_hz.to_string())
        .arg("-")
        .output()
        .expect("run sox (apt install sox)");
    assert!(raw.status.success(), "sox does not convert");
    let _ = std::io::stderr().write_all(&raw.stderr);
    raw.stdout
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect()
}
