//! What each event does in each phase.

use super::*;

pub(super) struct Step {
    pub(super) state: State,
    pub(super) now: MonoMillis,
    pub(super) effects: Vec<Effect>,
}

impl Step {
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Listen => self.listen(Ends::BySilence),
            Event::ListenHeld => self.listen(Ends::ByHand),
            Event::ListenMemo => self.listen(Ends::Memo),
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
            Event::Interrupt => {
                self.silence();
                self.interrupt();
            }
            Event::BargeIn => self.barge_in(),
            Event::Mute(muted) => self.mute(muted),
            Event::MuteSwitch(off) => {
                self.state.mute_held = off;
                self.mute(off);
            }
            Event::Offline(offline) => self.state.offline = offline,
            Event::Ringing(ringing) => self.state.ringing = ringing,
            Event::Tick => self.tick(),
            Event::SpeechBegan(turn) => self.speech_began(turn),
            Event::Heard { turn, sound } => {
                if self.is_listening(turn) {
                    self.effects.push(Effect::Tone(Tone::Done));
                    self.transcribe(turn, 1, sound);
                }
            }
            Event::NothingHeard(turn) => self.nothing_heard(turn),
            Event::Yielded(turn) => {
                if self.is_listening(turn) {
                    self.close(turn, TurnResult::Interrupted);
                }
            }
            Event::ListenFailed(turn) => {
                if self.is_listening(turn) {
                    self.fail(turn);
                }
            }
            Event::Transcribed { turn, empty } => self.transcribed(turn, empty),
            Event::TranscribeFailed { turn, retry } => self.transcribe_failed(turn, retry),
            Event::Deferred(turn) => self.deferred(turn),
            Event::DeferralTold(turn) => {
                if self.is_replying(turn) {
                    self.close(turn, TurnResult::Queued);
                }
            }
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
            Ends::Memo => MEMO_MAX,
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
            until: after(self.now, TRANSCRIBE_MAX + sound + TRANSCRIBE_GRACE),
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

    fn deferred(&mut self, of: Turn) {
        let Phase::Transcribing { turn, .. } = self.state.phase else {
            return;
        };
        if turn == of {
            let tone = match self.state.offline {
                true => Tone::Offline,
                false => Tone::Saved,
            };
            self.effects.push(Effect::Tone(tone));
            self.open_thinking(turn);
            self.effects.push(Effect::TellDeferred(turn));
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
        if self.state.mute_held && !muted {
            self.effects.push(Effect::RefuseMuted);
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
        if self.silence() {
            return self.interrupt();
        }
        self.state.button.pressed = Some(self.now);
        self.state.button.stopped = false;
        match self.state.phase {
            Phase::Listening {
                ends: Ends::Memo, ..
            } => {
                self.state.button.pressed = None;
                self.finish_listening();
            }
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

    /// Stops what rings; whether anything did.
    fn silence(&mut self) -> bool {
        let rang = std::mem::replace(&mut self.state.ringing, false);
        if rang {
            self.effects.push(Effect::Silence);
        }
        rang
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
                    self.time_out(turn, "the microphone");
                } else if heard || matches!(ends, Ends::ByHand | Ends::Memo) {
                    self.finish_listening();
                } else {
                    self.effects.push(Effect::Cancel(turn));
                    self.nothing_heard(turn);
                }
            }
            Phase::Transcribing { turn, until, .. } if until <= self.now => {
                self.time_out(turn, "the recogniser");
            }
            Phase::Thinking { turn, until, .. } if until <= self.now => {
                self.time_out(turn, "the answer");
            }
            Phase::Speaking { turn, until, .. } if until <= self.now => {
                self.time_out(turn, "the voice");
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
