//! The turn as a machine: listen, transcribe, think, speak, and every way out of each.
//!
//! [`step`] is pure: from a state, an event and the time it makes the next state and what has to
//! be done. It promises that at most one turn is open, that each ends exactly once, that no phase
//! outlives its limit and that a muted box never listens. It must never look at a clock, a file
//! or a sound; what an event carries is all it knows.

use std::time::Duration;

use crate::clock::MonoMillis;
use crate::limits::{
    ANSWER_MAX, ERROR_SHOWN, FIRST_TEXT_MAX, FOLLOW_UP_MAX, LISTEN_FINISH_MAX, LISTEN_MAX,
    NO_SPEECH_MAX, SPEAK_MAX, SPEAK_STALL_MAX, TRANSCRIBE_MAX, TRANSCRIBE_TRIES,
};

/// A press shorter than this is a tap.
pub const TAP_MAX: Duration = Duration::from_millis(250);
/// A second tap within this repeats the last answer.
pub const DOUBLE_TAP_MAX: Duration = Duration::from_millis(400);
/// A press this long in which nobody speaks switches the microphone off or on.
pub const HOLD_TO_MUTE: Duration = Duration::from_secs(3);

/// Number of a turn at one endpoint, from 1, never used twice: results that come too late are
/// known by it.
pub type Turn = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub phase: Phase,
    pub muted: bool,
    pub offline: bool,
    /// Open the microphone again when an answer ends in a question.
    pub follow_up: bool,
    last_turn: Turn,
    button: Button,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Idle,
    Listening {
        turn: Turn,
        ends: Ends,
        /// Speech has begun.
        heard: bool,
        /// Told to hand over what was heard.
        finishing: bool,
        until: MonoMillis,
    },
    Transcribing {
        turn: Turn,
        tries: u8,
        sound: Duration,
        until: MonoMillis,
    },
    Thinking {
        turn: Turn,
        began: MonoMillis,
        until: MonoMillis,
    },
    Speaking {
        turn: Turn,
        began: MonoMillis,
        until: MonoMillis,
    },
    Error {
        until: MonoMillis,
    },
}

/// What ends listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// The end rule of voice activity.
    BySilence,
    /// The button's release or the client's word; the end rule is not asked.
    ByHand,
    /// As [`Ends::BySilence`], opened by a question of ours: silence is no fault.
    FollowUp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Button {
    pressed: Option<MonoMillis>,
    /// The press stopped a turn, so a mere tap must not open another.
    stopped: bool,
    tapped: Option<MonoMillis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Listen until the speaker falls silent.
    Listen,
    /// Listen until [`Event::EndListening`].
    ListenHeld,
    EndListening,
    Press,
    Release,
    /// A typed question; the driver holds its words.
    Text,
    /// A whole utterance was handed in; the driver holds it.
    Utterance {
        sound: Duration,
    },
    /// Say the last answer again.
    Repeat,
    /// Say given words; the driver holds them.
    Say,
    /// Stop whatever goes on.
    Interrupt,
    /// Somebody spoke into the answer.
    BargeIn,
    Mute(bool),
    Offline(bool),
    /// Time has passed [`State::deadline`].
    Tick,

    // what the stages report
    SpeechBegan(Turn),
    Heard {
        turn: Turn,
        sound: Duration,
    },
    NothingHeard(Turn),
    ListenFailed(Turn),
    Transcribed {
        turn: Turn,
        empty: bool,
    },
    TranscribeFailed {
        turn: Turn,
        retry: bool,
    },
    /// First or further text of the answer, or a further sentence under way.
    Progress(Turn),
    /// The first sound of the answer goes out.
    SoundBegan(Turn),
    /// All of the answer is there, and heard if it was to be spoken.
    Answered {
        turn: Turn,
        asks: bool,
    },
    AnswerFailed(Turn),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Listen {
        turn: Turn,
        ends: Ends,
    },
    /// The end rule decides from now on.
    EndBySilence(Turn),
    /// Hand over what was heard so far.
    FinishListening(Turn),
    Transcribe {
        turn: Turn,
        attempt: u8,
    },
    Reply(Turn),
    Repeat(Turn),
    Say(Turn),
    /// Drop what runs for the turn and be silent at once.
    Cancel(Turn),
    /// The turn is over; comes once a turn.
    Done {
        turn: Turn,
        result: TurnResult,
    },
    /// A limit ran out; comes before the turn's `Done`.
    TimedOut {
        turn: Turn,
        stage: &'static str,
    },
    /// The microphone may not be opened.
    RefuseMuted,
    /// Remember this over a restart.
    KeepMuted(bool),
    Tone(Tone),
    /// The phase or an overlay is another than before.
    Changed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnResult {
    Answered,
    Interrupted,
    NothingHeard,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Listen,
    Done,
    Nothing,
    Error,
    Mute,
    Unmute,
}

pub fn step(state: &State, event: Event, now: MonoMillis) -> (State, Vec<Effect>) {
    let mut run = Step {
        state: *state,
        now,
        effects: Vec::new(),
    };
    run.take(event);
    let visible = |state: &State| (state.phase.name(), state.turn(), state.muted, state.offline);
    if visible(state) != visible(&run.state) {
        run.effects.push(Effect::Changed);
    }
    (run.state, run.effects)
}

impl State {
    pub fn new(muted: bool, follow_up: bool) -> State {
        State {
            phase: Phase::Idle,
            muted,
            offline: false,
            follow_up,
            last_turn: 0,
            button: Button::default(),
        }
    }

    /// When [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<MonoMillis> {
        let phase = match self.phase {
            Phase::Idle => None,
            Phase::Listening { until, .. }
            | Phase::Transcribing { until, .. }
            | Phase::Thinking { until, .. }
            | Phase::Speaking { until, .. }
            | Phase::Error { until } => Some(until),
        };
        let hold = self.hold_deadline();
        match (phase, hold) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The open turn.
    pub fn turn(&self) -> Option<Turn> {
        match self.phase {
            Phase::Idle | Phase::Error { .. } => None,
            Phase::Listening { turn, .. }
            | Phase::Transcribing { turn, .. }
            | Phase::Thinking { turn, .. }
            | Phase::Speaking { turn, .. } => Some(turn),
        }
    }

    fn hold_deadline(&self) -> Option<MonoMillis> {
        let pressed = self.button.pressed?;
        match self.phase {
            Phase::Listening {
                ends: Ends::ByHand,
                heard: false,
                finishing: false,
                ..
            } => Some(after(pressed, HOLD_TO_MUTE)),
            _ if self.muted => Some(after(pressed, HOLD_TO_MUTE)),
            _ => None,
        }
    }
}

impl Phase {
    /// The word clients see.
    pub fn name(&self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Listening { .. } => "listening",
            Phase::Transcribing { .. } => "transcribing",
            Phase::Thinking { .. } => "thinking",
            Phase::Speaking { .. } => "speaking",
            Phase::Error { .. } => "error",
        }
    }
}

