//! What becomes of a new version: it is tried once, and stays only if it proves itself.
//!
//! `trial.json` is written before the restart into the new slot and removed by whoever knows how
//! it ended. The new slot, once healthy for a minute, makes itself the good one. The old slot,
//! should it run again while the note is there, knows that the trial failed: it puts the database
//! back if the new version has changed its form, and says so in `update.json`. Every step may be
//! cut off by a power cut and is then done again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::autoboot;
use super::durable;
use super::machine::{Machine, Next};
use super::slots::{Running, Slot};
use crate::clock::{Clock, MonoMillis};
use crate::limits::{TRIAL_HEALTHY, TRIAL_LOOK, TRIAL_TOTAL, UPDATE_NOTE_BYTES_MAX};

const TRIAL: &str = "trial.json";
const OUTCOME: &str = "update.json";

/// An update that has been written and is not yet decided about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    pub from: Slot,
    pub to: Slot,
    pub from_version: String,
    pub version: String,
    /// RFC 3339.
    pub at: String,
    /// The new slot came so far that it could say so.
    pub began: bool,
    /// Why the new slot gave up.
    pub why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Updated,
    RolledBack,
    /// Nothing was tried: the update could not be written.
    Failed,
}

/// How the last update ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub result: Ended,
    pub version: Option<String>,
    pub from_version: String,
    /// RFC 3339.
    pub at: String,
    pub why: Option<String>,
    /// The database is again the copy of before the update.
    pub database_put_back: bool,
}

/// The household's data, which the update must not cost.
pub trait Keeper {
    /// Keeps a copy that the running version can open; replaces an earlier one.
    fn keep(&self) -> Result<(), String>;
    /// If the database is now of a form that the running version cannot open: puts a copy in its
    /// place, the newer one aside, and says so.
    fn put_back(&self) -> Result<bool, String>;
    /// The copy is needed no more.
    fn forget(&self) -> Result<(), String>;
    /// Lets the service know how it ended.
    fn tell(&self, outcome: &Outcome) -> Result<(), String>;
}

/// What a start of the system means for an update.
#[derive(Debug, PartialEq, Eq)]
pub enum Settled {
    /// No update is under way.
    Nothing,
    /// This is the new version, on trial.
    Trying(Trial),
    Ended(Outcome),
}

pub fn trial(machine: &Machine) -> Result<Option<Trial>, String> {
    read(machine, TRIAL)
}

pub fn outcome(machine: &Machine) -> Result<Option<Outcome>, String> {
    read(machine, OUTCOME)
}

/// From here on the next start decides.
pub fn begin(machine: &Machine, trial: &Trial) -> Result<(), String> {
    write(machine, TRIAL, trial)
}

/// For later, and for the service, which cannot look into the folder of root's notes.
pub fn tell_outcome(
    machine: &Machine,
    keeper: &dyn Keeper,
    outcome: &Outcome,
) -> Result<(), String> {
    write(machine, OUTCOME, outcome)?;
    keeper.tell(outcome)
}

/// At each start, before the service: finishes what there is to finish.
pub fn settle(machine: &Machine, keeper: &dyn Keeper, clock: &Clock) -> Result<Settled, String> {
    let trial = match trial(machine) {
        Ok(None) => return Ok(Settled::Nothing),
        Ok(Some(trial)) => trial,
        Err(why) => return unreadable(machine, keeper, clock, why),
    };
    let running = Running::find(machine)?.slot;
    if running == trial.to {
        if autoboot::good(machine)? == running {
            return updated(machine, keeper, clock, &trial).map(Settled::Ended);
        }
        let trial = Trial {
            began: true,
            ..trial
        };
        begin(machine, &trial)?;
        return Ok(Settled::Trying(trial));
    }
    let why = match (&trial.why, trial.began) {
        (Some(why), _) => why.clone(),
        (None, true) => String::from("it ended before it had been healthy for a minute"),
        (None, false) => String::from("it was not started, or did not start"),
    };
    rolled_back(machine, keeper, clock, Some(&trial), why).map(Settled::Ended)
}

