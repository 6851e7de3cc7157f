//! `magpie satellite`: this machine's microphone and speaker as an ear and a mouth of a box in
//! another room.
//!
//! Listens for a voice here, sends what is said there, and plays what comes back. The connection
//! is made again by itself, for ever. Nothing is sent before somebody speaks (or presses Enter)
//! but greetings.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::audio::vad::VOICE_SCORE;
use crate::audio::{
    Audio, AudioError, AudioOptions, Capture, Earcon, FRAME_SAMPLES, Playback, Vad,
};
use crate::config::Config;
use crate::limits::{RING_ROUND, SATELLITE_RETRY, SATELLITE_RETRY_MAX};
use crate::ops::Registry;
use crate::outbound::backoff::random;
use crate::outbound::socket::{ClientSocket, SocketMessage, SocketRequest};

/// Sound from before the voice was noticed: 304 ms.
const PREROLL_FRAMES: usize = 19;
/// Voiced frames of the last six that count as somebody speaking.
const VOICED_MIN: u32 = 4;
const VOICED_WINDOW: u8 = 0b11_1111;

pub fn definition() -> Command {
    Command::new("satellite")
        .about("Be a microphone and speaker of a box in another room")
        .long_about(
            "Connects to a box elsewhere in the house and lends it this machine's microphone and \
             speaker (AUDIO_INPUT, AUDIO_OUTPUT). It listens for a voice; with --push it listens \
             when Enter is pressed. The connection is made again by itself.",
        )
        .after_help(
            "Examples:\n  magpie satellite --url ws://magpie.local:8080/ws --token TOKEN\n  \
             magpie satellite --url wss://magpie.local:8443/ws --ca magpie-ca.pem --push",
        )
        .arg(
            Arg::new("url")
                .long("url")
                .required(true)
                .help("Where the box answers: ws://HOST:8080/ws or wss://HOST:8443/ws"),
        )
        .arg(
            Arg::new("token")
                .long("token")
                .help("Token of this device, from pairing; or SATELLITE_TOKEN in the environment"),
        )
        .arg(
            Arg::new("ca")
                .long("ca")
                .value_name("FILE")
                .help("The box's own authority as PEM, for wss://"),
        )
        .arg(
            Arg::new("push")
                .long("push")
                .action(ArgAction::SetTrue)
                .help("Listen when Enter is pressed, not when somebody speaks"),
        )
}

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let text = |name| matches.get_one::<String>(name).cloned();
    let url = text("url").unwrap_or_default();
    let url: http::Uri = url
        .parse()
        .map_err(|_| format!("{url:?} is no address; give ws://HOST:PORT/ws"))?;
    let extra_authorities = match text("ca") {
        Some(path) => std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?,
        None => Vec::new(),
    };
    let request = SocketRequest {
        url,
        // A token on a command line is seen by every user of the machine.
        token: text("token").or_else(|| std::env::var("SATELLITE_TOKEN").ok()),
        extra_authorities,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the event loop could not be started: {error}"))?;
    let push = matches.get_flag("push");
    tokio::task::LocalSet::new()
        .block_on(&runtime, async {
            let audio = Audio::start(
                AudioOptions {
                    input: config.word("AUDIO_INPUT").to_owned(),
                    output: config.word("AUDIO_OUTPUT").to_owned(),
                    period: Duration::from_millis(config.number("AUDIO_PERIOD_MS")),
                    volume: config.number("VOLUME") as u8,
                },
                &Registry::default(),
            );
            let mut presses = push.then(presses);
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                () = serve(&request, &audio, &mut presses) => {}
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            Ok::<(), std::io::Error>(())
        })
        .map_err(|error| format!("signals cannot be received: {error}"))
}

/// Lines of standard input, each a press of the button.
fn presses() -> mpsc::Receiver<()> {
    let (pressed, presses) = mpsc::channel(4);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if line.is_err() || pressed.blocking_send(()).is_err() {
                return;
            }
        }
    });
    presses
}

async fn serve(request: &SocketRequest, audio: &Audio, presses: &mut Option<mpsc::Receiver<()>>) {
    let mut wait = SATELLITE_RETRY;
    loop {
        match ClientSocket::connect(request.clone()).await {
            Ok(socket) => {
                wait = SATELLITE_RETRY;
                super::print("magpie satellite connected");
                let why = Satellite::new(audio.clone(), socket).run(presses).await;
                log::warn!("event=satellite_disconnected error=\"{why}\"");
            }
            Err(error) => log::warn!("event=satellite_not_connected error=\"{error}\""),
        }
        // Satellites of one box do not come back all at once.
        tokio::time::sleep(wait.mul_f64(0.75 + random() / 2.0)).await;
        wait = (wait * 2).min(SATELLITE_RETRY_MAX);
    }
}

