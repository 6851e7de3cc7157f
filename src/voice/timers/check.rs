//! What a timer may be given: its label, its time and its rule, with what is wrong with them.

use super::is_set;
use super::repeat::Repeat;
use super::timer::When;
use crate::clock::UnixMillis;
use crate::limits::{TIMER_DURATION_MAX, TIMER_LABEL_CHARS_MAX};
use crate::voice::error::VoiceError;

const YEARS_AHEAD_MAX_MS: i64 = 3_653 * 86_400_000;

pub(super) fn checked_label(label: String) -> Result<String, VoiceError> {
    let label = label.trim();
    let chars = label.chars().count();
    if chars > TIMER_LABEL_CHARS_MAX || label.chars().any(char::is_control) {
        return Err(VoiceError::Invalid(format!(
            "`label` has at most {TIMER_LABEL_CHARS_MAX} characters, on one line."
        )));
    }
    Ok(label.to_string())
}

pub(super) fn check_when(when: When, now: UnixMillis) -> Result<(), VoiceError> {
    match when {
        When::After(wait) if wait.is_zero() || wait > TIMER_DURATION_MAX => {
            Err(VoiceError::Invalid(format!(
                "`duration` must be more than 0 and at most {} seconds.",
                TIMER_DURATION_MAX.as_secs()
            )))
        }
        When::At(at) if at <= now => Err(VoiceError::Invalid(String::from(
            "`due_at` has passed; give a time ahead.",
        ))),
        When::At(at) if at.0.saturating_sub(now.0) > YEARS_AHEAD_MAX_MS && is_set(now) => Err(
            VoiceError::Invalid(String::from("`due_at` lies more than ten years ahead.")),
        ),
        _ => Ok(()),
    }
}

pub(super) fn check_repeat(when: When, rule: Option<Repeat>) -> Result<(), VoiceError> {
    match (when, rule) {
        (When::After(_), Some(_)) => Err(VoiceError::Invalid(String::from(
            "`repeat` goes with `due_at`, whose time of day comes back; not with `duration`.",
        ))),
        _ => Ok(()),
    }
}
