//! What is wrong with the box, told once for every place that shows it; and whether it is ready.
//!
//! Rooms set and clear warnings by a stable code. A part whose work may come to a halt registers
//! its progress; the watch thread looks at it once a second, so that `/ready` need not wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::metrics::{Gauge, Histogram};
use crate::limits;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Notice,
    Warning,
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// Stable word for programs, e.g. `disk_almost_full`.
    pub code: &'static str,
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What a person can do about it.
    pub remedy: String,
}

/// Clones share the same state; any thread may use it.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    warnings: BTreeMap<&'static str, Warning>,
    progress: Vec<Progress>,
    checks: Vec<(&'static str, Check)>,
    is_draining: bool,
}

/// Why a part is not ready; must not wait.
type Check = Box<dyn Fn() -> Option<String> + Send>;

/// Work that waits, and a count that goes up when some of it is done.
struct Progress {
    name: &'static str,
    waiting: Gauge,
    done: Histogram,
    allowed: Duration,
    seen: u64,
    moved: Instant,
}

impl Health {
    /// Sets the warning, or replaces the one of the same code.
    pub fn warn(&self, warning: Warning) {
        let mut state = self.state();
        let known = state.warnings.contains_key(warning.code);
        if !known && state.warnings.len() >= limits::WARNINGS_MAX {
            drop(state);
            log::error!("event=too_many_warnings dropped={}", warning.code);
            return;
        }
        if !known {
            log::warn!(
                "event=warning code={} message={:?} remedy={:?}",
                warning.code,
                warning.message,
                warning.remedy
            );
        }
        state.warnings.insert(warning.code, warning);
    }

    pub fn clear(&self, code: &str) {
        if self.state().warnings.remove(code).is_some() {
            log::info!("event=warning_over code={code}");
        }
    }

    /// The worst first.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut list: Vec<Warning> = self.state().warnings.values().cloned().collect();
        list.sort_by_key(|warning| std::cmp::Reverse(warning.severity));
        list
    }

    /// Not ready while work has been waiting and none was done for `allowed`: e.g. the store's
    /// queue and the histogram of its commits.
    pub fn require_progress(
        &self,
        name: &'static str,
        waiting: Gauge,
        done: Histogram,
        allowed: Duration,
    ) {
        self.state().progress.push(Progress {
            name,
            waiting,
            seen: done.count(),
            done,
            allowed,
            moved: Instant::now(),
        });
    }

    /// Not ready while `check`, which must not wait, tells a reason.
    pub fn require(&self, name: &'static str, check: impl Fn() -> Option<String> + Send + 'static) {
        self.state().checks.push((name, Box::new(check)));
    }

    /// From now on the box is not ready, because it shuts down.
    pub fn drain(&self) {
        self.state().is_draining = true;
    }

    /// Why the box is not ready, by part; empty when it is.
    pub fn unready(&self) -> Vec<(&'static str, String)> {
        let mut state = self.state();
        let mut reasons = Vec::new();
        if state.is_draining {
            reasons.push(("box", String::from("it is shutting down")));
        }
        for (name, check) in &state.checks {
            reasons.extend(check().map(|why| (*name, why)));
        }
        for part in &mut state.progress {
            part.look();
            let still = part.moved.elapsed();
            if still >= part.allowed {
                reasons.push((
                    part.name,
                    format!(
                        "{} jobs wait and none was done for {} s",
                        part.waiting.get(),
                        still.as_secs()
                    ),
                ));
            }
        }
        reasons
    }

    /// Notes which parts moved; called at least every [`limits::WATCH_INTERVAL`].
    pub(super) fn look(&self) {
        self.state().progress.iter_mut().for_each(Progress::look);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn look(&mut self) {
        let done = self.done.count();
        if self.waiting.get() <= 0 || done != self.seen {
            self.seen = done;
            self.moved = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(code: &'static str, severity: Severity) -> Warning {
        Warning {
            code,
            severity,
            message: format!("{code} is wrong."),
            remedy: String::from("Mend it."),
        }
    }

    #[test]
    fn warnings_are_kept_by_code_worst_first_until_cleared() {
        let health = Health::default();
        health.warn(warning("clock", Severity::Notice));
        health.warn(warning("disk", Severity::Error));
        health.warn(warning("disk", Severity::Error));
        let codes = |health: &Health| -> Vec<_> {
            health
                .warnings()
                .iter()
                .map(|warning| warning.code)
                .collect()
        };
        assert_eq!(codes(&health), ["disk", "clock"]);
        health.clear("disk");
        assert_eq!(codes(&health), ["clock"]);
    }

    #[test]
    fn waiting_work_without_progress_makes_the_box_unready_and_progress_heals_it() {
        let health = Health::default();
        let (waiting, done) = (Gauge::default(), Histogram::default());
        let never = Duration::ZERO;
        health.require_progress("store", waiting.clone(), done.clone(), never);
        waiting.set(3);
        assert_eq!(health.unready().len(), 1);
        assert!(health.unready()[0].1.starts_with("3 jobs wait"));

        let patient = Health::default();
        let long = Duration::from_secs(60);
        patient.require_progress("store", waiting.clone(), done.clone(), long);
        assert!(patient.unready().is_empty());
        patient.require("card", || Some(String::from("it is full")));
        assert_eq!(patient.unready(), [("card", String::from("it is full"))]);
        patient.drain();
        assert_eq!(patient.unready()[0].0, "box");
    }
}