/// One connection.
struct Satellite {
    audio: Audio,
    socket: ClientSocket,
    vad: Vad,
    /// Voice of the last frames, newest in bit 0.
    voiced: u8,
    preroll: VecDeque<[i16; FRAME_SAMPLES]>,
    /// The box's side is idle.
    idle: bool,
    stream: u16,
    /// Number of the next frame of what is being said.
    sending: Option<u32>,
    mouth: Option<Mouth>,
    ringing: Vec<String>,
    /// After a microphone that cannot be opened or went away.
    next_try: Instant,
}

/// The answer on its way to the speaker.
struct Mouth {
    turn: u64,
    rate_hz: u32,
    playback: Rc<Playback>,
    sound: mpsc::Sender<(Vec<i16>, u32)>,
}

impl Satellite {
    fn new(audio: Audio, socket: ClientSocket) -> Satellite {
        Satellite {
            audio,
            socket,
            vad: Vad::new(),
            voiced: 0,
            preroll: VecDeque::with_capacity(PREROLL_FRAMES + 1),
            idle: false,
            stream: 0,
            sending: None,
            mouth: None,
            ringing: Vec::new(),
            next_try: Instant::now(),
        }
    }

    /// Until the connection ends; why it did.
    async fn run(mut self, presses: &mut Option<mpsc::Receiver<()>>) -> String {
        let by_voice = presses.is_none();
        self.tell(&json!({
            "type": "hello", "proto": 2, "role": "satellite",
            "caps": {"play": ["pcm16_16000"], "aec": false},
        }));
        let mut ear: Option<Capture> = None;
        let mut ring = tokio::time::interval(RING_ROUND);
        loop {
            let wants_ear = by_voice || self.sending.is_some();
            if !wants_ear {
                ear = None;
            } else if ear.is_none() && Instant::now() >= self.next_try {
                match self.audio.capture().await {
                    Ok(capture) => ear = Some(capture),
                    Err(error) => self.without_microphone(&error),
                }
            }
            let is_deaf = wants_ear && ear.is_none();
            tokio::select! {
                message = self.socket.next() => match message {
                    Some(SocketMessage::Text(text)) => self.take(&text),
                    Some(SocketMessage::Binary(bytes)) => self.play(&bytes),
                    None => return String::from("the connection has ended"),
                },
                frame = next_frame(&mut ear) => match frame {
                    Ok(frame) => self.hear(&frame, by_voice),
                    Err(error) => {
                        ear = None;
                        self.without_microphone(&error);
                    }
                },
                () = tokio::time::sleep_until(self.next_try), if is_deaf => {}
                Some(()) = next_press(presses) => self.press(),
                _ = ring.tick(), if !self.ringing.is_empty() => self.chime(),
            }
        }
    }

    fn tell(&self, value: &Value) {
        // A connection that has ended is noticed by the next read.
        let _ = self.socket.send(SocketMessage::Text(value.to_string()));
    }

    fn hear(&mut self, frame: &[i16; FRAME_SAMPLES], by_voice: bool) {
        let voiced = self.vad.score(frame) >= VOICE_SCORE;
        self.voiced = self.voiced << 1 | u8::from(voiced);
        if self.sending.is_some() {
            return self.send_frame(frame);
        }
        if self.preroll.len() >= PREROLL_FRAMES {
            self.preroll.pop_front();
        }
        self.preroll.push_back(*frame);
        let speaks = (self.voiced & VOICED_WINDOW).count_ones() >= VOICED_MIN;
        if by_voice && speaks && self.idle && self.is_silent() {
            self.begin();
        }
    }

    /// Without echo cancelling its own voice would be heard as somebody's.
    fn is_silent(&self) -> bool {
        self.mouth.is_none() && self.ringing.is_empty()
    }

    fn begin(&mut self) {
        self.stream = self.stream.wrapping_add(1);
        self.sending = Some(0);
        self.idle = false;
        self.tell(&json!({
            "type": "audio_start", "stream": self.stream, "format": "s16le", "rate": 16_000,
            "endpoint": "server", "mode": "auto", "speak": true,
        }));
        for frame in std::mem::take(&mut self.preroll) {
            self.send_frame(&frame);
        }
    }

    fn send_frame(&mut self, frame: &[i16; FRAME_SAMPLES]) {
        let Some(seq) = &mut self.sending else {
            return;
        };
        let mut bytes = Vec::with_capacity(8 + FRAME_SAMPLES * 2);
        bytes.extend_from_slice(&[1, 0]);
        bytes.extend_from_slice(&self.stream.to_le_bytes());
        bytes.extend_from_slice(&seq.to_le_bytes());
        bytes.extend(frame.iter().flat_map(|sample| sample.to_le_bytes()));
        *seq = seq.wrapping_add(1);
        let _ = self.socket.send(SocketMessage::Binary(bytes));
    }

    /// Messages are taken and alarms ring meanwhile.
    fn without_microphone(&mut self, error: &AudioError) {
        log::warn!("event=satellite_microphone error=\"{error}\"");
        self.next_try = Instant::now() + SATELLITE_RETRY;
        if self.sending.take().is_some() {
            self.tell(&json!({"type": "audio_end", "stream": self.stream, "cancel": true}));
        }
    }

