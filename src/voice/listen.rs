//! The listening stage: from an open microphone to one utterance.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::dialogue::VoiceError;
use super::port::{Ear, News, Port};
use super::recordings::Tape;
use super::triggers::Triggers;
use super::turn::Ends;
use crate::audio::endpoint::{EndCause, EndpointEvent, EndpointOptions, Endpointer};
use crate::audio::level::{mean_power, rms_dbfs};
use crate::audio::vad::{VOICE_SCORE, Vad};
use crate::audio::{FRAME_SAMPLES, SPEECH_RATE_HZ};
use crate::clock::{Clock, MonoMillis};
use crate::limits::{LISTEN_MAX, MEMO_MAX, MEMO_SILENCE, MICROPHONE_OPEN_MAX};

/// Shorter sound of a held button is no utterance.
const HELD_MIN: Duration = Duration::from_millis(250);
/// Voiced frames of [`VOICED_WINDOW`] that count as somebody speaking into a held button.
const VOICED_MIN: u32 = 4;
const VOICED_WINDOW: u8 = 0b11_1111;
const LEVEL_INTERVAL: Duration = Duration::from_millis(100);

/// What the driver may change while the stage runs.
#[derive(Default)]
pub struct Control {
    finish: Cell<bool>,
    by_silence: Cell<bool>,
    is_memo: Cell<bool>,
    changed: Notify,
}

impl Control {
    pub fn new(ends: Ends) -> Control {
        let control = Control::default();
        control.by_silence.set(ends != Ends::ByHand);
        control.is_memo.set(ends == Ends::Memo);
        control
    }

    /// Hand over what was heard.
    pub fn finish(&self) {
        self.finish.set(true);
        self.changed.notify_one();
    }

    /// The end rule decides from now on.
    pub fn end_by_silence(&self) {
        self.by_silence.set(true);
    }
}

pub enum Heard {
    Sound(Utterance),
    /// Another endpoint that was triggered at once hears it louder.
    Elsewhere,
}

pub struct Utterance {
    /// At [`SPEECH_RATE_HZ`]; empty when nobody spoke.
    pub samples: Vec<i16>,
    /// Of the sound on the card; a long note is there alone.
    pub length: Duration,
    pub speech_ended: Option<MonoMillis>,
}

pub struct Listening<'a> {
    pub port: &'a dyn Port,
    pub clock: &'a Clock,
    pub control: Rc<Control>,
    pub end_silence: Duration,
    /// Called when speech begins.
    pub began: &'a dyn Fn(),
    /// Whoever else was triggered just now.
    pub triggers: &'a Triggers,
    /// Where the sound is kept as it comes.
    pub tape: &'a Tape<'a>,
}