struct Step {
    state: State,
    now: MonoMillis,
    effects: Vec<Effect>,
}

impl Step {
    fn take(&mut self, event: Event) {
        match event {
            Event::Listen => self.listen(Ends::BySilence),
            Event::ListenHeld => self.listen(Ends::ByHand),
            Event::EndListening => self.finish_listening(),
            Event::Press => self.press(),
            Event::Release => self.release(),
            Event::Text => {
                self.interrupt();
                self.think(Effect::Reply);
            }
            Event::Utterance { sound } => {
                self.interrupt();
                let turn = self.next_turn();
                self.transcribe(turn, 1, sound);
            }
            Event::Repeat => {
                self.interrupt();
                self.think(Effect::Repeat);
            }
            Event::Say => {
                self.interrupt();
                self.think(Effect::Say);
            }
            Event::Interrupt => self.interrupt(),
            Event::BargeIn => self.barge_in(),
            Event::Mute(muted) => self.mute(muted),
            Event::Offline(offline) => self.state.offline = offline,
            Event::Tick => self.tick(),
            Event::SpeechBegan(turn) => self.speech_began(turn),
            Event::Heard { turn, sound } => {
                if self.is_listening(turn) {
                    self.effects.push(Effect::Tone(Tone::Done));
                    self.transcribe(turn, 1, sound);
                }
            }
            Event::NothingHeard(turn) => self.nothing_heard(turn),
            Event::ListenFailed(turn) => {
                if self.is_listening(turn) {
                    self.fail(turn);
                }
            }
            Event::Transcribed { turn, empty } => self.transcribed(turn, empty),
            Event::TranscribeFailed { turn, retry } => self.transcribe_failed(turn, retry),
            Event::Progress(turn) => self.progress(turn),
            Event::SoundBegan(turn) => self.sound_began(turn),
            Event::Answered { turn, asks } => self.answered(turn, asks),
            Event::AnswerFailed(turn) => {
                if self.is_replying(turn) {
                    self.fail(turn);
                }
            }
        }
    }

    fn listen(&mut self, ends: Ends) {
        if matches!(self.state.phase, Phase::Listening { .. }) {
            return;
        }
        if self.state.muted {
            self.effects.push(Effect::RefuseMuted);
            return;
        }
        self.interrupt();
        self.open_listening(ends);
    }