/// Without its note nobody knows what was tried; the slot that runs is good enough to say so.
fn unreadable(
    machine: &Machine,
    keeper: &dyn Keeper,
    clock: &Clock,
    why: String,
) -> Result<Settled, String> {
    log::error!("event=update_note_unreadable error=\"{why}\"");
    rolled_back(machine, keeper, clock, None, why).map(Settled::Ended)
}

/// In the new slot: waits until the box has been healthy for a minute without a break, and makes
/// the slot the good one; if that takes too long, starts the old one. `look` tells which process
/// is healthy, or why none is.
pub fn confirm(
    machine: &Machine,
    keeper: &dyn Keeper,
    clock: &Clock,
    patience: Patience,
    look: &mut dyn FnMut() -> Result<u32, String>,
) -> Result<Settled, String> {
    let trial = match settle(machine, keeper, clock)? {
        Settled::Trying(trial) => trial,
        other => return Ok(other),
    };
    match wait_until_healthy(clock, patience, look) {
        Ok(()) => {
            autoboot::make_good(machine, trial.to)?;
            updated(machine, keeper, clock, &trial).map(Settled::Ended)
        }
        Err(why) => {
            let trial = Trial {
                why: Some(format!("the box was not healthy: {why}")),
                ..trial
            };
            begin(machine, &trial)?;
            machine.tell_console(&format!(
                "magpie: rebooting to slot {}: version {} does not work",
                trial.from, trial.version
            ));
            machine
                .restart(Next::Good)
                .map_err(|error| format!("the box cannot be restarted: {error}"))?;
            Ok(Settled::Trying(trial))
        }
    }
}

/// How long a trial may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub healthy: Duration,
    pub total: Duration,
    pub look: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            healthy: TRIAL_HEALTHY,
            total: TRIAL_TOTAL,
            look: TRIAL_LOOK,
        }
    }
}

fn wait_until_healthy(
    clock: &Clock,
    patience: Patience,
    look: &mut dyn FnMut() -> Result<u32, String>,
) -> Result<(), String> {
    let began = clock.mono();
    // The process that is healthy, and since when: one that was started again begins anew.
    let mut healthy: Option<(u32, MonoMillis)> = None;
    let mut last = String::from("it kept restarting");
    loop {
        let found = look();
        let now = clock.mono();
        match found {
            Ok(process) => {
                let (known, since) = *healthy.get_or_insert((process, now));
                if known != process {
                    healthy = Some((process, now));
                } else if now.since(since) >= patience.healthy {
                    return Ok(());
                }
            }
            Err(why) => {
                healthy = None;
                last = why;
            }
        }
        if now.since(began) >= patience.total {
            return Err(last);
        }
        std::thread::sleep(patience.look);
    }
}

fn updated(
    machine: &Machine,
    keeper: &dyn Keeper,
    clock: &Clock,
    trial: &Trial,
) -> Result<Outcome, String> {
    let outcome = Outcome {
        result: Ended::Updated,
        version: Some(trial.version.clone()),
        from_version: trial.from_version.clone(),
        at: clock.wall().rfc3339(),
        why: None,
        database_put_back: false,
    };
    finish(machine, keeper, &outcome)?;
    Ok(outcome)
}

fn rolled_back(
    machine: &Machine,
    keeper: &dyn Keeper,
    clock: &Clock,
    trial: Option<&Trial>,
    why: String,
) -> Result<Outcome, String> {
    let outcome = Outcome {
        database_put_back: keeper.put_back()?,
        result: Ended::RolledBack,
        version: trial.map(|trial| trial.version.clone()),
        from_version: env!("CARGO_PKG_VERSION").to_owned(),
        at: clock.wall().rfc3339(),
        why: Some(why),
    };
    finish(machine, keeper, &outcome)?;
    Ok(outcome)
}

