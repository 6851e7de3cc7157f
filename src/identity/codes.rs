//! The one pairing code that is valid at a time, and how fast it may be guessed.
//!
//! A pure machine on monotonic time: a jump of the wall clock neither ends a code nor prolongs
//! it. Five wrong tries burn a code, and after each burnt code no try is taken for a while that
//! doubles up to an hour, whatever address it comes from: 120 guesses a day at a million codes.

use std::time::Duration;

use super::secret::{self, Code};
use crate::clock::MonoMillis;
use crate::limits;

#[derive(Default)]
pub struct Codes {
    current: Option<Issued>,
    burnt: u32,
    blocked_until: MonoMillis,
}

#[derive(Clone)]
pub struct Issued {
    pub code: Code,
    /// Whether the device that shows it becomes an admin.
    pub admin: bool,
    pub until: MonoMillis,
    tries_left: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    Wrong {
        tries_left: u32,
    },
    /// There is no code, or its time is over.
    Expired,
    /// This try burnt the code, or one did before: none is taken for `wait`.
    TooMany {
        wait: Duration,
    },
}

impl Codes {
    /// Replaces the current code.
    pub fn issue(&mut self, code: Code, admin: bool, now: MonoMillis) -> Issued {
        let issued = Issued {
            code,
            admin,
            until: MonoMillis(now.0 + limits::CLAIM_CODE_LIFE.as_millis() as u64),
            tries_left: limits::CLAIM_TRIES_MAX,
        };
        self.current = Some(issued.clone());
        issued
    }

    pub fn current(&self, now: MonoMillis) -> Option<&Issued> {
        self.current.as_ref().filter(|issued| now < issued.until)
    }

    /// How long no try is taken.
    pub fn blocked(&self, now: MonoMillis) -> Option<Duration> {
        (now < self.blocked_until).then(|| self.blocked_until.since(now))
    }

    /// Uses up the code when it is the right one.
    pub fn redeem(&mut self, typed: Option<Code>, now: MonoMillis) -> Result<Issued, Refused> {
        if let Some(wait) = self.blocked(now) {
            return Err(Refused::TooMany { wait });
        }
        let Some(issued) = self.current.as_mut().filter(|issued| now < issued.until) else {
            self.current = None;
            return Err(Refused::Expired);
        };
        if typed.is_some_and(|typed| secret::same_code(&typed, &issued.code)) {
            let redeemed = issued.clone();
            self.current = None;
            self.burnt = 0;
            return Ok(redeemed);
        }
        issued.tries_left -= 1;
        match issued.tries_left {
            0 => Err(Refused::TooMany {
                wait: self.burn(now),
            }),
            tries_left => Err(Refused::Wrong { tries_left }),
        }
    }

    /// Gives a code back whose pairing failed for want of a disk.
    pub fn restore(&mut self, issued: Issued) {
        self.current.get_or_insert(issued);
    }

    fn burn(&mut self, now: MonoMillis) -> Duration {
        self.current = None;
        let wait = limits::CLAIM_BACK_OFF
            .saturating_mul(1 << self.burnt.min(16))
            .min(limits::CLAIM_BACK_OFF_MAX);
        self.burnt += 1;
        self.blocked_until = MonoMillis(now.0 + wait.as_millis() as u64);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG: Option<Code> = Some(*b"000000");
    const RIGHT: Code = *b"123456";

    fn at(seconds: u64) -> MonoMillis {
        MonoMillis(seconds * 1_000)
    }

    #[test]
    fn a_code_pairs_once_and_only_for_three_minutes() {
        let mut codes = Codes::default();
        assert_eq!(
            codes.redeem(Some(RIGHT), at(0)).err(),
            Some(Refused::Expired)
        );
        codes.issue(RIGHT, true, at(0));
        assert!(
            codes
                .redeem(Some(RIGHT), at(179))
                .is_ok_and(|code| code.admin)
        );
        assert_eq!(
            codes.redeem(Some(RIGHT), at(179)).err(),
            Some(Refused::Expired)
        );
        codes.issue(RIGHT, false, at(200));
        assert_eq!(
            codes.redeem(Some(RIGHT), at(380)).err(),
            Some(Refused::Expired)
        );
    }

    #[test]
    fn five_wrong_tries_burn_a_code_and_each_burnt_code_costs_twice_the_wait() {
        let mut codes = Codes::default();
        let mut now = at(0);
        for wait_s in [30, 60, 120, 240] {
            codes.issue(RIGHT, true, now);
            for tries_left in (1..5).rev() {
                assert_eq!(
                    codes.redeem(WRONG, now).err(),
                    Some(Refused::Wrong { tries_left })
                );
            }
            let wait = Duration::from_secs(wait_s);
            assert_eq!(
                codes.redeem(None, now).err(),
                Some(Refused::TooMany { wait })
            );
            // Even the right code of a fresh issue waits.
            codes.issue(RIGHT, true, now);
            assert_eq!(
                codes.redeem(Some(RIGHT), now).err(),
                Some(Refused::TooMany { wait })
            );
            now = MonoMillis(now.0 + wait_s * 1_000);
        }
        codes.issue(RIGHT, true, now);
        assert!(codes.redeem(Some(RIGHT), now).is_ok());
    }

    #[test]
    fn a_day_of_grinding_gets_few_guesses() {
        let mut codes = Codes::default();
        let mut guesses = 0;
        for second in 0..86_400 {
            let now = at(second);
            if codes.current(now).is_none() {
                codes.issue(RIGHT, true, now);
            }
            while matches!(codes.redeem(WRONG, now), Err(Refused::Wrong { .. })) {
                guesses += 1;
            }
        }
        assert!((100..200).contains(&guesses), "{guesses} guesses");
    }
}
