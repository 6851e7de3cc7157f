//! How long each stage of a turn took: the last few for people, all of them for metrics.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::turn::{Turn, TurnResult};
use crate::clock::{MonoMillis, UnixMillis};
use crate::limits::TIMELINES_KEPT;
use crate::ops::{Counter, Histogram, Registry};

/// Milliseconds; a stage that did not happen is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// From the last speech to the decision that it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stt: Option<u64>,
    /// From the question's text to the answer's first text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm_first: Option<u64>,
    /// From the first sentence to its sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tts_first: Option<u64>,
    /// From the end of speech (or the typed text) to the first sound of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_audio: Option<u64>,
    pub total: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Timeline {
    pub endpoint: &'static str,
    pub turn: Turn,
    pub at: String,
    pub result: &'static str,
    pub timing_ms: Timing,
}

/// Clones share one log.
#[derive(Clone)]
pub struct TurnLog(Rc<Inner>);

struct Inner {
    last: RefCell<VecDeque<Timeline>>,
    stages: [Histogram; STAGES.len()],
    results: [Counter; RESULTS.len()],
    barge_ins: Counter,
}

const STAGES: [&str; 6] = [
    "endpoint",
    "stt",
    "llm_first",
    "tts_first",
    "first_audio",
    "total",
];
const RESULTS: [TurnResult; 5] = [
    TurnResult::Answered,
    TurnResult::Interrupted,
    TurnResult::NothingHeard,
    TurnResult::Queued,
    TurnResult::Failed,
];

impl TurnResult {
    pub fn name(self) -> &'static str {
        match self {
            TurnResult::Answered => "answered",
            TurnResult::Interrupted => "interrupted",
            TurnResult::NothingHeard => "nothing_heard",
            TurnResult::Queued => "queued",
            TurnResult::Failed => "failed",
        }
    }
}

impl TurnLog {
    pub fn new(metrics: &Registry) -> TurnLog {
        TurnLog(Rc::new(Inner {
            last: RefCell::default(),
            stages: STAGES.map(|stage| {
                let help = "Time of each stage of a turn.";
                metrics.histogram("voice_stage_seconds", help, &[("stage", stage)])
            }),
            results: RESULTS.map(|result| {
                let help = "Turns by how they ended.";
                metrics.counter("voice_turns_total", help, &[("result", result.name())])
            }),
            barge_ins: metrics.counter(
                "voice_bargein_total",
                "Answers that were spoken into.",
                &[],
            ),
        }))
    }

    pub fn barge_in(&self) {
        self.0.barge_ins.inc();
    }

    pub fn add(
        &self,
        endpoint: &'static str,
        turn: Turn,
        at: UnixMillis,
        result: TurnResult,
        timing: Timing,
    ) {
        if let Some(at) = RESULTS.iter().position(|known| *known == result) {
            self.0.results[at].inc();
        }
        let times = [
            timing.endpoint,
            timing.stt,
            timing.llm_first,
            timing.tts_first,
            timing.first_audio,
            Some(timing.total),
        ];
        for (stage, time) in self.0.stages.iter().zip(times) {
            if let Some(ms) = time {
                stage.observe(Duration::from_millis(ms));
            }
        }
        let mut last = self.0.last.borrow_mut();
        if last.len() == TIMELINES_KEPT {
            last.pop_front();
        }
        last.push_back(Timeline {
            endpoint,
            turn,
            at: at.rfc3339(),
            result: result.name(),
            timing_ms: timing,
        });
    }

    /// Oldest first.
    pub fn last(&self) -> Vec<Timeline> {
        self.0.last.borrow().iter().cloned().collect()
    }
}

/// The marks of one turn on the monotonic clock, from which [`Timing`] is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    pub began: MonoMillis,
    pub speech_ended: Option<MonoMillis>,
    pub endpoint: Option<MonoMillis>,
    pub transcribed: Option<MonoMillis>,
    pub asked: Option<MonoMillis>,
    pub first_text: Option<MonoMillis>,
    pub first_sentence: Option<MonoMillis>,
    pub first_speech: Option<MonoMillis>,
    pub first_audio: Option<MonoMillis>,
}

impl Marks {
    pub fn timing(&self, now: MonoMillis) -> Timing {
        let between = |from: Option<MonoMillis>, to: Option<MonoMillis>| {
            Some(to?.since(from?).as_millis() as u64)
        };
        Timing {
            endpoint: between(self.speech_ended, self.endpoint),
            stt: between(self.endpoint, self.transcribed),
            llm_first: between(self.asked, self.first_text),
            tts_first: between(self.first_sentence, self.first_speech),
            first_audio: between(self.speech_ended.or(self.asked), self.first_audio),
            total: now.since(self.began).as_millis() as u64,
        }
    }
}

/// Sets a mark that has not been set.
pub fn mark(slot: &mut Option<MonoMillis>, now: MonoMillis) {
    slot.get_or_insert(now);
}