/// The note goes last: until then all of this is done again.
fn finish(machine: &Machine, keeper: &dyn Keeper, outcome: &Outcome) -> Result<(), String> {
    tell_outcome(machine, keeper, outcome)?;
    keeper.forget()?;
    let path = machine.notes().join(TRIAL);
    durable::remove(&path).map_err(|error| format!("{} cannot be removed: {error}", path.display()))
}

fn read<T: for<'de> Deserialize<'de>>(machine: &Machine, name: &str) -> Result<Option<T>, String> {
    let path = machine.notes().join(name);
    let told = |why: String| format!("{} cannot be read: {why}", path.display());
    let text =
        durable::read(&path, UPDATE_NOTE_BYTES_MAX).map_err(|error| told(error.to_string()))?;
    text.map(|text| serde_json::from_slice(&text).map_err(|error| told(error.to_string())))
        .transpose()
}

fn write(machine: &Machine, name: &str, note: &impl Serialize) -> Result<(), String> {
    let path = machine.notes().join(name);
    let told = |why: String| format!("{} cannot be written: {why}", path.display());
    let text = serde_json::to_vec(note).map_err(|error| told(error.to_string()))?;
    durable::write(&path, &text).map_err(|error| told(error.to_string()))
}

impl Outcome {
    /// For people.
    pub fn told(&self) -> String {
        let version = self.version.as_deref().unwrap_or("of unknown number");
        let why = self.why.as_deref().unwrap_or("no reason is known");
        match self.result {
            Ended::Updated => format!(
                "Updated from {} to {version} at {}.",
                self.from_version, self.at
            ),
            Ended::RolledBack => {
                let database = match self.database_put_back {
                    true => {
                        " The database is that of before the update; what the new version had is in before-restore-TIME of the data folder."
                    }
                    false => "",
                };
                format!(
                    "Version {version} was given up for {} at {}: {why}.{database}",
                    self.from_version, self.at
                )
            }
            Ended::Failed => format!(
                "The update was not written at {}, and {} runs on: {why}.",
                self.at, self.from_version
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMillis;

    /// Looks once a second at what the script says, one entry a look, the last one for ever.
    fn watched(script: &[Result<u32, &str>]) -> (Result<(), String>, u64) {
        let clock = Clock::manual(UnixMillis(0));
        let patience = Patience {
            healthy: Duration::from_secs(10),
            total: Duration::from_secs(40),
            look: Duration::ZERO,
        };
        let mut looks = 0;
        let decided = wait_until_healthy(&clock, patience, &mut || {
            clock.advance(Duration::from_secs(1));
            let found = script[looks.min(script.len() - 1)];
            looks += 1;
            found.map_err(str::to_owned)
        });
        (decided, clock.mono().0 / 1000)
    }

    #[test]
    fn health_counts_only_without_a_break_and_of_one_process() {
        assert_eq!(watched(&[Ok(1)]), (Ok(()), 11));
        let away = Err("it does not answer");
        let late = [away, away, Ok(1)];
        assert_eq!(watched(&late), (Ok(()), 13));
        let broken = [Ok(1), Ok(1), Ok(1), away, Ok(1)];
        assert_eq!(watched(&broken), (Ok(()), 15));
        let restarted = [Ok(1), Ok(1), Ok(1), Ok(2)];
        assert_eq!(watched(&restarted), (Ok(()), 14));
    }

    #[test]
    fn a_trial_ends_with_what_was_last_seen() {
        let away = Err("it does not answer");
        assert_eq!(
            watched(&[Ok(1), away]),
            (Err(String::from("it does not answer")), 40)
        );
        let restarting: Vec<_> = (0..60).map(|look| Ok(look / 5)).collect();
        assert_eq!(
            watched(&restarting),
            (Err(String::from("it kept restarting")), 40)
        );
    }
}