    fn press(&mut self) {
        if !self.ringing.is_empty() {
            for id in std::mem::take(&mut self.ringing) {
                self.tell(&json!({"type": "timer_ack", "id": id}));
            }
        } else if self.mouth.is_some() {
            self.tell(&json!({"type": "interrupt", "reason": "button"}));
            self.hush();
        } else if self.sending.is_none() && self.idle {
            self.begin();
        }
    }

    fn take(&mut self, text: &str) {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return;
        };
        match message["type"].as_str().unwrap_or_default() {
            "hello" => self.idle = message["state"] == "idle",
            "state" => {
                self.idle = message["state"] == "idle";
                // Before "listening" comes the end of what was before.
                if !matches!(message["state"].as_str(), Some("listening" | "idle")) {
                    self.sending = None;
                }
            }
            "speech_end" => self.sending = None,
            "transcript" => super::print(&format!(
                "heard: {}",
                message["text"].as_str().unwrap_or_default()
            )),
            "sentence" => super::print(&format!(
                "says: {}",
                message["text"].as_str().unwrap_or_default()
            )),
            "audio_begin" => self.open_mouth(&message),
            "turn_done" => {
                self.sending = None;
                if message["interrupted"] == true {
                    self.hush();
                } else if let Some(mouth) = self.mouth.take() {
                    // What is still to be heard is played by its own task.
                    drop(mouth.sound);
                }
            }
            "timer" => self.ring(&message),
            "error" => {
                log::warn!(
                    "event=satellite_error code={} message={:?}",
                    message["code"],
                    message["message"].as_str().unwrap_or_default()
                );
                self.refused();
            }
            _ => {}
        }
    }

    /// What is being said may not be taken: it ends, and the next that is said begins anew. The box
    /// pays no heed to the end of a stream that it refused.
    fn refused(&mut self) {
        if self.sending.take().is_some() {
            self.tell(&json!({"type": "audio_end", "stream": self.stream}));
            self.idle = true;
            self.voiced = 0;
            self.preroll.clear();
        }
    }

    fn ring(&mut self, message: &Value) {
        let id = message["id"].as_str().unwrap_or_default().to_string();
        self.ringing.retain(|known| *known != id);
        if message["state"] == "ringing" {
            self.ringing.push(id);
            super::print(&format!(
                "rings: {}",
                message["label"].as_str().unwrap_or_default()
            ));
            self.chime();
        }
    }

    fn chime(&self) {
        let Ok(playback) = self.audio.play() else {
            return;
        };
        tokio::task::spawn_local(async move {
            let samples = Earcon::Timer.samples();
            let rate_hz = crate::audio::earcon::EARCON_RATE_HZ;
            if playback.write(&samples, rate_hz).await.is_ok() {
                let _ = playback.finished().await;
            }
        });
    }

    fn open_mouth(&mut self, message: &Value) {
        let turn = message["turn"].as_u64().unwrap_or_default();
        let rate_hz = message["rate"].as_u64().unwrap_or(16_000) as u32;
        if let Some(mouth) = &mut self.mouth
            && mouth.turn == turn
        {
            mouth.rate_hz = rate_hz;
            return;
        }
        self.hush();
        let Ok(playback) = self.audio.play() else {
            return;
        };
        let playback = Rc::new(playback);
        let (sound, mut sounds) = mpsc::channel::<(Vec<i16>, u32)>(256);
        let speaker = Rc::clone(&playback);
        tokio::task::spawn_local(async move {
            while let Some((samples, rate_hz)) = sounds.recv().await {
                if let Err(error) = speaker.write(&samples, rate_hz).await {
                    log::warn!("event=satellite_speaker error=\"{error}\"");
                    return;
                }
            }
            let _ = speaker.finished().await;
        });
        self.mouth = Some(Mouth {
            turn,
            rate_hz,
            playback,
            sound,
        });
    }

    fn play(&mut self, bytes: &[u8]) {
        let (Some(mouth), Some((head, payload))) = (&self.mouth, bytes.split_first_chunk::<8>())
        else {
            return;
        };
        if head[0] != 2 {
            return;
        }
        let (pairs, _) = payload.as_chunks::<2>();
        let samples = pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        if mouth.sound.try_send((samples, mouth.rate_hz)).is_err() {
            log::warn!("event=satellite_speaker error=\"the speaker does not keep up\"");
        }
    }

    fn hush(&mut self) {
        if let Some(mouth) = self.mouth.take() {
            mouth.playback.stop();
        }
    }
}

async fn next_frame(ear: &mut Option<Capture>) -> Result<[i16; FRAME_SAMPLES], AudioError> {
    match ear {
        Some(ear) => ear.frame().await,
        None => std::future::pending().await,
    }
}

async fn next_press(presses: &mut Option<mpsc::Receiver<()>>) -> Option<()> {
    match presses {
        Some(presses) => presses.recv().await,
        None => std::future::pending().await,
    }
}
