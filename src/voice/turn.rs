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
    MEMO_MAX, NO_SPEECH_MAX, SPEAK_MAX, SPEAK_STALL_MAX, TRANSCRIBE_GRACE, TRANSCRIBE_MAX,
    TRANSCRIBE_TRIES,
};

mod step;

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
    /// A switch on the box says off; nothing else can say on.
    pub mute_held: bool,
    pub offline: bool,
    /// A timer rings here; the next touch stops it.
    pub ringing: bool,
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
    /// A long note: all sound counts until somebody stops it, or nobody speaks for long.
    Memo,
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
    /// Listen to a long note.
    ListenMemo,
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
    /// The switch on the box was moved: off, or on.
    MuteSwitch(bool),
    Offline(bool),
    Ringing(bool),
    /// Time has passed [`State::deadline`].
    Tick,

    // what the stages report
    SpeechBegan(Turn),
    Heard {
        turn: Turn,
        sound: Duration,
    },
    NothingHeard(Turn),
    /// Another endpoint goes on with what was to be heard.
    Yielded(Turn),
    ListenFailed(Turn),
    Transcribed {
        turn: Turn,
        empty: bool,
    },
    TranscribeFailed {
        turn: Turn,
        retry: bool,
    },
    /// The sound is kept and will be understood later.
    Deferred(Turn),
    /// The person knows that it is.
    DeferralTold(Turn),
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
    /// Tell that it is saved and will be handled later.
    TellDeferred(Turn),
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
    /// Whatever rings is to stop.
    Silence,
    Tone(Tone),
    /// The phase or an overlay is another than before.
    Changed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnResult {
    Answered,
    Interrupted,
    NothingHeard,
    /// Kept, to be handled later.
    Queued,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Listen,
    Done,
    Nothing,
    Saved,
    /// As [`Tone::Saved`], until the network is back.
    Offline,
    Error,
    Mute,
    Unmute,
}

pub fn step(state: &State, event: Event, now: MonoMillis) -> (State, Vec<Effect>) {
    let mut run = step::Step {
        state: *state,
        now,
        effects: Vec::new(),
    };
    run.take(event);
    let visible = |state: &State| {
        let overlays = (state.muted, state.offline, state.ringing);
        (state.phase.name(), state.turn(), overlays)
    };
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
            mute_held: false,
            offline: false,
            ringing: false,
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

    /// The number the next turn will have.
    pub fn next_turn(&self) -> Turn {
        self.last_turn + 1
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

fn after(from: MonoMillis, wait: Duration) -> MonoMillis {
    MonoMillis(from.0 + wait.as_millis() as u64)
}

#[cfg(test)]
mod tests;
