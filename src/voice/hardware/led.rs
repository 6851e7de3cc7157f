//! What the lamp shows. Pure: a look and how long it has been shown give the light.
//!
//! Red, green and blue are on or off, and what pulses is dimmed by switching fast; a lamp of one
//! colour shows the same patterns in its own.

use std::time::Duration;

use crate::voice::turn::{Phase, State};

/// One step of the dimming; 16 of them are a period of 16 ms.
pub const DIM_STEP: Duration = Duration::from_millis(1);
const DIM_STEPS: u64 = 16;
const BLINK: Duration = Duration::from_millis(500);
const PULSE: Duration = Duration::from_millis(1_600);
const FLASH: Duration = Duration::from_millis(200);
const FLASHES: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Off,
    Listening,
    Working,
    Speaking,
    Muted,
    Offline,
    Error,
    Ringing,
}

/// Bit 0 red, bit 1 green, bit 2 blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Light(pub u8);

const RED: u8 = 1;
const GREEN: u8 = 2;
const BLUE: u8 = 4;
const WHITE: u8 = RED | GREEN | BLUE;
const AMBER: u8 = RED | GREEN;

impl Look {
    /// `open`: the microphone's stream is open, whatever the state says.
    pub fn of(state: &State, open: bool) -> Look {
        // Nobody may be heard without seeing it.
        if open {
            return Look::Listening;
        }
        if state.ringing {
            return Look::Ringing;
        }
        match state.phase {
            Phase::Transcribing { .. } | Phase::Thinking { .. } => Look::Working,
            Phase::Speaking { .. } => Look::Speaking,
            Phase::Error { .. } => Look::Error,
            _ if state.muted => Look::Muted,
            _ if state.offline => Look::Offline,
            // Asked to listen, and not open yet.
            Phase::Listening { .. } | Phase::Idle => Look::Off,
        }
    }

    /// The light after this look has been shown for `shown`, and when it changes next.
    pub fn light(self, shown: Duration) -> (Light, Option<Duration>) {
        let blink = |colour, every: Duration| {
            let halves = shown.as_millis() / every.as_millis();
            let left =
                every - Duration::from_millis((shown.as_millis() % every.as_millis()) as u64);
            let on = halves.is_multiple_of(2);
            (Light(if on { colour } else { 0 }), Some(left))
        };
        match self {
            Look::Off => (Light(0), None),
            Look::Listening => (Light(BLUE), None),
            Look::Speaking => (Light(GREEN), None),
            Look::Muted => (Light(RED), None),
            Look::Offline => blink(AMBER, BLINK),
            Look::Ringing => blink(WHITE, BLINK),
            Look::Error if shown < FLASH * (2 * FLASHES) => blink(RED, FLASH),
            Look::Error => (Light(0), None),
            Look::Working => {
                let phase = (shown.as_millis() % PULSE.as_millis()) as u64;
                let half = PULSE.as_millis() as u64 / 2;
                let rise = if phase < half {
                    phase
                } else {
                    2 * half - phase
                };
                let bright = 1 + rise * (DIM_STEPS - 1) / half;
                let step = shown.as_millis() as u64 % DIM_STEPS;
                let on = step < bright;
                let next = if on { bright - step } else { DIM_STEPS - step };
                (
                    Light(if on { BLUE } else { 0 }),
                    Some(DIM_STEP * next.max(1) as u32),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Share of the time in which any colour is lit, in per cent.
    fn brightness(look: Look, from_ms: u64, ms: u64) -> u64 {
        let on = (from_ms..from_ms + ms)
            .filter(|at| look.light(Duration::from_millis(*at)).0 != Light(0))
            .count();
        on as u64 * 100 / ms
    }

    #[test]
    fn an_open_microphone_is_always_seen() {
        let muted = State::new(true, false);
        assert_eq!(Look::of(&muted, true), Look::Listening);
        assert_eq!(Look::of(&muted, false), Look::Muted);
        let mut ringing = State::new(false, false);
        ringing.ringing = true;
        assert_eq!(Look::of(&ringing, true), Look::Listening);
        assert_eq!(Look::of(&ringing, false), Look::Ringing);
        assert_eq!(Look::of(&State::new(false, false), false), Look::Off);
    }

    #[test]
    fn each_look_has_its_pattern() {
        assert_eq!(
            Look::Listening.light(Duration::from_secs(9)),
            (Light(BLUE), None)
        );
        assert_eq!(Look::Muted.light(Duration::ZERO), (Light(RED), None));
        assert_eq!(brightness(Look::Ringing, 0, 4_000), 50);
        assert_eq!(brightness(Look::Offline, 0, 4_000), 50);
        assert!(brightness(Look::Working, 0, 64) < 20, "a pulse begins dark");
        assert!(brightness(Look::Working, 768, 64) > 80, "and grows bright");
        let mut flashes = 0;
        let mut was = false;
        for at in 0..3_000 {
            let on = Look::Error.light(Duration::from_millis(at)).0 != Light(0);
            flashes += u32::from(on && !was);
            was = on;
        }
        assert_eq!(flashes, 3);
    }

    #[test]
    fn a_change_is_announced_before_it_comes() {
        for look in [Look::Ringing, Look::Offline, Look::Error, Look::Working] {
            let mut at = Duration::ZERO;
            while let (light, Some(next)) = look.light(at)
                && at < Duration::from_secs(4)
            {
                assert!(next > Duration::ZERO);
                for ms in 0..next.as_millis() as u64 {
                    let between = look.light(at + Duration::from_millis(ms)).0;
                    assert!(
                        between == light || look == Look::Working,
                        "{look:?} {at:?} {ms}"
                    );
                }
                at += next;
            }
        }
    }
}