impl Listening<'_> {
    pub async fn run(&self) -> Result<Heard, VoiceError> {
        self.tape.check_room()?;
        let mut ear = tokio::time::timeout(MICROPHONE_OPEN_MAX, self.port.ear())
            .await
            .map_err(|_| VoiceError::Timeout("the microphone"))??;
        if self.control.is_memo.get() {
            return self.memo(&mut *ear).await.map(Heard::Sound);
        }
        // Whoever holds a button means this endpoint and no other.
        let by_silence = self.control.by_silence.get();
        let trigger = by_silence.then(|| self.triggers.enter(self.clock.mono()));
        let mut recorder = Recorder::new(by_silence, self.end_silence);
        loop {
            if self.control.finish.get() {
                return Ok(Heard::Sound(self.hand_over(recorder, "client")));
            }
            if self.control.by_silence.get() {
                let events = recorder.end_by_silence();
                for event in events {
                    self.tell(&recorder, &event);
                }
            }
            let frame = tokio::select! {
                biased;
                () = self.control.changed.notified() => continue,
                frame = ear.frame() => frame?,
            };
            let Some(frame) = frame else {
                return Ok(Heard::Sound(self.hand_over(recorder, "client")));
            };
            if trigger
                .as_ref()
                .is_some_and(|trigger| trigger.hear(mean_power(&frame)))
            {
                return Ok(Heard::Elsewhere);
            }
            let event = recorder.push(&frame, self.clock.mono());
            self.tape.follow(recorder.rewritten, &recorder.samples)?;
            self.tell_level(&mut recorder, &frame);
            if let Some(event) = event {
                self.tell(&recorder, &event);
                if let Some(cause) = end_of(&event) {
                    return Ok(Heard::Sound(self.hand_over(recorder, cause)));
                }
            }
        }
    }

    /// All sound counts and goes to the card; only a short note is kept in memory as well.
    async fn memo(&self, ear: &mut dyn Ear) -> Result<Utterance, VoiceError> {
        let mut recorder = Recorder::new(false, self.end_silence);
        let mut last_voiced = self.clock.mono();
        let cause = loop {
            if self.control.finish.get() {
                break "client";
            }
            let frame = tokio::select! {
                biased;
                () = self.control.changed.notified() => continue,
                frame = ear.frame() => frame,
            };
            let frame = match frame {
                Ok(Some(frame)) => frame,
                Ok(None) => break "client",
                // A microphone that goes away ends the note; what was said is kept.
                Err(_) if !recorder.samples.is_empty() => break "device",
                Err(error) => return Err(error),
            };
            recorder.position_ms += FRAME_SAMPLES as u64 * 1000 / u64::from(SPEECH_RATE_HZ);
            recorder.score(&frame);
            self.tape.append(&frame)?;
            if recorder.samples.len() < samples_in(LISTEN_MAX) {
                recorder.samples.extend_from_slice(&frame);
            }
            let now = self.clock.mono();
            if recorder.voiced & 1 == 1 {
                last_voiced = now;
            }
            self.tell_level(&mut recorder, &frame);
            let silent = now.since(last_voiced) >= MEMO_SILENCE;
            if silent && self.control.by_silence.get() {
                break "silence";
            }
            if recorder.position_ms >= MEMO_MAX.as_millis() as u64 {
                break "max";
            }
        };
        let at_ms = recorder.position_ms;
        let is_short = at_ms <= LISTEN_MAX.as_millis() as u64;
        self.port.tell(&News::SpeechEnd { at_ms, cause });
        Ok(Utterance {
            samples: if is_short {
                recorder.samples
            } else {
                Vec::new()
            },
            length: Duration::from_millis(at_ms),
            speech_ended: Some(self.clock.mono()),
        })
    }

    fn tell(&self, recorder: &Recorder, event: &EndpointEvent) {
        if let EndpointEvent::SpeechStart { .. } = event {
            let at_ms = recorder.position_ms;
            self.port.tell(&News::SpeechStart { at_ms });
            (self.began)();
        }
    }

    fn tell_level(&self, recorder: &mut Recorder, frame: &[i16; FRAME_SAMPLES]) {
        let now = self.clock.mono();
        if now.since(recorder.level_told) >= LEVEL_INTERVAL {
            recorder.level_told = now;
            self.port.tell(&News::Level {
                rms_db: rms_dbfs(frame),
                voiced: recorder.voiced & 1 == 1,
            });
        }
    }

    fn hand_over(&self, recorder: Recorder, cause: &'static str) -> Utterance {
        let at_ms = recorder.position_ms;
        let heard = recorder.into_heard(self.clock.mono());
        if !heard.samples.is_empty() {
            self.port.tell(&News::SpeechEnd { at_ms, cause });
        }
        heard
    }
}

fn end_of(event: &EndpointEvent) -> Option<&'static str> {
    match event {
        EndpointEvent::SpeechStart { .. } | EndpointEvent::FalseStart => None,
        EndpointEvent::NoSpeech => Some("silence"),
        EndpointEvent::SpeechEnd { cause, .. } => Some(match cause {
            EndCause::Silence => "silence",
            EndCause::Energy => "energy",
            EndCause::Max => "max",
            EndCause::Released => "client",
        }),
    }
}

