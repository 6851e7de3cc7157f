//! Hears one phrase: a keyword process that is kept alive and fed with what sounds like a voice.
//!
//! The process gets a group of its own and is killed with it; one that ends is started again after
//! a wait that doubles. A spotter whose process cannot run hears nothing and says so in the log.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::providers::command::{Kept, find_program};
use crate::audio::vad::{VOICE_SCORE, Vad};
use crate::audio::{FRAME_SAMPLES, SPEECH_RATE_HZ};
use crate::limits::{
    WAKE_PIECES_WAITING_MAX, WAKE_RESTART_FIRST, WAKE_RESTART_MAX, WAKE_WRITE_MAX,
};

const PROGRAM: &str = "pocketsphinx_continuous";
/// So many frames without a voice end a run.
const QUIET_FRAMES: usize = 12;
/// Kept from before the first voiced frame.
const LEAD_SAMPLES: usize = 10 * FRAME_SAMPLES;
/// A run is looked at in windows that overlap by half, so that a phrase lies whole in one of them
/// also while somebody else, or the box itself, speaks on.
const WINDOW_SAMPLES: usize = 2 * SPEECH_RATE_HZ as usize;
/// After this much silence the process decides.
const PAUSE_SAMPLES: usize = SPEECH_RATE_HZ as usize * 7 / 10;

/// Clones share one process.
#[derive(Clone)]
pub struct Spotter {
    pieces: mpsc::Sender<Vec<i16>>,
    heard: Rc<Heard>,
}

#[derive(Default)]
struct Heard {
    count: Cell<u64>,
    more: Notify,
}

impl Spotter {
    /// Must be called on the loop. An error says what to install.
    pub fn start(phrase: &str) -> Result<Spotter, String> {
        let program = find_program(PROGRAM)
            .ok_or("install pocketsphinx and pocketsphinx-en-us, or set WAKE=off")?;
        let words = phrase.trim().to_lowercase();
        let argv: Vec<String> = [
            &*program.to_string_lossy(),
            "-infile",
            "/dev/stdin",
            "-keyphrase",
            &words,
            "-kws_threshold",
            "1e-20",
            "-logfn",
            "/dev/null",
        ]
        .map(str::to_owned)
        .to_vec();
        let (pieces, fed) = mpsc::channel(WAKE_PIECES_WAITING_MAX);
        let heard = Rc::new(Heard::default());
        tokio::task::spawn_local(keep_running(argv, fed, Rc::clone(&heard)));
        Ok(Spotter { pieces, heard })
    }

    /// Takes what was heard; what finds the process far behind is not looked at.
    pub fn feed(&self, samples: Vec<i16>) {
        let _ = self.pieces.try_send(samples);
    }

    /// How often the phrase was heard so far.
    pub fn count(&self) -> u64 {
        self.heard.count.get()
    }

    /// Resolves once it was heard more often than `count`.
    pub async fn heard_after(&self, count: u64) {
        while self.count() <= count {
            self.heard.more.notified().await;
        }
    }
}

async fn keep_running(argv: Vec<String>, mut fed: mpsc::Receiver<Vec<i16>>, heard: Rc<Heard>) {
    let mut wait = WAKE_RESTART_FIRST;
    while let Some(first) = fed.recv().await {
        let before = heard.count.get();
        let why = run(&argv, first, &mut fed, &heard).await;
        let Err(why) = why else {
            return;
        };
        log::warn!("event=wake_process_ended error=\"{why}\"");
        if heard.count.get() > before {
            wait = WAKE_RESTART_FIRST;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAKE_RESTART_MAX);
        // What waited meanwhile is old.
        while fed.try_recv().is_ok() {}
    }
}

/// `Ok` when nobody feeds it any more.
async fn run(
    argv: &[String],
    first: Vec<i16>,
    fed: &mut mpsc::Receiver<Vec<i16>>,
    heard: &Heard,
) -> Result<(), String> {
    let mut process = Kept::spawn(argv).map_err(|error| error.to_string())?;
    let (mut input, mut output) = process.pipes().ok_or("it has no pipes")?;
    let mut said = [0; 256];
    let mut next = Some(first);
    loop {
        if let Some(samples) = next.take() {
            let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
            let written = timeout(WAKE_WRITE_MAX, input.write_all(&bytes)).await;
            written
                .map_err(|_| "it does not read what it is fed")?
                .map_err(|error| error.to_string())?;
        }
        tokio::select! {
            piece = fed.recv() => match piece {
                Some(samples) => next = Some(samples),
                None => return Ok(()),
            },
            count = output.read(&mut said) => {
                let count = count.map_err(|error| error.to_string())?;
                if count == 0 {
                    return Err(String::from("it ended by itself"));
                }
                if said[..count].iter().any(u8::is_ascii_alphanumeric) {
                    heard.count.set(heard.count.get() + 1);
                    heard.more.notify_one();
                }
            }
        }
    }
}

/// Lets through what sounds like a voice, with a little before it and a pause behind it.
#[derive(Default)]
pub struct Gate {
    vad: Vad,
    lead: VecDeque<i16>,
    /// Of the run under way, fed since the last window began.
    window: Vec<i16>,
    quiet: usize,
    is_open: bool,
}

impl Gate {
    /// Whether a voice is heard.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// What the process is to be fed after the next frame; empty: nothing.
    pub fn push(&mut self, frame: &[i16; FRAME_SAMPLES]) -> Vec<i16> {
        let is_voice = self.vad.score(frame) >= VOICE_SCORE;
        self.quiet = if is_voice { 0 } else { self.quiet + 1 };
        if !self.is_open {
            self.lead.extend(frame);
            let surplus = self.lead.len().saturating_sub(LEAD_SAMPLES);
            self.lead.drain(..surplus);
            if !is_voice {
                return Vec::new();
            }
            self.is_open = true;
            let lead: Vec<i16> = self.lead.drain(..).collect();
            self.window.clone_from(&lead);
            return lead;
        }
        let mut fed = frame.to_vec();
        let window = &mut self.window;
        window.extend(frame);
        if self.quiet >= QUIET_FRAMES {
            self.is_open = false;
            window.clear();
            fed.extend([0; PAUSE_SAMPLES]);
        } else if window.len() >= WINDOW_SAMPLES {
            window.drain(..WINDOW_SAMPLES / 2);
            fed.extend([0; PAUSE_SAMPLES]);
            fed.extend(&*window);
        }
        fed
    }
}