    fn open_listening(&mut self, ends: Ends) {
        let turn = self.next_turn();
        let wait = match ends {
            Ends::BySilence => NO_SPEECH_MAX,
            Ends::FollowUp => FOLLOW_UP_MAX,
            Ends::ByHand => LISTEN_MAX,
        };
        self.state.phase = Phase::Listening {
            turn,
            ends,
            heard: false,
            finishing: false,
            until: after(self.now, wait),
        };
        self.effects.push(Effect::Listen { turn, ends });
        self.effects.push(Effect::Tone(Tone::Listen));
    }

    fn finish_listening(&mut self) {
        if let Phase::Listening {
            turn,
            finishing,
            until,
            ..
        } = &mut self.state.phase
            && !*finishing
        {
            *finishing = true;
            *until = after(self.now, LISTEN_FINISH_MAX);
            self.effects.push(Effect::FinishListening(*turn));
        }
    }

    fn speech_began(&mut self, of: Turn) {
        if let Phase::Listening {
            turn,
            heard,
            finishing,
            until,
            ..
        } = &mut self.state.phase
            && *turn == of
            && !*heard
        {
            *heard = true;
            if !*finishing {
                *until = after(self.now, LISTEN_MAX);
            }
        }
    }

    fn nothing_heard(&mut self, turn: Turn) {
        let Phase::Listening { ends, .. } = self.state.phase else {
            return;
        };
        if !self.is_listening(turn) {
            return;
        }
        if ends != Ends::FollowUp {
            self.effects.push(Effect::Tone(Tone::Nothing));
        }
        self.close(turn, TurnResult::NothingHeard);
    }

    fn transcribe(&mut self, turn: Turn, attempt: u8, sound: Duration) {
        self.state.phase = Phase::Transcribing {
            turn,
            tries: attempt,
            sound,
            until: after(self.now, TRANSCRIBE_MAX + sound),
        };
        self.effects.push(Effect::Transcribe { turn, attempt });
    }

    fn transcribed(&mut self, of: Turn, empty: bool) {
        let Phase::Transcribing { turn, .. } = self.state.phase else {
            return;
        };
        if turn != of {
            return;
        }
        if empty {
            self.effects.push(Effect::Tone(Tone::Nothing));
            self.close(turn, TurnResult::NothingHeard);
        } else {
            self.open_thinking(turn);
            self.effects.push(Effect::Reply(turn));
        }
    }

    fn transcribe_failed(&mut self, of: Turn, retry: bool) {
        let Phase::Transcribing {
            turn, tries, sound, ..
        } = self.state.phase
        else {
            return;
        };
        if turn != of {
            return;
        }
        if retry && tries < TRANSCRIBE_TRIES {
            self.transcribe(turn, tries + 1, sound);
        } else {
            self.fail(turn);
        }
    }

    fn think(&mut self, effect: fn(Turn) -> Effect) {
        let turn = self.next_turn();
        self.open_thinking(turn);
        self.effects.push(effect(turn));
    }

    fn open_thinking(&mut self, turn: Turn) {
        self.state.phase = Phase::Thinking {
            turn,
            began: self.now,
            until: after(self.now, FIRST_TEXT_MAX),
        };
    }

    fn progress(&mut self, of: Turn) {
        let now = self.now;
        match &mut self.state.phase {
            Phase::Thinking { turn, began, until } if *turn == of => {
                *until = after(*began, ANSWER_MAX);
            }
            Phase::Speaking { turn, began, until } if *turn == of => {
                *until = after(now, SPEAK_STALL_MAX).min(after(*began, SPEAK_MAX));
            }
            _ => {}
        }
    }

    fn sound_began(&mut self, of: Turn) {
        if let Phase::Thinking { turn, .. } = self.state.phase
            && turn == of
        {
            self.state.phase = Phase::Speaking {
                turn,
                began: self.now,
                until: after(self.now, SPEAK_STALL_MAX),
            };
        }
    }

    fn answered(&mut self, turn: Turn, asks: bool) {
        if !self.is_replying(turn) {
            return;
        }
        let spoken = matches!(self.state.phase, Phase::Speaking { .. });
        self.close(turn, TurnResult::Answered);
        if asks && spoken && self.state.follow_up && !self.state.muted {
            self.open_listening(Ends::FollowUp);
        }
    }

    fn interrupt(&mut self) {
        if let Some(turn) = self.state.turn() {
            self.effects.push(Effect::Cancel(turn));
            self.close(turn, TurnResult::Interrupted);
        } else {
            self.state.phase = Phase::Idle;
        }
    }