/// The sound of one listening and what is known of it.
struct Recorder {
    vad: Vad,
    /// `None` while a button is held: then all sound counts.
    endpointer: Option<Endpointer>,
    end_silence: Duration,
    samples: Vec<i16>,
    /// How often `samples` became others than they were.
    rewritten: u32,
    /// Voice of the last frames, newest in bit 0.
    voiced: u8,
    began: bool,
    last_voiced: Option<MonoMillis>,
    position_ms: u64,
    level_told: MonoMillis,
}

impl Recorder {
    fn new(by_silence: bool, end_silence: Duration) -> Recorder {
        let mut recorder = Recorder {
            vad: Vad::new(),
            endpointer: None,
            end_silence,
            samples: Vec::new(),
            rewritten: 0,
            voiced: 0,
            began: false,
            last_voiced: None,
            position_ms: 0,
            level_told: MonoMillis::default(),
        };
        if by_silence {
            recorder.end_by_silence();
        }
        recorder
    }

    /// From now on the end rule decides; it is told what was recorded so far.
    fn end_by_silence(&mut self) -> Vec<EndpointEvent> {
        if self.endpointer.is_some() {
            return Vec::new();
        }
        self.vad.reset();
        self.endpointer = Some(Endpointer::new(EndpointOptions {
            end_silence: self.end_silence,
            ..EndpointOptions::default()
        }));
        let recorded = std::mem::take(&mut self.samples);
        self.rewritten += 1;
        let (frames, _) = recorded.as_chunks::<FRAME_SAMPLES>();
        frames
            .iter()
            .filter_map(|frame| self.follow(frame))
            .collect()
    }

    fn push(&mut self, frame: &[i16; FRAME_SAMPLES], now: MonoMillis) -> Option<EndpointEvent> {
        self.position_ms += FRAME_SAMPLES as u64 * 1000 / u64::from(SPEECH_RATE_HZ);
        let event = match self.endpointer {
            Some(_) => self.follow(frame),
            None => self.hold(frame),
        };
        // A lone voiced frame is noise; the end rule counts the same way.
        if self.voiced & 1 == 1 && (self.voiced & VOICED_WINDOW).count_ones() >= VOICED_MIN {
            self.last_voiced = Some(now);
        }
        event
    }

    fn follow(&mut self, frame: &[i16; FRAME_SAMPLES]) -> Option<EndpointEvent> {
        let score = self.score(frame);
        let event = self.endpointer.as_mut()?.push(frame, score);
        match &event {
            Some(EndpointEvent::SpeechStart { preroll }) => {
                self.samples.clone_from(preroll);
                self.rewritten += 1;
            }
            Some(EndpointEvent::FalseStart) => {
                self.samples.clear();
                self.rewritten += 1;
            }
            _ if !self.samples.is_empty() => self.samples.extend_from_slice(frame),
            _ => {}
        }
        event
    }

    fn hold(&mut self, frame: &[i16; FRAME_SAMPLES]) -> Option<EndpointEvent> {
        self.score(frame);
        self.samples.extend_from_slice(frame);
        if self.samples.len() >= samples_in(LISTEN_MAX) {
            return Some(EndpointEvent::SpeechEnd {
                cause: EndCause::Max,
                speech: LISTEN_MAX,
            });
        }
        if !self.began && (self.voiced & VOICED_WINDOW).count_ones() >= VOICED_MIN {
            self.began = true;
            let preroll = Vec::new();
            return Some(EndpointEvent::SpeechStart { preroll });
        }
        None
    }

    fn score(&mut self, frame: &[i16; FRAME_SAMPLES]) -> f32 {
        let score = self.vad.score(frame);
        self.voiced = self.voiced << 1 | u8::from(score >= VOICE_SCORE);
        score
    }

    fn into_heard(self, now: MonoMillis) -> Utterance {
        let held = self.endpointer.is_none();
        let samples = match held && self.samples.len() < samples_in(HELD_MIN) {
            true => Vec::new(),
            false => self.samples,
        };
        Utterance {
            length: super::session::length_of(&samples),
            samples,
            // Who lets a button go says when the speech has ended.
            speech_ended: if held { Some(now) } else { self.last_voiced },
        }
    }
}

fn samples_in(time: Duration) -> usize {
    (time.as_millis() as usize) * SPEECH_RATE_HZ as usize / 1000
}