    fn barge_in(&mut self) {
        if matches!(
            self.state.phase,
            Phase::Speaking { .. } | Phase::Thinking { .. }
        ) && !self.state.muted
        {
            self.interrupt();
            self.open_listening(Ends::BySilence);
        }
    }

    fn mute(&mut self, muted: bool) {
        if self.state.muted == muted {
            return;
        }
        if muted && matches!(self.state.phase, Phase::Listening { .. }) {
            self.interrupt();
        }
        self.state.muted = muted;
        self.effects.push(Effect::KeepMuted(muted));
        self.effects
            .push(Effect::Tone(if muted { Tone::Mute } else { Tone::Unmute }));
    }

    fn press(&mut self) {
        if self.state.button.pressed.is_some() {
            return;
        }
        self.state.button.pressed = Some(self.now);
        self.state.button.stopped = false;
        match self.state.phase {
            Phase::Listening { heard, .. } => self.press_while_listening(heard),
            Phase::Idle | Phase::Error { .. } => self.listen(Ends::ByHand),
            _ => {
                self.state.button.stopped = true;
                self.interrupt();
                if !self.state.muted {
                    self.open_listening(Ends::ByHand);
                }
            }
        }
    }

    fn press_while_listening(&mut self, heard: bool) {
        let tapped = self.state.button.tapped.take();
        self.state.button.pressed = None;
        let twice = tapped.is_some_and(|at| self.now.since(at) <= DOUBLE_TAP_MAX);
        if twice && !heard {
            self.interrupt();
            self.think(Effect::Repeat);
        } else if heard {
            self.finish_listening();
        } else {
            self.interrupt();
        }
    }

    fn release(&mut self) {
        let Some(pressed) = self.state.button.pressed.take() else {
            return;
        };
        let Phase::Listening {
            turn,
            ends: Ends::ByHand,
            heard,
            finishing: false,
            ..
        } = self.state.phase
        else {
            return;
        };
        if self.now.since(pressed) >= TAP_MAX {
            self.finish_listening();
        } else if self.state.button.stopped {
            self.interrupt();
        } else {
            self.state.button.tapped = Some(self.now);
            let wait = if heard { LISTEN_MAX } else { NO_SPEECH_MAX };
            self.state.phase = Phase::Listening {
                turn,
                ends: Ends::BySilence,
                heard,
                finishing: false,
                until: after(self.now, wait),
            };
            self.effects.push(Effect::EndBySilence(turn));
        }
    }

    fn tick(&mut self) {
        if self.state.hold_deadline().is_some_and(|at| at <= self.now) {
            self.state.button.pressed = None;
            self.mute(!self.state.muted);
            return;
        }
        match self.state.phase {
            Phase::Listening {
                turn,
                heard,
                finishing,
                ends,
                until,
            } if until <= self.now => {
                if finishing {
                    self.time_out(turn, "listening");
                } else if heard || ends == Ends::ByHand {
                    self.finish_listening();
                } else {
                    self.effects.push(Effect::Cancel(turn));
                    self.nothing_heard(turn);
                }
            }
            Phase::Transcribing { turn, until, .. } if until <= self.now => {
                self.time_out(turn, "stt");
            }
            Phase::Thinking { turn, until, .. } if until <= self.now => {
                self.time_out(turn, "answer");
            }
            Phase::Speaking { turn, until, .. } if until <= self.now => {
                self.time_out(turn, "tts");
            }
            Phase::Error { until } if until <= self.now => self.state.phase = Phase::Idle,
            _ => {}
        }
    }

    fn time_out(&mut self, turn: Turn, stage: &'static str) {
        self.effects.push(Effect::Cancel(turn));
        self.effects.push(Effect::TimedOut { turn, stage });
        self.fail(turn);
    }

    fn fail(&mut self, turn: Turn) {
        self.effects.push(Effect::Tone(Tone::Error));
        self.close(turn, TurnResult::Failed);
        self.state.phase = Phase::Error {
            until: after(self.now, ERROR_SHOWN),
        };
    }

    fn close(&mut self, turn: Turn, result: TurnResult) {
        self.effects.push(Effect::Done { turn, result });
        self.state.phase = Phase::Idle;
    }

    fn next_turn(&mut self) -> Turn {
        self.state.last_turn += 1;
        self.state.last_turn
    }

    fn is_listening(&self, of: Turn) -> bool {
        matches!(self.state.phase, Phase::Listening { turn, .. } if turn == of)
    }

    fn is_replying(&self, of: Turn) -> bool {
        matches!(self.state.phase,
            Phase::Thinking { turn, .. } | Phase::Speaking { turn, .. } if turn == of)
    }
}

fn after(from: MonoMillis, wait: Duration) -> MonoMillis {
    MonoMillis(from.0 + wait.as_millis() as u64)
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
